"""Weights by name or path: fetched and converted once, verified at every use, loaded by layer name."""

import contextlib
import dataclasses
import json
import os
import pathlib
import shutil
import tarfile
import zipfile
from collections.abc import Callable

import h5py
import numpy as np

from keras_i3d import conversion, download, paths, registry
from keras_i3d import facts as facts_lib
from keras_i3d.facts import Facts
from keras_i3d.messages import WeightsError, notice, one_line
from keras_i3d.models.inception import HEAD, LAYERS, depth_multiplier_of, inception_i3d
from keras_i3d.specs import CHANNELS
from keras_i3d.version import __version__

FORMAT = 1  # part of every cached file's name: a change in layout starts a new cache
HDF5_OVERHEAD = 2 << 20  # bytes of groups and names in a file of 115 layers, and some to spare
FIRST_LAYER = f"{LAYERS[0][0]}_conv_3d"
FACTS = "keras_i3d.json"  # a member of the .keras files of the package's first runs, with what they say of themselves


@dataclasses.dataclass(frozen=True)
class Source:
    """Where a model's weights come from, known before they are read.

    Attributes:
        name: what to call it in messages.
        facts: what is known of the network that they are of, the classes of its head always.
        read: returns {layer name: arrays}.
    """

    name: str
    facts: Facts
    read: Callable


def find(weights, stream=None, attempts=download.ATTEMPTS):
    """Returns the Source that `weights=` names: a registry name or a path. Nothing is downloaded yet.

    Args:
        weights: the name or the path.
        stream: "rgb" or "flow"; None takes a file's own, which a name does not have.
        attempts: connections to try, when it is read.

    Raises:
        ValueError: neither a published name nor an existing path.
        WeightsError: a file that is no weights file.
    """
    if not registry.is_name(weights):
        return _from_path(weights, stream)
    if stream is None:
        raise ValueError(f'Published weights belong to "rgb" or "flow". Received: {weights!r} without a stream')
    if weights == "imagenet":
        return Source("imagenet", Facts(stream), lambda: read_h5(_imagenet(stream, attempts)))
    entry = registry.find(weights, stream)
    return Source(entry.name, published_facts(entry), lambda: read_h5(published(entry, attempts)))


def published_facts(entry):
    """Returns the Facts of a published Checkpoint."""
    return Facts(
        stream=entry.stream,
        classes=entry.classes,
        labels=entry.labels,
        activation=facts_lib.SOFTMAX,
        depth_multiplier=1.0,
        clip=entry.clip,
        source=f'published weights "{entry.weights}"',
    )


def load(model, source):
    """Gives a model the weights of a Source, by layer name, and notes in it what is known of them.

    A head for another number of classes than the source's stays as it was drawn, and a line says so; nothing is noted
    then, for what such a model is trained on is still to come.

    Raises:
        WeightsError: a layer without its counterpart, or another stream's weights; the model is untouched.
    """
    weights = source.read()
    shapes = conversion.layer_shapes(model)
    for name in (n for n in weights if n.endswith(FIRST_LAYER)):
        _check_stream(np.shape(weights[name][0])[3], shapes.get(name, [(None,) * 5])[0][3], source.name)
    heads = {name for name in {**shapes, **weights} if name.rpartition("/")[2] == HEAD}
    fresh = {n for n in heads & set(shapes) if n not in weights or np.shape(weights[n][0]) != shapes[n][0]}
    conversion.assign(model, weights, source.name, skip=fresh | (heads - set(shapes)))
    if fresh:
        classes = shapes[min(fresh)][0][-1]
        had = f" instead of {source.facts.classes}" if source.facts.classes else ""
        notice(f"{source.name}: body loaded; the head for {classes} classes{had} is new and must be trained")
    elif hasattr(model.input, "shape"):  # one stream
        headless = {} if HEAD in shapes else {"classes": None, "labels": None, "activation": None}
        facts_lib.note(model, dataclasses.replace(source.facts, **headless))


def published(entry, attempts=download.ATTEMPTS):
    """Returns the path of a published Checkpoint as a verified `.weights.h5`, fetching it at first use."""

    def make(path):
        folder = path.parent / "downloads"
        index = download.fetch(entry.index, folder, attempts)
        download.fetch(entry.data, folder, attempts)
        read_labels(entry.labels, attempts)
        weights = conversion.read_sonnet(str(index.with_suffix("")))
        model = inception_i3d(stream=entry.stream, classes=entry.classes)
        conversion.assign(model, weights, entry.name)
        save_h5(model, path, **published_facts(entry).record())
        shutil.rmtree(index.parent)

    return _cached(entry.name, make)


def _imagenet(stream, attempts):
    """Returns the path of Inception V1's ImageNet weights, inflated for `stream`, as a verified `.weights.h5`."""

    def make(path):
        remote = registry.INCEPTION_V1
        folder = path.parent / "downloads"
        archive = download.fetch(remote, folder, attempts)
        digest = download.sha256(archive)
        record = path.parent / f"{archive.name}.sha256"
        checkpoint = archive.with_name(registry.INCEPTION_V1_MEMBER)
        model = inception_i3d(include_top=False, stream=stream)
        try:
            recorded = record.read_text(encoding="utf-8").split()[0] if record.exists() else digest
            if recorded != digest:
                raise WeightsError(
                    f"{archive.name} has sha256 {digest}; at first use it was {recorded}. "
                    f"If the publisher changed it, remove {record}."
                )
            _extract(archive, registry.INCEPTION_V1_MEMBER, checkpoint)
            conversion.inflate(str(checkpoint), model)
        except WeightsError:
            archive.unlink()
            raise
        save_h5(model, path, **Facts(stream, source=f"{remote.url} sha256 {digest}").record())
        if not record.exists():
            record.write_text(f"{digest}  {archive.name}\n", encoding="utf-8")
            notice(f"no hash of {archive.name} is published; names and shapes were verified, sha256 {digest} recorded")
        shutil.rmtree(archive.parent)

    return _cached(f"inception_v1_{stream}", make)


def _extract(archive, member, destination):
    """Copies one regular file out of a tar archive; nothing else in it is touched."""
    try:
        with tarfile.open(archive) as tar:
            found = next((m for m in tar if os.path.basename(m.name) == member and m.isfile()), None)
            if found is None:
                raise WeightsError(f"{archive.name} holds no file {member}.")
            with tar.extractfile(found) as source, open(destination, "wb") as file:
                shutil.copyfileobj(source, file)
    except (tarfile.TarError, EOFError, OSError) as error:
        raise WeightsError(f"{archive.name} is not a readable archive ({error}). Nothing was kept.") from error


def _cached(name, make):
    """Returns the verified cache file `name`, calling `make(path)` under a lock where there is none."""
    import filelock

    path = download.cache_folder() / f"{name}-{FORMAT}.weights.h5"
    if _intact(path):
        return path
    folder = download.writable_folder(path.parent)
    lock = filelock.FileLock(folder / f"{name}.lock")
    try:
        lock.acquire(timeout=1)
    except filelock.Timeout:
        notice(f"another process is fetching {name}; waiting for it")
        lock.acquire()
    with lock, contextlib.ExitStack() as after:
        after.callback(lock.release)
        if not _intact(path):
            if path.exists():
                notice(f"{path} does not match its checksum, so it is not used; fetching it again")
            make(path)
    return path


def _intact(path):
    """Whether `path` exists and has the sha256 recorded beside it."""
    try:
        return download.sha256(path) == _checksum_file(path).read_text(encoding="utf-8").split()[0]
    except (OSError, ValueError, IndexError):  # missing, a folder, no text, empty
        return False


def _checksum_file(path):
    return path.with_name(path.name + ".sha256")


def convert_sonnet(checkpoint, output, labels=None):
    """Converts an I3D checkpoint of the original TensorFlow code to a `.weights.h5`.

    Args:
        checkpoint: path prefix; published, or fine-tuned by a user.
        output: the `.weights.h5` to write.
        labels: name or file of the label list to note in it; by default that of a published checkpoint.

    Returns:
        The Facts that were noted in the file.

    Raises:
        WeightsError: the checkpoint is unreadable, or a name or shape in it has no counterpart in I3D.
        ValueError: labels of another number than the classes, or an output that cannot be named so.
    """
    checkpoint, output = conversion.checkpoint_prefix(paths.expand(checkpoint)), paths.expand(output)
    weights = conversion.read_sonnet(checkpoint)
    if FIRST_LAYER not in weights or HEAD not in weights:
        raise WeightsError(f"{checkpoint} has no {FIRST_LAYER if FIRST_LAYER not in weights else HEAD}.")
    channels, classes = weights[FIRST_LAYER][0].shape[3], int(weights[HEAD][0].shape[-1])
    stream = next((stream for stream, n in CHANNELS.items() if n == channels), None)
    if stream is None:
        raise WeightsError(f"{checkpoint} takes {channels} input channels; the streams have 3 (rgb) or 2 (flow).")
    entry = registry.identify(f"{checkpoint}.index")
    if labels is None:
        labels = entry and entry.labels
    elif labels not in registry.LABELS:
        labels = read_labels(labels)
    count = registry.LABELS[labels].classes if isinstance(labels, str) else len(labels or [])
    if labels and count != classes:
        raise ValueError(f"{count} labels for {classes} classes. Pass the list that belongs to {checkpoint}.")
    model = inception_i3d(stream=stream, classes=classes)
    conversion.assign(model, weights, checkpoint)
    facts = Facts(stream, classes, source="not a published checkpoint (its tensor CRCs are new)")
    if entry:
        facts = dataclasses.replace(published_facts(entry), source=f"published checkpoint {entry.name}")
    facts = dataclasses.replace(facts, labels=tuple(labels) if isinstance(labels, list) else labels)
    save_h5(model, output, **facts.record())
    return facts


def save_h5(model, path, **facts):
    """Writes `path`, a `.weights.h5` of the model, and `path`.sha256 beside it; aside first, then in place.

    The file is Keras's own, with the model's fingerprint and `facts` as attributes of its root.
    """
    path = pathlib.Path(path)
    if not path.name.endswith(".weights.h5"):
        raise ValueError(f"The name of a weights file ends in .weights.h5. Received: {path.name}")
    if not path.parent.is_dir():
        raise ValueError(f"No such folder to write in: {path.parent}. Make it first.")
    # Found out before HDF5 does, which after a failed write neither closes its file nor leaves the process whole.
    download.check_space(path.parent, sum(w.nbytes for w in model.get_weights()) + HDF5_OVERHEAD, path.name)
    aside = path.with_name(f".{os.getpid()}-{path.name}")
    expected = conversion.fingerprint(conversion.layer_shapes(model))
    try:
        model.save_weights(aside)
        with h5py.File(aside, "a") as file:
            file.attrs["keras_i3d"] = json.dumps({"version": __version__, "fingerprint": expected, **facts})
        written = read_h5(aside)
        conversion.check_match(written, conversion.layer_shapes(model), aside)
        digest = download.sha256(aside)
        os.replace(aside, path)
        checksum = aside.with_suffix(".sha256")
        checksum.write_text(f"{digest}  {path.name}\n", encoding="utf-8")
        os.replace(checksum, _checksum_file(path))
    except OSError as error:
        raise WeightsError(f"Cannot write {path} ({error.strerror or error}). Is the disk full?") from error
    finally:
        aside.unlink(missing_ok=True)


def read_h5(path):
    """Reads a `.weights.h5` of Keras 3 as {layer name: arrays}, those of a nested model as `model/layer`."""
    weights = {}

    def visit(group, scope):
        for child in group.values():
            if "vars" not in child or not ("layers" in child or len(child["vars"])):
                continue
            name = child["vars"].attrs.get("name")
            if "layers" in child:
                visit(child["layers"], f"{scope}{name}/")
            else:
                if name is None:
                    raise WeightsError(
                        f"{path} does not name its layers: a Keras before 3.6 wrote it. Load it into a model of "
                        "the same shape with model.load_weights and save that model again."
                    )
                weights[scope + name] = [_array(child["vars"][str(i)]) for i in range(len(child["vars"]))]

    try:
        with h5py.File(path, "r") as file:
            if "layers" not in file:
                raise WeightsError(f"{path} is not a .weights.h5 of Keras 3.")
            visit(file["layers"], "")
    except OSError as error:
        raise WeightsError(f"{path}: not a readable HDF5 file ({error})") from error
    return weights


def _array(dataset):
    """An array of an HDF5 file, bfloat16, which HDF5 does not know, as float32."""
    value = dataset[()]
    if dataset.attrs.get("dtype") == "bfloat16":
        import ml_dtypes

        return value.view(ml_dtypes.bfloat16).astype(np.float32)
    return value


def facts_of(path, stream=None):
    """Returns the Facts that a `.weights.h5` or `.keras` notes about itself, or None for a file by others.

    Args:
        path: the file.
        stream: the one to take where the file names none.

    Raises:
        WeightsError: notes that cannot be read.
    """
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                noted = _in_keras(archive)
        else:
            with h5py.File(path, "r") as file:
                noted = json.loads(file.attrs.get(facts_lib.KEY, "{}"))
        return facts_lib.parse(noted, stream)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, zipfile.BadZipFile) as error:
        raise WeightsError(f"{path}: {error}") from error


def _in_keras(archive):
    """What a `.keras` file notes, read without building its model."""
    if FACTS in archive.namelist():
        return json.loads(archive.read(FACTS))
    layers = json.loads(archive.read("config.json"))["config"].get("layers", [])
    return next((layer["config"]["facts"] for layer in layers if "facts" in layer["config"]), {})


def load_keras(path):
    """Loads a `.keras` file, with the Facts that it notes.

    Args:
        path: the file.

    Returns:
        The keras.Model, not compiled.

    Raises:
        WeightsError: it cannot be read.
    """
    import keras

    try:
        model = keras.models.load_model(path, compile=False)
    except (ValueError, OSError, TypeError, KeyError) as error:
        raise WeightsError(f"{path}: not a readable .keras model ({one_line(error)})") from error
    if facts_lib.of(model) is None and (noted := facts_of(path)):
        facts_lib.note(model, noted)
    return model


def _from_path(weights, stream):
    if not isinstance(weights, str | os.PathLike):
        raise ValueError(f"Unknown weights {weights!r}. {registry.choices()}")
    path = pathlib.Path(paths.expand(weights))
    noted = None
    if path.name.endswith(".weights.h5") and path.is_file():
        if _checksum_file(path).exists() and not _intact(path):
            raise WeightsError(
                f"{path} does not match the checksum in {_checksum_file(path).name}. Make it again, or remove the "
                "checksum if it was changed on purpose."
            )
        values = read_h5(path)
        noted = facts_of(path, stream)
    elif path.suffix == ".keras" and path.is_file():
        model = load_keras(path)
        values = conversion.layer_weights(model)
        noted = facts_lib.of(model) or Facts(stream, activation=facts_lib.activation(model))
    elif os.path.isfile(f"{conversion.checkpoint_prefix(path)}.index"):
        prefix = conversion.checkpoint_prefix(path)
        values = conversion.read_sonnet(prefix)
        entry = registry.identify(f"{prefix}.index")
        noted = entry and published_facts(entry)
    else:
        what = "not a weights file" if path.exists() else "no such file"
        raise ValueError(f"Unknown weights {str(weights)!r}: {what}. {registry.choices()}")
    return Source(str(weights), _completed(noted, values, stream), lambda: values)


def _completed(noted, values, stream):
    """Returns Facts that say all that shows in the arrays themselves, whatever was noted."""
    by_layer = {name.rpartition("/")[2]: arrays for name, arrays in values.items()}
    channels = np.shape(by_layer[FIRST_LAYER][0])[3] if FIRST_LAYER in by_layer else None
    own = {number: name for name, number in CHANNELS.items()}.get(channels)
    noted = noted or Facts(own)
    shapes = {name: [np.shape(array) for array in arrays] for name, arrays in by_layer.items()}
    return dataclasses.replace(
        noted,
        stream=own or noted.stream or stream,
        classes=int(by_layer[HEAD][0].shape[-1]) if HEAD in by_layer else None,
        depth_multiplier=noted.depth_multiplier or depth_multiplier_of(shapes),
    )


def _check_stream(channels, wanted, name):
    if wanted is not None and channels != wanted:
        streams = {2: "flow", 3: "rgb"}
        raise WeightsError(
            f"{name} holds weights for {channels} input channels ({streams.get(channels, 'neither stream')}); "
            f'this model takes {wanted} ({streams[wanted]}). Pass stream="{streams.get(channels, "...")}" '
            "or the other stream's weights."
        )


def read_labels(labels, attempts=download.ATTEMPTS):
    """Returns a list of class names.

    Args:
        labels: "kinetics400" or "kinetics600", fetched with the weights and cached; the path of a text file
            with a name a line; or a sequence of names.
        attempts: connections to try, where the published list is not cached yet.
    """
    if isinstance(labels, list | tuple):
        return list(labels)
    if not isinstance(labels, str | os.PathLike):
        raise ValueError(f"labels must be a name, a path or a list of names. Received: {labels!r}")
    if labels in registry.LABELS:
        entry = registry.LABELS[labels]
        path = download.fetch(entry.file, download.cache_folder(), attempts)
    else:
        path = pathlib.Path(paths.expand(labels))
        if not path.is_file():
            raise ValueError(
                f"Unknown labels {str(labels)!r}. Pass {' or '.join(map(repr, registry.LABELS))}, "
                "the path of a text file with a name a line, or a list of names."
            )
    try:
        return path.read_text(encoding="utf-8-sig").rstrip("\n").splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f"A label list is UTF-8 text. Received: {path} ({error})") from error
