"""What a run says before its first step: the plan, and lines on clips that are few, mirrored or on both sides."""

import dataclasses

import pytest
from made import tiny
from made.tiny_runs import RECIPE, train

from keras_i3d import cli, recipes
from keras_i3d.data import record_files
from keras_i3d.records import manifest
from keras_i3d.specs import RecordSpec
from keras_i3d.training import data_warnings, run_plan
from keras_i3d.training.step_memory import StepMemory


@pytest.fixture(scope="module")
def counted(tmp_path_factory):
    """Records whose manifest says their classes, of which the validation lacks one."""
    folder = tmp_path_factory.mktemp("counted")
    for split, videos in (("train", 13), ("test", 2)):
        tiny.write(folder, split, videos)
        found = manifest.read(folder / f"{split}.json")
        (shard,) = found.shards
        ids = [f"v_Left_g0{i}_c01.avi" if i < 2 else id for i, id in enumerate(shard.ids)]
        shard = dataclasses.replace(shard, ids=tuple(ids), classes=tuple((i % 3,) for i in range(videos)))
        dataclasses.replace(found, shards=(shard,)).write(folder)
    return folder


@pytest.mark.usefixtures("short")
def test_the_command_prints_it_and_writes_nothing(counted, tmp_path, capsys):
    words = ["train", f"--records={counted}/train-*", f"--validation={counted}/test-*", "--weights=none", "--plan"]
    words += ["--set=clip_frames=9", "--set=size=32", "--set=precision=float32", "--set=depth_multiplier=0.125"]
    assert cli.main([*words, f"--output={tmp_path / 'run'}"]) == 0
    said, lines = capsys.readouterr(), {}
    for line in said.out.splitlines():
        lines[line[:15].strip()] = line[15:].strip()
    assert f"plan of {tmp_path / 'run'}: I3D, rgb, float32" in said.out
    assert lines["data"] == "13 clips of 3 classes (4 to 5 a class, median 4), 2 for validation"
    assert "    left       5, 1 for validation\n    right      4, 1 for validation\n    still" in said.out
    assert lines["steps"] == "5,000 of 2 clips: 769 passes"
    assert lines["rate"] == "0.000208, 2.08e-05 from step 3,500, 2.08e-06 from step 4,500, sgd"
    assert lines["validation"] == "every 46 steps (7.1 passes)"
    assert lines["clips of"].startswith("9 frames, 25 fps, short side 32, crop 32")
    assert lines["memory"].startswith("about 0.3 GB for the step, ")
    assert [line for line in said.err.splitlines() if "keras_i3d: " in line] == [
        "keras_i3d: the recipe for a batch of at most a quarter of 13 clips: batch_size 2 instead of 96, learning_rate "
        "0.000208 instead of 0.01, rates (2.08e-05, 2.08e-06) instead of (0.001, 0.0001). --set=FIELD=VALUE "
        "(settings={FIELD: VALUE}) sets any of them",
        "keras_i3d: half of the clips are mirrored (flip), and left, right may not look alike in a mirror. If so: "
        '--set=flip=false (settings={"flip": False})',
        "keras_i3d: fewer than 5 clips to learn from in right (4), still (4)",
        "keras_i3d: the validation has no clip of still: its accuracy says nothing of them",
        "keras_i3d: 2 source videos have clips in training and validation both, such as v_Left_g00_c01.avi and "
        "v_Left_g00_c01.avi: the accuracy will be too good. `keras-i3d records --split=...` keeps them apart",
    ]
    assert not (tmp_path / "run").exists()


@pytest.mark.usefixtures("short")
def test_memory_that_cannot_fit_is_refused_before_anything_is_written(records, tmp_path, monkeypatch):
    monkeypatch.setattr(run_plan.StepMemory, "total", lambda *_: 1e15)
    with pytest.raises(Exception, match="A training step must fit into memory: about 1000000 GB with 1 clip"):
        train(records, tmp_path / "run", dataclasses.replace(RECIPE, accumulate=None))
    assert not (tmp_path / "run").exists()


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize("settings", [{"balance": "foo"}, {"repeats": 3}, {"erase": 2.0}, {"aspect": (0.5, 2.0)}])
def test_settings_of_clips_are_refused_before_anything_is_written(settings, records, tmp_path):
    with pytest.raises(ValueError, match=f"Received: .*{next(iter(settings))}="):
        train(records, tmp_path / "run", RECIPE, settings=settings)
    assert not (tmp_path / "run").exists()


def test_the_text_of_a_large_run():
    """Of 101 classes, several devices, and a learning rate that rises and falls."""
    recipe = dataclasses.replace(
        recipes.find("full-ft"), clip_frames=64, size=224, precision="mixed_float16", accumulate=1, remat=True,
        schedule="cosine", boundaries=(), rates=(), warmup_steps=100, validate_every=100,
    )  # fmt: skip
    data = run_plan.DataPlan("ucf101", 9537, {str(i): 90 + i % 9 for i in range(101)})
    clip = RecordSpec(flow_method="tvl1").clip("rgb", crop=224, frames=64)
    memory = StepMemory(7e8, 4e8, 4e7, 1e8, 5e7, 1e9)
    text = str(run_plan.RunPlan("runs/a", "I3D", "rgb", clip, recipe, (data,), memory, None, True, 4, 50))
    for line in (
        "  data ucf101  9,537 clips of 101 classes (90 to 98 a class, median 94), no validation",
        "  steps        5,000 of 96 clips: 50 passes, 24 on each of 4 devices, activations computed twice (remat); "
        "50 are done",
        "  rate         0.01, after a rise over 100 steps, half a cosine to 0, sgd",
        "  memory       about 17 GB of the GPU, how much is free is not known here",
    ):
        assert line in text.splitlines()
    assert "validation  " not in text


def test_words_that_a_mirror_changes():
    names = [
        "turn left",
        "LeftHand",
        "Right",
        "spin_clockwise",
        "anticlockwise",
        "leftover",
        "bright",
        "counter-clockwise",
    ]
    assert data_warnings.sided(names) == ["turn left", "LeftHand", "Right", "spin_clockwise", "anticlockwise",
                                          "counter-clockwise"]  # fmt: skip


def test_nothing_is_said_of_what_is_in_order(counted, tmp_path, capsys):
    tiny.write(tmp_path, "train", 15, labels=("up", "down", "still"))
    unflipped = dataclasses.replace(recipes.find("full-ft"), flip=False)
    source = record_files.find(f"{tmp_path}/train-*")
    data_warnings.warn(run_plan.of_data("", source), dataclasses.replace(unflipped, flip=True, batch_size=15), source)
    source = record_files.find(f"{counted}/train-*")
    data_warnings.warn(run_plan.DataPlan("", 96), unflipped, source)
    assert "keras_i3d: " not in capsys.readouterr().err.replace(
        "keras_i3d: the classes of 1 files of records are read", ""
    )
