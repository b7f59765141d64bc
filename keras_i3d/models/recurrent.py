"""ConvNet+LSTM, baseline (a) of the I3D paper (Carreira and Zisserman 2017, arXiv 1705.07750, section 2.1).

The paper: Inception-V1 frame by frame; on its last average pool an LSTM of 512 units with batch norm (Cooijmans et al.
2016, arXiv 1603.09025); a fully connected layer on top. Cross-entropy on the outputs of all time steps; in test the
output of the last one alone. Frames are every 5th of a video at 25 per second: 25 of them in training, 5 seconds, and
50 in test, 10 seconds.

It leaves open where the batch norm of the LSTM stands, whether its scales are learned, and over how many steps it keeps
statistics of its own. Sonnet's `BatchNormLSTM`, by the same authors' company, has a switch for each of the three places
of Cooijmans et al. and takes the hidden one alone, with one set of statistics for all steps; so does this network. Its
published size of 9 M decides nothing. Scales are fixed at 0.1 by default, where Cooijmans et al. start them: as
everywhere in the paper's networks, a batch norm has an offset (the bias of the gates) and no scale that is learned.
That makes 8,945,600 parameters; learned, 2,048 more.
"""

import dataclasses
import functools

import keras
from keras import layers, ops

from keras_i3d.models.baselines import SOURCE, body
from keras_i3d.models.blocks import ClipCheck, HeadPool, scaled_width, sonnet_initializer
from keras_i3d.models.family import Family
from keras_i3d.models.inception import HEAD, INCEPTION_V1, LAYERS, check_arguments, clip_shape, cuts, pooled
from keras_i3d.specs import CLIPS, MIN_SIZE

UNITS = 512
LSTM = "LSTM"
FEATURES = "Logits_AvgPool3d_0a_7x7"  # what the recurrence reads
TRAIN_FRAMES, FRAME_STRIDE = 25, 5
SCALE = 0.1  # of Cooijmans et al.
EPSILON = 1e-3
FORGET_BIAS = 1.0


def conv_net_lstm(
    include_top=True,
    input_shape=None,
    stream="rgb",
    pooling=None,
    classes=400,
    classifier_activation="softmax",
    dropout=0.2,
    depth_multiplier=1.0,
    bn_momentum=0.9997,
    name=None,
    norms="h",
    learned_scale=False,
    max_unique_stats=1,
    table=LAYERS,
):
    """Builds the ConvNet+LSTM with fresh weights; the module says what the paper leaves open and how it is settled.

    Args:
        include_top, input_shape, pooling, classes, classifier_activation, depth_multiplier, name: as for `s3d.s3d`.
        stream: "rgb" alone.
        dropout: share of the LSTM's output dropped in training.
        bn_momentum: of all batch norms.
        norms, learned_scale, max_unique_stats: as `BatchNormLSTM` takes them.
        table: rows of `inception.LAYERS`, all of them but in tests.

    Returns:
        A functional `keras.Model` from float32 (B, T, H, W, 3) to float32 (B, classes). Its head gives a row of logits
        for each step, (B, T, 1, 1, classes), and `Logits` is the last of them. Without its top it ends in the output of
        the LSTM at each step, (B, T, 1, 1, 512).

    Raises:
        ValueError: an argument out of its range.
    """
    check_arguments(include_top, pooling, classes, dropout, depth_multiplier, bn_momentum)
    shape = clip_shape(input_shape, stream, 1, "ConvNetLSTM", streams=("rgb",))
    inputs = keras.Input(shape, name=stream, dtype="float32")
    x = body(ClipCheck(1, MIN_SIZE)(inputs), table, depth_multiplier, bn_momentum)
    units = scaled_width(UNITS, depth_multiplier)
    x = HeadPool(None, 1, dtype="float32", name=FEATURES)(x)
    x = layers.Reshape((-1, x.shape[-1]), dtype="float32", name="Logits_features")(x)
    x = BatchNormLSTM(units, norms, learned_scale, max_unique_stats, momentum=bn_momentum, dtype="float32", name=LSTM)(
        x
    )
    x = layers.Reshape((-1, 1, 1, units), dtype="float32", name="Logits_steps")(x)
    if include_top:
        x = layers.Dropout(dropout, dtype="float32", name="Logits_Dropout3d_0b")(x)
        x = layers.Conv3D(
            classes,
            1,
            data_format="channels_last",
            kernel_initializer=sonnet_initializer(units),
            dtype="float32",
            name=HEAD,
        )(x)
        x = LastStep(dtype="float32", name="Logits")(x)
        x = layers.Activation(classifier_activation, dtype="float32", name="Predictions")(x)
    else:
        x = pooled(x, pooling)
    return keras.Model(inputs, x, name=name or "conv_net_lstm")


@keras.saving.register_keras_serializable(package="keras_i3d")
class LastStep(layers.Layer):
    """The mean over space of the last time step: (B, T, H, W, C) to (B, C)."""

    def compute_output_shape(self, input_shape):
        return (input_shape[0], input_shape[-1])

    def call(self, x):
        return ops.mean(x[:, -1], axis=(1, 2))


@keras.saving.register_keras_serializable(package="keras_i3d")
class BatchNormLSTM(layers.Layer):
    """An LSTM with batch norm (Cooijmans et al. 2016, arXiv 1603.09025), as Sonnet 1's `BatchNormLSTM` computes it.

    Float (B, T, F) to (B, T, units): the output of each step, from a state of zeros. With x the input, h the output, c
    the cell, N a batch norm without scale and offset and each G a vector of scales:

        i, j, f, o = Gh N(h Wh) + Gx N(x Wx) + b
        c = sigmoid(f + 1) c + sigmoid(i) tanh(j)
        h = sigmoid(o) tanh(Gc N(c) + Bc)

    The three norms are chosen; what is not normalised has no scale, and no Bc. In training, a norm takes the mean and
    variance of a step over the batch, so that a batch of one is normalised to nothing. In inference it takes moving
    averages, as all other batch norms do (Sonnet's `test_local_stats`, on by default there, takes the batch's).

    Args:
        units: width of h and c.
        norms: letters of what is normalised, of "h" (the hidden-to-hidden product), "x" (the input's), "c" (the cell
            before the output's tanh).
        learned_scale: whether Gh, Gx and Gc are trained; else they stay at 0.1, where they start.
        max_unique_stats: how many steps have moving averages of their own; all later ones share the last.
        momentum: of the moving averages.
        freeze_statistics: whether training takes moving averages too, and leaves them alone.

    Attributes:
        unrolled: whether steps of a known number are one after the other in the graph, for a runtime without loops.
    """

    def __init__(
        self,
        units,
        norms="h",
        learned_scale=True,
        max_unique_stats=1,
        momentum=0.999,
        freeze_statistics=False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if not isinstance(norms, str) or set(norms) - set("hxc") or len(set(norms)) != len(norms):
            raise ValueError(f'norms has letters of "hxc", each once. Received: norms={norms!r}')
        if isinstance(max_unique_stats, bool) or not isinstance(max_unique_stats, int) or max_unique_stats < 1:
            raise ValueError(f"max_unique_stats must be at least 1. Received: max_unique_stats={max_unique_stats!r}")
        self.units = units
        self.norms = "".join(letter for letter in "hxc" if letter in norms)
        self.learned_scale = learned_scale
        self.max_unique_stats = max_unique_stats
        self.momentum = momentum
        self.freeze_statistics = freeze_statistics
        self.unrolled = False

    def build(self, input_shape):
        width = 4 * self.units
        features = input_shape[-1]

        def weight(name, shape, initializer, trainable=True):
            return self.add_weight(name=name, shape=shape, initializer=initializer, trainable=trainable)

        self.kernel = weight("kernel", (features, width), sonnet_initializer(features))
        self.recurrent_kernel = weight("recurrent_kernel", (self.units, width), sonnet_initializer(self.units))
        self.bias = weight("bias", (width,), "zeros")
        scale = keras.initializers.Constant(SCALE)
        widths = {"h": width, "x": width, "c": self.units}
        self.gammas, self.means, self.variances = {}, {}, {}
        for letter in self.norms:
            self.gammas[letter] = weight(f"gamma_{letter}", (widths[letter],), scale, self.learned_scale)
        if "c" in self.norms:
            self.beta_c = weight("beta_c", (self.units,), "zeros")
        for letter in self.norms:
            shape = (self.max_unique_stats, widths[letter])
            self.means[letter] = weight(f"moving_mean_{letter}", shape, "zeros", False)
            self.variances[letter] = weight(f"moving_variance_{letter}", shape, "ones", False)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.units)

    def call(self, x, training=None):
        of_batch = bool(training) and self.trainable and not self.freeze_statistics
        inputs = ops.swapaxes(ops.matmul(x, self.kernel), 0, 1)  # (T, B, 4 units)
        steps, batch = ops.shape(inputs)[:2]
        found = {}  # letter: (means, variances) of each step of this batch, (T, width)
        if "x" in self.norms:
            found["x"] = ops.moments(inputs, axes=1) if of_batch else self._moving("x", ops.arange(steps))
            mean, variance = (each[:, None] for each in found["x"])
            inputs = _normalised(inputs, mean, variance) * self.gammas["x"]
        inputs = inputs + self.bias
        recurrent = [letter for letter in "hc" if letter in self.norms]

        def step(state, gates):
            place, hidden, cell = state[:3]
            taken = []

            def norm(letter, value):
                mean, variance = ops.moments(value, axes=0) if of_batch else self._moving(letter, place)
                taken.extend((mean, variance))
                return _normalised(value, mean, variance) * self.gammas[letter]

            product = ops.matmul(hidden, self.recurrent_kernel)
            if "h" in self.norms:
                product = norm("h", product)
            i, j, f, o = ops.split(product + gates, 4, axis=-1)
            cell = ops.sigmoid(f + FORGET_BIAS) * cell + ops.sigmoid(i) * ops.tanh(j)
            shown = norm("c", cell) + self.beta_c if "c" in self.norms else cell
            state = (place + 1, ops.tanh(shown) * ops.sigmoid(o), cell, *taken)
            return state, state

        zeros = ops.zeros((batch, self.units), inputs.dtype)
        # The statistics of a step travel with the state, since what a scan puts out is shaped as its state.
        taken = [ops.zeros_like(average[0]) for letter in recurrent for average in self._averages(letter)]
        state = (ops.zeros((), "int32"), zeros, zeros, *taken)
        # A loop of TensorFlow's whose gradient is wanted cannot be compiled by XLA, which training does.
        scan = _unrolled if (training or self.unrolled) and isinstance(steps, int) else ops.scan
        _, (_, outputs, _, *taken) = scan(step, state, inputs)
        for number, letter in enumerate(recurrent):
            found[letter] = taken[2 * number : 2 * number + 2]
        if of_batch:
            for letter in self.norms:
                self._move(letter, *found[letter])
        return ops.swapaxes(outputs, 0, 1)

    def _averages(self, letter):
        return self.means[letter], self.variances[letter]

    def _moving(self, letter, step):
        """The moving mean and variance that a step takes, (width,), or those of several."""
        place = ops.minimum(step, self.max_unique_stats - 1)
        return [ops.take(average, place, axis=0) for average in self._averages(letter)]

    def _move(self, letter, means, variances):
        """Moves the averages step by step, as one update a step would."""
        steps = ops.shape(means)[0]
        places = ops.minimum(ops.arange(steps), self.max_unique_stats - 1)
        own = ops.cast(places[None] == ops.arange(self.max_unique_stats)[:, None], means.dtype)  # (stats, T)
        # How many steps of the same statistics come after each: so often it is multiplied by the momentum.
        after = ops.sum(own, axis=1, keepdims=True) - ops.cumsum(own, axis=1)
        momentum = ops.cast(self.momentum, means.dtype)
        shares = own * (1 - momentum) * momentum**after
        if self.momentum == 0:  # nothing is kept: those of the batch, in which its steps count alike
            shares = own / ops.maximum(ops.sum(own, axis=1, keepdims=True), 1)
        kept = momentum ** ops.sum(own, axis=1, keepdims=True)
        for average, values in zip(self._averages(letter), (means, variances)):
            average.assign(average * kept + ops.matmul(shares, ops.stop_gradient(values)))

    def get_config(self):
        names = ("units", "norms", "learned_scale", "max_unique_stats", "momentum", "freeze_statistics")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


def _unrolled(step, state, inputs):
    """`ops.scan` of a known number of steps, one after the other."""
    made = []
    for given in ops.unstack(inputs, axis=0):
        state, each = step(state, given)
        made.append(each)
    return state, [ops.stack(values) for values in zip(*made)]


def _normalised(x, mean, variance):
    return (x - mean) * ops.rsqrt(variance + EPSILON)


def rows(table=LAYERS):
    """The rows of ConvNet+LSTM; with a shorter or narrower table, those of small ones for tests."""
    names = tuple(row[0] for row in table)
    fixed = Family(
        name="ConvNetLSTM",
        title="ConvNet+LSTM, (a) of Carreira and Zisserman 2017 (arXiv 1705.07750)",
        builder=functools.partial(conv_net_lstm, table=table),
        first=f"{names[0]}_conv_3d",
        head=HEAD,
        logits="Logits",
        predictions="Predictions",
        endpoints=(*names, LSTM, "Logits", "Predictions"),
        cuts=cuts(table),
        min_frames=1,
        min_size=32,
        step=1,
        steps=_steps,
        halo=0,
        window=1,
        features=FEATURES,
        answer="last",
        clips={"rgb": dataclasses.replace(CLIPS["rgb"], frames=TRAIN_FRAMES, frame_stride=FRAME_STRIDE)},
        parameters={"rgb": 8_945_600},
        options={"learned_scale": False},
        macs=37.52,
        accuracy={"rgb": (63.3, None)},
        protocol=SOURCE,
        unchecked="whether the paper's table 2 has 63.3 too, or 63.6",
        inflated_from=INCEPTION_V1,
    )
    learned = dataclasses.replace(
        fixed,
        name="ConvNetLSTM-sonnet",
        title="ConvNet+LSTM with the learned scales of Sonnet's BatchNormLSTM",
        builder=functools.partial(conv_net_lstm, learned_scale=True, table=table),
        parameters={"rgb": 8_947_648},
        options={"learned_scale": True},
        accuracy={},
        protocol="",
        unchecked="",
    )
    return fixed, learned


def _steps(frames):
    return frames
