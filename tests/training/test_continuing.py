"""A run that is asked for more steps continues, as if it had been asked for them at once; and what a run says."""

import dataclasses
import types

import pytest
from made.tiny_runs import RECIPE, state, train

from keras_i3d import recipes
from keras_i3d.training import continuing, run_summary
from keras_i3d.training.asked_recipe import AskedRecipe

SHORT = dataclasses.replace(RECIPE, steps=4, boundaries=(5,))
COSINE = dataclasses.replace(RECIPE, schedule="cosine", boundaries=(), rates=(), steps=10)
ALL = {field.name for field in dataclasses.fields(recipes.Recipe)}


@pytest.mark.slow
@pytest.mark.usefixtures("short")
def test_a_continued_run_ends_with_the_weights_of_one_that_was_longer(records, tmp_path):
    output = tmp_path / "run"
    train(records, output, SHORT)
    train(records, output, SHORT, settings={"steps": "7"})
    train(records, tmp_path / "whole", RECIPE)
    expected = state(tmp_path / "whole")
    for name, value in state(output).items():
        if not name.startswith("metric"):
            assert (value == expected[name]).all(), name


def test_what_follows_from_the_steps_stays_as_it_was(capsys):
    before = dataclasses.replace(RECIPE, steps=10, boundaries=(5, 8), rates=(0.01, 0.001))
    asked = dataclasses.replace(before, steps=20, boundaries=(10, 16), warmup_steps=4)
    found = continuing.longer(before, asked, {"steps"}, 10, "runs/a")
    assert (found.steps, found.boundaries, found.warmup_steps) == (20, (5, 8), before.warmup_steps)
    assert "runs/a: 20 steps instead of 10, from step 10 on, at a learning rate of 0.001\n" in capsys.readouterr().err
    assert (
        continuing.longer(before, dataclasses.replace(before, steps=9), ALL, 5, "").steps == 9
    )  # which is refused later
    later = dataclasses.replace(before, steps=20, boundaries=(5, 8, 15), rates=(0.01, 0.001, 0.0001))
    assert continuing.longer(before, later, ALL, 10, "runs/a").boundaries == (5, 8, 15)
    assert "0.001, 0.0001 from step 15" in capsys.readouterr().err
    with pytest.raises(ValueError, match=r"Received: 10 steps done in runs/a with boundaries=\(5, 8\), .*\(10, 16\)"):
        continuing.longer(before, asked, ALL, 10, "runs/a")
    compared = continuing.as_asked(before, later)
    assert compared == later
    assert continuing.as_asked(before, dataclasses.replace(before, steps=9)) is before


def test_shares_of_the_steps_of_a_recipe_of_ones_own_stay_too():
    own = dataclasses.replace(COSINE, steps=None, passes=10, warmup_steps=0.1)
    before, more = AskedRecipe.of(own).for_clips(40), AskedRecipe.of(own, {"passes": 20})
    found = continuing.longer(before, more.for_clips(40), more.given, 100, "runs/a")
    assert (before.steps, found.steps, found.warmup_steps) == (100, 200, 10)
    assert continuing.as_asked(before, found) == found


def test_a_cosine_that_ends_later_says_so(capsys):
    found = continuing.longer(COSINE, dataclasses.replace(COSINE, steps=20), {"steps"}, 10, "runs/a")
    assert found == dataclasses.replace(COSINE, steps=20)
    assert "from step 10 on; the cosine now ends at step 20, so its rate is 0." in capsys.readouterr().err


def test_a_run_whose_validations_are_no_numbers_ends_early_in_a_line():
    run = types.SimpleNamespace(measure="map", recipe=dataclasses.replace(RECIPE, patience=2))
    said = run_summary.ended_early("runs/a", run, 1000, 2, None)
    assert said == (
        "runs/a: ended early, after step 1,000 of 7: 2 validations without one whose val_map is a number (patience=2)"
    )
    assert "without a better one than val_map 0.5000 (" in run_summary.ended_early("runs/a", run, 4, 2, 0.5)
    assert [run_summary.is_out_of_patience(run, since) for since in (1, 2)] == [False, True]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([{"loss": 1.234, "top1": 0.5}], "epoch 1, step 10 of 5,000: loss 1.23, top1 50.00%"),
        (
            [{"loss": 1, "top1": 0.5, "val_top1": 0.25}],
            "epoch 1, step 10 of 5,000: loss 1, top1 50.00%, validation top1 25.00% (the best so far)",
        ),
        (
            [{"val_top1": 0.75}, {"val_top1": 0.75}],
            "epoch 2, step 20 of 5,000: validation top1 75.00% (best 75.00% at step 10)",
        ),
        (
            [{"loss": 1, "map": 0.1, "val_map": 0.3, "val_top1": 0.2}],
            "loss 1, map 10.00%, validation map 30.00% (the best",
        ),
    ],
)
def test_the_line_of_an_epoch(rows, said):
    rows = [{"epoch": i, "step": 10 * i, **row} for i, row in enumerate(rows, 1)]
    figure = "map" if "map" in rows[0] else "top1"
    assert said in run_summary.epoch_line(rows, 5000, figure)
