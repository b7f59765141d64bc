"""Published weights in the user's cache: fetched, converted and verified once, and checked at every use."""

import contextlib
import os
import shutil
import tarfile

import h5py

from keras_i3d import atomic, locks
from keras_i3d.errors import WeightsError, notice
from keras_i3d.facts import Facts
from keras_i3d.models import families
from keras_i3d.specs import CHANNELS
from keras_i3d.weights import by_name, download, registry
from keras_i3d.weights.h5_files import checksum_file, intact, write_h5
from keras_i3d.weights.labels import read_labels
from keras_i3d.weights.originals import deepmind

FORMAT = 1  # part of every cached file's name: a change in layout starts a new cache


def published(entry, attempts=download.ATTEMPTS):
    """Returns the path of a published Checkpoint as a verified `.weights.h5`, fetching it at first use."""

    def make(path):
        folder = path.parent / "downloads"
        index = download.fetch(entry.index, folder, attempts)
        download.fetch(entry.data, folder, attempts)
        read_labels(entry.labels, attempts)
        weights = deepmind.read_sonnet(str(index.with_suffix("")))
        family, built = families.find(entry.family), {"stream": entry.stream, "classes": entry.classes}
        weights = by_name.in_layout(weights, family.layout(**built), entry.name)
        write_h5(weights, path, family.groups(**built), **entry.facts.record())

    return _cached(entry.name, make, entry.index)


def imagenet(stream, attempts):
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
            weights = deepmind.read_inception_v1(str(checkpoint), CHANNELS[stream])
        except WeightsError:
            archive.unlink()
            raise
        known = Facts(stream, source=f"{remote.url} sha256 {digest}", family=deepmind.SLIMS)
        groups = families.find(deepmind.SLIMS).groups(include_top=False, stream=stream)
        write_h5(weights, path, groups, **known.record())
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
    """Returns the verified cache file `name`, calling `make(path)` under a lock if there is none.

    The folder of the RemoteFile that it is made from is removed afterwards, also if a process was killed just before.
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
