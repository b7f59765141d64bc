"""What `pipeline.load` is asked for: its arguments but for the records, checked, in one frozen object."""

import dataclasses
import math

from keras_i3d.data import augment
from keras_i3d.errors import check_rules
from keras_i3d.flow.quantize import SCHEMES
from keras_i3d.specs import BALANCES

STREAMS = {"rgb": ("rgb",), "flow": ("flow",), "both": ("rgb", "flow")}


@dataclasses.dataclass(frozen=True)
class Settings:
    """The arguments of `load`, under their names there.

    Raises:
        ValueError: an argument out of its range, or two that exclude each other.
    """

    stream: str
    joined: bool
    clip_frames: int | None
    training: bool
    batch_size: int
    size: int
    seed: int | None
    repeat: bool
    start_batch: int
    drop_remainder: bool
    views: tuple | None
    frame_stride: int
    min_frames: int
    mean: tuple
    std: tuple
    short_sides: tuple | None
    color_jitter: float
    randaugment: tuple | None
    flip: bool
    area: tuple | None
    aspect: tuple | None
    strides: tuple | None
    reverse: float
    erase: float
    mixup: float
    cutmix: float
    repeats: int
    balance: str
    classes: list | tuple | None
    flow_scheme: str | None
    cache: bool | str
    shuffle_buffer: int
    shard: tuple | None
    worker: tuple | None
    service: str | None
    errors: str
    with_ids: bool

    def __post_init__(self):
        views_fit = self.views is None or (
            len(self.views) == 2 and self.views[0] >= 1 and self.views[1] in augment.CROPS
        )
        strides_fit = self.strides and _ascending(0, self.strides, math.inf) and set(map(type, self.strides)) == {int}
        low, high = self.short_sides or (self.size, self.size)
        index, count = self.worker or (0, 1)
        rules = (
            ("stream", self.stream in STREAMS, f"one of {', '.join(map(repr, STREAMS))}"),
            ("joined", not self.joined or self.stream == "both", 'False, or stream="both"'),
            ("clip_frames", self.clip_frames is None or self.clip_frames >= 1, "at least 1, or None"),
            ("size", self.size >= 1, "at least 1 pixel"),
            ("frame_stride", self.frame_stride >= 1, "at least 1"),
            ("min_frames", self.min_frames >= 1, "at least 1"),
            ("views", views_fit, f"(clips, crops) with crops one of {', '.join(map(str, augment.CROPS))}"),
            ("short_sides", self.size <= low <= high, f"(low, high) with size <= low <= high, size={self.size}"),
            ("color_jitter", 0 <= self.color_jitter < 1, "in [0, 1)"),
            ("mean", len(self.mean) == 3, "three numbers, of red, green and blue"),
            ("std", len(self.std) == 3 and min(self.std) > 0, "three numbers above 0, of red, green and blue"),
            ("flow_scheme", self.flow_scheme in (None, *SCHEMES), f"None or one of {', '.join(map(repr, SCHEMES))}"),
            ("batch_size", self.batch_size >= 1, "at least 1"),
            ("start_batch", self.start_batch >= 0, "at least 0"),
            ("shuffle_buffer", self.shuffle_buffer >= 1, "at least 1"),
            ("errors", self.errors in ("raise", "count"), '"raise" or "count"'),
            ("area", self.area is None or _ascending(0, self.area, 1), "(low, high) in (0, 1], or None"),
            ("aspect", self.aspect is None or _ascending(0, self.aspect, math.inf), "(low, high) above 0, or None"),
            ("aspect", self.aspect is None or self.area is not None, "None without area"),
            (
                "area",
                self.area is None or self.short_sides is None,
                "None with short_sides, which it takes the place of",
            ),
            ("strides", self.strides is None or strides_fit, "(low, high) in whole frames from 1, or None"),
            ("reverse", 0 <= self.reverse <= 1, "a share in [0, 1]"),
            ("erase", 0 <= self.erase <= 1, "a share in [0, 1]"),
            ("mixup", 0 <= self.mixup < math.inf, "at least 0"),
            ("cutmix", 0 <= self.cutmix < math.inf, "at least 0"),
            ("repeats", self.repeats >= 1, "at least 1"),
            ("balance", self.balance in BALANCES, f"one of {', '.join(map(repr, BALANCES))}"),
            ("worker", 0 <= index < count, "(index, count) with 0 <= index < count"),
        )
        check_rules(self, rules)
        self._check_clips()
        self._check_sharing(count)

    def _check_clips(self):
        drawn = ("area", "aspect", "strides", "reverse", "erase", "mixup", "cutmix")
        for name in ("short_sides", "color_jitter", "randaugment", *drawn):
            if getattr(self, name) and not self.training:
                raise ValueError(f"{name} is for training=True. Received: {name}={getattr(self, name)!r}")
        if self.balance != "none" and not self.training:
            raise ValueError(f"balance is for training=True. Received: balance={self.balance!r}")
        if self.repeats > 1 and not self.training:
            raise ValueError(f"repeats is for training=True. Received: repeats={self.repeats}")
        if self.strides and self.frame_stride != 1:
            raise ValueError(
                "strides draws the distance between frames, which frame_stride fixes: use one of them. Received: "
                f"strides={self.strides} and frame_stride={self.frame_stride}"
            )
        for name in ("color_jitter", "randaugment"):
            if getattr(self, name) and self.stream == "flow":
                raise ValueError(f'{name} is for rgb. Received: {name}={getattr(self, name)!r} and stream="flow"')
        if self.randaugment and self.seed is not None:
            raise ValueError(
                f"randaugment draws for itself, which no seed repeats: leave seed=None. Received: seed={self.seed}"
            )
        if self.views and (self.training or self.clip_frames is None):
            raise ValueError(
                f"views is for evaluation by clips. Received: views={self.views}, training={self.training}, "
                f"clip_frames={self.clip_frames}"
            )
        if self.training and self.clip_frames is None:
            raise ValueError("Training takes clips of one length. Received: clip_frames=None")
        if self.clip_frames is None and self.batch_size != 1:
            raise ValueError(
                "Whole videos differ in length: clip_frames=None needs batch_size=1. Received: "
                f"batch_size={self.batch_size}"
            )

    def _check_sharing(self, workers):
        if self.batch_size * workers % self.repeats:
            raise ValueError(
                "batch_size must be a multiple of repeats, so that a batch has all draws of a video. Received: "
                f"batch_size={self.batch_size * workers} and repeats={self.repeats}"
            )
        if self.mixing and (self.batch_size < 2 or self.batch_size * workers == self.repeats):
            raise ValueError(
                "mixup and cutmix mix the videos of a batch: batch_size must be at least 2, and twice repeats. "
                f"Received: batch_size={self.batch_size} and repeats={self.repeats}"
            )
        if self.mixing and workers > 1 and self.batch_size % 2:
            raise ValueError(
                "Workers that share batches mix clips within their own parts: with mixup and cutmix batch_size of each "
                f"must be even. Received: batch_size={self.batch_size}, worker={self.worker}"
            )
        if self.mixing and workers > 1 and not (self.repeat or self.drop_remainder):
            raise ValueError(
                "Workers that share batches mix whole ones alone: mixup and cutmix need repeat=True or "
                f"drop_remainder=True. Received: worker={self.worker}"
            )
        if self.service and self.cache:
            raise ValueError(
                "cache keeps records where they are read, and a service reads them elsewhere: use one of them"
            )
        if self.service and self.training and not self.repeat:
            raise ValueError(
                "A service takes whole epochs in training: service= needs repeat=True. Received: repeat=False"
            )
        if workers > 1 and (self.shard is not None or self.service is not None):
            raise ValueError(
                f"worker shares out examples, shard files, service epochs: use one. Received: worker={self.worker}"
            )
        if workers > 1 and self.training and self.seed is None:
            raise ValueError(f"Workers that share batches need one seed. Received: worker={self.worker} and seed=None")

    @property
    def streams(self):
        """Names of the streams: one, or both."""
        return STREAMS[self.stream]

    @property
    def mixing(self):
        """Whether the clips of a batch are mixed, and y are shares of classes."""
        return bool(self.mixup or self.cutmix)

    @property
    def clips(self):
        """How many clips of a video there are."""
        return self.views[0] if self.views else 1

    @property
    def crops(self):
        """How many crops of a clip there are."""
        return self.views[1] if self.views else 1


def _ascending(above, values, most):
    """Whether these are (low, high) with above < low <= high <= most."""
    return len(values) == 2 and above < values[0] <= values[1] <= most
