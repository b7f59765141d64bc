"""What a side may be, video by video."""

import numpy as np
import pytest
from made import films
from PIL import Image

from keras_i3d.errors import VideoError
from keras_i3d.frechet import video_sets
from keras_i3d.frechet.gaussians import Gaussian


def moving(count=4, size=(24, 32)):
    return [films.picture(i, *size) for i in range(count)]


def read(video, stop=100):
    return np.stack(list(video.frames(stop)))


@pytest.fixture
def frame_folders(tmp_path):
    """Two videos of pictures: 12 of png, whose names sort as numbers, and 3 of jpg."""
    for name, count, suffix in (("a/clip2", 12, "png"), ("a/clip10", 3, "jpg")):
        (tmp_path / name).mkdir(parents=True)
        for i, image in enumerate(moving(count)):
            Image.fromarray(image).save(tmp_path / name / f"frame{i}.{suffix}", quality=100)
    return tmp_path


def test_a_folder_of_videos(tmp_path, capsys):
    (tmp_path / "class").mkdir()
    (tmp_path / "class/v10.mp4").write_bytes(films.film(moving(5)))
    (tmp_path / "v9.gif").write_bytes(films.film(moving(3), "gif", "gif", pixels="rgb8", rate=10))
    (tmp_path / "class/v2.mkv").write_bytes(films.film(moving(4), "matroska", "ffv1"))
    (tmp_path / "list.txt").write_text("")
    side = video_sets.open_side(tmp_path, "real")
    assert (side.count, side.from_path) == (3, True)
    assert "1 files are no videos" in capsys.readouterr().err
    videos = list(side.stream())
    origins = [video.origin() for video in videos]
    assert [(each.encoding, each.lossy, each.frames) for each in origins] == [
        ("ffv1", False, 4),
        ("mpeg4", True, 5),
        ("gif", True, 3),
    ]
    assert [each.fps for each in origins] == [25, 25, 10]
    assert [video.count() for video in videos] == [4, 5, 3]
    assert films.shown(read(videos[1], 4)) == [0, 1, 2, 3]
    assert read(side.at(0)).shape == (4, 24, 32, 3)
    assert side.at(2).name == str(tmp_path / "v9.gif")


def test_folders_of_frames(frame_folders):
    side = video_sets.open_side(str(frame_folders), "real")
    assert side.count == 2
    first, second = side.stream()
    assert [first.origin(), second.origin()] == [
        video_sets.Origin("png", False, None, 12),
        video_sets.Origin("jpg", True, None, 3),
    ]
    np.testing.assert_array_equal(read(first), moving(12))
    assert (first.files, first.damage(), second.count()) == ("pictures", "", 3)
    assert read(second, 2).shape == (2, 24, 32, 3)


def test_pictures_that_are_none_or_of_several_sizes(frame_folders):
    (frame_folders / "a/clip10/frame1.jpg").write_bytes(b"no picture")
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(frame_folders / "a/clip2/frame5.png")
    first, second = video_sets.open_side(frame_folders, "real").stream()
    with pytest.raises(VideoError, match=r"frame1\.jpg: not a picture"):
        read(second)
    with pytest.raises(VideoError, match=r"several sizes, \(24, 32\) and \(8, 8\)"):
        read(first)
    assert read(first, 5).shape == (5, 24, 32, 3)


def test_pictures_of_16_bits_are_refused(tmp_path):
    """Pillow would make white of all above 255."""
    (tmp_path / "v").mkdir()
    Image.fromarray(np.full((8, 8), 30000, np.uint16)).save(tmp_path / "v/0.png")
    with pytest.raises(VideoError, match="grey levels of 8 bits are read, and it has more: Pillow's mode I;16"):
        next(video_sets.open_side(tmp_path, "real").at(0).frames(1))


def test_arrays(tmp_path):
    array = np.random.default_rng(0).integers(0, 256, (3, 4, 6, 8, 3)).astype(np.uint8)
    np.save(tmp_path / "a.npy", array)
    np.savez(tmp_path / "one.npz", array)
    np.savez(tmp_path / "each.npz", **{f"v{i}": array[i] for i in range(3)})
    sides = [array, list(array), *(tmp_path / name for name in ("a.npy", "one.npz", "each.npz"))]
    for source in sides:
        side = video_sets.open_side(source, "real")
        assert side.count == 3
        np.testing.assert_array_equal([read(video) for video in side.stream()], array)
        assert side.at(2).origin() == video_sets.Origin("array", False, None, 4)
    mapped = video_sets.open_side(tmp_path / "a.npy", "real").at(0)
    assert isinstance(mapped._array.base, np.memmap) or isinstance(mapped._array, np.memmap)


def test_iterables_and_data_sets():
    import tensorflow as tf

    array = np.random.default_rng(0).integers(0, 256, (5, 4, 6, 8, 3)).astype(np.uint8)
    dataset = tf.data.Dataset.from_tensor_slices((array, range(5)))
    for source in (iter(array), (array[:2], array[2:]), dataset, dataset.batch(2), dataset.map(lambda x, _: x)):
        side = video_sets.open_side(source, "generated")
        assert side.count is None
        np.testing.assert_array_equal([read(video) for video in side.stream()], array)


def test_statistics(tmp_path):
    gaussian = Gaussian(3).update(np.eye(3))
    gaussian.save(tmp_path / "s.npz")
    assert video_sets.open_side(gaussian, "real") is gaussian
    loaded = video_sets.open_side(str(tmp_path / "s.npz"), "real")
    np.testing.assert_array_equal(loaded.scatter, gaussian.scatter)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (np.zeros((2, 4, 8, 8, 3)), r"uint8 \(N, T, H, W, 3\).*Received: the real array, float64.*np.uint8"),
        (np.zeros((2, 4, 8, 8, 1), np.uint8), r"Received: the real array, \(2, 4, 8, 8, 1\).*np.repeat"),
        (np.zeros((0, 4, 8, 8, 3), np.uint8), "no video"),
        ([], "an empty list"),
        (3, "Received: int"),
        ("nowhere", "nowhere, which is not there"),
    ],
)
def test_what_no_side_is(source, message):
    with pytest.raises(ValueError, match=message):
        video_sets.open_side(source, "real")


def test_files_that_are_no_side(tmp_path):
    (tmp_path / "v.mp4").write_bytes(films.film(moving()))
    (tmp_path / "x.txt").write_text("")
    (tmp_path / "bad.npy").write_bytes(b"x" * 99)
    (tmp_path / "bad.npz").write_bytes(b"x" * 99)
    (tmp_path / "flat").mkdir()
    (tmp_path / "empty").mkdir()
    Image.fromarray(moving(1)[0]).save(tmp_path / "flat/0.png")
    for name, message in (
        ("v.mp4", "one video. Put the videos"),
        ("x.txt", "another file"),
        ("bad.npy", "not a .npy of numbers"),
        ("bad.npz", "not a .npz of arrays"),
        ("flat", "which has pictures itself, such as 0.png"),
        ("empty", "a folder without videos"),
    ):
        with pytest.raises(ValueError, match=message):
            video_sets.open_side(tmp_path / name, "generated")


def test_names_in_natural_order():
    assert sorted(["f10", "f9", "f09", "g1", "f"], key=video_sets.natural) == ["f", "f09", "f9", "f10", "g1"]
