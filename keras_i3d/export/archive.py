"""A version of an export as one file, the same bytes for the same folder, with its checksum next to it."""

import gzip
import re
import tarfile

from keras_i3d import atomic
from keras_i3d.weights import download

SUMS = "SHA256SUMS"


def pack(folder, final=None):
    """Writes NAME-VERSION.tar.gz and its line in SHA256SUMS next to the model's folder, as temporary files first.

    The files of the version are at the top of the archive, as TensorFlow Hub has them; unpacked into a folder
    NAME/VERSION it can be served. Names are sorted; times, owners and rights are the same everywhere.

    Args:
        folder: NAME/VERSION, a pathlib.Path, or one that will be moved there.
        final: where the archive goes; by default as the folder says.

    Returns:
        The path of the archive.
    """
    final = final or folder.parent.parent / f"{folder.parent.name}-{folder.name}.tar.gz"
    with atomic.replacing(final) as temporary:
        with (
            open(temporary, "wb") as file,
            gzip.GzipFile("", "wb", compresslevel=6, fileobj=file, mtime=0) as packed,
            tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as tar,
        ):
            for path in sorted(folder.rglob("*"), key=lambda path: path.relative_to(folder).as_posix()):
                _add(tar, path, path.relative_to(folder).as_posix())
        digest = download.sha256(temporary)
    _note(final.with_name(SUMS), final.name, digest)
    return final


def _add(tar, path, name):
    member = tarfile.TarInfo(name)
    if path.is_dir():
        member.type, member.mode = tarfile.DIRTYPE, 0o755
        tar.addfile(member)
        return
    member.size, member.mode = path.stat().st_size, 0o644
    with open(path, "rb") as file:
        tar.addfile(member, file)


def _note(path, name, digest):
    """Puts a line of `sha256sum` in place of the one for that file, or adds it; lines are sorted by name."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    kept = {re.sub(r"^\S+\s+\*?", "", line): line for line in lines if line.strip()}
    kept[name] = f"{digest}  {name}"
    atomic.write_text(path, "".join(f"{kept[key]}\n" for key in sorted(kept)))
