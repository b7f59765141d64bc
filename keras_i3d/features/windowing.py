"""Where the windows of a video lie, which frames each sees, and when: NumPy alone, for a layout and a number of frames.

A video of T frames has T fields of flow less one: field i is the motion from frame i to frame i + 1. A frame of the
stream "both" is frame i and field i.
"""

import dataclasses
import math

import numpy as np

from keras_i3d.features.layouts import Layout

NOTHING = -1  # in the place of a frame: what the network takes as zero, which is grey, or no motion


@dataclasses.dataclass(frozen=True)
class Seen:
    """What the network sees in a window.

    Attributes:
        frames: int64 (n,): which frame, or which field of stream "flow"; NOTHING for none.
        moving: bool (n,): whether flow is there; of "rgb", True.
    """

    frames: np.ndarray
    moving: np.ndarray


def available(layout: Layout, stream, frames):
    """Returns how many frames of a stream a video of `frames` frames has."""
    if stream == "rgb":
        return frames
    return frames if layout.flow_end == "repeat" else frames - 1


def whole(layout: Layout, stream, frames):
    """Returns how many windows the first `frames` frames hold, which the video has however long it is.

    The rest of its windows is known when its end is: see `starts`.
    """
    there = min(_planned(layout, stream, frames), frames - (stream != "rgb"))  # a repeated field comes with the end
    inside = (there - layout.first - layout.window) // layout.step + 1
    return max(inside - layout.drop_last, 0)


def starts(layout: Layout, stream, frames):
    """Returns the first frames of the windows of a whole video, in order.

    Args:
        layout: whose `window` is a number.
        stream: "rgb", "flow" or "both".
        frames: of the video.

    Returns:
        int64 (rows,); below 0 in front of the video. Without rows if the video is too short: see `too_short`.
    """
    length = _planned(layout, stream, frames) - 2 * layout.first
    rows = (length - layout.window) // layout.step + 1
    if layout.tail != "drop" and length > 0:
        # As few as cover the video, none of which begins behind its end.
        covering = math.ceil((length - layout.window) / layout.step) + 1
        rows = max(min(covering, math.ceil(length / layout.step)), 1)
    found = layout.first + layout.step * np.arange(max(rows, 0), dtype=np.int64)
    if layout.tail == "shift" and len(found):
        found[-1] = min(found[-1], layout.first + max(length - layout.window, 0))
    return found[: max(rows - layout.drop_last, 0)]


def too_short(layout: Layout, stream, frames):
    """Returns in words why a video has no window, with the remedy."""
    needed = layout.window + 2 * layout.first + layout.drop_last * layout.step
    needed += frames - _planned(layout, stream, frames)
    if layout.tail != "drop":
        return f"it has {frames} frames, and one window, which drop_last leaves out"
    behind = " and the next one, which drop_last leaves out," if layout.drop_last else ""
    return (
        f"it has {frames} frames, and a window of {layout.window} frames{behind} needs {max(needed, 1)} for {stream}; "
        "tail=repeat (--tail=repeat) fills one up with the last frame"
    )


def seen(layout: Layout, stream, frames, start, stride=1):
    """Returns what the network sees in the window that begins at frame `start`.

    Frames in front of the video are its first one, and frames behind it are as `layout.tail` says; in both places there
    is no motion. With tail "shift" a video shorter than a window is seen over and over, as `classify` takes it.

    Args:
        layout: whose `window` is a number.
        stream: "rgb", "flow" or "both".
        frames: of the video.
        start: one of `starts`.
        stride: frames from one that is seen to the next.

    Returns:
        A Seen, of each `stride`-th frame of the window.
    """
    loops = layout.tail == "shift" and _planned(layout, stream, frames) - 2 * layout.first < layout.window
    return _seen(layout, stream, frames, start + np.arange(0, layout.window, stride), loops)


def seen_of_all(layout: Layout, stream, frames, stride=1, least=1):
    """Returns what the network sees of a whole video in one pass: all of it, filled up by `layout.tail` to `least`.

    Args:
        layout, stream, frames, stride: as for `seen`.
        least: frames that the network takes at least.

    Returns:
        A Seen; None for a video that is too short, and whose tail is dropped.
    """
    count = -(-available(layout, stream, frames) // stride)
    if count < least and layout.tail == "drop":
        return None
    loops = layout.tail == "shift" and count < least
    return _seen(layout, stream, frames, stride * np.arange(max(count, least)), loops)


def times(onsets, seconds, first, last):
    """Returns when ranges of frames are, whether they lie within the video or not.

    Args:
        onsets: when each frame of the video begins, in seconds after the first.
        seconds: how long the video lasts.
        first: float (rows,): frames at which ranges begin, and fractions of them.
        last: the same for their ends, the frame behind each range.

    Returns:
        float64 (rows,) three times: start and end, clipped to the video, and centre. Beyond its ends frames are as long
        as they are within it on average.
    """
    edges = np.append(np.asarray(onsets, np.float64), seconds)
    pace = seconds / len(onsets)

    def when(frames):
        frames = np.asarray(frames, np.float64)
        inside = np.interp(frames, np.arange(len(edges)), edges)
        return inside + pace * (np.minimum(frames, 0) + np.maximum(frames - len(onsets), 0))

    first, last = np.asarray(first, np.float64), np.asarray(last, np.float64)
    start, end = (np.clip(when(each), 0, seconds) for each in (first, last))
    return start, end, when((first + last) / 2)


def _planned(layout, stream, frames):
    """The frames that windows are laid over."""
    streams = layout.streams if layout.flow_end != "own" else (stream,)  # else all have the same windows
    return min(available(layout, each, frames) - (each == "rgb" and layout.one_more) for each in streams)


def _seen(layout, stream, frames, places, loops):
    if loops:
        places = places % available(layout, stream, frames)
    copies = layout.flow_end == "repeat" and layout.first == 0  # of the last field; else it is of two equal frames
    moving = (places >= 0) & (places < (frames if copies else frames - 1))
    if stream == "flow":
        return Seen(np.where(moving, places, NOTHING), moving)
    found = np.clip(places, 0, frames - 1)
    if layout.tail == "pad":
        found = np.where(places >= frames - layout.first, NOTHING, found)
    return Seen(found, moving | (stream == "rgb"))
