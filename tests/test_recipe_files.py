"""Recipes of one's own: files of Python and JSON."""

import dataclasses
import json

import pytest

from keras_i3d import recipe_files, recipes
from keras_i3d.recipes import Recipe

OWN = '''
from keras_i3d.training import RECIPES
import dataclasses

def recipe():
    """Half a pass. Expect little."""
    return dataclasses.replace(RECIPES["modern-finetune"](), passes=0.5, train_from="Mixed_5b")
'''


def test_a_file_of_python(tmp_path):
    """A function that makes a recipe, or a recipe; nothing is left next to it."""
    path = tmp_path / "mine.py"
    path.write_text(OWN)
    expected = dataclasses.replace(recipes.modern_finetune(), passes=0.5, train_from="Mixed_5b")
    assert recipe_files.find(str(path)) == recipe_files.find(path) == expected
    assert recipe_files.described(path) == (expected, "Half a pass. Expect little.")
    path.write_text("from keras_i3d.training import Recipe\nrecipe = Recipe(7, 4, 0.1)\n")
    assert recipe_files.described(path) == (Recipe(7, 4, 0.1), "")
    assert [each.name for each in tmp_path.iterdir()] == ["mine.py"]


def test_a_file_of_json(tmp_path):
    """Fields of their own, those of a recipe, and those of another file, which is found from this one."""
    path, other = tmp_path / "mine.json", tmp_path / "other.json"
    path.write_text(json.dumps({"steps": 7, "batch_size": 4, "learning_rate": 1, "clip_norm": None}))
    assert recipe_files.read(path) == Recipe(7, 4, 1)
    fields = {"base": "modern-finetune", "steps": 90, "train_from": "Logits", "unfreeze": [[0.5, "Mixed_5b"]]}
    path.write_text(json.dumps(fields))
    expected = dataclasses.replace(
        recipes.modern_finetune(), passes=None, steps=90, train_from="Logits", unfreeze=((0.5, "Mixed_5b"),)
    )
    assert recipe_files.read(path) == expected
    other.write_text(json.dumps({"base": "mine.json", "mixup": 0.0}))
    assert recipe_files.find(other) == dataclasses.replace(expected, mixup=0.0)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.json", "{", "is not JSON that can be read"),
        ("a.json", "[]", "must hold an object"),
        ("a.json", '{"base": "best"}', "recipe must be one of kinetics-rgb"),
        ("a.json", '{"base": "a.json"}', "which leads back to itself"),
        ("a.json", '{"base": "b.json"}', "which is no such file"),
        ("a.json", '{"steps": 7}', 'A recipe without "base" has batch_size, learning_rate, and steps or passes'),
        ("a.json", '{"base": "full-ft", "stepps": 7}', "a.json: A recipe has no stepps. Its fields: steps"),
        ("a.json", '{"base": "full-ft", "ema": 2.0}', r"a.json: ema must be in \(0, 1\), or None. Received: ema=2.0"),
        ("a.json", '{"base": "fixed", "train_from": "Mixed_5b"}', 'train_from must be None with part="head"'),
        ("a.py", "recipe = 1 / 0", "a.py ends with ZeroDivisionError: division by zero"),
        ("a.py", "def recipe(): return {}['x']", "a.py ends with KeyError: 'x'"),
        ("a.py", "def recipes(): pass", "a.py must define `recipe`"),
        ("a.py", "recipe = 'full-ft'", "a.py must define `recipe`: .* Received: 'full-ft'"),
        ("b.py", None, "A recipe of one's own is a FILE.py or FILE.json. Received: .*b.py, which is no such file"),
    ],
)
def test_files_that_hold_no_recipe(name, text, message, tmp_path):
    """In one line."""
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=message) as error:
        recipe_files.find(tmp_path / name)
    assert "\n" not in str(error.value)


def test_every_recipe_of_this_package_has_its_steps():
    """Of 500 clips; each says what it is, its source and what to expect."""
    for name, make in recipes.RECIPES.items():
        found = make().for_clips(500)
        assert found.steps >= 1
        assert "Expect" in make.__doc__
        assert recipe_files.find(name) == make()
    found = recipes.modern_finetune().for_clips(500)
    assert (found.steps, found.warmup_steps) == (1250, 125)
