"""Runs of `tiny`'s network on its records: one recipe, and what a run wrote, read back."""

import csv
import dataclasses
import shutil

import numpy as np
import tensorflow as tf

from keras_i3d import training
from keras_i3d.training.run_writer import RunWriter

RECIPE = training.Recipe(
    steps=7, batch_size=4, learning_rate=0.05, depth_multiplier=0.125, clip_frames=9, size=32, save_every=2,
    precision="float32", clip_norm=5.0, warmup_steps=2, boundaries=(5,), rates=(0.01,), weight_decay=1e-4,
    color_jitter=0.2, short_sides=(32, 40),
)  # fmt: skip

# All at once.
ALL = {
    "optimizer": "adamw", "learning_rate": 0.01, "schedule": "cosine", "final_rate": 0.001, "boundaries": (),
    "rates": (), "layer_decay": 0.7, "train_from": "Mixed_3b", "unfreeze": ((4, "all"),), "ema": 0.9,
    "precise_bn": 2, "patience": 9,
    "accumulate": 2, "label_smoothing": 0.1, "weight_decay": 0.05, "short_sides": None, "area": (0.5, 1.0),
    "aspect": (0.5, 2.0), "reverse": 0.5, "mixup": 0.4, "balance": "equal",
}  # fmt: skip
EVERYTHING = dataclasses.replace(RECIPE, **ALL)


def train(records, output, recipe=RECIPE, **settings):
    usual = {"weights": None, "validation": f"{records}/test-*", "seed": 3, "progress": False, "pictures": 0}
    settings = {**usual, **settings}
    return training.train(f"{records}/train-*", output, recipe=recipe, **settings)


def leave(monkeypatch, output, step):
    """Has the run in `output` leave a copy of its folder after a step: what is on disk if it is killed then."""
    whole = RunWriter.on_train_batch_end

    def end(self, batch, logs=None):
        whole(self, batch, logs)
        if self.step == step:
            shutil.copytree(output, left_at(output, step))

    monkeypatch.setattr(RunWriter, "on_train_batch_end", end)


def left_at(output, step):
    """The copy that `leave` made."""
    return output.with_name(f"{output.name}_left_at_{step}")


def state(output):
    """{name: array} of the newest checkpoint."""
    newest = sorted((output / "checkpoints").glob("*.npz"))[-1]
    with np.load(newest) as file:
        return {name: file[name] for name in file.files if name != "about"}


def losses(output):
    """What the log of a run says, but for times."""
    rows = csv.DictReader((output / "log.csv").open())
    return [[row[name] for name in ("step", "loss", "top1", "val_loss")] for row in rows]


def curves(output):
    """{(part, curve): [(step, value, time)]} of a run's TensorBoard logs, read back by TensorFlow."""
    found = {}
    for part, event, value in _values(output):
        if not value.HasField("image"):
            found.setdefault((part, value.tag), []).append((event.step, value.simple_value, event.wall_time))
    return found


def images(output):
    """{(part, tag): [(step, the message of the image)]} of the same logs."""
    found = {}
    for part, event, value in _values(output):
        if value.HasField("image"):
            found.setdefault((part, value.tag), []).append((event.step, value.image))
    return found


def _values(output):
    for path in sorted((output / "tensorboard").glob("*/events.out.tfevents.*")):
        head, *events = [tf.compat.v1.Event.FromString(r.numpy()) for r in tf.data.TFRecordDataset(str(path))]
        assert head.file_version == "brain.Event:2"
        for event in events:
            yield from ((path.parent.name, event, value) for value in event.summary.value)


def logged(output):
    """The same from its log.csv."""
    found = {}
    for row in csv.DictReader((output / "log.csv").open()):
        for name, value in row.items():
            if value and name not in ("epoch", "step", "time"):
                part = ("validation", name[4:]) if name.startswith("val_") else ("train", name)
                point = (int(row["step"]), float(np.float32(value)), float(row["time"]))
                found.setdefault(part, []).append(point)
    return found
