"""The same network for inference alone: batch norm folded away, and the first convolution as the device likes it."""

import collections
import dataclasses
import functools

import keras
import numpy as np

from keras_i3d.models.blocks import SpaceToDepth3D, is_bfloat16_on_cpu, is_sparse_stem, space_to_depth_kernel


def optimize_for_inference(model, dtype=None):
    """Returns a copy of a model that answers the same in less time, and cannot be trained any more.

    Batch norm and ReLU become part of the convolution before them, which takes the endpoint's name; where the ReLU
    follows a sum, batch norm alone does. Dropout goes. In bfloat16 on a CPU the 7 x 7 x 7 convolution of stride 2 runs
    at stride 1 on 2 x 2 x 2 neighbours moved to the channels, the same sums in another order: 24 channels fill a matrix
    unit where 3 leave it empty; and a 3 x 3 x 3 max pool goes over time first, then over space. In float32 neither
    gains anything, and both are left as they are.

    Args:
        model: a functional keras.Model made by this package, with or without its top, one stream or two.
        dtype: what the copy computes in and keeps its weights in; by default what each layer does. "float32" of a
            model in bfloat16 leaves the graph as bfloat16 has it: for a runtime that computes in bfloat16 by itself.

    Returns:
        A functional keras.Model with the same name, inputs, outputs and endpoints, within 1e-4 of the original's
        outputs in float32 (relative L2). Its weights are its own, in the precision that it computes in; files of the
        original's do not fit it.

    Raises:
        TypeError: no functional model.
        ValueError: weights that are not finite; a convolution fused with its ReLU would make 0 of NaN and hide them.
    """
    changes = Changes(model, dtype)
    weights, before = {}, {}  # by the name of a new layer: what it gets, and the layers to put before it

    def copy(layer):
        if isinstance(layer, keras.Model):
            return optimize_for_inference(layer, dtype)
        if not isinstance(layer, keras.layers.Layer):  # an operation, which has nothing of its own
            return layer
        if layer.name in changes.gone:
            return _Placeholder()
        if layer.name in changes.folded:
            unit = changes.folded[layer.name]
            new, values, earlier = unit.layer(), [unit.kernel, unit.bias], unit.earlier
        else:
            new, values, earlier = _copied(layer, dtype), layer.get_weights(), ()
            if layer.name in changes.pools:
                *earlier, new = changes.pools[layer.name]
        weights[new.name], before[new.name] = (new, values), earlier
        return new

    def call(layer, x, *args, **kwargs):
        if isinstance(layer, _Placeholder):
            return x
        for earlier in before.get(layer.name, ()):
            x = earlier(x)
        return layer(x, *args, **kwargs)

    optimized = keras.models.clone_model(model, clone_function=copy, call_function=call)
    for layer, values in weights.values():
        layer.set_weights(values)
        check_finite(layer.name, layer.weights, layer.compute_dtype)
    optimized.trainable = False
    return optimized


class Changes:
    """What becomes of the layers of a functional keras.Model for inference.

    Args:
        model: as for `optimize_for_inference`, whose errors it raises.
        dtype: as there.

    Attributes:
        folded: {name of a convolution: the Folded in its place}.
        pools: {name of a pool: the layers in its place, in order}.
        gone: names of layers that pass on what comes in.
        inside: {name of a model in it: its Changes}, made when it is asked for.
    """

    def __init__(self, model, dtype=None):
        functional = isinstance(model, keras.Model) and not isinstance(model, keras.Sequential)
        if not functional or not getattr(model, "inputs", None):
            raise TypeError(f"optimize_for_inference takes a functional keras.Model. Received: {model!r}")
        units = {unit.conv.name: unit for unit in _units(model)}
        self.gone = {layer.name for unit in units.values() for layer in unit.layers[1:]}
        self.gone |= {layer.name for layer in model.layers if isinstance(layer, keras.layers.Dropout)}
        self.folded = {name: unit.folded(dtype) for name, unit in units.items()}
        self.pools = {layer.name: _separated(layer, dtype) for layer in model.layers if _separates(layer)}
        self._model, self._dtype = model, dtype

    @functools.cached_property
    def inside(self):
        models = (layer for layer in self._model.layers if isinstance(layer, keras.Model))
        return {model.name: Changes(model, self._dtype) for model in models}


def _copied(layer, dtype):
    config = layer.get_config()
    return type(layer).from_config(config | {"dtype": dtype} if dtype else config)


def check_finite(name, arrays, dtype):
    """Raises ValueError if the weights of a layer are not finite in the precision that it computes in."""
    wrong = sum(int(np.sum(~np.isfinite(np.asarray(array, "float32")))) for array in arrays)
    if wrong:
        raise ValueError(
            f"Weights must be finite. Received: {name} with {wrong} that are not, in {dtype}. "
            'Check the weights, or use precision="float32".'
        )


@dataclasses.dataclass(frozen=True)
class Folded:
    """A convolution that does the work of its batch norm and its activation too.

    Attributes:
        name: of the last of the layers whose work it does.
        kernel, bias: float32 arrays.
        config: of the Keras layer.
        earlier: layers to put before it.
    """

    name: str
    kernel: np.ndarray
    bias: np.ndarray
    config: dict
    earlier: tuple

    def layer(self):
        """Returns it as a Keras layer whose weights are still to be set."""
        return keras.layers.Conv3D.from_config(self.config)


class _Placeholder(keras.layers.Layer):
    """Placeholder for a layer whose work another layer does."""


class _Unit:
    """A convolution, the batch norm that alone reads it, and the activation that alone reads that: either may lack."""

    def __init__(self, conv, norm, activation):
        self.conv, self.norm, self.activation = conv, norm, activation
        self.layers = [layer for layer in (conv, norm, activation) if layer is not None]

    def folded(self, dtype=None):
        """Returns the Folded that does the work of all."""
        conv, norm = self.conv, self.norm
        kernel = np.float64(conv.kernel)
        bias = np.float64(conv.bias) if conv.use_bias else np.zeros(conv.filters)
        if norm is not None:
            scale = 1 / np.sqrt(np.float64(norm.moving_variance) + norm.epsilon)
            if norm.scale:
                scale = scale * np.float64(norm.gamma)
            bias = (bias - np.float64(norm.moving_mean)) * scale
            if norm.center:
                bias = bias + np.float64(norm.beta)
            kernel = kernel * scale
        kernel = np.float32(kernel)
        config = conv.get_config()
        config |= {
            "name": self.layers[-1].name,
            "use_bias": True,
            "kernel_initializer": "zeros",
            "dtype": dtype or conv.compute_dtype,  # the weights too: cast once, here
            "activation": "relu" if self.activation is not None else None,
        }
        earlier = ()
        if is_bfloat16_on_cpu(conv) and is_sparse_stem(conv):
            kernel = np.asarray(space_to_depth_kernel(kernel))
            config |= {"kernel_size": kernel.shape[:3], "strides": (1, 1, 1)}
            earlier = (SpaceToDepth3D(name=f"{config['name']}_space_to_depth", dtype=config["dtype"]),)
        return Folded(config["name"], kernel, np.float32(bias), config, earlier)


def _units(model):
    """Finds the units of a model by who reads whom."""
    layers = {layer.name: layer for layer in model.layers}
    readers = _readers(model)

    def alone(layer, kind):
        """The one layer that reads `layer`, if it is of that kind."""
        names = readers[layer.name]
        after = layers.get(names[0]) if len(names) == 1 else None
        return after if isinstance(after, kind) else None

    units = []
    for layer in model.layers:
        if not isinstance(layer, keras.layers.Conv3D) or layer.activation is not keras.activations.linear:
            continue
        norm = alone(layer, keras.layers.BatchNormalization)
        if norm is not None and norm.axis not in (-1, 4):
            continue
        relu = alone(norm or layer, keras.layers.ReLU)
        plain = relu is not None and (relu.max_value, relu.negative_slope, relu.threshold) == (None, 0, 0)
        if norm is not None or plain:
            units.append(_Unit(layer, norm, relu if plain else None))
    return units


def _readers(model):
    """Returns {layer name: names of the layers that read its output, with "" for an output of the model}."""
    nodes = [node for depth in model._nodes_by_depth.values() for node in depth]
    makers = {id(tensor): node.operation.name for node in nodes for tensor in node.outputs}
    readers = collections.defaultdict(list)
    for node in nodes:
        for tensor in () if node.is_input else node.input_tensors:
            readers[makers[id(tensor)]].append(node.operation.name)
    for tensor in model.outputs:
        readers[makers[id(tensor)]].append("")
    return readers


def _separates(layer):
    """Whether a layer is a 3 x 3 x 3 max pool of stride 1 that is faster as two, over time and then over space."""
    return (
        is_bfloat16_on_cpu(layer)
        and isinstance(layer, keras.layers.MaxPooling3D)
        and (layer.pool_size, layer.strides, layer.padding) == ((3, 3, 3), (1, 1, 1), "same")
    )


def _separated(pool, dtype):
    config = pool.get_config() | ({"dtype": dtype} if dtype else {})
    over_time = config | {"name": f"{pool.name}_time", "pool_size": (3, 1, 1)}
    return tuple(type(pool).from_config(c) for c in (over_time, config | {"pool_size": (1, 3, 3)}))
