"""Records that are there, divided and copied as their bytes; the command that divides."""

import dataclasses
import json
import os
import signal
import subprocess
import sys

import pytest
import tensorflow as tf
from made import ROOT, films, small_records

from keras_i3d import cli
from keras_i3d.data.record_files import find
from keras_i3d.errors import BuildError
from keras_i3d.records import RecordSpec, annotations, build, check, distribute, divide, manifest, shards

FRACTIONS = {"train": 0.5, "test": 0.5}
DAMAGED = {"id": "all/004.mp4", "path": "x/004.mp4", "packets": 2, "cut_short": False}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Twelve records of three classes in two files, one of them of a damaged video."""
    folder = tmp_path_factory.mktemp("stored")
    small_records.split(folder, "all", 12, damaged=(DAMAGED,), source="mine")
    return folder


def raws(folder, split):
    """{id: bytes} of the records of a split, as its manifest has them."""
    made = manifest.read(folder / f"{split}.json")
    return {
        id: raw.numpy()
        for shard in made.shards
        for id, raw in zip(shard.ids, tf.data.TFRecordDataset(str(folder / shard.name)), strict=True)
    }


def contents(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def copied(folder, output, **settings):
    division = divide(annotations.find(f"records:{folder}"), FRACTIONS)
    return [build(listing, output, shards=2, progress=False, **settings) for listing in division.listings]


def test_records_are_copied_as_they_are(folder, tmp_path):
    before = contents(folder)
    reports = copied(folder, tmp_path / "out")
    assert [(r.split, r.written, r.failed, r.missing, r.built) for r in reports] == [
        ("train", 6, 0, 0, 2),
        ("test", 6, 0, 0, 2),
    ]
    assert sum(report.damaged for report in reports) == 1
    assert contents(folder) == before
    train, test = raws(tmp_path / "out", "train"), raws(tmp_path / "out", "test")
    assert train | test == raws(folder, "all")
    assert check(tmp_path / "out").problems == ()
    for name in ("train", "test"):
        made = manifest.read(tmp_path / f"out/{name}.json")
        assert (made.spec, made.labels, made.source, made.labelling) == (
            small_records.SPEC,
            small_records.LABELS,
            "mine",
            "single",
        )
        noted = {id: classes for shard in made.shards for id, classes in zip(shard.ids, shard.classes)}
        assert noted == {id: (int(id[4:7]) % 3,) for id in noted}
        assert made.damaged == ((DAMAGED,) if DAMAGED["id"] in noted else ())
        assert find(tmp_path / f"out/{name}-*").counts == (2, 2, 2)
    assert (tmp_path / "out/labels.txt").read_text() == "left\nright\nup\n"
    assert [report.built for report in copied(folder, tmp_path / "out")] == [0, 0]


STOPPED = """
import os, signal, sys
import tensorflow as tf
from keras_i3d.records import annotations, build, divide

folder, output, end = sys.argv[1:]
rename = tf.io.gfile.rename

def ending(source, target, overwrite=False):
    if os.path.basename(target) == end:
        os.kill(os.getpid(), signal.SIGKILL)
    rename(source, target, overwrite)

tf.io.gfile.rename = ending
for listing in divide(annotations.find("records:" + folder), {"train": 0.5, "test": 0.5}).listings:
    build(listing, output, shards=2, progress=False)
"""


def test_only_what_is_missing_is_copied(folder, tmp_path, monkeypatch):
    calls, read_back = [], shards.check_copied

    def interrupted(*arguments):
        calls.append(arguments)
        if len(calls) == 4:
            raise KeyboardInterrupt
        read_back(*arguments)

    monkeypatch.setattr(shards, "check_copied", interrupted)
    with pytest.raises(KeyboardInterrupt):
        copied(folder, tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").glob(".test-build/0*.json")] == ["00000.json"]
    assert [report.built for report in copied(folder, tmp_path / "out")] == [0, 1]
    copied(folder, tmp_path / "whole")
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


@pytest.mark.slow
def test_killed_and_started_again(folder, tmp_path):
    command = [sys.executable, "-c", STOPPED, str(folder), str(tmp_path / "out"), "test-00001-of-00002.tfrecord"]
    result = subprocess.run(command, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, check=False)
    assert result.returncode == -signal.SIGKILL, result.stderr
    assert (tmp_path / "out/train.json").exists()
    assert sorted(path.name for path in (tmp_path / "out").glob(".test-build/0*.json")) == ["00000.json"]
    assert [report.built for report in copied(folder, tmp_path / "out")] == [0, 1]
    copied(folder, tmp_path / "whole")
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


def damage(folder, change):
    path = folder / "all-00001-of-00002.tfrecord"
    path.write_bytes(change(path.read_bytes()))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: content[:500] + bytes([content[500] ^ 1]) + content[501:], r"record 0 is damaged \("),
        (lambda content: content[:-30], r"has 5 records that can be read, and more in its manifest"),
    ],
)
def test_damage_is_not_copied(change, message, folder, tmp_path):
    small_records.split(tmp_path / "in", "all", 12)
    made = manifest.read(tmp_path / "in/all.json")
    noted = [dataclasses.replace(shard, classes=((i,),) * 6) for i, shard in enumerate(made.shards)]
    dataclasses.replace(made, shards=tuple(noted)).write(tmp_path / "in")
    damage(tmp_path / "in", change)
    with pytest.raises(BuildError, match=message):
        copied(tmp_path / "in", tmp_path / "out")
    assert not list((tmp_path / "out").glob("*.tfrecord.*"))


def test_a_manifest_of_other_records(folder, tmp_path):
    small_records.split(tmp_path / "in", "all", 12)
    made = manifest.read(tmp_path / "in/all.json")
    first = dataclasses.replace(made.shards[0], ids=made.shards[0].ids[::-1])
    dataclasses.replace(made, shards=(first, made.shards[1])).write(tmp_path / "in")
    with pytest.raises(BuildError, match=r"record \d is 'all/\d+.mp4', and 'all/\d+.mp4' in its manifest"):
        copied(tmp_path / "in", tmp_path / "out")


def test_the_own_folder_is_no_output(folder, tmp_path):
    small_records.split(tmp_path, "all", 4)
    with pytest.raises(ValueError, match="Records are copied into another folder. Received: output="):
        copied(tmp_path, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        ["all-00000-of-00002.tfrecord", "all-00001-of-00002.tfrecord", "all.json"]
    )


def test_which_records(folder, tmp_path, capsys):
    def listed(place):
        return annotations.find(f"records:{place}")

    whole = listed(folder)
    assert (whole.split, whole.name, whole.spec, len(whole.examples)) == ("all", "mine", small_records.SPEC, 12)
    assert listed(folder / "all") == listed(folder / "all-*") == listed(f"{folder}/all-00000*") == whole
    copied(folder, tmp_path / "out")
    capsys.readouterr()
    assert {example.id for example in listed(tmp_path / "out").examples} == {example.id for example in whole.examples}
    assert "its splits test, train are taken together" in capsys.readouterr().err
    assert (listed(tmp_path / "out/test-*").split, len(listed(tmp_path / "out/test").examples)) == ("test", 6)
    for place in (tmp_path / "out/none-*", tmp_path / "none"):
        with pytest.raises(ValueError, match="Records to be divided are a folder with a manifest"):
            listed(place)
    small_records.split(tmp_path / "out", "more", 3)
    again = manifest.read(tmp_path / "out/more.json")
    ids = manifest.read(tmp_path / "out/test.json").shards[0].ids
    twice = dataclasses.replace(again.shards[0], ids=(*ids[:1], *again.shards[0].ids[1:]), classes=((0,), (1,)))
    dataclasses.replace(again, shards=(twice, again.shards[1])).write(tmp_path / "out")
    with pytest.raises(ValueError, match=f"The ids of records are unique. Received: '{ids[0]}' more than once"):
        listed(tmp_path / "out")
    dataclasses.replace(again, labels=("a", "b", "c")).write(tmp_path / "out")
    with pytest.raises(ValueError, match="The labels of .*more.json and .*test.json must agree"):
        listed(tmp_path / "out")
    with pytest.raises(ValueError, match="Records have their labels and splits"):
        annotations.find(f"records:{folder}", split="train")
    with pytest.raises(
        ValueError, match="The specs of this build and the records of mine must agree. Received: fps: 5 and 25"
    ):
        build(whole, tmp_path / "other", RecordSpec(fps=5), progress=False)


@pytest.fixture
def in_process(monkeypatch):
    monkeypatch.setattr(distribute, "check_installed", lambda: None)
    monkeypatch.setattr(distribute, "local", lambda work, offsets, _: [shards.write_shard(work, at) for at in offsets])


def test_the_command_divides_a_folder_of_classes(tmp_path, in_process, capsys):
    """And divides its records anew; whatever is complete is not done again."""
    film = films.film([films.picture(i) for i in range(4)])
    for name in ("run", "walk"):
        (tmp_path / "videos" / name).mkdir(parents=True)
        for i in range(5):
            (tmp_path / "videos" / name / f"{i}.mp4").write_bytes(film)
    (tmp_path / "videos/walk/0.mp4").write_bytes(b"no video")
    (tmp_path / "videos/jump").mkdir()
    (tmp_path / "videos/jump/0.mp4").write_bytes(b"no video")
    line = ["records", f"--source={tmp_path / 'videos'}", f"--output={tmp_path / 'out'}", "--split=train:0.6,test:0.4"]
    line += ["--flow_method=none", "--short_side=32", "--shards=1"]
    assert cli.main(line) == 0
    printed = capsys.readouterr()
    assert printed.out.splitlines()[:5] == [
        "class  train  test  total",
        "jump       1     0      1",
        "run        3     2      5",
        "walk       3     2      5",
        "11 videos: train 7 (63.6%, of 7 source videos), test 4 (36.4%, of 4 source videos)",
    ]
    assert [text.split(":")[0] for text in printed.out.splitlines()[5:]] == ["train", "test"]
    assert "1 of 3 classes are not in every split (first: 'jump', of 1 source videos, is not in test)" in printed.err
    assert "train has no video left of 1 classes, because all failed (first: jump)" in printed.err
    assert "failed.jsonl" in printed.err
    made = {name: manifest.read(tmp_path / f"out/{name}.json") for name in ("train", "test")}
    assert sum(each.records for each in made.values()) == 9
    assert check(tmp_path / "out").problems == ()
    before = contents(tmp_path / "out")
    assert cli.main(line) == 0
    assert capsys.readouterr().out.count("was complete") == 2
    assert contents(tmp_path / "out") == before
    again = ["records", f"--source=records:{tmp_path / 'out'}", f"--output={tmp_path / 'again'}", "--seed=3"]
    assert cli.main([*again, "--split_fraction=0.4,0.3,0.3"]) == 0
    printed = capsys.readouterr()
    assert [text.split()[0] for text in printed.out.splitlines()] == [
        "class", "jump", "run", "walk", "9", "train:", "validation:", "test:",
    ]  # fmt: skip
    assert "its splits test, train are taken together" in printed.err
    assert check(tmp_path / "again").problems == ()
    ids = [json.loads((tmp_path / f"again/{name}.json").read_text())["shards"] for name in ("validation", "test")]
    assert [len(shard["ids"]) for each in ids for shard in each] == [1] * 6


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--split=a", "--split_fraction=0.5,0.5"], "--split or --split_fraction, not both"),
        (["--seed=1", "--group=x"], "--seed, --group of records is for a division"),
        (["--split_fraction=0.5"], "Splits are given as train:0.8,test:0.2"),
        (["--source=records:x"], "takes --split=train:0.8,test:0.2, or --split_fraction"),
        (["--source=records:x", "--split=a:0.5,b:0.5", "--fps=5"], "--fps of records is for videos"),
        (
            ["--split=a:0.5,b:0.5", "--labelling=multi"],
            "A video of folder has one label. Received: --labelling='multi'",
        ),
    ],
)
def test_flags_that_do_not_go_together(words, message, tmp_path, capsys):
    (tmp_path / "run").mkdir()
    (tmp_path / "run/a.mp4").touch()
    assert cli.main(["records", f"--source={tmp_path}", f"--output={tmp_path}-out", *words]) != 0
    assert message in capsys.readouterr().err
