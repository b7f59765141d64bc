"""The faithfulness curve, on a network of which the answer is known: the sum of what is not hidden."""

import numpy as np
import pytest
from made import seen, tiny

from keras_i3d.explaining import faithfulness
from keras_i3d.explaining.faithfulness import Blocks
from keras_i3d.explaining.seen_clips import SeenClip
from keras_i3d.inference.chunks import Chunk
from keras_i3d.specs import CLIPS

VALUES = np.random.default_rng(3).normal(0, 1, (3, 4, 3))


def measured(evidence, steps=6, seeds=3):
    asked = []

    def score(hidden):
        asked.append(int(hidden.sum()))
        return float(VALUES[~hidden].sum())

    return faithfulness.curve(score, evidence, float(VALUES.sum()), steps, seeds), asked


def test_the_most_important_parts_go_first():
    found, asked = measured(VALUES)
    assert len(asked) == found.runs == faithfulness.runs(6, 3) == 21
    assert found.shares.tolist() == pytest.approx([0, 1 / 36, 4 / 36, 9 / 36, 16 / 36, 25 / 36, 1])
    falling = np.cumsum(np.sort(VALUES, axis=None)[::-1])
    assert found.important.tolist() == pytest.approx([VALUES.sum(), *(VALUES.sum() - falling[[0, 3, 8, 15, 24, 35]])])
    assert found.random.shape == (3, 7)
    assert found.random[:, -1].tolist() == pytest.approx([0, 0, 0])
    assert len(np.unique(found.random[:, 3])) == 3
    assert found.holds
    assert found.area < found.random_areas.min()
    assert "3 orders); smaller than all, which a map of nothing is in 1 of 4 cases" in str(found)


def test_a_map_that_says_nothing_is_told():
    found, _ = measured(-VALUES)
    assert not found.holds
    assert "NOT smaller than all: the map does not hold" in str(found)


def test_of_two_streams_the_logits_are_summed():
    one, two = measured(VALUES, 2, 1)[0], measured(np.ones_like(VALUES), 2, 1)[0]
    both = one + two
    assert both.runs == one.runs + two.runs == 6
    assert both.area == pytest.approx(one.area + two.area)
    np.testing.assert_allclose(both.random, one.random + two.random)


def test_one_block_alone():
    found = faithfulness.curve(lambda hidden: 0.0, np.ones((1, 1, 1)), 5.0, 3, 2)
    assert found.important.tolist() == [5, 0, 0, 0]
    assert found.runs == 1
    assert faithfulness.runs(0) == 0


def test_blocks_belong_to_the_nearest_position():
    blocks = Blocks.of((np.array([1.0, 5.0]), np.array([0.0, 10.0]), np.array([3.0])), (8, 12, 4))
    assert blocks.shape == (2, 2, 1)
    hidden = np.zeros((2, 2, 1), bool)
    hidden[1, 0] = True
    mask = blocks.mask(hidden, 2, 6)
    assert mask.shape == (4, 12, 4)
    assert mask.any(axis=(1, 2)).tolist() == [False, False, True, True]
    assert mask[2].sum() == 6 * 4  # rows 0 to 5


@pytest.mark.parametrize(("stream", "expected"), [("rgb", [0, 0, 0]), ("flow", [0, 0])])
def test_hidden_parts_are_grey_and_still(stream, expected):
    frames = np.full((4, 6, 6, len(expected)), 40, "uint8" if stream == "rgb" else "float32")
    clip = SeenClip(CLIPS[stream], frames, np.arange(4))
    blocks = Blocks.of((np.array([0.5, 2.5]), np.array([2.5]), np.array([2.5])), (4, 6, 6))
    shown = clip.prepared(Chunk(1, 4, 0, None), blocks, np.array([False, True]).reshape(2, 1, 1))
    assert shown.dtype == np.float32
    assert shown[1, 2, 3].tolist() == expected
    assert np.abs(shown[0]).min() > 0.5


def test_of_both_in_one_tensor():
    with pytest.MonkeyPatch.context() as patch:
        tiny.shorten(patch)
        network = seen.network("TwoStreamConvNet")
    clip = seen.clip(network, 10, 32, 32)
    blocks = Blocks.of((np.array([4.5]), np.array([16]), np.array([16])), clip.shape)
    shown = clip.prepared(Chunk(0, 10, 0, None), blocks, np.ones((1, 1, 1), bool))
    assert shown.shape == (10, 32, 32, 5)
    assert np.abs(shown).max() < 1e-6
