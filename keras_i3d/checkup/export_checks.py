"""Checks of an export: its versions, its card and labels, whether its files belong together, and what it answers."""

import json
import os
import pathlib

import numpy as np
import tensorflow as tf

from keras_i3d import prediction_logs
from keras_i3d.checkup.findings import fault, fine, look, note, some, warning
from keras_i3d.errors import tensorflow_message
from keras_i3d.export import runtime_files, saving
from keras_i3d.export.card import digest_of_labels
from keras_i3d.export.runtime_files import FORMATS
from keras_i3d.export.version_folder import REPLACED, UNFINISHED
from keras_i3d.facts import SOFTMAX
from keras_i3d.records import framing

GRAPH, FINGERPRINT, LABELS = "saved_model.pb", "fingerprint.pb", "assets/labels.txt"
OFF = 1e-2  # that probabilities may be off from a sum of 1, in bfloat16
AGAIN = "keras-i3d export --force makes the version again"


def is_version(place):
    """Whether a folder is a version of an export: a SavedModel, or a file of another runtime."""
    names = (GRAPH, *(each.file for each in FORMATS.values()))
    return any(os.path.isfile(os.path.join(place, name)) for name in names)


def versions_of(place):
    """Returns the folders of an export's versions, the last one first; [place] for one of them; [] for no export."""
    if is_version(place):
        return [pathlib.Path(place)]
    numbered = [path for path in pathlib.Path(place).iterdir() if path.name.isdecimal() and path.is_dir()]
    return sorted(filter(is_version, numbered), key=lambda path: -int(path.name))


def examine(place):
    """Yields the Findings about an export, of its last version what it answers too."""
    found = versions_of(place)
    yield from look(place, (folders,), pathlib.Path(place), found)
    for path in found[:1]:
        if (path / GRAPH).is_file():
            yield from look(path, CHECKS, path)
        else:
            name = next(name for name, each in FORMATS.items() if (path / each.file).is_file())
            yield from look(path, (lambda path, name=name: [_other(name)], labels), path)


def _other(name):
    return note(
        "export.format",
        f"a file of {name}, which is not looked into, but for its labels",
        "",
        "keras-i3d export compares it with its network when it writes it",
    )


def folders(place, found):
    """Versions that are there, and those that were never finished."""
    left = [path.name for path in place.iterdir() if path.name.startswith((UNFINISHED, REPLACED))]
    yield fine("export.versions", f"versions: {', '.join(path.name for path in found)}; {found[0].name} is looked at")
    if left:
        yield note(
            "export.unfinished",
            f"an export that was stopped left {', '.join(left)}",
            "it only takes room: no server reads it",
            "the next export into this folder removes it",
        )


def _card(path):
    """What the card of a version holds; {} without one."""
    places = (path / saving.EXTRA / saving.CARD, path / runtime_files.CARD)
    file = next(filter(pathlib.Path.is_file, places), None)
    return {} if file is None else json.loads(file.read_text(encoding="utf-8"))


def _labels(path):
    """(the names in the file of labels of a version, or None without one; the file's path in the version)."""
    place = LABELS if (path / GRAPH).is_file() else runtime_files.LABELS
    if not (path / place).is_file():
        return None, place
    return (path / place).read_text(encoding="utf-8-sig").removesuffix("\n").split("\n"), place


def card(path):
    """What its card says, and by which TensorFlow it was written."""
    file = path / saving.EXTRA / saving.CARD
    if not file.is_file():
        yield warning(
            "export.card",
            f"no card, {saving.EXTRA}/{saving.CARD}",
            "what clips it takes and what it was made of is not known",
            AGAIN,
        )
        return
    try:
        about = _card(path)
        streams = " and ".join(about["streams"])
        made = about["made_by"]
        words = f"{streams}, {about['classes']} classes, {about['precision']}, by TensorFlow {made['tensorflow']}"
    except (ValueError, KeyError, TypeError) as error:
        yield fault("export.card", f"its card cannot be read ({error})", "clients read it", AGAIN)
        return
    yield fine("export.card", words)
    if _numbers(made["tensorflow"]) > _numbers(tf.__version__):
        yield note(
            "export.tensorflow",
            f"written by TensorFlow {made['tensorflow']}, and {tf.__version__} is here",
            "an older TensorFlow may lack an operation of its graph",
            f"serve it by TensorFlow {made['tensorflow']} or newer",
        )


def _numbers(version):
    return tuple(int(part) for part in version.split(".")[:2] if part.isdecimal())


def labels(path):
    """Whether its labels are there, as many as its classes, and in the order in which they were written."""
    names, place = _labels(path)
    if names is None:
        yield fault("export.labels", f"no {place}", "its answers name no class, or it does not load", AGAIN)
        return
    about = _card(path)
    count, digest = about.get("classes", len(names)), about.get("labels_sha256")
    while len(names) > count and not names[-1]:  # empty lines at its end, as of an editor
        names.pop()
    if len(names) != count:
        yield fault(
            "export.labels",
            f"{len(names)} labels for {count} classes",
            "names and classes do not belong together",
            AGAIN,
        )
    elif digest is None and (path / GRAPH).is_file():
        return  # once it is loaded, its graph says
    elif digest is None:
        yield _order_not_known(names)
    elif digest_of_labels(names) != digest:
        yield _other_labels(place, "what was written (its hash differs from the card)")
    else:
        yield fine("export.labels", f"{len(names)} labels, as they were written: {some(names)}")


def _order_not_known(names):
    return note(
        "export.labels",
        f"{len(names)} labels: {some(names)}; no card says by a hash what they were",
        "so whether somebody put them into another order since is not known from the files",
        f"nothing, or {AGAIN}, with that hash",
    )


def _other_labels(place, than):
    return fault(
        "export.labels",
        f"{place} is not {than}",
        "whoever reads it gives classes wrong names, in another order say",
        f"put the file back as it was; or {AGAIN}",
    )


def _against_graph(path, loaded):
    """Yields what the graph, which names its classes itself, says of labels that no card has a hash of."""
    names, place = _labels(path)
    if names is None or "labels_sha256" in _card(path):
        return
    if "facts" not in loaded.signatures:
        yield _order_not_known(names)
        return
    answer = loaded.signatures["facts"](about=tf.constant([""]))["facts"].numpy()[0]
    known = json.loads(answer)["labels"]
    if names[: len(known)] != known or any(names[len(known) :]):
        yield _other_labels(place, "the list that its graph answers by")
    else:
        yield fine("export.labels", f"{len(known)} labels, as its graph answers by them: {some(known)}")


def fingerprint(path):
    """Whether the graph and the variables are those that were written together."""
    if not (path / FINGERPRINT).is_file():
        yield note("export.fingerprint", f"no {FINGERPRINT}", "whether its files belong together is not known")
        return
    from tensorflow.core.protobuf.fingerprint_pb2 import FingerprintDef
    from tensorflow.python.saved_model.pywrap_saved_model import fingerprinting

    written = FingerprintDef.FromString((path / FINGERPRINT).read_bytes())
    now = FingerprintDef.FromString(fingerprinting.CreateFingerprintDef(str(path)))
    remedy = f"copy the whole folder from one export; or {AGAIN}"
    if now.checkpoint_hash != written.checkpoint_hash:
        yield fault(
            "export.variables",
            "variables/ is not what was written with this graph (its hash differs from fingerprint.pb)",
            "it answers by weights of another network, if it loads at all",
            remedy,
        )
    if now.saved_model_checksum != written.saved_model_checksum:
        yield fault(
            "export.graph",
            f"{GRAPH} is not what was written (its hash differs from fingerprint.pb)",
            "it was replaced or damaged",
            remedy,
        )
    if (now.checkpoint_hash, now.saved_model_checksum) == (written.checkpoint_hash, written.saved_model_checksum):
        yield fine("export.variables", "its graph and its variables were written together")


def answers(path):
    """Whether it loads, and answers its own warm-up requests."""
    try:
        loaded = tf.saved_model.load(str(path))
    except (OSError, ValueError, KeyError, tf.errors.OpError) as error:
        said = tensorflow_message(error) if isinstance(error, tf.errors.OpError) else str(error).splitlines()[0]
        yield fault(
            "export.loads", f"TensorFlow {tf.__version__} cannot load it: {said}", "no server can either", AGAIN
        )
        return
    yield from _against_graph(path, loaded)
    file = path / saving.EXTRA / prediction_logs.FILE
    if not file.is_file():
        yield note("export.answers", "it loads; it has no warm-up requests to try", "", AGAIN)
        return
    tried = []
    for raw in framing.dataset(str(file)).as_numpy_iterator():
        signature, tensors = prediction_logs.decode(raw)
        inputs = {name: tf.constant(_array(value)) for name, value in tensors.items()}
        outputs = loaded.signatures[signature](**inputs)
        numbers = {name: np.asarray(value) for name, value in outputs.items() if value.dtype.is_floating}
        if not all(np.isfinite(value).all() for value in numbers.values()):
            yield fault(
                "export.answers",
                f"{signature} answers with NaN or infinity",
                "its weights are damaged, or its precision is too small for them",
                f"--weights=RUN tells which; then {AGAIN}",
            )
            return
        tried.append((signature, numbers.get("probabilities")))
    activation = _card(path).get("activation")
    off = [
        signature
        for signature, shares in tried
        if activation == SOFTMAX and shares is not None and abs(shares.sum(-1) - 1).max() > OFF
    ]
    if off:
        yield fault(
            "export.answers",
            f"probabilities of {some(off)} do not sum to 1",
            "its graph is not what its card says",
            AGAIN,
        )
    else:
        yield fine("export.answers", f"it loads, and answers {', '.join(signature for signature, _ in tried)}")


def _array(value):
    proto = tf.make_tensor_proto(0)
    proto.ParseFromString(value)
    return tf.make_ndarray(proto)


CHECKS = (card, labels, fingerprint, answers)
