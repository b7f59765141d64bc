"""What happens to a clip: frames, windows, flips, sizes, colours, time; and that its flow is the flow of its frames."""

import numpy as np
import pytest
import tensorflow as tf
from made import numbered, smooth

from keras_i3d import data, flow, preprocess_input
from keras_i3d.data import augment


def texture(height=48, width=96):
    return tf.image.resize(np.random.default_rng(0).uniform(0, 255, (8, 24, 1)), (height, width)).numpy() * np.ones(3)


def moving(count=3, step=2, height=48, width=64):
    """What is seen moves right by `step` pixels a frame."""
    scene = texture()
    return np.stack([scene[:, 20 - i * step : 20 - i * step + width] for i in range(count)]).astype("uint8")


def test_a_flip_of_the_frames_is_a_flip_of_their_flow():
    """TV-L1 of mirrored frames is the mirrored TV-L1, with dx negated."""
    frames = moving()
    fields = flow.tvl1(frames)
    assert np.median(fields[..., 0]) == pytest.approx(2, abs=0.1)
    mirrored = augment.mirror(tf.constant(frames))
    np.testing.assert_array_equal(mirrored, frames[:, :, ::-1])
    expected = (augment.mirror(tf.constant(fields)) * augment.signs()).numpy()
    assert np.median(expected[..., 0]) == pytest.approx(-2, abs=0.1)
    apart = abs(flow.tvl1(mirrored.numpy()) - expected)
    assert apart[:, 8:-8, 8:-8].mean() < 0.01  # at the border, where what enters has no match, any answer fits
    same = augment.mirror(tf.constant(fields), tf.constant(False)) * augment.signs(tf.constant(False))
    np.testing.assert_array_equal(same, fields)


def test_a_change_of_size_scales_flow():
    frames = moving()
    fields = tf.constant(flow.tvl1(frames))
    half = augment.resize(tf.constant(frames[:, :, 8:56]), 24, "rgb")
    assert half.shape == (3, 24, 24, 3)
    smaller = augment.resize(fields[:, :, 8:56], 24, "flow")
    assert np.median(smaller[..., 0]) == pytest.approx(1, abs=0.05)
    measured = flow.tvl1(half.numpy().round().astype("uint8"))
    assert abs(np.median(measured[..., 0]) - np.median(smaller[..., 0])) < 0.1
    unequal = augment.resize(tf.ones((1, 20, 40, 2)), 40, "flow")
    np.testing.assert_allclose(unequal[0, 0, 0], [1, 2])
    same = augment.resize(tf.constant(frames[:, :, 8:56]), 48, "rgb")
    np.testing.assert_array_equal(same, frames[:, :, 8:56])
    assert same.dtype == tf.float32


@pytest.mark.parametrize(
    ("available", "frames", "stride", "clips", "expected"),
    [(10, 4, 1, 1, [3]), (11, 4, 1, 1, [3]), (10, 4, 3, 1, [0]), (3, 4, 1, 1, [0]), (250, 64, 1, 3, [0, 93, 186]),
     (10, 4, 1, 4, [0, 2, 4, 6]), (4, 4, 1, 2, [0, 0]), (12, 4, 1, 2, [0, 8])],
)  # fmt: skip
def test_starts(available, frames, stride, clips, expected):
    assert augment.starts(tf.constant(available), frames, stride, None, clips).numpy().tolist() == expected


def test_random_starts_reach_both_ends_and_no_further():
    found = {int(augment.starts(tf.constant(10), 4, 2, augment.seed_of(1, i))[0]) for i in range(60)}
    assert found == {0, 1, 2, 3}


def test_frame_numbers_start_over():
    numbers = augment.frame_numbers(tf.constant([0, 2]), tf.constant(5), 4, 2)
    assert numbers.numpy().tolist() == [[0, 2, 4, 1], [2, 4, 1, 3]]


def test_windows():
    def windows(*arguments):
        return augment.windows(*map(tf.constant, arguments[:3]), arguments[3]).numpy().tolist()

    assert windows(256, 341, 224, 1) == [[16, 58, 224, 224]]
    assert windows(256, 340, 256, 3) == [[0, 0, 256, 256], [0, 42, 256, 256], [0, 84, 256, 256]]
    assert windows(340, 256, 224, 3) == [[0, 16, 224, 224], [58, 16, 224, 224], [116, 16, 224, 224]]
    assert windows(256, 256, 256, 3) == [[0, 0, 256, 256]] * 3
    corners = [[0, 0], [0, 116], [32, 0], [32, 116], [16, 58]]
    assert [w[:2] for w in windows(256, 340, 224, 10)] == corners * 2


def test_sides():
    def side(*arguments):
        return int(augment.side(*map(tf.constant, arguments)))

    assert side(256, 340, 224) == 224
    assert side(340, 200, 224) == 200
    assert side(256, 340, 224, 256) == 224
    assert side(256, 340, 224, 320) == 179
    assert side(128, 340, 224, 224) == 128


def test_random_windows_reach_everywhere():
    found = np.array([augment.random_window(6, 7, tf.constant(4), augment.seed_of(1, i)) for i in range(100)])
    assert set(found[:, 0]) == {0, 1, 2}
    assert set(found[:, 1]) == {0, 1, 2, 3}
    assert (found[:, 2:] == 4).all()
    assert abs(np.corrcoef(found[:, 0], found[:, 1])[0, 1]) < 0.3


def test_draws_depend_on_every_number_of_the_seed():
    def drawn(*numbers):
        return int(augment.draw(augment.seed_of(*numbers), "top", 0, 10**6))

    assert drawn(1, 2, 3) == drawn(1, 2, 3)
    assert len({drawn(*numbers) for numbers in ((1, 2, 3), (0, 2, 3), (1, 0, 3), (1, 2, 0), (2, 1, 3))}) == 5
    assert len({int(augment.draw(augment.seed_of(1), name, 0, 10**6)) for name in augment.DRAWS}) == len(augment.DRAWS)


def test_colour_jitter_is_one_draw_for_all_frames():
    clip = tf.constant(np.stack([texture() * [1, 0.6, 0.3]] * 3), tf.float32)
    changed = augment.jitter_colour(clip, augment.seed_of(4), 0.5).numpy()
    np.testing.assert_allclose(changed, changed[:1].repeat(3, 0), atol=1e-3)
    assert abs(changed - clip.numpy()).mean() > 5
    assert changed.min() >= 0
    assert changed.max() <= 255
    np.testing.assert_allclose(augment.jitter_colour(clip, augment.seed_of(4), 0.0), clip, atol=1e-2)


def test_scale_is_what_models_take():
    frames = moving(1)
    np.testing.assert_array_equal(augment.scale(tf.constant(frames), "rgb"), preprocess_input(frames))
    fields = np.float32([[[-30, 20], [0, 7]]])
    np.testing.assert_array_equal(augment.scale(tf.constant(fields), "flow"), preprocess_input(fields, "flow"))


@tf.function
def seeds(count):
    return tf.map_fn(lambda i: augment.seed_of(7, i), tf.range(count, dtype=tf.int64))


def each(function, count):
    """Returns what a function of a seed gives for `count` of them, as an array."""
    return tf.function(lambda: tf.map_fn(function, seeds(count), fn_output_signature=tf.int32))().numpy()


def test_windows_of_random_area_and_aspect():
    """Even in area and in the logarithm of the aspect; all over the frame; never beyond it."""
    height, width = tf.constant(128), tf.constant(170)
    top, left, rows, columns = each(lambda s: augment.area_window(height, width, (0.1, 0.4), (0.5, 2.0), s), 400).T
    area, aspect = rows * columns / (128 * 170), np.log2(columns / rows)
    assert (area.min(), area.max()) == pytest.approx((0.1, 0.4), abs=0.01)
    assert (aspect.min(), aspect.max()) == pytest.approx((-1, 1), abs=0.05)
    assert (area.mean(), aspect.mean()) == pytest.approx((0.25, 0), abs=0.06)  # 0.087 and 0.58, over 20
    assert (top.min(), left.min()) == (0, 0)
    assert ((top + rows).max(), (left + columns).max()) == (128, 170)
    _, _, rows, columns = each(lambda s: augment.area_window(height, width, (1.0, 1.0), (1.0, 1.0), s), 2).T
    assert (rows.tolist(), columns.tolist()) == ([128] * 2, [148] * 2)  # no square has the area of the frame


def test_erased_windows():
    """A third of the clips; 0.02 to 1/3 of the picture, aspect 0.3 to 3.3."""
    windows = each(lambda s: augment.erased_window(100, 0.3, s), 400)
    some = windows[windows.any(axis=1)]
    assert len(some) / len(windows) == pytest.approx(0.3, abs=0.07)
    area, aspect = some[:, 2] * some[:, 3] / 1e4, some[:, 3] / some[:, 2]
    assert 0.015 < area.min() < 0.06
    assert 0.28 < area.max() < 0.35
    assert 0.28 < aspect.min() < 0.5
    assert 2 < aspect.max() < 3.6
    assert (some[:, :2] + some[:, 2:]).max() <= 100
    within = augment.inside(tf.constant([[1, 0, 2, 3], [0, 0, 0, 0]]), 4).numpy()
    assert np.argwhere(within).tolist() == [[0, r, c] for r in (1, 2) for c in (0, 1, 2)]


def test_strides_that_fit():
    def drawn(available):
        return set(each(lambda s: augment.random_stride(tf.constant(available), 5, 2, 4, s), 40).tolist())

    assert drawn(17) == {2, 3, 4}
    assert drawn(16) == {2, 3}
    assert drawn(3) == {2}


def test_a_share_of_draws():
    found = each(lambda s: tf.cast(augment.chance(s, "reverse", 0.2), tf.int32), 400)
    assert found.mean() == pytest.approx(0.2, abs=0.06)
    assert augment.chance(None, "reverse", 0) is False
    assert augment.chance(None, "reverse", 1.0) is True


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    return smooth.write(tmp_path_factory.mktemp("films") / "train")


@pytest.fixture(scope="module")
def counted(tmp_path_factory):
    return str(numbered.build(tmp_path_factory.mktemp("counted") / "train"))


BOTH = {"stream": "both", "training": True, "seed": 2, "batch_size": 4, "size": 48, "clip_frames": 6}


def pictures(rgb):
    return np.rint((np.asarray(rgb) + 1) * 127.5).astype("uint8")


def apart(x, method="tvl1"):
    """Pixels between the fields of clips and the flow recomputed from their frames, (B, T - 1, H, W)."""
    recomputed = np.stack([flow.compute(clip, method) for clip in pictures(x["rgb"])])
    return np.linalg.norm(recomputed - x["flow"][:, :-1] * 20, axis=-1)


@pytest.mark.parametrize(
    "settings",
    [
        {"reverse": 0.5, "area": (0.2, 0.5), "aspect": (0.5, 2.0)},
        pytest.param({"flip": False, "area": (0.2, 0.5), "aspect": (0.5, 2.0)}, marks=pytest.mark.slow),
        pytest.param({"flip": False, "reverse": 1.0}, marks=pytest.mark.slow),
        pytest.param({}, marks=pytest.mark.slow),
    ],
)
def test_the_flow_of_a_clip_is_the_flow_of_its_frames(films, settings):
    """Recomputed from the very frames that are given, whatever happened to them.

    Measured: 0.07 to 0.10 pixels apart in the mean, at a mean speed of 2.4 to 2.8. Of clips that nothing happens to it
    is 0.07, which JPEG and TV-L1 make. The field before or after is 4 pixels apart, one of the wrong sign 5.
    """
    ((x, _),) = data.load(films, **BOTH, **settings)
    inner = np.s_[:, :, 6:-6, 6:-6]  # at the border, where what enters has no match, any answer fits
    assert np.linalg.norm(x["flow"] * 20, axis=-1)[inner].mean() > 2
    assert apart(x)[inner].mean() < 0.15


def test_the_flow_of_an_erased_clip_is_the_flow_of_its_frames(films):
    """0 in the box, where nothing moves; next to its edges any answer fits."""
    ((x, _),) = data.load(films, erase=1.0, **BOTH)
    gone = (x["rgb"].numpy() == 0).all(axis=(1, -1))
    assert 0.02 < gone.mean() < 1 / 3
    for rgb, fields, box, far in zip(x["rgb"].numpy(), x["flow"].numpy(), gone, apart(x)):
        (top, left), (bottom, right) = np.argwhere(box).min(0), np.argwhere(box).max(0) + 1
        assert box[top:bottom, left:right].all()
        assert not rgb[:, box].any()
        assert not fields[:, box].any()
        outside = np.ones_like(box)
        outside[max(top - 9, 0) : bottom + 9, max(left - 9, 0) : right + 9] = False
        outside[:6] = outside[-6:] = outside[:, :6] = outside[:, -6:] = False
        if outside.sum() > 100:
            assert far[:, outside].mean() < 0.2
        assert (fields[:, ~box] != 0).mean() > 0.9


def test_time_forwards_and_backwards(counted):
    """Frame n goes with field n, or backwards with field n - 1, which is negated: the motion to frame n - 1."""
    settings = BOTH | {"batch_size": 8, "size": 24, "clip_frames": 3, "flip": False}
    seen, strides = {False: set(), True: set()}, set()
    for x, _ in data.load(counted, reverse=0.5, strides=(1, 4), repeat=True, **settings).take(8):
        for frames, fields, negative in zip(numbered.which_frames(x["rgb"]), *numbered.which_fields(x["flow"])):
            backwards = negative[0]
            assert negative == [backwards] * 3
            steps = np.diff(frames).tolist()
            assert steps[0] == steps[1]
            assert (steps[0] < 0) == backwards
            assert fields == [n - backwards for n in frames]
            strides.add(abs(steps[0]))
            seen[backwards] |= set(frames)
    assert strides == {1, 2, 3, 4}
    assert seen == {False: set(range(11)), True: set(range(1, 12))}


@pytest.mark.slow
def test_frames_alone_backwards(counted):
    """All of them can be had: no field is missing."""
    settings = BOTH | {"stream": "rgb", "batch_size": 8, "size": 24, "clip_frames": 5}
    ((x, _),) = data.load(counted, reverse=1.0, **settings)
    found = numbered.which_frames(x)
    assert all((np.diff(frames) == -1).all() for frames in found)
    assert [4, 3, 2, 1, 0] in found  # the whole of a video


def test_what_contradicts_itself(counted):
    training = {"training": True, "size": 24, "batch_size": 4}
    for settings, message in (
        ({"area": (0.5,)}, r"area must be \(low, high\) in \(0, 1\], or None. Received: area=\(0.5,\)"),
        ({"area": (0.5, 1.2)}, "area must be"),
        ({"aspect": (0.5, 2.0)}, "aspect must be None without area"),
        ({"area": (0.5, 1.0), "short_sides": (24, 40)}, "area must be None with short_sides"),
        ({"strides": (0, 2)}, "strides must be"),
        ({"strides": (1, 2.5)}, "strides must be .* in whole frames"),
        ({"strides": (1, 2), "frame_stride": 2}, r"use one of them. Received: strides=\(1, 2\) and frame_stride=2"),
        ({"reverse": 1.5}, r"reverse must be a share in \[0, 1\]"),
        ({"repeats": 3}, "batch_size must be a multiple of repeats, .* batch_size=4 and repeats=3"),
        ({"reverse": 0.5, "training": False}, "reverse is for training=True"),
        ({"repeats": 2, "training": False}, "repeats is for training=True. Received: repeats=2"),
    ):
        with pytest.raises(ValueError, match=message):
            data.load(counted, **(training | settings))
