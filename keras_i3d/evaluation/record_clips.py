"""Videos of records as small files that a browser plays: each frame next to its flow."""

import hashlib
import itertools
import math

from keras_i3d import visualize
from keras_i3d.data import record_files
from keras_i3d.evaluation.reading_errors import readable_errors
from keras_i3d.records import framing, sequence_example
from keras_i3d.specs import FPS
from keras_i3d.video import writing

FRAMES = 128  # at most: of a longer video every second frame or fewer, at the same speed
WIDTH = 176  # pixels of a frame


def source_of(records):
    """Returns the `record_files.Source` of records as scores name them: a place, or files with ", " between them."""
    try:
        return record_files.find(records)  # whose own name may have a ", " in it
    except FileNotFoundError:
        if ", " not in records:
            raise
        return record_files.find(records.split(", "))


def places(source, ids):
    """Returns {file: {number of the record in it: id}} of videos that are among the records.

    Args:
        source: a `record_files.Source`.
        ids: of the videos.

    Raises:
        ValueError: a file without a manifest, which would say where its videos are, or a video that is not there.
    """
    wanted, found = {*ids}, {}
    for file, listed in zip(source.files, source.ids):
        if listed is None:
            raise ValueError(f"{file} has no manifest that says where its videos are")
        here = {number: id for number, id in enumerate(listed) if id in wanted}
        if here:
            found[file] = here
    if lost := wanted - {id for here in found.values() for id in here.values()}:
        raise ValueError(f"the records have no video {min(lost)} any more")
    return found


def read(source, ids):
    """Yields (id, record as bytes) of some videos.

    Of a local file nothing is read but these, and the lengths of the records before them; of a remote one, where each
    length would be a request, all up to the last of them.
    """
    for file, here in places(source, ids).items():
        with readable_errors():
            for number, record in _remote(file, here) if framing.is_remote(file) else _local(file, here):
                yield here.pop(number), record
        if here:
            raise ValueError(f"{file} cannot be read up to {min(here.values())}: it is damaged")


def _remote(file, wanted):
    """Yields (number, record) of the records whose numbers are wanted."""
    last = max(wanted)
    for number, record in enumerate(framing.dataset(file).take(last + 1).as_numpy_iterator()):
        if number in wanted:
            yield number, record


def _local(file, wanted):
    last = max(wanted)
    with framing.opened(file) as opened:
        for number, (begin, size) in enumerate(itertools.islice(framing.frames(file), last + 1)):
            if number in wanted:
                opened.seek(begin + framing.HEADER)
                yield number, opened.read(size - framing.FRAME)


def name(id):
    """Returns the name of the file of a video: it tells videos apart, whatever their ids hold."""
    return f"{hashlib.sha256(id.encode()).hexdigest()[:16]}.mp4"


def write(path, record, width=WIDTH, frames=FRAMES):
    """Writes a record as an .mp4, its flow, if it has some, painted at the right of each frame.

    Args:
        path: where to.
        record: bytes, as `sequence_example.decode` takes them.
        width: pixels of a frame.
        frames: at most.

    Returns:
        Bytes of the file.
    """
    clip = sequence_example.decode(record)
    rgb, flow = clip["rgb"], clip["flow"]
    if flow is not None:
        rgb = rgb[: len(flow)]  # the last frame has no field
    step = math.ceil(len(rgb) / frames)
    fps = (float(clip["fps"]) or FPS) / step
    bound = None if flow is None else visualize.own_bound(flow[::step])
    pictures = (
        visualize.beside(rgb[i], None if flow is None else flow[i], width, bound) for i in range(0, len(rgb), step)
    )
    writing.write(path, pictures, fps)
    return path.stat().st_size
