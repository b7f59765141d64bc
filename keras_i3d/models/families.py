"""One row a network: all that the floors above may ask of it. They name no network, and know none by its layers.

To add a network: a function in this package that builds it, and a row in `FAMILIES`. Its first layer is a
`blocks.ClipCheck`; it takes float32 (B, T, H, W, C); its head gives rows of logits, whose mean over all axes but the
first and the last are its logits.
"""

import concurrent.futures
import dataclasses
import functools
import re
from collections.abc import Callable

import keras

from keras_i3d.models import inception
from keras_i3d.models.blocks import ClipCheck, scaled_width
from keras_i3d.specs import CLIPS


@dataclasses.dataclass(frozen=True, eq=False)
class Family:
    """A network as the rest of the package knows it.

    Attributes:
        name: as users, runs and files name it.
        title: in words, with its paper.
        builder: takes include_top, input_shape, stream, pooling, classes, classifier_activation, dropout,
            depth_multiplier, bn_momentum, name and the network's own `options`; returns a functional keras.Model.
        first: the layer whose kernel reads the clip.
        head: the layer whose weights depend on the classes. Its output (B, rows, ..., classes) has a row of logits for
            each window of steps in time.
        logits, predictions: the layers that give the averaged logits, and what the activation makes of them.
        endpoints: the layers that the paper names, in order.
        cuts: the endpoints at which rematerialisation may cut the graph.
        min_frames, min_size: the smallest clip that it takes with its top: frames, and pixels of height and width.
        step: frames a step of the last endpoint.
        halo: steps on each side that the receptive field of one reaches.
        window: steps that a row of logits is made of.
        clips: {stream: ClipSpec} of what it takes where weights do not say it themselves.
        options: {argument of its own: values it may have}, the first one by default.
        parameters: {stream: trainable parameters at 400 classes}.
        macs: multiply-adds, in 1e9, for an rgb clip of `clips`.
        accuracy: {stream: (top-1, top-5)} in percent, as published, under `protocol`.
        protocol: how that was measured, with its source.
    """

    name: str
    title: str
    builder: Callable
    first: str
    head: str
    logits: str
    predictions: str
    endpoints: tuple
    cuts: tuple
    min_frames: int
    min_size: int
    step: int
    halo: int
    window: int
    clips: dict = dataclasses.field(default_factory=lambda: CLIPS)
    options: dict = dataclasses.field(default_factory=dict)
    parameters: dict = dataclasses.field(default_factory=dict)
    macs: float | None = None
    accuracy: dict = dataclasses.field(default_factory=dict)
    protocol: str = ""

    def build(self, *arguments, **settings):
        """Builds the network with fresh weights; the arguments are those of its builder.

        The model says itself which network it is, also once it was saved and loaded: see `of`.
        """
        model = self.builder(*arguments, **settings)
        check = clip_check(model)
        check.family = self.name
        check.options = {name: settings[name] for name in self.options if name in settings}
        return model

    def layout(self, include_top=True, stream="rgb", classes=400, depth_multiplier=1.0, **options):
        """Returns {layer: [shapes]} of the weights that `build` makes with these arguments, in the model's order."""
        return {name: list(shapes) for name, _, shapes in self._weighted(locals(), options)}

    def groups(self, include_top=True, stream="rgb", classes=400, depth_multiplier=1.0, **options):
        """Returns {layer: the group that Keras stores its weights in}, as in "conv3d", for the layers of `layout`."""
        return {name: group for name, group, _ in self._weighted(locals(), options)}

    def _weighted(self, arguments, options):
        named = {name: arguments[name] for name in ("include_top", "stream", "classes", "depth_multiplier")}
        return _weighted(self.builder, tuple({**named, **options}.items()))

    def depth_multiplier_of(self, shapes, noted=None, **options):
        """Finds the depth_multiplier that weights were made with.

        Args:
            shapes: {layer: [shapes]} of this network at any width, with or without its top.
            noted: the one that somebody says; it counts if these shapes have it.
            options: the network's own.

        Returns:
            `noted`, or 1.0, if it fits; else the one with the fewest digits that gives these widths; None if none does.
        """

        def fits(candidate):
            found = self.layout(include_top=False, depth_multiplier=candidate, **options)
            return all(shapes.get(name, [()])[0][-1:] == shape[0][-1:] for name, shape in found.items())

        base = self.layout(include_top=False, **options)
        if any(not shapes.get(name) for name in base):
            return None if noted is None or not self._agrees(shapes, noted, options) else noted
        # Kernels alone: the width of a gate or an offset is the sum of several widths that were rounded each.
        pairs = [(each[0][-1], shapes[name][0][-1]) for name, each in base.items() if max(each[0][:-2], default=1) > 1]
        low = max([(found - 0.5) / filters for filters, found in pairs if found > 8], default=0.0)
        high = min((found + 0.5) / filters for filters, found in pairs)
        candidates = [1.0, *(round((low + high) / 2, digits) for digits in range(1, 16))]
        for candidate in [noted, *candidates] if noted else candidates:
            near = candidate > 0 and all(scaled_width(filters, candidate) == found for filters, found in pairs)
            if near and fits(candidate):
                return candidate
        return None

    def _agrees(self, shapes, noted, options):
        """Whether the layers that are there have the widths of a depth_multiplier."""
        found = self.layout(include_top=False, depth_multiplier=noted, **options)
        return all(shapes[name][0][-1:] == shape[0][-1:] for name, shape in found.items() if shapes.get(name))


@functools.lru_cache(maxsize=64)
def _weighted(builder, settings):
    """((layer, group, shapes), ...) of a network that is built without memory for its weights.

    In a thread of its own, neither the caller's dtype policy nor a strategy's scope reaches it, and what Keras notes
    down of variables that were never made ends with the thread.
    """

    def build():
        with keras.StatelessScope(initialize_variables=False):
            model = builder(**dict(settings))
        return tuple(
            (layer.name, group(layer), tuple(tuple(weight.shape) for weight in layer.weights))
            for layer in model.layers
            if layer.weights
        )

    with concurrent.futures.ThreadPoolExecutor(1) as alone:
        return alone.submit(build).result()


def group(layer):
    """Returns what Keras calls the group of a layer's weights in a file: its class in snake case, "conv3d"."""
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", type(layer).__name__)
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()


def clip_check(model):
    """Returns the ClipCheck of a model of one stream, or None."""
    return next((layer for layer in model.layers if isinstance(layer, ClipCheck)), None)


def i3d_row(table=inception.LAYERS):
    """The row of the Inception I3D; with a shorter or narrower table, that of a small one for tests."""
    return Family(
        name="I3D",
        title="Inception-V1 I3D (Carreira and Zisserman 2017, arXiv 1705.07750)",
        builder=functools.partial(inception.inception_i3d, table=table),
        first=f"{table[0][0]}_conv_3d",
        head=inception.HEAD,
        logits="Logits",
        predictions="Predictions",
        endpoints=(*(row[0] for row in table), "Logits", "Predictions"),
        cuts=inception.cuts(table),
        min_frames=9,
        min_size=32,
        step=8,
        halo=7,  # 99 frames
        window=2,
        parameters={"rgb": 12_689_984, "flow": 12_668_032},
        macs=111.15,
        accuracy={"rgb": (71.1, 89.3), "flow": (63.4, 84.9), "both": (74.2, 91.3)},
        protocol="Kinetics-400 test set, whole videos, ImageNet and Kinetics (arXiv 1705.07750, table 5)",
    )


FAMILIES = {row.name: row for row in (i3d_row(),)}
DEFAULT = next(iter(FAMILIES))  # of files and runs that were written before there were several


def find(name):
    """Returns the Family of a name, or raises ValueError with those there are."""
    if name not in FAMILIES:
        raise ValueError(f"A network is one of {', '.join(FAMILIES)}. Received: {name!r}")
    return FAMILIES[name]


def of(model):
    """Returns the Family of a model of one stream that this package made; None for any other model."""
    check = clip_check(model)
    return None if check is None else FAMILIES.get(check.family or DEFAULT)


def options_of(model):
    """Returns the options that a model of one stream was built with, beyond the default ones."""
    return dict(clip_check(model).options or {})


def of_layers(names):
    """Returns the first Family to which layers of these names can belong, with or without a head; else the default.

    Args:
        names: of the layers with weights in a file.
    """
    names = set(names)
    fitting = (row for row in FAMILIES.values() if row.first in names and set(row.layout(include_top=False)) <= names)
    return next(fitting, FAMILIES[DEFAULT])
