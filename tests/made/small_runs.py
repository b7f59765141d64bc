"""Folders as `keras-i3d train` leaves them, with tiny models that were never trained."""

import json

import keras
import numpy as np

from keras_i3d import runs
from keras_i3d.models.blocks import ClipCheck
from keras_i3d.models.inception import HEAD
from keras_i3d.specs import CHANNELS
from keras_i3d.weights import h5_files
from made.tiny import i3d

LABELS = ("left", "right", "up")
SPEC = {"fps": 25, "short_side": 40, "quality": 95, "flow_method": "dis", "flow_bound": 20.0, "flow_scheme": "exact"}


def model(stream, seed=0, classes=3):
    """I3D of the least width, its head with a bias, so that it passes for trained and classes differ."""
    keras.utils.set_random_seed(seed)
    made = i3d(stream=stream, classes=classes, depth_multiplier=0.01, input_shape=(None, None, None, CHANNELS[stream]))
    head = made.get_layer(HEAD)
    kernel, bias = head.get_weights()
    draw = np.random.default_rng(seed)
    head.set_weights([draw.normal(0, 3, kernel.shape), draw.normal(0, 0.1, bias.shape)])
    return made


def small(stream, frames=None, size=None):
    """A network of one layer that has I3D's names, for what only needs a network that tells clips apart."""
    clip = keras.Input((frames, size, size, CHANNELS[stream]), name=stream)
    x = keras.layers.AveragePooling3D((4, 8, 8))(ClipCheck(1, 1)(clip))
    draw = np.random.default_rng(5)
    x = keras.layers.Conv3D(len(LABELS), (2, 3, 3), padding="same", name=HEAD)(x)
    x = keras.layers.GlobalAveragePooling3D(name="Logits")(x)
    made = keras.Model(clip, keras.layers.Softmax(name="Predictions")(x), name=f"small_{stream}")
    made.set_weights([draw.normal(0, 1, weight.shape) for weight in made.get_weights()])
    return made


def run(folder, stream, seed=0, labels=LABELS, spec=None, best_seed=None, network=True, more=None, **recipe):
    """Writes a run with `model(stream, seed)`, or without a model, and settings of a recipe; returns its folder.

    `more` is what else its `run.json` says.
    """
    folder.mkdir(parents=True)
    usual = {
        "steps": 50,
        "batch_size": 2,
        "learning_rate": 0.1,
        "clip_frames": 9,
        "frame_stride": 1,
        "size": 32,
        "depth_multiplier": 0.01,
        "precision": "float32",
    }
    recipe = usual | recipe
    content = {
        "records": "data/train*", "validation": None, "stream": stream, "weights": None, "seed": seed, "recipe": recipe,
        "spec": {**SPEC, **(spec or {})}, "labels": labels, "clips": 12, "version": "0.1.0", **(more or {}),
    }  # fmt: skip
    (folder / "run.json").write_text(json.dumps(content))
    (folder / "labels.txt").write_text("".join(f"{label}\n" for label in labels))
    rows = ["epoch,step,loss,top1,top5,val_loss,val_top1,val_top5,clips_per_second,waiting"]
    rows += [f"{i},{i * 10},{2 / i},{1 - 0.5 / i},1,{2.2 / i},{1 - 0.6 / i},1,3.5,0.1" for i in range(1, 6)]
    (folder / "log.csv").write_text("\n".join(rows) + "\n")
    if network:
        model(stream, seed, len(labels)).save(folder / "model.keras")
    if best_seed is not None:
        facts = runs.read(folder).facts.record()
        h5_files.save_h5(model(stream, best_seed, len(labels)), folder / "best.weights.h5", **facts)
    return folder
