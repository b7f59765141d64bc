"""Statistics of rows: against NumPy in one piece, merged, saved, and read from what others wrote."""

import io
import json
import os
import pickle
import tracemalloc
import zipfile

import numpy as np
import pytest

from keras_i3d.frechet import gaussians
from keras_i3d.frechet.gaussians import Gaussian, read_pickle


def rows(count=90, size=7, seed=0, mean=0.0):
    draw = np.random.default_rng(seed)
    return mean + draw.normal(size=(count, size)) @ draw.normal(size=(size, size))


def same(found, features, rtol=1e-12):
    assert found.count == len(features)
    np.testing.assert_allclose(found.mean, features.mean(axis=0), rtol=rtol, atol=rtol)
    for ddof in (0, 1):
        expected = np.cov(features.T, ddof=ddof)
        np.testing.assert_allclose(found.covariance(ddof), expected, rtol=rtol, atol=rtol * np.abs(expected).max())


@pytest.mark.parametrize("parts", [[90], [1] * 90, [0, 1, 50, 0, 39], [89, 1]])
def test_in_parts(parts):
    features, found, begin = rows(), Gaussian(7), 0
    for part in parts:
        assert found.update(features[begin : begin + part]) is found
        begin += part
    same(found, features)
    assert (found.scatter == found.scatter.T).all()
    np.testing.assert_array_equal(found.covariance("N"), found.covariance(0))
    np.testing.assert_array_equal(found.covariance("N-1"), found.covariance(1))


def test_a_large_mean():
    """Where raw moments have no digit left: mean 1e6, deviation 1, and 1e8 with a tenth of that."""
    for mean, deviation in ((1e6, 1.0), (1e8, 0.1)):
        centred = np.round(np.random.default_rng(3).normal(size=(4000, 3)) * deviation * 2**20) / 2**20
        features = mean + centred  # of at most 52 bits, so that the sum is exact
        found = Gaussian(3)
        for begin in range(0, 4000, 170):
            found.update(features[begin : begin + 170])
        expected = np.cov((features - mean).T)
        np.testing.assert_allclose(found.covariance(1), expected, rtol=0, atol=1e-8 * deviation**2)
        raw = features.T @ features / 4000 - np.outer(features.mean(axis=0), features.mean(axis=0))
        assert np.abs(raw - np.cov((features - mean).T, ddof=0)).max() > 1e-5 * deviation**2


def test_merged_across_processes():
    features = rows(201, mean=1e4)
    parts = [Gaussian(7, {"part": i}).update(part) for i, part in enumerate(np.split(features, [20, 20, 150]))]
    for order in ([0, 1, 2, 3], [3, 1, 0, 2], [1, 0, 2, 3]):
        whole = Gaussian(7, {"whole": True})
        for i in order:
            whole.merge(parts[i])
        same(whole, features, 1e-10)
        assert whole.notes == {"whole": True}
    assert [part.count for part in parts] == [20, 0, 130, 51]  # none of them has changed
    with pytest.raises(ValueError, match=r"same size can be merged, 7 here. Received: Gaussian\(size=6, count=0\)"):
        whole.merge(Gaussian(6))


def test_rows_are_left_as_they_are_and_may_be_of_any_dtype():
    features = np.random.default_rng(1).integers(0, 255, (40, 5)).astype("uint8")
    before = features.copy()
    same(Gaussian(5).update(features), features.astype("float64"))
    assert (features == before).all()
    single = features.astype("float32")
    same(Gaussian(5).update(single), single.astype("float64"))


def test_memory_does_not_grow_with_rows(monkeypatch, tmp_path):
    """Of a file that is mapped: a block at a time, and the same numbers whatever the block."""
    features = rows(6000, 40)
    np.save(tmp_path / "x.npy", features)
    monkeypatch.setattr(gaussians, "BLOCK", 40 * 100)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    tracemalloc.start()
    found = Gaussian(40).update(mapped)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < features.nbytes / 4
    same(found, features)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (np.zeros((3, 4)), r"numbers \(N, 5\). Received: float64 \(3, 4\)"),
        (np.zeros(5), r"Received: float64 \(5,\)"),
        (np.zeros((2, 3, 5)), "Average or flatten"),
        (np.array([["a"] * 5]), "Received: <U1"),
    ],
)
def test_rows_of_another_shape(wrong, message):
    with pytest.raises(ValueError, match=message):
        Gaussian(5).update(wrong)


def test_rows_that_are_no_numbers_are_counted():
    features = rows(10, 5)
    features[[2, 7], 1] = np.nan, np.inf
    found = Gaussian(5).update(rows(4, 5))
    with pytest.raises(ValueError, match="NaN or infinity in 2 of the 10 rows from row 0 on, first in row 2"):
        found.update(features)
    same(found, rows(4, 5))


def test_wrong_arguments():
    for size in (0, -1, 2.0, None):
        with pytest.raises(ValueError, match="size must be a whole number of at least 1"):
            Gaussian(size)
    for ddof in (2, "n", True, 0.5):
        with pytest.raises(ValueError, match="ddof must be 1"):
            Gaussian(3).update(rows(9, 3)).covariance(ddof)
    with pytest.raises(ValueError, match="by N - 1 needs at least 2 rows. Received: 1"):
        Gaussian(3).update(rows(1, 3)).covariance(1)
    assert not Gaussian(3).update(rows(1, 3)).covariance(0).any()
    with pytest.raises(ValueError, match="by N needs at least 1 rows. Received: 0"):
        Gaussian(3).covariance(0)


def test_saved_and_loaded(tmp_path):
    path = tmp_path / "real.npz"
    found = Gaussian(7, {"protocol": "original", "frames": 16}).update(rows())
    found.save(path)
    loaded = Gaussian.load(str(path))
    assert (loaded.count, loaded.size, loaded.notes) == (90, 7, {"protocol": "original", "frames": 16})
    np.testing.assert_array_equal(loaded.mean, found.mean)
    np.testing.assert_array_equal(loaded.scatter, found.scatter)
    same(loaded.update(rows(5, seed=1)), np.concatenate([rows(), rows(5, seed=1)]))
    assert os.listdir(tmp_path) == ["real.npz"]
    Gaussian(2).save(path)
    assert Gaussian.load(path).count == 0


def test_an_interrupted_save_leaves_what_was_there(tmp_path, monkeypatch):
    path = tmp_path / "real.npz"
    Gaussian(3).update(rows(9, 3)).save(path)

    def cut(file, **_):
        file.write(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(np, "savez", cut)
    with pytest.raises(KeyboardInterrupt):
        Gaussian(3).save(path)
    assert Gaussian.load(path).count == 9
    assert os.listdir(tmp_path) == ["real.npz"]


def bent(path, **changes):
    """A file of statistics with some of its arrays replaced; None takes one away."""
    found = Gaussian(3).update(rows(9, 3))
    about = json.dumps({"format": 1, "notes": {}})
    arrays = {"count": np.int64(9), "mean": found.mean, "scatter": found.scatter, "about": np.array(about)}
    np.savez(path, **{name: value for name, value in (arrays | changes).items() if value is not None})


def asymmetric():
    changed = Gaussian(3).update(rows(9, 3)).scatter
    changed[0, 1] += 1
    return changed


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mean": None}, "it has no mean"),
        ({"mean": np.zeros(4)}, r"mean is of shape \(4,\), its scatter of \(3, 3\)"),
        ({"scatter": np.zeros((3, 4))}, r"its scatter of \(3, 4\)"),
        ({"mean": np.zeros((0,)), "scatter": np.zeros((0, 0))}, r"mean is of shape \(0,\)"),
        ({"mean": np.array([1, np.nan, np.inf])}, "2 of its numbers are NaN or infinity"),
        ({"scatter": asymmetric()}, "not symmetric"),
        ({"scatter": -np.eye(3)}, "its scatter is none"),
        ({"scatter": np.eye(3) + 2 * np.ones((3, 3)) * (1 - np.eye(3))}, "its scatter is none"),
        ({"count": np.int64(-1)}, "count is no number of rows"),
        ({"count": np.float64(9)}, "count is no number of rows"),
        ({"count": np.int64(1)}, "scatter is not zero, and it counts 1 rows"),
        ({"mean": np.array(["a", "b", "c"])}, "its mean is <U1"),
        ({"about": np.array("{}")}, "another format"),
        ({"about": np.array("[")}, "not statistics"),
        ({"mean": np.array([{"a": 1}] * 3, object)}, r"mean.npy is object \(3,\)"),
    ],
)
def test_files_that_are_no_statistics(changes, message, tmp_path):
    bent(tmp_path / "x.npz", **changes)
    with pytest.raises(ValueError, match=message) as caught:
        Gaussian.load(tmp_path / "x.npz")
    assert str(tmp_path / "x.npz") in str(caught.value)
    assert "Make them again" in str(caught.value)


def test_files_that_are_damaged(tmp_path):
    path = tmp_path / "x.npz"
    with pytest.raises(ValueError, match=r"that Gaussian.save wrote. Received: .*x.npz, no file"):
        Gaussian.load(path)
    bent(path)
    whole = path.read_bytes()
    for end in range(0, len(whole) - 1, 97):
        path.write_bytes(whole[:end])
        with pytest.raises(ValueError, match="not statistics"):
            Gaussian.load(path)


def test_a_bomb_takes_no_memory(tmp_path):
    """Four gigabytes by its header, and a few hundred bytes."""
    path, content = tmp_path / "x.npz", io.BytesIO()
    np.lib.format.write_array_header_1_0(content, {"shape": (1 << 29,), "fortran_order": False, "descr": "<f8"})
    bent(path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("more.npy", content.getvalue())
    with pytest.raises(ValueError, match="declares|and has 0"):
        Gaussian.load(path)


# Pickles as cd-fvd and StyleGAN-V write them: the attributes of an object that has summed rows up.


def moments(features, **more):
    return {
        "capture_all": False,
        "capture_mean_cov": True,
        "max_items": len(features),
        "num_features": features.shape[1],
        "all_features": None,
        "raw_mean": features.sum(axis=0),
        "raw_cov": features.T @ features,
        "num_items": len(features),
    } | more


@pytest.mark.parametrize("protocol", range(6))
def test_a_pickle_of_raw_moments(protocol, tmp_path):
    features = rows(mean=3.0)
    path = tmp_path / "ucf101.pkl"
    path.write_bytes(pickle.dumps(moments(features), protocol))
    found = read_pickle(path)
    same(found, features, 1e-11)
    assert found.notes == {"moments": "raw", "file": "ucf101.pkl"}


def test_a_pickle_of_a_feature_that_never_moves(tmp_path):
    """Whose variance by raw moments may come out a little below zero."""
    features = rows(100, 3)
    features[:, 1] = 0.1
    (tmp_path / "x.pkl").write_bytes(pickle.dumps(moments(features, num_items=np.int64(100))))
    assert 0 <= read_pickle(tmp_path / "x.pkl").covariance(0)[1, 1] < 1e-12


class Malicious:
    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (f"{self.folder}/ran",)


@pytest.mark.parametrize("place", ["raw_mean", "max_items", "new"])
def test_a_malicious_pickle_does_not_run(place, tmp_path):
    path = tmp_path / "x.pkl"
    path.write_bytes(pickle.dumps(moments(rows(), **{place: Malicious(str(tmp_path))})))
    with pytest.raises(
        ValueError, match=r"nothing that would have to be run. Received: a reference to (posix|nt).mkdir"
    ):
        read_pickle(path)
    assert os.listdir(tmp_path) == ["x.pkl"]


@pytest.mark.parametrize(
    ("held", "message"),
    [
        ({"weights": np.zeros(3)}, "it holds weights, where raw_mean, raw_cov, num_items are needed"),
        ([1, 2], "it holds no dictionary"),
        (moments(rows(), num_items=0), "num_items is 0"),
        (moments(rows(), num_items=2.5), "num_items is 2.5"),
        (moments(rows(), num_items=None), "num_items is None"),
        (moments(rows(), num_items=float("nan")), "num_items is nan"),
        (moments(rows(), raw_cov=np.zeros((7, 6))), r"raw_cov is of shape \(7, 6\)"),
        (moments(rows(), raw_cov=np.full((7, 7), np.nan)), "numbers are NaN"),
        (moments(rows(), raw_cov=-np.eye(7)), "scatter is none"),
        (moments(rows(), raw_mean="text"), "not a pickle of statistics"),
    ],
)
def test_pickles_without_statistics(held, message, tmp_path):
    path = tmp_path / "x.pkl"
    path.write_bytes(pickle.dumps(held))
    with pytest.raises(ValueError, match=message):
        read_pickle(path)


def test_a_pickle_that_is_cut(tmp_path):
    path = tmp_path / "x.pkl"
    with pytest.raises(ValueError, match="no file"):
        read_pickle(path)
    whole = pickle.dumps(moments(rows()))
    for end in range(0, len(whole), 61):
        path.write_bytes(whole[:end])
        with pytest.raises(ValueError, match="not a pickle of statistics"):
            read_pickle(path)
