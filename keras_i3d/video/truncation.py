"""Whether a file ends before its container says: read from the sizes that stand in it, whatever its frames are."""

import os

# The top levels of ISO media files (mp4, mov). What follows them and is none of these is padding, not a lost part.
BOXES = {b"ftyp", b"moov", b"mdat", b"moof", b"mfra", b"sidx", b"styp", b"free", b"skip", b"wide", b"uuid", b"meta"}
EBML, SEGMENT = 0x1A45DFA3, 0x18538067  # of Matroska and WebM
ASF = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")


def ends_early(file):
    """Returns whether a file lacks a part that its container announces.

    False if the container announces no size, as transport streams and live recordings do.

    Args:
        file: a binary file that can seek; where it stands afterwards is anywhere.
    """
    file.seek(0)
    start = file.read(16)
    if start[:4] == b"GIF8":
        return _gif_ends_early(file)
    if start[4:8] in BOXES:
        part = box_length
    elif start[:4] == b"RIFF":
        part = _riff_chunk
    elif start[:4] == EBML.to_bytes(4, "big"):
        part = _ebml_element
    elif start == ASF:
        part = _asf_object
    else:
        return False
    file.seek(0, os.SEEK_END)
    size, at = file.tell(), 0
    while at < size:
        file.seek(at)
        length = part(file)
        if not length:
            return False
        at += length
    return at > size


def box_length(file):
    """The length of the part of an ISO media file that begins here; 0 if it is not known."""
    head = file.read(16)
    if head[4:8] not in BOXES:
        return 0
    length = int.from_bytes(head[:4], "big")
    return int.from_bytes(head[8:16], "big") if length == 1 else length


def _riff_chunk(file):
    head = file.read(8)
    length = int.from_bytes(head[4:8], "little")
    if head[:4] != b"RIFF" or length in (0, 0xFFFFFFFF):  # a recorder that was never stopped writes none
        return 0
    return 8 + length + length % 2


def _ebml_element(file):
    head = file.read(12)
    if int.from_bytes(head[:4], "big") not in (EBML, SEGMENT) or len(head) < 12 or not head[4]:
        return 0
    width = 9 - head[4].bit_length()  # bytes that the size takes: the leading zeros of the first one say it
    length = int.from_bytes(head[4 : 4 + width], "big") - (1 << 7 * width)
    return 0 if length == (1 << 7 * width) - 1 else 4 + width + length


def _asf_object(file):
    head = file.read(24)
    return int.from_bytes(head[16:24], "little") if len(head) == 24 else 0


def _gif_ends_early(file):
    """Follows the blocks of a GIF, which has no size, to its last one."""

    def skip_colours(flags):
        if flags & 0x80:
            file.seek(3 << (flags & 7) + 1, os.SEEK_CUR)

    def skip_data():
        while length := file.read(1):
            if length == b"\0":
                return True
            if len(file.read(length[0])) < length[0]:
                return False
        return False

    file.seek(10)
    flags = file.read(3)
    if len(flags) < 3:
        return True
    skip_colours(flags[0])
    while kind := file.read(1):
        if kind == b"!":
            file.read(1)
        elif kind == b",":
            head = file.read(9)
            if len(head) < 9:
                return True
            skip_colours(head[8])
            file.read(1)
        else:
            return False  # ";", its end; or what is no block, of which nothing can be said
        if not skip_data():
            return True
    return True
