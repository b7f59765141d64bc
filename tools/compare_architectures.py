"""The I3D paper's Table 2 in small: trains its five architectures, and three that followed, on the demo's data.

  make compare

Every network is a quarter as wide as published, sees the same number of clips of the same generated videos, and is
trained by the settings of `make demo`. What differs is in `PLAN`. Each run is a process of its own, which gives its
peak memory, and a command that is printed before it runs. What is done is not done again: after Ctrl-C, or a kill, the
same command resumes. The tables are in tables.md and results.json, the figure in comparison.webp.
"""

import argparse
import csv
import dataclasses
import functools
import json
import os
import pathlib
import shlex
import signal
import subprocess
import sys
import time

import comparison_report
import demo_settings
import demo_videos

ROOT = pathlib.Path(__file__).resolve().parents[1]
TRAIN, TEST = 45, 12  # videos of each label
STEPS = 250  # 4,000 clips a network


@dataclasses.dataclass(frozen=True)
class Run:
    """One training.

    Attributes:
        name: of its folder.
        network: a row of `models.families`.
        stream: "rgb", "flow" or "both" in one tensor.
        settings: {field of the recipe: value} that differ from the demo's.
    """

    name: str
    network: str
    stream: str
    settings: dict = dataclasses.field(default_factory=dict)

    @property
    def clip(self):
        """(frames, frame_stride, size) of what it is trained on."""
        drawn = {**demo_settings.SETTINGS, **self.settings}
        return tuple(drawn[name] for name in ("clip_frames", "frame_stride", "size"))


@dataclasses.dataclass(frozen=True)
class Row:
    """A row of the table: a short label, a title, and the Runs that are evaluated together."""

    label: str
    title: str
    runs: tuple

    @property
    def name(self):
        return self.runs[0].name.partition("-")[0]


def _streams(name, network, **settings):
    return tuple(Run(f"{name}-{stream}", network, stream, settings) for stream in ("rgb", "flow"))


FRAME, STACK = {"clip_frames": 1, "frame_stride": 1}, {"clip_frames": 10, "frame_stride": 1}
PLAN = (
    Row("a", "(a) ConvNet+LSTM", (Run("a-rgb", "ConvNetLSTM", "rgb"),)),
    # The smallest frames that its fully connected layers take; the loader scales the records' frames up.
    Row("b", "(b) 3D-ConvNet", (Run("b-rgb", "C3D-bn", "rgb", {"size": 97}),)),
    Row(
        "c",
        "(c) Two-Stream",
        (
            Run("c-rgb", "InceptionV1", "rgb", FRAME),
            Run("c-flow", "InceptionV1-stack10", "flow", STACK),
            Run("c-both", "TwoStreamConvNet", "both", STACK),
        ),
    ),
    # Its 50 frames are a video of 32, looped.
    Row(
        "d",
        "(d) 3D-Fused",
        (Run("d-both", "FusedTwoStream", "both", {"clip_frames": 50, "frame_stride": 1}),),
    ),
    Row("e", "(e) Two-Stream I3D", _streams("e", "I3D")),
    Row("S3D", "S3D", _streams("s3d", "S3D")),
    Row("R(2+1)D", "R(2+1)D-18", _streams("r2plus1d", "R2Plus1D18")),
    Row("R50", "I3D-ResNet-50", (Run("r50-rgb", "I3DResNet50", "rgb", {"clip_frames": 8, "frame_stride": 4}),)),
)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", default="comparison", help="folder for all of it; what is done there stays")
    parser.add_argument("--steps", type=int, default=STEPS, help="updates of each network, of 16 clips")
    parser.add_argument("--seed", type=int, default=1, help="of the videos and of the training")
    parser.add_argument("--train", type=int, default=TRAIN, help="videos of each of the nine labels to train on")
    parser.add_argument("--test", type=int, default=TEST, help="held-out videos of each label")
    parser.add_argument("--only", default="", help="labels of rows, with commas, such as a,e,S3D; by default all")
    parser.add_argument("--report", action="store_true", help="trains nothing: the tables of what is there")
    asked = parser.parse_args()
    rows = _picked(asked.only)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    folder = pathlib.Path(asked.output).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    if not asked.report:
        _check_same(folder, {name: getattr(asked, name) for name in ("steps", "seed", "train", "test")})
        prepare(folder, asked)
        for row in rows:
            for run in row.runs:
                step(folder, run.name, *train_words(run, asked.steps, asked.seed))
            step(folder, f"scores-{row.name}", *evaluate_words(row))
    results = collected(folder, rows)
    comparison_report.write(folder, results)
    print(comparison_report.tables(results))
    print(f"\nAll in {results['seconds'] / 60:.0f} min. Look at {asked.output}/comparison.webp and tables.md.")


def _picked(only):
    labels = [label for label in only.split(",") if label]
    unknown = set(labels) - {row.label for row in PLAN}
    if unknown:
        sys.exit(f"--only takes of {','.join(row.label for row in PLAN)}. Received: {only}")
    return [row for row in PLAN if row.label in labels or not labels]


def _check_same(folder, asked):
    """A folder is of one comparison: notes what was asked first, and stops for anything else."""
    noted = folder / "asked.json"
    before = _read(noted) or asked
    if before != asked:
        said = " and ".join(", ".join(f"{name}={value}" for name, value in each.items()) for each in (before, asked))
        sys.exit(f"A comparison resumes with the arguments it began with. Received: {said}. Choose another --output.")
    _write(noted, asked)


def prepare(folder, asked):
    """Makes the demo's videos and their records."""
    for split, videos, seed in (("train", asked.train, asked.seed), ("test", asked.test, asked.seed + 1000)):
        noted = folder / "steps" / f"videos-{split}.json"
        if not _read(noted):
            began = time.perf_counter()
            demo_videos.make(folder / "videos" / split, videos, seed)
            _write(noted, {"seconds": time.perf_counter() - began, "done": True})
        words = f"--source=videos/{split}", f"--split={split}", "--output=records"
        step(folder, f"records-{split}", "records", *words, f"--short_side={demo_settings.SHORT_SIDE}")


def train_words(run, steps, seed):
    """Returns the words of `keras-i3d` that train a Run; no validation, since all are evaluated afterwards."""
    settings = {**demo_settings.of_steps(steps), **run.settings, "reference_batch": "none"}
    settings |= {"validate_every": steps, "save_every": 100}  # one epoch, over which speed is averaged
    return (
        "train", "--records=records/train-*", f"--model={run.network}", f"--stream={run.stream}", "--recipe=original",
        "--weights=none", f"--seed={seed}", f"--output=runs/{run.name}",
        *(f"--set={name}={value}" for name, value in settings.items()),
    )  # fmt: skip


def evaluate_words(row):
    """Returns the words of `keras-i3d` that evaluate the Runs of a Row, and fuse them, on whole held-out videos."""
    streams = (f"--{run.stream}=runs/{run.name}" for run in row.runs)
    return ("evaluate", "--records=records/test-*", *streams, f"--output=scores/{row.name}", "--noreport")


def step(folder, name, *words):
    """Runs one command of keras-i3d, unless it has been; notes its seconds, over all its starts, and peak memory."""
    noted = folder / "steps" / f"{name}.json"
    before = _read(noted)
    if before.get("words") != list(words):
        before = {}
    if before.get("done"):
        return
    print(f"\n$ keras-i3d {shlex.join(words)}", flush=True)
    status, seconds, memory = _measured([sys.executable, "-m", "keras_i3d", *words], folder)
    seconds, memory = seconds + before.get("seconds", 0), max(memory, before.get("memory", 0))
    _write(noted, {"words": words, "seconds": seconds, "memory": memory, "done": status == 0})
    if status:
        sys.exit("Stopped: the same command resumes." if status == 130 else f"keras-i3d ended with {status}")
    print(f"({seconds:.0f} s, {memory / 1e9:.2f} GB at most)", flush=True)


def _measured(command, folder):
    """Runs a command in a folder; returns its exit status, seconds, and the most bytes of memory that it had."""
    began, processes = time.perf_counter(), []

    def stop(signum, frame):
        del frame
        if signum == signal.SIGTERM:  # Ctrl-C reaches both
            processes[0].terminate()

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        paths = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
        processes.append(subprocess.Popen(command, cwd=folder, env={**os.environ, "PYTHONPATH": paths}))
        _, status, usage = os.wait4(processes[0].pid, 0)
        processes[0].returncode = os.waitstatus_to_exitcode(status)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    unit = 1 if sys.platform == "darwin" else 1024
    return processes[0].returncode, time.perf_counter() - began, usage.ru_maxrss * unit


def collected(folder, rows):
    """Returns what `results.json` holds: of each Row accuracies, here and published, and of each Run what it took.

    What is not there yet is None.
    """
    return {
        **_read(folder / "asked.json"),
        "batch_size": demo_settings.SETTINGS["batch_size"],
        "labels": len(demo_videos.LABELS),
        "videos": _test_videos(folder),
        "seconds": sum(_read(path)["seconds"] for path in (folder / "steps").glob("*.json")),
        "cores": os.cpu_count(),
        "rows": [
            {
                "label": row.label,
                "title": row.title,
                "accuracy": _accuracies(folder / "scores" / row.name),
                "published": published(row),
                "runs": [_costs(folder, run) for run in row.runs],
            }
            for row in rows
        ],
    }


def _test_videos(folder):
    for path in (folder / "scores").glob("*/results.json"):
        return _read(path)["videos"]
    return None


def _accuracies(folder):
    """{"rgb", "flow", "both": top-1 in [0, 1] or None} of an evaluation; both by a network of both, or by fusion."""
    found = {name: metrics["top1"] for name, metrics in _read(folder / "results.json").get("metrics", {}).items()}
    return {"rgb": found.get("rgb"), "flow": found.get("flow"), "both": found.get("both", found.get("fused"))}


def published(row):
    """Returns {stream: top-1 in percent} of the networks of a Row, as their own rows have it."""
    from keras_i3d.models import families

    accuracies = {}
    for run in row.runs:
        known = families.find(run.network).accuracy
        accuracies |= {stream: known[stream][0] for stream in (run.stream, "both") if stream in known}
    return accuracies


def _costs(folder, run):
    from keras_i3d.models import families

    family, noted = families.find(run.network), _read(folder / "steps" / f"{run.name}.json")
    clip, frames, settings = family.clips[run.stream], run.clip[0], demo_settings.SETTINGS
    here = counts(run.network, run.stream, frames, run.clip[2], len(demo_videos.LABELS), settings["depth_multiplier"])
    full = counts(run.network, run.stream, clip.frames, clip.crop, family.classes, 1.0)
    return {
        "name": run.name,
        "network": run.network,
        "stream": run.stream,
        "clip": list(run.clip),
        "parameters": here[0],
        "macs": here[1],
        "clips_per_second": _clips_per_second(folder / "runs" / run.name / "log.csv") if noted.get("done") else None,
        "memory": noted.get("memory"),
        "seconds": noted.get("seconds"),
        "full_size": {"clip": [clip.frames, clip.frame_stride, clip.crop], "parameters": full[0], "macs": full[1]},
    }


@functools.cache
def counts(network, stream, frames, size, classes, depth_multiplier):
    """Returns (trainable parameters, multiply-adds of a clip) of a network."""
    from keras_i3d.models import counting, families
    from keras_i3d.models.family import without_memory
    from keras_i3d.specs import INPUT_CHANNELS

    shape = frames, size, size, INPUT_CHANNELS[stream]
    settings = {"stream": stream, "classes": classes, "depth_multiplier": depth_multiplier}

    def read():
        model = families.find(network).build(input_shape=shape, **settings)
        return counting.parameters(model), counting.multiply_adds(model)

    return without_memory(read)


def _clips_per_second(log):
    """Of the last epoch, which is all of a run that was not interrupted."""
    with open(log, newline="", encoding="utf-8") as file:
        return float(list(csv.DictReader(file))[-1]["clips_per_second"])


def _read(path):
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def _write(path, content):
    from keras_i3d import atomic

    path.parent.mkdir(exist_ok=True)
    atomic.write_text(path, json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
