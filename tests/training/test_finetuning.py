"""Fine-tuning a converted checkpoint at full width, from the command line: what is frozen, and what is not."""

import dataclasses

import numpy as np
import pytest
from made import ported, synthetic, tiny

from keras_i3d import cli, networks, runs
from keras_i3d.models.inception import HEAD
from keras_i3d.recipes import find as find_recipe
from keras_i3d.training import run_start
from keras_i3d.weights import h5_files, torch_files
from keras_i3d.weights.by_name import layer_weights
from keras_i3d.weights.originals import catalogue

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


def test_a_file_is_read_once_and_its_licence_stays_with_the_run(tmp_path, monkeypatch, capsys):
    """A start says each line once; what is trained from the file, and from that, names the licence and its source."""
    tiny.shorten(monkeypatch)
    licence = "CC-BY-NC-4.0, if piergiaj published it"
    codes = [dataclasses.replace(each, licence=licence) for each in catalogue.ORIGINALS if each.name == "piergiaj"]
    monkeypatch.setattr(catalogue, "ORIGINALS", codes)
    reads, read = [], torch_files.read
    monkeypatch.setattr(torch_files, "read", lambda path: reads.append(path) or read(path))
    for split in ("train", "test"):
        tiny.write(tmp_path, split, 4)
    path = ported.write(tmp_path / "mine.pt", 157)
    words = ["train", f"--records={tmp_path}/train-*", f"--validation={tmp_path}/test-*", f"--weights={path}"]
    words += [f"--set={setting}" for setting in (*SMALL, "batch_size=4", "clip_frames=9")]
    assert cli.main([*words, f"--output={tmp_path / 'run'}"]) == 0
    lines = capsys.readouterr().err.splitlines()
    assert len(reads) == 1
    assert len(set(lines)) == len(lines)
    assert f"keras_i3d: {path} is under {licence}: no commercial use" in lines

    made_of = f", from piergiaj's mine.pt, sha256 {h5_files.download.sha256(path)}"
    run = runs.read(tmp_path / "run")
    assert (run.facts.licence, run.facts.source) == (licence, f"training run run{made_of}")
    for name in ("", "model.keras", "best.weights.h5"):
        network = networks.load(tmp_path / "run" / name)
        assert network.facts.licence == licence
        assert capsys.readouterr().err.count(f" is under {licence}: no commercial use") == 1
    moved = (tmp_path / "run/best.weights.h5").rename(tmp_path / "moved.weights.h5")
    known = networks.load(moved).facts
    assert known.licence == licence
    assert known.source.endswith(made_of)
    for start in (tmp_path / "run", moved):
        again, _ = run_start.settled(f"{tmp_path}/train-*", None, None, start, 0, find_recipe("fixed"), None)
        assert again.weights_licence == licence
        assert again.weights_source.endswith(made_of)
