"""Weights by name or path: fetched and converted once, verified at every use, loaded by layer name."""

import collections
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

from keras_i3d import atomic, checkpoint_files, conversion, download, keras_files, locks, paths, registry, stored
from keras_i3d import facts as facts_lib
from keras_i3d.facts import Facts
from keras_i3d.messages import WeightsError, notice
from keras_i3d.models.inception import HEAD, LAYERS, depth_multiplier_of, layout
from keras_i3d.specs import CHANNELS, check_stream
from keras_i3d.version import __version__

FORMAT = 1  # part of every cached file's name: a change in layout starts a new cache
HDF5_OVERHEAD = 2 << 20  # bytes of groups and names in a file of 115 layers, and some to spare
FIRST_LAYER = f"{LAYERS[0][0]}_conv_3d"
KERAS_GROUPS = {"_conv_3d": "conv3d", "_batch_norm": "batch_normalization"}  # what Keras names a layer's group by


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
        weights = conversion.in_layout(weights, layout(stream=entry.stream, classes=entry.classes), entry.name)
        write_h5(weights, path, **published_facts(entry).record())

    return _cached(entry.name, make, entry.index)


def _imagenet(stream, attempts):
    """Returns the path of Inception V1's ImageNet weights, inflated for `stream`, as a verified `.weights.h5`."""

    def make(path):
        remote = registry.INCEPTION_V1
        folder = path.parent / "downloads"
        archive = download.fetch(remote, folder, attempts)
        digest = download.sha256(archive)
        record = path.parent / f"{archive.name}.sha256"
        checkpoint = archive.with_name(registry.INCEPTION_V1_MEMBER)
        try:
            recorded = record.read_text(encoding="utf-8").split()[0] if record.exists() else digest
            if recorded != digest:
                raise WeightsError(
                    f"{archive.name} has sha256 {digest}; at first use it was {recorded}. "
                    f"If the publisher changed it, remove {record}."
                )
            _extract(archive, registry.INCEPTION_V1_MEMBER, checkpoint)
            weights = conversion.read_inception_v1(str(checkpoint), CHANNELS[stream])
        except WeightsError:
            archive.unlink()
            raise
        write_h5(weights, path, **Facts(stream, source=f"{remote.url} sha256 {digest}").record())
        if not record.exists():
            atomic.write_text(record, f"{digest}  {archive.name}\n")
            notice(f"no hash of {archive.name} is published; names and shapes were verified, sha256 {digest} recorded")

    return _cached(f"inception_v1_{stream}", make, registry.INCEPTION_V1)


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


def _cached(name, make, remote):
    """Returns the verified cache file `name`, calling `make(path)` under a lock where there is none.

    The folder of the RemoteFile that it is made from goes afterwards, also where a process was killed just before.
    Nothing that `make` does may wait for another process: workers that train together come here at the same time.
    """
    path = download.cache_folder() / f"{name}-{FORMAT}.weights.h5"
    fetched = (path.parent / "downloads" / remote.path).parent
    lock = path.with_name(f"{fetched.name}.lock")  # of all that is made from these files
    if not _fault(path):
        if fetched.exists():  # a cache that cannot be written, or is being filled, is left alone
            with contextlib.suppress(OSError), locks.hold(lock, busy=BlockingIOError()):
                shutil.rmtree(fetched, ignore_errors=True)
        return path
    folder = download.writable_folder(path.parent)
    with locks.hold(lock, waiting=f"another process is fetching {name}; waiting for it"):
        if fault := _fault(path):  # another process may just have made it
            if path.exists():
                notice(f"{path} {fault}, so it is not used; fetching it again")
            for final in (path, _checksum_file(path)):
                atomic.clean(folder, final.name, alone=True)
            make(path)
        shutil.rmtree(fetched, ignore_errors=True)
    return path


def _fault(path):
    """What is wrong with a file of the cache; None if nothing is."""
    if not _intact(path):
        return "does not match its checksum"
    kinds = _kinds(path) - {"float32"}
    # Written by a version that built a model for it, in the precision that its process happened to have.
    return f"holds {' and '.join(sorted(kinds))} values where float32 was published" if kinds else None


def _kinds(path):
    """The dtypes of all arrays in an HDF5 file, by their names; read from its headers alone."""
    kinds = set()

    def visit(_, item):
        if isinstance(item, h5py.Dataset):
            kinds.add(item.attrs.get("dtype", item.dtype.name))

    with h5py.File(path, "r", locking=False) as file:
        file.visititems(visit)
    return kinds


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
    index = f"{checkpoint}.index"  # TensorFlow's first format, which is one file, has none
    entry = registry.identify(index) if os.path.isfile(index) else None
    if labels is None:
        labels = entry and entry.labels
    elif labels not in registry.LABELS:
        labels = read_labels(labels)
    count = registry.LABELS[labels].classes if isinstance(labels, str) else len(labels or [])
    if labels and count != classes:
        raise ValueError(f"{count} labels for {classes} classes. Pass the list that belongs to {checkpoint}.")
    weights = conversion.in_layout(weights, layout(stream=stream, classes=classes), checkpoint)
    source = "not a published checkpoint (its tensor CRCs are new)"
    facts = Facts(stream, classes, activation=facts_lib.SOFTMAX, source=source)
    if entry:
        facts = dataclasses.replace(published_facts(entry), source=f"published checkpoint {entry.name}")
    facts = dataclasses.replace(facts, labels=tuple(labels) if isinstance(labels, list) else labels)
    write_h5(weights, output, **facts.record())
    return facts


def convert_inception_v1(checkpoint, output, stream="rgb"):
    """Inflates a 2D Inception V1 checkpoint of TF-Slim to the `.weights.h5` of an I3D without its class layer.

    Args:
        checkpoint: path prefix; both of TensorFlow's formats.
        output: the `.weights.h5` to write.
        stream: "rgb" or "flow".

    Raises:
        WeightsError: the checkpoint is unreadable, or not Inception V1's.
        ValueError: an output that cannot be named so.
    """
    weights = conversion.read_inception_v1(checkpoint, CHANNELS[check_stream(stream)])
    source = f"inflated from {os.path.basename(checkpoint)}"
    write_h5(weights, output, stream=stream, classes=None, labels=None, source=source)


def save_h5(model, path, **facts):
    """Writes the weights of an I3D of one stream as `write_h5` does."""
    write_h5(conversion.layer_weights(model), path, **facts)


def write_h5(weights, path, **facts):
    """Writes `path`, a `.weights.h5` of one stream, and `path`.sha256 beside it; each whole or not at all.

    The file is laid out as Keras itself lays out that model's, so that `model.load_weights` reads it too, by position.
    Its root has the model's fingerprint and `facts` as attributes. No model is built for it, and HDF5 locks no file: a
    file system without locks will do.

    Args:
        weights: {layer name: arrays}, in the order of the model's layers, as `conversion.in_layout` gives them.
        path: its name ends in .weights.h5.
        facts: JSON.

    Raises:
        ValueError: another name, no such folder, or a layer that no I3D has.
        WeightsError: the disk is full, or it cannot be written.
    """
    path = pathlib.Path(path)
    if not path.name.endswith(".weights.h5"):
        raise ValueError(f"The name of a weights file ends in .weights.h5. Received: {path.name}")
    if not path.parent.is_dir():
        raise ValueError(f"No such folder to write in: {path.parent}. Make it first.")
    weights = {name: [np.asarray(array) for array in arrays] for name, arrays in weights.items()}
    # Found out before HDF5 does, which after a failed write neither closes its file nor leaves the process whole.
    size = sum(array.nbytes for arrays in weights.values() for array in arrays)
    download.check_space(path.parent, size + HDF5_OVERHEAD, path.name)
    shapes = {name: [array.shape for array in arrays] for name, arrays in weights.items()}
    facts = {"version": __version__, "fingerprint": conversion.fingerprint(shapes), **facts}
    try:
        with atomic.replacing(path) as temporary:
            with h5py.File(temporary, "w", locking=False) as file:
                _fill(file, weights)
                file.attrs["keras_i3d"] = json.dumps(facts)
            conversion.check_match(read_h5(temporary), shapes, temporary)
            digest = download.sha256(temporary)
            _checksum_file(path).unlink(missing_ok=True)  # of what was there: a kill leaves none, not a wrong one
        atomic.write_text(_checksum_file(path), f"{digest}  {path.name}\n")
    except OSError as error:
        raise WeightsError(f"Cannot write {path} ({error.strerror or error}). Is the disk full?") from error


def _fill(file, weights):
    """Writes the groups that Keras makes of layers: `layers/CLASS_NUMBER/vars`, numbered class by class."""
    numbers = collections.Counter()
    file.create_group("vars")
    for name, arrays in weights.items():
        kind = next((kind for suffix, kind in KERAS_GROUPS.items() if name.endswith(suffix)), None)
        if kind is None:
            raise ValueError(f"The layers of an I3D with weights end in {' or '.join(KERAS_GROUPS)}. Received: {name}")
        number = f"_{numbers[kind]}" if numbers[kind] else ""
        numbers[kind] += 1
        group = file.create_group(f"layers/{kind}{number}/vars")
        group.attrs["name"] = name
        for i, array in enumerate(arrays):
            group[str(i)] = array


def read_h5(path):
    """Reads a `.weights.h5` of Keras 3 as {layer name: arrays}, those of a nested model as `model/layer`.

    Raises:
        WeightsError: no such file, a damaged one, or one with more in it than plain arrays of its own.
    """
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
        with h5py.File(path, "r", locking=False) as file:
            stored.check_h5(file, os.path.getsize(path))
            if "layers" not in file:
                raise WeightsError(f"{path} is not a .weights.h5 of Keras 3.")
            visit(file["layers"], "")
    except WeightsError:
        raise
    except Exception as error:  # HDF5 tells of damage by half a dozen of types, RuntimeError and AttributeError too
        raise WeightsError(f"{path}: not a readable HDF5 file ({stored.reason(path, error)})") from error
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
            noted = keras_files.notes(path)
        else:
            with h5py.File(path, "r", locking=False) as file:
                noted = json.loads(file.attrs.get(facts_lib.KEY, "{}"))
        return facts_lib.parse(noted, stream)
    except Exception as error:  # of a damaged archive, HDF5 file or text: any of a dozen of types
        raise WeightsError(f"{path}: {stored.reason(path, error)}") from error


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
        model = keras_files.load(path)
        values = conversion.layer_weights(model)
        noted = facts_lib.of(model) or Facts(stream, activation=facts_lib.activation(model))
    elif os.path.isfile(f"{conversion.checkpoint_prefix(path)}.index"):
        prefix = conversion.checkpoint_prefix(path)
        values = conversion.read_sonnet(prefix)
        entry = registry.identify(f"{prefix}.index")
        noted = published_facts(entry) if entry else Facts(stream, activation=facts_lib.SOFTMAX)  # as that code trains
    elif checkpoint_files.is_first_format(path):
        values = conversion.read_sonnet(path)
        noted = Facts(stream, activation=facts_lib.SOFTMAX)
    else:
        what = "not a weights file" if path.exists() else "no such file"
        raise ValueError(f"Unknown weights {str(weights)!r}: {what}. {registry.choices()}")
    return Source(str(weights), _completed(noted, values, stream), lambda: values)


def _check_ranks(by_layer):
    """Raises WeightsError where a layer by the name of a convolution of I3D has no kernel."""
    for name, arrays in by_layer.items():
        if name.endswith("_conv_3d") and (not arrays or np.ndim(arrays[0]) != 5):
            raise WeightsError(f"{name} needs a kernel of five axes. Received: {[np.shape(array) for array in arrays]}")


def _completed(noted, values, stream):
    """Returns Facts that say all that shows in the arrays themselves, whatever was noted."""
    by_layer = {name.rpartition("/")[2]: arrays for name, arrays in values.items()}
    _check_ranks(by_layer)
    channels = np.shape(by_layer[FIRST_LAYER][0])[3] if FIRST_LAYER in by_layer else None
    own = {number: name for name, number in CHANNELS.items()}.get(channels)
    noted = noted or Facts(own)
    shapes = {name: [np.shape(array) for array in arrays] for name, arrays in by_layer.items()}
    return dataclasses.replace(
        noted,
        stream=own or noted.stream or stream,
        classes=int(by_layer[HEAD][0].shape[-1]) if HEAD in by_layer else None,
        depth_multiplier=width_of(shapes, noted.depth_multiplier),
    )


def width_of(shapes, noted):
    """Returns the depth_multiplier that was noted, if layers of these shapes have it; else what they show, or None.

    A model is built by it, so a file's word alone does not count.

    Args:
        shapes: {layer name: [shapes]} of an I3D of any width.
        noted: a depth_multiplier, or None.
    """
    if noted is not None:
        of_noted = layout(include_top=False, depth_multiplier=noted)
        if all(shapes.get(name, [None])[0][-1:] == shape[0][-1:] for name, shape in of_noted.items() if name in shapes):
            return noted
    return depth_multiplier_of(shapes)


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
