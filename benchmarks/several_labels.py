"""Several labels a video, with and without their times: average precision next to chance and to answers that know.

  python benchmarks/several_labels.py --output=FOLDER [--seeds=3] [--steps=200] [--labellings=timed,multi]

The videos of tools/label_videos.py, 160 to learn from and 60 to test, are made once, as records with the times of the
labels (`timed`) and as records of the same videos with the labels alone (`multi`). I3D an eighth as wide is trained
from nothing on all 48 frames. Runs of one seed begin with the same weights.

The table has what `keras-i3d evaluate` measures of the last weights: mAP of 25 moments of each video by the protocol of
Charades, and mAP of whole videos. Next to it stand chance, which is the share of moments or videos that have a label,
and an answer that knows: for each row of logits of the network the share of its frames that show the label, put between
the rows and over the video as the network's logits are. It is not 1 where a row is too long to tell.

Two roads must agree, or the script ends with an AssertionError: `val_map` of the last step of training, and the same of
the saved weights: of `multi` by `evaluate --protocol=views:1x1`, of `timed` of all frames by the rows of `model.keras`.

A run that was stopped resumes when the same command is given again, and one that has ended is read, not repeated.
FOLDER/results.json has the figures.
"""

import argparse
import json
import os
import pathlib
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "tools"))

import demo_settings  # noqa: E402
import label_videos  # noqa: E402
import numpy as np  # noqa: E402
import short_runs  # noqa: E402

SPLITS = {"train": (160, 1), "test": (60, 1001)}  # {split: (videos, seed)}
SETTINGS = {"depth_multiplier": 0.125, "clip_frames": label_videos.FRAMES, "frame_stride": 1}
NEAR = 0.005  # of two roads
COLUMNS = {
    "timed": {
        "frame_ap": "25 moments",
        "mean_ap": "videos, by the mean over time",
        "peak_ap": "videos, by the maximum",
    },
    "multi": {"mean_ap": "videos"},
}


def settings_of(steps):
    """{field: value} of a run."""
    settings = demo_settings.of_steps(steps) | SETTINGS
    return settings | {"reference_batch": None, "validate_every": -(-steps // 4), "save_every": 100}


def made_records(folder, labelling):
    """Makes the videos and their records where they are not there; returns the folder of the records."""
    records = folder / f"records-{labelling}"
    for split, (count, seed) in SPLITS.items():
        if not (records / f"{split}.json").is_file():
            videos = folder / f"videos-{labelling}/{split}"
            label_videos.make(videos, count, seed, timed=labelling == "timed")
            words = [f"--annotations={videos}/labels.csv", f"--labelling={labelling}", "--flow_method=none"]
            short_runs.build(f"csv:{videos}", records, split, *words)
    return records


def known_rows(shown, rows, step, window):
    """Rows of logits of an answer that knows: float64 (rows, classes), the share of a row's frames with each label.

    Args:
        shown: bool (frames, classes), what each frame shows.
        rows, step, window: how many rows, and which frames each is made of, as of `keras_i3d.time_steps`.
    """
    return np.stack([shown[row * step : (row + window) * step].mean(axis=0) for row in range(rows)])


def known_metrics(truths, labels):
    """The LabelMetrics of that answer, of videos of label_videos' length, {id: Truth}."""
    from keras_i3d import time_steps
    from keras_i3d.evaluation import label_metrics
    from keras_i3d.evaluation.truths import moments
    from keras_i3d.models.families import find

    family, frames = find("I3D"), label_videos.FRAMES
    places = np.arange(frames)
    found = {"y": [], "y_frames": [], "scores": [], "frames": [], "peaks": []}
    for truth in truths.values():
        shown = np.zeros((frames, labels), bool)
        for label, start, end in truth.segments:
            shown[(start <= places * 1e6 / label_videos.FPS) & (places * 1e6 / label_videos.FPS < end), label] = True
        rows = known_rows(shown, frames // family.step - family.window + 1, family.step, family.window)
        found["y"].append(truth.y(labels))
        found["y_frames"].append(truth.y_of_moments(labels))
        found["scores"].append(rows.mean(axis=0))
        at = moments(truth.seconds) * label_videos.FPS
        found["frames"].append(time_steps.at(rows, at, family.step, family.window))
        found["peaks"].append(time_steps.at(rows, places, family.step, family.window).max(axis=0))
    found = {name: np.stack(values) for name, values in found.items()}
    return label_metrics.measure(
        found["scores"], found["y"], None, None, found["frames"], found["y_frames"], found["peaks"]
    )


def map_of_frames(model, records):
    """`val_map` by another road: average precision over all frames, by the rows of a saved network."""
    from keras_i3d import average_precision, data, networks, time_steps

    network = networks.load(model)
    rows_of, clip, family = network.to_rows(), network.clip, network.family
    read = {"clip_frames": clip.frames, "size": clip.crop, "frame_stride": clip.frame_stride, "batch_size": 12}
    scores, truths = [], []
    for x, y in data.load(records, stream=network.stream, **read).as_numpy_iterator():
        rows = np.float32(rows_of.predict_on_batch(x)).reshape(len(x), -1, y.shape[-1])
        matrix = time_steps.matrix(y.shape[1], rows.shape[1], family.step, family.window)
        scores.append(np.einsum("fr,brc->bfc", matrix, rows).reshape(-1, y.shape[-1]))
        truths.append(y.reshape(-1, y.shape[-1]))
    return average_precision.mean(average_precision.average_precision(np.concatenate(scores), np.concatenate(truths)))


def run(records, output, labelling, seed, steps):
    """Trains, or resumes, or reads a run, and evaluates it: the figures of the table, and both roads to `val_map`."""
    from keras_i3d import evaluation

    test = f"{records}/test-*"
    words = {"stream": "rgb", "recipe": "original", "seed": seed, "settings": settings_of(steps), "pictures": 0}
    log, minutes = short_runs.trained(output, f"{records}/train-*", test, **words)
    maps = short_runs.validated(log, "val_map")
    protocol = "whole" if labelling == "timed" else "views:1x1"
    found = evaluation.evaluate(test, rgb=output / "model.keras", protocol=protocol).metrics["rgb"]
    other = map_of_frames(output / "model.keras", test) if labelling == "timed" else found.mean_ap
    if abs(maps[-1] - other) > NEAR:
        raise AssertionError(f"{output}: val_map {maps[-1]} in training, {other} of the saved weights")
    figures = {name: getattr(found, name) for name in COLUMNS[labelling]}
    return {**figures, "val_map": maps, "other road": other, "minutes": minutes}


def bounds(records, labelling):
    """({column: chance}, {column: of the answer that knows}) of the test videos."""
    from keras_i3d import data
    from keras_i3d.evaluation import label_metrics, truths

    source = data.find(f"{records}/test-*")
    known = truths.read(source, len(source.labels))
    y = np.stack([truth.y(len(source.labels)) for truth in known.values()])
    if labelling == "multi":
        return {"mean_ap": label_metrics.chance(y).mean_ap}, {"mean_ap": 1.0}
    y_frames = np.stack([truth.y_of_moments(len(source.labels)) for truth in known.values()])
    chance, best = label_metrics.chance(y, y_frames), known_metrics(known, len(source.labels))
    return tuple({name: getattr(each, name) for name in COLUMNS[labelling]} for each in (chance, best))


def table(found):
    """The lines of a table of {labelling: {"runs": [the figures of each seed], "chance": , "known": of `bounds`}}."""
    head = ("labels", "mAP of", "runs", "chance", "trained", "an answer that knows")
    rows = []
    for labelling, part in found.items():
        for name, title in COLUMNS[labelling].items():
            values = [each[name] for each in part["runs"]]
            chance, known = (f"{part[which][name]:.3f}" for which in ("chance", "known"))
            rows.append((labelling, title, len(values), chance, short_runs.spread(values, 1, 3), known))
    return short_runs.table(head, rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", required=True, help="folder of the videos, records and runs")
    parser.add_argument("--seeds", type=int, default=3, help="runs of each labelling")
    parser.add_argument("--steps", type=int, default=200, help="updates of each run")
    parser.add_argument("--labellings", default="timed,multi", help="which, with commas")
    asked = parser.parse_args()
    folder = pathlib.Path(asked.output).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    from keras_i3d import atomic

    found = {}
    for seed in range(asked.seeds):
        for labelling in asked.labellings.split(","):
            records = made_records(folder, labelling)
            if labelling not in found:
                chance, known = bounds(records, labelling)
                found[labelling] = {"runs": [], "chance": chance, "known": known}
            output = folder / f"{labelling}-{asked.steps}-{seed}"
            result = run(records, output, labelling, seed, asked.steps)
            found[labelling]["runs"].append(result)
            print(f"{output.name}: {json.dumps(result)}", flush=True)
        atomic.write_text(folder / "results.json", json.dumps({"steps": asked.steps, **found}, indent=1) + "\n")
    print("\n".join(["", *table(found)]))


if __name__ == "__main__":
    main()
