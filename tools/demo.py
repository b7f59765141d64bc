"""The whole of it on a small scale: makes videos, learns them in both streams, evaluates, exports, classifies.

  make demo

Every step but the first is a command that it prints before it runs it: from the demo's folder the same commands do
the same by hand. What it finds is in results.json, the pictures and the report next to it.
"""

import json
import pathlib
import shlex
import shutil
import sys
import time

import demo_settings
import demo_videos
from absl import app, flags, logging

from keras_i3d import paths

_OUTPUT = flags.DEFINE_string("output", "demo", "Folder for all of it; emptied first.")
_TRAIN = flags.DEFINE_integer("train", 45, "Videos of each of the nine labels to train on.", lower_bound=2)
_TEST = flags.DEFINE_integer("test", 12, "Held-out videos of each label.", lower_bound=1)
_STEPS = flags.DEFINE_integer("steps", 380, "Updates of each stream.", lower_bound=1)
_SEED = flags.DEFINE_integer("seed", 1, "Of the videos and of the training.")

LEARNED = "learned"  # the folder of `learn` in the demo's


def run(*words):
    """Runs one command of keras-i3d, printed as one would type it."""
    from keras_i3d import cli

    print(f"\n$ keras-i3d {shlex.join(map(str, words))}", flush=True)
    began = time.perf_counter()
    status = cli.main([str(word) for word in words])
    if status:
        sys.exit(status)
    print(f"({time.perf_counter() - began:.0f} s)", flush=True)


def main(argv):
    del argv
    logging.set_verbosity(logging.WARNING)  # app.run turns every library's notes on, which are not the demo's
    began = time.perf_counter()
    folder = pathlib.Path(_OUTPUT.value).resolve()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    with paths.inside(folder):
        print(f"In {_OUTPUT.value}/: {9 * _TRAIN.value} videos to train on, {9 * _TEST.value} held out, nine labels.")
        demo_videos.make("videos/train", _TRAIN.value, seed=_SEED.value)
        demo_videos.make("videos/test", _TEST.value, seed=_SEED.value + 1000)
        settings = {"reference_batch": "none", "validate_every": max(_STEPS.value // 4, 1)}
        settings |= demo_settings.of_steps(_STEPS.value)
        run(
            "learn", "videos", f"--output={LEARNED}", "--weights=none", "--recipe=original", f"--seed={_SEED.value}",
            *(f"--set={name}={value}" for name, value in settings.items()),
        )  # fmt: skip
        run("show", f"{LEARNED}/records/test-*", "--record=0", "--output=clip.png")
        models = [f"--{stream}={LEARNED}/runs/{stream}/model.keras" for stream in ("rgb", "flow")]
        run("classify", "videos/test/disc slides/000.mp4", *models, "--top=3")
        results = _results()
        pathlib.Path("results.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    print(f"\nAccuracy on {results['n']} held-out videos (chance {results['chance']:.1%}):")
    for name in ("rgb", "flow", "fused"):
        print(f"  {name:6} {results[name]:.1%}")
    report = f"{_OUTPUT.value}/{LEARNED}/report/report.html"
    print(f"All in {time.perf_counter() - began:.0f} s. Look at {report} and {_OUTPUT.value}/clip.png.")
    print("Try your own video: .venv/bin/keras-i3d classify VIDEO (fetches the published weights at first use)")
    print("Learn your own videos: .venv/bin/keras-i3d learn FOLDER --output=DIR (docs/learn.md)")


def _results():
    found = json.loads(pathlib.Path(LEARNED, "report/results.json").read_text(encoding="utf-8"))
    accuracies = {name: metrics["top1"] for name, metrics in found["metrics"].items()}
    return {**accuracies, "chance": found["chance"], "n": found["videos"]}


if __name__ == "__main__":
    app.run(main)
