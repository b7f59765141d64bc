"""What is trained, on which clips and for how long: by the number of videos, their length, and the machine.

Pure functions of records: what there is (`surveying.Survey`), what the user asks for, what the machine can do. Each
choice has a reason, and what the time does not allow is said.
"""

import math

from keras_i3d import recipe_files
from keras_i3d.learning.budgeting import FEW, VALIDATIONS, Budget, frames_per_second, share_of, short_side
from keras_i3d.learning.choices import Choice, Choices
from keras_i3d.learning.surveying import role_of
from keras_i3d.training import asked_recipe, data_warnings
from keras_i3d.weights import registry

FINETUNE, SCRATCH, TIMED = "modern-finetune", "modern-scratch", "charades"  # recipes
MANY_TIMED = 5_000  # videos from which the recipe of Charades, which has 7,985 to train on, fits labels over time
NARROW = ((FEW, 0.25), (20_000, 0.5))  # videos below which a network without weights has so much of its width
THREE_WAY = 10  # source videos of the rarest class from which some can be set apart to choose the best epoch by
UNEVEN = 3  # times the videos of the rarest class that the commonest has, from which classes are balanced


def width(found, asked, of_weights=1.0):
    """Returns (the `depth_multiplier` of the network, why), which for weights is their own."""
    given = dict(asked.settings).get("depth_multiplier")
    if given is not None:
        return float(given), "yours"
    if asked.weights is None:
        for most, share in NARROW:
            if found.videos < most:
                return share, f"{found.videos} videos without weights: a narrow network learns more from few"
    return of_weights, ""


def choose(found, asked, network, machine=None, spent=0.0):
    """Chooses.

    Args:
        found: the Survey.
        asked: the Asked.
        network: the Network.
        machine: the Machine; None if nothing was measured, because nothing depends on it: see `is_settled`.
        spent: seconds that were spent before.

    Returns:
        Choices.

    Raises:
        ValueError: it cannot be done in the time, or does not fit into memory.
    """
    given = dict(asked.settings)
    splits, fractions, why_split = _splits(found)
    name, why_recipe = recipe_name(found, asked)
    recipe = recipe_files.find(name).with_settings(given)
    clips = share_of(found, fractions, splits["train"])
    batch, why_batch = _batch(recipe, clips, given)
    updates = _updates(recipe, clips, batch)
    budget = Budget(found, asked, network, machine, splits, fractions, batch, clips, spent)
    rung, streams, share, why_clip, left_out = budget.best(updates)
    passes = float(_short(recipe.passes * share)) if share < 1 and recipe.passes else None
    whole = round(updates * share) if passes is None else math.ceil(passes * clips / batch)  # as `train` has it
    updates = max(whole, 1)
    settings = {"clip_frames": rung.frames, "frame_stride": rung.stride, "size": rung.size, "batch_size": batch}
    said = [
        Choice("videos", _videos(found), ""),
        Choice("splits", fractions or ", ".join(found.parts), why_split),
        Choice("streams", " and ".join(streams), network.why if streams == network.streams else "what the time allows"),
        Choice("recipe", name, why_recipe),
        Choice("clip", str(rung), why_clip),
        Choice("batch", f"{batch} clips", why_batch),
    ]
    if network.width != 1 and asked.weights is None:
        settings["depth_multiplier"] = network.width
        said.append(Choice("width", f"{network.width:g} of the network's", network.why_width))
    why = "yours" if _length(given) else "the recipe's" if share == 1 else "what the time allows"
    over = _short(updates * batch / clips)
    said.append(Choice("training", f"{updates} updates, which are {over} passes over {clips} videos", why))
    if passes is not None:
        settings["passes"] = f"{passes:g}"
    elif share < 1:
        settings["steps"] = updates
    settings["validate_every"] = max(math.ceil(clips * recipe.repeats / batch), math.ceil(updates / VALIDATIONS))
    for field, value, why in _by_classes(found, recipe, given):
        settings[field] = value
        said.append(Choice(field, value, why))
    side, fps = short_side(rung.size), frames_per_second(network, asked)
    said.append(Choice("records", f"{side} pixels at {fps:g} frames per second", "what such clips are cut from"))
    if given:
        said.append(Choice("yours", ", ".join(f"{key}={value}" for key, value in given.items()), ""))
    return Choices(
        splits=splits,
        fractions=fractions,
        streams=tuple(streams),
        family=network.family,
        recipe=name,
        settings={**{key: str(value) for key, value in settings.items()}, **given},
        short_side=side,
        fps=fps,
        seconds=budget.parts(rung, streams, updates) if machine else {},
        said=tuple(map(str, said)),
        left_out=tuple(left_out),
    )


def is_settled(asked):
    """Whether the user sets all that depends on what the machine can do."""
    given = {name for name, _ in asked.settings}
    return asked.seconds is None and {"clip_frames", "size"} <= given and _length(given)


def _length(given):
    """Whether the user sets how long a run is."""
    return bool({"steps", "passes"} & set(given))


def _videos(found):
    counts = found.counts
    low, high = min(counts), max(counts)
    each = f"{low}" if low == high else f"{low} to {high}"
    height, wide = found.size
    unreadable = f", {len(found.unreadable)} unreadable" if found.unreadable else ""
    return (
        f"{found.videos}{unreadable}, of {len(found.labels)} classes with {each} each; half of them last "
        f"{found.seconds[1]:.1f} s or less; {wide} x {height} pixels"
    )


def _splits(found):
    """Returns ({role: split}, fractions or "", why)."""
    if found.divided:
        roles = {role_of(split): split for split in found.parts}
        if "test" not in roles:
            roles["test"] = roles.pop("validation")
        return roles, "", "as they are divided"
    rarest = min(found.sources)
    if rarest >= THREE_WAY:
        why = "by source video, each class alike; the best epoch is chosen by the validation"
        return {name: name for name in ("train", "validation", "test")}, "train:0.7,validation:0.1,test:0.2", why
    why = (
        f"by source video, each class alike; {rarest} of the rarest class are too few to choose the best epoch by some "
        "of them"
    )
    return {"train": "train", "test": "test"}, "train:0.8,test:0.2", why


def recipe_name(found, asked):
    """Returns (name of the recipe, why)."""
    if asked.recipe:
        return asked.recipe, "yours"
    if found.labelling == "timed" and found.videos >= MANY_TIMED:
        return TIMED, "labels over time"
    if asked.weights is None:
        return SCRATCH, "no weights to start from"
    if asked.weights == registry.IMAGENET:
        return SCRATCH, "weights of pictures know no motion"
    return FINETUNE, f"from the weights {asked.weights}"


def _batch(recipe, clips, settings):
    """Returns (clips an update, why)."""
    if "batch_size" in settings:
        return recipe.batch_size, "yours"
    batch = asked_recipe.batch_for(clips, recipe.batch_size, recipe.accumulate or 1)
    return batch, "the recipe's" if batch == recipe.batch_size else f"at most a quarter of {clips} videos"


def _updates(recipe, clips, batch):
    return recipe.steps or max(math.ceil(recipe.passes * clips / batch), 1)


def _by_classes(found, recipe, given):
    """Yields (field, value, why) of what the classes call for."""
    low, high = min(found.counts), max(found.counts)
    uneven = found.labelling == "single" and high >= UNEVEN * max(low, 1)
    if uneven and recipe.balance == "none" and "balance" not in given:
        yield "balance", "sqrt", f"classes have {low} to {high} videos"
    if found.labelling == "timed" and (recipe.mixup or recipe.cutmix):
        for field in ("mixup", "cutmix"):
            if field not in given:
                yield field, "0", "labels over time are not mixed"
    sided = data_warnings.sided(found.labels)
    if sided and recipe.flip and "flip" not in given:
        yield "flip", "false", f"{sided[0]} looks like another class in a mirror"


def _short(number):
    return f"{number:.3g}" if number < 100 else f"{number:.0f}"
