"""What `learn` chooses, from numbers alone."""

import dataclasses

import pytest

from keras_i3d.learning import budgeting, choosing
from keras_i3d.learning.choices import Asked, Machine, Network, as_typed, seconds_of
from keras_i3d.learning.surveying import Part, Survey

LABELS = ("jump", "run", "wave")
# I3D: 108e9 multiply-adds and 1.4 GB for 64 x 224 x 224.
VOLUME = 64 * 224 * 224
NETWORK = Network("I3D", ("rgb", "flow"), 1.0, 108e9 / VOLUME, 1.4e9 / VOLUME, 0.5e9, "why these")
CPU = Machine("2 cores", 2, 16e9, 1e-10, 20.0, 1.5e-6)
GPU = Machine("this GPU", 16, 70e9, 2e-13, 20.0, 1.5e-6)


def survey(counts=(20, 20, 20), seconds=4.0, size=(240, 320), **facts):
    part = Part("videos", sum(counts), tuple(counts), sum(counts) * seconds)
    known = {
        "parts": {"": part}, "labels": LABELS, "labelling": "single", "seconds": (seconds, seconds), "size": size,
        "unreadable": (), "sources": tuple(counts), "same_labels": True, "example": "videos/jump/0.mp4",
    }  # fmt: skip
    return Survey(**{**known, **facts})


def divided(**parts):
    made = {split: Part(f"videos/{split}", 3 * each, (each,) * 3, 12.0 * each) for split, each in parts.items()}
    return survey(parts=made)


def choose(found, machine=CPU, network=NETWORK, **asked):
    asked = Asked("videos", **asked)
    return choosing.choose(found, asked, network, machine)


def test_a_fast_machine_takes_clips_as_the_weights_were_trained():
    chosen = choose(survey(), GPU)
    assert chosen.recipe == "modern-finetune"
    assert {name: chosen.settings[name] for name in ("clip_frames", "frame_stride", "size", "batch_size")} == {
        "clip_frames": "64", "frame_stride": "1", "size": "208", "batch_size": "8",
    }, "240 pixels are enough for 208"  # fmt: skip
    assert "passes" not in chosen.settings, "the recipe's own"
    assert chosen.short_side == 238
    assert chosen.streams == ("rgb", "flow")
    assert not chosen.left_out


def clip(chosen):
    return tuple(int(chosen.settings[name]) for name in ("clip_frames", "frame_stride", "size"))


def test_a_slow_machine_takes_smaller_clips_and_says_why():
    chosen = choose(survey(), CPU)
    assert clip(chosen) == (16, 4, 160), "16 frames that span as much as 64"
    assert sum(chosen.seconds.values()) < budgeting.BOUND
    said = "clip: 16 frames, 4 apart, of 160 x 160 pixels; larger ones take more than 2 h 0 min on 2 cores"
    assert said in chosen.said
    slower = choose(survey(), dataclasses.replace(CPU, step=4 * CPU.step))
    assert clip(slower) == (16, 4, 112)
    assert sum(slower.seconds.values()) > budgeting.BOUND, "nobody said how long: the recipe's passes stay"
    assert "passes" not in slower.settings
    assert clip(choose(survey(), dataclasses.replace(CPU, step=CPU.step / 4))) == (64, 1, 160)


def test_the_time_bounds_all_of_it():
    found = {minutes: choose(survey(), CPU, seconds=60.0 * minutes) for minutes in (300, 150, 60, 30, 20)}
    assert all(sum(chosen.seconds.values()) <= 60 * minutes for minutes, chosen in found.items())
    assert [clip(chosen) for chosen in found.values()] == [(32, 2, 160), (16, 4, 160), *[(16, 4, 112)] * 3]
    assert [chosen.streams for chosen in found.values()] == [("rgb", "flow")] * 4 + [("rgb",)]
    assert [chosen.left_out for chosen in found.values()] == [
        *[()] * 3,
        ("44% of the recipe's passes are left out",),
        ("flow is left out", "17% of the recipe's passes are left out"),
    ]  # fmt: skip
    assert [chosen.settings.get("passes") for chosen in found.values()] == [None, None, None, "22.4", "33"]
    assert "training: 118 updates, which are 22.5 passes over 42 videos; what the time allows" in found[30].said
    assert "streams: rgb; what the time allows" in found[20].said
    assert "streams: rgb and flow; why these" in found[30].said
    with pytest.raises(ValueError, match=r"must fit into the time. Received: time=5m, and at least \d.* for rgb, "):
        choose(survey(), CPU, seconds=300.0)
    with pytest.raises(ValueError, match="for rgb and flow, clips of 16 frames"):
        choose(survey(), CPU, seconds=60.0 * 20, stream="both")
    long = choose(survey(), CPU, seconds=60.0 * 40, settings=(("passes", "400"),))
    assert long.settings["passes"] == "400", "what the user sets stays"
    assert [line for line in long.left_out if line.startswith("with your number of updates all takes ")]
    needed = sum(long.seconds.values())
    assert not choose(survey(), CPU, seconds=needed + 1, settings=(("passes", "400"),)).left_out, "it fits"


def test_memory_bounds_a_clip():
    small = dataclasses.replace(GPU, memory=3e9)
    chosen = choose(survey(), small)
    volume = int(chosen.settings["clip_frames"]) * int(chosen.settings["size"]) ** 2
    assert 4 * volume * NETWORK.memory + NETWORK.weights <= 0.85 * 3e9
    assert any(line.startswith("clip: ") and "3.0 GB of memory are free" in line for line in chosen.said)
    with pytest.raises(ValueError, match=r"must fit into memory. Received: 0.6 GB free, and clips of at least 16 fram"):
        choose(survey(), dataclasses.replace(GPU, memory=0.6e9))


def test_short_and_small_videos():
    chosen = choose(survey(seconds=1.3, size=(64, 80)), GPU, dataclasses.replace(NETWORK, width=0.25), weights=None)
    assert {name: chosen.settings[name] for name in ("clip_frames", "frame_stride", "size", "depth_multiplier")} == {
        "clip_frames": "32", "frame_stride": "1", "size": "56", "depth_multiplier": "0.25",
    }  # fmt: skip
    assert chosen.short_side == 64
    assert chosen.recipe == "modern-scratch"
    assert choose(survey(size=(64, 80)), GPU).settings["size"] == "112", "weights have seen nothing smaller"


def test_without_weights_a_network_is_narrow_for_few_videos():
    width = lambda counts, **asked: choosing.width(survey(counts), Asked("videos", **asked))[0]  # noqa: E731
    assert width((20,) * 3, weights=None) == 0.25
    assert width((5000,) * 3, weights=None) == 0.5
    assert width((50_000,) * 3, weights=None) == 1.0
    assert width((20,) * 3) == 1.0
    assert width((20,) * 3, weights=None, settings=(("depth_multiplier", "0.7"),)) == 0.7


def test_splits_by_the_rarest_class():
    assert choose(survey()).fractions == "train:0.7,validation:0.1,test:0.2"
    few = choose(survey((20, 20, 9)))
    assert few.fractions == "train:0.8,test:0.2"
    assert few.splits == {"train": "train", "test": "test"}
    one_film = survey((20, 20, 20), sources=(20, 20, 2))
    assert choose(one_film).fractions == "train:0.8,test:0.2", "ten parts of two videos are two videos"
    given = choose(divided(train=20, test=5))
    assert (given.fractions, given.splits) == ("", {"train": "train", "test": "test"})
    assert choose(divided(train=20, val=5)).splits == {"train": "train", "test": "val"}
    whole = choose(divided(train=20, val=5, test=6)).splits
    assert whole == {"train": "train", "validation": "val", "test": "test"}


def test_classes_that_call_for_something():
    uneven = choose(survey((30, 10, 10)), recipe="full-ft", settings=(("steps", "50"),))
    assert uneven.settings["balance"] == "sqrt"
    assert "balance: sqrt; classes have 10 to 30 videos" in uneven.said
    assert "balance" not in choose(survey((30, 10, 10))).settings, "its recipe has it"
    assert "balance" not in choose(survey((20, 10, 10)), recipe="full-ft", settings=(("steps", "50"),)).settings
    sided = choose(survey(labels=("wave left", "run", "jump")))
    assert sided.settings["flip"] == "false"
    mine = choose(survey(labels=("wave left", "run", "jump")), settings=(("flip", "true"),))
    assert mine.settings["flip"] == "true"
    timed = choose(survey(labelling="timed"))
    assert (timed.recipe, timed.settings["mixup"]) == ("modern-finetune", "0")
    assert choosing.recipe_name(survey((5000,) * 3, labelling="timed"), Asked("videos"))[0] == "charades"


def test_recipes():
    name = lambda **asked: choosing.recipe_name(survey(), Asked("videos", **asked))[0]  # noqa: E731
    assert [name(weights=weights) for weights in ("kinetics", "runs/rgb", "imagenet", None)] == [
        "modern-finetune", "modern-finetune", "modern-scratch", "modern-scratch",
    ]  # fmt: skip
    assert name(recipe="fixed") == "fixed"


def test_batch_and_validations():
    chosen = choose(survey((7, 7, 7)))
    assert chosen.settings["batch_size"] == "4", "17 are trained on"
    many = choose(survey((300,) * 3), GPU)
    clips, updates = 630, -(-40 * 630 // 16)
    assert many.settings["validate_every"] == str(max(-(-clips // 16), -(-updates // 10)))
    drawn_often = choose(survey((300,) * 3), GPU, settings=(("repeats", "8"),))
    assert drawn_often.settings["validate_every"] == str(8 * clips // 16)
    assert choose(survey(), settings=(("batch_size", "6"),)).settings["batch_size"] == "6"
    parts = choose(survey((8, 8, 8)), settings=(("accumulate", "8"),))
    assert parts.settings["batch_size"] == "8", "it divides into them"


def test_nothing_is_measured_where_nothing_depends_on_it():
    settings = (("clip_frames", "16"), ("size", "56"), ("steps", "380"))
    assert choosing.is_settled(Asked("videos", settings=settings))
    assert not choosing.is_settled(Asked("videos", settings=settings, seconds=60.0))
    assert not choosing.is_settled(Asked("videos", settings=settings[:2]))
    chosen = choose(survey(), None, settings=settings)
    assert (chosen.settings["frame_stride"], chosen.settings["steps"], chosen.seconds) == ("4", "380", {})


def test_times():
    assert [seconds_of(text) for text in ("20m", "90s", "2h", "1h30m", "1.5H", " 1m30s ")] == [
        1200, 90, 7200, 5400, 5400, 90,
    ]  # fmt: skip
    for text in ("20", "", "m", "20 minutes", "0s", "1.2.3m", "-5m"):
        with pytest.raises(ValueError, match="A time is given as 20m"):
            seconds_of(text)
    typed = ("20m", "2h", "1h30m", "1m30s", "45s", "1h0.5s")
    assert tuple(as_typed(seconds_of(text)) for text in typed) == typed


def test_what_cannot_be_asked():
    with pytest.raises(ValueError, match="A recipe has no learning_rat"):
        Asked("videos", settings=(("learning_rat", "1"),))
    with pytest.raises(ValueError, match="recipe must be one of"):
        Asked("videos", recipe="best")
    with pytest.raises(ValueError, match="stream must be one of"):
        Asked("videos", stream="sound")
