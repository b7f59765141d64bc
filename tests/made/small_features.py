"""Features whose numbers say where they are from, without a network; and small networks and videos to extract from."""

import dataclasses

import numpy as np

from keras_i3d.features import VideoFeatures
from made import films, tiny

# What `extract` takes for short work: of a network that `network` wrote, on videos that `videos` wrote.
SMALL = {"window": 9, "step": 4, "resize": "short:40", "crop": 32, "flow_method": "dis", "batch_size": 4}

NOTES = {
    "layout": {"window": 16, "step": 4},
    "networks": {"rgb": {"weights": "x.keras", "sha256": "ab"}},
    "keras_i3d": "1",
}


def features(
    rows=5, crops=1, streams=("rgb", "flow"), channels=3, fps=25.0, window=16, step=4, video="x.mp4", **changed
):
    """VideoFeatures of which each number is 1000 stream + 100 crop + 10 row + channel."""
    crop, row, channel = np.meshgrid(np.arange(crops), np.arange(rows), np.arange(channels), indexing="ij")
    begins = np.arange(rows) * step / fps
    frames = (rows - 1) * step + window
    times = {
        "start": begins,
        "end": np.minimum(begins + window / fps, frames / fps),
        "centre": begins + window / 2 / fps,
    }
    values = {
        "video": video,
        "arrays": {s: (1000 * i + 100 * crop + 10 * row + channel).astype("float32") for i, s in enumerate(streams)},
        **{what: dict.fromkeys(streams, each) for what, each in times.items()},
        "frames": frames,
        "fps": fps,
        "notes": {**NOTES, "rows": rows},
    }
    return VideoFeatures(**{**values, **changed})


def equal(found, expected, close=1e-9):
    """Raises AssertionError unless two VideoFeatures hold the same arrays and, to `close` seconds, times."""
    assert list(found.arrays) == list(expected.arrays)
    for stream, array in expected.arrays.items():
        np.testing.assert_array_equal(found.arrays[stream], array)
        assert found.arrays[stream].dtype == np.float32
        for what in ("start", "end", "centre"):
            times = getattr(found, what)[stream]
            np.testing.assert_allclose(times, getattr(expected, what)[stream], rtol=0, atol=close)
            assert times.dtype == np.float64
    facts = ("frames", "fps", "damaged", "cut_short", "notes")
    assert [getattr(found, name) for name in facts] == [getattr(expected, name) for name in facts]


def op_by_op(monkeypatch):
    """Runs networks op by op, which is quicker than tracing a graph once; of other bytes than a graph's, perhaps."""
    import keras

    monkeypatch.setattr(keras.Model, "predict_on_batch", lambda net, x: np.asarray(net(x, training=False)))


def network(path, stream, seed=7):
    """Writes an I3D, narrow and cut short, whose weights show what they are given; returns the path."""
    from keras_i3d import facts
    from keras_i3d.facts import Facts

    row = tiny.short_rows()["I3D"]
    shape = (None, None, None, 3 if stream == "rgb" else 2)
    made = row.build(stream=stream, classes=4, depth_multiplier=0.05, input_shape=shape)
    draw = np.random.default_rng(seed)
    for weight in made.weights:
        ones = weight.name == "gamma" or "variance" in weight.name
        many = np.sqrt(2 / max(np.prod(weight.shape[:-1]), 1)) if len(weight.shape) > 1 else 0.1
        weight.assign(abs(draw.normal(ones, many, weight.shape)) if ones else draw.normal(0, many, weight.shape))
    spec = dataclasses.replace(row.clips[stream], short_side=40, crop=32)
    facts.note(made, Facts(stream, 4, tuple("abcd"), "softmax", 0.05, "float32", spec, "", "I3D")).save(path)
    return path


def videos(folder, count, frames=24, height=40, width=52):
    """Writes films of a texture that moves, each with a few frames more than the one before; returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for number in range(count):
        scene = np.random.default_rng(number).integers(0, 255, (10, 14, 3)).repeat(8, 0).repeat(8, 1).astype("uint8")
        shown = [np.roll(scene, (i % 7, 2 * i), (0, 1))[:height, :width] for i in range(frames + number % 5)]
        path = folder / f"v{number:03}.mkv"
        path.write_bytes(films.film(shown, "matroska", "ffv1", pixels="bgr0"))
        paths.append(str(path))
    return paths


def contents(folder):
    """{path in the folder: bytes}, without the lock, which stays and holds nothing."""
    found = (path for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock")
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}
