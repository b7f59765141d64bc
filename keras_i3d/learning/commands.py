"""The commands that `learn` runs one after the other, and the file by which a later start continues with them."""

import dataclasses
import json
import os
import pathlib

from keras_i3d import atomic, recipe_files
from keras_i3d.learning.choices import Asked, Choices, as_typed
from keras_i3d.models import families
from keras_i3d.records.annotations import KINDS
from keras_i3d.specs import FPS
from keras_i3d.version import __version__
from keras_i3d.weights import registry

STATE, LABELS = "learn.json", "labels.txt"
RECORDS, RUNS, REPORT, EXPORT = "records", "runs", "report", "models/i3d"  # in the folder of all
FORMAT = 1


@dataclasses.dataclass(frozen=True)
class State:
    """What `learn.json` holds.

    Attributes:
        asked: the Asked, with absolute paths.
        chosen: the Choices.
        commands: words of each command, without the program's name, as typed in the folder.
        labels: the lines of `labels.txt`, which the commands read; () if they read none.
        done: how many of them have ended.
        seconds: that all starts together took, up to the end of the last one that is done.
    """

    asked: Asked
    chosen: Choices
    commands: tuple
    labels: tuple = ()
    done: int = 0
    seconds: float = 0.0

    def write(self, folder):
        """Writes FOLDER/learn.json, whole or not at all."""
        content = {"format": FORMAT, "version": __version__, **dataclasses.asdict(self)}
        atomic.write_text(pathlib.Path(folder) / STATE, json.dumps(content, indent=1, ensure_ascii=False) + "\n")

    def write_labels(self, folder):
        """Writes FOLDER/labels.txt if the commands read it, unless it is there."""
        path = pathlib.Path(folder) / LABELS
        if self.labels and not path.exists():
            atomic.write_text(path, "".join(f"{label}\n" for label in self.labels))


def read(folder):
    """Reads the State in a folder.

    Returns:
        A State; None if there is no such folder, or it is empty.

    Raises:
        ValueError: something else lies in the folder, or the file is of another version.
    """
    folder = pathlib.Path(folder)
    path = folder / STATE
    if not path.exists():
        there = folder.exists() and (not folder.is_dir() or next(iter(_visible(folder)), None))
        if there:
            raise ValueError(
                f"The output is a folder that `learn` begins, or has begun. Received: {folder}, which has no {STATE} "
                "and is not empty. Name another output=."
            )
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content.pop("format") != FORMAT:
            raise ValueError("another format")
        content.pop("version")
        asked, chosen = _tuples(content.pop("asked")), _tuples(content.pop("chosen"))
        return State(Asked(**asked), Choices(**chosen), **_tuples(content))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(
            f"{path} is not of a `learn` that this version continues ({error}). Name another output=."
        ) from error


def _visible(folder):
    return (entry for entry in folder.iterdir() if not entry.name.startswith("."))


def _tuples(fields):
    """Fields of a record, with tuples in the place of JSON's lists."""

    def deep(value):
        return tuple(map(deep, value)) if isinstance(value, list) else value

    return {name: deep(value) for name, value in fields.items()}


def check_same(before, asked, folder):
    """Raises ValueError with the first argument in which a later start differs."""
    for field in dataclasses.fields(Asked):
        had, has = getattr(before, field.name), getattr(asked, field.name)
        if had != has:
            name = {"seconds": "time", "settings": "set"}.get(field.name, field.name)
            had, has = (_text(field.name, value) for value in (had, has))
            raise ValueError(
                f"{folder} was begun with other arguments, and its choices stay. Received: {name}={has} instead of "
                f"{had}. Give the first ones, or name another output=."
            )


def _text(name, value):
    """The value of a field of Asked, as it is typed."""
    if name == "settings":
        return ",".join("=".join(pair) for pair in value) or "none"
    if value is None:
        return "none"
    return as_typed(value) if name == "seconds" else str(value)


def absolute(asked):
    """Returns the Asked with absolute paths, so that a start from elsewhere is the same."""
    names = ["source", "weights", "annotations", "labels"]
    if recipe_files.is_file(asked.recipe):
        names.append("recipe")
    return dataclasses.replace(asked, **{name: _absolute(getattr(asked, name)) for name in names})


def _absolute(path):
    if path is None or registry.is_name(path):
        return path
    kind, path = _kind(path)
    return f"{kind}{os.path.abspath(path)}"


def _kind(source):
    """("KIND:" or "", path)."""
    kind, colon, path = source.partition(":")
    return (f"{kind}:", path) if colon and kind in KINDS else ("", source)


def seen_from(folder, path, asked):
    """Returns a path as one types it in a folder: relative to it, unless the source was given as an absolute path."""
    kind, path = _kind(path)
    if os.path.isabs(_kind(asked.source)[1]):
        return f"{kind}{os.path.abspath(path)}"
    return f"{kind}{os.path.relpath(path, folder)}"


def planned(asked, chosen, found, place=lambda path: path):
    """Returns the commands, as tuples of words.

    Args:
        asked: the Asked, with absolute paths.
        chosen: the Choices.
        found: the Survey. Unless each part finds the same labels, they are in `labels.txt` of the folder.
        place: a function from an absolute path to how it is typed in the folder.
    """
    commands = [*_of_records(asked, chosen, found, place)]
    commands += [_of_training(asked, chosen, stream, place) for stream in chosen.streams]
    licence = ["--accept_licence"] if asked.accept_licence else []
    models = [f"--{stream}={weights}" for stream, weights in models_of(chosen).items()]
    test, held_out = (f"--records={RECORDS}/{chosen.splits.get(role)}-*" for role in ("test", "validation"))
    if found.labelling != "single" and "validation" in chosen.splits:
        commands.append(("evaluate", held_out, *models, "--choose_thresholds", *licence))
    commands.append(("evaluate", test, *models, f"--output={REPORT}", *licence))
    if asked.export:
        commands.append(("export", *models, f"--output={EXPORT}", "--version=1", *_frames(chosen), *licence))
    return tuple(map(tuple, commands))


def _frames(chosen):
    """The flag of the frames of an export, where a run's clips are too short for one that computes flow itself."""
    least = families.find(chosen.family).min_frames + 1  # a field of flow is of two frames
    short = "flow" in chosen.streams and int(chosen.settings["clip_frames"]) < least
    return [f"--frames={least}"] if short else []


def models_of(chosen):
    """Returns {stream: what names its weights}: the best ones, if some videos were set apart to choose them by.

    Otherwise the last ones: an accuracy is not to be trusted of weights that did best on the same videos.
    """
    last = "" if "validation" in chosen.splits else "/model.keras"
    return {stream: f"{RUNS}/{stream}{last}" for stream in chosen.streams}


def _of_records(asked, chosen, found, place):
    more = [f"--short_side={chosen.short_side}"]
    if chosen.fps != FPS:
        more.append(f"--fps={chosen.fps:g}")
    if chosen.streams == ("rgb",):
        more.append("--flow_method=none")
    if asked.annotations:
        more.append(f"--annotations={place(asked.annotations)}")
    if asked.labels or not found.same_labels:
        more.append(f"--labels={place(asked.labels) if asked.labels else LABELS}")
    if asked.labelling:
        more.append(f"--labelling={asked.labelling}")
    if chosen.fractions and asked.seed:
        more.append(f"--seed={asked.seed}")
    for split, part in found.parts.items():
        from_to = f"--source={place(part.source)}", f"--split={split or chosen.fractions}", f"--output={RECORDS}"
        yield ("records", *from_to, *more)


def _of_training(asked, chosen, stream, place):
    held_out = chosen.splits.get("validation", chosen.splits["test"])
    weights = asked.weights
    if weights is not None and not registry.is_name(weights):
        weights = place(weights)
    return (
        "train",
        f"--records={RECORDS}/{chosen.splits['train']}-*",
        f"--validation={RECORDS}/{held_out}-*",
        f"--test={RECORDS}/{chosen.splits['test']}-*",
        f"--stream={stream}",
        f"--recipe={place(chosen.recipe) if recipe_files.is_file(chosen.recipe) else chosen.recipe}",
        f"--weights={weights or 'none'}",
        *([f"--model={asked.model}"] if asked.model else []),
        *(["--accept_licence"] if asked.accept_licence else []),
        f"--seed={asked.seed}",
        f"--output={RUNS}/{stream}",
        *(f"--set={name}={value}" for name, value in chosen.settings.items()),
    )


def is_done(command, folder):
    """Whether a command that was not seen to end has ended: of an export, which is put in place when it is whole."""
    return command[0] == "export" and (pathlib.Path(folder) / EXPORT / "1").is_dir()
