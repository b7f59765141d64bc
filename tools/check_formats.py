"""Exports each network of the family in each format, narrow and with drawn weights, and prints a table: what works.

  pip install '.[openvino,onnx,litert]'
  python tools/check_formats.py [--networks=NAME,NAME] [--formats=openvino,onnx,litert] [--precision=bfloat16]
      [--depth_multiplier=1 --frames=16 --size=224] [--page=docs/serving.md] [--missing]

A row has, for each format, the relative L2 of the logits from the plain float32 model's, as its runtime gives them in a
process of its own, or why there is no file. Full-sized networks have the same layers; narrow ones take seconds.

--page=FILE puts each row into the table of a page, between its comments, as soon as it is there; --missing leaves out
the networks that have a row there. Rows by other versions of the runtimes are taken out of it.
"""

import math
import os
import pathlib
import re
import tempfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from absl import app, flags  # noqa: E402

FORMATS = ("openvino", "onnx", "litert")
DISTRIBUTIONS = {"openvino": ("OpenVINO", "openvino"), "onnx": ("onnxruntime",) * 2, "litert": ("ai-edge-litert",) * 2}
BEGIN, END = "<!-- formats -->", "<!-- end of formats -->"

_NETWORKS = flags.DEFINE_list("networks", [], "Rows of the family; by default all.")
_FORMATS = flags.DEFINE_list("formats", list(FORMATS), "Which formats.")
_PRECISION = flags.DEFINE_enum("precision", None, ["float32", "bfloat16"], "Of the file; by default float32.")
_WIDTH = flags.DEFINE_float("depth_multiplier", 0.125, "How wide the networks are.", 0.01)
_FRAMES = flags.DEFINE_integer("frames", 10, "Of a clip; more where a network takes no fewer.", 1)
_SIZE = flags.DEFINE_integer("size", 48, "Pixels of height and width; more where a network takes no fewer.", 1)
_PAGE = flags.DEFINE_string("page", None, "A page whose table takes the rows; by default none.")
_MISSING = flags.DEFINE_bool("missing", False, "Leaves out what the page has a row of.")

CLASSES = 5
SEEDS = 4  # of clips whose statistics the batch norms have, those that a file is tried on among them
SMALL = 1e-2  # that a variance is at least: what is always 0 stays so


def drawn(row, width, frames, size):
    """Returns a network of a row whose every layer matters to its logits, and its stream.

    Weights are random; the statistics of each batch norm are those of a few clips. So values stay of order 1 to the
    last layer, as they do in a trained network. Where they grow from block to block, the scores of a non-local block
    become so large that its softmax has no digits in float32, and its products overflow.
    """
    import keras
    import numpy as np

    from keras_i3d.specs import INPUT_CHANNELS

    stream = next(iter(row.clips))
    frames = max(row.min_frames + (stream != "rgb"), frames)
    shape = (frames, *(max(row.min_size, size),) * 2, INPUT_CHANNELS[stream])
    keras.utils.set_random_seed(0)
    model = row.build(input_shape=shape, classes=CLASSES, depth_multiplier=width)
    draw = np.random.default_rng(0)
    for weight in model.weights:
        kernel_shape, kind = tuple(weight.shape), weight.name
        if kind in ("gamma", "moving_variance"):
            # A residual or a non-local block begins by adding nothing. If it outweighed what it is added to, a block
            # that multiplies three times the same would treble what rounding leaves, and a hundred layers add to that.
            scale = 1 if np.any(weight) else 0.2
            weight.assign(scale * draw.uniform(0.5, 1.5, kernel_shape))
        elif len(kernel_shape) < 2:
            weight.assign(draw.normal(0, 0.1, kernel_shape))
        elif kind == "kernel":
            # What a softmax compares is kept small: it makes a digit of an answer of one of a large score.
            scale = 0.1 if any(part in weight.path for part in ("_theta_", "_phi_")) else 1
            weight.assign(draw.normal(0, scale * math.sqrt(2 / math.prod(kernel_shape[:-1])), kernel_shape))
    _settle(model, row.clips[stream], shape)
    return model, stream, frames


def _settle(model, spec, shape):
    """Gives each batch norm the mean square of what it sees of a few clips as its variance.

    That is not the variance: what a non-local block adds is nearly the same everywhere, and divided by its deviation
    it would be what rounding leaves of it.
    """
    import keras
    import numpy as np

    from keras_i3d.export import card

    def settled(layer, call):
        def settling(x, **settings):
            found = np.asarray(x, np.float64)
            layer.moving_variance.assign(np.square(found).mean(axis=tuple(range(found.ndim - 1))) + SMALL)
            return call(x, **settings)

        return settling

    norms = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    for layer in norms:
        layer.call = settled(layer, layer.call)
    model(np.stack([card.spread(card.clip(shape, seed), spec) for seed in range(SEEDS)]), training=False)
    for layer in norms:
        del layer.call


def check(row, form, width, precision=None, frames=10, size=48):
    """Returns a cell of the table: the relative L2, or the line that says why there is none."""
    from keras_i3d import errors, export

    model, stream, frames = drawn(row, width, frames, size)
    with tempfile.TemporaryDirectory() as folder:
        settings = {stream: model, "labels": "none", "frames": frames, "precision": precision}
        try:
            made = export.runtime_file(pathlib.Path(folder) / "network", form, **settings)
        except (ValueError, errors.KerasI3DError) as error:
            return str(error)
    found = made.card["deviation"]
    agree = "" if found["top1_agrees"] == found["clips"] else f", first labels {found['top1_agrees']}/{found['clips']}"
    return f"{found['relative_l2']:.0e}{agree}"


def title(name, width, precision, frames, size):
    """Returns what a row is called: a network, and what is not as it is by default."""
    usual = {flag.name: flag.default for flag in (_WIDTH, _FRAMES, _SIZE)}
    parts = [] if width == usual["depth_multiplier"] else ["full width" if width == 1 else f"width {width:g}"]
    if (frames, size) != (usual["frames"], usual["size"]):
        parts.append(f"{frames} frames of {size} x {size}")
    return ", ".join([name, *parts, *([precision] if precision else [])])


def header(forms):
    """Returns the first two lines of the table, with the version of each runtime."""
    import importlib.metadata

    named = (DISTRIBUTIONS[form] for form in forms)
    columns = (f"{shown} {importlib.metadata.version(distribution)}" for shown, distribution in named)
    return f"| network | {' | '.join(columns)} |\n|---|{'---|' * len(forms)}"


def rows_of(text, head):
    """Returns {title: its line} of the table of a page; none of a table with another header."""
    table = re.search(rf"{BEGIN}\n(.*?){END}", text, re.DOTALL)[1]
    if not table.startswith(head):
        return {}
    return {line.split("|")[1].strip(): line for line in table.removeprefix(head).splitlines() if line}


def put(path, head, name, line):
    """Puts a row into the table of a page, in the family's order."""
    from keras_i3d import atomic, locks
    from keras_i3d.models import families

    places = {name: place for place, name in enumerate(families.FAMILIES)}
    lock = pathlib.Path(tempfile.gettempdir()) / "check_formats.lock"
    with locks.hold(lock, waiting=f"waiting for another process at {path}"):
        text = path.read_text(encoding="utf-8")
        rows = {**rows_of(text, head), name: line}
        # What is named with settings of its own comes last.
        order = sorted(rows, key=lambda title: (title not in places, places.get(title.partition(",")[0]), title))
        table = "\n".join([BEGIN, head, *(rows[title] for title in order), END])
        atomic.write_text(path, re.sub(rf"{BEGIN}.*?{END}", lambda _: table, text, flags=re.DOTALL))


def main(argv):
    del argv
    from keras_i3d.models import families

    forms, page = _FORMATS.value, _PAGE.value and pathlib.Path(_PAGE.value)
    if (page or _MISSING.value) and (not page or tuple(forms) != FORMATS):
        raise app.UsageError("--page takes rows of all formats, and --missing takes --page.")
    head = header(forms)
    print(head)
    settings = _WIDTH.value, _PRECISION.value, _FRAMES.value, _SIZE.value
    for name in _NETWORKS.value or families.FAMILIES:
        called = title(name, *settings)
        if _MISSING.value and called in rows_of(page.read_text(encoding="utf-8"), head):
            continue
        cells = (check(families.find(name), form, *settings) for form in forms)
        line = f"| {called} | {' | '.join(cells)} |"
        print(line, flush=True)
        if page:
            put(page, head, called, line)


if __name__ == "__main__":
    app.run(main)
