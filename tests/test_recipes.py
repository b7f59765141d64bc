"""Recipes as values: what they refuse, and what they become for a number of clips."""

import dataclasses

import pytest

from keras_i3d import recipes
from keras_i3d.recipes import Recipe

SHARES = Recipe(
    *(None, 16, 0.1),
    passes=30,
    warmup_steps=0.1,
    train_from="Logits",
    unfreeze=[[0.2, "Mixed_5b"], [0.5, "all"]],
)


def test_passes_are_steps_of_so_many_clips():
    """30 passes over 40 clips by batches of 16 are 75 updates; shares of them are whole numbers of updates."""
    found = SHARES.for_clips(40)
    assert (found.steps, found.passes, found.warmup_steps) == (75, None, 8)
    assert found.unfreeze == ((15, "Mixed_5b"), (38, "all"))
    assert found.for_clips(40) == found.for_clips(1000) == found
    assert recipes.find("full-ft").for_clips(43) == recipes.find("full-ft")


def test_of_steps_and_passes_the_one_that_is_set_counts():
    assert SHARES.with_settings({"steps": "200"}).passes is None
    assert recipes.find("full-ft").with_settings({"passes": "3"}).for_clips(960).steps == 30
    with pytest.raises(ValueError, match="steps must be None with passes, which says it too. Received: steps=2"):
        SHARES.with_settings({"steps": 2, "passes": 3.0})
    with pytest.raises(ValueError, match="steps must be a number of updates, or passes be set. Received: steps=None"):
        Recipe(None, 16, 0.1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"unfreeze": ((50, "all"), (20, "Mixed_5b"))}, "unfreeze must be pairs .* in ascending order"),
        ({"unfreeze": (50, "all")}, "unfreeze must be pairs"),
        ({"train_from": None}, "unfreeze must be none without train_from"),
        ({"part": "head"}, 'train_from must be None with part="head"'),
        ({"freeze_bn": True, "precise_bn": 9}, "precise_bn must be 0 with freeze_bn"),
        ({"area": (0.5, 1.0), "short_sides": (224, 256)}, "area must be None with short_sides"),
        ({"schedule": "cosine", "boundaries": (5,), "rates": (0.1,)}, 'boundaries must be none with schedule="cosine"'),
        ({"schedule": "cosine", "final_rate": 1.0}, "final_rate must be in .0, learning_rate"),
    ],
)
def test_settings_that_contradict_each_other(changes, message):
    """In one line."""
    with pytest.raises(ValueError, match=message) as error:
        dataclasses.replace(SHARES, **changes)
    assert "\n" not in str(error.value)
