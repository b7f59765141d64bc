"""Fine-tuning a converted checkpoint at full width, from the command line: what is frozen, and what is not."""

import numpy as np
import pytest
from made import synthetic, tiny

from keras_i3d import cli, runs
from keras_i3d.models.inception import HEAD
from keras_i3d.weights import h5_files
from keras_i3d.weights.by_name import layer_weights

LABELS = ("up", "down", "left", "right", "still")
SMALL = ("batch_size=5", "reference_batch=none", "steps=3", "boundaries=2", "rates=0.001", "clip_frames=16", "size=32")


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["fixed", "full-ft"])
def test_fine_tuning_a_checkpoint_to_five_classes(recipe, tmp_path):
    """Compared with the values that the checkpoint was written from, bit by bit, and variable by variable."""
    checkpoint = synthetic.write(synthetic.sonnet_shapes(synthetic.i3d_shapes()), 7, tmp_path / "model.ckpt")
    for split, videos in (("train", 10), ("test", 5)):
        tiny.write(tmp_path, split, videos, frames=16, labels=LABELS)
    records = [f"--records={tmp_path}/train-*", f"--validation={tmp_path}/test-*", f"--weights={checkpoint}"]
    settings = [f"--set={setting}" for setting in SMALL]
    assert cli.main(["train", *records, f"--recipe={recipe}", f"--output={tmp_path / 'run'}", *settings]) == 0

    last = layer_weights(runs.load_model(tmp_path / "run"))
    for after in (last, h5_files.read_h5(tmp_path / "run/best.weights.h5")):
        assert [array.shape for array in after[HEAD]] == [(1, 1, 1, 1024, 5), (5,)]
        names = iter(synthetic.sonnet_shapes({n: [a.shape for a in arrays] for n, arrays in after.items()}))
        pairs = [(next(names), layer, array) for layer, arrays in after.items() for array in arrays]
        same = {
            name: np.array_equal(array.view("uint32"), synthetic.weight(name, array.shape, 7).view("uint32"))
            for name, layer, array in pairs
            if layer != HEAD
        }
        assert len(same) == 57 * 4  # kernels, offsets, moving means, moving variances
        assert set(same.values()) == {recipe == "fixed"}
