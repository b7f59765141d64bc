"""The demo's videos: three shapes in three motions, on a textured ground, under a shaking camera.

A label is a shape and a motion, "disc slides": neither a still picture, which shows the shapes but not which of them
moves how, nor the motion alone, which does not show the shape well, can tell all nine. Shapes at rest distract, as do
noise, colour and size, which mean nothing. Motions look the same in a mirror, as training flips clips.
"""

import pathlib

import numpy as np

SHAPES = ("disc", "cross", "triangle")
MOTIONS = ("slides", "bounces", "circles")
HEIGHT, WIDTH, FRAMES, FPS = 64, 80, 32, 25


def make(folder, per_class, seed):
    """Writes `per_class` videos of each label as FOLDER/LABEL/NNN.mp4; the same seed, the same videos."""
    for number, (shape, motion) in enumerate((s, m) for s in SHAPES for m in MOTIONS):
        place = pathlib.Path(folder) / f"{shape} {motion}"
        place.mkdir(parents=True, exist_ok=True)
        for i in range(per_class):
            path = place / f"{i:03}.mp4"
            write(path, frames(np.random.default_rng((seed, number, i)), shape, motion))


def frames(rng, shape, motion):
    """Returns uint8 (32, 64, 80, 3): one video."""
    margin = 8  # of ground around the picture, for the camera to shake in
    ys, xs = np.mgrid[: HEIGHT + 2 * margin, : WIDTH + 2 * margin].astype(np.float32)
    ground = _texture(rng, ys.shape, cell=6) * 60 + rng.uniform(20, 60, 3)
    centre = rng.uniform((margin + 6, margin + 6), (margin + HEIGHT - 6, margin + WIDTH - 6))
    _paint(ground, ys, xs, centre, rng.choice(SHAPES), rng.uniform(10, 13), rng.uniform(160, 255, 3), rng)  # at rest
    radius, color = rng.uniform(10, 13), rng.uniform(160, 255, 3)
    skin = _texture(rng, ys.shape, cell=4)
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
        _paint(image, ys, xs, at, shape, radius, color, skin=skin)
        top, left = np.rint(margin + shake[t]).astype(int)
        image = image[top : top + HEIGHT, left : left + WIDTH] + rng.normal(0, 6, (HEIGHT, WIDTH, 1))
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


def _paint(image, ys, xs, centre, shape, radius, color, rng=None, skin=None):
    """Paints a shape with a soft edge onto an image, float (H, W, 3), in place."""
    dy, dx = ys - centre[0], xs - centre[1]
    distance = {
        "disc": np.hypot(dy, dx) - radius,
        "cross": np.maximum(np.minimum(abs(dy), abs(dx)) - 0.35 * radius, np.maximum(abs(dy), abs(dx)) - 1.1 * radius),
        "triangle": np.maximum(dy - 0.7 * radius, abs(dx) * 0.87 - dy * 0.5 - 0.6 * radius),
    }[shape]
    cover = np.clip(0.5 - distance, 0, 1)[..., None]
    skin = _texture(rng, ys.shape, cell=4) if skin is None else np.roll(skin, np.rint(centre).astype(int), (0, 1))
    image += cover * (color * (0.6 + 0.4 * skin) - image)


def _texture(rng, shape, cell):
    """Smooth noise in [0, 1], (H, W, 1)."""
    small = rng.uniform(0, 1, [side // cell + 2 for side in shape]).astype(np.float32)
    y, x = (np.arange(side, dtype=np.float32) / cell for side in shape)
    rows, columns = y.astype(int), x.astype(int)
    py, px = (y - rows)[:, None], (x - columns)[None]
    top = small[rows][:, columns] * (1 - px) + small[rows][:, columns + 1] * px
    low = small[rows + 1][:, columns] * (1 - px) + small[rows + 1][:, columns + 1] * px
    return (top * (1 - py) + low * py)[..., None]
