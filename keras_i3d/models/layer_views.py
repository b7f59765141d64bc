"""What one position of a layer's output sees, from what its inputs' positions see: a function a kind of layer.

Each axis, time, height and width, is a Span of its own; a tensor's dimensions run along them. `receptive_fields` walks
a model's graph with these, and says which class of a layer is of which kind.
"""

import dataclasses


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


# Each function below is (layer, the Views of its inputs, its node in the graph) to a View.


def same_positions(layer, inputs, node):
    """Each position depends on the same one of each input: activations, batch norm, dense layers, sums, products."""
    view = inputs[0]
    for other in inputs[1:]:
        pairs = [*zip(view.dims, other.dims)]  # None meets any axis: its positions are one, or each sees all
        if len(view.dims) != len(other.dims) or any(None not in pair and pair[0] != pair[1] for pair in pairs):
            raise ValueError(f"{layer.name} joins tensors of the same axes. Received: {view.dims} and {other.dims}")
        dims = tuple(two if one is None else one for one, two in pairs)
        view = View(tuple(one.join(two) for one, two in zip(view.spans, other.spans)), dims)
    return view


def concatenation(layer, inputs, node):
    view = same_positions(layer, inputs, node)
    axis = layer.axis if layer.axis < 0 else layer.axis - len(view.dims) - 1
    if view.dims[axis] is None:
        return view
    along = view.dims[axis]
    lengths = [each.spans[along].length for each in inputs]
    span = dataclasses.replace(view.spans[along].whole(), length=None if None in lengths else sum(lengths))
    return view.along(lambda place, old: span if view.dims[place] == along else old)


def whole_clip(layer, inputs, node):
    """Each position depends on all of them: attention."""
    view = same_positions(layer, inputs[:1], node)
    return View(tuple(span.whole() for span in view.spans), view.dims)


def one_position(layer, inputs, node):
    """One position is left, which sees all: global pools, and what makes a vector of a clip."""
    (view,) = inputs
    rank = len(node.outputs[0].shape) - 1
    kept = view.dims if rank == len(view.dims) else (None,) * rank
    return View(tuple(WHOLE if axis in view.dims else view.spans[axis] for axis in range(3)), kept)


def windows(layer, inputs, node):
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


def padding(layer, inputs, node, sign=1):
    """Places more (1) or less (-1) on both sides."""
    (view,) = inputs
    sides = layer.padding if sign > 0 else layer.cropping
    sides = sides if isinstance(sides[0], tuple | list) else (sides,)

    def change(place, span):
        before, after = (sign * side for side in sides[place])
        return span.window(1, 1, before, None if span.length is None else span.length + before + after)

    return view.along(change)


def cropping(layer, inputs, node):
    return padding(layer, inputs, node, -1)


def slices(layer, inputs, node):
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


def over_axes(layer, inputs, node):
    """Means, sums and maxima over some axes, each of which is one position afterwards."""
    (view,) = inputs
    axes = layer.axis if isinstance(layer.axis, tuple | list) else (layer.axis,)
    if layer.axis is None or 0 in axes:
        raise ValueError(f"{layer.name} mixes clips of a batch: what its positions see is not known.")
    gone = {(axis if axis > 0 else axis + len(view.dims) + 1) - 1 for axis in axes}
    dims = None if layer.keepdims else tuple(axis for place, axis in enumerate(view.dims) if place not in gone)
    return view.along(lambda place, span: WHOLE if place in gone else span, dims)


def softmax(layer, inputs, node):
    """A softmax over channels leaves positions alone; one over an axis of the clip sees all of it."""
    (view,) = inputs
    along = view.dims[layer.axis if layer.axis < 0 else layer.axis - 1]
    return view.along(lambda place, span: span.whole() if view.dims[place] == along else span)


def mixed(layer, inputs, node):
    """Products that sum over positions: which axis is which is not followed, each position sees all."""
    used = {axis for view in inputs for axis in view.dims if axis is not None}
    whole = {a for view in inputs for a in range(3) if view.spans[a].size is None}
    spans = tuple(WHOLE if axis in used | whole else inputs[0].spans[axis] for axis in range(3))
    return View(spans, (None,) * (len(node.outputs[0].shape) - 1))


def reshape(layer, inputs, node):
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
    return mixed(layer, inputs, node)


def permutation(layer, inputs, node):
    (view,) = inputs
    places = layer.dims if hasattr(layer, "dims") else layer.axes[1:]
    return View(view.spans, tuple(view.dims[place - 1] for place in places))


def recurrent(layer, inputs, node):
    """A step of a recurrent layer depends on all steps before it."""
    view = inputs[0]
    if getattr(layer, "return_sequences", True):
        return view.along(lambda place, span: span.whole() if place == 0 else span)
    return view.along(lambda place, span: WHOLE if place == 0 else span, view.dims[1:])


def space_to_depth(layer, inputs, node):
    (view,) = inputs

    def change(place, span):
        if span.length is None:
            raise ValueError(f"The phase of {layer.name} depends on the size of the clip. Pass clip=(T, H, W).")
        return span.window(2, 2, span.length % 2, (span.length + 1) // 2)

    return view.along(change)


def head_pool(layer, inputs, node):
    (view,) = inputs

    def change(place, span):
        size = layer.steps if place == 0 else layer.window
        if size is None:
            return WHOLE
        if place and span.length is not None:
            size = min(size, span.length)
        return span.window(size, 1, 0, None if span.length is None else span.length - size + 1)

    return view.along(change)


def flow_stacks(layer, inputs, node):
    """Stacks of fields; one moved by the fields before it, or less the mean of its field, sees the whole of space."""
    (view,) = inputs
    everywhere = layer.trajectories or layer.subtract_mean

    def change(place, span):
        if place:
            return span.whole() if everywhere else span
        return span.window(layer.fields, layer.stride, 0, _stacks(layer, span.length))

    return view.along(change)


def stack_frames(layer, inputs, node):
    """The frame in the middle of each stack."""
    (view,) = inputs

    def change(place, span):
        return span if place else span.window(1, layer.stride, -(layer.fields // 2), _stacks(layer, span.length))

    return view.along(change)


def _stacks(layer, frames):
    return None if frames is None else (frames - layer.fields) // layer.stride + 1


def _tuple(value, rank):
    return (value,) * rank if isinstance(value, int) else tuple(value)
