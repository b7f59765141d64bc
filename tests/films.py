"""Small video files for the tests, made with PyAV."""

import io

import numpy as np


def picture(index, height=48, width=64):
    """A smooth picture whose red grows with `index`: (40 + 4 * index, gradient, gradient)."""
    image = np.empty((height, width, 3), "uint8")
    image[..., 0] = min(40 + 4 * index, 255)
    image[..., 1] = np.linspace(30, 220, width)[None]
    image[..., 2] = np.linspace(30, 220, height)[:, None]
    return image


def film(frames, container="mp4", codec="mpeg4", rate=25, times=None, pixels="yuv420p", gap=None, b_frames=0):
    """Encodes pictures.

    Args:
        frames: a list of (H, W, 3) uint8.
        times: the frames' times in milliseconds, for a variable rate.
        gap: frames from a keyframe to the next.
        b_frames: how many of them in a row are B-frames.

    Returns:
        The bytes of the file.
    """
    from fractions import Fraction

    import av

    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container) as output:
        stream = output.add_stream(codec, rate=rate)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = pixels
        if codec in ("mpeg4", "libvpx"):
            stream.bit_rate = 4_000_000
        if gap:
            stream.codec_context.gop_size = gap
            stream.codec_context.max_b_frames = b_frames
        if times:
            stream.codec_context.time_base = Fraction(1, 1000)
        for i, image in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            if times:
                frame.pts, frame.time_base = times[i], Fraction(1, 1000)
            output.mux(stream.encode(frame))
        output.mux(stream.encode())
    return buffer.getvalue()


def sound():
    """A file with a sound track alone."""
    import av

    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as output:
        stream = output.add_stream("aac", rate=16000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), "float32"), format="fltp", layout="mono")
        frame.sample_rate = 16000
        output.mux(stream.encode(frame))
        output.mux(stream.encode())
    return buffer.getvalue()
