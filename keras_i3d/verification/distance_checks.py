"""Whether Frechet video distances are those that were published."""

import time

import numpy as np

from keras_i3d.errors import KerasI3DError
from keras_i3d.frechet import Gaussian, frechet_distance
from keras_i3d.frechet.fvd import fvd
from keras_i3d.progress import Bar
from keras_i3d.verification import published_values
from keras_i3d.verification.needed_files import FileError
from keras_i3d.verification.outcomes import Check

AT_ONCE = 8  # clips of random numbers
EQUAL = 2  # clips that stand for any number of equal ones: the mean is the same, and the covariance is 0


def checks(files, progress=False):
    """Yields the Outcome of each published distance.

    Args:
        files: NeededFiles.
        progress: whether bars show how far the longest of them is.
    """
    for wanted in published_values.DISTANCES:
        check = Check(
            wanted.name, wanted.value, wanted.source, _how(wanted), wanted.tolerance, wanted.why, relative=True
        )
        began = time.monotonic()
        try:
            network = files.logit_network(published_values.FVD_WEIGHTS)
        except FileError as error:
            yield check.skipped(error.needed())
            continue
        try:
            measured = _of_noise(wanted, network, progress) if wanted.seeds else _of_solids(wanted, network)
        except (KerasI3DError, ValueError) as error:  # as of logits that are NaN, which no distance takes
            yield check.failed(str(error), time.monotonic() - began)
            continue
        yield check.judged(measured, time.monotonic() - began)


def _how(wanted):
    clips = f"{wanted.clips} clips of {wanted.frames} frames of {wanted.size} x {wanted.size}"
    if wanted.seeds:
        return f"{clips} of RandomState({wanted.seeds[0]}).rand against {wanted.seeds[1]}, not scaled"
    return f"{clips}, black against white, protocol {wanted.protocol}; {EQUAL} stand for all, which are equal"


def _of_noise(wanted, network, progress):
    """The distance of random numbers in [0, 1] that go into the network unscaled; a few clips are in memory."""
    with Bar(wanted.name, wanted.clips * len(wanted.seeds), "clips", shown=progress) as bar:
        sides = []
        for seed in wanted.seeds:
            # A generator gives the same numbers in one call and in several, one after the other.
            draw, side = np.random.RandomState(seed), Gaussian(network.size)
            for begin in range(0, wanted.clips, AT_ONCE):
                count = min(AT_ONCE, wanted.clips - begin)
                clips = np.float32(draw.rand(count, wanted.frames, wanted.size, wanted.size, 3))
                side.update(network((clips + 1) * 127.5))  # which scales [0, 255] to [-1, 1]
                for _ in range(count):
                    bar.update()
            sides.append(side)
    return float(frechet_distance(*sides).value)


def _of_solids(wanted, network):
    black = np.zeros((EQUAL, wanted.frames, wanted.size, wanted.size, 3), np.uint8)
    return float(fvd(black, black + 255, wanted.protocol, frames=wanted.frames, weights=network))
