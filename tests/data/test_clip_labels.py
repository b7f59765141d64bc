"""y of records with several labels, and with labels over time."""

import dataclasses

import numpy as np
import pytest
from made import label_records, numbered

from keras_i3d import data
from keras_i3d.records import manifest

SMALL = {"clip_frames": 12, "size": 32, "batch_size": 4, "with_ids": True}


@pytest.fixture(scope="module", params=["multi", "timed"])
def labelling(request):
    return request.param


@pytest.fixture(scope="module")
def folder(labelling, tmp_path_factory):
    return label_records.split(tmp_path_factory.mktemp(labelling), "train", 8, labelling)


def shown(x):
    """Which colours each frame shows: (B, T, 3), from the pictures themselves."""
    return (np.asarray(x).mean((2, 3)) > 0).astype("float32")


def test_y_is_what_the_frames_show(folder, labelling):
    """In the centre, in training from any start, forwards and backwards, of clips and of whole videos."""
    counted = 0
    for settings in (
        SMALL,
        {**SMALL, "training": True, "seed": 3, "reverse": 0.5, "strides": (1, 2), "repeats": 2},
        {"clip_frames": None, "size": 32, "with_ids": True},
    ):
        for x, y, ids in data.load(folder, **settings):
            assert y.dtype == np.float32
            if labelling == "timed":
                np.testing.assert_array_equal(y, shown(x))
            else:
                expected = [[(int(id[6:]) + 1) >> label & 1 for label in range(3)] for id in ids.numpy()]
                np.testing.assert_array_equal(y, expected)
            counted += len(y)
    assert counted == 32


@pytest.mark.parametrize("stream", ["flow", "both"])
def test_a_field_is_labelled_as_the_frame_that_it_moves_from(tmp_path, stream):
    """The field n, from frame n to n + 1, is of frame n; played backwards it moves from n + 1, and is of that one."""
    times = ((0, "run", 0, 6 / 25), (1, "jump", 6 / 25, 12 / 25))
    record = numbered.encode(12, id="v", label=("run", "jump"), index=(0, 1), segments=times)
    path = tmp_path / manifest.shard_name("train", 0, 1)
    numbered.write(path, [record])
    shard = manifest.Shard(path.name, ("v",), path.stat().st_size, ((0, 1),))
    manifest.Manifest("train", ("run", "jump"), numbered.SPEC, (shard,), labelling="timed").write(tmp_path)
    settings = {"clip_frames": 8, "size": 32, "training": True, "flip": False, "seed": 1, "reverse": 0.5}
    directions = set()
    for x, y in data.load(tmp_path, stream, repeat=True, **settings).take(8):
        x = x if stream == "flow" else x["flow"]
        (fields,), ((backwards, *_),) = numbered.which_fields(x)
        frames = np.array(fields) + backwards
        np.testing.assert_array_equal(y[0], np.stack([frames < 6, frames >= 6], axis=-1))
        directions.add(backwards)
    assert directions == {True, False}


def test_views_and_strides(folder, labelling):
    dataset = data.load(folder, clip_frames=4, size=32, frame_stride=2, views=(3, 3))
    assert len(dataset) == 24
    for x, y in dataset.take(9):
        if labelling == "timed":
            np.testing.assert_array_equal(y[0], shown(x[0])[0])
        assert y.shape == ((1, 4, 3) if labelling == "timed" else (1, 3))


@pytest.mark.slow
def test_a_subset_leaves_out_no_record(folder):
    whole = {id: y for _, y, ids in data.load(folder, **SMALL) for id, y in zip(ids.numpy(), y.numpy())}
    for classes in (["blue", "red"], [2, 0]):
        some = list(data.load(folder, classes=classes, **SMALL))
        found = {id: y for _, y, ids in some for id, y in zip(ids.numpy(), y.numpy())}
        assert found.keys() == whole.keys()
        for id, y in found.items():
            np.testing.assert_array_equal(y, whole[id][..., [2, 0]])


def test_impossible_labels(folder, labelling, tmp_path):
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    content = manifest.read(tmp_path / "train.json")
    dataclasses.replace(content, labels=("red", "green")).write(tmp_path)
    dataset = data.load(tmp_path, errors="count", **SMALL)
    assert sum(len(y) for _, y, _ in dataset) == 4
    assert data.dropped(dataset)["invalid"] == 4
    if labelling == "multi":
        with pytest.raises(ValueError, match="one class a video. Received: one, whose labelling is multi"):
            data.load({"one": folder}, **SMALL)
