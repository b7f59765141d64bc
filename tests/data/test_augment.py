"""What happens to a clip: frames, windows, flips, sizes, colours."""

import numpy as np
import pytest
import tensorflow as tf

from keras_i3d import flow, preprocess_input
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
