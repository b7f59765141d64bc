"""The folder of fetched weights: room on its disk, each file against its hash, and what does not belong there."""

import os
import pathlib
import shlex
import shutil

from keras_i3d import atomic
from keras_i3d.checkup.findings import fault, fine, note, some, warning
from keras_i3d.plurals import counted
from keras_i3d.weights import cache, download, registry
from keras_i3d.weights.h5_files import intact
from keras_i3d.weights.published import PUBLISHED

ROOM = 1e9  # bytes that fetching and converting the largest published weights take
OWN = ("downloads", "runtimes")  # what is being fetched, and which runtime was measured to be the faster one
ENDING = f"-{cache.FORMAT}.weights.h5"


def _files():
    """Every file of the cache, as paths in it; [] without a cache."""
    folder = download.cache_folder()
    return [path.relative_to(folder) for path in sorted(folder.rglob("*")) if path.is_file()]


def _published():
    """{path in the cache of a file that is kept as it was published: its RemoteFile}, in the cache or its downloads."""
    entries = (*registry.CHECKPOINTS.values(), *PUBLISHED.values())
    kept = {entry.file.path: entry.file for entry in registry.LABELS.values()}
    for entry in entries:
        for remote in (entry.file, entry.index):
            if remote is not None:
                kept[f"downloads/{remote.path}"] = kept[f"downloads/{entry.name}/{remote.path}"] = remote
    return kept


def disk():
    """Where the cache is, and the room on its disk."""
    folder = download.cache_folder()
    place = folder
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    found = f"{folder}: {counted(len(_files()), 'file')}, {free / 1e9:.1f} GB free"
    if not os.access(place, os.W_OK):
        yield warning(
            "cache.disk",
            f"{folder} cannot be written",
            "published weights cannot be kept",
            "export KERAS_HOME=FOLDER, one that can be written",
        )
    elif free < ROOM:
        yield warning(
            "cache.disk",
            found,
            "fetching and converting weights takes up to 1 GB for a while",
            "free some space, or export KERAS_HOME=FOLDER on a larger disk",
        )
    else:
        yield fine("cache.disk", found)


def hashes():
    """Each file whose hash is known, against it."""
    folder, known, sound = download.cache_folder(), _published(), 0
    for path in _files():
        if path.name.endswith(ENDING) and not atomic.is_temporary(path.name):
            whole = intact(folder / path)
        elif path.as_posix() in known:
            remote = known[path.as_posix()]
            whole = remote.bytes in (None, (folder / path).stat().st_size)
            whole = whole and (remote.git_blob is None or download.git_blob(folder / path) == remote.git_blob)
            whole = whole and (remote.sha256 is None or download.sha256(folder / path).startswith(remote.sha256))
        else:
            continue
        sound += whole
        if not whole:
            yield fault(
                "cache.hash",
                f"{path} does not match its hash",
                "it was changed or damaged after it was verified; it is fetched again at its next use",
                f"without a network copy a sound cache there; otherwise: rm {shlex.quote(str(folder / path))}",
            )
    if sound:
        yield fine("cache.hash", f"{sound} file{'s match their hashes' if sound > 1 else ' matches its hash'}")


def left_over():
    """Temporary files of processes that were stopped."""
    folder = download.cache_folder()
    left = [path for path in _files() if atomic.is_temporary(path.name) or path.name.endswith(".part")]
    if left:
        size = sum((folder / path).stat().st_size for path in left)
        yield note(
            "cache.temporary",
            f"{counted(len(left), 'temporary file')}, {size / 1e6:.1f} MB: {some(left)}",
            "a download that was stopped resumes from them; otherwise they only take room",
            f"if nothing is being fetched: rm -r {shlex.quote(str(folder / 'downloads'))}",
        )


def third_party():
    """Files that this package did not put there."""
    folder, known = download.cache_folder(), _published()
    own = {entry.name for entry in (*registry.CHECKPOINTS.values(), *PUBLISHED.values())}
    others = []
    for path in _files():
        name = path.name.removesuffix(".sha256")
        stem = name.removesuffix(ENDING)
        ours = stem != name and (stem in own or stem.startswith("inception_v1_"))
        passing = name.endswith((".lock", ".part")) or atomic.is_temporary(name) or path.parts[0] in OWN
        if not (ours or passing or path.as_posix() in known):
            others.append(path)
    if others:
        yield note(
            "cache.third_party",
            f"{counted(len(others), 'file')} that this version does not know: {some(others)}",
            "they are never read: of another version, or of another program",
            f"move them out of {folder} if you miss them elsewhere",
        )


def cached_path(weights, stream):
    """Returns the path that published weights of a name have in the cache, whether or not they are there.

    Raises:
        ValueError: no such weights for that stream.
    """
    name = f"inception_v1_{stream}" if weights == registry.IMAGENET else registry.find(weights, stream).name
    return pathlib.Path(download.cache_folder()) / f"{name}{ENDING}"


CHECKS = (disk, hashes, left_over, third_party)
