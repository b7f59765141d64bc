"""What a source of live video is, by its name: a file, a pipe, a camera or a URL."""

import dataclasses
import os
import re
import stat

from keras_i3d import paths
from keras_i3d.errors import VideoError, without_credentials

FILE, PIPE, DEVICE, URL = "file", "pipe", "device", "URL"
INPUT = "-"  # standard input
CAMERAS = "/dev/video"  # of Linux
DEVICES = ("v4l2", "avfoundation", "dshow")  # FFmpeg's formats that read a camera, of Linux, macOS and Windows
SCHEMES = ("rtsp", "rtsps", "http", "https", "rtmp", "rtmps", "srt", "udp", "tcp")
MAY_BE_FILES = ("http", "https")  # behind which may lie a file, which waits for its reader


@dataclasses.dataclass(frozen=True)
class LiveSource:
    """Where frames come from.

    Attributes:
        opened: what is opened: a path, a URL, the name of a device, or a binary file object that need not seek.
        name: what messages call it; a URL without the name and password of its user.
        kind: FILE, PIPE, DEVICE or URL.
        format: FFmpeg's name of the format that reads a device; None for all else.
    """

    opened: object
    name: str
    kind: str
    format: str | None = None

    @property
    def scheme(self):
        """Of a URL, "rtsp" for one; None of all else."""
        return self.opened.partition(":")[0].lower() if self.kind == URL else None


def find(source):
    """Returns the LiveSource that a user names.

    Args:
        source: a path of a file, a named pipe or a camera; "-" for standard input; a URL; DEVICE:NAME, where DEVICE is
            one of `DEVICES`, such as "avfoundation:0"; or a binary file object, which need not seek.

    Raises:
        VideoError: no such file, or a folder.
        ValueError: a URL of another scheme, or what is none of these.
    """
    if hasattr(source, "read"):
        return LiveSource(source, str(getattr(source, "name", "<pipe>")), PIPE)
    if not isinstance(source, str | os.PathLike):
        raise ValueError(
            "A source is a path, - for standard input, a camera, a URL or a binary file object. "
            f"Received: {type(source).__name__}"
        )
    text = os.fspath(paths.expand(source))
    if text == INPUT:
        return LiveSource(INPUT, "standard input", PIPE)
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", text):
        return _of_url(text)
    device, colon, name = text.partition(":")
    if colon and name and device in DEVICES:
        return LiveSource(name, text, DEVICE, device)
    try:
        mode = os.stat(text).st_mode
    except OSError as error:
        raise VideoError(text, "no such file") from error
    if stat.S_ISDIR(mode):
        raise VideoError(text, "a folder, not a file")
    if stat.S_ISCHR(mode) and text.startswith(CAMERAS):
        return LiveSource(text, text, DEVICE, DEVICES[0])
    if stat.S_ISREG(mode):
        if os.path.getsize(text) == 0:
            raise VideoError(text, "the file is empty")
        return LiveSource(os.path.abspath(text), text, FILE)  # a colon in a relative path would name a protocol
    if stat.S_ISFIFO(mode) or stat.S_ISCHR(mode):
        return LiveSource(text, text, PIPE)
    raise VideoError(text, "neither a file, nor a pipe, nor a camera")


def _of_url(text):
    found = LiveSource(text, without_credentials(text), URL)
    if found.scheme not in SCHEMES:
        raise ValueError(f"A URL begins with one of {', '.join(SCHEMES)}. Received: {found.name}")
    return found
