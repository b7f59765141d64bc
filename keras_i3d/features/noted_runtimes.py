"""Which runtime computed features: how the notes next to them say it, and how a later call continues with the same.

In bfloat16 the rows of two runtimes differ in the third digit, so that one folder should have those of one. Where a
user names a runtime, it is a setting as the precision is: features that are there by another one are refused. Where it
is chosen, that of the features that are there is taken, if it can be.
"""

from keras_i3d import runtimes
from keras_i3d.errors import notice

NAME, VERSION = "runtime", "runtime_version"  # in the notes of a network
AND = " and "  # between two of them, the one that had to stand in for the other last


def noted(notes, models):
    """Returns notes with what ran each network so far.

    Args:
        notes: as `Extractor.notes`.
        models: {stream: what `runtimes.compiled` returns}.
    """
    of_networks = {
        stream: {
            **about,
            NAME: AND.join(models[stream].used),
            VERSION: AND.join(map(runtimes.version, models[stream].used)),
        }
        for stream, about in notes["networks"].items()
    }
    return {**notes, "networks": of_networks}


def continue_with(models, notes):
    """Takes the runtimes of features that are there already, where there is a choice; a line if they cannot be taken.

    Args:
        models: {stream: what `runtimes.compiled` returns}.
        notes: those next to these features; {} for none.
    """
    for stream, model in models.items():
        earlier = notes.get("networks", {}).get(stream, {}).get(NAME)
        if not isinstance(earlier, str) or model.used == (earlier,):
            continue
        last = earlier.rpartition(AND)[2]
        if hasattr(model, "keep") and last in runtimes.RUNTIMES:
            model.keep(last)
        else:
            here = AND.join(map(runtimes.with_version, model.used)) or "the one that is faster here"
            notice(
                f"features of {stream} are there by {earlier}, which cannot be taken here; those that follow are by "
                f"{here}, as the JSON next to each says"
            )
