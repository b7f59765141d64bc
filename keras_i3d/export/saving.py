"""An export: its signatures are written to a temporary folder, loaded again, compared, then moved into place."""

import contextlib
import dataclasses
import json
import pathlib
import shutil

import numpy as np
import tensorflow as tf

from keras_i3d import prediction_logs
from keras_i3d.errors import ExportError
from keras_i3d.export import server_files, signatures, warmup
from keras_i3d.export.archive import pack
from keras_i3d.export.card import ALLOWED, clip_shapes, deviation
from keras_i3d.export.exported_networks import ExportedNetworks, asked
from keras_i3d.export.version_folder import Steps, say_other_formats, told, unfinished
from keras_i3d.specs import BOTH
from keras_i3d.weights import download

EXTRA, CARD = "assets.extra", "keras_i3d.json"


@dataclasses.dataclass(frozen=True)
class Export:
    """What was written.

    Attributes:
        path: the folder of the version.
        card: what its assets.extra/keras_i3d.json holds.
        command: the docker command that serves it.
        archive: the .tar.gz, or None.
    """

    path: pathlib.Path
    card: dict
    command: str
    archive: pathlib.Path | None = None

    def __str__(self):
        card, deviation = self.card, self.card["deviation"]
        frames = f"{card['frames']} frames" if card["frames"] else "any number of frames"
        lines = [
            f"{self.path}: {' + '.join(card['streams'])}, {card['classes']} classes, clips of {frames}, "
            f"{card['precision']}",
            f"  signatures: {', '.join(card['signatures'])}",
            f"  logits differ from the plain float32 model's by {deviation['relative_l2']:.2e} (relative L2, at most); "
            f"the first label is the same for {deviation['top1_agrees']} of {deviation['clips']} clips",
        ]
        if self.archive:
            lines.append(f"  archive: {self.archive}")
        return "\n".join([*lines, "To serve it:", self.command])


def saved_model(
    output,
    version=1,
    rgb=None,
    flow=None,
    *,
    both=None,
    labels=None,
    precision=None,
    frames=None,
    flow_quality="opencv",
    archive=False,
    force=False,
    progress=False,
    attempts=download.ATTEMPTS,
    accept_licence=None,
    thresholds=None,
):
    """Writes OUTPUT/VERSION, a SavedModel as TensorFlow Serving takes it; `export.signatures` says what it answers.

    It needs TensorFlow alone: no Python of this package, no custom operation. It is written to a temporary folder,
    loaded again, compared with the plain model, run on its own warm-up requests, and moved into place as the very last
    step. models.config, batching.config and serve.sh are written next to OUTPUT, unless they are there already.

    Args:
        output: the model's folder; its last part is the name that the server knows it by.
        version: a whole number from 1; a server takes the largest.
        rgb, flow: the weights of one or both streams: what `I3D(weights=)` takes, the folder of a training run, or a
            model of that stream.
        both: weights of a network that takes both in one tensor, which is exported alone.
        labels: as for `classify`; by default the list that belongs to the weights.
        precision: "float32", "bfloat16" or "float16"; by default what the weights were trained in if they say, and
            float32 for all else. Outputs are float32 always.
        frames: that a network sees of a clip; 0 for any number that it takes. By default what the weights were trained
            on if they say, and 64 for all else: a server puts requests into one batch only if their shapes agree. A
            request holds as many frames at the weights' rate as these cover: of every second one, 64 cover 127.
        flow_quality: quality of the flow that the graph computes, as `flow.TVL1` takes it.
        archive: whether to pack it too, next to OUTPUT; see `export.archive`.
        force: whether a version that is there may be replaced.
        progress: whether to show how many of its steps are done.
        attempts: connections to try if weights or labels have to be fetched.
        accept_licence: True, or the name of the weights' licence, if that forbids commerce and you accept it.
        thresholds: of networks that end in a sigmoid, as for `Classifier`; by default what was chosen for the network,
            else 0.5.

    Returns:
        An Export.

    Raises:
        ValueError: a setting out of its range, a version that is there, streams that do not fit each other, or a head
            that was never trained.
        keras_i3d.WeightsError: weights that cannot be fetched, verified or matched.
        ExportError: what was written does not load, or does not answer as the model does.
    """
    given = {"rgb": rgb, "flow": flow, BOTH: both}
    given, output = asked(given, output, version, frames, labels, accept_licence, force)
    say_other_formats(output, version, "saved_model.pb")
    path = output / str(version)
    with Steps(progress, 4) as steps:
        steps.begin("weights")
        network = _SavedModel(given, labels, precision, frames, flow_quality, attempts, accept_licence, thresholds)
        with told(output), unfinished(output, version, force) as folder:
            card = network.write(folder, output.name, version, steps)
            # All else comes first: once the version is there, the same command is refused.
            with told(output.parent):
                packed = pack(folder, output.parent / f"{output.name}-{version}.tar.gz") if archive else None
                command = server_files.write(output, network.contract.frames)
    return Export(path, card, command, packed)


class _SavedModel(ExportedNetworks):
    """Networks that are written as a SavedModel."""

    def write(self, folder, name, version, steps):
        """Writes the SavedModel into an empty folder, verifies it, and returns its card."""
        contract = self.contract
        frames = self.tried
        steps.begin("signatures")
        held, functions = signatures.module(self.models, contract)
        inputs = warmup.requests(functions, contract, frames)
        steps.left(len(inputs))
        with contextlib.ExitStack() as after:
            asset = folder.parent / f"{folder.name}.labels" / "labels.txt"
            after.callback(shutil.rmtree, asset.parent, ignore_errors=True)
            asset.parent.mkdir()
            asset.write_text("".join(f"{label}\n" for label in contract.labels), encoding="utf-8")
            steps.begin("saved_model.pb")
            held.labels = tf.saved_model.Asset(str(asset))
            tf.saved_model.save(held, str(folder), signatures=functions)
        _without_chance(folder / "fingerprint.pb")
        extra = folder / EXTRA
        extra.mkdir()
        warmup.write(extra / prediction_logs.FILE, name, inputs)
        card = self._card(name, version, functions)
        card["deviation"] = self._verified(folder, inputs, frames, steps)
        (extra / CARD).write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")
        return card

    def _card(self, name, version, functions):
        contract = self.contract
        card = self.card(name, version)
        card |= {
            "labels": "assets/labels.txt",
            "frames_of_a_request": contract.sent,
            "signatures": {
                signature: {
                    "inputs": {kind.name: _kind(kind) for kind in signatures.inputs(function)},
                    "outputs": {key: _kind(kind) for key, kind in sorted(function.structured_outputs.items())},
                }
                for signature, function in functions.items()
            },
        }
        if "flow" in card:
            card["flow"]["in_the_graph"] = f"tvl1, quality {contract.quality}"
        return card

    def _verified(self, folder, inputs, frames, steps):
        """Loads what was written, runs its warm-up requests, and returns how far it is from the plain models."""
        loaded = tf.saved_model.load(str(folder))
        for name, tensors in inputs.items():
            steps.begin(f"trying {name}")
            outputs = loaded.signatures[name](**{key: tf.constant(tf.make_ndarray(p)) for key, p in tensors.items()})
            if not np.isfinite(outputs["logits"]).all():
                raise ExportError(f"The signature {name} gives logits that are not finite. Check the weights.")
        steps.begin("comparing")
        serve = loaded.signatures["serving_default"]
        found = deviation(
            self.reference,
            lambda clips: serve(**{stream: tf.constant(clip) for stream, clip in clips.items()}),
            clip_shapes(self.contract.streams, frames, self.contract.crop),
            self.contract.activation,
        )
        allowed = ALLOWED[self.precision]
        if not found["relative_l2"] <= allowed:
            raise ExportError(
                f"The export's logits must be within {allowed:g} of the plain model's (relative L2) in "
                f"{self.precision}. Received: {found['relative_l2']:.3g}. Nothing was put in place."
            )
        if not found["probabilities"] <= allowed:
            raise ExportError(
                f"The export's probabilities must be within {allowed:g} of the plain model's. Received: "
                f"{found['probabilities']:.3g} apart, by {self.contract.activation}. Nothing was put in place."
            )
        return found


def _without_chance(path):
    """Puts a hash of the graph in place of the random number in a fingerprint: the same export has the same bytes."""
    from tensorflow.core.protobuf.fingerprint_pb2 import FingerprintDef

    fingerprint = FingerprintDef.FromString(path.read_bytes())
    if "uuid" not in FingerprintDef.DESCRIPTOR.fields_by_name:
        return  # TensorFlow 2.16 draws no number
    fingerprint.uuid = str(fingerprint.saved_model_checksum)
    path.write_bytes(fingerprint.SerializeToString(deterministic=True))


def _kind(kind):
    return {"dtype": kind.dtype.name, "shape": list(kind.shape)}
