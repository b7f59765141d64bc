"""Published weights in the user's cache: fetched, converted and verified once, and checked at every use."""

import contextlib
import dataclasses
import os
import pathlib
import shutil
import tarfile

import h5py

from keras_i3d import atomic, locks
from keras_i3d.errors import WeightsError, notice
from keras_i3d.facts import Facts
from keras_i3d.models import families
from keras_i3d.specs import INPUT_CHANNELS
from keras_i3d.weights import by_name, download, registry, torch_files
from keras_i3d.weights.h5_files import checksum_file, intact, write_h5
from keras_i3d.weights.labels import read_labels
from keras_i3d.weights.originals import deepmind, original
from keras_i3d.weights.originals.catalogue import ORIGINALS

FORMAT = 1  # part of every cached file's name: a change in layout starts a new cache


def published(entry, attempts=download.ATTEMPTS):
    """Returns the path of a Published as a verified `.weights.h5`, fetching it at first use."""
    return _of_checkpoint(entry, attempts) if entry.index else _of_one_file(entry, attempts)


def _of_checkpoint(entry, attempts):
    def make(path):
        folder = path.parent / "downloads"
        index = download.fetch(entry.index, folder, attempts)
        download.fetch(entry.file, folder, attempts)
        read_labels(entry.labels, attempts)
        weights = deepmind.read_sonnet(str(index.with_suffix("")))
        family, built = families.find(entry.family), {"stream": entry.stream, "classes": entry.classes}
        weights = by_name.in_layout(weights, family.layout(**built), entry.name)
        write_h5(weights, path, family.groups(**built), **entry.facts.record())

    return _cached(entry.name, make, pathlib.PurePosixPath(entry.index.path).parent)


def _of_one_file(entry, attempts):
    def make(path):
        fetched = download.fetch(entry.file, path.parent / "downloads" / entry.name, attempts)
        digest = download.sha256(fetched)
        with _recorded(fetched, digest, path.parent, known=entry.file.sha256 or entry.file.git_blob):
            arrays = torch_files.read(fetched)
            _, weights, found = original.find(arrays, ORIGINALS, fetched.name, [entry.family])
            if (found.family, found.classes, found.stream) != (entry.family, entry.classes, entry.stream):
                raise WeightsError(
                    f"{fetched.name} should be {entry.family} of {entry.classes} classes for {entry.stream}. Received: "
                    f"{found.family} of {found.classes} for {found.stream}."
                )
        facts = dataclasses.replace(entry.facts, source=f"{entry.facts.source}, sha256 {digest}")
        groups = families.find(entry.family).groups(stream=entry.stream, classes=entry.classes)
        write_h5(weights, path, groups, **facts.record())

    return _cached(entry.name, make, entry.name)


@contextlib.contextmanager
def _recorded(fetched, digest, folder, known=None):
    """Compares a file whose hash was never published with that of its first use, and notes it if all went well.

    Args:
        fetched: the file; removed if anything is wrong with it.
        digest: its sha256.
        folder: where the notes lie.
        known: a published hash, which is enough.
    """
    record = folder / f"{fetched.name}.sha256"
    try:
        recorded = record.read_text(encoding="utf-8").split()[0] if record.exists() and not known else digest
        if recorded != digest:
            raise WeightsError(
                f"{fetched.name} has sha256 {digest}; at first use it was {recorded}. "
                f"If the publisher changed it, remove {record}."
            )
        yield
    except WeightsError:
        fetched.unlink(missing_ok=True)
        raise
    if not known and not record.exists():
        atomic.write_text(record, f"{digest}  {fetched.name}\n")
        notice(f"no hash of {fetched.name} is published; names and shapes were verified, sha256 {digest} recorded")


def place(name):
    """Returns where the file of a Published, by its name, lies in the cache, or would."""
    return download.cache_folder() / f"{name}-{FORMAT}.weights.h5"


def is_whole(name):
    """Whether the cache has the file of a Published, by its name, as it was written there; nothing is fetched."""
    return _fault(place(name)) is None


def imagenet(stream, attempts, network=deepmind.SLIMS):
    """Returns the path of Inception V1's ImageNet weights, inflated for a network, as a verified `.weights.h5`."""

    def make(path):
        remote = registry.INCEPTION_V1
        folder = path.parent / "downloads"
        archive = download.fetch(remote, folder, attempts)
        digest = download.sha256(archive)
        checkpoint = archive.with_name(registry.INCEPTION_V1_MEMBER)
        with _recorded(archive, digest, path.parent):
            _extract(archive, registry.INCEPTION_V1_MEMBER, checkpoint)
            weights = deepmind.read_inception_v1(str(checkpoint), INPUT_CHANNELS[stream], network)
            known = Facts(stream, source=f"{remote.urls[0]} sha256 {digest}", family=network)
            groups = families.find(network).groups(include_top=False, stream=stream)
            write_h5(weights, path, groups, **known.record())

    ending = "" if network == deepmind.SLIMS else f"_{network}"
    return _cached(f"inception_v1_{stream}{ending}", make, pathlib.PurePosixPath(registry.INCEPTION_V1.path).parent)


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


def _cached(name, make, folder_in_downloads):
    """Returns the verified cache file `name`, calling `make(path)` under a lock if there is none.

    `folder_in_downloads` is what it is made from; it is removed afterwards, also if a process was killed just before.
    Nothing that `make` does may wait for another process: workers that train together come here at the same time.
    """
    path = place(name)
    fetched = path.parent / "downloads" / folder_in_downloads
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
            for final in (path, checksum_file(path)):
                atomic.clean(folder, final.name, alone=True)
            make(path)
        shutil.rmtree(fetched, ignore_errors=True)
    return path


def _fault(path):
    """What is wrong with a file of the cache; None if nothing is."""
    if not intact(path):
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
