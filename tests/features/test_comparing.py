"""A comparison names the convention that differs, and nothing where nothing does."""

import functools
import json

import keras
import numpy as np
import pytest
from made import films, small_features, tiny

from keras_i3d.features import comparing
from keras_i3d.features.comparing import compare
from keras_i3d.features.layouts import Layout
from keras_i3d.features.video_extractor import Extractor


def made(rows=40, channels=64, seed=0, crops=None):
    """Features as a network gives them: above zero, alike in every row, changing slowly; float32 (rows, channels).

    Of several crops (crops, rows, channels), which change nearly alike.
    """
    level = np.random.default_rng(99).uniform(0, 3, channels)  # the network's, whatever the video
    draw = np.random.default_rng(seed)
    walk = draw.normal(size=(1, rows + 8, channels)) + (
        0.3 * draw.normal(size=(crops, rows + 8, channels)) if crops else 0
    )
    smooth = sum(np.roll(walk, i, axis=1) for i in range(3))[:, 8:]
    features = np.maximum(level + 0.4 * smooth, 0).astype("float32")
    return features if crops else features[0]


def only(found):
    (words,) = found.differences
    return words


def test_identical_files(tmp_path):
    np.save(tmp_path / "a.npy", made())
    found = compare(tmp_path / "a.npy", str(tmp_path / "a.npy"))
    assert (found.differences, found.alike, found.lag, found.scale) == ((), True, 0, 1.0)
    np.testing.assert_allclose(found.cosine, np.ones(40))
    assert "no convention differs" in str(found)
    assert json.loads(json.dumps(found.record()))["correlation"] == pytest.approx(1)


def test_rounding_is_no_difference():
    found = compare(made(), made().astype("float16"))
    assert (found.differences, found.alike) == ((), True)


@pytest.mark.parametrize("lag", [2, -3, 1])
def test_a_lag(lag):
    whole = made(60)
    theirs, ours = (whole[10 + lag : 40 + lag], whole[10:40])
    found = compare(theirs, ours)
    assert (found.lag, found.alike) == (lag, True)
    first, second = ("theirs", "ours") if lag > 0 else ("ours", "theirs")
    rows = abs(lag)
    assert only(found).startswith(
        f"{first} begins {rows} row{'s' * (rows > 1)} later (its row 0 is row {rows} of {second})"
    )
    assert found.cosine.mean() < found.aligned.mean() == pytest.approx(1)


def test_a_row_more():
    found = compare(made()[:-1], made())
    assert only(found).startswith("ours has 1 row more at the end: the tail")
    assert found.lag == 0
    assert only(compare(made(), made()[:-2])).startswith("theirs has 2 rows more at the end")


def test_swapped_streams():
    ours = made()
    theirs = np.roll(ours, 32, axis=1)
    found = compare(theirs, ours)
    assert found.streams == "swapped"
    assert only(found) == "the halves of the channels, which are rgb and flow where there are two streams, are swapped"
    assert found.cosine.mean() < 0.9


def test_one_stream_of_two():
    ours = made()
    assert only(compare(ours[:, 32:], ours)) == "theirs has one stream: half 2 of the channels of ours"
    assert only(compare(ours, ours[:, :32])) == "ours has one stream: half 1 of the channels of theirs"


def test_several_conventions_at_once():
    """Transposed, swapped, three rows later and twice as large."""
    whole = made(60)
    theirs = 2 * np.roll(whole[3:43], 32, axis=1).T
    found = compare(theirs, whole[:40])
    assert (found.axes, found.streams, found.lag) == ({"theirs": "CT", "ours": "TC"}, "swapped", 3)
    assert found.scale == pytest.approx(0.5)
    begun = ("the axes differ", "the halves of the channels", "theirs begins 3 rows later", "values")
    assert len(found.differences) == len(begun)
    assert all(words.startswith(first) for words, first in zip(found.differences, begun))


@pytest.mark.parametrize("rows", [40, 64])
def test_axes(rows):
    """Of as many rows as channels too."""
    found = compare(made(rows).T, made(rows))
    assert only(found) == "the axes differ: theirs are CT, ours TC"
    both = compare(made(rows).T, made(rows).T)
    assert both.differences == ()
    late = compare(made(70)[4:].T, made(70)[:66].T)
    assert late.lag == 4


def test_a_scale():
    found = compare(made(), 2 * made())
    assert only(found).startswith("values of ours are 2 times theirs: a mean against a sum")
    assert found.scale == pytest.approx(2)


def test_crops():
    ours = made(crops=10)
    order = (2, 0, 1, 3, 4, 7, 5, 6, 8, 9)
    found = compare(ours[list(order)], ours)
    assert found.crops == order
    assert (
        only(found)
        == f"the order of crops differs: theirs are, in their order, ours {', '.join(map(str, order))}, from 0"
    )
    found = compare(ours.transpose(1, 0, 2), ours)
    assert only(found) == "the axes differ: theirs are TNC, ours NTC"
    assert only(compare(ours[4], ours)) == "theirs has 1 of the 10 crops of ours: 4, counted from 0"
    found = compare(ours, ours.mean(axis=0))  # what nobody said of THUMOS14's released files
    assert only(found) == "ours is the mean over the 10 crops of theirs"
    assert (found.crops, found.alike) == ((), True)


def test_a_step():
    found = compare(made()[1::2], made())
    assert (found.step, found.lag) == (2, 1)
    assert only(found) == "a row of theirs is every 2nd row of ours, from row 1 on: the step differs"
    assert (
        only(compare(made(), made()[::4]))
        == "a row of ours is every 4th row of theirs, from row 0 on: the step differs"
    )


def test_a_frame_rate():
    """The same features at 30 and at 25 frames a second."""
    whole = made(301, channels=32)
    smooth = sum(np.roll(whole, i, axis=0) for i in range(30))
    found = compare(smooth[::5], smooth[::6])
    assert found.ratio == pytest.approx(51 / 61, abs=0.02)
    assert "the frame rate or the step differs" in found.differences[0]


def test_one_stream_that_differs():
    ours = made()
    theirs = np.concatenate([ours[:, :32], ours[:, 32:] + np.random.default_rng(1).normal(0, 0.6, (40, 32))], axis=1)
    found = compare(theirs, ours)
    assert only(found).startswith("the first half of the channels is the same, and the second is not")
    assert "There the same video and network, it seems, and not the same numbers" in only(found)
    assert not found.alike


def test_channels_on_lines_of_their_own():
    draw = np.random.default_rng(3)
    theirs = made() * draw.uniform(1.5, 2.5, 64) + draw.normal(0, 1, 64)
    found = compare(theirs, made())
    assert "the range of the inputs differs" in only(found)
    noisy = compare(made() + np.random.default_rng(5).normal(0, 0.3, (40, 64)), made())
    assert "the resize, the crop, the frame rate" in only(noisy)


def test_unrelated_files():
    found = compare(made(seed=1), made(seed=2))
    assert found.cosine.mean() > 0.6
    assert only(found).startswith("no convention makes them alike: the best correlation is")
    assert not found.alike


@pytest.mark.parametrize("rows", [1, 2])
def test_few_rows(rows):
    assert compare(made()[:rows], made()[:rows]).differences == ()
    assert compare(made()[:rows], made()[: rows + 1]).differences[0].startswith("ours has 1 row more at the end")


def test_few_rows_of_other_videos():
    assert (
        only(compare(made(seed=1)[:2], made(seed=2)[:2]))
        == "too few rows to tell: it takes 3, and they have 2 in common"
    )


def test_a_video_in_which_nothing_moves():
    """What little changes is noise, and differs; the rows are the same but for it."""
    rows, noise = np.repeat(made()[:1], 30, axis=0), np.random.default_rng(0).normal(0, 0.01, (2, 30, 64))
    found = compare(rows + noise[0], rows + noise[1])
    assert found.alike
    assert found.correlation < 0.5
    assert "not the same numbers (relative difference 0.0" in only(found)


def test_what_is_refused(tmp_path):
    with pytest.raises(ValueError, match="as many channels, or one file the half of the other's"):
        compare(made(), made(50, 80))
    with pytest.raises(ValueError, match=r"Features are finite. Received: ours, of which 1 are not"):
        compare(made(), np.where(np.arange(64) + 64 * np.arange(40)[:, None] == 70, np.nan, made()))
    with pytest.raises(ValueError, match=r"numbers, \(T, C\) or \(N, T, C\). Received: theirs: float64 \(3,\)"):
        compare(np.zeros(3), made())
    np.save(tmp_path / "objects.npy", np.array([made(), None], object), allow_pickle=True)
    with pytest.raises(ValueError, match="Features are a .npy file of numbers. Received: .*objects.npy"):
        compare(tmp_path / "objects.npy", made())
    np.savez(tmp_path / "several.npz", a=made())
    with pytest.raises(ValueError, match="a file of several arrays"):
        compare(tmp_path / "several.npz", made())


def test_a_long_file_is_compared_soon():
    """A file of THUMOS's size: 1269 rows of 2048."""
    whole = made(1300, channels=256)
    assert compare(whole[5:], whole[:-5]).lag == 5
    assert comparing.FURTHEST >= 5


# What a network gives of a video, by one convention and by another.


@pytest.fixture(scope="module")
def extracted(tmp_path_factory):
    """A function from settings of a layout to the features, (rows, channels), of one video by short networks."""
    draw = np.random.default_rng(2)
    scene = np.kron(draw.integers(0, 255, (30, 60, 3)), np.ones((4, 4, 1)))
    light = np.cumsum(draw.normal(0, 12, 44)).reshape(-1, 1, 1, 1)
    frames = np.stack([scene[i : i + 40, 2 * i : 2 * i + 48] for i in range(44)]) + light
    path = tmp_path_factory.mktemp("compared") / "a.mp4"
    path.write_bytes(films.film(list(np.clip(frames, 0, 255).astype("uint8"))))
    with pytest.MonkeyPatch.context() as patch:
        tiny.shorten(patch)
        small_features.op_by_op(patch)
        keras.utils.set_random_seed(7)
        models = {stream: tiny.i3d(stream=stream, classes=3, depth_multiplier=0.1) for stream in ("rgb", "flow")}
        usual = {"window": 12, "step": 2, "crop": 32, "resize": "short:36"}

        @functools.cache
        def extract(**settings):
            layout = Layout(**{**usual, **settings})
            given = {stream: models[stream] for stream in layout.streams}
            arrays = Extractor(layout, **given)(path).arrays
            return np.concatenate([arrays[stream][0] for stream in layout.streams], axis=-1)

        yield extract


def test_a_planted_lag(extracted):
    """Windows that begin four frames in front of the video are two rows earlier."""
    ours, theirs = extracted(), extracted(first=-4)
    found = compare(theirs, ours)
    assert found.lag == -2
    assert "ours begins 2 rows later (its row 0 is row 2 of theirs): the window or its offset differs" in str(found)


def test_planted_streams(extracted):
    found = compare(extracted(streams=("flow", "rgb")), extracted())
    assert (found.streams, found.alike) == ("swapped", True)
    assert "rgb and flow where there are two streams, are swapped" in only(found)


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param({"mean": (0.45,) * 3, "std": (0.225,) * 3}, id="another mean and deviation"),
        pytest.param({"mean": (0.0,) * 3, "std": (1.0,) * 3}, id="0 to 1", marks=pytest.mark.slow),
    ],
)
def test_a_planted_range(extracted, wrong):
    ours, theirs = extracted(streams=("rgb",)), extracted(streams=("rgb",), **wrong)
    found = compare(theirs, ours)
    assert not found.alike
    assert "the range of the inputs differs: the mean and the deviation" in only(found)
    both = compare(np.concatenate([theirs, ours], axis=1), np.concatenate([ours, ours], axis=1))
    assert only(both).startswith("the second half of the channels is the same, and the first is not")
    assert "There channels are scaled and shifted" in only(both)


def test_flow_of_stored_frames(extracted):
    """Its fields are in pixels of the frames as they were."""
    found = compare(*(extracted(resize="short:56", flow_from=order) for order in ("stored", "resized")))
    assert only(found).startswith("the first half of the channels is the same, and the second is not")


@pytest.mark.slow
def test_another_crop_is_no_other_range(extracted):
    found = compare(extracted(streams=("rgb",), crops=("tl",)), extracted(streams=("rgb",)))
    assert "range" not in only(found)
