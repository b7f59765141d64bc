"""Memory of an evaluation by views: peak resident memory next to that of the network alone, on as many views at once.

  python benchmarks/views.py [--quick]

RGB I3D in mixed_bfloat16 on one video of 250 frames (256 x 340), clips of 64 frames. Each row runs in a process of its
own, so that its peak memory is its own. The limit is the network on one batch of views, as many as `evaluate` passes at
once and of the same size, without records.
"""

import json
import os
import pathlib
import resource
import subprocess
import sys
import tempfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from absl import app, flags  # noqa: E402
from claims import claim  # noqa: E402

_QUICK = flags.DEFINE_bool("quick", False, "The first protocol only.")
_ROW = flags.DEFINE_string("row", None, "Internal: measure this protocol, or size of views, and print it as JSON.")
_RECORDS = flags.DEFINE_string("records", None, "Internal: where the video is.")

PROTOCOLS = {"views:2x3": 256, "views:10x3": 256, "views:2x10": 224, "views:25x10": 224}
FRAMES = 64


def write(folder):
    """Writes a record of noise over a scene that moves."""
    import numpy as np
    import tensorflow as tf

    from keras_i3d.records import Manifest, RecordSpec, manifest, sequence_example

    spec, name = RecordSpec(flow_method=None), manifest.shard_name("test", 0, 1)
    draw = np.random.default_rng(0)
    scene = tf.image.resize(draw.uniform(0, 255, (60, 34, 3)), (600, 340)).numpy()
    video = (np.clip(scene[i : i + 256] + draw.normal(0, 8, (256, 340, 3)), 0, 255).astype("uint8") for i in range(250))
    with tf.io.TFRecordWriter(str(folder / name)) as file:
        file.write(sequence_example.encode(video, spec, id="v", label="0", index=0, split="test"))
    shard = manifest.Shard(name, ("v",), (folder / name).stat().st_size)
    Manifest("test", tuple(map(str, range(400))), spec, (shard,)).write(folder)


def measure(row, records):
    """Returns the peak memory of a protocol, or of the network alone on views of a size, in GB."""
    import keras
    import numpy as np

    import keras_i3d
    from keras_i3d.evaluation import evaluate
    from keras_i3d.evaluation.evaluation import VIEWS_AT_ONCE
    from keras_i3d.models.inception import HEAD

    keras.config.set_dtype_policy("mixed_bfloat16")
    model = keras_i3d.I3D(weights=None, input_shape=(None, None, None, 3))
    if row in PROTOCOLS:
        head = model.get_layer(HEAD)
        head.set_weights([value + 0.1 for value in head.get_weights()])  # else it would be refused as untrained
        evaluate(records, rgb=model, protocol=row)
    else:
        model.predict_on_batch(np.zeros((VIEWS_AT_ONCE, FRAMES, int(row), int(row), 3), "float32"))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def main(argv):
    del argv
    if _ROW.value:
        print(json.dumps(measure(_ROW.value, _RECORDS.value)))
        return
    with tempfile.TemporaryDirectory() as folder:
        write(pathlib.Path(folder))

        def peak(row):
            command = [sys.executable, __file__, f"--row={row}", f"--records={folder}"]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            return json.loads(done.stdout.splitlines()[-1])

        alone = {}
        print("protocol     size  peak GB  network alone  ratio")
        for protocol, size in list(PROTOCOLS.items())[: 1 if _QUICK.value else None]:
            alone[size] = alone.get(size) or peak(size)
            found = peak(protocol)
            print(f"{protocol:12} {size:4} {found:8.2f} {alone[size]:14.2f} {found / alone[size]:6.2f}", flush=True)
            claim(f"evaluate, {protocol} of {size}, memory", found, alone[size], "network alone", "GB")


if __name__ == "__main__":
    app.run(main)
