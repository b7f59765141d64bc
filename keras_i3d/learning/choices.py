"""What is asked of `learn`, what it finds, and what it chooses, as records."""

import dataclasses
import re

from keras_i3d import recipe_files
from keras_i3d.errors import check_rules
from keras_i3d.specs import INPUT_CHANNELS


@dataclasses.dataclass(frozen=True)
class Asked:
    """What the user asks for; None leaves it open.

    Attributes:
        source: as `records --source` takes it; of a path that is not absolute, from the working directory.
        seconds: that all may take.
        stream: "rgb", "flow" or "both".
        model: name of the network.
        weights: "kinetics" or another published name, a path, or None for none.
        recipe: name of the recipe, or the file of one.
        settings: ((field, text), ...), passed to training as they are; kept in the order of the fields' names.
        seed: of split, draws and head.
        accept_licence: whether weights may be taken whose licence forbids commercial use.
        annotations, labels, labelling: as `records` takes them.
        export: whether a model for servers is made.
    """

    source: str
    seconds: float | None = None
    stream: str | None = None
    model: str | None = None
    weights: str | None = "kinetics"
    recipe: str | None = None
    settings: tuple = ()
    seed: int = 0
    accept_licence: bool = False
    annotations: str | None = None
    labels: str | None = None
    labelling: str | None = None
    export: bool = True

    def __post_init__(self):
        object.__setattr__(self, "settings", tuple(sorted(self.settings)))
        rules = (
            ("seconds", self.seconds is None or self.seconds > 0, "above 0"),
            ("stream", self.stream in (None, *INPUT_CHANNELS), f"one of {', '.join(INPUT_CHANNELS)}"),
        )
        check_rules(self, rules)
        recipe = recipe_files.find(self.recipe or "full-ft")
        unknown = {name for name, _ in self.settings} - {field.name for field in dataclasses.fields(recipe)}
        if unknown:
            recipe.with_settings(dict.fromkeys(unknown))  # which says what there is


@dataclasses.dataclass(frozen=True)
class Network:
    """What is trained.

    Attributes:
        family: name of the network.
        streams: that are trained, each by itself.
        width: its `depth_multiplier`.
        multiply_adds: of one clip, for each pixel of each of its frames.
        memory: bytes of a training step, for each pixel of each frame of each clip.
        weights: bytes that do not depend on the clips.
        why, why_width: why these streams, and this width.
    """

    family: str
    streams: tuple
    width: float
    multiply_adds: float
    memory: float
    weights: float
    why: str = ""
    why_width: str = ""


@dataclasses.dataclass(frozen=True)
class Machine:
    """What this machine can do, as measured.

    Attributes:
        name: of what trains, for people.
        cores: that the process may use.
        memory: bytes that training may take; None if nobody knows.
        step: seconds of a training step for each multiply-add of the network.
        start: seconds until the first step is done.
        flow: seconds of the flow of a pair of frames, for each pixel, on one core.
    """

    name: str
    cores: int
    memory: float | None
    step: float
    start: float
    flow: float


@dataclasses.dataclass(frozen=True)
class Choice:
    """One of the choices, for people: what, which value, why."""

    what: str
    value: str
    why: str

    def __str__(self):
        return f"{self.what}: {self.value}; {self.why}" if self.why else f"{self.what}: {self.value}"


@dataclasses.dataclass(frozen=True)
class Choices:
    """How it is done. What `learn.json` holds, and the commands are made of.

    Attributes:
        splits: {"train": name, "validation": name, "test": name} of the splits that there will be; validation may lack.
        fractions: "train:0.8,test:0.2" of what is divided first; "" of what is divided.
        streams, family, recipe: names.
        settings: {field of the recipe: text}, those of the user among them.
        short_side, fps: of the records.
        seconds: {part of the work: estimated seconds}; {} if nothing was measured.
        said: the Choices, as lines.
        left_out: what the time does not allow, as lines.
    """

    splits: dict
    fractions: str
    streams: tuple
    family: str
    recipe: str
    settings: dict
    short_side: int
    fps: float
    seconds: dict
    said: tuple
    left_out: tuple = ()


@dataclasses.dataclass(frozen=True)
class Rung:
    """A clip: frames, how far apart, pixels."""

    frames: int
    stride: int
    size: int

    @property
    def volume(self):
        return self.frames * self.size**2

    def __str__(self):
        apart = f", {self.stride} apart," if self.stride > 1 else ""
        return f"{self.frames} frames{apart} of {self.size} x {self.size} pixels"


def seconds_of(text):
    """Returns the seconds of a time as people write it: "20m", "90s", "2h", "1h30m", "1.5h".

    Raises:
        ValueError: anything else.
    """
    found = re.fullmatch(r"(?:([\d.]+)h)?(?:([\d.]+)m)?(?:([\d.]+)s)?", text.strip().casefold())
    try:
        parts = [float(number or 0) for number in found.groups()]
    except (AttributeError, ValueError):
        parts = []
    seconds = sum(number * unit for number, unit in zip(parts, (3600, 60, 1)))
    if not seconds > 0:
        raise ValueError(f"A time is given as 20m, 90s, 2h or 1h30m. Received: time={text!r}")
    return seconds


def as_typed(seconds):
    """Returns a time as `seconds_of` reads it: "20m", "1m30s", "2h"."""
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(int(minutes), 60)
    return "".join(f"{number:g}{unit}" for number, unit in ((hours, "h"), (minutes, "m"), (rest, "s")) if number)
