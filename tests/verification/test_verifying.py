"""`verify` against a small mirror: sound, and with one fault of each kind, which its own check has to find."""

import dataclasses
import errno
import json
import os
import types

import numpy as np
import pytest
from made import published, small_records, synthetic

from keras_i3d import cli
from keras_i3d.errors import WeightsUnreachableError
from keras_i3d.frechet import Gaussian, LogitNetwork, frechet_distance
from keras_i3d.specs import RecordSpec
from keras_i3d.verification import (
    accuracy_checks,
    distance_checks,
    published_values,
    sample_answers,
    verify,
    verifying,
)
from keras_i3d.weights import cache, download, registry


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """(mirror, its own published values)."""
    folder = tmp_path_factory.mktemp("published") / "mirror"
    folder.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KERAS_HOME", str(folder.with_name("home")))
        return folder, published.write(folder, patch)


@pytest.fixture
def mirror(sound, tmp_path, monkeypatch):
    """A copy of the mirror in use; `published.use` takes the hashes of what a test changes in it."""
    folder, values = sound
    folder = published.copied(folder, tmp_path / "user's mirror")
    published.use(folder, monkeypatch)
    for name, value in values.items():
        monkeypatch.setattr(published_values, name, value)
    return folder


def names(outcomes):
    return {outcome.check.name for outcome in outcomes}


def test_sound_then_from_the_cache_alone(mirror, tmp_path, monkeypatch, capsys):
    """Every check runs, and those of files again without the mirror; the report tells nothing of the user."""
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cli.main(["verify", f"--output={tmp_path / 'report.md'}"]) == 0
    printed = capsys.readouterr().out.splitlines()
    files = {f"files.{name}" for name in ("rgb_imagenet", "flow_imagenet", "rgb_scratch", "kinetics400")}
    files |= {f"files.sample_{stream}{what}" for stream in ("rgb", "flow") for what in ("", "_values")}
    logits = {f"logits.{name}.{what}" for name in ("rgb", "flow", "sum") for what in ("norm", "top5", "labels")}
    logits |= {f"logits.{name}.probabilities" for name in ("rgb", "flow", "sum")}
    assert {line.split()[2] for line in printed[:-1]} == files | logits | {"fvd.noise", "fvd.solid"}
    assert printed[-1] == "22 checks: 22 as expected, 0 deviating, 0 skipped"
    report = (tmp_path / "report.md").read_text()
    for part in ("| fvd.noise | as expected |", "- keras: ", "Python: ", "processor: ", "universome", "git blob"):
        assert part in report, part
    digest = download.sha256(mirror / registry.SAMPLE["rgb"].path)
    assert f"| data/v_CricketShot_g04_c01_rgb.npy | {digest} |" in report
    assert str(tmp_path) not in report
    monkeypatch.setenv("KERAS_I3D_MIRROR", "http://127.0.0.1:9")  # where nobody is
    assert cli.main(["verify", "--offline", "--only=files", f"--output={tmp_path / 'report.json'}"]) == 0
    record = json.loads((tmp_path / "report.json").read_text())
    assert record["counts"] == {"as expected": 8, "deviation": 0, "skipped": 0}
    assert str(tmp_path) not in json.dumps(record)


CHANGED = {
    "rgb_imagenet": "data/checkpoints/rgb_imagenet/model.ckpt.index",
    "flow_imagenet": "data/checkpoints/flow_imagenet/model.ckpt.data-00000-of-00001",
    "rgb_scratch": "data/checkpoints/rgb_scratch/model.ckpt.data-00000-of-00001",
    "kinetics400": "data/label_map.txt",
    "sample_rgb": "data/v_CricketShot_g04_c01_rgb.npy",
    "sample_flow": "data/v_CricketShot_g04_c01_flow.npy",
}


@pytest.mark.parametrize("what", CHANGED)
def test_one_byte_of_a_file(what, mirror):
    path = mirror / CHANGED[what]
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    found = verify("files")
    wrong = {f"files.{what}"}
    if what == "kinetics400":  # the weights' own list
        wrong |= {"files.rgb_imagenet", "files.flow_imagenet", "files.rgb_scratch"}
    assert names(found.of("deviation")) == wrong
    assert "git blob id is" in found.of("deviation")[0].note
    assert names(found.of("skipped")) == ({f"files.{what}_values"} if "sample" in what else set())
    assert not found.passed


def test_one_byte_of_the_cache(mirror):
    assert verify("files").passed
    for path in (cache.place("rgb_scratch"), download.cache_folder() / CHANGED["sample_flow"]):
        content = bytearray(path.read_bytes())
        content[-9] ^= 1
        path.write_bytes(content)
    found = verify("files", offline=True)
    assert names(found.of("deviation")) == {"files.rgb_scratch", "files.sample_flow"}
    assert verify("files").passed  # fetched again


def test_labels_in_another_order(mirror, monkeypatch):
    path = mirror / CHANGED["kinetics400"]
    path.write_text("".join(reversed(path.read_text().splitlines(keepends=True))))
    published.use(mirror, monkeypatch)
    found = verify("logits")
    assert names(found.of("deviation")) == {f"logits.{name}.labels" for name in ("rgb", "flow", "sum")}
    assert found.counts["skipped"] == 0


def test_swapped_streams(mirror, monkeypatch):
    for stream, other in (("rgb", "flow"), ("flow", "rgb")):
        published.save_sample(mirror, stream, synthetic.clip(published.SHAPES[other], 1))
    published.use(mirror, monkeypatch)
    found = verify("logits")
    assert names(found.of("deviation")) == {"files.sample_rgb_values", "files.sample_flow_values"}
    assert len(found.of("skipped")) == 12
    assert "(1, 12, 32, 32, 2) of floats in [-1, 1] (expected (1, 12, 32, 32, 3)" in str(found)


def test_a_sample_that_was_not_scaled_or_is_another(mirror, monkeypatch):
    sample = synthetic.clip(published.SHAPES["rgb"], 3)
    published.save_sample(mirror, "rgb", (sample + 1) * 127.5)
    published.save_sample(mirror, "flow", synthetic.clip(published.SHAPES["flow"], 77))
    published.use(mirror, monkeypatch)
    found = verify("logits")
    assert "files.sample_rgb_values" in names(found.of("deviation"))
    assert {"logits.rgb.norm", "logits.flow.top5", "logits.sum.norm"} <= names(found.of("deviation"))


def test_weights_of_the_other_stream(mirror, monkeypatch):
    for ending in ("index", "data-00000-of-00001"):
        ours, theirs = (mirror / f"data/checkpoints/{name}_imagenet/model.ckpt.{ending}" for name in ("rgb", "flow"))
        ours.write_bytes(theirs.read_bytes())
    published.use(mirror, monkeypatch)
    found = verify("logits")
    assert names(found.of("deviation")) == {"files.rgb_imagenet"}
    assert names(found.of("skipped")) >= {"logits.rgb.norm", "logits.sum.norm"}
    assert found.of("skipped")[0].note == "needs files.rgb_imagenet, which deviates"
    assert "logits.flow.norm" in names(found.of("as expected"))


@pytest.mark.parametrize(
    ("key", "wrong"),
    [
        (("kinetics", "rgb"), "logits.rgb"),
        pytest.param(("kinetics-scratch", "rgb"), "fvd", marks=pytest.mark.slow),
    ],
)
def test_a_network_that_is_one_percent_off(key, wrong, mirror, monkeypatch):
    import tensorflow as tf

    prefix = mirror / registry.CHECKPOINTS[key].index.path.removesuffix(".index")
    reader = tf.train.load_checkpoint(str(prefix))
    values = {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}
    values = {name: value * (1.01 if "Logits" in name else 1) for name, value in values.items()}
    for path in prefix.parent.iterdir():
        path.unlink()
    synthetic.save({name: np.float32(value) for name, value in values.items()}, prefix)
    published.use(mirror, monkeypatch)
    found = verify("logits" if wrong != "fvd" else "fvd")
    deviating = names(found.of("deviation"))
    if wrong == "fvd":
        assert deviating == {"fvd.noise", "fvd.solid"}
    else:
        assert deviating >= {"logits.rgb.norm", "logits.rgb.top5", "logits.sum.norm"}
        assert {"logits.rgb.labels", "logits.flow.norm", "files.rgb_imagenet"} <= names(found.of("as expected"))


def test_nothing_there_is_not_passed(mirror, capsys, monkeypatch):
    assert cli.main(["verify", "--offline"]) == 1
    printed = capsys.readouterr().out
    assert "22 checks: 0 as expected, 0 deviating, 22 skipped\nskipped: files.rgb_imagenet, " in printed
    assert "nothing was compared" in printed
    monkeypatch.setenv("KERAS_I3D_MIRROR", "http://anna:secret@127.0.0.1:9")
    monkeypatch.setattr(download.time, "sleep", lambda seconds: None)
    assert cli.main(["verify", "--only=files", "--json"]) == 1
    out, err = capsys.readouterr()
    assert len([line for line in err.splitlines() if line.startswith("error: Cannot fetch http://")]) == 1
    assert "The same command resumes." in err
    assert "secret" not in out + err
    assert "127.0.0.1" not in out
    assert "$KERAS_I3D_MIRROR" in out
    found = json.loads(out)
    assert found["passed"] is False
    assert found["counts"]["skipped"] == 8


@pytest.mark.parametrize("part", ["data/v_CricketShot_g04_c01_flow.npy", "data/checkpoints/rgb_scratch"])
def test_a_mirror_of_a_part(part, mirror):
    path = mirror / part
    for file in path.iterdir() if path.is_dir() else [path]:
        file.unlink()
    found = verify("files")
    assert len(found.unreachable) == 1
    assert not found.passed
    wanted = {"files.rgb_scratch"} if "scratch" in part else {"files.sample_flow", "files.sample_flow_values"}
    assert names(found.of("skipped")) == wanted
    assert not found.of("deviation")


@pytest.mark.parametrize("fault", ["no mirror", "no cache", "full", "full when converted"])
def test_what_cannot_be_kept_here_is_no_deviation(fault, mirror, tmp_path, monkeypatch):
    """It says nothing of the published files; each was a DEVIATION, or the end of the command."""

    def full(*arguments, **settings):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(tmp_path / "x.h5"))

    if fault == "no mirror":
        monkeypatch.setenv("KERAS_I3D_MIRROR", "ftp://x/y")
    elif fault == "no cache":
        (tmp_path / "file").touch()
        monkeypatch.setenv("KERAS_HOME", str(tmp_path / "file"))
    elif fault == "full":
        monkeypatch.setattr(download.shutil, "copyfile", full)
    else:
        monkeypatch.setattr(cache, "write_h5", full)
    found = verify("logits" if "converted" in fault else "files")
    assert not found.of("deviation")
    assert not found.passed
    assert names(found.of("skipped")) >= {"files.rgb_imagenet", "files.flow_imagenet"}
    said = {
        "no mirror": "KERAS_I3D_MIRROR is an http",
        "no cache": "Cannot write in the cache folder",
        "full": "The disk is full",
        "full when converted": "the disk is full. Free some space",
    }[fault]
    assert said in found.unreachable[0]
    assert said in str(found)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"only": "log"}, "one of files, logits, fvd, accuracy. Received: only='log'. Leave only= out"),
        ({"only": []}, "Received: only=''"),
        ({"only": "accuracy"}, "The group accuracy takes records="),
        ({"records": "x"}, "Received: records= alone"),
        ({"rgb": "kinetics"}, "Received: weights alone"),
        ({"only": "logits", "records": "x", "rgb": "kinetics"}, "records= is for the group accuracy"),
        ({"protocol": "three"}, "A protocol is"),
        ({"records": "/nowhere", "rgb": "kinetics"}, "No files of records"),
        ({"output": "report.txt"}, "ends in .md or .json"),
        ({"output": "/nowhere/report.md"}, "The folder of a report must be there"),
    ],
)
def test_what_cannot_be_asked(arguments, message):
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        verify(**arguments)


@pytest.mark.parametrize(("only", "wanted"), [(["files", "accuracy"], verifying.PUBLISHED), ("fvd", ["fvd"])])
def test_whose_files_are_checked(only, wanted, monkeypatch):
    asked = []
    monkeypatch.setattr(verifying.file_checks, "checks", lambda files, groups: asked.append(groups) or [])
    monkeypatch.setattr(verifying.distance_checks, "checks", lambda *arguments: [])
    monkeypatch.setattr(verifying.accuracy_checks, "checks", lambda *arguments: [])
    monkeypatch.setattr(verifying.record_files, "find", lambda records: None)
    verify(only, **({"records": "x", "rgb": "kinetics"} if "accuracy" in only else {}))
    assert asked == [wanted]


def test_accuracy_is_judged_by_the_interval_of_its_videos(monkeypatch):
    """And a point; without a published accuracy it is shown and not judged."""
    found = {name: types.SimpleNamespace(top1=share, top5=0.9, videos=1000) for name, share in SHARES.items()}
    scores = types.SimpleNamespace(split="test", not_scored=3)
    result = types.SimpleNamespace(metrics=found, scores=scores)
    monkeypatch.setattr(accuracy_checks, "evaluate", lambda *arguments, **settings: result)
    monkeypatch.setattr(verifying.record_files, "find", lambda records: None)
    settings = {"records": "anywhere", "rgb": "kinetics", "flow": "kinetics"}
    outcomes = {outcome.check.name: outcome for outcome in verify("accuracy", **settings).outcomes}
    assert {name: outcome.status for name, outcome in outcomes.items()} == {
        "accuracy.rgb.top1": "as expected",  # 71.1 published
        "accuracy.rgb.top5": "as expected",  # 89.3
        "accuracy.flow.top1": "deviation",  # 63.4
        "accuracy.flow.top5": "deviation",  # 84.9
        "accuracy.fused.top1": "as expected",  # 74.2
        "accuracy.fused.top5": "as expected",  # 91.3
    }
    assert outcomes["accuracy.rgb.top1"].check.tolerance == pytest.approx(1 + 2.84, abs=0.01)
    assert outcomes["accuracy.rgb.top1"].note == "1,000 videos of test, 3 not scored"
    settings["flow"] = "kinetics-scratch"
    fused = verify("accuracy", **settings).outcomes[4]
    assert fused.status == "skipped"
    assert fused.note.startswith("measured 74.00; of this nothing was published")


SHARES = {"rgb": 0.70, "flow": 0.55, "fused": 0.74}


def test_two_equal_clips_stand_for_any_number():
    """So that black against white takes a quarter of the time, or less."""
    rows, found = np.random.default_rng(0).normal(0, 5, (2, 400)).astype("float32"), []
    for count in (distance_checks.EQUAL, 8, 16):
        sides = [Gaussian(400), Gaussian(400)]
        for side, row in zip(sides, rows):
            side.update(np.stack([row] * count))
        found.append(frechet_distance(*sides).value)
    assert found[1:] == pytest.approx([found[0]] * 2, rel=1e-9)


@pytest.mark.slow
def test_accuracy_next_to_the_published_one(mirror, tmp_path, monkeypatch):
    labels = [f"label {i}" for i in range(400)]
    spec = RecordSpec(flow_method=None)
    records = small_records.split(tmp_path / "records", "test", 3, shards=1, labels=labels, spec=spec)
    settings = {"records": records, "rgb": "kinetics", "protocol": "views:1x1"}
    found = verify("accuracy", **settings)
    top1, top5 = found.outcomes
    assert (top1.check.expected, top5.check.expected) == (71.1, 89.3)
    assert top1.measured in (0, 100 / 3, 200 / 3, 100)
    low, high = (71.1 - top1.check.tolerance, 71.1 + top1.check.tolerance)
    assert (low <= top1.measured <= high) == (top1.status == "as expected")
    assert "3 videos of test, 0 not scored" in top1.note
    entry = registry.CHECKPOINTS["kinetics", "rgb"]
    wrong = dataclasses.replace(entry, top1=(top1.measured + 500) % 1000)
    monkeypatch.setitem(registry.CHECKPOINTS, ("kinetics", "rgb"), wrong)
    assert verify("accuracy", **settings).outcomes[0].status == "deviation"
    monkeypatch.setitem(registry.CHECKPOINTS, ("kinetics", "rgb"), dataclasses.replace(entry, top1=None, top5=None))
    found = verify("accuracy", **settings)
    assert [outcome.status for outcome in found.outcomes] == ["skipped"] * 2
    assert not found.passed
    assert "nothing was published" in found.outcomes[0].note
    cache.place("rgb_imagenet").unlink()
    assert "not in the cache" in verify("accuracy", **settings, offline=True).outcomes[0].note


def test_published_accuracies_are_found_by_their_weights():
    assert accuracy_checks.accuracy("kinetics", "flow")[0] == (63.4, 84.9)
    assert accuracy_checks.accuracy("S3D:kinetics", "rgb")[0] == (68.368, 88.05)
    assert accuracy_checks.accuracy("kinetics600", "rgb") is None
    assert accuracy_checks.both({"rgb": "kinetics", "flow": "kinetics"})[0] == (74.2, 91.3)
    assert accuracy_checks.both({"rgb": "kinetics", "flow": "kinetics-scratch"}) is None
    assert accuracy_checks.both({"rgb": "kinetics"}) is None


def test_accuracy_of_weights_that_cannot_be_fetched_is_skipped(monkeypatch):
    """As other checks whose files cannot be reached are: nothing was measured, so nothing deviates."""

    def fails(*arguments, **settings):
        raise WeightsUnreachableError("Cannot fetch it.")

    monkeypatch.setattr(accuracy_checks, "evaluate", fails)
    monkeypatch.setattr(verifying.record_files, "find", lambda records: None)
    found = verify("accuracy", records="anywhere", rgb="kinetics")
    assert found.counts == {"as expected": 0, "deviation": 0, "skipped": 2}
    assert found.unreachable == ("Cannot fetch it.",)
    assert not found.passed


def test_logits_that_are_nan_deviate_and_the_report_is_written(mirror, tmp_path, monkeypatch):
    """As of a GPU that computes nonsense: it was ValueError after minutes, and no report."""
    nan = np.full((8, 400), np.nan, np.float32)
    monkeypatch.setattr(sample_answers, "_logits", lambda *arguments: np.float64(nan[0]))
    monkeypatch.setattr(LogitNetwork, "__call__", lambda self, clips: nan[: len(clips)])
    found = verify(["logits", "fvd"], output=tmp_path / "report.json")
    assert {"logits.rgb.norm", "logits.sum.top5", "fvd.noise", "fvd.solid"} <= names(found.of("deviation"))
    assert {check["measured"] for check in json.loads((tmp_path / "report.json").read_text())["checks"][8:9]} == {"nan"}
    assert "NaN" in found.of("deviation")[-1].note


@pytest.mark.parametrize("given", ["fiels", "files,x", ""])
def test_a_wrong_group_is_refused_before_keras_is_imported(given, monkeypatch, capsys):
    from keras_i3d import verification
    from keras_i3d.cli import verify as verb

    assert verb.GROUPS == verification.GROUPS
    monkeypatch.setattr(verb, "start", None)
    assert cli.main(["verify", f"--only={given}"]) == 2
    assert "--only takes groups of files, logits, fvd, accuracy" in capsys.readouterr().err
