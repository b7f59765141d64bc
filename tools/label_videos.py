"""Videos of several labels at once, with known times: up to three shapes that each move in their own way for a while.

A label is a motion: "slides", "bounces" or "circles", as in the demo's videos. Each shape is there all the time, rests,
moves for a while, and rests again; the shape says nothing of its motion. So a still picture tells no label, and the
times are known to the frame. `annotations` are lines as `keras-i3d records` takes them.
"""

import csv
import pathlib

import demo_videos
import numpy as np

LABELS = demo_videos.MOTIONS
FRAMES, FPS = 48, demo_videos.FPS


def make(folder, videos, seed, timed=True):
    """Writes `videos` videos as FOLDER/NNN.mp4, and FOLDER/labels.csv; the same seed, the same videos.

    Args:
        folder: made if it is not there.
        videos: how many.
        seed: of all draws.
        timed: whether lines of the file are "path,label,start,end", one for each time, or "path,label;label".
    """
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    lines = []
    for i in range(videos):
        path = folder / f"{i:03}.mp4"
        video, times = frames(np.random.default_rng((seed, i)))
        demo_videos.write(path, video)
        lines += annotations(path.name, times, timed)
    header = ("path", "label", "start", "end") if timed else ("path", "label")
    with open(folder / "labels.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *lines])


def annotations(name, times, timed):
    """Returns the lines of a video; one without labels has a line all the same, without any."""
    if timed:
        lines = [(name, label, f"{start / FPS:.2f}", f"{end / FPS:.2f}") for label, start, end in times]
        return lines or [(name, "", "", "")]
    return [(name, ";".join(label for label, *_ in times))]


def frames(rng):
    """Draws one video.

    Returns:
        (uint8 (48, 64, 80, 3), RGB; [(label, first frame, frame after the last)] in the order of LABELS).
    """
    sides = demo_videos.HEIGHT, demo_videos.WIDTH
    ys, xs = np.mgrid[: sides[0], : sides[1]].astype(np.float32)
    ground = demo_videos._texture(rng, sides, 6, 1) * 60 + rng.uniform(20, 60, 3)
    times, shapes = [], []
    for label in rng.permutation(LABELS):
        middle = rng.uniform((20, 24), (sides[0] - 20, sides[1] - 24))
        look = rng.choice(demo_videos.SHAPES), rng.uniform(8, 11), rng.uniform(160, 255, 3)
        begin, length = int(rng.integers(0, FRAMES - 16)), int(rng.integers(16, 33))
        shows = rng.random() < 0.45
        shapes.append((label, middle, look, demo_videos._texture(rng, sides, 4, 1), rng.uniform(10, 13), begin, shows))
        if shows:
            times.append((label, begin, min(begin + length, FRAMES)))
    ends = {label: end for label, _, end in times}
    video = []
    for t in range(FRAMES):
        image = ground.copy()
        for label, middle, look, skin, reach, begin, shows in shapes:
            angle = 2 * np.pi * (min(max(t, begin), ends[label]) - begin) / 16 if shows else 0.0
            at = middle + reach * _away(label, angle)
            moved = np.roll(skin, np.rint(at).astype(int), (0, 1))
            demo_videos._paint(image, ys, xs, at, *look, moved, 1)
        video.append(np.clip(image + rng.normal(0, 4, (*sides, 1)), 0, 255).astype(np.uint8))
    return np.stack(video), sorted(times, key=lambda time: LABELS.index(time[0]))


def _away(label, angle):
    """Where a shape is at an angle of its motion, (rows, columns) from its middle; all motions begin at one place."""
    return {
        "slides": np.array([0, np.cos(angle)]),
        "bounces": np.array([np.sin(angle), 1]),
        "circles": np.array([np.sin(angle), np.cos(angle)]),
    }[label]
