"""Which clips are taken, and that each goes through the network once, in the order of the videos.

The network is a function: the mean red of the first and of the last frame, which films.shown tells the picture of.
"""

import itertools
import threading

import numpy as np
import pytest
from made import films

from keras_i3d.errors import EvaluationError
from keras_i3d.frechet import clip_rows, fvd_protocols, video_sets
from keras_i3d.frechet.clip_rows import Sampling, View
from keras_i3d.frechet.fvd_protocols import PROTOCOLS


class Network:
    size = 2

    def __init__(self):
        self.batches = []

    def __call__(self, clips):
        assert clips.dtype == np.float32
        self.batches.append(clips.shape)
        return clips[..., 0][:, [0, -1]].mean(axis=(2, 3))


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(fvd_protocols, "SIZE", 16)


def videos(count, frames=6, size=(16, 16)):
    """Video i shows red 10 i + t in its frame t."""
    red = 10 * np.arange(count)[:, None] + np.arange(frames)
    made = np.zeros((count, frames, *size, 3), np.uint8)
    made[..., 0] = red[..., None, None]
    return made


def sampled(source, names, of_real=True, variants=("",), batch_size=4, network=None, **settings):
    """Returns {name: (rows, Seen)} of the protocols `names`."""
    sampling = Sampling(**{"frames": 3, "stride": 1, "videos": None, "seed": 0, "resolution": None, **settings})
    views = [View(PROTOCOLS[name], variant) for name in names for variant in variants]
    side = video_sets.open_side(source, "real" if of_real else "generated")
    found = clip_rows.collect(side, views, of_real, sampling, network or Network(), batch_size, keep=True)
    return {
        (view.protocol.name if len(variants) == 1 else (view.protocol.name, view.variant)): each
        for view, each in found.items()
    }


def rows_of(found):
    rows, _ = found
    return np.rint(rows.kept).astype(int).tolist()


def test_first_frames():
    (found,) = sampled(videos(5), ["common-metrics"]).values()
    assert rows_of(found) == [[10 * i, 10 * i + 2] for i in range(5)]
    np.testing.assert_allclose(found[0].gaussian.mean, [20, 22])
    (found,) = sampled(videos(5), ["common-metrics"], stride=2).values()
    assert rows_of(found) == [[10 * i, 10 * i + 4] for i in range(5)]


def test_random_places_are_those_of_the_seed():
    """They depend on the video's index and the seed alone, and all places occur."""
    found = [rows_of(sampled(videos(20), ["cd-fvd"], seed=seed)["cd-fvd"]) for seed in (0, 0, 1)]
    assert found[0] == found[1] != found[2]
    starts = [first - 10 * i for i, (first, _) in enumerate(found[0])]
    assert set(starts) == {0, 1, 2, 3}
    assert all(last - first == 2 for first, last in found[0])
    expected = [int(np.random.default_rng((0, 0, i)).integers(4)) for i in range(20)]
    assert starts == expected


def test_stylegan_v_takes_real_videos_at_random_and_generated_ones_from_the_start():
    real, generated = (rows_of(sampled(videos(9), ["stylegan-v"], of_real=r)["stylegan-v"]) for r in (True, False))
    assert generated == [[10 * i, 10 * i + 2] for i in range(9)]
    assert real != generated


def test_batches_are_filled_across_videos_and_each_clip_runs_once():
    network = Network()
    found = sampled(videos(10), list(PROTOCOLS), network=network, batch_size=8)
    # Frames of the network's own size: the two protocols that begin with the first frame share a clip, as do the two
    # that begin anywhere; and all four of those that happen to begin with the first frame too.
    elsewhere = sum(np.random.default_rng((0, 0, i)).integers(4) > 0 for i in range(10))
    assert [shape[0] for shape in network.batches] == [8, 8, 10 + elsewhere - 16]
    assert rows_of(found["stylegan-v"]) == rows_of(found["cd-fvd"])
    assert found["original"][0].gaussian.count == 0
    assert found["original"][0].left_out == 10
    network = Network()
    sampled(videos(10, size=(20, 24)), list(PROTOCOLS), network=network)
    assert sum(shape[0] for shape in network.batches) == 30  # three ways of resizing


def test_the_original_takes_sixteens():
    (rows, seen) = sampled(videos(21), ["original"])["original"]
    assert (rows.gaussian.count, rows.left_out, len(rows.kept), seen.used) == (16, 5, 16, 21)


def test_blocks_of_rows_are_those_of_one_pass():
    rows = clip_rows.Rows(2, multiple=16, keep=True)
    values = np.random.default_rng(0).normal(size=(150, 2)).astype(np.float32)
    for value in values:
        rows.add(value)
    rows.close()
    assert (rows.gaussian.count, rows.left_out) == (144, 6)
    np.testing.assert_array_equal(rows.kept, values[:144])
    np.testing.assert_allclose(rows.gaussian.covariance(1), np.cov(np.float64(values[:144]).T), rtol=1e-12)


def test_of_more_videos_the_first_ones_or_drawn_ones():
    found = sampled(videos(20), ["stylegan-v", "common-metrics"], of_real=False, videos=5)
    assert [first // 10 for first, _ in rows_of(found["stylegan-v"])] == [0, 1, 2, 3, 4]
    drawn = [first // 10 for first, _ in rows_of(found["common-metrics"])]
    assert drawn == np.random.default_rng(0).permutation(20)[:5].tolist()


def test_frozen_and_shuffled():
    found = sampled(videos(8), ["common-metrics"], variants=fvd_protocols.VARIANTS)
    assert rows_of(found["common-metrics", ""])[3] == [30, 32]
    frozen, shuffled = (found["common-metrics", variant][0] for variant in ("frozen", "shuffled"))
    np.testing.assert_allclose(frozen.gaussian.mean, [35, 35])
    assert frozen.kept is None
    assert abs(shuffled.gaussian.mean[1] - shuffled.gaussian.mean[0]) < 2  # 2 apart in order


def test_videos_in_files(tmp_path, capsys):
    """Short ones and those that cannot be read are counted, named and said; damaged ones are used."""
    pictures = [films.picture(i) for i in range(12)]
    for i in range(3):
        (tmp_path / f"good{i}.mp4").write_bytes(films.film(pictures[i : i + 8]))
    (tmp_path / "short.mp4").write_bytes(films.film(pictures[:2]))
    (tmp_path / "broken.mp4").write_bytes(b"no video at all")
    whole = films.film(pictures, container="matroska", codec="mpeg4")
    (tmp_path / "damaged.mkv").write_bytes(whole[: len(whole) * 3 // 4])
    for names in (["common-metrics"], ["cd-fvd"]):
        (rows, seen) = sampled(tmp_path, names, resolution=None if names == ["common-metrics"] else 16)[names[0]]
        assert rows.gaussian.count == seen.used == 4
        assert seen.short == [str(tmp_path / "short.mp4")]
        assert list(seen.failed) == [str(tmp_path / "broken.mp4")]
        assert "not a video" in seen.failed[str(tmp_path / "broken.mp4")]
        said = capsys.readouterr().err
        assert "1 videos have fewer than the 3 frames of a clip, and are left out" in said
        assert f"1 videos cannot be read, and are left out ({tmp_path / 'broken.mp4'}: not a video" in said
        assert seen.sizes == {"64x48": 4}
        assert seen.encodings == {"mpeg4": 4}
        assert seen.lossy == {"mpeg4"}
        assert seen.fps == {25: 4}
    assert list(seen.damaged) == [str(tmp_path / "damaged.mkv")]
    assert "1 videos are damaged" in said
    first = rows.kept[2]  # good0, by its name after broken and damaged
    assert first[1] > first[0]


def test_no_clip_at_all(tmp_path):
    with pytest.raises(EvaluationError, match=r"needs 7 frames.*Received: 4 videos that are shorter, 0 that cannot"):
        sampled(videos(4), ["common-metrics"], frames=7)


def test_cd_fvd_draws_further_clips_of_generated_videos_and_says_so(tmp_path, capsys):
    np.save(tmp_path / "a.npy", videos(6))
    for of_real in (True, False):
        (rows, seen) = sampled(tmp_path / "a.npy", ["cd-fvd"], of_real, videos=20, resolution=16)["cd-fvd"]
        assert (rows.gaussian.count, seen.used, seen.refilled) == ((6, 6, 0) if of_real else (20, 6, 14))
    assert "6 give 20 clips, because cd-fvd takes further clips of the same videos" in capsys.readouterr().err
    clips = [tuple(row) for row in np.rint(rows.kept).astype(int)]
    assert [first // 10 for first, _ in clips] == [*range(6)] * 3 + [0, 1]
    assert len(set(clips)) > 10
    (rows, _) = sampled(tmp_path / "a.npy", ["stylegan-v"], False, videos=20)["stylegan-v"]
    assert rows.gaussian.count == 6


def test_no_more_is_read_than_is_needed():
    """Of an endless side, and of one that waits: a bounded number of videos is ahead of the network."""
    pulled = []

    def endless():
        for video in itertools.repeat(videos(1)[0]):
            pulled.append(1)
            yield video

    (rows, _) = sampled(endless(), ["common-metrics"], videos=30)["common-metrics"]
    assert rows.gaussian.count == 30
    assert len(pulled) <= 30 + 2 * clip_rows.WORKERS


def test_threads_are_gone_after_an_error():
    def failing():
        yield from videos(3)
        raise OSError("the reader failed")

    with pytest.raises(OSError, match="the reader failed"):
        sampled(failing(), ["common-metrics"])
    assert not [each for each in threading.enumerate() if each.name.startswith("keras_i3d-videos")]
