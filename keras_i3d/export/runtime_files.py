"""Trained networks as a file of another runtime: OpenVINO, ONNX or LiteRT, verified there, then moved into place."""

import dataclasses
import json
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import tensorflow as tf

from keras_i3d.errors import ExportError, is_installed, missing_package, notice, one_line
from keras_i3d.export import format_reader
from keras_i3d.export.card import CLIPS, clip, clip_shapes, deviation, spread
from keras_i3d.export.exported_networks import ExportedNetworks, asked
from keras_i3d.export.planar import planar, sized
from keras_i3d.export.version_folder import Steps, say_other_formats, told, unfinished
from keras_i3d.specs import BOTH, INPUT_CHANNELS
from keras_i3d.weights import download

ALLOWED = {"float32": 1e-4, "bfloat16": 0.1}  # relative L2 of logits from the plain model's
OPSET = 17  # of ONNX, from 2022
CARD, LABELS = "keras_i3d.json", "labels.txt"


@dataclasses.dataclass(frozen=True)
class _Format:
    """A kind of file.

    Attributes:
        file: its name.
        packages: {module: what has to be there to write and to try it}.
        precisions: that it may hold a network in.
        any_frames: whether clips may have any number of frames.
    """

    file: str
    packages: tuple
    precisions: tuple = ("float32",)
    any_frames: bool = True


FORMATS = {
    "openvino": _Format("model.xml", ("openvino",), ("float32", "bfloat16")),
    "onnx": _Format("model.onnx", ("onnx", "tf2onnx", "onnxruntime")),
    "litert": _Format("model.tflite", ("ai_edge_litert",), any_frames=False),
}


@dataclasses.dataclass(frozen=True)
class RuntimeExport:
    """What was written.

    Attributes:
        path: the folder of the version.
        card: what its keras_i3d.json holds.
    """

    path: pathlib.Path
    card: dict

    def __str__(self):
        card, found = self.card, self.card["deviation"]
        frames = f"{card['frames']} frames" if card["frames"] else "any number of frames"
        inputs = ", ".join(f"{name} {_shown(kind['shape'])}" for name, kind in card["inputs"].items())
        return "\n".join(
            [
                f"{self.path / card['file']}: {' + '.join(card['streams'])}, {card['classes']} classes, clips of "
                f"{frames}, {card['precision']}",
                f"  takes float32 {inputs}; gives logits and probabilities",
                f"  {card['verified_by']} gives logits that differ from the plain float32 model's by "
                f"{found['relative_l2']:.2e} (relative L2, at most) and probabilities by {found['probabilities']:.1e}; "
                f"the first label is the same for {found['top1_agrees']} of {found['clips']} clips",
                *(f"  {line}" for line in card["notes"]),
            ]
        )


def runtime_file(
    output,
    format,
    version=1,
    rgb=None,
    flow=None,
    *,
    both=None,
    labels=None,
    precision=None,
    frames=None,
    force=False,
    progress=False,
    attempts=download.ATTEMPTS,
    accept_licence=None,
    thresholds=None,
):
    """Writes OUTPUT/VERSION with a file that another runtime reads: neither Keras nor TensorFlow is needed there.

    Its inputs are clips as `serving_default` of a SavedModel takes them, named after their streams: float32 (B, T, S,
    S, C), scaled as the card says. Its outputs are `logits` and `probabilities`, float32 (B, classes). Next to it are
    labels.txt and the card, keras_i3d.json, with the same facts as that of a SavedModel.

    It is written to a temporary folder, read by its runtime in a process that imports neither Keras nor TensorFlow,
    compared there with the plain float32 model on seeded clips, and moved into place as the very last step.

    Args:
        output: the model's folder; OUTPUT/VERSION is the layout that OpenVINO Model Server and Triton read too.
        format: "openvino" writes model.xml and model.bin, "onnx" model.onnx, "litert" model.tflite. LiteRT has no
            max pool over three axes, so pools and convolutions are rewritten there, exactly, into such over two, and a
            batch has one clip. A network with an LSTM is in the file step by step: clips of a fixed number of frames,
            one a batch.
        version, rgb, flow, both, labels, force, progress, attempts, accept_licence, thresholds: as for `saved_model`.
        precision: "float32", or for OpenVINO "bfloat16": the graph that is fast in it, with weights in float32, which
            OpenVINO rounds itself where it is told the precision. By default what the weights were trained in; ONNX and
            LiteRT are always in float32.
        frames: of a clip, as for `saved_model`; LiteRT takes a fixed number.

    Returns:
        A RuntimeExport; `print` it.

    Raises:
        ValueError: as of `saved_model`; a precision or a number of frames that the format does not have.
        ImportError: a package of the format is not installed; the message has the install line.
        keras_i3d.WeightsError: weights that cannot be fetched, verified or matched.
        ExportError: what was written cannot be converted, or does not answer as the model does.
    """
    form = _checked(format, precision, frames)
    given, output = asked(
        {"rgb": rgb, "flow": flow, BOTH: both}, output, version, frames, labels, accept_licence, force
    )
    say_other_formats(output, version, form.file)
    if form.precisions == ("float32",):
        precision = "float32"
    with Steps(progress, 3) as steps:
        steps.begin("weights")
        settings = given, labels, precision, frames, "opencv", attempts, accept_licence, thresholds
        exporting = ExportedNetworks(*settings, dtype="float32")
        _check_loaded(format, form, exporting)
        with told(output), unfinished(output, version, force) as folder:
            steps.begin(form.file)
            inputs = _write(format, folder / form.file, exporting)
            (folder / LABELS).write_text("".join(f"{label}\n" for label in exporting.contract.labels), encoding="utf-8")
            steps.begin("comparing")
            card = _card(format, exporting, output.name, version, inputs)
            card["verified_by"], card["deviation"] = _verified(format, folder / form.file, exporting, inputs)
            (folder / CARD).write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")
    return RuntimeExport(output / str(version), card)


def _shown(shape):
    """A shape in words, B for the batch and T for the frames where these are any."""
    return "(" + ", ".join(str(size or name) for size, name in zip(shape, "BTHWC")) + ")"


def _checked(format, precision, frames):
    """The _Format of a name; raises what can be said before any work."""
    if format not in FORMATS:
        raise ValueError(f"format must be one of {', '.join(map(repr, FORMATS))}. Received: format={format!r}")
    form = FORMATS[format]
    if precision not in (None, *form.precisions):
        raise ValueError(f"A file of {format} is in {' or '.join(form.precisions)}. Received: precision={precision!r}")
    if frames == 0 and not form.any_frames:
        raise ValueError(f"A file of {format} takes clips of a fixed number of frames. Received: frames=0")
    for module in form.packages:
        if not is_installed(module):
            raise missing_package(module, f"'keras-i3d[{format}]'", f"format={format!r}")
    return form


def _check_loaded(format, form, exporting):
    if exporting.precision not in form.precisions:
        raise ValueError(
            f"A file of {format} is in {' or '.join(form.precisions)}. Received: weights in {exporting.precision}. "
            'Pass precision="float32".'
        )
    fixed = not form.any_frames or _steps_on(exporting)
    if exporting.contract.frames is None and fixed:
        raise ValueError(f"A file of {format} takes clips of a fixed number of frames here. Pass frames=.")
    for network in exporting.networks.values():
        trained = network.facts.precision
        if trained and exporting.precision not in trained:
            notice(f"{network.origin} was trained in {trained}; the file is in {exporting.precision}")


def _write(format, path, exporting):
    """Writes the file; returns {input: shape}, None for what is any."""
    contract = exporting.contract
    batch = 1 if format == "litert" or _steps_on(exporting) else None
    sizes = (contract.frames, contract.crop, contract.crop)
    shapes = {stream: (batch, *sizes, INPUT_CHANNELS[stream]) for stream in contract.streams}
    models = exporting.models
    if format == "litert":
        models = {stream: planar(model, shapes[stream]) for stream, model in models.items()}
    elif format == "onnx":
        models = {stream: sized(model, shapes[stream]) for stream, model in models.items()}
    for layer in (layer for model in models.values() for layer in model.layers if hasattr(layer, "unrolled")):
        layer.unrolled = True  # OpenVINO and ONNX take no loop of TensorFlow's

    def answer(*clips):
        logits = sum(model(x, training=False) for model, x in zip(models.values(), clips))
        return {"logits": logits, "probabilities": getattr(tf.nn, contract.activation)(logits)}

    kinds = [tf.TensorSpec(shape, tf.float32, stream) for stream, shape in shapes.items()]
    function = tf.function(answer, autograph=False, input_signature=kinds)
    try:
        {"openvino": _openvino, "onnx": _onnx, "litert": _litert}[format](function, kinds, path, models)
    except (OSError, MemoryError):
        raise
    except Exception as error:  # each converter has its own
        names = ", ".join(row.name for row in contract.families.values())
        raise ExportError(f"{names} cannot be converted to {format}: {one_line(error)}") from error
    return shapes


def _steps_on(exporting):
    """Whether a network goes through a clip step by step, each of which is in the file."""
    return any(row.answer == "last" for row in exporting.contract.families.values())


def _openvino(function, kinds, path, models):
    import openvino

    graph = openvino.convert_model(function.get_concrete_function())
    for tensor, kind in zip(graph.inputs, kinds):
        tensor.get_node().set_friendly_name(kind.name)
        tensor.tensor.set_names({kind.name})
    for tensor, name in zip(graph.outputs, ("logits", "probabilities")):
        tensor.tensor.set_names({name})
    openvino.save_model(graph, path, compress_to_fp16=False)


def _onnx(function, kinds, path, models):
    import onnx
    import tf2onnx

    made, _ = tf2onnx.convert.from_function(function, input_signature=kinds, opset=OPSET)
    onnx.checker.check_model(made)
    onnx.save(made, path)


def _litert(function, kinds, path, models):
    held = tf.Module()
    held.weights = [variable.value for model in models.values() for variable in model.variables]
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function.get_concrete_function()], held)
    path.write_bytes(converter.convert())


def _card(format, exporting, name, version, inputs):
    classes = len(exporting.contract.labels)
    outputs = {"dtype": "float32", "shape": [next(iter(inputs.values()))[0], classes]}
    notes = {
        "openvino": [
            f"compile it with INFERENCE_PRECISION_HINT={'bf16' if exporting.precision == 'bfloat16' else 'f32'}: what "
            "OpenVINO takes by itself depends on the processor"
        ],
        "onnx": [],
        "litert": ["convolutions and pools over three axes are rewritten into such over two, exactly"],
    }
    return exporting.card(name, version) | {
        "format": format,
        "file": FORMATS[format].file,
        "labels": LABELS,
        "inputs": {stream: {"dtype": "float32", "shape": list(shape)} for stream, shape in inputs.items()},
        "outputs": {"logits": outputs, "probabilities": outputs},
        "notes": notes[format],
    }


def _verified(format, path, exporting, inputs):
    """(name and version of the runtime, the deviation); raises ExportError if its answers are others."""
    contract, reference = exporting.contract, exporting.reference
    shapes = clip_shapes(contract.streams, exporting.tried, contract.crop)
    clips = [
        {stream: spread(clip(shape, seed), reference[stream].clip)[None] for stream, shape in shapes.items()}
        for seed in range(CLIPS)
    ]
    if next(iter(inputs.values()))[0] is None:  # a batch of them all
        clips = [{stream: np.concatenate([each[stream] for each in clips]) for stream in shapes}]
    runtime, answers = answers_of(format, path, clips, exporting.precision)
    answers = ({name: x[i : i + 1] for name, x in each.items()} for each in answers for i in range(len(each["logits"])))
    found = deviation(reference, lambda _: next(answers), shapes, contract.activation)
    allowed = ALLOWED[exporting.precision]
    for what in ("relative_l2", "probabilities"):
        if not found[what] <= allowed:
            raise ExportError(
                f"The answers of {runtime} must be within {allowed:g} of the plain model's in {exporting.precision}. "
                f"Received: {what} {found[what]:.3g}. Nothing was put in place."
            )
    return runtime, found


def answers_of(format, path, clips, precision="float32"):
    """Reads a file by its runtime, in a process that has neither Keras nor TensorFlow.

    Args:
        format: one of FORMATS.
        path: the file.
        clips: a list of {stream: float32 (B, T, S, S, C)}.
        precision: what OpenVINO is told to compute in.

    Returns:
        (name and version of the runtime, a list of {"logits", "probabilities"}, float32 (B, classes) each).

    Raises:
        ExportError: the runtime fails; the message has its last line.
    """
    source = pathlib.Path(format_reader.__file__).read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as folder:
        asked_for, told_of = (pathlib.Path(folder) / name for name in ("clips.npz", "answers.npz"))
        np.savez(asked_for, **{f"{i}/{stream}": x for i, each in enumerate(clips) for stream, x in each.items()})
        words = [sys.executable, "-c", source, format, str(path.resolve()), precision, str(asked_for), str(told_of)]
        process = subprocess.run(words, cwd=folder, capture_output=True, text=True, encoding="utf-8", check=False)
        if process.returncode:
            lines = process.stderr.strip().splitlines() or [f"it ended with {process.returncode}"]
            raise ExportError(f"{path.name} cannot be run by its runtime: {lines[-1]}")
        with np.load(told_of) as held:
            answers = [{name: held[f"{i}/{name}"] for name in ("logits", "probabilities")} for i in range(len(clips))]
    return json.loads(process.stdout.splitlines()[-1]), answers
