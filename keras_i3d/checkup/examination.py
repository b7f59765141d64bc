"""What a user names, told apart and looked at, one group of Findings after the other.

Nothing heavy is imported before it is needed, and every import is guarded: what is broken must not end the doctor.
"""

import dataclasses
import glob
import os
import pathlib
import re
import shlex

from keras_i3d import paths
from keras_i3d.checkup.findings import fault, look, note, unchecked
from keras_i3d.plurals import counted

VIDEOS = 20  # of a folder or glob
FEW = 3  # videos, each of which is told of by itself
WEIGHTS = (".h5", ".keras", ".pth", ".pt", ".pyth", ".pkl", ".params", ".safetensors", ".npz", ".index")
SHARD = re.compile(r".+-\d{5}-of-\d{5}(\.tfrecord)?|.+\.tfrecord")
LEARNT = "learn.json"  # of a folder that `keras-i3d learn` made
RUN, OF_A_RUN = "run.json", ("model.keras", "best.weights.h5")  # `runs`, which imports Keras, has these names
DEEP = 2  # levels of folders below one that is named, in which records, runs and exports are looked for
ENVIRONMENT, CACHE = "environment", "cache"


@dataclasses.dataclass(frozen=True)
class Asked:
    """What is looked at, by kind: paths, in the order that they were given."""

    videos: tuple = ()
    folders: tuple = ()  # of videos
    records: tuple = ()
    runs: tuple = ()
    exports: tuple = ()
    weights: tuple = ()
    unknown: tuple = ()
    left_out: int = 0  # videos


def told_apart(places):
    """Returns the Asked of what a user names."""
    kinds = {field.name: [] for field in dataclasses.fields(Asked)}
    for place in places:
        for kind, path in _kinds(place):
            kinds[kind].append(path)
    found = {kind: tuple(dict.fromkeys(each)) for kind, each in kinds.items() if kind != "left_out"}
    return Asked(**{**found, "left_out": sum(kinds["left_out"])})


def _kinds(place):
    """Yields (kind, path) of what one word names; a folder that `learn` made is several."""
    folder = pathlib.Path(place)
    if (folder / RUN).is_file() or (folder.name in OF_A_RUN and (folder.parent / RUN).is_file()):
        yield "runs", place
    elif folder.is_dir():
        yield from _of_folder(folder)
    elif folder.is_file():
        if SHARD.fullmatch(folder.name):
            yield "records", place
        else:
            yield ("weights" if folder.name.endswith(WEIGHTS) else "videos"), place
    elif glob.has_magic(place) and (matched := sorted(glob.glob(paths.pattern(place), recursive=True))):
        if any(SHARD.fullmatch(os.path.basename(path)) for path in matched):
            yield "records", place
        else:
            yield from _some([path for path in matched if os.path.isfile(path)])
    elif pathlib.Path(f"{place}.index").is_file() or _is_published(place):
        yield "weights", place
    else:
        yield "unknown", place


def _of_folder(folder):
    """Yields (kind, path) of all that a folder holds: itself, folders in it to the second level, and videos."""
    if (folder / LEARNT).is_file():
        for name in ("records", "runs", "models"):
            inside = sorted((folder / name).iterdir()) if (folder / name).is_dir() else []
            for path in [folder / name] if name == "records" and inside else filter(pathlib.Path.is_dir, inside):
                yield from _kinds(str(path))
        return
    from keras_i3d.records.video_files import walk

    known = list(_known(folder, DEEP, set()))
    yield from known
    if ("exports", str(folder)) in known:
        return
    taken = [pathlib.PurePath(path).parts for _, path in known if path != str(folder)]
    videos = [folder / path for path in walk(folder).videos]
    videos = [path for path in videos if not any(path.parts[: len(parts)] == parts for parts in taken)]
    if videos:
        # An id of a record is the path of its video from a folder that has videos: here, or one level below.
        roots = [folder, *dict.fromkeys(folder / path.relative_to(folder).parts[0] for path in videos)]
        yield from (("folders", str(path)) for path in (roots if known else [folder]) if path.is_dir())
        yield from _some(list(map(str, videos)))
    elif not known:
        yield "unknown", str(folder)


def _known(folder, deeper, seen):
    """Yields (kind, path) of a folder of records, of a run or of an export, and of those in it, each once.

    `seen` gets the folders behind all links; what a link leads to is looked at under its own name if it has one here.
    """
    place = os.path.realpath(folder)
    if place in seen:
        return
    seen.add(place)
    from keras_i3d.checkup import export_checks, record_sample

    if (folder / RUN).is_file():
        yield "runs", str(folder)
        return
    if export_checks.versions_of(folder):
        yield "exports", str(folder)
        return
    if record_sample.holds_records(folder):
        yield "records", str(folder)
    for path in sorted(folder.iterdir(), key=lambda path: (path.is_symlink(), path)) if deeper else ():
        if path.is_dir() and not path.name.startswith("."):
            try:
                yield from _known(path, deeper - 1, seen)
            except PermissionError:
                continue


def _some(found):
    """Yields videos spread over all of them, and how many are left out."""
    chosen = found if len(found) <= VIDEOS else [found[i * len(found) // VIDEOS] for i in range(VIDEOS)]
    yield from (("videos", path) for path in chosen)
    yield "left_out", len(found) - len(chosen)


def _is_published(word):
    from keras_i3d.weights import registry

    return registry.is_name(word)


def examine(places, weights=None, stream=None):
    """Looks at the machine, the cache, and what is named.

    Args:
        places: paths of videos, records, runs, exports and weights, folders and globs of them.
        weights: what records and videos are to go with, as for `networks.load`; None takes those of the runs.
        stream: "rgb", "flow" or "both", that weights are asked for; None for their own.

    Yields:
        (what was looked at, [Finding]); the last Finding of a thing is not known before all of its checks ended.
    """
    yield ENVIRONMENT, _guarded(ENVIRONMENT, _environment)
    yield CACHE, _guarded(CACHE, _cache)
    try:
        asked = told_apart(places)
    except Exception as error:
        yield "what was named", [unchecked("what was named", error)]
        return
    for place in asked.unknown:
        yield (
            place,
            [
                dataclasses.replace(
                    fault(
                        "unknown",
                        "no such file, or nothing in it that is known here: no video, records, run, export or weights",
                        "nothing was looked at",
                        "check the path; quote a glob, so that the shell leaves it",
                    ),
                    about=place,
                )
            ],
        )
    networks = []
    for place in dict.fromkeys(([weights] if weights else []) + list(asked.weights)):
        yield place, _guarded(place, _weights, place, stream, networks)
    for place in asked.runs:
        own = networks if not weights else []
        yield place, _guarded(place, _run, place, stream, own, asked.records)
    for place in asked.exports:
        yield place, _guarded(place, _export, place)
    if asked.records:
        yield from _records(asked, networks)
    few = len(asked.videos) <= FEW and not asked.left_out
    together = []
    for path in asked.videos:
        found = _guarded(path, _video, path, networks)
        if few:
            yield path, found
        together += found
    if not few:
        yield f"{len(asked.videos)} videos", together
    if asked.left_out:
        left_out = counted(asked.left_out, "more video was", "more videos were")
        remedy = f"name folders of {VIDEOS} videos at most, or single ones"
        said = note("video.left_out", f"{left_out} not looked at", "", remedy)
        yield "other videos", [dataclasses.replace(said, about="other videos")]


def _guarded(about, function, *given):
    """The Findings that a function yields; that it could not be called, if it raises."""
    try:
        return list(function(*given))
    except Exception as error:
        return [dataclasses.replace(unchecked(str(about), error), about=str(about))]


def _environment():
    from keras_i3d.checkup import environment, optional_parts

    imports = optional_parts.begin()  # meanwhile TensorFlow is imported here, which takes as long
    yield from look(ENVIRONMENT, environment.CHECKS)
    yield from look(ENVIRONMENT, optional_parts.CHECKS, imports)
    yield from look(ENVIRONMENT, environment.LAST)


def _cache():
    from keras_i3d.checkup import weights_cache

    yield from look(CACHE, weights_cache.CHECKS)


def _weights(place, stream, networks):
    from keras_i3d.checkup import network_state

    network, found = network_state.examine(place, stream)
    networks += [network] if network is not None else []
    yield from found


def _run(place, stream, networks, records):
    from keras_i3d.checkup import run_checks

    network, found = run_checks.examine(place, stream, records)
    networks += [network] if network is not None else []
    yield from found


def _export(place):
    from keras_i3d.checkup import export_checks

    yield from export_checks.examine(place)


def _video(path, networks):
    from keras_i3d.checkup import video_checks

    yield from video_checks.examine(path, networks[0] if networks else None)


def _records(asked, networks):
    """Yields the groups about records: each place, then all splits together, and with each network."""
    from keras_i3d.checkup import record_checks, record_contents, record_relations, record_sample

    every = []
    for place in asked.records:
        try:
            splits = record_sample.splits(place)
        except Exception as error:  # a manifest that is damaged, files that are not there
            said = fault(
                "records.unreadable",
                f"{error}",
                "nothing can be trained or measured on it",
                f"keras-i3d records --check={shlex.quote(record_checks.folder_of(place))}",
            )
            yield place, [dataclasses.replace(said, about=place)]
            continue
        found = list(look(place, record_checks.CHECKS, place, splits))
        found += look(place, record_contents.CHECKS, asked.folders, splits)
        yield place, found
        every += splits
    if not every:
        return
    together = " + ".join(split.name for split in every)
    apart = [check for check in record_relations.CHECKS if not check.__name__.startswith("against")]
    if len(every) > 1:
        yield together, list(look(together, apart, every, None))
    for network in networks:
        about = f"{network.origin} with {together}"
        checks = [check for check in record_relations.CHECKS if check not in apart]
        yield about, list(look(about, checks, every, network))
