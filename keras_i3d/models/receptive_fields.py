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

from keras_i3d.models import layer_views
from keras_i3d.models.layer_views import Span, View


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


def _each_step(layer, inputs, node):
    """The layer inside, at each step in time."""
    (view,) = inputs
    inside = _through(layer.layer, [View(view.spans, view.dims[1:])], node)
    return View(inside.spans, (view.dims[0], *inside.dims))


# {class of a layer or an operation, or of one that it is made of: what it sees}.
KINDS = {
    "BaseConv": layer_views.windows,
    "BaseDepthwiseConv": layer_views.windows,
    "BasePooling": layer_views.windows,
    "BaseGlobalPooling": layer_views.one_position,
    "Flatten": layer_views.one_position,
    "Concatenate": layer_views.concatenation,
    "GetItem": layer_views.slices,
    "Reshape": layer_views.reshape,
    "Squeeze": layer_views.reshape,
    "ExpandDims": layer_views.reshape,
    "Permute": layer_views.permutation,
    "Transpose": layer_views.permutation,
    "Softmax": layer_views.softmax,
    "RNN": layer_views.recurrent,
    "Bidirectional": layer_views.recurrent,
    "TimeDistributed": _each_step,
    "Attention": layer_views.whole_clip,
    "MultiHeadAttention": layer_views.whole_clip,
    "WeighedMean": layer_views.whole_clip,
    "SpaceToDepth3D": layer_views.space_to_depth,
    "HeadPool": layer_views.head_pool,
    "FlowStacks": layer_views.flow_stacks,
    "StackFrames": layer_views.stack_frames,
    "BatchNormLSTM": layer_views.recurrent,
    "LastStep": layer_views.one_position,
    **{f"ZeroPadding{rank}D": layer_views.padding for rank in (1, 2, 3)},
    **{f"Cropping{rank}D": layer_views.cropping for rank in (1, 2, 3)},
    **dict.fromkeys(("Mean", "Sum", "Max", "Min"), layer_views.over_axes),
    **dict.fromkeys(("Dot", "Matmul", "Einsum", "Tensordot"), layer_views.mixed),
    **dict.fromkeys(
        (
            *("ClipCheck", "BatchNormalization", "LayerNormalization", "Dense", "Rescaling", "Identity", "MeanOfHeads"),
            *("Activation", "ReLU", "LeakyReLU", "PReLU", "ELU", "Dropout", "BaseSpatialDropout", "Cast"),
            *("Merge", "Add", "Subtract", "Multiply", "Divide", "TrueDivide", "Maximum", "Sigmoid", "Relu"),
        ),
        layer_views.same_positions,
    ),
}
