"""Damaged files by the thousand: each is read, or refused with an error of the package, in bounded time and memory.

  python tools/fuzz_files.py --seconds=300 --seed=0
  python tools/fuzz_files.py --seed=0 --case=1234 --output=folder    writes the files of one case

A case is one of a few small sound files, damaged: by bits, bytes, lengths and ends, or, where it is text or JSON, by
what it says. It is refused where a ValueError, FileNotFoundError or an error of the package of one line says so. Cases
are read in a process of their own with a limit on its memory, so that one that ends it, or never comes back, is found
too.
"""

import functools
import json
import pathlib
import random
import resource
import shutil
import struct
import sys
import tempfile
import zipfile

import fuzz_process

EXTREME = (0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 1 << 40, (1 << 63) - 1, (1 << 64) - 1)
VALUES = (
    None,
    True,
    -1,
    0,
    1.5,
    1 << 40,
    10**400,
    1e308,
    float("nan"),
    "",
    "x",
    "/etc/passwd",
    "\ud800",
    "a\nb",
    [],
    {},
)


def run(seconds, seed):
    """Reads damaged files for so many seconds; returns what `fuzz_process.counted` does."""
    return fuzz_process.counted("files", __file__, seconds, seed, KINDS, lambda _, case: kind_of(case))


@functools.cache
def sound():
    """Returns {kind: ({name: content} of sound files, ...)}."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="fuzz_files_"))
    try:
        return {kind: tuple(_contents(each) for each in make(folder / kind)) for kind, (make, _) in KINDS.items()}
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _contents(folder):
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.endswith(".sha256"))
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def _made(folder):
    folder.mkdir(parents=True)
    return folder


@functools.cache
def _model():
    from made import small_runs

    return small_runs.small("rgb")


def _network():
    """An I3D cut short, of few weights."""
    from made import tiny
    from made.tiny import i3d

    from keras_i3d import facts, specs

    tiny.shorten()
    made = i3d(classes=3, depth_multiplier=0.01, input_shape=(None, None, None, 3))
    return facts.note(made, facts.Facts("rgb", 3, ("a", "b", "c"), "softmax", 0.01, "float32", specs.CLIPS["rgb"]))


def make_weights(folder):
    from keras_i3d import facts
    from keras_i3d.weights import h5_files

    model = _network()
    h5_files.save_h5(model, _made(folder / "own") / "x.weights.h5", **facts.of(model).record())
    model.save_weights(_made(folder / "keras") / "x.weights.h5")
    return folder / "own", folder / "keras"


def read_weights(folder):
    import keras_i3d

    keras_i3d.I3D(weights=folder / "x.weights.h5", classes=None)


def make_keras(folder):
    _model().save(_made(folder / "small") / "x.keras")
    return (folder / "small",)


def read_keras(folder):
    from keras_i3d import networks

    networks.load(folder / "x.keras")


def make_checkpoints(folder):
    from made import synthetic

    from keras_i3d.models import families

    _network()
    shapes = synthetic.sonnet_shapes(families.find("I3D").layout(classes=3, depth_multiplier=0.01))
    synthetic.write(shapes, 1, _made(folder / "second") / "x")
    synthetic.write_first_format(shapes, 1, _made(folder / "first") / "x")
    return folder / "second", folder / "first"


def read_checkpoints(folder):
    from keras_i3d.weights import sources

    sources.find(folder / "x", "rgb").read()


def make_torch(folder):
    import numpy as np
    from made import torch_writer

    arrays = {"conv.weight": np.ones((2, 3, 1, 1, 2), "float32"), "bn.bias": np.float32([1, 2]), "n": np.int64([3])}
    saved = {"state_dict": {name: torch_writer.tensor(array) for name, array in arrays.items()}, "epoch": 3}
    contents = {
        "zip": torch_writer.zipped(saved),
        "legacy": torch_writer.legacy(saved),
        "pickle": torch_writer.python_2(arrays),
        "safetensors": torch_writer.safetensors(arrays),
        "params": torch_writer.params(arrays),
    }
    for name, content in contents.items():
        (_made(folder / name) / "x.pth").write_bytes(content)
    return tuple(folder / name for name in contents)


def read_torch(folder):
    from keras_i3d.weights import torch_files

    torch_files.read(folder / "x.pth")


def make_states(folder):
    import keras

    from keras_i3d.training.checkpoints import Checkpoints

    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    model.compile("sgd", "mse")
    model.optimizer.build(model.trainable_variables)
    Checkpoints(folder / "states", model).save(3, rows=[], best=None, dropped=[])
    return (folder / "states",)


def read_states(folder):
    from keras_i3d.training import checkpoints

    checkpoints.newest(folder)


def make_runs(folder):
    from made import small_runs

    recipe = {"steps": 4, "batch_size": 2, "learning_rate": 0.1}
    return (small_runs.run(folder / "run", "rgb", network=False, **recipe),)


def read_runs(folder):
    from keras_i3d import runs

    found = runs.read(folder)
    found.log(), found.facts.record()


def make_manifests(folder):
    from keras_i3d.records import manifest
    from keras_i3d.specs import RecordSpec

    shard = manifest.Shard("train-00000-of-00001.tfrecord", ("a", "b"), 100)
    failed = ({"id": "c", "path": "c.mp4", "reason": "none"},)
    made = manifest.Manifest("train", ("x", "y"), RecordSpec(), (shard,), failed=failed)
    made.write(_made(folder / "records"))
    return (folder / "records",)


def read_manifests(folder):
    from keras_i3d.records import build_state

    found = build_state.manifests(folder)
    [each.records for each in found]


def make_scores(folder):
    import numpy as np

    from keras_i3d.evaluation.scores import Scores

    logits = {stream: np.arange(12, dtype="float32").reshape(4, 3) for stream in ("rgb", "flow")}
    Scores(("a", "b", "c", "d"), np.arange(4) % 3, ("x", "y", "z"), logits, "whole", "test", "records").save(
        _made(folder / "scores") / "scores.npz"
    )
    return (folder / "scores",)


def read_scores(folder):
    from keras_i3d.evaluation import metrics, scores

    found = scores.read(folder / "scores.npz")
    found.counts(), found.name, metrics.chance(len(found.labels))


ANNOTATIONS = {
    "csv/x.csv": "path,label,start,end\na.mp4,x,0,1.5\nb.mp4,y,,\n",
    "bare/x.csv": "a.mp4,x\nb.mp4,y\n",
    "kinetics/x.csv": "label,youtube_id,time_start,time_end,split\nx,abcdefghijk,0,10,a\ny,bbcdefghijk,3,13,a\n",
    "ucf101/classInd.txt": "1 x\n2 y\n",
    "ucf101/trainlist01.txt": "x/a.avi 1\ny/b.avi 2\n",
    "hmdb51/x_test_split1.txt": "a.avi 1 \nb.avi 2 \n",
    "hmdb51/y_test_split1.txt": "c.avi 1 \nd.avi 0 \n",
    "folder/labels.txt": "x\ny\n",
}


def make_annotations(folder):
    for name, content in ANNOTATIONS.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
    return tuple(folder / kind for kind in dict.fromkeys(name.partition("/")[0] for name in ANNOTATIONS))


def read_annotations(folder):
    """Lists the videos by each reader that the files may be meant for."""
    from keras_i3d.records import annotations

    videos = folder.parent / f"{folder.name}.videos"
    for name in ("a.mp4", "b.mp4", "x/a.avi", "y/b.avi", "x/abcdefghijk_000000_000010.mp4", "bbcdefghijk.mp4"):
        (videos / name).parent.mkdir(parents=True, exist_ok=True)
        (videos / name).touch()
    try:
        if (folder / "classInd.txt").exists():
            annotations.ucf101(folder, videos)
        elif list(folder.glob("*_split1.txt")):
            annotations.hmdb51(folder, videos)
        elif (folder / "labels.txt").exists():
            annotations.folder(videos, labels=folder / "labels.txt")
        elif b"youtube" in (content := (folder / "x.csv").read_bytes()) or b"abcde" in content:
            annotations.kinetics(folder / "x.csv", videos)
        else:
            annotations.csv(folder / "x.csv", videos)
    finally:
        shutil.rmtree(videos)


def make_labels(folder):
    (_made(folder / "list") / "labels.txt").write_text("x\ny\nz\n", encoding="utf-8")
    return (folder / "list",)


def read_labels(folder):
    import numpy as np

    import keras_i3d

    keras_i3d.decode_predictions(np.full((1, 3), 1 / 3, "float32"), labels=folder / "labels.txt")


KINDS = {
    ".weights.h5": (make_weights, read_weights),
    ".keras": (make_keras, read_keras),
    "TensorFlow checkpoints": (make_checkpoints, read_checkpoints),
    "PyTorch's and related files": (make_torch, read_torch),
    "checkpoints of a run": (make_states, read_states),
    "run.json, log.csv": (make_runs, read_runs),
    "manifests": (make_manifests, read_manifests),
    "scores.npz": (make_scores, read_scores),
    "annotation files": (make_annotations, read_annotations),
    "labels.txt": (make_labels, read_labels),
}


def kind_of(case):
    """Returns the kind of a case: all by turns."""
    return list(KINDS)[case % len(KINDS)]


def damaged(seed, case):
    """Returns {name: content} of the files of one case."""
    rng = random.Random(f"{seed}/{case}")
    files = dict(rng.choice(sound()[kind_of(case)]))
    name = rng.choice(list(files))
    content, how = files[name], rng.random()
    if name.endswith(".json") and how < 0.7:
        content = _json_damaged(content, rng)
    elif zipfile.is_zipfile(_file(content)) and how < 0.6:
        content = _zip_damaged(content, rng)
    else:
        content = _bytes_damaged(content, rng)
    return {**files, name: content}


def _file(content):
    import io

    return io.BytesIO(content)


def _bytes_damaged(content, rng):
    data = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        at = rng.randrange(len(data) or 1)
        # Half of the damage is where headers and footers are.
        if rng.random() < 0.5:
            edge = min(at, rng.choice((16, 100, 1000)))
            at = edge if rng.random() < 0.5 else max(len(data) - 1 - edge, 0)
        size = min(rng.choice((1, 1, 2, 4, 16, 200)), len(data) - at)
        kind = rng.randrange(7)
        if kind == 0:
            data[at : at + size] = rng.randbytes(size)
        elif kind == 1 and data:
            data[at] ^= 1 << rng.randrange(8)
        elif kind == 2:
            data[at:at] = bytes(rng.choice((1, 4, 512)))
        elif kind == 3:
            width = rng.choice("IQ")
            data[at : at + (4 if width == "I" else 8)] = struct.pack(
                rng.choice("<>") + width, rng.choice(EXTREME) & ((1 << (32 if width == "I" else 64)) - 1)
            )
        elif kind == 4:
            del data[at : at + size]
        elif kind == 5:
            data[at:at] = data[at : at + size]
        else:
            data[at : at + size] = rng.choice((b"\0", b"\xff", b"\n", b",", b"-", b"9")) * size
    if rng.random() < 0.2:
        del data[rng.randrange(len(data) + 1) :]
    return bytes(data)


def _json_damaged(content, rng):
    """The same with values of other kinds and sizes, keys gone and nesting; or, rarely, with bytes that are no JSON."""
    found = json.loads(content)
    if rng.random() < 0.1:
        deep = rng.choice((100, 2000, 100_000))
        return rng.choice((b"[", b'{"a":')) * deep
    for _ in range(rng.choice((1, 1, 2, 4))):
        places = list(_places(found))
        if not places:
            break
        holder, key = rng.choice(places)
        kind = rng.randrange(4)
        if kind == 0 and isinstance(holder, dict):
            del holder[key]
        elif kind == 1:
            other, at = rng.choice(places)
            holder[key] = json.loads(json.dumps(other[at]))
        elif kind == 2 and isinstance(holder[key], int | float) and abs(holder[key]) < 1e300:
            holder[key] *= rng.choice((-1, 0, 1e-9, 1.5, 1000, 10**9))
        else:
            holder[key] = rng.choice(VALUES)
    return json.dumps(found).encode("utf-8", "surrogatepass")


def _places(value):
    """Yields (container, key) of everything in a JSON value."""
    for key in list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield value, key
        yield from _places(value[key])


def _zip_damaged(content, rng):
    """The same archive, its checksums right, with one member damaged."""
    target = _file(b"")
    with zipfile.ZipFile(_file(content)) as source, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        chosen = rng.choice(source.namelist())
        for name in source.namelist():
            member = source.read(name)
            if name == chosen:
                own_json = name.endswith(".json") and rng.random() < 0.8
                member = _json_damaged(member, rng) if own_json else _bytes_damaged(member, rng)
            archive.writestr(name, member)
    return target.getvalue()


def attempt(seed, case):
    """Returns (outcome, detail) of one case."""
    from keras_i3d.errors import KerasI3DError

    with tempfile.TemporaryDirectory(prefix="fuzz_files_") as folder:
        place = pathlib.Path(folder) / "case"
        write(damaged(seed, case), place)
        try:
            KINDS[kind_of(case)][1](place)
        except (KerasI3DError, ValueError, FileNotFoundError) as error:
            said = str(error)
            if type(error) not in (ValueError, FileNotFoundError) and not isinstance(error, KerasI3DError):
                return "else", f"{type(error).__name__}: {said[:300]}"
            if not said or len(said) > 6000 or "\n" in said:
                return "else", f"no line: {type(error).__name__}: {said[:300]!r}"
            return "refused", said
        except Exception as error:
            return "else", f"{type(error).__name__}: {str(error)[:300]}"
    return "answered", ""


def write(files, folder):
    """Writes {name: content} in a folder."""
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def prepare():
    """Reads a sound file of each kind, so that what frameworks take for themselves is taken; then limits memory."""
    for name in KINDS:
        with tempfile.TemporaryDirectory(prefix="fuzz_files_") as folder:
            write(sound()[name][0], pathlib.Path(folder) / "case")
            KINDS[name][1](pathlib.Path(folder) / "case")
    with open("/proc/self/statm", encoding="utf-8") as file:
        taken = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (taken + fuzz_process.LARGE, resource.RLIM_INFINITY))


def one(seed, case, output):
    """Returns what is said of one case; writes its files."""
    if output:
        write(damaged(seed, case), output)
    return kind_of(case), *attempt(seed, case)


if __name__ == "__main__":
    sys.exit(fuzz_process.command(__doc__, attempt, prepare, one, run))
