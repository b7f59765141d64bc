"""The whole of it on a small scale: makes videos, builds records, trains both streams, evaluates, classifies.

  make demo

Every step but the first is a command that it prints before it runs it: from the demo's folder the same commands do
the same by hand. What it finds is in results.json, the pictures and the report next to it.
"""

import contextlib
import json
import os
import pathlib
import shlex
import shutil
import sys
import time

import demo_settings
import demo_videos
from absl import app, flags, logging

_OUTPUT = flags.DEFINE_string("output", "demo", "Folder for all of it; emptied first.")
_TRAIN = flags.DEFINE_integer("train", 45, "Videos of each of the nine labels to train on.", lower_bound=2)
_TEST = flags.DEFINE_integer("test", 12, "Held-out videos of each label.", lower_bound=1)
_STEPS = flags.DEFINE_integer("steps", 380, "Updates of each stream.", lower_bound=1)
_SEED = flags.DEFINE_integer("seed", 1, "Of the videos and of the training.")


def run(*words):
    """Runs one command of keras-i3d, printed as one would type it."""
    from keras_i3d import cli

    print(f"\n$ keras-i3d {shlex.join(map(str, words))}", flush=True)
    began = time.perf_counter()
    status = cli.main([str(word) for word in words])
    if status:
        sys.exit(status)
    print(f"({time.perf_counter() - began:.0f} s)", flush=True)


def train(stream):
    settings = demo_settings.of_steps(_STEPS.value)
    run(
        "train", "--records=records/train-*", "--validation=records/test-*", f"--stream={stream}", "--recipe=original",
        "--weights=none", f"--seed={_SEED.value}", f"--output=runs/{stream}", "--set=reference_batch=none",
        f"--set=validate_every={max(_STEPS.value // 4, 1)}",
        *(f"--set={name}={value}" for name, value in settings.items()),
    )  # fmt: skip


def main(argv):
    del argv
    logging.set_verbosity(logging.WARNING)  # app.run turns every library's notes on, which are not the demo's
    began = time.perf_counter()
    folder = pathlib.Path(_OUTPUT.value).resolve()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    with _inside(folder):
        print(f"In {_OUTPUT.value}/: {9 * _TRAIN.value} videos to train on, {9 * _TEST.value} held out, nine labels.")
        demo_videos.make("videos/train", _TRAIN.value, seed=_SEED.value)
        demo_videos.make("videos/test", _TEST.value, seed=_SEED.value + 1000)
        for split in ("train", "test"):
            side = f"--short_side={demo_settings.SHORT_SIDE}"
            run("records", f"--source=videos/{split}", f"--split={split}", "--output=records", side)
        run("show", "records/test-*", "--record=0", "--output=clip.png")
        for stream in ("rgb", "flow"):
            train(stream)
        run("evaluate", "--records=records/test-*", "--rgb=runs/rgb", "--flow=runs/flow", "--output=report")
        held_out = "videos/test/disc slides/000.mp4"
        run("classify", held_out, "--rgb=runs/rgb", "--flow=runs/flow", "--top=3")
        results = _results()
        pathlib.Path("results.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    print(f"\nAccuracy on {results['n']} held-out videos (chance {results['chance']:.1%}):")
    for name in ("rgb", "flow", "fused"):
        print(f"  {name:6} {results[name]:.1%}")
    print(f"All in {time.perf_counter() - began:.0f} s. Look at {_OUTPUT.value}/report/report.html and clip.png.")
    print("Try your own video: .venv/bin/keras-i3d classify VIDEO (fetches the published weights at first use)")


def _results():
    found = json.loads(pathlib.Path("report/results.json").read_text(encoding="utf-8"))
    accuracies = {name: metrics["top1"] for name, metrics in found["metrics"].items()}
    return {**accuracies, "chance": found["chance"], "n": found["videos"]}


@contextlib.contextmanager
def _inside(folder):
    before = os.getcwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


if __name__ == "__main__":
    app.run(main)
