"""What features are made of and how they are stored: one record, which stands next to every file of features."""

import dataclasses
import math
import string

from keras_i3d.errors import check_rules
from keras_i3d.specs import FLOW_SCHEMES
from keras_i3d.video.pixels import is_resize

ALL = "all"  # the whole video is one window, and has a row for each step of the endpoint
TAILS = ("drop", "pad", "repeat", "shift")
FLOW_ENDS = ("own", "common", "repeat")
FLOW_FROM = ("resized", "stored")
POOLS = ("avg", "none")
FORMATS = ("npy", "npz", "h5")
FILES = ("one", "per_stream", "per_crop")
AXES = ("TC", "CT", "TNC", "NTC")
# The parts of a frame that crops show, and the same mirrored, as 10 crops have them.
PLACES = ("tl", "tr", "c", "bl", "br")
MIRRORED = tuple(f"{place}_mirrored" for place in PLACES)
CROP_ORDERS = {1: ("c",), 5: PLACES, 10: (*PLACES, *MIRRORED)}


@dataclasses.dataclass(frozen=True)
class Layout:
    """How the features of a video are made and stored. Frames are those of the video at `fps`, from 0 on.

    A window is a clip that the network sees alone, its own zeros at both ends included. It gives one row. A row of
    window "all" is a step of the endpoint instead, of one pass over the whole video.

    Attributes:
        streams: "rgb", "flow", or both in the order in which their channels stand in one row.
        endpoint: a layer that the paper names, such as "Mixed_5c"; "logits"; or None for what the head reads, the mean
            of the last average pool: 1024 channels of I3D, of which the head's 1x1x1 convolution makes the logits. Of
            window "all", None is what that average pool reads, and "logits" are rows of logits.
        window: frames that a window covers, seen or not, or "all".
        step: frames from a window to the next one; None for `window`.
        stride: frames from a frame of a window to the next one that the network sees; None for that of the weights.
        first: the frame at which the first window begins, 0 or below. The video is as much longer at both ends: the
            first and the last frame repeated, zeros in the place of flow.
        tail: what becomes of frames behind the last whole window. "drop": left out. "pad": a window filled up with
            grey frames, which the network takes as zero, and no motion. "repeat": with the last frame, and no motion.
            "shift": a window that ends with the video, and begins as much earlier; a video shorter than a window is
            seen over and over. Of window "all", the same for a video with fewer frames than the network takes.
        drop_last: whether the last window that the rule above gives is left out too.
        one_more: whether a window of rgb needs, and does not see, the frame behind it, as where flow needs it.
        flow_end: flow has a field less than there are frames, and may have a row less. "own": each stream has its own
            rows. "common": rows that not all streams have are left out. "repeat": the last field stands for the one
            that lacks; with `first` below 0 that is one between two copies of the last frame, which is zero.
        fps: frames per second; None for each frame as it is stored; "weights" for those of the weights.
        resize: "short:256", the shorter side, the aspect kept; "340x256", width and height, whatever the aspect;
            "least:226", the shorter side, only if it is below; "stored"; or None for that of the weights.
        crop: pixels of a side of the square that the network sees; None for that of the weights. Where a side of the
            frame is shorter, all of it is seen, as `classify` does.
        crops: which parts, in the order of their axis: of "tl", "tr", "c", "bl", "br", and of the same names with
            "_mirrored" at the end: that part of the frame, mirrored afterwards (dx changes its sign). So the top left
            of a mirrored frame is "tr_mirrored". Or 1, 5 or 10 for the centre, these, or these and the same mirrored.
        mean, std: of rgb, as of `ClipSpec`; None for those of the weights.
        flow_method: as for `classify`; None for that of the weights.
        flow_from: "resized": flow is computed on frames after the resize. "stored": before it; then the fields are
            resized, and their values stay as they are: bilinear, half-pixel centres, no averaging where they shrink.
        flow_levels: None, or how flow goes through 8-bit levels first: one of `specs.FLOW_SCHEMES`.
        pool: "avg": a row is the mean over height and width, and over the time of a window. "none": all positions, or
            those that the head reads where the endpoint is None.
        format: of files: "npy", "npz" or "h5".
        files: "one" a video, its streams side by side on the channel axis; "per_stream"; or "per_crop", and per stream
            if there are several.
        name: of a file, without its suffix, of {stem} (the video's), {stream} and {crop} (its place in `crops`).
        axes: of T rows, N crops and C channels; "TC" and "CT" are of one crop, or of a file for each.
        beside: further files that the layout has: of "fps" and "timestamps_ms".
        gathered: name of one file of all videos, an object array; "" for none.
    """

    streams: tuple = ("rgb", "flow")
    endpoint: str | None = None
    window: int | str = 16
    step: int | None = None
    stride: int | None = None
    first: int = 0
    tail: str = "drop"
    drop_last: bool = False
    one_more: bool = False
    flow_end: str = "common"
    fps: float | str | None = "weights"
    resize: str | None = None
    crop: int | None = None
    crops: tuple | int = 1
    mean: tuple | None = None
    std: tuple | None = None
    flow_method: str | None = None
    flow_from: str = "resized"
    flow_levels: str | None = None
    pool: str = "avg"
    format: str = "npy"
    files: str = "one"
    name: str = "{stem}"
    axes: str = "TC"
    beside: tuple = ()
    gathered: str = ""

    def __post_init__(self):
        if isinstance(self.crops, int) and self.crops in CROP_ORDERS:
            object.__setattr__(self, "crops", CROP_ORDERS[self.crops])
        if self.window != ALL and self.step is None:
            object.__setattr__(self, "step", self.window)
        check_rules(self, self._rules())

    def _rules(self):
        dense, places = self.window == ALL, (*PLACES, *MIRRORED)
        several = isinstance(self.crops, tuple) and len(self.crops) > 1
        fps = self.fps in (None, "weights") or (_is_number(self.fps) and 0 < self.fps < math.inf)
        listed = isinstance(self.crops, tuple) and len(set(self.crops)) == len(self.crops) > 0
        yield "streams", self.streams in (("rgb",), ("flow",), ("rgb", "flow"), ("flow", "rgb"), ("both",)), "rgb, flow"
        yield "window", dense or _is_whole(self.window, 1), 'a number of frames, or "all"'
        step = 'left out with window="all", whose rows are steps of the endpoint' if dense else "a number of frames"
        yield "step", self.step is None if dense else _is_whole(self.step, 1), step
        yield "stride", self.stride is None or _is_whole(self.stride, 1), "a number of frames, or None"
        yield "first", _is_whole(self.first, None) and self.first <= 0, "a frame, 0 or below"
        yield "first", not dense or self.first == 0, "0 with window all"
        yield "tail", self.tail in TAILS, f"one of {', '.join(TAILS)}"
        yield "drop_last", isinstance(self.drop_last, bool), "True or False"
        yield "one_more", isinstance(self.one_more, bool), "True or False"
        yield "flow_end", self.flow_end in FLOW_ENDS, f"one of {', '.join(FLOW_ENDS)}"
        apart = self.flow_end != "own" or self.files != "one" or len(self.streams) == 1
        yield "flow_end", apart, "common or repeat where both streams stand in one row"
        yield "fps", fps, 'above 0, None for native, or "weights"'
        resize = self.resize is None or is_resize(self.resize)
        yield "resize", resize, "short:SIDE, least:SIDE, WIDTHxHEIGHT, stored, or None"
        yield "crop", self.crop is None or _is_whole(self.crop, 1), "pixels, or None"
        yield "crops", listed and set(self.crops) <= set(places), f"1, 5, 10, or different ones of {', '.join(places)}"
        yield "mean", self.mean is None or _are_three(self.mean), "three numbers, or None"
        positive = self.std is None or (_are_three(self.std) and min(self.std) > 0)
        yield "std", positive, "three numbers above 0, or None"
        yield "flow_from", self.flow_from in FLOW_FROM, f"one of {', '.join(FLOW_FROM)}"
        yield "flow_levels", self.flow_levels in (None, *FLOW_SCHEMES), f"None or one of {', '.join(FLOW_SCHEMES)}"
        yield "pool", self.pool in POOLS, f"one of {', '.join(POOLS)}"
        yield "format", self.format in FORMATS, f"one of {', '.join(FORMATS)}"
        yield "files", self.files in FILES, f"one of {', '.join(FILES)}"
        yield "axes", self.axes in AXES, f"one of {', '.join(AXES)}"
        together = several and self.files != "per_crop"
        yield "axes", "N" in self.axes or not together, "TNC or NTC for several crops in one file"
        yield "axes", "N" not in self.axes or self.files != "per_crop", "TC or CT for a file a crop"
        yield "pool", self.pool == "avg" or self.axes in ("TC", "TNC", "NTC"), "avg for CT"
        yield "name", tells_apart(self.name, self.files, self.streams), _name_rule(self.files, self.streams)
        single = isinstance(self.gathered, str) and "/" not in self.gathered
        yield "gathered", single and (not self.gathered or self.files == "one"), 'a file\'s name, and of files="one"'
        known = isinstance(self.beside, tuple) and set(self.beside) <= {"fps", "timestamps_ms"}
        yield "beside", known, "a tuple of fps and timestamps_ms"

    @property
    def dense(self):
        """Whether the whole video is one window."""
        return self.window == ALL

    def record(self):
        """Returns plain values, as JSON holds them."""
        return {name: list(v) if isinstance(v, tuple) else v for name, v in dataclasses.asdict(self).items()}


def parse(record):
    """Returns the Layout of what `Layout.record` gave; what this version does not know is left out.

    Raises:
        ValueError: a value out of its range.
    """
    names = {field.name for field in dataclasses.fields(Layout)}
    return Layout(**{n: tuple(v) if isinstance(v, list) else v for n, v in record.items() if n in names})


def tells_apart(name, files, streams):
    """Whether a `Layout.name` has in braces what tells the files of a video apart, and nothing that they have not."""
    try:
        name.format(stem="clip", stream="rgb", crop=0)
        found = {field for _, field, *_ in string.Formatter().parse(name) if field is not None}
    except (ValueError, LookupError, AttributeError, TypeError):
        return False
    needed, allowed = _parts(files, streams)
    return needed <= found <= allowed


def _parts(files, streams):
    """(what a name must have in braces, what it may have) of files of these streams."""
    needed = {"stem"} | {"per_stream": {"stream"}, "per_crop": {"crop"}}.get(files, set())
    if files == "per_crop" and len(streams) > 1:
        needed |= {"stream"}
    return needed, needed | ({"stream"} if files != "one" or len(streams) == 1 else set())


def _name_rule(files, streams):
    needed, allowed = ([f"{{{part}}}" for part in sorted(each)] for each in _parts(files, streams))
    more = f", and of {', '.join(sorted({*allowed} - {*needed}))} if wanted" if len(allowed) > len(needed) else ""
    return f"made of {', '.join(needed)}{more} for files={files!r}"


def _are_three(values):
    return isinstance(values, tuple) and len(values) == 3 and all(_is_number(v) and math.isfinite(v) for v in values)


def _is_number(value):
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_whole(value, least):
    return isinstance(value, int) and not isinstance(value, bool) and (least is None or value >= least)
