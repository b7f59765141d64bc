"""What a Frechet video distance cannot be computed of, said before any video is read as far as it is known then."""

import os

import numpy as np

from keras_i3d import paths
from keras_i3d.errors import EvaluationError, check_rules
from keras_i3d.frechet import saved_sides
from keras_i3d.frechet.gaussians import Gaussian
from keras_i3d.precision import PRECISIONS

SIDES = ("real", "generated")


def check_settings(given, chosen):
    """Raises ValueError for a setting out of its range.

    Args:
        given: what was asked for, by name.
        chosen: the Protocols.
    """

    def whole(value, least):
        return isinstance(value, int | np.integer) and not isinstance(value, bool) and value >= least

    rules = (
        ("frames", whole(given.frames, 1), "a whole number of at least 1"),
        ("stride", whole(given.stride, 1), "a whole number of at least 1"),
        ("videos", given.videos is None or whole(given.videos, 1), "a whole number of at least 1, or None for all"),
        ("seed", whole(given.seed, 0), "a whole number of at least 0"),
        ("resolution", given.resolution is None or whole(given.resolution, 1), "a number of pixels, or None"),
        ("bootstrap", given.bootstrap == 0 or whole(given.bootstrap, 2), "0, or at least 2 draws"),
        ("batch_size", given.batch_size is None or whole(given.batch_size, 1), "at least 1, or None"),
        ("precision", given.precision in (None, *PRECISIONS), f"None or one of {', '.join(PRECISIONS)}"),
    )
    check_rules(given, rules)
    if given.resolution is not None and not any(each.resolution for each in chosen):
        raise ValueError(
            f"resolution= is of the protocol cd-fvd, whose code scales frames first. Received: "
            f"resolution={given.resolution} and protocol={given.protocol!r}. Leave one of the two out."
        )


def check_places(saved, output, sources=()):
    """Raises ValueError if what is to be written cannot be, could not be read again, or would replace what is read.

    Args:
        saved: {side: path that its statistics are written to, or None}.
        output: path of the card, or None.
        sources: what both sides are, paths or not.
    """
    for side, path in saved.items():
        if path and not os.fspath(path).endswith(".npz"):
            raise ValueError(f"Statistics are written to a .npz. Received: save_{side}={path!r}")
    taken = {_place(source): "is read as a side" for source in sources if isinstance(source, str | os.PathLike)}
    for path in filter(None, (*saved.values(), output)):
        place = _place(path)
        folder = os.path.dirname(place)
        if not os.path.isdir(folder):
            raise ValueError(f"The folder of a file to write must be there. Received: {path}, and no folder {folder}")
        if os.path.isdir(place):
            raise ValueError(f"What is written is a file. Received: {path}, a folder")
        if place in taken:
            raise ValueError(
                f"Pass another name: a file to write replaces nothing that is needed. Received: {path}, which "
                f"{taken[place]}"
            )
        taken[place] = "is written already"


def _place(path):
    """A path, whatever it is called by."""
    return os.path.realpath(paths.expand(path))


def check_sides(given, sides, saved):
    """Raises ValueError for what saved statistics cannot give.

    Args:
        given: what was asked for, by name.
        sides: {side: Gaussian, or VideoSet}.
        saved: {side: path that its statistics are written to, or None}.
    """
    statistics = [side for side, each in sides.items() if isinstance(each, Gaussian)]
    if given.all_protocols and (statistics or any(saved.values())):
        raise ValueError(
            "Saved statistics are of one protocol. Received: all_protocols= with statistics as a side, or with "
            "save_real= or save_generated="
        )
    for side in statistics:
        if saved[side]:
            raise ValueError(f"save_{side}= is of videos. Received: save_{side}={saved[side]!r}, and statistics")
        if given.kernel:
            raise ValueError(f"kernel= needs the rows of both sides. Received: {side} statistics, which have none")
    if len(statistics) < 2:
        return
    for name in ("bootstrap", "extrapolate", "motion_check"):
        if getattr(given, name):
            raise ValueError(f"{name}= needs videos on one side at least. Received: statistics on both")
    first, second = sides.values()
    hashes = {saved_sides.network_of(each)["sha256"] for each in (first, second)} - {None}
    if first.size != second.size or len(hashes) > 1:
        raise ValueError(
            f"Both sides go through the same network. Received: statistics of {first.size} and {second.size} features, "
            f"by weights of sha256 {' and '.join(sorted(hashes)) or 'unknown'}"
        )


def check_counts(protocol, sides, videos):
    """Raises ValueError if it is known beforehand that there are too few videos, or not as many on both sides."""
    counts = {side: each.count for side, each in sides.items()}
    if videos is not None:
        counts = {
            side: count if count is None or isinstance(sides[side], Gaussian) else min(count, videos)
            for side, count in counts.items()
        }
    for side, count in counts.items():
        if count is not None and count < protocol.multiple:
            raise ValueError(
                f"The protocol {protocol.name} takes a multiple of {protocol.multiple} videos. "
                f"Received: {count} {side} videos"
            )
    if protocol.same_shape and None not in counts.values() and len(set(counts.values())) > 1:
        raise ValueError(
            f"The protocol {protocol.name} compares sides of the same shape. Received: {counts['real']} real and "
            f"{counts['generated']} generated videos. Pass videos={min(counts.values())}."
        )


def check_cards(protocol, real, generated):
    """Raises EvaluationError if what was read is not what the protocol compares."""
    for side, card in zip(SIDES, (real, generated)):
        if not card["clips"]:
            raise EvaluationError(
                f"The protocol {protocol.name} takes a multiple of {protocol.multiple} videos. "
                f"Received: {card['left_out']} {side} videos that give a clip"
            )
    if not protocol.same_shape:
        return
    if real["clips"] != generated["clips"]:
        least = min(real["clips"], generated["clips"])
        raise EvaluationError(
            f"The protocol {protocol.name} compares sides of the same shape. Received: {real['clips']} real and "
            f"{generated['clips']} generated videos that give a clip. Pass videos={least}."
        )
    sizes = sorted({*real["sizes"], *generated["sizes"]})
    if len(sizes) > 1:
        raise EvaluationError(
            f"The protocol {protocol.name} compares sides of the same shape. Received: frames of {', '.join(sizes)}. "
            "Scale the videos to one size, or take another protocol."
        )
