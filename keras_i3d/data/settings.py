"""What `pipeline.load` is asked for: its arguments but for the records, checked, in one frozen object."""

import dataclasses

from keras_i3d.data import augment
from keras_i3d.errors import check_rules
from keras_i3d.flow.quantize import SCHEMES

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
            ("worker", 0 <= index < count, "(index, count) with 0 <= index < count"),
        )
        check_rules(self, rules)
        self._check_clips()
        self._check_sharing(count)

    def _check_clips(self):
        for name in ("short_sides", "color_jitter", "randaugment"):
            if getattr(self, name) and not self.training:
                raise ValueError(f"{name} is for training=True. Received: {name}={getattr(self, name)!r}")
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
    def clips(self):
        """How many clips of a video there are."""
        return self.views[0] if self.views else 1

    @property
    def crops(self):
        """How many crops of a clip there are."""
        return self.views[1] if self.views else 1
