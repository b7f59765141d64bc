"""The same model, whose training step takes less time, or less memory, on TensorFlow."""

import contextlib
import threading

import keras
from keras import ops

from keras_i3d.models import blocks, families


def for_training(model, remat=False):
    """Returns a copy of a model with the same names, weights and results, and a faster training step.

    Batch norm runs as TensorFlow's fused kernel, and in bfloat16 on a CPU the first convolution runs on its input
    rearranged (2 x 2 x 2 positions to channels), which fills a matrix unit. Both compute the same sums in another
    order. Where they do not apply (inference, frozen or synchronized batch norm, another backend) Keras's own code
    runs. Weight files of either model fit the other.

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
    copies, nested = {}, []

    def copy(layer):
        if _is_graph(layer):
            nested.append(for_training(layer, remat))
            return nested[-1]
        config = layer.get_config()
        if type(layer) is keras.layers.BatchNormalization and not getattr(layer, "renorm", False):
            copies[layer.name] = BatchNormalization.from_config(config)
        elif type(layer) is keras.layers.Conv3D and blocks.is_sparse_stem(layer):
            copies[layer.name] = Conv3D.from_config(config)
        else:
            copies[layer.name] = type(layer).from_config(config)
        return copies[layer.name]

    fast = keras.models.clone_model(model, clone_function=copy)
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

    def call(self, inputs, training=None, mask=None):
        if not training or not self.trainable:
            return super().call(inputs, training=training, mask=mask)
        if mask is None and self._fuses(inputs):
            return self._fused(inputs)
        if getattr(_state, "recomputing", False):
            return self._without_update(inputs, mask)
        return super().call(inputs, training=training, mask=mask)

    def _fuses(self, inputs):
        return (
            keras.backend.backend() == "tensorflow"
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


@keras.saving.register_keras_serializable(package="keras_i3d")
class Conv3D(keras.layers.Conv3D):
    """A convolution of stride 2 over few channels, which trains in bfloat16 on a CPU on a rearranged input.

    Eight neighbours become channels: stride 1 over 8 C channels. In other precisions a clip of no more frames than the
    kernel gets its zeros in an operation of their own: of such clips oneDNN's gradient by the kernel crashes (5 frames)
    or is garbage (7; TensorFlow 2.21). It keeps Keras's class name, by which weight files are laid out.
    """

    def call(self, inputs, training=None):
        sizes = inputs.shape[1:4]
        if training and self._rearranges():
            kernel = blocks.space_to_depth_kernel(self.kernel)
            outputs = ops.conv(blocks.space_to_depth(inputs), kernel, 1, "same", data_format="channels_last")
        elif training and None not in sizes and sizes[0] <= self.kernel_size[0]:
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
