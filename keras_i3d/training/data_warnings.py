"""What is wrong with the clips of a run as far as their names and numbers tell: a line each, before the first step."""

import re

from keras_i3d.errors import notice
from keras_i3d.records import source_videos

HANDFUL = 5  # clips of a class
NAMED = 6  # classes at most that a line names
WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
# Words, in English alone, whose meaning a mirror changes.
SIDES = {"left", "right", "leftward", "rightward", "leftwards", "rightwards"}
SIDES |= {"clockwise", "anticlockwise", "counterclockwise"}


def warn(part, recipe, source, held_out=None):
    """Says what a user should know of his clips.

    Args:
        part: the DataPlan of the data set.
        recipe: the Recipe.
        source, held_out: the Sources that it is of; None without a validation.
    """
    name = f"{part.name}: " if part.name else ""
    for line in (
        _large(part, recipe),
        _sides(source.labels, recipe),
        _few(part),
        _not_measured(part),
        _shared(source, held_out),
    ):
        if line:
            notice(f"{name}{line}")


def _large(part, recipe):
    return recipe.batch_size > part.clips and (
        f"a batch of {recipe.batch_size} clips has each of {part.clips} more than once"
    )


def sided(labels):
    """Returns the class names that tell left from right, or the way round a circle."""
    return [label for label in labels if SIDES & {word.lower() for word in WORD.findall(label)}]


def _sides(labels, recipe):
    found = sided(labels) if recipe.flip else []
    return found and (
        f"half of the clips are mirrored (flip), and {_classes(found)} may not look alike in a mirror. If so: "
        '--set=flip=false (settings={"flip": False})'
    )


def _few(part):
    few = [f"{label} ({count})" for label, count in (part.counts or {}).items() if count < HANDFUL]
    return few and f"fewer than {HANDFUL} clips to learn from in {_classes(few)}"


def _not_measured(part):
    missing = [label for label, count in (part.validation_counts or {}).items() if not count]
    return missing and f"the validation has no clip of {_classes(missing)}: its accuracy says nothing of them"


def _shared(source, held_out):
    """Of source videos that are in training and validation both: what a network knows by heart is no proof."""
    if held_out is None or None in (*source.ids, *held_out.ids):
        return None
    found = source_videos.overlaps(source, held_out)
    first = next(iter(found), None)
    return found and (
        f"{len(found)} source video{'s have' if len(found) > 1 else ' has'} clips in training and validation both, "
        f"such as {found[first][0][0]} and {found[first][1][0]}: the accuracy will be too good. `keras-i3d records "
        "--split=...` keeps them apart"
    )


def _classes(names):
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
