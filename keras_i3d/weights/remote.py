"""A published file, and what proves that a copy is it."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class RemoteFile:
    """A published file, and what proves that a copy is it.

    Attributes:
        path: where it is on its host, and on a mirror.
        bytes: its size, if that is known.
        git_blob: sha1 of b"blob <bytes>\\0" + content; None if none was published.
        host: URL of the folder that `path` is in.
        sha256: of its content, or as many of its first digits as were published; None if none were.
        others: further URLs of the file, for the day when the host is gone.
    """

    path: str
    bytes: int | None = None
    git_blob: str | None = None
    host: str = ""
    sha256: str | None = None
    others: tuple = ()

    @property
    def urls(self):
        return (f"{self.host}/{self.path}", *self.others)
