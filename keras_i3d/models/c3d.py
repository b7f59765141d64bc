"""C3D (Tran et al. 2015, arXiv 1412.0767), and the 3D-ConvNet of the I3D paper, which is C3D with batch norm.

Eight convolutions of 3 x 3 x 3, five pools, two fully connected layers of 4096, and the class layer. The fully
connected layers are convolutions here: fc6 of 1 x 4 x 4 on the last pool, fc7 of 1 x 1 x 1. So a clip may be longer or
larger than the 16 x 112 x 112 of the originals, and then has a row of logits for each 16 frames; their mean is the
logits.

- "classic", the default: convolutions with bias and no batch norm. The first pool is 1 x 2 x 2, the others 2 x 2 x 2;
  an odd row, column or frame at the end is left out. The last one has a zero around the map, 7 x 7 to 4 x 4, as in
  Sports-1M's weights and mmaction2. The published weights are of this form, and it is what people call C3D, so it is
  the default.
- "bn": the I3D paper's (b), section 2.2. Batch norm follows every convolution and fully connected layer, and the first
  pool halves time too. The paper leaves open how the pools are padded; only SAME, 7 x 7 to 4 x 4, gives its 79 M
  parameters. At 16 frames the last pool has one step in time and could be of any length there: here it is 1, so that a
  step stays 16 frames, and the paper's 240 frames in test are 15 rows. Batch norm is as in I3D, epsilon 1e-3 and no
  scale. Dropout, 0.5 after either fully connected layer as in C3D, the paper does not mention.

| variant | parameters | and moving statistics | multiply-adds of 16 x 112 x 112 | frames seen | pixels seen | least |
|---|---|---|---|---|---|---|
| classic | 79,634,576 | 79,634,576 | 38.55 G | 76 | 246 | 16 frames, 96 pixels |
| bn | 79,634,576 | 79,656,464 | 19.82 G | 134 | 246 | 1 frame, 97 pixels |

Parameters are those at 400 classes; that they are equal is no mistake: each bias of one is an offset of the other.
"Seen" is the receptive field of a row of logits. A chunk of a video that starts on a multiple of 16 frames has the rows
of logits of the single pass, `halo` steps from each cut.
"""

import dataclasses
import functools
import itertools
import math

import keras
from keras import layers

from keras_i3d.models.blocks import ClipCheck, conv_unit, max_pool, pad, scaled_width
from keras_i3d.models.family import Family
from keras_i3d.models.inception import HEAD, check_arguments, clip_shape, head, pooled
from keras_i3d.specs import ClipSpec

CONV, POOL, FULL = "conv", "pool", "full"

# name, kind, then: filters | nothing | outputs, kernel.
LAYERS = (  #                             16 x 112 x 112 becomes, in "bn" with half the frames from the first pool on
    ("conv1a", CONV, 64),
    ("pool1", POOL),  #                   16 x 56 x 56
    ("conv2a", CONV, 128),
    ("pool2", POOL),  #                   8 x 28 x 28
    ("conv3a", CONV, 256),
    ("conv3b", CONV, 256),
    ("pool3", POOL),  #                   4 x 14 x 14
    ("conv4a", CONV, 512),
    ("conv4b", CONV, 512),
    ("pool4", POOL),  #                   2 x 7 x 7
    ("conv5a", CONV, 512),
    ("conv5b", CONV, 512),
    ("pool5", POOL),  #                   1 x 4 x 4
    ("fc6", FULL, 4096, (1, 4, 4)),
    ("fc7", FULL, 4096, (1, 1, 1)),
)
CROP = 112


@dataclasses.dataclass(frozen=True)
class Variant:
    """How one of the two is made.

    Attributes:
        norm: whether batch norm stands where the other has a bias.
        padding: of the pools, as `max_pool` takes it.
        flat: the pool that leaves time as it is.
        padded: the pool that has a zero around each frame's map; None for none.
    """

    norm: bool
    padding: str
    flat: str
    padded: str | None = None

    def window(self, name):
        """Window and strides of a pool."""
        return (1 if name == self.flat else 2, 2, 2)

    def halved(self, size):
        """What a pool leaves of an axis that it halves."""
        return -(-size // 2) if self.padding == "same" else size // 2


VARIANTS = {
    "classic": Variant(norm=False, padding="symmetric", flat="pool1", padded="pool5"),
    "bn": Variant(norm=True, padding="same", flat="pool5"),
}
ROWS = {"classic": "C3D", "bn": "C3D-bn"}  # what the rest of the package calls them


def c3d(
    include_top=True,
    input_shape=None,
    stream="rgb",
    pooling=None,
    classes=400,
    classifier_activation="softmax",
    dropout=0.5,
    depth_multiplier=1.0,
    bn_momentum=0.999,
    name=None,
    variant="classic",
    table=LAYERS,
):
    """Builds a C3D with fresh weights.

    Args:
        include_top: whether the class layer is part of it; fc6 and fc7 always are.
        input_shape: (T, H, W, C), each a number or None for any; (None, 112, 112, C) by default.
        stream: "rgb" or "flow", of 3 and 2 channels.
        pooling: without the top, None, "avg" or "max".
        classes: of the class layer.
        classifier_activation: on the logits; None for the logits themselves.
        dropout: share dropped in training after fc6 and after fc7; 0.5 in the originals.
        depth_multiplier: of all widths.
        bn_momentum: of the batch norms, which "bn" alone has.
        name: of the model; "c3d_" with the stream by default.
        variant: a name in VARIANTS. Weights of one do not fit the other.
        table: rows of LAYERS, all of them but in tests.

    Returns:
        A functional `keras.Model` from float32 (B, T, H, W, C) to float32 (B, classes), in which every name of the
        table is a layer.

    Raises:
        ValueError: an argument out of its range, or a variant that is not there.
    """
    check_arguments(include_top, pooling, classes, dropout, depth_multiplier, bn_momentum)
    kind = check_variant(variant)
    min_frames, min_size = fewest_frames(variant, table), least_size(variant, table)
    shape = clip_shape(input_shape, stream, min_frames, ROWS[variant], min_size, CROP)
    inputs = keras.Input(shape, name=stream, dtype="float32")
    x = ClipCheck(min_frames, min_size)(inputs)
    for endpoint, what, *numbers in table:
        if what == POOL:
            x = _pool(x, kind, name=endpoint)
            continue
        filters, kernel = numbers if what == FULL else (*numbers, (3, 3, 3))
        if endpoint == "fc7":  # after fc6; the head drops what comes out of fc7
            x = layers.Dropout(dropout, name="fc6_dropout")(x)
        x = conv_unit(
            x,
            scaled_width(filters, depth_multiplier),
            kernel,
            name=endpoint,
            padding="valid" if what == FULL else "same",
            norm=kind.norm,
            bn_momentum=bn_momentum,
            initializer=None if kind.norm else _he(x.shape[-1] * math.prod(kernel)),
        )
    x = head(x, classes, dropout, classifier_activation, None, 1) if include_top else pooled(x, pooling)
    return keras.Model(inputs, x, name=name or f"c3d_{stream}")


def _pool(x, kind, *, name):
    window = kind.window(name)
    if name == kind.padded:
        x = pad(x, [(0, 0), (1, 1), (1, 1)], name=f"{name}_pad")
    return max_pool(x, window, window, name=name, padding=kind.padding)


def _he(fan_in):
    """He's normal for a ReLU without batch norm before it, truncated: without it the signal dies out in ten layers."""
    return keras.initializers.TruncatedNormal(stddev=math.sqrt(2 / fan_in) / 0.87962566)  # what truncation leaves


def check_variant(variant):
    """Returns the Variant of a name, or raises ValueError."""
    if variant not in VARIANTS:
        known = ", ".join(f'"{name}"' for name in VARIANTS)
        raise ValueError(f"variant must be one of {known}. Received: variant={variant!r}")
    return VARIANTS[variant]


def _pools(table):
    return [name for name, what, *_ in table if what == POOL]


def time_steps(frames, variant="classic", table=LAYERS):
    """How many rows of logits a clip of `frames` frames gives."""
    kind = check_variant(variant)
    for name in _pools(table):
        frames = frames if name == kind.flat else kind.halved(frames)
    return frames


def fewest_frames(variant="classic", table=LAYERS):
    """The fewest frames that give a row of logits."""
    return next(frames for frames in itertools.count(1) if time_steps(frames, variant, table))


def least_size(variant="classic", table=LAYERS):
    """The fewest pixels a side that give fc6 its map."""
    kind = check_variant(variant)
    (window,) = [numbers[1][1] for name, _, *numbers in table if name == "fc6"]

    def side(size):
        for name in _pools(table):
            size = kind.halved(size) + (name == kind.padded)
        return size

    return next(size for size in itertools.count(1) if side(size) >= window)


def _reach(variant, table):
    """(frames a step, frames on either side of a step's own that it depends on)."""
    kind, step, reach = check_variant(variant), 1, 0
    for name, what, *_ in table:
        if what == CONV:
            reach += step
        elif what == POOL:
            step *= kind.window(name)[0]
    return step, reach


def rows(table=LAYERS):
    """The rows of C3D; with a shorter or narrower table, those of small ones for tests."""
    # The original takes 0..255 minus the mean.
    normal = {"mean": (104 / 255, 117 / 255, 128 / 255), "std": (1 / 255,) * 3}
    clip = {"fps": 25, "short_side": 128, "crop": CROP, "frames": 16}
    classic = _row(
        "classic",
        table,
        title="C3D (Tran et al. 2015, arXiv 1412.0767)",
        clips={"rgb": ClipSpec("rgb", **clip, **normal)},
        macs=38.55,
        accuracy={"rgb": (82.3, None)},
        protocol="UCF-101, mean of its 3 splits, one network (as arXiv 1705.07750, table 5, cites it)",
        unchecked="the 25 frames per second of its clips",
    )
    paper = _row(
        "bn",
        table,
        title="3D-ConvNet, C3D with batch norm (Carreira and Zisserman 2017, arXiv 1705.07750, section 2.2)",
        clips={"rgb": ClipSpec("rgb", **clip)},
        macs=19.82,
        accuracy={"rgb": (56.1, None)},
        protocol="Kinetics-400 test set, 15 clips of 16 frames (arXiv 1705.07750, tables 1 and 2)",
    )
    return classic, paper


def _row(variant, table, **facts):
    step, reach = _reach(variant, table)
    if VARIANTS[variant].padding == "same":
        reach += step - 1  # the last step of a chunk may have a frame alone
    return Family(
        name=ROWS[variant],
        builder=functools.partial(c3d, variant=variant, table=table),
        first=f"{table[0][0]}_conv_3d",
        head=HEAD,
        logits="Logits",
        predictions="Predictions",
        endpoints=(*(row[0] for row in table), "Logits", "Predictions"),
        cuts=tuple(_pools(table)),
        min_frames=fewest_frames(variant, table),
        min_size=least_size(variant, table),
        step=step,
        steps=functools.partial(time_steps, variant=variant, table=table),
        halo=math.ceil(reach / step),
        window=1,
        parameters={"rgb": 79_634_576},
        of="C3D",
        options={"variant": variant},
        **facts,
    )
