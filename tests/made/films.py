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


def shown(frames):
    """Which picture each frame shows, from its red."""
    return [round((float(frame[..., 0].mean()) - 40) / 4) for frame in frames]


def film(
    frames,
    container="mp4",
    codec="mpeg4",
    rate=25,
    times=None,
    pixels="yuv420p",
    gap=None,
    b_frames=0,
    places=None,
    options=None,
    **settings,
):
    """Encodes pictures.

    Args:
        frames: a list of (H, W, 3) uint8.
        times: the frames' times in milliseconds, for a variable rate.
        gap: frames from a keyframe to the next.
        b_frames: how many of them in a row are B-frames.
        places: the frames' times in frames, for a constant rate with some left out.
        options: of the encoder, as text.
        settings: attributes of the encoder's context.

    Returns:
        The bytes of the file.
    """
    from fractions import Fraction

    import av

    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container) as output:
        # Of a thousand encodings that x264 makes of the same pictures, about one differs, also on one thread. So
        # colours must not lie near another picture's, and no test may expect two encodings to be equal.
        fine = {"crf": "8"} if codec == "libx264" else {}
        stream = output.add_stream(codec, rate=rate, options={**fine, **(options or {})})
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = pixels
        if codec in ("mpeg4", "libvpx"):
            stream.bit_rate = 4_000_000
        if gap:
            stream.codec_context.gop_size = gap
            stream.codec_context.max_b_frames = b_frames
        for name, value in settings.items():
            setattr(stream.codec_context, name, value)
        if times:
            stream.codec_context.time_base = Fraction(1, 1000)
        for i, image in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            if times:
                frame.pts, frame.time_base = times[i], Fraction(1, 1000)
            if places:
                frame.pts, frame.time_base = places[i], Fraction(1, rate)
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


def packets(film):
    """Returns [(place of the packet in the file, bytes)] of a film's video, in the order they are decoded."""
    import av

    with av.open(io.BytesIO(film)) as container:
        return [(packet.pos, packet.size) for packet in container.demux(container.streams.video[0]) if packet.size]


def turned(film, matrix):
    """Returns an mp4 with (a, b, c, d) in the display matrix of its track: x' = a x + c y, y' = b x + d y."""
    at = film.index(b"tkhd") + 4 + 40
    a, b, c, d = (round(value * 65536).to_bytes(4, "big", signed=True) for value in matrix)
    return film[:at] + a + b + bytes(4) + c + d + film[at + 20 :]


def streams(*shown, dispositions, container="matroska", codecs=("libx264", "libx264")):
    """A file of several streams, each of its own pictures and FFmpeg's disposition."""
    import av

    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container) as output:
        added = []
        for pictures, disposition, codec in zip(shown, dispositions, codecs):
            stream = output.add_stream(codec, rate=25)
            stream.height, stream.width = pictures[0].shape[:2]
            stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
            stream.disposition = disposition
            added.append(stream)
        for stream, pictures in zip(added, shown):
            for image in pictures:
                output.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
            output.mux(stream.encode())
    return buffer.getvalue()


def filtered(film, description):
    """A Matroska file of the packets of another, each through a bitstream filter of FFmpeg, which decodes nothing."""
    import av

    buffer = io.BytesIO()
    with av.open(io.BytesIO(film)) as source, av.open(buffer, "w", format="matroska") as output:
        template = source.streams.video[0]
        stream = output.add_stream_from_template(template)
        changed = av.bitstream.BitStreamFilterContext(description, template, stream)
        for packet in source.demux(template):
            for made in changed.filter(packet if packet.size else None):
                made.stream = stream
                output.mux(made)
    return buffer.getvalue()


def matrix(film):
    """FFmpeg's number of the colour matrix that a film's first frame names."""
    import av

    with av.open(io.BytesIO(film)) as container:
        return int(next(container.decode(video=0)).colorspace)


def trimmed(film, start):
    """An mp4 of the packets of another from one that is decoded `start` packets before the first one shown."""
    import av

    buffer = io.BytesIO()
    with av.open(io.BytesIO(film)) as source, av.open(buffer, "w", format="mp4") as output:
        template = source.streams.video[0]
        stream = output.add_stream_from_template(template)
        for packet in source.demux(template):
            if packet.size:
                shift = start * packet.duration
                packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
                packet.stream = stream
                output.mux(packet)
    return buffer.getvalue()


def webp(count):
    """An animated WebP of `count` pictures."""
    from PIL import Image

    buffer = io.BytesIO()
    first, *others = (Image.fromarray(picture(i)) for i in range(count))
    first.save(buffer, "WEBP", save_all=True, append_images=others, duration=40, quality=100)
    return buffer.getvalue()
