"""What an export is made of: the networks of its streams, loaded and checked, and the facts that its card holds."""

import dataclasses
import os
import pathlib

import keras
import tensorflow as tf

from keras_i3d import beforehand, networks, paths, probabilities
from keras_i3d.export import signatures
from keras_i3d.export.card import digest_of_labels, provenance
from keras_i3d.export.version_folder import check_free
from keras_i3d.models.families import FAMILIES
from keras_i3d.optimize import optimize_for_inference
from keras_i3d.specs import BOTH, RecordSpec
from keras_i3d.version import __version__


def asked(weights, output, version, frames, labels, accept_licence, force):
    """Checks what an export is asked for, before anything is loaded or fetched.

    Args:
        weights: {stream: weights, or None}.
        output, version, frames, labels, accept_licence, force: as for `saved_model`.

    Returns:
        ({stream: weights} of those that are given, the output as an absolute pathlib.Path).
    """
    given = {stream: each for stream, each in weights.items() if each is not None}
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
    check_free(output, version, force)
    if frames is not None:
        _check_frames(frames, given, FAMILIES.values())  # before weights are fetched
    beforehand.check(given, labels, accept_licence)
    return given, output


class ExportedNetworks:
    """The streams of an export, loaded, checked and prepared.

    Args:
        given: {stream: weights}.
        labels, precision, frames, flow_quality, attempts, accept_licence, thresholds: as for `saved_model`.
        dtype: of the layers of `models`, as for `optimize_for_inference`.

    Attributes:
        networks: {stream: Network}.
        models: {stream: keras.Model}, for inference alone, float32 (B, T, S, S, C) to logits, (B, classes).
        reference: {stream: Network}, the plain ones in float32.
        precision: what the bodies compute in.
        contract: the signatures.Contract.
    """

    def __init__(
        self,
        given,
        labels,
        precision,
        frames,
        flow_quality,
        attempts,
        accept_licence=None,
        thresholds=None,
        dtype=None,
    ):
        self.given = given
        self.networks = {
            s: networks.load(weights, s, precision, attempts, accept_licence) for s, weights in given.items()
        }
        self.models, self.reference = {}, {}
        for stream, network in self.networks.items():
            network.require_trained()
            network.say_what_is_assumed()
            self.models[stream] = optimize_for_inference(network.to_logits(), dtype)
            self.reference[stream] = network
            if _precision(network.model) != "float32" and not isinstance(given[stream], keras.Model):
                # Below float32 layers compute in less and keep their weights in it: nothing is read again.
                plain = networks.load(network.model, stream, "float32")
                self.reference[stream] = dataclasses.replace(network, model=plain.model)
        self.precision = _precision(next(iter(self.networks.values())).model)
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

    @property
    def tried(self):
        """Frames of the clips that an export is tried on: of one for any number, what its networks usually take."""
        rows = self.contract.families
        usual = (max(row.clips[s].frames, row.min_frames + (s != "rgb")) for s, row in rows.items())
        return self.contract.frames or max(usual)

    def card(self, name, version):
        """Returns what every card says: plain values."""
        contract, spec = self.contract, self.contract.spec
        card = {
            "name": name,
            "version": version,
            "made_by": {"keras_i3d": __version__, "tensorflow": tf.__version__, "keras": keras.__version__},
            "streams": list(contract.streams),
            "classes": len(contract.labels),
            "labels_sha256": digest_of_labels(contract.labels),
            "activation": contract.activation,
            **({} if contract.thresholds is None else {"thresholds": list(contract.thresholds)}),
            "frames": contract.frames,
            "precision": self.precision,
            "networks": {stream: family.name for stream, family in contract.families.items()},
            "clip": {stream: dataclasses.asdict(clip) for stream, clip in contract.clips.items()},
            "weights": {
                s: {**provenance(w, s, self.reference[s].model), "licence": contract.licences[s]}
                for s, w in self.given.items()
            },
        }
        fields = [clip for stream, clip in contract.clips.items() if stream != "rgb"]
        if fields:
            card["flow"] = {
                "trained_on": fields[0].flow_method,
                "records": {"bound": spec.flow_bound, "scheme": spec.flow_scheme},
            }
        return card


def _precision(model):
    """What a model computes its body in; the head may be in float32 all the same."""
    return next(layer for layer in model.layers if layer.weights).compute_dtype


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
