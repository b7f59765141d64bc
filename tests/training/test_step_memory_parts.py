"""Parts of a batch that is accumulated: mixing and repeats bound how small they are."""

import dataclasses

import pytest

from keras_i3d.training import Recipe, step_memory

NEEDED = step_memory.StepMemory(kept=1e9, rematerialised=None, clip=0.0, weights=0.0, accumulated=0.0, base=0.0)


@pytest.mark.parametrize(
    ("changes", "free", "accumulate"),
    [
        ({}, 1.3e9, 12),
        ({"mixup": 0.2}, 2.6e9, 6),
        ({"repeats": 3}, 3.9e9, 4),
        ({"repeats": 3, "cutmix": 1.0}, 7.8e9, 2),
    ],
)
def test_parts_of_a_batch(changes, free, accumulate):
    """The most parts that are needed; a smaller one than that is never taken."""
    recipe = dataclasses.replace(Recipe(1, 12, 0.1, accumulate=None, remat=None), **changes)
    assert step_memory.fitted(recipe, NEEDED, free).accumulate == accumulate
    if changes:
        with pytest.raises(step_memory.TrainingError, match="must fit into memory"):
            step_memory.fitted(recipe, NEEDED, free / 2)
