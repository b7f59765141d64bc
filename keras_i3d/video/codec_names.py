"""Names of codecs: a video's own, as its container has it, because PyAV does not tell it of a codec that has no
decoder; and those that there are decoders for.
"""

import os
import re

from keras_i3d.errors import missing_package
from keras_i3d.video.truncation import BOXES, EBML, box_length

HEAD = 1 << 20  # bytes in which AVI and Matroska have their headers
MOOV = 16 << 20  # bytes of the header of an ISO media file that are looked at


def codec_name(file):
    """Returns the name of the first video stream's codec, such as "zzzz" or "V_UNKNOWN"; "" if it is not found.

    Args:
        file: a binary file that can seek; where it stands afterwards is anywhere.
    """
    file.seek(0)
    head = file.read(16)
    if head[4:8] in BOXES:
        # The handler "vide" says that a track is video; the description of its samples begins with the codec.
        name = _after(_moov(file), rb"hdlr.{8}vide", b"stsd", 12)
    elif head[:4] == b"RIFF":
        # The type "vids" says that a stream is video; its format has the codec after the size of the picture.
        name = _after(_head(file), rb"strh.{4}vids", b"strf", 20)
    elif head[:4] == EBML.to_bytes(4, "big"):
        found = re.search(rb"\x86[\x82-\xa0](V_[\w/.]+)", _head(file))
        name = found[1] if found else b""
    else:
        name = b""
    return name.decode("ascii", errors="backslashreplace")


def decoders():
    """Returns the names of the codecs that FFmpeg decodes here, as PyAV calls them.

    Raises:
        ImportError: PyAV is not installed; the message has the install line.
    """
    try:
        import av
    except ImportError as error:
        raise missing_package("av", "av", "Reading a video") from error
    return {name for name in av.codecs_available if _decodes(av, name)}


def _decodes(av, name):
    try:
        return av.codec.Codec(name, "r").is_decoder
    except ValueError:  # it encodes alone
        return False


def _after(data, mark, field, distance):
    """The four bytes at a distance from the first `field` after a mark, a regular expression."""
    found = re.search(mark, data, re.DOTALL)
    at = data.find(field, found.end()) if found else -1
    at += len(field) + distance
    return data[at : at + 4] if at >= len(field) + distance else b""


def _head(file):
    file.seek(0)
    return file.read(HEAD)


def _moov(file):
    """The header of an ISO media file, which may lie before or after the frames."""
    at, size = 0, file.seek(0, os.SEEK_END)
    while at < size:
        file.seek(at)
        kind = file.read(8)[4:]
        file.seek(at)
        length = box_length(file)
        if kind == b"moov" or not length:
            file.seek(at)
            return file.read(min(length, MOOV)) if kind == b"moov" else b""
        at += length
    return b""
