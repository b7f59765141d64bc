"""A recipe for few clips and for another batch: what a user sets stays, the rest follows, in a line."""

import pytest

from keras_i3d import recipes, training
from keras_i3d.training.asked_recipe import AskedRecipe

OWN = training.Recipe(steps=100, batch_size=8, learning_rate=0.1, boundaries=(50,), rates=(0.01,), reference_batch=16)


def found(name, clips, **settings):
    recipe = AskedRecipe.of(name, {key: str(value) for key, value in settings.items()}).for_clips(clips)
    return recipe.batch_size, recipe.steps, recipe.learning_rate, recipe.boundaries, recipe.rates


def test_many_clips_leave_the_recipe_as_it_is(capsys):
    assert found("full-ft", 9537) == (96, 5000, 0.01, (3500, 4500), (0.001, 0.0001))
    assert capsys.readouterr().err == ""


def test_few_clips_take_a_smaller_batch_and_no_more_steps(capsys):
    rate = pytest.approx(0.01 * 8 / 96)
    assert found("full-ft", 43) == (
        8,
        5000,
        rate,
        (3500, 4500),
        pytest.approx((rate.expected / 10, rate.expected / 100)),
    )
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert (
        "a batch of at most a quarter of 43 clips: batch_size 8 instead of 96, learning_rate 0.000833 instead of"
        in said
    )
    assert found("full-ft", 43, accumulate=3)[0] == 6  # which the parts must divide
    assert [found("fixed", clips)[0] for clips in (3, 9, 20, 200, 383, 384)] == [2, 2, 4, 32, 64, 96]


def test_another_batch_is_said_with_both_values(capsys):
    assert found("full-ft", 9537, batch_size=48) == (48, 10000, 0.005, (7000, 9000), (0.0005, 0.00005))
    said = capsys.readouterr().err
    for pair in ("steps 10000 instead of 5000", "learning_rate 0.005 instead of 0.01", "(7000, 9000) instead of (3500"):
        assert pair in said
    assert found("full-ft", 43, batch_size=8)[:2] == (8, 5000)  # what it would have been
    assert found("full-ft", 43, batch_size=4)[:2] == (4, 10000)
    assert found("full-ft", 43, batch_size=8, reference_batch="none")[1:3] == (5000, 0.01)


@pytest.mark.parametrize("name", ["full-ft", "own"])
def test_what_a_user_sets_is_never_scaled(name, capsys):
    recipe = OWN if name == "own" else name
    set_ = {"batch_size": 4, "steps": 60, "learning_rate": 0.02, "boundaries": 30, "rates": 0.002}
    assert found(recipe, 43, **set_) == (4, 60, 0.02, (30,), (0.002,))
    assert capsys.readouterr().err == ""


def test_what_is_not_set_follows_what_is():
    assert found("full-ft", 43, steps=500)[1:] == (
        500,
        pytest.approx(0.01 / 12),
        (350, 450),
        pytest.approx((1 / 12e3, 1 / 12e4)),
    )
    assert found("full-ft", 43, learning_rate=0.1)[2:] == (0.1, (3500, 4500), (0.01, 0.001))
    assert found("full-ft", 43, passes=2)[:2] == (8, 11)
    assert found("full-ft", 43, passes=200)[3] == (752, 968)


def test_a_recipe_of_ones_own_is_scaled_as_it_says():
    assert found(OWN, 9) == (8, 200, 0.05, (100,), (0.005,))
    assert found(OWN, 9, steps=10)[1:] == (10, 0.05, (100,), (0.005,))
    assert AskedRecipe.of(OWN).given > {"steps", "rates"}
    assert AskedRecipe.of("full-ft", {"steps": 3}).given == {"steps"}


def test_every_recipe_fits_few_clips():
    for name in recipes.RECIPES:
        asked = AskedRecipe.of(name).for_clips(43)
        assert 2 <= asked.batch_size <= 10
        assert asked.steps >= 1


def test_a_file_of_json_is_a_recipe_with_settings(tmp_path, capsys):
    """What it sets is never scaled, what follows does, as for --set; and --set comes on top."""
    first, path = tmp_path / "first.json", tmp_path / "mine.json"
    first.write_text('{"base": "modern-finetune", "batch_size": 4, "passes": 6}')
    path.write_text('{"base": "first.json", "learning_rate": 0.001}')
    set_ = {"batch_size": 4, "passes": 6, "learning_rate": 0.001}
    found = AskedRecipe.of(path).for_clips(300)
    assert (found.learning_rate, found.final_rate) == (0.001, pytest.approx(1e-5))
    assert found == AskedRecipe.of("modern-finetune", set_).for_clips(300)
    assert AskedRecipe.of(path, {"steps": "7"}).given == {"batch_size", "learning_rate", "steps"}
    assert AskedRecipe.of(path, {"steps": "7"}).for_clips(300).steps == 7
    assert "learning_rate 0" not in capsys.readouterr().err


def test_all_that_follows_the_batch_of_a_recipe_of_ones_own():
    own = training.Recipe(
        steps=100, batch_size=8, reference_batch=16, learning_rate=0.1, schedule="cosine", final_rate=0.01,
        warmup_steps=10, train_from="Logits", unfreeze=((0.5, "Mixed_5b"),),
    )  # fmt: skip
    found = AskedRecipe.of(own).for_clips(300)
    assert (found.steps, found.learning_rate, found.final_rate) == (200, 0.05, 0.005)
    assert (found.warmup_steps, found.unfreeze) == (20, ((100, "Mixed_5b"),))


def test_a_share_of_the_steps_is_not_told_as_a_change(capsys):
    found = AskedRecipe.of("modern-finetune", {"batch_size": 4}).for_clips(16)
    assert (found.steps, found.warmup_steps) == (160, 16)
    said = capsys.readouterr().err
    assert "the recipe for batch_size=4: learning_rate 7.5e-05 instead of 0.0003, final_rate" in said
    assert "warmup_steps" not in said
