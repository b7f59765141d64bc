"""Frames to a video file that browsers play."""

import contextlib
import itertools
import pathlib
from fractions import Fraction

import numpy as np

from keras_i3d import atomic, paths
from keras_i3d.errors import missing_package
from keras_i3d.specs import FPS

CODECS = ("libx264", "mpeg4")  # the first that this FFmpeg has; browsers play the first alone


def write(path, frames, fps=FPS):
    """Writes an .mp4 in bounded memory; nothing is left of it if a frame fails.

    Args:
        path: ends in .mp4.
        frames: an iterable of uint8 (H, W, 3), RGB, all of one size. A side of an odd number of pixels gets one more,
            which repeats the last: H.264 stores colours for pairs of pixels.
        fps: frames per second, above 0.

    Raises:
        ValueError: another name, no frame, or frames that are not uint8 (H, W, 3) of one size.
    """
    path = check_name(path)
    try:
        import av
    except ImportError as error:
        raise missing_package("av", "av", "Writing a video") from error
    if not fps > 0:
        raise ValueError(f"fps must be above 0. Received: {fps}")
    frames = iter(frames)
    first = next(frames, None)
    if first is None:
        raise ValueError(f"A video has at least one frame. Received: none for {path.name}")
    codec = next(name for name in CODECS if name in av.codecs_available)
    with atomic.replacing(path) as temporary, contextlib.closing(av.open(str(temporary), "w", format="mp4")) as file:
        stream = file.add_stream(codec, rate=_rate(fps))
        stream.height, stream.width = (side + side % 2 for side in _checked(first).shape[:2])
        stream.pix_fmt = "yuv420p"
        for frame in itertools.chain([first], frames):
            if _checked(frame).shape != first.shape:
                raise ValueError(f"Frames of a video are of one size. Received: {first.shape}, then {frame.shape}")
            odd = [(0, side % 2) for side in frame.shape[:2]]
            picture = np.ascontiguousarray(np.pad(frame, (*odd, (0, 0)), mode="edge"))
            file.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        file.mux(stream.encode())


def check_name(path):
    """Returns a path that `write` can write to, or raises ValueError."""
    path = pathlib.Path(paths.expand(path))
    if path.suffix != ".mp4":
        raise ValueError(f"A video's name ends in .mp4. Received: {path.name}")
    return path


def _rate(fps):
    """Frames per second as the fraction that a container stores."""
    return Fraction(fps).limit_denominator(1001)


def _checked(frame):
    if getattr(frame, "dtype", None) != np.uint8 or frame.ndim != 3 or frame.shape[-1] != 3:
        found = f"{frame.dtype} {frame.shape}" if isinstance(frame, np.ndarray) else type(frame).__name__
        raise ValueError(f"Frames are uint8 (H, W, 3). Received: {found}")
    return frame
