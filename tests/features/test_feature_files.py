"""Files of features: their names, their bytes, and the same numbers when they are read."""

import json
import shutil

import h5py
import numpy as np
import pytest
from made import small_features

from keras_i3d.errors import FeaturesError
from keras_i3d.features import Layout, feature_files, read

SOURCE = {"name": "x.mp4", "bytes": 7}


def written(folder, layout, features, video="x"):
    feature_files.write(folder, video, layout, features, SOURCE)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


LAYOUTS = [
    ({}, ["x.npy"]),
    ({"files": "per_stream", "name": "{stem}_{stream}", "flow_end": "own"}, ["x_flow.npy", "x_rgb.npy"]),
    ({"axes": "CT", "streams": ("flow", "rgb")}, ["x.npy"]),
    ({"axes": "TNC", "crops": 5, "name": "{stem}_i3d"}, ["x_i3d.npy"]),
    ({"axes": "NTC", "crops": 5, "format": "npz"}, ["x.npz"]),
    ({"axes": "TNC", "crops": 5, "format": "h5"}, ["x.h5"]),
    (
        {"files": "per_crop", "crops": 10, "streams": ("rgb",), "name": "{stem}__{crop}", "axes": "CT"},
        [f"x__{i}.npy" for i in range(10)],
    ),
    (
        {"files": "per_crop", "crops": 5, "name": "{stem}_{stream}__{crop}", "format": "h5"},
        [f"x_{stream}__{i}.h5" for stream in ("flow", "rgb") for i in range(5)],
    ),
    ({"files": "per_stream", "name": "{stream}/{stem}", "format": "npz"}, ["flow/x.npz", "rgb/x.npz"]),
]


@pytest.mark.parametrize(("settings", "names"), LAYOUTS, ids=[" ".join(names[:2]) for _, names in LAYOUTS])
@pytest.mark.parametrize("video", ["x", "a/b/x"])
def test_written_and_read(settings, names, video, tmp_path):
    """Whatever the layout: the same names, the same bytes twice, and the same numbers."""
    layout = Layout(**settings)
    features = small_features.features(crops=len(layout.crops), streams=layout.streams)
    found = written(tmp_path / "out", layout, features, video)
    place = video[:-1]
    assert sorted(found) == sorted([f"{place}{name}" for name in (*names, "x.json")])
    assert written(tmp_path / "again", layout, features, video) == found
    for path in (f"{place}x.json", f"{place}x"):
        small_features.equal(read(tmp_path / "out" / path), features)
    small_features.equal(read(tmp_path / "out" / place / names[-1]), features)


def test_the_axes_and_the_order_of_streams(tmp_path):
    """As numpy.load reads them, without this package."""
    features = small_features.features(rows=4, crops=5)
    one = small_features.features(rows=4)
    written(tmp_path, Layout(streams=("flow", "rgb")), one)
    np.testing.assert_array_equal(np.load(tmp_path / "x.npy")[2], [1020, 1021, 1022, 20, 21, 22])
    written(tmp_path, Layout(axes="CT"), one)
    assert np.load(tmp_path / "x.npy").shape == (6, 4)
    np.testing.assert_array_equal(np.load(tmp_path / "x.npy")[:, 2], [20, 21, 22, 1020, 1021, 1022])
    assert np.load(tmp_path / "x.npy").flags.c_contiguous
    written(tmp_path, Layout(axes="TNC", crops=5), features)
    np.testing.assert_array_equal(np.load(tmp_path / "x.npy")[2, 3], [320, 321, 322, 1320, 1321, 1322])
    written(tmp_path, Layout(axes="NTC", crops=5), features)
    np.testing.assert_array_equal(np.load(tmp_path / "x.npy")[3, 2], [320, 321, 322, 1320, 1321, 1322])
    assert np.load(tmp_path / "x.npy").dtype == np.float32
    written(tmp_path, Layout(format="npz"), one)
    assert sorted(np.load(tmp_path / "x.npz")) == ["centre", "end", "flow", "rgb", "start"]
    np.testing.assert_array_equal(np.load(tmp_path / "x.npz")["end"], one.end["rgb"])
    later = {"rgb": one.end["rgb"], "flow": one.end["flow"] + 1}
    written(tmp_path, Layout(format="h5"), small_features.features(rows=4, end=later))
    with h5py.File(tmp_path / "x.h5") as opened:
        assert sorted(opened) == sorted(f"{s}{t}" for s in ("rgb", "flow") for t in ("", "_start", "_end", "_centre"))
        np.testing.assert_array_equal(opened["flow_end"], later["flow"])


def test_maps_keep_their_positions(tmp_path):
    maps = np.arange(2 * 3 * 2 * 2 * 4, dtype="float32").reshape(1, 2, 3, 2, 2, 4)
    layout = Layout(pool="none", streams=("rgb",))
    features = small_features.features(rows=2, streams=("rgb",), arrays={"rgb": maps})
    written(tmp_path, layout, features)
    assert np.load(tmp_path / "x.npy").shape == (2, 3, 2, 2, 4)
    small_features.equal(read(tmp_path / "x"), features)


def test_files_beside(tmp_path):
    layout = Layout(beside=("fps", "timestamps_ms"), window=64)
    features = small_features.features(rows=3, fps=30000 / 1001, window=64, step=64)
    assert sorted(written(tmp_path, layout, features)) == ["x.json", "x.npy", "x_fps.npy", "x_timestamps_ms.npy"]
    assert np.load(tmp_path / "x_fps.npy") == 30000 / 1001
    np.testing.assert_allclose(np.load(tmp_path / "x_timestamps_ms.npy"), [64064 / 30, 128128 / 30, 192192 / 30])
    record = feature_files.read_json(tmp_path / "x.json")
    assert feature_files.are_there(tmp_path, "x", record)
    (tmp_path / "x_fps.npy").unlink()
    assert not feature_files.are_there(tmp_path, "x", record)


@pytest.mark.parametrize("fps", [25, 30000 / 1001, 23.976, 7.3])
@pytest.mark.parametrize(("window", "step", "first"), [(16, 4, 0), (64, 8, 0), (21, 1, -10), (99, 8, -44)])
def test_regular_times_are_few_numbers(fps, window, step, first):
    """Clipped to the video at both ends; right to a millionth of a frame after 20,000 rows."""
    frames = 20_000
    rows = np.arange((frames - first - window) // step + 3)
    begins = (first + step * rows) / fps
    ends = np.minimum(begins + window / fps, frames / fps)
    times = np.maximum(begins, 0), ends, begins + window / 2 / fps
    packed = json.loads(json.dumps(feature_files.packed(*times)))
    assert sorted(packed) == ["centre", "first", "last", "step", "window"]
    assert packed["step"] == pytest.approx(step / fps, abs=1e-9)
    for what, each in zip(feature_files.TIMES, times):
        np.testing.assert_allclose(feature_files.unpacked(packed, len(rows))[what], each, rtol=0, atol=1e-9)


def test_other_times_are_lists():
    times = np.array([0, 0.1, 0.3]), np.array([0.1, 0.3, 0.7]), np.array([0.05, 0.2, 0.5])
    packed = feature_files.packed(*times)
    assert packed["start"] == [0, 0.1, 0.3]
    np.testing.assert_array_equal(feature_files.unpacked(packed, 3)["end"], times[1])
    one = feature_files.packed(*(np.array([each]) for each in (0.0, 0.64, 0.32)))
    assert (one["window"], one["step"]) == (0.64, 0)
    with pytest.raises(ValueError, match="another number of rows than 4"):
        feature_files.unpacked(packed, 4)


def test_what_the_json_says(tmp_path):
    features = small_features.features(damaged=2, cut_short=True)
    written(tmp_path, Layout(step=4), features)
    record = json.loads((tmp_path / "x.json").read_text())
    assert (record["frames"], record["fps"], record["rows"]) == (32, 25.0, {"rgb": 5, "flow": 5})
    times = {"first": 0.0, "step": 0.16, "window": 0.64, "centre": 0.32, "last": 1.28}
    assert record["times"] == {"rgb": times, "flow": times}
    assert record["notes"] == features.notes
    assert (record["damaged"], record["cut_short"], record["video"]) == (2, True, SOURCE)
    assert record["files"]["x.npy"]["shape"] == [5, 6]


@pytest.mark.parametrize("suffix", ["npy", "npz", "h5"])
def test_a_file_that_is_not_the_jsons_own(suffix, tmp_path):
    layout = Layout(format=suffix)
    written(tmp_path / "a", layout, small_features.features())
    other = small_features.features()
    other.arrays["rgb"][0, 2, 1] += 1
    written(tmp_path / "b", layout, other)
    shutil.copy(tmp_path / "b" / f"x.{suffix}", tmp_path / "a")
    with pytest.raises(FeaturesError, match="not the file that its JSON describes: the sha256 differs"):
        read(tmp_path / "a" / "x.json")
    assert read(tmp_path / "a/x.json", verify=False).arrays["rgb"][0, 2, 1] == 22
    written(tmp_path / "b", layout, small_features.features(rows=6))
    shutil.copy(tmp_path / "b" / f"x.{suffix}", tmp_path / "a")
    with pytest.raises(FeaturesError, match=r"bytes, and its JSON is of one of \d+. Make both again"):
        read(tmp_path / "a" / "x.json", verify=False)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda record: record.pop("rows"), "damaged: it has no rows. Remove it"),
        (lambda record: record.update(files={"x.npy": 3}), "it has no description of each file"),
        (lambda record: record.update(files={"../x.npy": record["files"]["x.npy"]}), "a file outside of its folder"),
        (lambda record: record["channels"].update(rgb=2, flow=3), "6 channels, where 5 are noted"),
        (lambda record: record["rows"].update(rgb=4), "5 rows of 3 channels of rgb, where .4, 3. are noted"),
        (lambda record: record["times"].pop("flow"), "it has no 'flow'"),
        (lambda record: record["files"]["x.npy"].update(shape=[6, 5]), "is float32 .5, 6., and its JSON is of"),
    ],
)
def test_a_json_that_was_changed(change, said, tmp_path):
    written(tmp_path, Layout(), small_features.features())
    record = json.loads((tmp_path / "x.json").read_text())
    change(record)
    (tmp_path / "x.json").write_text(json.dumps(record))
    with pytest.raises(FeaturesError, match=said):
        read(tmp_path / "x.json")


def test_damaged_files(tmp_path):
    """Whose sizes fit: the sha256 tells, and without it what is read says that it cannot be."""
    for suffix in ("npz", "h5", "npy"):
        written(tmp_path, Layout(format=suffix), small_features.features())
        path = tmp_path / f"x.{suffix}"
        content = path.read_bytes()
        path.write_bytes(b"\0" * 200 + content[200:])
        with pytest.raises(FeaturesError, match="the sha256 differs"):
            read(tmp_path / "x")
        with pytest.raises(FeaturesError, match="do not fit"):
            read(tmp_path / "x", verify=False)
    (tmp_path / "x.json").write_text("{")
    with pytest.raises(FeaturesError, match=r"x.json cannot be read .*Remove it to make it again"):
        read(tmp_path / "x")


def test_names_stay_in_the_output():
    with pytest.raises(ValueError, match=r"name must be .* Received: name='\.\./x'"):
        feature_files.names(Layout(name="../{stem}"), "x")
    assert feature_files.default_name("per_crop", ("rgb", "flow")) == "{stem}_{stream}__{crop}"
    assert feature_files.default_name("per_crop", ("rgb",)) == "{stem}__{crop}"


def test_a_json_does_not_stand_next_to_files_that_are_made_again(tmp_path, monkeypatch):
    """Stopped in the middle, such a video is not finished: other files than the JSON's may be there."""
    written(tmp_path, Layout(), small_features.features())
    assert (tmp_path / "x.json").exists()

    def stopped(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(feature_files, "lines", stopped)
    with pytest.raises(KeyboardInterrupt):
        written(tmp_path, Layout(), small_features.features())
    assert not (tmp_path / "x.json").exists()
