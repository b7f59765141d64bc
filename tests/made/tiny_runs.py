"""Runs of `tiny`'s network on its records: one recipe, and what a run wrote, read back."""

import csv
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


def train(records, output, recipe=RECIPE, **settings):
    settings = {"weights": None, "validation": f"{records}/test-*", "seed": 3, "progress": False, **settings}
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
    for path in sorted((output / "tensorboard").glob("*/events.out.tfevents.*")):
        head, *events = [tf.compat.v1.Event.FromString(r.numpy()) for r in tf.data.TFRecordDataset(str(path))]
        assert head.file_version == "brain.Event:2"
        for event in events:
            for value in event.summary.value:
                point = (event.step, value.simple_value, event.wall_time)
                found.setdefault((path.parent.name, value.tag), []).append(point)
    return found


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
