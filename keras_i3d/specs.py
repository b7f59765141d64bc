"""What a clip is: streams, frame rate, sizes and value ranges.

Every number is how DeepMind's released weights were trained (kinetics-i3d README;
Carreira & Zisserman 2017, section 2.5 and 3).
"""

import dataclasses
import math

import numpy as np

from keras_i3d.errors import check_rules

FPS = 25
CLIP_FRAMES = 64  # of a clip in training
SHORT_SIDE = 256
CROP = 224
FLOW_BOUND = 20.0  # pixels per frame; flow beyond it is clamped
MIN_FRAMES = 9  # the head averages pairs of Mixed_5c steps, and 9 frames give the first two
MIN_SIZE = 32  # pixels; Mixed_5c is then one position
HALF = (0.5, 0.5, 0.5)  # mean and deviation that make [-1, 1] of rgb in [0, 1]
CHANNELS = {"rgb": 3, "flow": 2}
BOTH = "both"  # one tensor of both, on the channel axis: RGB of frame i, then the field from it to frame i + 1
INPUT_CHANNELS = {**CHANNELS, BOTH: sum(CHANNELS.values())}  # of the clips that a network may take
STREAMS = {channels: stream for stream, channels in INPUT_CHANNELS.items()}  # by the channels of a clip
QUALITY = 95  # of the JPEGs of records
FLOW_METHODS = ("tvl1", "opencv", "dis")  # what they are is in `flow.pairs`
FLOW_SCHEMES = ("exact", "rounded", "mediapipe")  # what they mean is in `flow.quantize`
LABELLINGS = ("single", "multi", "timed")  # of a data set: one class a video, several, or several with their times
BALANCES = ("none", "sqrt", "equal")  # of classes with few and with many clips: as they are, between, alike
LABEL_LISTS = {"kinetics400": 400, "kinetics600": 600}  # published lists of class names, and how many each has


@dataclasses.dataclass(frozen=True)
class ClipSpec:
    """How the clips were made that a set of weights was trained on, and expects.

    Attributes:
        stream: "rgb", "flow", or "both" of both in one tensor.
        fps: frames per second.
        short_side, crop: pixels; flow is computed after scaling to the short side and before cropping.
        mean, std: of red, green and blue in units of [0, 1]: the network takes (rgb / 255 - mean) / std. Flow is
            clip(x, +-20) / 20 whatever they are.
        flow_method, flow_bound: "tvl1", and the pixels per frame that become the ends of the range.
        flow_scheme: how 8-bit levels of its records read back, a key of `flow.quantize.SCHEMES`.
        frames: frames of a clip in training; None if clips had no one length, or nobody said.
        frame_stride: distance from a frame of a clip to the next one, in frames at `fps`. Fields of flow are as far
            apart, and each is still the motion between neighbouring frames.
    """

    stream: str
    fps: int = FPS
    short_side: int = SHORT_SIDE
    crop: int = CROP
    mean: tuple = HALF
    std: tuple = HALF
    flow_method: str | None = None
    flow_bound: float | None = None
    flow_scheme: str | None = None
    frames: int | None = None
    frame_stride: int = 1

    def __str__(self):
        apart = f", every {ordinal(self.frame_stride)} frame" if self.frame_stride > 1 else ""
        flow = f", flow by {self.flow_method}" if self.flow_method else ""
        colours = "" if (self.mean, self.std) == (HALF, HALF) else f", mean {_short(self.mean)}, std {_short(self.std)}"
        return f"{self.fps:g} fps{apart}, short side {self.short_side}, crop {self.crop}{colours}{flow}"

    def span(self, frames):
        """How many frames at `fps` a clip of `frames` frames covers, from its first to its last."""
        return (frames - 1) * self.frame_stride + 1

    def seen(self, frames):
        """How many of `frames` frames at `fps` are seen: the first, and every `frame_stride`-th after it."""
        return -(-frames // self.frame_stride)

    def prepared(self, x):
        """Returns decoded frames or fields as the network takes them: `scaled`, and for flow its own bound.

        Fields of records that hold less than `FLOW_BOUND` were clamped there, so others are clamped alike.
        """
        if self.stream != "rgb" and self.flow_bound and self.flow_bound < FLOW_BOUND:
            fields = np.clip(x[..., -CHANNELS["flow"] :], -self.flow_bound, self.flow_bound)
            x = np.concatenate([x[..., : -CHANNELS["flow"]], fields], axis=-1)
        return scaled(x, self.stream, self.mean, self.std)

    def check_same_video(self, other):
        """Raises ValueError, with both values, unless one decoded video can be cropped into clips of both."""
        for name in ("fps", "short_side", "crop"):
            if getattr(self, name) != getattr(other, name):
                raise ValueError(
                    f"Both streams need the same {name}. Received: {self.stream} trained at {getattr(self, name)}, "
                    f"{other.stream} at {getattr(other, name)}. Use weights that were trained alike."
                )


@dataclasses.dataclass(frozen=True)
class RecordSpec:
    """How the frames and fields of a record were made; the same for every record of a data set.

    Attributes:
        fps: frames per second.
        short_side: pixels of the shorter side; flow is computed after this scaling.
        quality: of the JPEGs.
        flow_method: "tvl1", "opencv" or "dis"; None for records without flow.
        flow_bound: pixels per frame that become the ends of the 8-bit range.
        flow_scheme: how levels read back, one of FLOW_SCHEMES, see `flow.quantize`.
    """

    fps: float = FPS
    short_side: int = SHORT_SIDE
    quality: int = QUALITY
    flow_method: str | None = "tvl1"
    flow_bound: float = FLOW_BOUND
    flow_scheme: str = "exact"

    def __post_init__(self):
        rules = (
            ("fps", 0 < self.fps < math.inf, "above 0"),
            ("short_side", self.short_side >= 1, "at least 1 pixel"),
            ("quality", 1 <= self.quality <= 100, "in 1..100"),
            ("flow_method", self.flow_method in (None, *FLOW_METHODS), f"None or one of {', '.join(FLOW_METHODS)}"),
            ("flow_bound", 0 < self.flow_bound < math.inf, "above 0"),
            ("flow_scheme", self.flow_scheme in FLOW_SCHEMES, f"one of {', '.join(FLOW_SCHEMES)}"),
        )
        check_rules(self, rules)

    def clip(self, stream, crop, frames=None, frame_stride=1, mean=HALF, std=HALF):
        """The ClipSpec of clips of such records.

        Args:
            stream: "rgb", "flow" or "both".
            crop: pixels.
            frames, frame_stride: as `data.load` takes clip_frames and frame_stride.
            mean, std: as `data.load` takes them.
        """
        names = () if stream == "rgb" else ("flow_method", "flow_bound", "flow_scheme")
        flow = {name: getattr(self, name) for name in names}
        drawn = {"frames": frames, "frame_stride": frame_stride, "mean": tuple(mean), "std": tuple(std)}
        return ClipSpec(stream, self.fps, self.short_side, crop, **drawn, **flow)


RGB_CLIP = ClipSpec("rgb", frames=CLIP_FRAMES)
FLOW_CLIP = ClipSpec("flow", flow_method="tvl1", flow_bound=FLOW_BOUND, flow_scheme="exact", frames=CLIP_FRAMES)
CLIPS = {"rgb": RGB_CLIP, "flow": FLOW_CLIP}  # what the released weights take


def ordinal(number):
    """Returns "2nd", "3rd", "11th" and so on."""
    ending = "th" if number // 10 % 10 == 1 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"


def check_stream(stream, streams=CHANNELS, whose=""):
    """Returns `stream` if it is one of `streams`, "rgb" or "flow" by default, else raises ValueError.

    Args:
        stream: any value.
        streams: those that may be, keys of INPUT_CHANNELS.
        whose: words on who takes them.
    """
    if not isinstance(stream, str) or stream not in streams:
        known = " or ".join(f'"{name}"' for name in streams)
        raise ValueError(f"stream must be {known}{whose}. Received: stream={stream!r}")
    return stream


def scaled(x, stream="rgb", mean=HALF, std=HALF):
    """Scales decoded frames or flow to what a network takes.

    Args:
        x: for "rgb", RGB values in [0, 255], any number type, shape (..., 3); for "flow",
            dx and dy in pixels per frame, floating point, shape (..., 2); for "both", both side by side, floating
            point, shape (..., 5). A NumPy array or a tensor.
        stream: "rgb", "flow" or "both".
        mean, std: as of `ClipSpec`.

    Returns:
        float32 of the same shape: (x / 255 - mean) / std for RGB, which by default is x / 127.5 - 1, in [-1, 1];
        clip(x, +-20) / 20 for flow.
        NumPy in, NumPy out; tensor in, tensor out.

    Raises:
        ValueError: wrong channel count, or values that were scaled already. The values of arrays are looked
            at; those of tensors are not, because inside a graph there are none.
    """
    channels = INPUT_CHANNELS[check_stream(stream, INPUT_CHANNELS)]
    if not hasattr(x, "shape"):
        x = np.asarray(x)
    if len(x.shape) == 0 or x.shape[-1] not in (channels, None):
        raise ValueError(
            f'The "{stream}" stream has {channels} channels on the last axis. Received: shape {tuple(x.shape)}'
        )
    if stream == BOTH:
        rgb, flow = x[..., : CHANNELS["rgb"]], x[..., CHANNELS["rgb"] :]
        return _joined(scaled(rgb, "rgb", mean, std), scaled(flow, "flow"))
    if isinstance(x, np.ndarray):
        if x.dtype.kind not in "uif":
            raise ValueError(f"A clip holds real numbers. Received: {x.dtype}")
        _check_range(x, stream)
        x = x.astype("float32")
        if stream == "flow":
            return np.clip(x / np.float32(FLOW_BOUND), -1, 1)
        return normalised(x, mean, std)
    import keras  # here: what reads videos or records needs the numbers above alone
    from keras import ops

    _check_float_flow(keras.backend.standardize_dtype(x.dtype), stream)
    x = ops.cast(x, "float32")
    return normalised(x, mean, std) if stream == "rgb" else ops.clip(x / FLOW_BOUND, -1, 1)


def _joined(rgb, flow):
    if isinstance(rgb, np.ndarray):
        return np.concatenate([rgb, flow], axis=-1)
    from keras import ops

    return ops.concatenate([rgb, flow], axis=-1)


def normalised(rgb, mean, std):
    """Returns (rgb / 255 - mean) / std of float32 frames, an array or a tensor; x / 127.5 - 1 for HALF and HALF."""
    if (tuple(mean), tuple(std)) == (HALF, HALF):
        return rgb / np.float32(127.5) - 1
    return (rgb / np.float32(255) - np.float32(mean)) / np.float32(std)


def _short(values):
    """Three numbers, or the one that all are, in few digits."""
    return "/".join(f"{value:.3g}" for value in dict.fromkeys(values))


def _check_float_flow(dtype, stream):
    if stream == "flow" and "float" not in str(dtype):
        raise ValueError(
            f"Flow is floating point, in pixels per frame. Received: {dtype}. "
            "Decode quantised flow first: value * 40 / 255 - 20."
        )


def _check_range(x, stream):
    _check_float_flow(x.dtype, stream)
    if x.size == 0 or x.dtype == np.uint8:
        return
    low, high = float(x.min()), float(x.max())
    if not (np.isfinite(low) and np.isfinite(high)):
        raise ValueError(f"A clip holds finite values only. Received: minimum {low}, maximum {high}")
    if stream == "flow":
        return
    unit_range = high <= 1 and np.issubdtype(x.dtype, np.floating) and bool(np.any(x != np.round(x)))
    if low < 0 or high > 255 or unit_range:
        raise ValueError(
            f"RGB frames are in [0, 255] before scaling. Received: minimum {low:.4g}, maximum {high:.4g}. "
            "Pass the decoded frames as they are; a clip already in [-1, 1] needs no preprocessing."
        )
