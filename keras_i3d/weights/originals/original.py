"""The codes that people have weights of: whose file it is, found by its names and shapes, and read in ours."""

import dataclasses
import os
import re
from collections.abc import Callable

import numpy as np

from keras_i3d.errors import WeightsError, notice
from keras_i3d.facts import SOFTMAX, Facts
from keras_i3d.models import families
from keras_i3d.specs import STREAMS
from keras_i3d.weights.by_name import listed


@dataclasses.dataclass(frozen=True)
class Original:
    """How a code names the weights of one network.

    Attributes:
        name: whose code, for people: "torchvision".
        family: the row of `models.families` that its network is.
        place: from a variable's name to (layer, weight) of ours, weight being "kernel", "gamma" and so on; None for a
            name that this network does not have.
        torch: kernels are (out, in, t, h, w) and matrices (out, in), as in PyTorch; else (t, h, w, in, out), (in, out).
        beside: regular expression of the whole names that a file holds next to the weights, which are left out.
        named: regular expression that the file's name contains if another network has the same names and shapes.
        unlike: regular expression that the name of a file of the same names and shapes contains, whose network is
            another one that no row is; such a file is refused.
        convert: from (layer, weight, array) to the array in our axes, or None for a transposition alone.
        finish: from {(layer, weight): array} in our axes to what our layers hold, where they are not one to one.
        activation: what makes probabilities of the logits.
        licence: of the weights that the code publishes, if it forbids commerce, with what makes a file one of them.
    """

    name: str
    family: str
    place: Callable
    torch: bool = True
    beside: str = r".*num_batches_tracked"
    named: str = ""
    unlike: str = ""
    convert: Callable | None = None
    finish: Callable | None = None
    activation: str = SOFTMAX
    licence: str | None = None

    def placed(self, names):
        """Returns ({name: (layer, weight)} of those that have a place, [those that have none])."""
        wanted = [name for name in names if not re.fullmatch(self.beside, name)]
        places = {name: self.place(name) for name in wanted}
        return {name: at for name, at in places.items() if at}, [name for name, at in places.items() if not at]

    def read(self, arrays, source):
        """Returns {layer: [float32 arrays in Keras's order]} and the Facts of the network.

        Args:
            arrays: {variable's name: array}.
            source: what to call the file.

        Raises:
            WeightsError: a name or a shape without its counterpart, on either side; all of them are listed.
        """
        family = families.find(self.family)
        places, unmatched = self.placed(arrays)
        values = {}
        for name, at in places.items():
            array = np.asarray(arrays[name])
            converted = self.convert(*at, array) if self.convert else None
            values[at] = self._transposed(array) if converted is None else converted
        if self.finish:
            values = self.finish(values)
        classes = values.get((family.head, "kernel"))
        channels = values[family.first, "kernel"].shape[-2] if (family.first, "kernel") in values else None
        known = Facts(
            stream=STREAMS.get(channels, next(iter(family.clips))),
            classes=None if classes is None else int(classes.shape[-1]),
            activation=None if classes is None else self.activation,
            depth_multiplier=1.0,
            source=f"{self.name}'s {source}",
            family=self.family,
            licence=self.licence,
        )
        known = dataclasses.replace(known, clip=family.clips.get(known.stream))
        shapes = family.variables(include_top=classes is not None, stream=known.stream, classes=known.classes)
        values = {at: _of_rank(value, len(shapes.get(at, value.shape))) for at, value in values.items()}
        self._check(values, shapes, unmatched, source)
        weights = {}
        for layer, weight in shapes:
            weights.setdefault(layer, []).append(np.ascontiguousarray(values[layer, weight], "float32"))
        return weights, known

    def _transposed(self, array):
        if not self.torch or array.ndim < 2:
            return array
        return np.moveaxis(array, (1, 0), (-2, -1))

    def _check(self, values, shapes, unmatched, source):
        names = {at: "/".join(at) for at in {**shapes, **values}}
        differing = [
            f"{names[at]} {values[at].shape} where the network has {shape}"
            for at, shape in shapes.items()
            if at in values and tuple(values[at].shape) != tuple(shape)
        ]
        complaints = [
            f"{len(found)} {what}: {listed(found)}"
            for found, what in (
                (unmatched, "of its variables belong to no layer"),
                ([names[at] for at in shapes if at not in values], "weights of the network are not in it"),
                ([names[at] for at in values if at not in shapes], "of its variables have no counterpart"),
                (differing, "shapes differ"),
            )
            if found
        ]
        if complaints:
            raise WeightsError(f"{source} is not a whole {self.family} of {self.name}: {'; '.join(complaints)}.")


def _of_rank(array, rank):
    """A matrix as the kernel of a convolution of one position, and what else lacks leading axes of 1."""
    return array.reshape((1,) * (rank - array.ndim) + array.shape) if array.ndim < rank and array.ndim > 1 else array


def find(arrays, originals, source, wanted=None):
    """Reads a file of weights by whichever code wrote it.

    Args:
        arrays: {variable's name: array}.
        originals: every Original that may have written it.
        source: what to call the file; its own name, not those of its folders, tells networks apart that share all names
            and shapes.
        wanted: names of rows that it should be of, if it can be told no other way.

    Returns:
        (the Original, {layer: arrays}, Facts).

    Raises:
        WeightsError: it is nobody's, or not whole.
    """
    counted = [(original, *original.placed(arrays)) for original in originals]
    fitting = [original for original, placed, unmatched in counted if placed and not unmatched]
    if not fitting:
        nearest, placed, unmatched = max(counted, key=lambda each: len(each[1]), default=(None, (), ()))
        hint = (
            f" Nearest is {nearest.family} of {nearest.name}, which has no {listed(unmatched)}."
            if placed
            else f" Its first variables: {listed(arrays)}."
        )
        raise WeightsError(f"{source} is of no network that is known by its variables' names.{hint}")
    name, read, problem = os.path.basename(source), [], None
    if any(original.unlike and re.search(original.unlike, name) for original in fitting):
        raise WeightsError(
            f"{source} is named like a file of a network that is not here. {fitting[0].family} has the same names and "
            "shapes, and computes something else."
        )
    for original in fitting:
        try:
            read.append((original, *original.read(arrays, source)))
        except WeightsError as error:
            problem = problem or error
    if not read:
        raise problem
    chosen = [each for each in read if wanted and each[0].family in wanted] or read
    chosen = [each for each in chosen if each[0].named and re.search(each[0].named, name)] or chosen
    others = {each[0].family: each[0].licence for each in chosen[1:] if each[0].family != chosen[0][0].family}
    if others:
        others = [f"{family} ({licence})" if licence else family for family, licence in others.items()]
        notice(f"{source} may be of {' or '.join(others)} too, by its names and shapes; {chosen[0][0].family} is taken")
    return chosen[0]
