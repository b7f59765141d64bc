"""What one position of a layer sees of the clip: its receptive field, from the graph of a functional model.

Each axis, time, height and width, is followed by itself. A layer's output has positions; the first one sees the clip
from `start` on, and each next one sees `stride` further. A window of several positions widens the field, padding moves
`start` in front of the clip, and a branch that joins another one adds what it sees. So the fields are exact, SAME
padding included, where it puts another number of zeros in front of an odd size than of an even one.

A field is the range from the first to the last position that counts; a stride above its window leaves holes in it. On
an axis where a position depends on the whole clip (global pools, gates, attention, recurrent layers), there is none.
"""

import dataclasses

import keras

AXES = ("time", "height", "width")


@dataclasses.dataclass(frozen=True)
class ReceptiveField:
    """What a position of a layer's output sees; each a tuple (time, height, width), in frames and pixels.

    Attributes:
        size: of the field; None where it is the whole clip.
        stride: from the field of a position to that of the next one; None where there is one position alone.
        start: where the field of the first position begins, -2 for two places in front of the clip; None with `size`.
    """

    size: tuple
    stride: tuple
    start: tuple


@dataclasses.dataclass(frozen=True)
class Span:
    """One axis of a ReceptiveField.

    Attributes:
        size, stride, start: of the field.
        length: how many positions there are; None if the clip's size is not known.
    """

    size: int | None = 1
    stride: int | None = 1
    start: int | None = 0
    length: int | None = None

    def window(self, size, stride, before, length):
        """That of windows over these positions, the first of which begins `before` positions in front of the first."""
        if self.size is None or self.stride is None:
            return Span(None, self.stride and self.stride * stride, None, length)
        start = self.start - before * self.stride
        return Span(self.size + (size - 1) * self.stride, self.stride * stride, start, length)

    def join(self, other):
        """That of what depends on a position of this and on the same position of `other`."""
        strides = {span.stride for span in (self, other) if span.stride is not None}
        if len(strides) > 1:
            raise ValueError(f"Branches that join have the same stride. Received: {self} and {other}")
        one, two = (span.length for span in (self, other))
        length = one if two in (None, 1) else two  # one position is met by all of the other branch
        stride = next(iter(strides), None)
        if self.size is None or other.size is None:
            return Span(None, stride, None, length)
        start = min(self.start, other.start)
        return Span(max(self.start + self.size, other.start + other.size) - start, stride, start, length)

    def whole(self):
        """The whole axis, seen from each of the same positions."""
        return Span(None, self.stride, None, self.length)


WHOLE = Span(None, None, None, 1)


@dataclasses.dataclass(frozen=True)
class View:
    """What a tensor's positions see.

    Attributes:
        spans: of time, height and width.
        dims: for each dimension of the tensor but the batch, which span it runs along; None for channels, and for what
            was made of several.
    """

    spans: tuple
    dims: tuple

    def along(self, change, dims=None):
        """The View with `change(place, span)` in the place of each span that a dimension runs along."""
        spans = list(self.spans)
        for place, axis in enumerate(self.dims):
            if axis is not None:
                spans[axis] = change(place, spans[axis])
        return dataclasses.replace(self, spans=tuple(spans), dims=self.dims if dims is None else dims)


def of_layers(model, clip=None):
    """Returns {layer name: ReceptiveField} of every layer of a functional model, in the order of the graph.

    Args:
        model: a functional keras.Model of clips (B, T, H, W, C), or of images (B, H, W, C).
        clip: (T, H, W) that it is given, where its input leaves them open. They decide where SAME padding stands.

    Raises:
        ValueError: a size that is needed and not known, or a layer that is not known here.
    """
    views, found = {}, {}
    for tensor in model.inputs:
        views[id(tensor)] = _of_input(tensor.shape, clip)
    _walk(model, views, found)
    fields = {}
    for name, view in found.items():
        fields[name] = ReceptiveField(
            *(tuple(getattr(s, part) for s in view.spans) for part in ("size", "stride", "start"))
        )
    return fields


def steps_at_ends(row, model, frames):
    """How many of a clip's first steps, or of its last ones, see beyond the clip: a chunk's, which a video's do not.

    Args:
        row: the Family.
        model: a functional model of it.
        frames: of the clip.

    Returns:
        The larger one of both numbers, which `Family.halo` must be at least; None where a step sees the whole clip.
    """
    endpoint = getattr(row, "features", "") or row.endpoints[-3]
    field = of_layers(model, (frames, row.min_size, row.min_size))[endpoint]
    size, start, stride = field.size[0], field.start[0], field.stride[0]
    if size is None:
        return None
    if stride != row.step:
        raise ValueError(f"A step of {endpoint} is {stride} frames. Received: {row.name} with step={row.step}")
    ends = [start + place * stride + size for place in range(row.steps(frames))]
    return max(sum(end - size < 0 for end in ends), sum(end > frames for end in ends))


def _of_input(shape, clip):
    *sizes, _ = shape[1:]
    axes = range(3 - len(sizes), 3)
    if len(sizes) not in (2, 3):
        raise ValueError(f"A model takes (B, T, H, W, C) or (B, H, W, C). Received: an input of shape {shape}")
    given = (None, None, None) if clip is None else clip
    lengths = {axis: given[axis] if size is None else size for axis, size in zip(axes, sizes)}
    return View(tuple(Span(length=lengths.get(axis, 1)) for axis in range(3)), (*axes, None))


def _walk(model, views, found):
    """Adds the View of each tensor of a graph to `views`, by its id, and of each layer to `found`, by its name."""
    for depth in sorted(model._nodes_by_depth, reverse=True):
        for node in model._nodes_by_depth[depth]:
            if node.is_input:
                view = views[id(node.outputs[0])]
            else:
                view = _through(node.operation, [views[id(x)] for x in node.input_tensors], node)
            views.update((id(x), view) for x in node.outputs)
            found[node.operation.name] = view


def _through(layer, inputs, node):
    """The View of what a layer or an operation makes of tensors whose Views these are."""
    if isinstance(layer, keras.Model):
        views = {id(tensor): view for tensor, view in zip(layer.inputs, inputs)}
        _walk(layer, views, {})
        return views[id(layer.outputs[0])]
    for kind in type(layer).__mro__:
        if kind.__name__ in KINDS:
            return KINDS[kind.__name__](layer, inputs, node)
    raise ValueError(
        f"A receptive field is known of the layers in receptive_fields.KINDS. Received: {layer.name}, "
        f"a {type(layer).__name__}. Add its class, with what it sees of its input."
    )


# One function for each kind of layer: (layer, the Views of its inputs, its node in the graph) to a View.


def _same_positions(layer, inputs, node):
    """Each position depends on the same one of each input: activations, batch norm, dense layers, sums, products."""
    view = inputs[0]
    for other in inputs[1:]:
        pairs = [*zip(view.dims, other.dims)]  # None meets any axis: its positions are one, or each sees all
        if len(view.dims) != len(other.dims) or any(None not in pair and pair[0] != pair[1] for pair in pairs):
            raise ValueError(f"{layer.name} joins tensors of the same axes. Received: {view.dims} and {other.dims}")
        dims = tuple(two if one is None else one for one, two in pairs)
        view = View(tuple(one.join(two) for one, two in zip(view.spans, other.spans)), dims)
    return view


def _concatenation(layer, inputs, node):
    view = _same_positions(layer, inputs, node)
    axis = layer.axis if layer.axis < 0 else layer.axis - len(view.dims) - 1
    if view.dims[axis] is None:
        return view
    along = view.dims[axis]
    lengths = [each.spans[along].length for each in inputs]
    span = dataclasses.replace(view.spans[along].whole(), length=None if None in lengths else sum(lengths))
    return view.along(lambda place, old: span if view.dims[place] == along else old)


def _whole_clip(layer, inputs, node):
    """Each position depends on all of them: attention."""
    view = _same_positions(layer, inputs[:1], node)
    return View(tuple(span.whole() for span in view.spans), view.dims)


def _one_position(layer, inputs, node):
    """One position is left, which sees all: global pools, and what makes a vector of a clip."""
    (view,) = inputs
    rank = len(node.outputs[0].shape) - 1
    kept = view.dims if rank == len(view.dims) else (None,) * rank
    return View(tuple(WHOLE if axis in view.dims else view.spans[axis] for axis in range(3)), kept)


def _windows(layer, inputs, node):
    """Convolutions and pools."""
    (view,) = inputs
    sizes = layer.pool_size if hasattr(layer, "pool_size") else layer.kernel_size
    dilations = getattr(layer, "dilation_rate", 1)
    sizes, strides, dilations = (_tuple(each, len(view.dims) - 1) for each in (sizes, layer.strides, dilations))
    if layer.data_format != "channels_last":
        raise ValueError(f"Channels come last. Received: {layer.name} with data_format={layer.data_format!r}")

    def change(place, span):
        size = (sizes[place] - 1) * dilations[place] + 1
        return _window(layer, span, size, strides[place])

    return view.along(change)


def _window(layer, span, size, stride):
    """Windows of a size and a stride over the positions of a Span, padded as a layer says."""
    length = span.length
    if layer.padding == "valid":
        return span.window(size, stride, 0, None if length is None else (length - size) // stride + 1)
    if layer.padding == "causal":
        return span.window(size, stride, size - 1, None if length is None else -(-length // stride))
    if stride == 1:
        return span.window(size, 1, (size - 1) // 2, length)
    if length is None:
        raise ValueError(f"SAME padding of {layer.name} depends on the size of the clip. Pass clip=(T, H, W).")
    positions = -(-length // stride)
    return span.window(size, stride, max((positions - 1) * stride + size - length, 0) // 2, positions)


def _padding(layer, inputs, node, sign=1):
    """Places more (1) or less (-1) on both sides."""
    (view,) = inputs
    sides = layer.padding if sign > 0 else layer.cropping
    sides = sides if isinstance(sides[0], tuple | list) else (sides,)

    def change(place, span):
        before, after = (sign * side for side in sides[place])
        return span.window(1, 1, before, None if span.length is None else span.length + before + after)

    return view.along(change)


def _cropping(layer, inputs, node):
    return _padding(layer, inputs, node, -1)


def _slices(layer, inputs, node):
    """x[...] with numbers and slices that are known."""
    (view,) = inputs
    key = node.arguments.args[1] if len(node.arguments.args) > 1 else node.arguments.kwargs["key"]
    key = key if isinstance(key, tuple) else (key,)
    rank = len(view.dims) + 1
    if Ellipsis in key:
        place = key.index(Ellipsis)
        key = (*key[:place], *[slice(None)] * (rank - len(key) + 1), *key[place + 1 :])
    key = (*key, *[slice(None)] * (rank - len(key)))[1:]  # none for the batch

    def change(place, span):
        part = key[place]
        if part == slice(None):
            return span
        if span.length is None:
            raise ValueError(f"What {layer.name} takes depends on the size of the clip. Pass clip=(T, H, W).")
        if isinstance(part, int):
            return dataclasses.replace(span.window(1, 1, -(part % span.length), 1), stride=None)
        places = range(span.length)[part]
        if places.step < 0:
            return dataclasses.replace(span.whole(), length=len(places))
        return span.window(1, places.step, -places.start, len(places))

    if not all(isinstance(part, int | slice) for part in key):
        raise ValueError(f"A slice is of numbers that are known. Received: {layer.name} with {key}")
    return view.along(change, tuple(axis for axis, part in zip(view.dims, key) if isinstance(part, slice)))


def _over_axes(layer, inputs, node):
    """Means, sums and maxima over some axes, each of which is one position afterwards."""
    (view,) = inputs
    axes = layer.axis if isinstance(layer.axis, tuple | list) else (layer.axis,)
    if layer.axis is None or 0 in axes:
        raise ValueError(f"{layer.name} mixes clips of a batch: what its positions see is not known.")
    gone = {(axis if axis > 0 else axis + len(view.dims) + 1) - 1 for axis in axes}
    dims = None if layer.keepdims else tuple(axis for place, axis in enumerate(view.dims) if place not in gone)
    return view.along(lambda place, span: WHOLE if place in gone else span, dims)


def _softmax(layer, inputs, node):
    """A softmax over channels leaves positions alone; one over an axis of the clip sees all of it."""
    (view,) = inputs
    along = view.dims[layer.axis if layer.axis < 0 else layer.axis - 1]
    return view.along(lambda place, span: span.whole() if view.dims[place] == along else span)


def _mixed(layer, inputs, node):
    """Products that sum over positions: which axis is which is not followed, each position sees all."""
    used = {axis for view in inputs for axis in view.dims if axis is not None}
    whole = {a for view in inputs for a in range(3) if view.spans[a].size is None}
    spans = tuple(WHOLE if axis in used | whole else inputs[0].spans[axis] for axis in range(3))
    return View(spans, (None,) * (len(node.outputs[0].shape) - 1))


def _reshape(layer, inputs, node):
    """Where dimensions of one position go or come, the others stay what they are; else all positions are mixed."""
    (view,) = inputs
    before, after = node.input_tensors[0].shape[1:], node.outputs[0].shape[1:]
    kept = [(size, axis) for size, axis in zip(before, view.dims) if size != 1]
    if [size for size, _ in kept] == [size for size in after if size != 1]:
        axes = iter(axis for _, axis in kept)
        dims = tuple(None if size == 1 else next(axes) for size in after)
        return View(view.spans, dims)
    if getattr(layer, "newshape", (None,))[0] == -1:
        raise ValueError(f"{layer.name} mixes clips of a batch: what its positions see is not known.")
    return _mixed(layer, inputs, node)


def _permutation(layer, inputs, node):
    (view,) = inputs
    places = layer.dims if hasattr(layer, "dims") else layer.axes[1:]
    return View(view.spans, tuple(view.dims[place - 1] for place in places))


def _recurrent(layer, inputs, node):
    """A step of a recurrent layer depends on all steps before it."""
    view = inputs[0]
    if getattr(layer, "return_sequences", True):
        return view.along(lambda place, span: span.whole() if place == 0 else span)
    return view.along(lambda place, span: WHOLE if place == 0 else span, view.dims[1:])


def _each_step(layer, inputs, node):
    """The layer inside, at each step in time."""
    (view,) = inputs
    inside = _through(layer.layer, [View(view.spans, view.dims[1:])], node)
    return View(inside.spans, (view.dims[0], *inside.dims))


def _space_to_depth(layer, inputs, node):
    (view,) = inputs

    def change(place, span):
        if span.length is None:
            raise ValueError(f"The phase of {layer.name} depends on the size of the clip. Pass clip=(T, H, W).")
        return span.window(2, 2, span.length % 2, (span.length + 1) // 2)

    return view.along(change)


def _head_pool(layer, inputs, node):
    (view,) = inputs

    def change(place, span):
        size = layer.steps if place == 0 else layer.window
        if size is None:
            return WHOLE
        if place and span.length is not None:
            size = min(size, span.length)
        return span.window(size, 1, 0, None if span.length is None else span.length - size + 1)

    return view.along(change)


def _flow_stacks(layer, inputs, node):
    """Stacks of fields; one moved by the fields before it, or less the mean of its field, sees the whole of space."""
    (view,) = inputs
    everywhere = layer.trajectories or layer.subtract_mean

    def change(place, span):
        if place:
            return span.whole() if everywhere else span
        return span.window(layer.fields, layer.stride, 0, _stacks(layer, span.length))

    return view.along(change)


def _stack_frames(layer, inputs, node):
    """The frame in the middle of each stack."""
    (view,) = inputs

    def change(place, span):
        return span if place else span.window(1, layer.stride, -(layer.fields // 2), _stacks(layer, span.length))

    return view.along(change)


def _stacks(layer, frames):
    return None if frames is None else (frames - layer.fields) // layer.stride + 1


def _tuple(value, rank):
    return (value,) * rank if isinstance(value, int) else tuple(value)


# {class of a layer or an operation, or of one that it is made of: what it sees}.
KINDS = {
    "BaseConv": _windows,
    "BaseDepthwiseConv": _windows,
    "BasePooling": _windows,
    "BaseGlobalPooling": _one_position,
    "Flatten": _one_position,
    "Concatenate": _concatenation,
    "GetItem": _slices,
    "Reshape": _reshape,
    "Squeeze": _reshape,
    "ExpandDims": _reshape,
    "Permute": _permutation,
    "Transpose": _permutation,
    "Softmax": _softmax,
    "RNN": _recurrent,
    "Bidirectional": _recurrent,
    "TimeDistributed": _each_step,
    "Attention": _whole_clip,
    "MultiHeadAttention": _whole_clip,
    "WeighedMean": _whole_clip,
    "SpaceToDepth3D": _space_to_depth,
    "HeadPool": _head_pool,
    "FlowStacks": _flow_stacks,
    "StackFrames": _stack_frames,
    "BatchNormLSTM": _recurrent,
    "LastStep": _one_position,
    **{f"ZeroPadding{rank}D": _padding for rank in (1, 2, 3)},
    **{f"Cropping{rank}D": _cropping for rank in (1, 2, 3)},
    **dict.fromkeys(("Mean", "Sum", "Max", "Min"), _over_axes),
    **dict.fromkeys(("Dot", "Matmul", "Einsum", "Tensordot"), _mixed),
    **dict.fromkeys(
        (
            *("ClipCheck", "BatchNormalization", "LayerNormalization", "Dense", "Rescaling", "Identity", "MeanOfHeads"),
            *("Activation", "ReLU", "LeakyReLU", "PReLU", "ELU", "Dropout", "BaseSpatialDropout", "Cast"),
            *("Merge", "Add", "Subtract", "Multiply", "Divide", "TrueDivide", "Maximum", "Sigmoid", "Relu"),
        ),
        _same_positions,
    ),
}
