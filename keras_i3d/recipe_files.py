"""Recipes of one's own, as files: Python that makes a Recipe, or JSON with its fields."""

import json
import os
import pathlib
import runpy

from keras_i3d import recipes
from keras_i3d.errors import one_line
from keras_i3d.recipes import Recipe

SUFFIXES = (".py", ".json")


def is_file(name):
    """Whether what names a recipe is the path of a file, not a name in `RECIPES`."""
    return isinstance(name, os.PathLike) or (isinstance(name, str) and name.lower().endswith(SUFFIXES))


def find(recipe):
    """Returns the Recipe that is asked for.

    Args:
        recipe: a Recipe, a name in `RECIPES`, or the path of a file, as for `read`.

    Raises:
        ValueError: neither a recipe nor a name of one, or a file that holds none.
    """
    if isinstance(recipe, Recipe):
        return recipe
    return read(recipe) if is_file(recipe) else recipes.find(recipe)


def parts(recipe):
    """Returns (a Recipe or a name in `RECIPES`, {field: value} that is set on top of it) of what `find` takes.

    Of a file of JSON the fields are those that it sets itself, or a file that is its base; of all else there are none.
    """
    return _parts(pathlib.Path(recipe), ()) if is_file(recipe) else (recipe, {})


def over(fields, more):
    """Returns {field: value} with more set on top; of `steps` and `passes`, which say the same, the last one counts."""
    length = {"steps", "passes"}
    kept = {name: value for name, value in fields.items() if name not in length or not length & set(more)}
    return {**kept, **more}


def read(path):
    """Reads a recipe of one's own.

    Args:
        path: FILE.py, which is run, and defines `recipe`: a Recipe, or a function without arguments that returns one.
            Or FILE.json, an object of fields of a Recipe; under "base" it may name the recipe that has the others: one
            of `RECIPES`, or another file, by its path from this one.

    Returns:
        A Recipe.

    Raises:
        ValueError: there is no such file, it holds no recipe, or a setting that is unknown or contradicts another one.
    """
    base, fields = _parts(pathlib.Path(path), ())
    return find(base).with_settings(fields)


def described(path):
    """Returns (Recipe, the docstring of the function that makes it, or "") of a file."""
    path = pathlib.Path(path)
    made = _run(path) if path.suffix.lower() == ".py" else None
    recipe = read(path) if made is None else _made(path, made)
    return recipe, (made.__doc__ or "") if callable(made) else ""


def _parts(path, before):
    """What `parts` returns, of a file; `before` are the files that name it as their base."""
    if path.suffix.lower() == ".py":
        return _made(path, _run(path)), {}
    _check_file(path)
    if path.resolve() in before:
        raise ValueError(f'"base" names another recipe. Received: {path}, which leads back to itself.')
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not JSON that can be read: {one_line(error)}") from error
    if not isinstance(fields, dict):
        raise ValueError(f'{path} must hold an object, such as {{"base": "full-ft", "steps": 500}}.')
    base, under = fields.pop("base", None), {}
    if base is None:
        return _named(path, _of_fields, fields), {}
    if is_file(base):
        base, under = _parts(path.parent / base, (*before, path.resolve()))
    fields = over(under, fields)
    _named(path, lambda values: find(base).with_settings(values), fields)
    return base, fields


def _of_fields(fields):
    """The Recipe of fields alone."""
    if not {"batch_size", "learning_rate"} <= set(fields) or not {"steps", "passes"} & set(fields):
        raise ValueError(
            'A recipe without "base" has batch_size, learning_rate, and steps or passes. Received: '
            f"{', '.join(fields) or 'nothing'}"
        )
    return Recipe(1, 1, 1.0).with_settings(fields)


def _run(path):
    """What a file of Python calls `recipe`."""
    _check_file(path)
    try:
        found = runpy.run_path(str(path))
    except Exception as error:  # whatever its code runs into
        raise ValueError(f"{path} ends with {type(error).__name__}: {one_line(error)}") from error
    if "recipe" not in found:
        raise ValueError(f"{path} must define `recipe`: a Recipe, or a function that returns one.")
    return found["recipe"]


def _made(path, made):
    try:
        recipe = made() if callable(made) else made
    except Exception as error:  # whatever its code runs into
        raise ValueError(f"{path} ends with {type(error).__name__}: {one_line(error)}") from error
    if not isinstance(recipe, Recipe):
        raise ValueError(f"{path} must define `recipe`: a Recipe, or a function that returns one. Received: {recipe!r}")
    return recipe


def _named(path, make, fields):
    """Calls a function with fields; a ValueError names the file that they are from."""
    try:
        return make(fields)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _check_file(path):
    if path.suffix.lower() not in SUFFIXES or not path.is_file():
        raise ValueError(f"A recipe of one's own is a FILE.py or FILE.json. Received: {path}, which is no such file.")
