"""How a model is trained, as frozen values; each recipe's docstring says where they come from and what to expect."""

import contextlib
import dataclasses
import math
import types
import typing

from keras_i3d.errors import check_rules
from keras_i3d.specs import BALANCES

KINETICS_BATCH = 384  # 64 replicas of 6 clips; that 6 is per replica is implied by the released README, not stated


@dataclasses.dataclass(frozen=True)
class Recipe:
    """The settings of a run. `None` is decided when the run starts, and written down with it.

    Attributes:
        steps: updates of the weights; None if `passes` says it.
        passes: in place of `steps`, how often a run goes over its clips: for recipes that fit any number of clips. When
            the run starts, it becomes `steps`. `warmup_steps`, `boundaries` and the updates of `unfreeze` may then be
            shares of the steps, below 1.
        batch_size: clips an update, over all devices and accumulated parts.
        reference_batch: the batch that learning rates and numbers of updates are meant for; `scaled` adapts them to
            `batch_size`. None leaves them.
        learning_rate: learning rate of the first updates.
        schedule: "steps", or "cosine": half a cosine from `learning_rate` to `final_rate` at the last update.
        boundaries, rates: of "steps": after `boundaries[i]` updates the learning rate is `rates[i]`.
        final_rate: of "cosine": learning rate of the last update.
        warmup_steps: updates over which the learning rate rises from nothing.
        optimizer: "sgd", or "adamw" (arXiv 1711.05101).
        momentum: SGD momentum, and AdamW's beta_1.
        beta_2: AdamW's beta_2.
        weight_decay: of kernels, never of weights of one dimension. Of SGD an L2 penalty, the gradient
            `weight_decay * w`; of AdamW decoupled from the gradient: `learning_rate * weight_decay * w` an update.
        layer_decay: factor of the learning rate from each stage of the network to the one below it, so that layers near
            the input change least; 1 for one rate. Stages are what the family's endpoints end.
        train_from: name of the first endpoint that is trained; all layers before it, moving statistics included, stay
            as they are. None trains all.
        unfreeze: ((update, endpoint or "all"), ...): from that update on, training begins at this endpoint.
        ema: decay of an exponential moving average of the weights, which is what is validated, saved and exported; None
            for no average.
        patience: validations without a better one after which a run ends early; None never does.
        precise_bn: batches over which the statistics of batch norms are computed anew after training; 0 for none.
        dropout, label_smoothing: shares in [0, 1).
        clip_norm: bound on the norm of the whole gradient, or None.
        accumulate: batches whose gradients are averaged into one update; each has batch_size / accumulate clips. None
            is as few as memory takes.
        part: "all", or "head" to leave the body, moving statistics included, as it is.
        freeze_bn: whether batch norms keep their statistics and offsets.
        bn_momentum: momentum of the moving statistics; None chooses by the number of steps.
        remat: whether activations are computed a second time for the gradient instead of kept: less memory for about
            a third more time. None is only if memory asks for it.
        sync_bn: whether batch norms take their statistics over all devices; the released weights did not.
        depth_multiplier: scales every layer's width; below 1 for experiments without weights. None takes that of the
            weights, 1 without any.
        precision: "float32", "mixed_bfloat16", "mixed_float16", or None to choose for the device.
        clip_frames, frame_stride, size: how clips are drawn, as in `data.load`. None takes what the weights were
            trained on, and without any what the network's published weights were.
        short_sides, color_jitter: as in `data.load`.
        flip: whether half of the clips are mirrored; False if left and right mean different things.
        area, aspect, strides, reverse, erase, mixup, cutmix, repeats, balance: as in `data.load`.
        class_weights: weights of the classes in the loss: "none", "equal" (in inverse proportion to their clips), or
            "sqrt" (to the square root of their clips). Their clips are those that `balance` draws. The mean of the
            weights over the clips is 1.
        frame_loss: of labels over time: the share of the loss per frame; the rest is on the maximum over time.
        validate_every, save_every: updates between two validations (None: one pass over the data, or as many as make
            a hundredth of the run), two checkpoints.
    """

    steps: int | None
    batch_size: int
    learning_rate: float
    passes: float | None = None
    schedule: str = "steps"
    boundaries: tuple = ()
    rates: tuple = ()
    final_rate: float = 0.0
    reference_batch: int | None = None
    warmup_steps: float = 0
    optimizer: str = "sgd"
    momentum: float = 0.9
    beta_2: float = 0.999
    weight_decay: float = 1e-7
    layer_decay: float = 1.0
    train_from: str | None = None
    unfreeze: tuple = ()
    ema: float | None = None
    patience: int | None = None
    precise_bn: int = 0
    dropout: float = 0.5
    label_smoothing: float = 0.0
    clip_norm: float | None = None
    accumulate: int | None = None
    part: str = "all"
    freeze_bn: bool = False
    bn_momentum: float | None = None
    remat: bool | None = None
    sync_bn: bool = False
    depth_multiplier: float | None = None
    precision: str | None = None
    clip_frames: int | None = None
    frame_stride: int | None = None
    size: int | None = None
    short_sides: tuple | None = None
    color_jitter: float = 0.0
    flip: bool = True
    area: tuple | None = None
    aspect: tuple | None = None
    strides: tuple | None = None
    reverse: float = 0.0
    erase: float = 0.0
    mixup: float = 0.0
    cutmix: float = 0.0
    repeats: int = 1
    balance: str = "none"
    class_weights: str = "none"
    frame_loss: float = 0.5
    validate_every: int | None = None
    save_every: int = 500

    def __post_init__(self):
        for name in ("boundaries", "rates", "unfreeze"):
            object.__setattr__(self, name, _tuples(getattr(self, name)))
        rules = (
            ("steps", self.steps is not None or self.passes is not None, "a number of updates, or passes be set"),
            ("steps", self.steps is None or self.passes is None, "None with passes, which says it too"),
            ("steps", self.steps is None or self.steps >= 1, "at least 1"),
            ("passes", self.passes is None or self.passes > 0, "above 0, or None"),
            ("batch_size", self.batch_size >= 1, "at least 1"),
            ("learning_rate", self.learning_rate > 0, "above 0"),
            ("boundaries", list(self.boundaries) == sorted(self.boundaries), "in ascending order"),
            ("rates", len(self.rates) == len(self.boundaries), "as many as boundaries"),
            ("rates", all(rate >= 0 for rate in self.rates), "at least 0"),
            ("warmup_steps", self.warmup_steps >= 0, "at least 0"),
            ("momentum", 0 <= self.momentum < 1, "in [0, 1)"),
            ("weight_decay", self.weight_decay >= 0, "at least 0"),
            ("dropout", 0 <= self.dropout < 1, "in [0, 1)"),
            ("label_smoothing", 0 <= self.label_smoothing < 1, "in [0, 1)"),
            ("clip_norm", self.clip_norm is None or self.clip_norm > 0, "above 0, or None"),
            ("accumulate", self.accumulate is None or self.accumulate >= 1, "at least 1, or None"),
            (
                "accumulate",
                self.batch_size % (self.accumulate or 1) == 0,
                f"a divisor of batch_size={self.batch_size}",
            ),
            ("part", self.part in ("all", "head"), '"all" or "head"'),
            ("bn_momentum", self.bn_momentum is None or 0 <= self.bn_momentum < 1, "in [0, 1), or None"),
            ("precision", self.precision in (None, "float32", "mixed_bfloat16", "mixed_float16"), "a Keras policy"),
            ("short_sides", self.short_sides is None or len(self.short_sides) == 2, "(low, high), or None"),
            ("validate_every", self.validate_every is None or self.validate_every >= 1, "at least 1, or None"),
            ("save_every", self.save_every >= 1, "at least 1"),
            ("clip_frames", (self.clip_frames or 1) >= 1, "at least 1, or None"),
            ("frame_stride", (self.frame_stride or 1) >= 1, "at least 1, or None"),
            ("size", (self.size or 1) >= 1, "at least 1 pixel, or None"),
            ("depth_multiplier", self.depth_multiplier is None or self.depth_multiplier > 0, "above 0, or None"),
            ("schedule", self.schedule in ("steps", "cosine"), '"steps" or "cosine"'),
            ("boundaries", self.schedule == "steps" or not self.boundaries, 'none with schedule="cosine"'),
            ("final_rate", 0 <= self.final_rate <= self.learning_rate, "in [0, learning_rate]"),
            ("optimizer", self.optimizer in ("sgd", "adamw"), '"sgd" or "adamw"'),
            ("beta_2", 0 <= self.beta_2 < 1, "in [0, 1)"),
            ("layer_decay", 0 < self.layer_decay <= 1, "in (0, 1]"),
            (
                "unfreeze",
                _is_schedule(self.unfreeze),
                "pairs of an update, or a share of the steps below 1, and an endpoint, in ascending order",
            ),
            ("unfreeze", not self.unfreeze or self.train_from is not None, "none without train_from, where it starts"),
            ("train_from", self.train_from is None or self.part == "all", 'None with part="head"'),
            ("precise_bn", not self.precise_bn or self.part == "all", '0 with part="head", which keeps statistics'),
            ("precise_bn", not (self.precise_bn and self.freeze_bn), "0 with freeze_bn, which keeps statistics"),
            (
                "area",
                self.area is None or self.short_sides is None,
                "None with short_sides, which it replaces",
            ),
            ("ema", self.ema is None or 0 < self.ema < 1, "in (0, 1), or None"),
            ("patience", self.patience is None or self.patience >= 1, "at least 1, or None"),
            ("precise_bn", self.precise_bn >= 0, "at least 0"),
            ("class_weights", self.class_weights in BALANCES, f"one of {', '.join(BALANCES)}"),
            ("frame_loss", 0 <= self.frame_loss <= 1, "in [0, 1]"),
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
            final_rate=self.final_rate * share,
            steps=self.steps and max(round(self.steps / share), 1),
            **self.updates_times(1 / share),
        )

    @property
    def shares(self):
        """Names of the fields that count updates, and have a share of the steps, below 1."""
        counted = {
            "warmup_steps": (self.warmup_steps,),
            "boundaries": self.boundaries,
            "unfreeze": [update for update, _ in self.unfreeze],
        }
        return {name for name, updates in counted.items() if any(0 < update < 1 for update in updates)}

    def updates_times(self, ratio):
        """Returns {field: value} of all that is counted in updates within the run, for so many times its steps."""

        def times(update):
            return update if 0 < update < 1 else round(update * ratio)  # a share of the steps stays one

        return {
            "boundaries": tuple(times(update) for update in self.boundaries),
            "warmup_steps": times(self.warmup_steps),
            "unfreeze": tuple((times(update), endpoint) for update, endpoint in self.unfreeze),
        }

    def for_clips(self, clips):
        """Returns the recipe for so many clips: `passes`, and shares of the steps, as numbers of updates."""
        steps = math.ceil(self.passes * clips / self.batch_size) if self.steps is None else self.steps
        return dataclasses.replace(
            self,
            steps=steps,
            passes=None,
            warmup_steps=_updates(self.warmup_steps, steps),
            boundaries=tuple(_updates(step, steps) for step in self.boundaries),
            unfreeze=tuple((_updates(step, steps), endpoint) for step, endpoint in self.unfreeze),
        )

    def with_settings(self, settings):
        """Returns the recipe with `{field: text or value}` replaced; text is read as the field's kind of value."""
        fields = {field.name: field for field in dataclasses.fields(self)}
        unknown = sorted(set(settings) - set(fields))
        if unknown:
            raise ValueError(f"A recipe has no {', '.join(unknown)}. Its fields: {', '.join(fields)}")
        found = {name: _value(fields[name], value) for name, value in settings.items()}
        for name, other in (("steps", "passes"), ("passes", "steps")):  # of the two, the one that is set counts
            if found.get(name) is not None:
                found.setdefault(other, None)
        return dataclasses.replace(self, **found)


def _tuples(value):
    """Lists, as JSON has them, as tuples, those inside too."""
    return tuple(_tuples(each) for each in value) if isinstance(value, list | tuple) else value


def _is_schedule(pairs):
    """Whether these are ((update, endpoint), ...) with updates above 0 that ascend."""
    fit = all(
        isinstance(pair, tuple) and len(pair) == 2 and isinstance(pair[0], int | float) and isinstance(pair[1], str)
        for pair in pairs
    )
    return fit and all(low < high for low, high in zip((0, *(p[0] for p in pairs)), (p[0] for p in pairs)))


def _updates(value, steps):
    """A number of updates, which below 1 is a share of `steps`."""
    return round(value * steps) if 0 < value < 1 else int(value)


def _value(field, value):
    """A setting, given as text or not, as the kind of value that its field has."""
    import ast

    kinds = typing.get_args(field.type) or (field.type,)
    if isinstance(value, str) and not (str in kinds and (value.lower() != "none" or types.NoneType not in kinds)):
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


def modern_finetune():
    """All layers from Kinetics weights, for a few hundred to a few thousand clips.

    Its parts are those of PySlowFast and TF Model Garden: cosine after a warm-up, AdamW that changes layers near the
    input least, averaged weights, label smoothing 0.1, random resized crops (area 0.49..1, aspect 0.5..2), clips at
    other speeds, mixup; and classes of few clips are drawn more often. Batch, rates and passes are this package's.
    Expect nothing that somebody measured: benchmarks/recipes.py compares it with full-ft on data of your own.
    """
    return Recipe(
        steps=None,
        passes=40,
        batch_size=16,
        reference_batch=16,
        learning_rate=3e-4,
        schedule="cosine",
        final_rate=3e-6,
        warmup_steps=0.1,
        optimizer="adamw",
        weight_decay=0.05,
        layer_decay=0.8,
        ema=0.999,
        label_smoothing=0.1,
        clip_norm=5.0,
        area=(0.49, 1.0),
        aspect=(0.5, 2.0),
        strides=(1, 2),
        mixup=0.2,
        balance="sqrt",
        save_every=100,
    )


def modern_scratch():
    """From no weights, or ImageNet's, for a few hundred to a few thousand clips.

    As modern-finetune, with one rate for all layers, which is higher, more passes, no mixup, a shorter warm-up and the
    paper's crops: with a warm-up of a tenth, with crops of other areas and aspects, and with SGD, short runs on the
    demo's videos learnt more slowly.
    Expect nothing that somebody measured: benchmarks/recipes.py compares it with the paper's on data of your own.
    """
    return dataclasses.replace(
        modern_finetune(),
        passes=60,
        warmup_steps=0.04,
        learning_rate=1e-3,
        final_rate=1e-5,
        layer_decay=1.0,
        area=None,
        aspect=None,
        strides=None,
        mixup=0.0,
    )


def charades():
    """Labels over time, as the author of the published Charades weights trained them (piergiaj, pytorch-i3d, issue 14).

    As he wrote, which nobody checked: batch 384, 0.1, 0.01 from 45,000 of 65,000 steps, weight decay 1e-6, dropout 0.5,
    half of the loss per frame and half on the maximum over time. Expect 17.2 mAP per frame, as he wrote.
    """
    return Recipe(
        steps=65_000,
        batch_size=384,
        reference_batch=384,
        learning_rate=0.1,
        boundaries=(45_000,),
        rates=(0.01,),
        weight_decay=1e-6,
        bn_momentum=0.999,
    )


RECIPES = {
    "kinetics-rgb": kinetics_rgb,
    "kinetics-flow": kinetics_flow,
    "full-ft": full_ft,
    "fixed": fixed,
    "original": original,
    "modern-finetune": modern_finetune,
    "modern-scratch": modern_scratch,
    "charades": charades,
}


def find(name):
    """Returns the Recipe of a name in RECIPES."""
    if name not in RECIPES:
        raise ValueError(
            f"recipe must be one of {', '.join(RECIPES)}, or a FILE.py or FILE.json of one's own. Received: "
            f"recipe={name!r}"
        )
    return RECIPES[name]()


def bn_momentum(steps):
    """The momentum whose moving statistics span about a twentieth of a run of `steps`, in 0.9 .. 0.999."""
    return min(max(1 - 20 / steps, 0.9), 0.999)
