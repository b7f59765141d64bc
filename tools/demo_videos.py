"""The demo's videos: three shapes in three motions, on a textured ground, under a shaking camera.

A label is a shape and a motion, "disc slides": neither a still picture, which shows the shapes but not which of them
moves how, nor the motion alone, which does not show the shape well, can tell all nine. Shapes at rest distract, as do
noise, colour and size, which mean nothing. Motions look the same in a mirror, as training flips clips.
"""

import pathlib

import numpy as np

SHAPES = ("disc", "cross", "triangle")
MOTIONS = ("slides", "bounces", "circles")
LABELS = tuple(f"{shape} {motion}" for shape in SHAPES for motion in MOTIONS)
HEIGHT, WIDTH, FRAMES, FPS = 64, 80, 32, 25


def make(folder, per_class, seed):
    """Writes `per_class` videos of each label as FOLDER/LABEL/NNN.mp4; the same seed, the same videos."""
    for number, (shape, motion) in enumerate((s, m) for s in SHAPES for m in MOTIONS):
        place = pathlib.Path(folder) / f"{shape} {motion}"
        place.mkdir(parents=True, exist_ok=True)
        for i in range(per_class):
            path = place / f"{i:03}.mp4"
            write(path, frames(np.random.default_rng((seed, number, i)), shape, motion))


def frames(rng, shape, motion, scale=1):
    """Draws one video.

    Args:
        rng: NumPy generator; the same state gives the same scene at every scale.
        shape, motion: one of SHAPES, one of MOTIONS.
        scale: integer, how many times as large the scene is drawn; the demo uses 1.

    Returns:
        uint8 (32, 64 * scale, 80 * scale, 3), RGB.
    """
    margin = 8  # pixels of ground around the picture, in which the camera shakes
    sides = HEIGHT + 2 * margin, WIDTH + 2 * margin
    # Coordinates stay those of the small picture: a larger one has more points between them.
    ys, xs = np.mgrid[: sides[0] * scale, : sides[1] * scale].astype(np.float32) / scale
    ground = _texture(rng, sides, 6, scale) * 60 + rng.uniform(20, 60, 3)
    centre = rng.uniform((margin + 6, margin + 6), (margin + HEIGHT - 6, margin + WIDTH - 6))
    at_rest = rng.choice(SHAPES), rng.uniform(10, 13), rng.uniform(160, 255, 3)
    _paint(ground, ys, xs, centre, *at_rest, _texture(rng, sides, 4, scale), scale)
    radius, color = rng.uniform(10, 13), rng.uniform(160, 255, 3)
    skin = _texture(rng, sides, 4, scale)
    middle = rng.uniform((margin + 26, margin + 30), (margin + HEIGHT - 26, margin + WIDTH - 30))
    reach, turns, phase = rng.uniform(12, 15), rng.uniform(1.4, 1.9), rng.uniform(0, 2 * np.pi)
    spin = rng.choice([-1, 1])
    shake = np.cumsum(rng.normal(0, 0.35, (FRAMES, 2)), axis=0)
    shake = np.clip(shake - shake.mean(axis=0), -margin + 1, margin - 1)
    video = []
    for t in range(FRAMES):
        angle = phase + spin * 2 * np.pi * turns * t / FRAMES
        away = {"slides": (0, np.cos(angle)), "bounces": (np.sin(angle), 0), "circles": (np.sin(angle), np.cos(angle))}
        image = ground.copy()
        at = middle + reach * np.array(away[motion])
        moved = np.roll(skin, np.rint(at * scale).astype(int), (0, 1))  # the skin moves with its shape
        _paint(image, ys, xs, at, shape, radius, color, moved, scale)
        top, left = np.rint((margin + shake[t]) * scale).astype(int)
        height, width = HEIGHT * scale, WIDTH * scale
        image = image[top : top + height, left : left + width] + rng.normal(0, 6, (height, width, 1))
        video.append(np.clip(image, 0, 255).astype(np.uint8))
    return np.stack(video)


def write(path, video):
    """Encodes a video as MPEG-4."""
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=FPS)
        stream.height, stream.width = video.shape[1:3]
        stream.pix_fmt, stream.bit_rate = "yuv420p", 2_000_000
        for image in video:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())


def _paint(image, ys, xs, centre, shape, radius, color, skin, scale):
    """Paints a shape with a soft edge onto an image, float (H, W, 3), in place."""
    dy, dx = ys - centre[0], xs - centre[1]
    distance = {
        "disc": np.hypot(dy, dx) - radius,
        "cross": np.maximum(np.minimum(abs(dy), abs(dx)) - 0.35 * radius, np.maximum(abs(dy), abs(dx)) - 1.1 * radius),
        "triangle": np.maximum(dy - 0.7 * radius, abs(dx) * 0.87 - dy * 0.5 - 0.6 * radius),
    }[shape]
    cover = np.clip(0.5 - distance * scale, 0, 1)[..., None]
    image += cover * (color * (0.6 + 0.4 * skin) - image)


def _texture(rng, sides, cell, scale):
    """Smooth noise in [0, 1], (H * scale, W * scale, 1) for sides H and W; a cell has `cell * scale` pixels."""
    small = rng.uniform(0, 1, [side // cell + 2 for side in sides]).astype(np.float32)
    y, x = (np.arange(side * scale, dtype=np.float32) / (cell * scale) for side in sides)
    rows, columns = y.astype(int), x.astype(int)
    py, px = (y - rows)[:, None], (x - columns)[None]
    top = small[rows][:, columns] * (1 - px) + small[rows][:, columns + 1] * px
    low = small[rows + 1][:, columns] * (1 - px) + small[rows + 1][:, columns + 1] * px
    return (top * (1 - py) + low * py)[..., None]
