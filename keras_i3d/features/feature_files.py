"""The files of one video's features: how they are named, what is in them, and the JSON that stands next to them.

A video is finished when its JSON is there, because that is written last. The JSON holds what made the features
(`notes`), how many frames and rows there are, when each row is, and the size and sha256 of each file.
"""

import json
import os
import pathlib
import zipfile
import zlib

import h5py
import numpy as np

from keras_i3d import atomic, stored
from keras_i3d.errors import FeaturesError, one_line
from keras_i3d.features.video_features import VideoFeatures
from keras_i3d.weights.download import sha256

FORMAT = "keras_i3d features, version 1"
DEFAULT_NAMES = {"one": "{stem}", "per_stream": "{stem}_{stream}", "per_crop": "{stem}__{crop}"}
PLAIN = {"fps": "{stem}_fps", "timestamps_ms": "{stem}_timestamps_ms"}
TIMES = ("start", "end", "centre")
# What a file or a JSON that was damaged makes Python, NumPy, zipfile and h5py raise.
DAMAGE = (
    KeyError,
    TypeError,
    IndexError,
    AttributeError,
    ValueError,
    OSError,
    EOFError,
    zipfile.BadZipFile,
    zlib.error,
)
CLOSE = 1e-9  # seconds that times may be off where three numbers stand for all of them
LARGEST = 64 << 20  # bytes of a JSON; one with a list of times has some 60 a row


def default_name(files, streams):
    """Returns the `Layout.name` of files that nobody gave a name: `x`, `x_rgb`, `x__3`, or `x_rgb__3`."""
    return "{stem}_{stream}__{crop}" if files == "per_crop" and len(streams) > 1 else DEFAULT_NAMES[files]


def names(layout, video):
    """Returns {name of a file: (its streams, its crop or None for all)} of one video.

    Args:
        layout: a Layout.
        video: the video's name without its suffix, behind the folders that are kept: "a/b/clip".

    Raises:
        ValueError: a name that leads out of the folder.
    """
    folder, _, stem = video.rpartition("/")
    streams = [(stream,) for stream in layout.streams] if layout.files != "one" else [tuple(layout.streams)]
    crops = range(len(layout.crops)) if layout.files == "per_crop" else [None]
    found = {}
    for group in streams:
        for crop in crops:
            name = layout.name.format(stem=stem, stream=group[0], crop=crop)
            if name.startswith("/") or not {"", ".", ".."}.isdisjoint(name.split("/")):
                raise ValueError(f"name must be one of a file in the folder of the output. Received: name={name!r}")
            found["/".join(filter(None, [folder, f"{name}.{layout.format}"]))] = (group, crop)
    return found


def beside(layout, video):
    """Returns {what: name of the file} of the further files that a layout has of one video: "fps", "timestamps_ms"."""
    folder, _, stem = video.rpartition("/")
    return {what: "/".join(filter(None, [folder, f"{PLAIN[what].format(stem=stem)}.npy"])) for what in layout.beside}


def sidecar(video):
    """Returns the name of the JSON of one video."""
    return f"{video}.json"


def write(folder, video, layout, features, source):
    """Writes the files of one video, each whole or not at all, and its JSON last.

    Args:
        folder: the output.
        video: its name, as for `names`.
        layout: a Layout.
        features: its VideoFeatures.
        source: {"name": of the video's file, "bytes": its size}, by which a later run knows it again.

    Raises:
        OSError: it cannot be written.
    """
    folder, files = pathlib.Path(folder), {}
    (folder / sidecar(video)).parent.mkdir(parents=True, exist_ok=True)
    (folder / sidecar(video)).unlink(missing_ok=True)  # while its files are made again, it does not describe them
    for name, (streams, crop) in names(layout, video).items():
        arrays = {stream: arranged(features.arrays[stream], layout.axes, crop) for stream in streams}
        times = {stream: {what: getattr(features, what)[stream] for what in TIMES} for stream in streams}
        size, digest = _write(folder / name, _writer(layout, arrays, times))
        files[_from(video, name)] = {
            "streams": list(streams),
            "crop": crop,
            "axes": layout.axes,
            "shape": list(joined(layout, arrays).shape) if layout.format == "npy" else None,
            "bytes": size,
            "sha256": digest,
        }
    first = layout.streams[0]
    plain = {"fps": np.float64(features.fps), "timestamps_ms": 1000 * np.asarray(features.end[first], "float64")}
    for what, name in beside(layout, video).items():
        _write(folder / name, _npy(plain[what]))
    record = {
        "format": FORMAT,
        "video": source,
        "frames": int(features.frames),
        "fps": float(features.fps),
        "rows": {stream: int(array.shape[1]) for stream, array in features.arrays.items()},
        "channels": {stream: int(array.shape[-1]) for stream, array in features.arrays.items()},
        "times": {s: packed(*(getattr(features, what)[s] for what in TIMES)) for s in features.arrays},
        "damaged": int(features.damaged),
        "cut_short": bool(features.cut_short),
        "files": files,
        "beside": [_from(video, name) for name in beside(layout, video).values()],
        "notes": features.notes,
    }
    atomic.write_text(folder / sidecar(video), lines(record))


def lines(record):
    """Returns JSON with a line for each entry of a dictionary; the same bytes for the same values."""
    return (
        "{\n" + ",\n".join(f" {json.dumps(k)}: {json.dumps(v, allow_nan=False)}" for k, v in record.items()) + "\n}\n"
    )


def load(path):
    """Returns the dictionary that a JSON holds.

    Raises:
        FeaturesError: it cannot be read, or holds something else.
    """
    try:
        if os.path.getsize(path) > LARGEST:
            raise ValueError(f"it is larger than {LARGEST} bytes")
        record = json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
        if not isinstance(record, dict):
            raise ValueError("it is no dictionary")
    except (OSError, ValueError, RecursionError) as error:
        raise FeaturesError(f"{path} cannot be read ({one_line(error)}). Remove it to make it again.") from error
    return record


def read_json(path):
    """Returns what the JSON of a video's features holds; None for one of anything else.

    Raises:
        FeaturesError: it cannot be read.
    """
    record = load(path)
    if record.get("format") != FORMAT:
        return None
    wanted = {"video": dict, "frames": int, "fps": float, "rows": dict, "channels": dict, "times": dict, "notes": dict}
    wanted |= {"files": dict, "beside": list, "damaged": int, "cut_short": bool}
    wrong = [name for name, kind in wanted.items() if type(record.get(name)) is not kind]
    if wrong or not all(isinstance(each, dict) for each in record["files"].values()):
        lacks = " and no ".join(wrong) or "description of each file"
        raise FeaturesError(f"{path} is damaged: it has no {lacks}. Remove it to make it again.")
    return record


def are_there(folder, video, record):
    """Whether the files of a video are there, in the sizes that its JSON notes."""
    place = os.path.dirname(os.path.join(folder, video))
    try:
        sizes = {name: os.path.getsize(os.path.join(place, name)) for name in (*record["files"], *record["beside"])}
    except OSError:
        return False
    return all(sizes[name] == file.get("bytes") for name, file in record["files"].items())


def arranged(array, axes, crop=None):
    """Returns (crops, rows, ..., channels) in a layout's axes; `crop` is the one that a file is of."""
    if crop is not None:
        array = array[crop : crop + 1]
    if axes == "NTC":
        return array
    if axes == "TNC":
        return np.moveaxis(array, 0, 1)
    return array[0].T if axes == "CT" else array[0]


def restored(array, axes):
    """Returns an array in a layout's axes as (crops, rows, ..., channels); of one in memory or on disk, a view."""
    if axes == "NTC":
        return array
    if axes == "TNC":
        return np.moveaxis(array, 1, 0)
    return (array.T if axes == "CT" else array)[None]


def packed(start, end, centre):
    """Returns the times of rows in few numbers where these are as good as all, else in lists.

    Args:
        start, end, centre: float64 (rows,), seconds, as in VideoFeatures.

    Returns:
        {"first", "step", "window", "centre", "last"}: row i is of [first + i step, first + i step + window]
        seconds, as far as that lies in [0, last], and its centre is `centre` behind its beginning; or {"start", "end",
        "centre"}, lists.
    """
    start, end, centre = (np.asarray(each, "float64") for each in (start, end, centre))
    rows = len(start)
    step = (centre[-1] - centre[0]) / (rows - 1) if rows > 1 else 0.0
    before, after = (centre - start).max(), (end - centre).max()
    few = {"first": centre[0] - before, "step": step, "window": before + after, "centre": before, "last": end.max()}
    for digits in (9, 12, 17):  # 0.16 rather than 0.16000000000000003
        line = {name: round(float(value), digits) + 0.0 for name, value in few.items()}  # and 0 rather than -0
        again = unpacked(line, rows)
        if all(np.abs(again[what] - each).max() <= CLOSE for what, each in zip(TIMES, (start, end, centre))):
            return line
    return {"start": start.tolist(), "end": end.tolist(), "centre": centre.tolist()}


def unpacked(record, rows):
    """Returns {"start", "end", "centre": float64 (rows,)} of what `packed` gave of so many rows.

    Raises:
        ValueError: lists of another length.
    """
    if isinstance(record["centre"], list):
        times = {what: np.asarray(record[what], "float64") for what in TIMES}
    else:
        begins = record["first"] + record["step"] * np.arange(rows)
        end = np.minimum(begins + record["window"], record["last"])
        times = {"start": np.maximum(begins, 0), "end": end, "centre": begins + record["centre"]}
    if any(each.shape != (rows,) for each in times.values()):
        raise ValueError(f"times of another number of rows than {rows}")
    return times


def restore(path, record, verify=True, wanted=None):
    """Returns the VideoFeatures of one video, from its JSON and its files; arrays of `.npy` stay on disk.

    Args:
        path: the JSON.
        record: what it holds.
        verify: whether the bytes of the files must have the sha256 that the JSON notes; their sizes and shapes must.
        wanted: streams; None for all.

    Raises:
        FeaturesError: a file that is not the JSON's own, or that cannot be read.
    """
    folder, pieces = os.path.dirname(os.fspath(path)), {}
    try:
        for name, file in record["files"].items():
            if name.startswith("/") or ".." in name.split("/"):
                raise ValueError(f"a file outside of its folder: {name[:80]!r}")
            if wanted is None or not set(wanted).isdisjoint(file["streams"]):
                arrays = _arrays(os.path.join(folder, name), file, record["channels"], verify)
                for stream, array in arrays.items():
                    pieces.setdefault(stream, {})[file["crop"]] = restored(array, file["axes"])
        streams = [stream for stream in record["rows"] if wanted is None or stream in wanted]
        found = {}
        for stream in streams:
            parts = [pieces[stream][crop] for crop in sorted(pieces[stream], key=lambda crop: crop or 0)]
            found[stream] = parts[0] if len(parts) == 1 else np.concatenate(parts)
            noted, (_, rows, *_, channels) = (record["rows"][stream], record["channels"][stream]), found[stream].shape
            if (rows, channels) != noted:
                raise ValueError(f"{rows} rows of {channels} channels of {stream}, where {noted} are noted")
        times = {stream: unpacked(record["times"][stream], record["rows"][stream]) for stream in streams}
        name = record["video"]["name"]
    except FeaturesError:
        raise
    except DAMAGE as error:
        reason = f"it has no {error}" if isinstance(error, KeyError) else one_line(error)
        raise FeaturesError(f"{path} and its files do not fit ({reason}). Make them again.") from error
    return VideoFeatures(
        video=name,
        arrays=found,
        **{what: {stream: times[stream][what] for stream in streams} for what in TIMES},
        **{key: record[key] for key in ("frames", "fps", "damaged", "cut_short", "notes")},
    )


def _arrays(path, file, channels, verify):
    """{stream: array in the file's axes} of one file, after it was compared with its entry in the JSON."""
    size = os.path.getsize(path)
    if size != file["bytes"]:
        raise FeaturesError(f"{path} has {size} bytes, and its JSON is of one of {file['bytes']}. Make both again.")
    if verify and sha256(path) != file["sha256"]:
        raise FeaturesError(f"{path} is not the file that its JSON describes: the sha256 differs. Make both again.")
    streams = file["streams"]
    if path.endswith(".npy"):
        array = np.load(path, mmap_mode="r", allow_pickle=False)
        if list(array.shape) != file["shape"] or array.dtype != np.float32:
            raise FeaturesError(f"{path} is {array.dtype} {array.shape}, and its JSON is of float32 {file['shape']}.")
        along = 0 if file["axes"] == "CT" else -1
        ends = np.cumsum([channels[stream] for stream in streams])
        if ends[-1] != array.shape[along]:
            raise ValueError(f"{array.shape[along]} channels, where {ends[-1]} are noted")
        return dict(zip(streams, np.split(array, ends[:-1], axis=along)))
    if path.endswith(".npz"):
        found = stored.read_npz(path)
        return {stream: found[stream] for stream in streams}
    with h5py.File(path, "r") as opened:
        stored.check_h5(opened, size)
        return {stream: opened[stream][()] for stream in streams}


def _writer(layout, arrays, times):
    """What writes a file of these arrays, {stream: array in the layout's axes}, and times, {stream: {what: array}}."""
    if layout.format == "npy":
        return _npy(joined(layout, arrays))
    named = {stream: np.ascontiguousarray(array, "float32") for stream, array in arrays.items()}
    # Of one stream, or where all streams have the same times, they need no stream's name.
    first, *others = times.values()
    alike = all(np.array_equal(first[what], other[what]) for other in others for what in TIMES)
    for stream, of_stream in times.items():
        named |= {what if alike else f"{stream}_{what}": np.asarray(of_stream[what], "float64") for what in TIMES}

    def npz(file):
        np.savez(file, **named)

    def h5(file):
        with h5py.File(file, "w") as opened:
            for name, array in named.items():
                opened.create_dataset(name, data=array, track_times=False)

    return npz if layout.format == "npz" else h5


def joined(layout, arrays):
    """Returns the streams of a file side by side, in the layout's order; float32."""
    along = 0 if layout.axes == "CT" else -1
    return np.concatenate(list(arrays.values()), axis=along, dtype="float32")


def _npy(array):
    # What lies in another order in memory would be written as "Fortran's", which not every reader of .npy knows.
    array = np.ascontiguousarray(array) if np.ndim(array) else np.asarray(array)
    return lambda file: np.save(file, array, allow_pickle=False)


def _write(path, writer):
    """Writes a file by what writes to an open one, whole or not at all; returns (how many bytes, their sha256)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic.replacing(path) as temporary:
        with open(temporary, "w+b") as file:
            writer(file)
        return os.path.getsize(temporary), sha256(temporary)


def _from(video, name):
    """The name of a file as it is seen from the folder of the video's JSON."""
    folder = video.rpartition("/")[0]
    return name[len(folder) + 1 :] if folder else name
