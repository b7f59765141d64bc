"""How a model is trained, as frozen values; each recipe's docstring says where they come from and what to expect."""

import contextlib
import dataclasses
import types
import typing

from keras_i3d.errors import check_rules

KINETICS_BATCH = 384  # 64 replicas of 6 clips; that 6 is per replica is implied by the released README, not stated


@dataclasses.dataclass(frozen=True)
class Recipe:
    """The settings of a run. `None` is decided when the run starts, and written down with it.

    Attributes:
        steps: updates of the weights.
        batch_size: clips an update, over all devices and accumulated parts.
        reference_batch: the batch that `learning_rate`, `steps` and `boundaries` are meant for; `scaled` adapts them to
            `batch_size`. None leaves them.
        learning_rate: learning rate of the first updates.
        boundaries, rates: after `boundaries[i]` updates the learning rate is `rates[i]`.
        warmup_steps: updates over which the learning rate rises from nothing.
        momentum: SGD momentum.
        weight_decay: L2 penalty on kernels, as the gradient `weight_decay * w`.
        dropout, label_smoothing: shares in [0, 1).
        clip_norm: bound on the norm of the whole gradient, or None.
        accumulate: batches whose gradients are averaged into one update; each has batch_size / accumulate clips.
        part: "all", or "head" to leave the body, moving statistics included, as it is.
        freeze_bn: whether batch norms keep their statistics and offsets.
        bn_momentum: momentum of the moving statistics; None chooses by the number of steps.
        remat: whether activations are computed a second time for the gradient instead of kept: less memory for about
            a third more time.
        sync_bn: whether batch norms take their statistics over all devices; the released weights did not.
        depth_multiplier: scales every layer's width; below 1 for experiments without weights. None takes that of the
            weights, 1 without any.
        precision: "float32", "mixed_bfloat16", "mixed_float16", or None to choose for the device.
        clip_frames, frame_stride, size: how clips are drawn, as in `data.load`. None takes what the weights were
            trained on, and without any what the network's published weights were.
        short_sides, color_jitter: as in `data.load`.
        flip: whether half of the clips are mirrored; False if left and right mean different things.
        validate_every, save_every: updates between two validations (None: one pass over the data), two checkpoints.
    """

    steps: int
    batch_size: int
    learning_rate: float
    boundaries: tuple = ()
    rates: tuple = ()
    reference_batch: int | None = None
    warmup_steps: int = 0
    momentum: float = 0.9
    weight_decay: float = 1e-7
    dropout: float = 0.5
    label_smoothing: float = 0.0
    clip_norm: float | None = None
    accumulate: int = 1
    part: str = "all"
    freeze_bn: bool = False
    bn_momentum: float | None = None
    remat: bool = False
    sync_bn: bool = False
    depth_multiplier: float | None = None
    precision: str | None = None
    clip_frames: int | None = None
    frame_stride: int | None = None
    size: int | None = None
    short_sides: tuple | None = None
    color_jitter: float = 0.0
    flip: bool = True
    validate_every: int | None = None
    save_every: int = 500

    def __post_init__(self):
        rules = (
            ("steps", self.steps >= 1, "at least 1"),
            ("batch_size", self.batch_size >= 1, "at least 1"),
            ("learning_rate", self.learning_rate > 0, "above 0"),
            ("boundaries", list(self.boundaries) == sorted(self.boundaries), "in ascending order"),
            ("rates", len(self.rates) == len(self.boundaries), "as many as boundaries"),
            ("warmup_steps", self.warmup_steps >= 0, "at least 0"),
            ("momentum", 0 <= self.momentum < 1, "in [0, 1)"),
            ("weight_decay", self.weight_decay >= 0, "at least 0"),
            ("dropout", 0 <= self.dropout < 1, "in [0, 1)"),
            ("label_smoothing", 0 <= self.label_smoothing < 1, "in [0, 1)"),
            ("clip_norm", self.clip_norm is None or self.clip_norm > 0, "above 0, or None"),
            ("accumulate", self.accumulate >= 1, "at least 1"),
            ("accumulate", self.batch_size % self.accumulate == 0, f"a divisor of batch_size={self.batch_size}"),
            ("part", self.part in ("all", "head"), '"all" or "head"'),
            ("bn_momentum", self.bn_momentum is None or 0 <= self.bn_momentum < 1, "in [0, 1), or None"),
            ("precision", self.precision in (None, "float32", "mixed_bfloat16", "mixed_float16"), "a Keras policy"),
            ("short_sides", self.short_sides is None or len(self.short_sides) == 2, "(low, high), or None"),
            ("validate_every", self.validate_every is None or self.validate_every >= 1, "at least 1, or None"),
            ("save_every", self.save_every >= 1, "at least 1"),
            ("clip_frames", (self.clip_frames or 1) >= 1, "at least 1, or None"),
            ("frame_stride", (self.frame_stride or 1) >= 1, "at least 1, or None"),
            ("size", (self.size or 1) >= 1, "at least 1 pixel, or None"),
        )
        check_rules(self, rules)

    def scaled(self):
        """Returns the recipe for its `batch_size`: as many clips seen, the learning rate in proportion to the batch.

        The linear rule of Goyal et al. 2017, arXiv 1706.02677. Without a reference batch nothing changes.
        """
        if self.reference_batch in (None, self.batch_size):
            return dataclasses.replace(self, reference_batch=None)
        share = self.batch_size / self.reference_batch
        return dataclasses.replace(
            self,
            reference_batch=None,
            learning_rate=self.learning_rate * share,
            rates=tuple(rate * share for rate in self.rates),
            steps=max(round(self.steps / share), 1),
            boundaries=tuple(round(step / share) for step in self.boundaries),
        )

    def with_settings(self, settings):
        """Returns the recipe with `{field: text or value}` replaced; text is read as the field's kind of value."""
        fields = {field.name: field for field in dataclasses.fields(self)}
        unknown = sorted(set(settings) - set(fields))
        if unknown:
            raise ValueError(f"A recipe has no {', '.join(unknown)}. Its fields: {', '.join(fields)}")
        return dataclasses.replace(self, **{name: _value(fields[name], value) for name, value in settings.items()})


def _value(field, value):
    """A setting, given as text or not, as the kind of value that its field has."""
    import ast

    kinds = typing.get_args(field.type) or (field.type,)
    if isinstance(value, str) and not (str in kinds and value != "none"):
        with contextlib.suppress(ValueError, SyntaxError):
            value = ast.literal_eval({"true": "True", "false": "False", "none": "None"}.get(value.lower(), value))
    if tuple in kinds and isinstance(value, int | float | list):
        value = tuple(value) if isinstance(value, list) else (value,)
    if type(value) in kinds or (float in kinds and type(value) is int):
        return value
    kinds = " or ".join("none" if kind is types.NoneType else kind.__name__ for kind in kinds)
    raise ValueError(f"{field.name} takes {kinds}. Received: {field.name}={value!r}")


def kinetics_rgb():
    """The released RGB schedule (kinetics-i3d README): 115,000 steps of 384 clips of 64 frames, 0.1, then / 10 twice.

    Expect 71.1 top-1 and 89.3 top-5 from ImageNet weights, 68.4 and 88.0 from none (Kinetics-400 test, whole videos).
    """
    return Recipe(
        steps=115_000,
        batch_size=KINETICS_BATCH,
        reference_batch=KINETICS_BATCH,
        learning_rate=0.1,
        boundaries=(97_000, 108_000),
        rates=(0.01, 0.001),
        bn_momentum=0.999,
    )


def kinetics_flow():
    """The released flow schedule (kinetics-i3d README): 155,000 steps of 384 clips, with a restart at 115,000.

    Expect 63.4 top-1 and 84.9 top-5 from ImageNet weights, 61.5 and 83.4 from none (Kinetics-400 test, whole videos).
    """
    return dataclasses.replace(
        kinetics_rgb(),
        steps=155_000,
        boundaries=(97_000, 104_500, 115_000, 140_000, 150_000),
        rates=(0.01, 0.001, 0.1, 0.01, 0.001),
    )


def full_ft():
    """All layers from pretrained weights, "Full-FT" of arXiv 1705.07750, table 4: up to 5,000 steps on 16 GPUs.

    The paper gives neither batch nor learning rate; 96 clips (16 x 6) and 0.01, then / 10, are this package's. Expect
    98.0 on UCF101 and 81.2 on HMDB51 (split 1, both streams, ImageNet and Kinetics weights).
    """
    return Recipe(
        steps=5_000,
        batch_size=96,
        reference_batch=96,
        learning_rate=0.01,
        boundaries=(3_500, 4_500),
        rates=(0.001, 0.0001),
    )


def fixed():
    """The last layer alone on a fixed body, "Fixed" of arXiv 1705.07750, table 4.

    Batch and learning rate are this package's. Expect 97.7 on UCF101 and 79.7 on HMDB51 (split 1, both streams,
    ImageNet and Kinetics weights).
    """
    return dataclasses.replace(full_ft(), part="head", learning_rate=0.03, rates=(0.003, 0.0003))


def original():
    """From no weights, or ImageNet's, on a small data set: "Original" of arXiv 1705.07750, table 4.

    Batch and learning rate are this package's. Expect 93.4 on UCF101 and 66.4 on HMDB51 from ImageNet weights, 88.8 and
    62.2 from none (split 1, both streams).
    """
    return dataclasses.replace(full_ft(), learning_rate=0.03, rates=(0.003, 0.0003))


RECIPES = {
    "kinetics-rgb": kinetics_rgb,
    "kinetics-flow": kinetics_flow,
    "full-ft": full_ft,
    "fixed": fixed,
    "original": original,
}


def find(name):
    """Returns the Recipe of a name in RECIPES."""
    if name not in RECIPES:
        raise ValueError(f"recipe must be one of {', '.join(RECIPES)}. Received: recipe={name!r}")
    return RECIPES[name]()


def bn_momentum(steps):
    """The momentum whose moving statistics span about a twentieth of a run of `steps`, in 0.9 .. 0.999."""
    return min(max(1 - 20 / steps, 0.9), 0.999)
