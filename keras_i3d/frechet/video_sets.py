"""What one side of a distance may be: folders of videos or of frames, arrays, data sets. Each gives its videos singly.

A set is never read into memory as a whole, but for what is an array there already and for a `.npz` of one array.
"""

import dataclasses
import functools
import os
import re

import numpy as np

from keras_i3d import paths, stored
from keras_i3d.errors import VideoError, missing_package
from keras_i3d.frechet.gaussians import Gaussian, read_pickle
from keras_i3d.records import video_files
from keras_i3d.video import MAX_SECONDS, Reader, damage

PICTURES = frozenset((".png", ".jpg", ".jpeg", ".bmp", ".webp"))
LOSSY_PICTURES = frozenset((".jpg", ".jpeg", ".webp"))
# FFmpeg's decoders whose frames are those that were encoded; what others give is near them.
LOSSLESS_CODECS = frozenset(
    ("apng", "ffv1", "ffvhuff", "huffyuv", "magicyuv", "png", "qtrle", "rawvideo", "utvideo", "v210", "v410")
)
KINDS = (
    "a folder of videos (mp4, gif, ...), a folder of folders of frames (png, jpg), uint8 arrays (N, T, H, W, 3) or a "
    ".npy or .npz of them, an iterable of uint8 arrays, a tf.data.Dataset, or saved statistics (.npz, or cd-fvd's .pkl)"
)


@dataclasses.dataclass(frozen=True)
class Origin:
    """What is known of one video before it is read.

    Attributes:
        encoding: a codec's name as FFmpeg has it, "gif", "png", "jpg" and so on, or "array".
        lossy: whether that encoding loses something of the frames.
        fps: frames per second; None if nothing says so.
        frames: how many there are; None if nothing says so. A video file's is what its container says.
    """

    encoding: str
    lossy: bool
    fps: float | None = None
    frames: int | None = None


class VideoFile:
    """A video in a file, read frame by frame as it is stored.

    Args:
        path: the file.
        max_seconds: as for `video.Reader`.
    """

    files = "video"  # as `Protocol.first_step` takes it

    def __init__(self, path, max_seconds=MAX_SECONDS):
        self.name = video_files.printable(path)
        self._reader = Reader(path, fps=None, short_side=None, max_seconds=max_seconds)
        self._damage = ""

    def origin(self):
        header = self._reader.header()
        return Origin(header.codec, header.codec not in LOSSLESS_CODECS, header.fps, header.frames)

    def count(self):
        """Returns how many frames there are. Decodes all of them."""
        count = self._reader.count()
        self._damage = damage(self._reader)
        return count

    def frames(self, stop):
        """Yields the frames before `stop`, uint8 (H, W, 3)."""
        for index, frame in enumerate(self._reader):
            yield frame
            if index + 1 == stop:
                return

    def damage(self):
        """Returns what was wrong in what was read so far, in words; "" if nothing."""
        return damage(self._reader) or self._damage


class FrameFolder:
    """A video in a folder of pictures, in the natural order of their names: 9 before 10.

    Args:
        path: the folder.
        names: the pictures in it.
    """

    files = "pictures"

    def __init__(self, path, names):
        self.name = video_files.printable(path)
        self._paths = [os.path.join(path, name) for name in sorted(names, key=natural)]

    def origin(self):
        kinds = {video_files.suffix(path) for path in self._paths}
        encoding = "+".join(sorted(kind[1:].replace("jpeg", "jpg") for kind in kinds))
        return Origin(encoding, bool(kinds & LOSSY_PICTURES), None, len(self._paths))

    def count(self):
        return len(self._paths)

    def frames(self, stop):
        first = None
        for path in self._paths[:stop]:
            frame = _picture(path)
            if first is not None and frame.shape != first:
                raise VideoError(self.name, f"its pictures are of several sizes, {first[:2]} and {frame.shape[:2]}")
            first = frame.shape
            yield frame

    def damage(self):
        return ""


class Frames:
    """A video that is an array, uint8 (T, H, W, 3).

    Args:
        name: what messages call it.
        array: the frames.
    """

    files = None

    def __init__(self, name, array):
        self.name = name
        self._array = array

    def origin(self):
        return Origin("array", False, None, len(self._array))

    def count(self):
        return len(self._array)

    def frames(self, stop):
        yield from self._array[:stop]

    def damage(self):
        return ""


@dataclasses.dataclass(frozen=True)
class VideoSet:
    """The videos of one side.

    Attributes:
        name: what messages call it.
        count: how many there are; None if that shows only at the end.
        at: gives the video of an index, if they are counted.
        stream: iterates over all of them.
        from_path: whether they lie in files, and so can be gone through again.
    """

    name: str
    count: int | None
    at: object
    stream: object
    from_path: bool = False


def open_side(source, what, max_seconds=MAX_SECONDS):
    """Returns the VideoSet or the Gaussian that one side of a distance is.

    Args:
        source: see `KINDS`.
        what: "real" or "generated", for messages.
        max_seconds: as for `video.Reader`.

    Raises:
        ValueError: anything else, a folder without videos, arrays of another shape or dtype.
    """
    if isinstance(source, Gaussian | VideoSet):
        return source
    source = paths.expand(source)
    if isinstance(source, str | os.PathLike):
        return _of_path(os.fspath(source), what, max_seconds)
    if isinstance(source, np.ndarray):
        return _of_array(source, f"the {what} array", what)
    if hasattr(source, "as_numpy_iterator"):  # a tf.data.Dataset, which can be gone through again
        return VideoSet(
            f"the {what} data set", None, None, lambda: _flat(source.as_numpy_iterator(), f"the {what} data set", what)
        )
    if isinstance(source, list | tuple):
        if not len(source):
            raise ValueError(f"The {what} side has no video. Received: an empty list. It may be: {KINDS}")
        name = f"the {what} list"
        if all(np.ndim(each) == 4 for each in source):
            return _counted(name, len(source), lambda index: _frames(source[index], f"{name}[{index}]", what))
        return VideoSet(name, None, None, lambda: _flat(source, name, what))
    if hasattr(source, "__iter__"):
        name = f"the {what} iterable"
        return VideoSet(name, None, None, lambda: _flat(source, name, what))
    raise ValueError(f"The {what} side may be: {KINDS}. Received: {type(source).__name__}")


def natural(name):
    """A key that sorts names by the numbers in them: frame9 before frame10."""
    parts = re.split(r"(\d+)", name)
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts if part], name


def _counted(name, count, at, from_path=False):
    return VideoSet(name, count, at, lambda: map(at, range(count)), from_path)


def _of_path(path, what, max_seconds):
    if os.path.isdir(path):
        return _of_folder(path, what, max_seconds)
    if not os.path.exists(path):
        raise ValueError(f"The {what} side may be: {KINDS}. Received: {path}, which is not there")
    kind = video_files.suffix(path)
    if kind == ".npy":
        return dataclasses.replace(_of_array(_read_npy(path), video_files.printable(path), what), from_path=True)
    if kind == ".npz":
        return _of_npz(path, what)
    if kind == ".pkl":
        return read_pickle(path)
    one = "one video. Put the videos of a side into a folder" if video_files.is_video(path) else "another file"
    raise ValueError(f"The {what} side may be: {KINDS}. Received: {path}, {one}")


def _of_folder(path, what, max_seconds):
    walked = video_files.walk(path, what=f"The {what} folder")
    for place, problem in walked.unlisted:
        raise ValueError(f"{os.path.join(path, place)}: {problem}")
    videos = sorted(walked.videos, key=natural)
    pictures = {}
    for other in walked.others:
        if video_files.suffix(other) in PICTURES:
            folder, _, name = other.rpartition("/")
            pictures.setdefault(folder, []).append(name)
    if videos:
        walked.say_what_is_left_out(path)
        return _counted(
            path, len(videos), lambda index: VideoFile(os.path.join(path, videos[index]), max_seconds), from_path=True
        )
    if "" in pictures:
        raise ValueError(
            f"The {what} side is a folder with a folder of frames a video. Received: {path}, which has pictures itself"
            f", such as {min(pictures[''], key=natural)}. Put each video's frames into a folder of their own."
        )
    if not pictures:
        raise ValueError(f"The {what} side may be: {KINDS}. Received: {path}, a folder without videos and frames")
    folders = sorted(pictures, key=natural)
    return _counted(
        path,
        len(folders),
        lambda index: FrameFolder(os.path.join(path, folders[index]), pictures[folders[index]]),
        from_path=True,
    )


def _read_npy(path):
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise ValueError(f"{path}: not a .npy of numbers ({stored.reason(path, error)}). Write it again.") from error


def _of_npz(path, what):
    """Statistics, one array of videos, or one array a video."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            stored.check_zip(archive.zip, os.path.getsize(path))
            names = sorted(archive.files, key=natural)
    except Exception as error:  # of a damaged archive: any of a dozen of types
        raise ValueError(f"{path}: not a .npz of arrays ({stored.reason(path, error)}). Write it again.") from error
    if {"count", "mean", "scatter"} <= set(names):
        return Gaussian.load(path)
    if not names:
        raise ValueError(f"The {what} side has no video. Received: {path}, an empty archive")
    if len(names) == 1:
        array = _member(path, names[0])
        return dataclasses.replace(_of_array(array, video_files.printable(path), what), from_path=True)

    def at(index):
        return _frames(_member(path, names[index]), video_files.printable(f"{path}:{names[index]}"), what)

    return _counted(path, len(names), at, from_path=True)


def _member(path, name):
    try:
        with np.load(path, allow_pickle=False) as archive:
            return archive[name]
    except Exception as error:
        raise ValueError(f"{path}: {name} cannot be read ({stored.reason(path, error)}). Write it again.") from error


def _of_array(array, name, what):
    _check_array(array, name, what, 5)
    if not len(array):
        raise ValueError(f"The {what} side has no video. Received: {name} of shape {array.shape}")
    return _counted(name, len(array), lambda index: Frames(f"{name}[{index}]", array[index]))


def _flat(elements, name, what):
    """The videos of elements that are videos, batches of videos, or tuples that begin with one."""
    count = 0
    for element in elements:
        while isinstance(element, tuple | list) and len(element):
            element = element[0]
        array = np.asarray(element)
        for each in array if array.ndim == 5 else [array]:
            yield _frames(each, f"{name}[{count}]", what)
            count += 1


def _frames(array, name, what):
    return Frames(name, _check_array(np.asarray(array), name, what, 4))


def _check_array(array, name, what, axes):
    shape = "(T, H, W, 3)" if axes == 4 else "(N, T, H, W, 3)"
    if array.dtype != np.uint8:
        remedy = "np.uint8(np.round(255 * x)) makes them of frames in [0, 1]."
        raise ValueError(f"{what} videos in arrays are uint8 {shape}, RGB. Received: {name}, {array.dtype}. {remedy}")
    if array.ndim != axes or array.shape[-1] != 3 or not all(array.shape[-4:]):
        remedy = " np.repeat(x, 3, axis=-1) makes RGB of grey." if array.shape[-1:] == (1,) else ""
        raise ValueError(f"{what} videos in arrays are uint8 {shape}, RGB. Received: {name}, {array.shape}.{remedy}")
    return array


def _picture(path):
    """A picture as uint8 (H, W, 3), RGB."""
    image = _pillow()
    try:
        with open(path, "rb", opener=video_files.regular) as file, image.open(file) as opened:
            if opened.mode in ("I", "F") or opened.mode.startswith("I;"):  # Pillow would cut all above 255 off
                raise ValueError(f"grey levels of 8 bits are read, and it has more: Pillow's mode {opened.mode}")
            return np.asarray(opened.convert("RGB"))
    except Exception as error:  # of a damaged picture: any of a dozen of types
        raise VideoError(video_files.printable(path), f"not a picture ({stored.reason(path, error)})") from error


@functools.cache
def _pillow():
    try:
        from PIL import Image
    except ImportError as error:
        raise missing_package("PIL", "pillow", "Reading frames") from error
    return Image
