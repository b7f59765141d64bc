"""The same model, whose training step takes less time, or less memory, on TensorFlow."""

import collections
import contextlib
import threading

import keras
from keras import ops

from keras_i3d.models import blocks, families


def for_training(model, remat=False):
    """Returns a copy of a model with the same names, weights and results, and a faster training step.

    Batch norm runs as TensorFlow's fused kernel, together with the ReLU behind it. A ReLU that a max pool alone reads
    runs behind the pool, on fewer values; values and gradients are equal to the bit. In bfloat16 on a CPU the first
    convolution runs on its input rearranged (2 x 2 x 2 positions to channels), which fills a matrix unit, and one of
    1 x 1 x 1 as a product of matrices. Batch norm and convolutions compute the same sums in another order. Where these
    do not apply (inference, frozen or synchronized batch norm, another backend) Keras's own code runs. Weight files of
    either model fit the other.

    What a layer inside puts out with `training=True` may be that before or after its ReLU; the model's outputs are the
    same.

    Args:
        model: a functional model, such as `keras_i3d.I3D(...)`; or one made of such models, as
            `keras_i3d.TwoStreamI3D(...)` is.
        remat: whether the activations between endpoints are computed a second time for the gradient instead of kept:
            less memory for about a third more time. Where the graph is cut is in its family's `cuts`. Results are
            those of the same model without.

    Returns:
        A functional keras.Model, not compiled, with `trainable`, `synchronized` and regularizers as they were.

    Raises:
        ValueError: remat for a model of somebody else's, for a network without cuts, or on another backend than
            TensorFlow.
    """
    if remat and keras.backend.backend() != "tensorflow":
        raise ValueError(f"Rematerialisation needs the TensorFlow backend. Received: {keras.backend.backend()}")
    family = families.of(model)
    if remat and family is not None and not family.cuts:
        raise ValueError(
            f"{family.name} has no place to be cut, at which activations could be kept. Received: remat=True. Pass "
            "remat=False, and a smaller batch_size with accumulate."
        )
    copies, nested, calls = {}, [], []

    def copy(layer):
        if _is_graph(layer):
            nested.append(for_training(layer, remat))
            return nested[-1]
        copies[layer.name] = _faster(layer).from_config(layer.get_config())
        return copies[layer.name]

    def call(layer, *args, **kwargs):
        output = layer(*args, **kwargs)
        calls.append((layer, keras.tree.flatten((args, kwargs)), output))
        return output

    if isinstance(model, keras.Sequential):
        fast = keras.models.clone_model(model, clone_function=copy)
    else:
        fast = keras.models.clone_model(model, clone_function=copy, call_function=call)
        if keras.backend.backend() == "tensorflow":
            _move_relus(*_neighbours(calls, fast.outputs))
    if remat and not nested:  # those inside are cut, what joins them is small
        fast = Rematerialised(fast.input, fast.output, name=model.name)
    for layer in model.layers:
        if layer.name in copies:
            for new, old in zip(copies[layer.name].weights, layer.weights):
                new.regularizer = old.regularizer  # may be newer than the layer
            if getattr(layer, "seed_generator", None) is not None:
                copies[layer.name].seed_generator.state.assign(layer.seed_generator.state)
    fast.set_weights(model.get_weights())
    return fast


def _faster(layer):
    """The class of a layer's copy."""
    if type(layer) is keras.layers.BatchNormalization and not getattr(layer, "renorm", False):
        return BatchNormalization
    if type(layer) is keras.layers.Conv3D and (blocks.is_sparse_stem(layer) or _is_pointwise(layer)):
        return Conv3D
    if type(layer) is keras.layers.ReLU and (layer.max_value, layer.negative_slope, layer.threshold) == (None, 0, 0):
        return ReLU
    return MaxPool3D if type(layer) is blocks.MaxPool3D else type(layer)


def _neighbours(calls, outputs):
    """Returns ({layer: layers that it reads}, {layer: layers that read it}) of layers that are called once.

    Args:
        calls: (layer, what it is called on, its output) of each call.
        outputs: of the model, which count as read by None.
    """
    makers = {id(output): layer for layer, _, output in calls}  # `calls` keeps them, so that no id comes twice
    times = collections.Counter(layer for layer, _, _ in calls)
    sources = {layer: [makers.get(id(each)) for each in inputs] for layer, inputs, _ in calls if times[layer] == 1}
    readers = {layer: [None] * sum(output is each for each in outputs) for layer, _, output in calls}
    for layer, inputs, _ in calls:
        for maker in filter(None, (makers.get(id(each)) for each in inputs)):
            readers[maker].append(layer)
    return sources, {layer: found for layer, found in readers.items() if times[layer] == 1}


def _move_relus(sources, readers):
    """Leaves a ReLU to the max pool that alone reads it or its concatenation, or else to the batch norm before it."""
    for pool in sources:
        if not isinstance(pool, MaxPool3D):
            continue
        relus = sources[pool]
        if isinstance(relus[0], keras.layers.Concatenate) and readers.get(relus[0]) == [pool]:
            relus = sources[relus[0]]
        if all(isinstance(relu, ReLU) and len(readers.get(relu, ())) == 1 for relu in relus):
            pool.does_relu = True
            for relu in relus:
                relu.is_done = lambda x: True
    for norm in sources:
        relu = readers[norm][0] if isinstance(norm, BatchNormalization) and len(readers[norm]) == 1 else None
        if isinstance(relu, ReLU) and relu in sources and not relu.is_done(None):
            norm.does_relu = True
            relu.is_done = norm.fuses


def _is_pointwise(conv):
    """Whether a Keras Conv3D is a product of matrices, one row a position."""
    return (
        conv.kernel_size == (1, 1, 1)
        and conv.strides == (1, 1, 1)
        and conv.groups == 1
        and not conv.use_bias
        and conv.data_format == "channels_last"
    )


def _is_graph(layer):
    """Whether a layer is itself a functional or sequential model."""
    return isinstance(layer, keras.Sequential) or (isinstance(layer, keras.Model) and hasattr(layer, "operations"))


_state = threading.local()  # replicas are traced in threads of their own


@contextlib.contextmanager
def _recomputation():
    """While this is open, batch norm leaves its moving statistics alone: the first pass has updated them."""
    _state.recomputing = True
    try:
        yield
    finally:
        _state.recomputing = False


@keras.saving.register_keras_serializable(package="keras_i3d")
class BatchNormalization(keras.layers.BatchNormalization):
    """Keras's batch norm, which trains by TensorFlow's fused kernel if it can.

    Same variables and results: statistics in float32, the population variance in the moving average. It keeps
    Keras's class name, by which weight files are laid out.
    """

    does_relu = False  # whether the ReLU behind it leaves its work to the kernel

    def call(self, inputs, training=None, mask=None):
        if not training or not self.trainable:
            return super().call(inputs, training=training, mask=mask)
        if mask is None and self.fuses(inputs):
            return self._fused(inputs)
        if getattr(_state, "recomputing", False):
            return self._without_update(inputs, mask)
        return super().call(inputs, training=training, mask=mask)

    def fuses(self, inputs):
        """Whether the kernel takes what has the shape and the dtype of these inputs, when it trains."""
        return (
            self.trainable
            and keras.backend.backend() == "tensorflow"
            and not self.synchronized
            and not getattr(self, "renorm", False)
            and self.axis in (-1, len(inputs.shape) - 1)
            and len(inputs.shape) >= 4
            and keras.backend.standardize_dtype(inputs.dtype) in ("float32", "bfloat16", "float16")
            and self.compute_dtype == keras.backend.standardize_dtype(inputs.dtype)
        )

    def _fused(self, inputs):
        import tensorflow as tf

        channels = inputs.shape[-1]
        shape = tf.shape(inputs)
        flat = tf.reshape(inputs, tf.stack([-1, shape[-3], shape[-2], channels]))  # (B * T, H, W, C)
        outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=flat,
            scale=ops.cast(self.gamma, "float32") if self.scale else tf.ones((channels,)),
            offset=ops.cast(self.beta, "float32") if self.center else tf.zeros((channels,)),
            mean=tf.zeros((0,)),
            variance=tf.zeros((0,)),
            epsilon=self.epsilon,
            is_training=True,
        )
        if not getattr(_state, "recomputing", False):
            count = tf.cast(tf.reduce_prod(shape[:-1]), "float32")
            variance *= tf.maximum(count - 1, 1) / count  # the kernel gives the sample's, Bessel-corrected
            keep = self.momentum
            self.moving_mean.assign(self.moving_mean * keep + tf.stop_gradient(mean) * (1 - keep))
            self.moving_variance.assign(self.moving_variance * keep + tf.stop_gradient(variance) * (1 - keep))
        if self.does_relu:  # before the reshape, so that TensorFlow makes it part of the kernel
            outputs = tf.nn.relu(outputs)
        outputs = tf.reshape(outputs, shape)
        outputs.set_shape(inputs.shape)
        return outputs

    def _without_update(self, inputs, mask):
        x = ops.cast(inputs, keras.backend.result_type(inputs.dtype, "float32"))
        mean, variance = self._moments(x, mask)
        gamma = ops.cast(self.gamma, x.dtype) if self.scale else None
        beta = ops.cast(self.beta, x.dtype) if self.center else None
        outputs = ops.batch_normalization(
            x, mean, variance, axis=self.axis, offset=beta, scale=gamma, epsilon=self.epsilon
        )
        return ops.cast(outputs, self.compute_dtype)


@keras.saving.register_keras_serializable(package="keras_i3d", name="ReLUForTraining")
class ReLU(keras.layers.ReLU):
    """A ReLU that passes its input in training if the layer before or behind it does its work."""

    def is_done(self, x):
        """Whether another layer does its work on what has the shape and the dtype of x; `for_training` says so."""
        return False

    def call(self, inputs, training=None):
        return inputs if training and self.is_done(inputs) else super().call(inputs)


@keras.saving.register_keras_serializable(package="keras_i3d", name="MaxPool3DForTraining")
class MaxPool3D(blocks.MaxPool3D):
    """Max pooling, which in training does the work of the ReLU before it on what is left."""

    does_relu = False

    def call(self, x, training=None):
        outputs = super().call(x)
        return ops.relu(outputs) if training and self.does_relu else outputs


@keras.saving.register_keras_serializable(package="keras_i3d")
class Conv3D(keras.layers.Conv3D):
    """A convolution that trains in bfloat16 on a CPU as a matrix unit likes it.

    One of stride 2 over few channels runs on a rearranged input: eight neighbours become channels, stride 1 over 8 C
    channels. One of 1 x 1 x 1 is a product of matrices, and so are its gradients: that of the kernel takes half the
    time of oneDNN's gradient of a convolution. In other precisions a clip of no more frames than the
    kernel gets its zeros in an operation of their own: of such clips oneDNN's gradient by the kernel crashes (5 frames)
    or is garbage (7; TensorFlow 2.21). It keeps Keras's class name, by which weight files are laid out.
    """

    def call(self, inputs, training=None):
        sizes = inputs.shape[1:4]
        if training and _is_pointwise(self) and self._rearranges():
            shape = (-1, *ops.shape(inputs)[1:-1], self.filters)
            flat, kernel = (ops.reshape(each, (-1, each.shape[-1])) for each in (inputs, self.kernel))
            outputs = ops.reshape(ops.matmul(flat, kernel), shape)
        elif training and self._rearranges():
            kernel = blocks.space_to_depth_kernel(self.kernel)
            outputs = ops.conv(blocks.space_to_depth(inputs), kernel, 1, "same", data_format="channels_last")
        elif training and not _is_pointwise(self) and None not in sizes and sizes[0] <= self.kernel_size[0]:
            zeros = [size - 2 + length % 2 for size, length in zip(self.kernel_size, sizes)]  # as of SAME
            around = [(0, 0), *((each // 2, each - each // 2) for each in zeros), (0, 0)]
            outputs = ops.conv(ops.pad(inputs, around), self.kernel, self.strides, "valid", data_format="channels_last")
        else:
            return super().call(inputs)
        if self.use_bias:
            outputs = outputs + self.bias
        return outputs if self.activation is None else self.activation(outputs)

    def _rearranges(self):
        return keras.backend.backend() == "tensorflow" and blocks.is_bfloat16_on_cpu(self)


@keras.saving.register_keras_serializable(package="keras_i3d")
class Rematerialised(keras.Model):
    """A functional model of one stream that trains piece by piece, keeping only what is at its family's cuts."""

    def __init__(self, *args, **kwargs):  # inputs, outputs: named, Keras 3.12 would save it without its layers
        super().__init__(*args, **kwargs)
        family = families.of(self)
        names = {layer.name for layer in self.layers}
        if family is None or not set(family.cuts) <= names:
            missing = sorted(set(family.cuts) - names) if family else "its ClipCheck"
            raise ValueError(f"Rematerialisation needs a model that this package made, whole. Missing: {missing}")
        ends = [self.inputs[0], *(self.get_layer(name).output for name in family.cuts), self.outputs[0]]
        pieces = [keras.Model(start, end) for start, end in zip(ends, ends[1:])]
        self._run = lambda x: _run(pieces, x)  # hidden, or the pieces' layers would be tracked a second time

    def call(self, inputs, training=None, mask=None):
        if not training:
            return super().call(inputs, training=training, mask=mask)
        return self._run(keras.tree.flatten(inputs)[0])


def _run(pieces, x):
    *pieces, head = pieces
    for piece in pieces:
        x = _recomputed(piece)(x)
    return head(x, training=True)


def _recomputed(piece):
    """A function that runs a piece, and once more when TensorFlow asks for its gradient."""
    import tensorflow as tf

    passes = []

    def run(x):
        passes.append(None)
        with _recomputation() if len(passes) > 1 else contextlib.nullcontext():
            return piece(x, training=True)

    return tf.recompute_grad(run)
