"""An export: its signatures are written to a temporary folder, loaded again, compared, then moved into place."""

import contextlib
import dataclasses
import json
import os
import pathlib
import re
import shutil

import keras
import numpy as np
import tensorflow as tf

from keras_i3d import beforehand, locks, networks, paths, probabilities
from keras_i3d.errors import ExportError, system_error, system_line
from keras_i3d.export import server_files, signatures, warmup
from keras_i3d.export.archive import pack
from keras_i3d.export.card import ALLOWED, clip_shapes, deviation, provenance
from keras_i3d.models.families import FAMILIES
from keras_i3d.optimize import optimize_for_inference
from keras_i3d.progress import Bar
from keras_i3d.specs import BOTH, RecordSpec
from keras_i3d.version import __version__
from keras_i3d.weights import download

EXTRA, CARD = "assets.extra", "keras_i3d.json"
UNFINISHED, REPLACED, LOCK = ".part-", ".replaced-", ".lock"  # TensorFlow Serving reads folders whose name is a number


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
    asked = {"rgb": rgb, "flow": flow, BOTH: both}
    given = {stream: weights for stream, weights in asked.items() if weights is not None}
    if not given:
        raise ValueError("An export needs weights for rgb, flow or both. Received: neither.")
    if BOTH in given and len(given) > 1:
        raise ValueError(f"A network that takes both streams is exported alone. Received: {' and '.join(given)}")
    if isinstance(version, bool) or not isinstance(version, int) or version < 1:
        raise ValueError(f"version must be a whole number from 1. Received: version={version!r}")
    if keras.backend.backend() != "tensorflow":
        raise ValueError(
            "An export is made with Keras on TensorFlow. Received: KERAS_BACKEND="
            f"{keras.backend.backend()}. Unset it for this command."
        )
    output = pathlib.Path(os.path.abspath(paths.expand(output)))  # without "..", which would name the model
    path = output / str(version)
    _check_free(output, version, force)
    if frames is not None:
        _check_frames(frames, given, FAMILIES.values())  # before weights are fetched
    beforehand.check(given, labels, accept_licence)
    with _Steps(progress) as steps:
        steps.begin("weights")
        network = _Network(given, labels, precision, frames, flow_quality, attempts, accept_licence, thresholds)
        with _told(output), _unfinished(output, version, force) as folder:
            card = network.write(folder, output.name, version, steps)
            # All else comes first: once the version is there, the same command is refused.
            with _told(output.parent):
                packed = pack(folder, output.parent / f"{output.name}-{version}.tar.gz") if archive else None
                command = server_files.write(output, network.contract.frames)
    return Export(path, card, command, packed)


class _Network:
    """The streams of an export, loaded, checked and prepared."""

    def __init__(self, given, labels, precision, frames, flow_quality, attempts, accept_licence=None, thresholds=None):
        self.given = given
        self.networks = {
            s: networks.load(weights, s, precision, attempts, accept_licence) for s, weights in given.items()
        }
        self.models, self.reference = {}, {}
        for stream, network in self.networks.items():
            network.require_trained()
            network.say_what_is_assumed()
            self.models[stream] = optimize_for_inference(network.to_logits())
            self.reference[stream] = network
            if _precision(network.model) != "float32" and not isinstance(given[stream], keras.Model):
                # Below float32 layers compute in less and keep their weights in it: nothing is read again.
                plain = networks.load(network.model, stream, "float32")
                self.reference[stream] = dataclasses.replace(network, model=plain.model)
        self.precision = _precision(next(iter(self.models.values())))
        names = networks.label_list(labels, self.networks, attempts)
        clips = {stream: network.clip for stream, network in self.networks.items()}
        first = next(iter(clips.values()))
        for clip in clips.values():
            first.check_same_video(clip)
        if first.crop > first.short_side:
            raise ValueError(
                f"The crop must fit into a frame of its short side. Received: a crop of {first.crop} pixels, a short "
                f"side of {first.short_side}. Train on records of a larger short side."
            )
        for stream in clips:
            if stream != "rgb":
                networks.flow_method("tvl1", clips[stream])
        activation = probabilities.check(networks.activation(self.networks))
        self.contract = signatures.Contract(
            clips,
            tuple(names),
            _record_spec(clips),
            _frames(frames, self.networks),
            flow_quality,
            activation,
            {stream: network.family for stream, network in self.networks.items()},
            {stream: network.facts.licence for stream, network in self.networks.items()},
            networks.thresholds(thresholds, self.networks, names, activation),
        )

    def write(self, folder, name, version, steps):
        """Writes the SavedModel into an empty folder, verifies it, and returns its card."""
        contract = self.contract
        usual = (max(f.clips[s].frames, f.min_frames + (s != "rgb")) for s, f in contract.families.items())
        frames = contract.frames or max(usual)
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
        warmup.write(extra / warmup.FILE, name, inputs)
        card = self._card(name, version, functions)
        card["deviation"] = self._verified(folder, inputs, frames, steps)
        (extra / CARD).write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")
        return card

    def _card(self, name, version, functions):
        contract, spec = self.contract, self.contract.spec
        card = {
            "name": name,
            "version": version,
            "made_by": {"keras_i3d": __version__, "tensorflow": tf.__version__, "keras": keras.__version__},
            "streams": list(contract.streams),
            "classes": len(contract.labels),
            "labels": "assets/labels.txt",
            "activation": contract.activation,
            **({} if contract.thresholds is None else {"thresholds": list(contract.thresholds)}),
            "frames": contract.frames,
            "frames_of_a_request": contract.sent,
            "precision": self.precision,
            "networks": {stream: family.name for stream, family in contract.families.items()},
            "clip": {stream: dataclasses.asdict(clip) for stream, clip in contract.clips.items()},
            "weights": {
                s: {**provenance(w, s, self.reference[s].model), "licence": contract.licences[s]}
                for s, w in self.given.items()
            },
            "signatures": {
                signature: {
                    "inputs": {kind.name: _kind(kind) for kind in signatures.inputs(function)},
                    "outputs": {key: _kind(kind) for key, kind in sorted(function.structured_outputs.items())},
                }
                for signature, function in functions.items()
            },
        }
        fields = [clip for stream, clip in contract.clips.items() if stream != "rgb"]
        if fields:
            card["flow"] = {
                "trained_on": fields[0].flow_method,
                "in_the_graph": f"tvl1, quality {contract.quality}",
                "records": {"bound": spec.flow_bound, "scheme": spec.flow_scheme},
            }
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


def _precision(model):
    """What a model computes its body in; the head may be in float32 all the same."""
    return next(layer for layer in model.layers if layer.weights).compute_dtype


class _Steps:
    """How far an export is; loading and tracing take most of a minute, and say nothing."""

    def __init__(self, shown):
        self.shown, self.bar, self.begun = shown, None, False

    def __enter__(self):
        self.bar = Bar("export", 4, "steps", shown=self.shown)
        return self

    def __exit__(self, kind, *exception):
        if kind is None:
            self.bar.update()  # the last one has ended
            self.bar.describe("export")
        self.bar.close()

    def left(self, number):
        """Says how many signatures there will be to try."""
        self.bar.expect(self.bar.total + number)

    def begin(self, what):
        """Begins a step, which ends the one before."""
        if self.begun:
            self.bar.update()
        self.begun = True
        self.bar.describe(f"export, {what}")


def _frames(wanted, loaded):
    """The frames of a clip, or None for any number; `loaded` is {stream: Network}."""
    whose = ""
    if wanted is None:
        whose = ", the length of the clips that it was trained on"
        trained = {stream: _usual_frames(network) for stream, network in loaded.items()}
        if len(set(trained.values())) > 1:
            raise ValueError(
                f"The streams were trained on clips of several lengths: {trained}. Pass frames= (--frames)."
            )
        wanted = next(iter(trained.values()))
        for network in loaded.values() if len(loaded) == 1 else ():
            # So many frames have a field less: one more, where as many as it takes at least were trained on.
            wanted = max(wanted, network.family.min_frames + (network.stream != "rgb"))
    for network in loaded.values():
        _check_frames(wanted, loaded, [network.family], whose)
    return wanted or None


def _usual_frames(network):
    """The frames of the clips that a network was trained on; where nobody said, those that its family takes."""
    return network.clip.frames or network.family.clips[network.stream].frames


def _check_frames(frames, streams, rows, whose=""):
    """Raises ValueError for clips too short for all of these families."""
    # Flow between frames is one field shorter.
    least = min(family.min_frames for family in rows) + any(stream != "rgb" for stream in streams)
    if frames != 0 and frames < least:
        raise ValueError(
            f"frames must be at least {least} here, or 0 for any number. Received: {frames}{whose}. Pass "
            f"frames={least}, say."
        )


def _record_spec(clips):
    """The RecordSpec by which the flow of records reads that a client sends: that of those it was trained on."""
    clip = next(iter(clips.values()))
    flow = {}
    for fields in (clip for stream, clip in clips.items() if stream != "rgb"):
        names = ("flow_method", "flow_bound", "flow_scheme")
        flow = {name: value for name in names if (value := getattr(fields, name)) is not None}
    return RecordSpec(fps=clip.fps, short_side=clip.short_side, **flow)


def _kind(kind):
    return {"dtype": kind.dtype.name, "shape": list(kind.shape)}


def _check_free(output, version, force):
    """Raises ValueError if the version could not be written in the end, before anything is loaded."""
    if not re.fullmatch(r"[\w.-]+", output.name, re.ASCII):
        raise ValueError(
            "The name of the output folder is that of the model: letters, digits, '_', '-' and '.'. Received: "
            f"{output.name!r}"
        )
    if output.exists() and not output.is_dir():
        raise ValueError(f"The output must be a folder, new or not. Received: {output}, a file.")
    if (output / str(version)).exists() and not force:
        raise ValueError(
            f"{output / str(version)} is there, and a version does not change. Pass the next version, or --force to "
            "replace it."
        )


@contextlib.contextmanager
def _told(folder):
    """Says in a line what the file system or TensorFlow could not do."""
    try:
        yield
    except (OSError, tf.errors.OpError) as error:
        known = system_error(error)
        reason = known and system_line(known)
        if not reason:
            reason = getattr(error, "strerror", None) or getattr(error, "message", None) or str(error)
        raise ExportError(f"Writing or trying the export in {folder} failed: {reason.splitlines()[0]}") from error


@contextlib.contextmanager
def _unfinished(output, version, force):
    """Gives an empty folder to write in; what is in it becomes OUTPUT/VERSION unless an exception ends the block."""
    output.mkdir(parents=True, exist_ok=True)
    with locks.hold(output / LOCK, ExportError(f"Another export writes in {output}. Wait for it.")):
        _clean(output)
        temporary, final = output / f"{UNFINISHED}{version}", output / str(version)
        temporary.mkdir()
        try:
            yield temporary
            _check_free(output, version, force)
            if final.exists():
                final.rename(output / f"{REPLACED}{version}")
            temporary.rename(final)
        finally:
            _clean(output)


def _clean(output):
    """Removes what an export that was stopped left, and puts back a version that it was about to replace."""
    for old in output.glob(f"{REPLACED}*"):
        final = output / old.name.removeprefix(REPLACED)
        if final.exists():
            shutil.rmtree(old)
        else:
            old.rename(final)
    for part in output.glob(f"{UNFINISHED}*"):
        shutil.rmtree(part)
