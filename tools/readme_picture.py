"""Makes the picture of the README: frames of a video, their flow, and the labels that the demo's networks give it.

  make demo
  python tools/readme_picture.py --demo=demo --output=docs/picture.webp

The video is one of those that the demo holds out, drawn three times as large as the demo's. It is written, read, turned
into flow and classified as any other file. The networks are the demo's own: a quarter as wide as I3D, and trained for
some minutes on generated videos.
"""

import pathlib
import tempfile

import demo_videos
import numpy as np
from absl import app, flags

_DEMO = flags.DEFINE_string("demo", "demo", "Folder that `make demo` wrote, with the runs of both streams.")
_OUTPUT = flags.DEFINE_string("output", "docs/picture.webp", "The picture to write.")
_SHAPE = flags.DEFINE_enum("shape", "triangle", demo_videos.SHAPES, "What moves in the video.")
_MOTION = flags.DEFINE_enum("motion", "circles", demo_videos.MOTIONS, "How it moves.")
_NUMBER = flags.DEFINE_integer("number", 0, "Which of the held-out videos of this label.", lower_bound=0)
_SEED = flags.DEFINE_integer("seed", 1, "Seed of the demo.")

SCALE = 3  # times the demo's size: 192 x 240 pixels
COLUMNS, BARS = 5, 3
WIDTH, MARGIN, GAP = 1600, 36, 10
FRAME = 206, 165  # width and height of one frame in the picture
INK, FAINT, TRACK = "#1f2933", "#7b8794", "#eef1f4"
COLORS = {"rgb": "#3d6fb6", "flow": "#1a936f", "both": "#d1495b"}
TITLES = {"rgb": "RGB stream", "flow": "flow stream", "both": "both streams"}


def main(argv):
    del argv
    import keras_i3d
    from keras_i3d import flow, video

    runs = pathlib.Path(_DEMO.value) / "learned/runs"
    classifier = keras_i3d.Classifier(rgb=str(runs / "rgb/model.keras"), flow=str(runs / "flow/model.keras"))
    label = f"{_SHAPE.value} {_MOTION.value}"
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / f"{label}.mp4"
        demo_videos.write(path, demo_videos.frames(_generator(), _SHAPE.value, _MOTION.value, SCALE))
        result = classifier(str(path))
        frames = video.read(path)
    shares = {stream: _softmax(logits) for stream, logits in [*result.stream_logits.items(), ("both", result.logits)]}
    for stream, values in shares.items():
        print(f"{stream}: " + ", ".join(f"{classifier.labels[i]} {values[i]:.1%}" for i in _best(values)))
    picture = draw(frames, flow.compute(frames), classifier.labels, shares, label)
    _write(picture, _OUTPUT.value)


def draw(frames, fields, labels, shares, truth):
    """Lays out the picture.

    Args:
        frames: uint8 (T, H, W, 3), RGB.
        fields: float32 (T - 1, H, W, 2), pixels per frame.
        labels: class names.
        shares: {stream: float (classes,)}, probabilities.
        truth: the label of the video; its bars are coloured, the others are grey.

    Returns:
        A PIL image.
    """
    from PIL import Image, ImageDraw

    from keras_i3d import visualize

    top = MARGIN + 34
    height = top + 2 * FRAME[1] + GAP + 34 + MARGIN - 8
    page = Image.new("RGB", (WIDTH, height), "white")
    pen = ImageDraw.Draw(page)
    bound = float(np.percentile(np.hypot(fields[..., 0], fields[..., 1]), 99.5))
    chosen = np.linspace(1, len(fields) - 6, COLUMNS).round().astype(int)
    heading = "frames, and their optical flow: colour is direction, white is still"
    pen.text((MARGIN, MARGIN - 4), heading, INK, _font(23))
    for column, i in enumerate(chosen):
        left = MARGIN + column * (FRAME[0] + GAP)
        _paste(page, frames[i], (left, top))
        _paste(page, visualize.flow_to_color(fields[i], bound), (left, top + FRAME[1] + GAP), outline=True)
        time = f"{i / 25:.2f} s"
        pen.text((left + FRAME[0] / 2, top + 2 * FRAME[1] + GAP + 8), time, FAINT, _font(19), anchor="ma")
    _wheel(page, (left + FRAME[0] - 36, MARGIN - 10), 36)
    left = MARGIN + COLUMNS * (FRAME[0] + GAP) + 40
    at = MARGIN - 4
    for stream, values in shares.items():
        at = _bars(pen, (left, at), stream, values, labels, truth)
    return page


def _bars(pen, corner, stream, values, labels, truth):
    """Draws a stream's most likely labels as bars; returns where the next stream's begin."""
    left, top = corner
    begin, end, line = left + 166, WIDTH - MARGIN - 76, 31
    pen.text((left, top), TITLES[stream], INK, _font(23))
    for row, i in enumerate(_best(values)):
        y = top + 38 + row * line
        right = labels[i] == truth
        pen.text((left, y + 9), labels[i], INK if right else FAINT, _font(20), anchor="lm")
        pen.rounded_rectangle((begin, y, end, y + 18), 9, TRACK)
        if values[i] * (end - begin) >= 4:
            radius = min(9, values[i] * (end - begin) / 2)
            color = COLORS[stream] if right else "#b8c1cc"
            pen.rounded_rectangle((begin, y, begin + values[i] * (end - begin), y + 18), radius, color)
        pen.text((WIDTH - MARGIN, y + 9), f"{values[i]:.1%}", INK if right else FAINT, _font(20), anchor="rm")
    return top + 38 + BARS * line + 16


def _paste(page, image, corner, outline=False):
    """Puts an array onto the page with rounded corners, and a thin line around it where it may be white."""
    from PIL import Image, ImageDraw

    small = Image.fromarray(image).resize(FRAME, Image.Resampling.LANCZOS)
    mask = Image.new("L", (FRAME[0] * 4, FRAME[1] * 4))
    ImageDraw.Draw(mask).rounded_rectangle((0, 0, FRAME[0] * 4 - 1, FRAME[1] * 4 - 1), 32, 255)
    page.paste(small, corner, mask.resize(FRAME, Image.Resampling.LANCZOS))
    if outline:
        box = (*corner, corner[0] + FRAME[0] - 1, corner[1] + FRAME[1] - 1)
        ImageDraw.Draw(page).rounded_rectangle(box, 8, outline="#d5dbe1")


def _wheel(page, corner, size):
    """Draws the legend of the flow: the colour of each direction."""
    from PIL import Image, ImageDraw

    from keras_i3d import visualize

    fine = size * 4
    y, x = np.mgrid[:fine, :fine] / (fine / 2) - 1
    colors = visualize.flow_to_color(np.stack([x, y], -1) / np.maximum(np.hypot(x, y), 1)[..., None], 1.0)
    mask = Image.new("L", (fine, fine))
    ImageDraw.Draw(mask).ellipse((0, 0, fine - 1, fine - 1), fill=255)
    smooth = Image.Resampling.LANCZOS
    page.paste(Image.fromarray(colors).resize((size, size), smooth), corner, mask.resize((size, size), smooth))


def _write(picture, path):
    from keras_i3d import atomic

    with atomic.replacing(path) as temporary:
        picture.save(temporary, "WEBP", quality=84, method=6)
    print(f"-> {path}, {pathlib.Path(path).stat().st_size / 1000:.0f} kB")


def _generator():
    """The generator from which the demo draws this held-out video."""
    names = [(shape, motion) for shape in demo_videos.SHAPES for motion in demo_videos.MOTIONS]
    return np.random.default_rng((_SEED.value + 1000, names.index((_SHAPE.value, _MOTION.value)), _NUMBER.value))


def _best(values):
    return np.argsort(-values, kind="stable")[:BARS]


def _softmax(logits):
    powers = np.exp(logits - logits.max())
    return powers / powers.sum()


def _font(size):
    from PIL import ImageFont

    return ImageFont.load_default(size)


if __name__ == "__main__":
    app.run(main)
