"""Where the time of a frozen network goes, operation by operation: what `inference.py --layers` prints."""

import collections

import made_weights


def measure(precision, frames, runs):
    """Measures RGB I3D as `compile_for` freezes it, one operation at a time.

    The operations of a block would run next to each other; here one waits for the other, so that each has all cores.

    Args:
        precision: a key of PRECISIONS.
        frames: of one clip of 224 x 224.
        runs: of the network; the least time of each operation counts.

    Returns:
        ([(name, kind, GFLOP, ms)] in the order that they run in, GFLOP/s of the best convolution, ms of a whole run).
    """
    import keras
    import numpy as np
    import tensorflow as tf

    from keras_i3d.precision import PRECISIONS
    from keras_i3d.runtimes import frozen_graph

    keras.config.set_dtype_policy(PRECISIONS[precision])
    model = made_weights.model()
    graph, clips, answer = frozen_graph.graph(model)
    config = frozen_graph.settings()
    config.inter_op_parallelism_threads = 1
    session = tf.compat.v1.Session(graph=graph, config=config)
    clip = np.random.default_rng(0).uniform(-1, 1, (1, frames, 224, 224, 3)).astype("float32")
    options = tf.compat.v1.RunOptions(trace_level=tf.compat.v1.RunOptions.FULL_TRACE, output_partition_graphs=True)
    least, shapes, nodes, whole = {}, {}, {}, []
    for run in range(runs + 2):
        about = tf.compat.v1.RunMetadata()
        session.run(answer, {clips: clip}, options=options, run_metadata=about)
        nodes = {node.name: node for part in about.partition_graphs for node in part.node}
        took = collections.Counter()
        for device in about.step_stats.dev_stats:
            for stats in device.node_stats:
                if stats.node_name in nodes:
                    took[stats.node_name] += (stats.op_end_rel_nanos - stats.op_start_rel_nanos) / 1e6
                    for output in stats.output[:1]:
                        shapes[stats.node_name] = [d.size for d in output.tensor_description.shape.dim]
        if run > 1:  # the first ones make kernels, and reorder weights
            whole.append(sum(took.values()))
            least = {name: min(ms, least.get(name, ms)) for name, ms in took.items()}
    rows = []
    for name, ms in least.items():
        kind, work = nodes[name].op, 0.0
        if "Conv3D" in kind:
            kernel = shapes[nodes[name].input[1].split(":")[0]]
            work = 2 * np.prod(shapes[name], dtype=float) * np.prod(kernel[:4], dtype=float) / 1e9
        rows.append((name, kind, work, ms))
    return rows, _best(precision, runs), min(whole)


def _best(dtype, runs):
    """GFLOP/s of a 3 x 3 x 3 convolution of 256 channels to 256, 16 steps of 14 x 14, its weights constant."""
    import time

    import numpy as np
    import tensorflow as tf

    from keras_i3d.runtimes import frozen_graph

    draw, repeats = np.random.default_rng(0), 8
    with tf.Graph().as_default() as graph:
        kernel = tf.constant(draw.normal(0, 0.01, (3, 3, 3, 256, 256)), dtype)
        x = tf.cast(tf.compat.v1.placeholder(tf.float32, (None, None, None, None, 256)), dtype)
        for _ in range(repeats):
            x = tf.nn.relu(tf.nn.conv3d(x, kernel, [1] * 5, "SAME"))
    fed = next(operation for operation in graph.get_operations() if operation.type == "Placeholder").outputs[0]
    call = tf.compat.v1.Session(graph=graph, config=frozen_graph.settings()).make_callable(x.op, [fed.name])
    clip, least = draw.uniform(0, 1, (1, 16, 14, 14, 256)).astype("float32"), float("inf")
    for _ in range(runs + 2):
        began = time.perf_counter()
        call(clip)
        least = min(least, time.perf_counter() - began)
    return repeats * 2 * 16 * 14 * 14 * 27 * 256 * 256 / least / 1e9


def show(precision, frames, runs):
    """Prints a Markdown table: of each operation its GFLOP, ms, TFLOP/s, share of the best rate and of all the time."""
    rows, best, whole = measure(precision, frames, runs)
    rows = [row for row in rows if row[3] >= 0.02 or row[2]]
    total = sum(row[3] for row in rows)
    print(f"{precision}, {frames} frames: best convolution {best / 1e3:.2f} TFLOP/s, all operations {total:.1f} ms, ")
    print(f"the least whole run {whole:.1f} ms\n")
    print("| operation | kind | GFLOP | ms | TFLOP/s | of the best | of all ms |")
    print("|---|---|---|---|---|---|---|")
    for name, kind, work, ms in rows:
        rate = work / ms  # GFLOP/ms are TFLOP/s
        shown = f"{work:.2f} | {ms:.2f} | {rate:.2f} | {rate * 1e3 / best:.2f}" if work else f" | {ms:.2f} | | "
        print(f"| {name.removesuffix('_1')} | {kind} | {shown} | {ms / total:.3f} |")
    kinds = collections.Counter()
    for _, kind, _, ms in rows:
        kinds[kind] += ms
    print("\n" + ", ".join(f"{kind} {ms:.1f} ms" for kind, ms in kinds.most_common(8)))
    slow = sum(ms for _, _, work, ms in rows if work and work / ms * 1e3 < best / 2)
    print(f"convolutions below half of the best rate: {slow:.1f} ms")
