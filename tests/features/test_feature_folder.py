"""Features read again, of one video and of a folder."""

import json
import subprocess
import sys

import numpy as np
import pytest
from made import small_features

from keras_i3d import features
from keras_i3d.errors import FeaturesError
from keras_i3d.features import Layout, feature_files, read


@pytest.fixture
def folder(tmp_path):
    for i, name in enumerate(("run/b", "a", "run/a_rgb")):
        source = {"name": f"{name}.mp4".rpartition("/")[2], "bytes": 3}
        feature_files.write(tmp_path, name, Layout(), small_features.features(rows=3 + i), source)
    (tmp_path / "labels.json").write_text('{"a": 1}')
    (tmp_path / ".features.json").write_text("{}")
    return tmp_path


def test_a_folder_is_a_mapping(folder):
    found = read(folder)
    assert list(found) == ["a", "run/a_rgb", "run/b"]
    assert (len(found), "run/b" in found, "b" in found) == (3, True, False)
    small_features.equal(found["run/b"], small_features.features(rows=3))
    small_features.equal(found["a"], small_features.features(rows=4))
    assert found["run/b"].video == "b.mp4"
    assert found.record("a")["rows"] == {"rgb": 4, "flow": 4}
    with pytest.raises(KeyError):
        found["labels"]
    assert "FeatureFolder of 3 videos" in repr(found)


def test_the_order_is_that_of_the_names(tmp_path):
    for name in ("a-b", "a", "a b"):
        feature_files.write(tmp_path, name, Layout(), small_features.features(), {"name": name, "bytes": 3})
    assert list(read(tmp_path)) == ["a", "a b", "a-b"]


def test_arrays_stay_on_disk_and_are_read_when_asked_for(folder):
    found = read(folder)
    array = found["a"].arrays["flow"]
    assert isinstance(array.base, np.memmap)
    assert not array.flags.writeable
    (folder / "run/b.npy").write_bytes(b"x")
    with pytest.raises(FeaturesError, match="run/b.npy has 1 bytes"):
        found["run/b"]
    assert found["a"].frames == 28


def test_a_file_is_verified_once(folder, monkeypatch):
    read_ones = []
    sha256 = feature_files.sha256
    monkeypatch.setattr(feature_files, "sha256", lambda path: read_ones.append(path) or sha256(path))
    found = read(folder)
    found["a"], found["a"], read(folder, verify=False)["a"]  # noqa: B018
    assert len(read_ones) == 1


def test_each_path_of_a_video(folder, monkeypatch):
    monkeypatch.chdir(folder)
    for path in ("a", "a.json", "a.npy", folder / "a.npy"):
        assert read(path).frames == 28
    assert read("run/a_rgb.npy").frames == 32  # and not the `rgb` of a video `a`
    np.save("mine.npy", np.zeros(3))
    for path, said in (
        ("mine.npy", "has no JSON near it that describes it.*numpy.load reads it"),
        ("none.npy", "no such file. Features are made by keras_i3d.features.extract"),
        ("labels.json", "is no JSON that stands next to features"),
    ):
        with pytest.raises(FeaturesError, match=said):
            read(path)
    with pytest.raises(FeaturesError, match="no such folder"):
        features.FeatureFolder("none")


def test_a_json_that_cannot_be_read_is_named(folder):
    (folder / "run/b.json").write_text(json.dumps([1]))
    with pytest.raises(FeaturesError, match=r"run/b.json cannot be read \(it is no dictionary\). Remove it"):
        read(folder)


def test_reading_takes_neither_keras_nor_tensorflow(folder):
    code = "import sys; from keras_i3d.features import read; a = read(sys.argv[1])['a']; print(a.arrays['rgb'].shape, "
    code += "sorted({'keras', 'tensorflow', 'av', 'numba', 'cv2'} & set(sys.modules)))"
    assert subprocess.check_output([sys.executable, "-c", code, folder], text=True) == "(1, 4, 3) []\n"
