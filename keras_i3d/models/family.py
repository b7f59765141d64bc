"""What the rest of the package knows of a network: its record, and the weights that its builder makes."""

import concurrent.futures
import dataclasses
import functools
import re
from collections.abc import Callable

import keras

from keras_i3d.models.blocks import ClipCheck, scaled_width
from keras_i3d.specs import CLIPS, check_stream


@dataclasses.dataclass(frozen=True)
class Flat:
    """A 2D network of images, whose ImageNet weights others are inflated from.

    Attributes:
        title: whose it is, and what.
        depth: of a ResNet; None for any other network.
        strided_first: of a ResNet, whether a bottleneck is strided in its first convolution, not in that of 3 x 3.
        fetched: whether `weights="imagenet"` fetches its weights.
    """

    title: str
    depth: int | None = None
    strided_first: bool = False
    fetched: bool = True


@dataclasses.dataclass(frozen=True, eq=False)
class Family:
    """A network as the rest of the package knows it.

    Attributes:
        name: as users, runs and files name it: of each graph that differs from another one, its own.
        title: in words, with its paper.
        builder: takes include_top, input_shape, stream, pooling, classes, classifier_activation, dropout,
            depth_multiplier, bn_momentum and name; returns a functional keras.Model.
        first: the layer whose kernel reads the clip.
        head: the layer whose weights depend on the classes. Its output (B, rows, ..., classes) has a row of logits for
            each window of steps in time.
        logits, predictions: the layers that give the averaged logits, and what the activation makes of them.
        endpoints: the layers that the paper names, in order. All but pools have weights, in layers whose names begin
            with theirs.
        cuts: the endpoints at which rematerialisation may cut the graph.
        min_frames, min_size: the smallest clip that it takes with its top: frames, and pixels of height and width.
        step: frames a step of the last endpoint.
        steps: from the frames of a clip to its steps.
        halo: steps on each side that the receptive field of one reaches; None if each depends on the whole clip.
        window: steps that a row of logits is made of.
        answer: what of its rows of logits is its answer: "mean", or "last" of a network that reads a clip from its
            first frame to its last, and is trained on all rows.
        features: for such a network, the layer whose output, (B, steps, ..., C), its recurrence reads. `steps`, `halo`
            and `window` are those of this layer. None for all others.
        kernels: {layer: (t, h, w) of its kernel} of some layers, by which weights that are of another network are told
            without building this one.
        clips: {stream: ClipSpec} of what it takes where weights do not say it themselves. It takes no other stream.
        classes: of the class layer, where neither weights nor the user say it.
        activation: what makes probabilities of the logits then; "linear" where they are an embedding.
        inflated_from: the Flat whose weights it takes, kernels repeated over time; None if there is none.
        shares: name of the row whose weights this network is used with too, being that one at other steps in time.
        parameters: {stream: trainable parameters at that many classes}.
        macs: multiply-adds, in 1e9, for a clip of the first of `clips`.
        accuracy: {stream: (top-1, top-5)} in percent, as published, under `protocol`.
        protocol: how that was measured, with its source.
        unchecked: what of the above was not checked against its source, in words.
        of: the public builder that makes it, as in `keras_i3d.S3D`; by default, one of its own name.
        options: {argument of that builder: value} with which it makes this network and no other.
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
    steps: Callable
    halo: int | None
    window: int
    answer: str = "mean"
    features: str | None = None
    kernels: dict = dataclasses.field(default_factory=dict)
    clips: dict = dataclasses.field(default_factory=lambda: CLIPS)
    classes: int = 400
    activation: str = "softmax"
    inflated_from: Flat | None = None
    shares: str = ""
    parameters: dict = dataclasses.field(default_factory=dict)
    macs: float | None = None
    accuracy: dict = dataclasses.field(default_factory=dict)
    protocol: str = ""
    unchecked: str = ""
    of: str = ""
    options: dict = dataclasses.field(default_factory=dict)

    def __post_init__(self):
        object.__setattr__(self, "of", self.of or self.name)

    def check_clip(self, clip_frames=None, size=None):
        """Raises ValueError for clips of fewer frames or pixels than it takes with its top; None leaves one open."""
        given = (("clip_frames", clip_frames, self.min_frames, ""), ("size", size, self.min_size, " pixels"))
        for name, value, least, unit in given:
            if value is not None and value < least:
                raise ValueError(f"{name} must be at least {least}{unit} for {self.name}. Received: {name}={value}")

    def build(self, *arguments, **settings):
        """Builds the network with fresh weights; the arguments are those of its builder, its first stream by default.

        The model says itself which network it is, also once it was saved and loaded: see `of`.
        """
        if len(arguments) <= 2:  # the third is the stream
            stream = settings.setdefault("stream", next(iter(self.clips)))
            check_stream(stream, self.clips, f" for {self.name}")
        model = self.builder(*arguments, **settings)
        clip_check(model).family = self.name
        return model

    def stream_of(self, channels):
        """Returns the stream whose first kernel has so many input channels; None if none has."""
        for stream in self.clips:
            if self.layout(include_top=False, stream=stream)[self.first][0][-2] == channels:
                return stream
        return None

    def layout(self, include_top=True, stream=None, classes=None, depth_multiplier=1.0):
        """Returns {layer: [shapes]} of the weights that `build` makes with these arguments, in the model's order.

        By default those of its first stream and of its own classes.
        """
        weighted = self._weighted(include_top, stream, classes, depth_multiplier)
        return {name: [shape for _, shape in weights] for name, _, weights in weighted}

    def variables(self, include_top=True, stream=None, classes=None, depth_multiplier=1.0):
        """Returns {(layer, "kernel" or another weight): shape} of `layout`, in the same order."""
        weighted = self._weighted(include_top, stream, classes, depth_multiplier)
        return {(name, weight): shape for name, _, weights in weighted for weight, shape in weights}

    def groups(self, include_top=True, stream=None, classes=None, depth_multiplier=1.0):
        """Returns {layer: the group that Keras stores its weights in}, as in "conv3d", for the layers of `layout`."""
        weighted = self._weighted(include_top, stream, classes, depth_multiplier)
        return {name: group for name, group, _ in weighted}

    def depth_multiplier_of(self, shapes, noted=None):
        """Finds the depth_multiplier that weights were made with.

        Args:
            shapes: {layer: [shapes]} of this network at any width, with or without its top.
            noted: the one that somebody says; it counts if these shapes have it.

        Returns:
            `noted`, or 1.0, if it fits; else the one with the fewest digits that gives these widths; None if none does.
        """

        def fits(candidate):
            found = self.layout(include_top=False, depth_multiplier=candidate)
            return all(shapes.get(name, [()])[0][-1:] == shape[0][-1:] for name, shape in found.items())

        base = self.layout(include_top=False)
        if any(not shapes.get(name) for name in base):
            return None if noted is None or not self._agrees(shapes, noted) else noted
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

    def _weighted(self, include_top, stream, classes, depth_multiplier):
        stream = stream or next(iter(self.clips))
        return _weighted(self.builder, include_top, stream, classes or self.classes, depth_multiplier)

    def _agrees(self, shapes, noted):
        """Whether the layers that are there have the widths of a depth_multiplier."""
        found = self.layout(include_top=False, depth_multiplier=noted)
        return all(shapes[name][0][-1:] == shape[0][-1:] for name, shape in found.items() if shapes.get(name))


@functools.lru_cache(maxsize=256)
def _weighted(builder, include_top, stream, classes, depth_multiplier):
    """((layer, group, ((weight, shape), ...)), ...) of a network that is built without memory for its weights."""

    def build():
        model = builder(include_top=include_top, stream=stream, classes=classes, depth_multiplier=depth_multiplier)
        return tuple(
            (layer.name, group(layer), tuple((weight.name, tuple(weight.shape)) for weight in layer.weights))
            for layer in model.layers
            if layer.weights
        )

    return without_memory(build)


def without_memory(function):
    """Calls a function that builds models whose weights have shapes and no values; returns what it returns.

    That takes a third of the time; `give` and `draw_rest` make values of them. In a thread of its own, neither the
    caller's dtype policy nor a strategy's scope reaches it, and what Keras notes down of variables that were never made
    ends with the thread.
    """

    def call():
        with keras.StatelessScope(initialize_variables=False):
            return function()

    with concurrent.futures.ThreadPoolExecutor(1) as alone:
        return alone.submit(call).result()


def give(variable, value):
    """Makes an array the value of a weight that a model was built with `without_memory`, or that has one."""
    if variable._value is None:
        variable._initialize(variable._convert_to_tensor(value, dtype=variable.dtype))
    else:
        variable.assign(value)


def draw_rest(model):
    """Draws what weights of a model that was built with `without_memory` still have no value."""
    for variable in model.variables:
        if variable._value is None:
            variable._deferred_initialize()


def group(layer):
    """Returns what Keras calls the group of a layer's weights in a file: its class in snake case, "conv3d"."""
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", type(layer).__name__)
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()


def clip_check(model):
    """Returns the ClipCheck of a model of one stream, or None."""
    return next((layer for layer in model.layers if isinstance(layer, ClipCheck)), None)
