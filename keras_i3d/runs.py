"""A folder that `keras-i3d train` made, as the rest of the package reads it: its facts, its model.

Wherever a stream's weights are named, the path of a run's folder will do, or of a weights file inside it.

A run of several data sets trains one body with a head for each. Its folder has a folder for each head, named after the
data set, which is a run's folder like any other: the body with that head, and its labels.
"""

import dataclasses
import json
import os
import pathlib
import re

from keras_i3d import facts, paths, threshold_files
from keras_i3d.errors import WeightsError, notice, one_line
from keras_i3d.facts import SIGMOID, SOFTMAX, Facts
from keras_i3d.models import families
from keras_i3d.precision import policy
from keras_i3d.recipes import Recipe
from keras_i3d.specs import HALF, INPUT_CHANNELS, LABELLINGS, RecordSpec, check_stream
from keras_i3d.version import __version__
from keras_i3d.weights import by_name, h5_files, keras_files, sources

FACTS, MODEL, BEST = "run.json", "model.keras", "best.weights.h5"
HEADS = "heads"  # in the `run.json` of a run of several data sets: their names, and nothing of the heads themselves
HEAD_NAME = re.compile(r"(?!val_)[A-Za-z0-9][A-Za-z0-9_-]*")


@dataclasses.dataclass(frozen=True)
class Run:
    """What a training run was asked to do: what its `run.json` holds, and what another start of it is compared with.

    Paths are as they were given. What they name is known by its digest, so that a start from another working directory,
    or after a folder was moved, is of the same run.

    Attributes:
        stream: "rgb", "flow" or "both".
        labels: class names, the place in the list being the class index.
        spec: the RecordSpec of the videos that it was trained on.
        recipe: the Recipe, what was left open in it decided.
        records, validation: paths of what it was trained on, and measured on.
        weights: path or name of what it started from.
        clips: how many records it was trained on.
        seed: seed of its draws.
        version: the package's, when it was started.
        family: the network's name, a row of `models.families`.
        mean, std: of the frames, as of `ClipSpec`.
        records_digest, validation_digest: sha256 over files, ids, labels and spec of the records.
        weights_digest: sha256 of the file that `weights` names; None for a name, or where there is none.
        weights_licence: the licence of what it started from, as of `Facts`; None for fresh weights, or if nobody said.
        weights_source: where those weights are from, for people.
        shared_with: names of the other data sets that its body was trained on at the same time, each with its own head.
        labelling: of its records, "single", "multi" or "timed", as of `specs.LABELLINGS`.
        folder: where it lies; None before it was written.
        chosen: the `threshold_files.Chosen` that lies in it; None if none were chosen.
    """

    stream: str
    labels: tuple
    spec: RecordSpec
    recipe: Recipe
    records: str = ""
    validation: str | None = None
    weights: str | None = None
    clips: int = 0
    seed: int = 0
    version: str = __version__
    family: str = families.DEFAULT
    mean: tuple = HALF
    std: tuple = HALF
    records_digest: str | None = None
    validation_digest: str | None = None
    weights_digest: str | None = None
    weights_licence: str | None = None
    weights_source: str = ""
    shared_with: tuple = ()
    labelling: str = "single"
    folder: pathlib.Path | None = dataclasses.field(default=None, compare=False)
    chosen: threshold_files.Chosen | None = dataclasses.field(default=None, compare=False)

    @property
    def clip(self):
        """The ClipSpec of what its model takes."""
        drawn = self.recipe.clip_frames, self.recipe.frame_stride
        return self.spec.clip(self.stream, self.recipe.size, *drawn, self.mean, self.std)

    @property
    def facts(self):
        """The Facts of its model."""
        return Facts(
            stream=self.stream,
            classes=len(self.labels),
            labels=self.labels,
            activation=SOFTMAX if self.labelling == "single" else SIGMOID,
            depth_multiplier=self.recipe.depth_multiplier or 1.0,
            precision=self.recipe.precision or "float32",
            clip=self.clip,
            source=self.told(f"training run {self.name}") if self.folder else "",
            family=self.family,
            licence=self.weights_licence,
        )

    def facts_of(self, model):
        """The Facts of its model, with the thresholds that were chosen if they were for that model's head."""
        if self.chosen is None:
            return self.facts
        if self.chosen.head != facts.head_digest(model):
            notice(
                f"{self.folder / threshold_files.NAME} was chosen for other weights of the run, and is left out; "
                "choose again: evaluate --choose_thresholds"
            )
            return self.facts
        return dataclasses.replace(self.facts, thresholds=self.chosen.thresholds)

    @property
    def measure(self):
        """The figure of a validation that its best weights have the most of: "top1", or "map" of several labels."""
        return "top1" if self.labelling == "single" else "map"

    def told(self, source):
        """Returns what is said of where its weights are from, and of which ones these were made if a licence counts."""
        return f"{source}, from {self.weights_source}" if self.weights_licence else source

    @property
    def name(self):
        """What people call it: the name of its folder; of one of several heads with that of the whole run."""
        *_, whole, own = ("", *self.folder.resolve().parts)
        return f"{whole}/{own}" if self.shared_with else own

    def text(self):
        """Returns what `run.json` holds, as JSON."""
        content = dataclasses.asdict(self)
        del content["folder"], content["chosen"]
        return json.dumps(content, indent=1) + "\n"

    def log(self):
        """Returns the rows of `log.csv`, one an epoch, as {column: float or None}; [] before the first epoch ended.

        Raises:
            ValueError: it is damaged.
        """
        import csv

        path = self.folder / "log.csv"
        if not path.is_file():
            return []
        try:
            with open(path, newline="", encoding="utf-8") as file:
                rows = list(csv.DictReader(file))
            return [{key: float(value) if value else None for key, value in row.items()} for row in rows]
        except (ValueError, TypeError, csv.Error) as error:
            raise ValueError(f"{path} is not the log of a run ({one_line(error)})") from error


def is_run(path):
    """Whether a path is a run's folder, or a weights file in one."""
    return _folder(path) is not None


def text_of_heads(names):
    """Returns what the `run.json` of a run of several data sets holds, as JSON."""
    return json.dumps({HEADS: names, "version": __version__}, indent=1) + "\n"


def head_names(folder):
    """Returns the names of a run's heads, one for each data set; ("",) for a run of one, or where no run is.

    Raises:
        ValueError: a name that no head has, in a file that somebody else wrote.
    """
    found = _folder(folder)
    try:
        names = json.loads((found / FACTS).read_text(encoding="utf-8"))[HEADS]
    except (TypeError, KeyError, ValueError, OSError, RecursionError):  # no run, a single head, or damage for `read`
        return ("",)
    if not isinstance(names, list) or not all(isinstance(name, str) and HEAD_NAME.fullmatch(name) for name in names):
        raise ValueError(f"{found / FACTS} is not of a run that this version reads: its heads are no names of folders")
    return tuple(names)


def read_heads(folder):
    """Returns {name: Run} of a run's heads, {"": Run} for a run of one data set; the errors are those of `read`."""
    return {name: read(pathlib.Path(_folder(folder) or folder) / name) for name in head_names(folder)}


def read(folder):
    """Reads what a run says about itself.

    Args:
        folder: the `--output` of `keras-i3d train`, or a weights file in it; of a run of several data sets the folder
            of one head.

    Returns:
        A Run.

    Raises:
        ValueError: no run is there, its `run.json` cannot be read by this version, or it has several heads.
    """
    found = _one_head(folder)
    if found is None:
        raise ValueError(f"A training run is a folder with a {FACTS}. Received: {folder}, which has none.")
    path, content = found / FACTS, None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        recipe = {name: tuple(value) if isinstance(value, list) else value for name, value in content["recipe"].items()}
        known = {field.name for field in dataclasses.fields(Run)} - {"folder", "chosen"}
        given = {name: value for name, value in content.items() if name in known}
        given |= {name: tuple(given[name]) for name in ("mean", "std", "shared_with") if name in given}
        given |= {
            "spec": RecordSpec(**content["spec"]),
            "recipe": Recipe(**recipe),
            "version": content.get("version", ""),
        }
        run = Run(**{**given, "labels": tuple(content["labels"]), "folder": found})
        _check(run, content["labels"])
    except Exception as error:  # of damaged text, or of values of other kinds: any of a dozen of types
        said = f"{type(error).__name__}: {one_line(error)}"
        version = content.get("version") if isinstance(content, dict) else None
        if version not in (None, __version__):
            said += f". keras_i3d {version} wrote it: read it by that version"
        raise ValueError(f"{path} is not of a run that this version reads: {said}") from error
    return dataclasses.replace(run, chosen=_chosen(run))


def _chosen(run):
    """The thresholds that lie in a run's folder; None if there are none. The errors are those of `read`."""
    if not (run.folder / threshold_files.NAME).is_file():
        return None
    found = threshold_files.read(run.folder)
    if found.labels != tuple(run.labels):
        raise ValueError(
            f"{run.folder / threshold_files.NAME} must be of the run's own classes. Received: {len(found.labels)} "
            f"others. Remove it, or choose again: evaluate --choose_thresholds"
        )
    return found


def _check(run, labels):
    """Raises ValueError or TypeError for a value of another kind than a run writes, and for sizes of no network."""
    check_stream(run.stream, INPUT_CHANNELS)
    if not isinstance(labels, list) or not labels:
        raise ValueError("labels are a list of names")
    facts.parse(run.facts.record())
    kinds = {"records": str, "validation": str, "weights": str, "weights_source": str, "version": str, "clips": int}
    for name, kind in kinds.items():
        value = getattr(run, name)
        if not (isinstance(value, kind) or (value is None and name in ("validation", "weights"))):
            raise ValueError(f"{name} is {type(value).__name__}")
    if run.labelling not in LABELLINGS:
        raise ValueError(f"labelling is one of {', '.join(LABELLINGS)}")
    if type(run.seed) is not int:
        raise ValueError("seed is no whole number")
    if not all(isinstance(name, str) for name in run.shared_with):
        raise ValueError("shared_with are names of data sets")


def weights_file(folder, best=None, quiet=False):
    """Returns the path of the file that a run's name stands for.

    Args:
        folder, best: as for `load_model`, as are the errors.
        quiet: whether nothing is said where a folder stands for its best weights.
    """
    found = _one_head(folder)
    name = pathlib.Path(folder).name
    by_default = best is None and name not in (MODEL, BEST)
    if by_default:
        best = (found / BEST).is_file()
    elif best is None:
        best = name == BEST
    path = found / (BEST if best else MODEL)
    if not path.is_file():
        if best:
            raise ValueError(f"{found} has no {BEST}: no validation yet, or none asked for.")
        instead = f" Or name {found / BEST} for its best weights so far." if (found / BEST).is_file() else ""
        raise ValueError(
            f"{found} has no {MODEL}: its training has not ended. Start the same `train` command again to end it."
            + instead
        )
    if by_default and best and not quiet:
        last = f"{found / MODEL} names the last" if (found / MODEL).is_file() else "its training has not ended"
        notice(f"{folder}: the best weights are taken, {told_of_best(folder)}; {last}")
    return path


def told_of_best(folder):
    """Returns what the best weights of a run are of, for people: "step 54, val_top1 0.9375"."""
    source = h5_files.facts_of(_one_head(folder) / BEST)
    found = re.search(r"step \d+, val_\w+ [\d.]+", source.source if source else "")
    return found[0] if found else BEST


def load_model(folder, best=None, precision=None):
    """Loads the model of a run.

    Args:
        folder: the run's folder, which stands for its best weights, and where there are none for the last, a line
            saying so; or the path of its `best.weights.h5`, the state that did best on the validation split; or of its
            `model.keras`, the state after the last step.
        best: True and False choose between the two whatever the path.
        precision: a Keras policy to compute in; by default the one it was trained in.

    Returns:
        A functional keras.Model: float32 (B, T, H, W, C) as `Run.clip` scales it, any T, H and W, to probabilities
        (B, classes).

    Raises:
        ValueError: no run, or a run that has no such file yet.
        keras_i3d.WeightsError: a file that cannot be read, or does not fit the run.
    """
    run, path = read(folder), weights_file(folder, best)
    best = path.name == BEST
    if best:
        source = sources.find(path, run.stream)
        model = _built(run, precision, source.read(), path)
        sources.load(model, source)
    else:
        model = keras_files.load(path)
        facts.say_licence(str(path), run.facts)
    channels, classes = model.input_shape[-1], model.output_shape[-1]
    if (channels, classes) != (INPUT_CHANNELS[run.stream], len(run.labels)):
        raise WeightsError(
            f"{path} does not fit the {FACTS} next to it: that says {run.stream}, {len(run.labels)} classes; the model "
            f"has {channels} channels, {classes} classes."
        )
    if not best and precision not in (None, run.facts.precision):
        trained, model = model, _built(run, precision, by_name.layer_weights(model), path)
        model.set_weights(trained.get_weights())
    return facts.note(model, run.facts_of(model))


def _built(run, precision, weights, path):
    """The network that a run describes, for weights that it is compared with before any memory is taken for it."""
    known = run.facts
    by_name.check_match(weights, families.find(run.family).layout(**known.arguments), path)
    with policy(precision or known.precision):
        return known.build()


def _one_head(path):
    """The same as `_folder`; raises ValueError for a run of several heads, because each has classes of its own."""
    found = _folder(path)
    names = head_names(path)
    if names != ("",):
        file = pathlib.Path(paths.expand(path)).relative_to(found)
        raise ValueError(
            f"{found} was trained on several data sets, and has a head for each. Received: the run without the name of "
            f"a head. Pass one of: {', '.join(str(found / name / file) for name in names)}"
        )
    return found


def _folder(path):
    """The run's folder that a path is, or lies in as a weights file; or None."""
    if not isinstance(path, str | os.PathLike):
        return None
    path = pathlib.Path(paths.expand(path))
    folder = path.parent if path.name in (MODEL, BEST) and not path.is_dir() else path
    return folder if (folder / FACTS).is_file() else None
