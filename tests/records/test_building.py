"""Videos to records: planned, stopped, gone on with, checked."""

import dataclasses
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

import pytest
import tensorflow as tf
from made import ROOT, films, small_records

from keras_i3d import progress
from keras_i3d.errors import BuildError
from keras_i3d.records import (
    RecordSpec,
    annotations,
    build,
    build_state,
    check,
    distribute,
    manifest,
    sequence_example,
    shards,
)

SPEC = RecordSpec(short_side=32, flow_method="tvl1")
BROKEN = ("jump/empty.mp4", "jump/text.avi", "run/sound.mp4")


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    """Seven good videos of three kinds, three broken ones."""
    folder = tmp_path_factory.mktemp("videos")
    (folder / "jump").mkdir()
    (folder / "run").mkdir()
    for i, (name, container, codec) in enumerate(
        [("jump/a.mp4", "mp4", "mpeg4"), ("jump/b.avi", "avi", "mpeg4"), ("jump/c.webm", "webm", "libvpx")]
        + [("run/d.mp4", "mp4", "libx264"), ("run/e.mp4", "mp4", "mpeg4"), ("run/f g.avi", "avi", "mpeg4")]
        + [("run/h.mp4", "mp4", "mpeg4")]
    ):
        (folder / name).write_bytes(films.film([films.picture(i + j) for j in range(6 + i)], container, codec))
    for name, content in zip(BROKEN, (b"", b"text\n" * 99, films.sound())):
        (folder / name).write_bytes(content)
    return folder


@pytest.fixture
def listing(videos):
    return annotations.find(videos, split="train")


@pytest.fixture
def in_process(monkeypatch):
    """The same work without Beam; returns the offsets that were asked for, call by call."""
    calls = []

    def local(folder, offsets, workers):
        calls.append(offsets)
        for offset in offsets:
            shards.write_shard(folder, offset)

    monkeypatch.setattr(distribute, "check_installed", lambda: None)
    monkeypatch.setattr(distribute, "local", local)
    return calls


def test_progress_counts_videos_and_not_shards_alone(listing, tmp_path, in_process, monkeypatch):
    """A shard of 64 videos may take minutes, of which the bar would say nothing."""
    seen, lines, local = [], [], distribute.local
    monkeypatch.setattr(progress, "EVERY", 0.05)
    monkeypatch.setattr(progress, "notice", lines.append)
    encode = shards._encode

    def slow(*arguments):
        seen.append(work._videos_done(work._done()))
        return encode(*arguments)

    monkeypatch.setattr(shards, "_encode", slow)
    work = build_state.Work(listing, str(tmp_path / "out"), SPEC, build_state.plan(listing, 2), 100.0)

    def with_time(*arguments):
        local(*arguments)
        time.sleep(1.2)  # the bar looks once a second

    monkeypatch.setattr(distribute, "local", with_time)
    report = built(listing, tmp_path / "out", shards=2, progress=True)
    assert seen == list(range(10))
    assert lines[0].startswith("records train: 0 of 10 videos (0%), 0 s so far")
    assert lines[-1].startswith("records train: 10 of 10 videos (100%) in ")
    assert report.written == 7
    assert not list((tmp_path / "out").glob("**/*.videos"))


def built(listing, output, **settings):
    return build(listing, output, SPEC, **{"shards": 4, "progress": False, **settings})


def contents(folder):
    """{name: bytes} of all that lies in a folder."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(pathlib.Path(folder).rglob("*")) if p.is_file()}


@pytest.fixture(scope="module")
def whole(videos, tmp_path_factory):
    """What an uninterrupted build gives."""
    folder = tmp_path_factory.mktemp("whole") / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(distribute, "check_installed", lambda: None)
        patch.setattr(
            distribute, "local", lambda work, offsets, _: [shards.write_shard(work, offset) for offset in offsets]
        )
        report = built(annotations.find(videos, split="train"), folder)
    assert (report.written, report.failed, report.missing, report.built) == (7, 3, 0, 4)
    return folder


def test_damage_and_limits_reach_the_manifest(tmp_path, in_process):
    """Packets that could not be decoded, a file that is cut short, and one that lasts too long."""
    folder = tmp_path / "videos/run"
    folder.mkdir(parents=True)
    film = films.film([films.picture(i) for i in range(12)], "avi", "mjpeg", pixels="yuvj420p")
    packets = films.packets(film)
    (at, size), (end, _) = packets[4], packets[-2]
    (folder / "a.avi").write_bytes(film)
    (folder / "b.avi").write_bytes(film[:at] + bytes(size) + film[at + size :])
    (folder / "c.avi").write_bytes(film[:end])
    (folder / "d.mp4").write_bytes(films.film([films.picture(i) for i in range(3)], rate=1))
    listing = annotations.find(tmp_path / "videos", split="train")
    report = built(listing, tmp_path / "out", shards=1, max_seconds=2)
    assert (report.written, report.damaged, report.failed) == (3, 2, 1)
    made = manifest.read(tmp_path / "out/train.json")
    found = {entry["id"]: (entry["packets"], entry["cut_short"]) for entry in made.damaged}
    assert found == {"run/b.avi": (1, False), "run/c.avi": (0, True)}
    assert "it lasts longer than max_seconds=2; raise that" in made.failed[0]["reason"]
    with pytest.raises(ValueError, match="of another plan"):
        built(listing, tmp_path / "out", shards=1)


def test_what_is_written(whole, videos, listing):
    names = [f"train-0000{i}-of-00004.tfrecord" for i in range(4)]
    assert sorted(os.listdir(whole)) == ["failed.jsonl", "labels.txt", *names, "train.json"]
    assert (whole / "labels.txt").read_text() == "jump\nrun\n"
    failed = [json.loads(line) for line in (whole / "failed.jsonl").read_text().splitlines()]
    assert sorted(entry["id"] for entry in failed) == sorted(BROKEN)
    assert {entry["id"]: entry["reason"] for entry in failed}["jump/empty.mp4"] == "the file is empty"
    assert {entry["split"] for entry in failed} == {"train"}
    made = manifest.read(whole / "train.json")
    ids = [id for shard in made.shards for id in shard.ids]
    assert sorted(ids) == sorted({example.id for example in listing.examples} - set(BROKEN))
    assert (made.labels, made.spec, made.records, made.labelling) == (("jump", "run"), SPEC, 7, "single")
    noted = {id: classes for shard in made.shards for id, classes in zip(shard.ids, shard.classes)}
    assert noted == {id: ((0,) if id.startswith("jump") else (1,)) for id in ids}
    frames = {}
    for shard in made.shards:
        for raw, id in zip(tf.data.TFRecordDataset(str(whole / shard.name)), shard.ids):
            record = sequence_example.parse(raw)
            assert record["id"].numpy().decode() == id
            assert record["label"].numpy().decode() == id.split("/")[0]
            frames[id] = len(record["rgb"])
    assert [frames[id] for id in sorted(frames)] == [6, 7, 8, 9, 10, 11, 12]
    checked = check(whole)
    assert (checked.problems, checked.records, checked.frames, checked.fields) == ((), 7, 63, 56)


def test_plan_is_mixed_and_does_not_depend_on_order(listing):
    planned = build_state.plan(listing, 3)
    assert [len(shard) for shard in planned] == [4, 3, 3]
    assert build_state.plan(dataclasses.replace(listing, examples=listing.examples[::-1]), 3) == planned
    assert [video.id for shard in planned for video in shard] != [video.id for video in listing.examples]
    assert len(build_state.plan(listing)) == 8
    assert [build_state.default_shards(n) for n in (1, 8, 512, 513, 240_000)] == [1, 8, 8, 9, 3750]
    with pytest.raises(ValueError, match="unique"):
        build_state.plan(dataclasses.replace(listing, examples=listing.examples * 2))
    with pytest.raises(ValueError, match=r"1..99999. Received: shards=0"):
        build_state.plan(listing, 0)


def test_complete_is_left_alone(whole, listing, in_process):
    before = contents(whole)
    report = built(listing, whole)
    assert (report.written, report.built, in_process) == (7, 0, [])
    assert "was complete" in str(report)
    assert contents(whole) == before


STOPPED = """
import os, signal, sys
import tensorflow as tf
from keras_i3d.records import RecordSpec, annotations, build, distribute, shards

videos, output, end = sys.argv[1:]
rename = tf.io.gfile.rename

def ending(source, target, overwrite=False):
    if os.path.basename(target) == end.removeprefix("after "):
        if end.startswith("after "):
            rename(source, target, overwrite)
        os.kill(os.getpid(), signal.SIGKILL)
    rename(source, target, overwrite)

tf.io.gfile.rename = ending
distribute.check_installed = lambda: None
distribute.local = lambda work, offsets, _: [shards.write_shard(work, offset) for offset in offsets]
listing = annotations.find(videos, split="train")
build(listing, output, RecordSpec(short_side=32), shards=4, progress=False)
"""


def test_killed_and_started_again(videos, whole, listing, tmp_path, in_process):
    """Between a shard and the note that it is complete, and before the manifest; then the rest."""
    for end, there in (
        ("after train-00002-of-00004.tfrecord", ["00000.json", "00001.json"]),
        ("train.json", [f"0000{i}.json" for i in range(4)]),
    ):
        command = [sys.executable, "-c", STOPPED, str(videos), str(tmp_path / "out"), end]
        result = subprocess.run(command, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, check=False)
        assert result.returncode == -signal.SIGKILL, result.stderr
        work = tmp_path / "out/.train-build"
        assert sorted(p.name for p in work.glob("0*.json")) == there
        assert not (tmp_path / "out/train.json").exists()
        assert any("has not ended" in str(p) for p in _problems_with_manifest(tmp_path / "out", whole))
    report = built(listing, tmp_path / "out")
    assert (report.written, report.failed, report.built) == (7, 3, 0)
    assert contents(tmp_path / "out") == contents(whole)


def _problems_with_manifest(folder, whole):
    """What `check` finds in a folder that has a manifest too soon."""
    shutil.copy(whole / "train.json", folder)
    try:
        return check(folder).problems
    finally:
        (folder / "train.json").unlink()


def test_only_what_is_missing_is_done(whole, listing, tmp_path, in_process, monkeypatch):
    write = shards.write_shard

    def interrupted(folder, offset):
        if len(list(pathlib.Path(folder).glob("0*.json"))) == 3:
            raise KeyboardInterrupt
        write(folder, offset)

    monkeypatch.setattr(shards, "write_shard", interrupted)
    with pytest.raises(KeyboardInterrupt):
        built(listing, tmp_path / "out")
    monkeypatch.setattr(shards, "write_shard", write)
    with pytest.raises(ValueError, match=r"specs of the build in .* short_side: 32 and 48"):
        build(listing, tmp_path / "out", dataclasses.replace(SPEC, short_side=48), shards=4, progress=False)
    with pytest.raises(
        ValueError, match=r"another plan: 10 videos of folder in 4 shards.*Received: .* in 5 shards.*rem"
    ):
        built(listing, tmp_path / "out", shards=5)
    assert built(listing, tmp_path / "out").built == 1
    assert [len(offsets) for offsets in in_process] == [4, 1]
    assert contents(tmp_path / "out") == contents(whole)


def test_two_builds_at_once(whole, listing, tmp_path, in_process, monkeypatch):
    def local(folder, offsets, workers):
        with pytest.raises(BuildError, match=r"Another build of train into .*out is running. Wait for it, or stop it"):
            built(listing, tmp_path / "out")
        for offset in offsets:
            shards.write_shard(folder, offset)

    monkeypatch.setattr(distribute, "local", local)
    assert built(listing, tmp_path / "out").built == 4
    assert contents(tmp_path / "out") == contents(whole)


@pytest.mark.skipif(not pathlib.Path("/dev/full").exists(), reason="writes to /dev/full")
def test_a_full_disk_is_one_line_with_its_remedy(listing, tmp_path, monkeypatch):
    """As TensorFlow's writer meets it in a worker; nothing unfinished is left."""
    monkeypatch.setattr(distribute, "check_installed", lambda: None)
    monkeypatch.setattr(
        distribute, "local", lambda work, offsets, _: [distribute._write(offset, work) for offset in offsets]
    )
    write = tf.io.TFRecordWriter
    monkeypatch.setattr(tf.io, "TFRecordWriter", lambda path: write("/dev/full"))
    with pytest.raises(BuildError) as raised:
        built(listing, tmp_path / "out")
    assert str(raised.value) == "/dev/full: the disk is full. Free some space, or name another place."
    assert os.listdir(tmp_path / "out") == []


def test_a_start_that_fails_leaves_nothing(listing, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "apache_beam", None)
    with pytest.raises(ImportError, match=r"pip install 'keras-i3d\[beam\]'"):
        built(listing, tmp_path / "out")
    assert os.listdir(tmp_path / "out") == []


def test_splits_share_a_folder_and_must_agree(whole, listing, tmp_path, in_process):
    shutil.copytree(whole, tmp_path / "out")
    (tmp_path / "out/failed.jsonl").unlink()
    test = dataclasses.replace(
        listing, split="test", examples=tuple(v for v in listing.examples if v.id in ("run/d.mp4", BROKEN[0]))
    )
    other = dataclasses.replace(test, labels=("jump", "walk"))
    with pytest.raises(ValueError, match=r"label 1: \('walk',\) and \('run',\)"):
        built(other, tmp_path / "out", shards=1)
    with pytest.raises(ValueError, match="fps: 5.0 and 25"):
        build(test, tmp_path / "out", dataclasses.replace(SPEC, fps=5), shards=1, progress=False)
    assert built(test, tmp_path / "out", shards=1).failed == 1
    failed = [json.loads(line) for line in (tmp_path / "out/failed.jsonl").read_text().splitlines()]
    assert [entry["split"] for entry in failed] == ["train", "train", "train", "test"]
    assert check(tmp_path / "out").problems == ()


def test_a_foreign_shard_is_not_written_over(listing, tmp_path, in_process):
    (tmp_path / "train-00000-of-00009.tfrecord").write_bytes(b"precious")
    with pytest.raises(ValueError, match="holds train-00000-of-00009.tfrecord, of no known build"):
        built(listing, tmp_path)
    assert contents(tmp_path) == {"train-00000-of-00009.tfrecord": b"precious"}


def test_trims_and_remote_paths(videos, tmp_path, in_process):
    """`start` and `end` reach the reader; a path with a scheme goes by tf.io.gfile."""
    example = annotations.Example("x", f"file://{videos}/run/h.mp4", "run", 0, 0.08, 0.2, "train")
    listing = annotations.Listing("csv", "train", ("run",), (example,), ())
    assert built(listing, tmp_path / "out", shards=1).written == 1
    record = sequence_example.parse(
        next(iter(tf.data.TFRecordDataset(str(tmp_path / "out/train-00000-of-00001.tfrecord"))))
    )
    assert len(record["rgb"]) == 3


def _flip(folder):
    path = folder / "train-00000-of-00004.tfrecord"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def _edit(**changes):
    def edit(folder):
        content = json.loads((folder / "train.json").read_text())
        content.update({key: change(content[key]) for key, change in changes.items()})
        (folder / "train.json").write_text(json.dumps(content))

    return edit


def _without_first(shard):
    return {**shard, **{name: shard[name][1:] for name in ("ids", "classes")}}


def _relabel(folder):
    """A sound file with a record of another label, a frame in another's place and a field too few."""
    path = folder / "train-00000-of-00004.tfrecord"
    raws = [raw.numpy() for raw in tf.data.TFRecordDataset(str(path))]
    example = tf.train.SequenceExample.FromString(raws[0])
    example.context.feature["clip/label/string"].bytes_list.value[0] = b"walk"
    images = example.feature_lists.feature_list["image/encoded"].feature
    images[1].CopyFrom(images[0])
    del example.feature_lists.feature_list["FORWARD_FLOW/image/encoded"].feature[-1]
    with tf.io.TFRecordWriter(str(path)) as writer:
        for raw in [example.SerializeToString(), *raws[1:]]:
            writer.write(raw)


@pytest.mark.parametrize(
    ("damage", "found"),
    [
        (_flip, ["train-00000-of-00004.tfrecord: unreadable after"]),
        (
            lambda folder: (folder / "train-00001-of-00004.tfrecord").unlink(),
            ["train-00001-of-00004.tfrecord: missing"],
        ),
        (lambda folder: (folder / "train.json").write_text("{"), ["is not a manifest", "in no manifest"]),
        (_edit(labels=lambda labels: labels[::-1]), ["label 'jump', but label 0 is 'run'"]),
        (_edit(labels=lambda labels: labels[:1]), ["label index 1, there are 1 labels"]),
        (_edit(shards=lambda of: [{**of[0], "classes": [[1, 0]] * 2}, *of[1:]]), ["classes [0], [1, 0] in"]),
        (_edit(spec=lambda spec: {**spec, "flow_method": "dis"}), ["flow method 'tvl1', 'dis' in the manifest"]),
        (_edit(spec=lambda spec: {**spec, "fps": 5, "short_side": 9}), ["25 fps, 5 in", "short side 32, 9 in"]),
        (_edit(shards=lambda of: [_without_first(of[0]), *of[1:]]), ["in the manifest"]),
        (_relabel, ["label 'walk'", "rgb images [1] are not those", "flow fields for"]),
    ],
    ids=[
        "flipped bit",
        "removed shard",
        "no manifest",
        "labels",
        "too few labels",
        "classes",
        "method",
        "spec",
        "ids",
        "record",
    ],
)
def test_check_finds(damage, found, whole, tmp_path):
    shutil.copytree(whole, tmp_path / "out")
    damage(tmp_path / "out")
    problems = "\n".join(map(str, check(tmp_path / "out").problems))
    for text in found:
        assert text in problems


def test_check_knows_that_a_bound_is_stored_in_single_precision(tmp_path):
    spec = dataclasses.replace(small_records.SPEC, flow_bound=7.3)
    small_records.split(tmp_path, "test", 1, shards=1, spec=spec)
    assert check(tmp_path).problems == ()


def test_check_of_no_records(tmp_path):
    with pytest.raises(ValueError, match="holds none"):
        check(tmp_path)


def command(*arguments, **settings):
    line = [sys.executable, "-m", "keras_i3d", "records", *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        line, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **settings
    )


def processes(folder):
    """The ids of the live processes that were told of a folder."""
    found = []
    for path in pathlib.Path("/proc").glob("[0-9]*/environ"):
        try:
            if f"KERAS_HOME={folder}".encode() in path.read_bytes():
                found.append(int(path.parent.name))
        except OSError:
            continue
    return [pid for pid in found if pid != os.getpid()]


@pytest.mark.slow
@pytest.mark.skipif(not pathlib.Path("/proc").is_dir(), reason="looks for processes in /proc")
def test_beam_killed_and_started_again(videos, tmp_path, monkeypatch):
    """Two real workers; killed while a long video keeps one of them, and no worker outlives the command."""
    pytest.importorskip("apache_beam", reason="needs Apache Beam: pip install 'keras-i3d[beam]'")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "marked"))
    shutil.copytree(videos, tmp_path / "videos")
    (tmp_path / "videos/run/long.avi").write_bytes(films.film([films.picture(i % 40) for i in range(800)], "avi"))
    settings = [f"--source={tmp_path / 'videos'}", "--split=train", "--workers=2", "--shards=6", "--short_side=32"]
    first = command(*settings, f"--output={tmp_path / 'out'}")
    until = time.monotonic() + 120
    while not list((tmp_path / "out").glob(".train-build/0*.json")) and time.monotonic() < until:
        assert first.poll() is None, first.communicate()
        time.sleep(0.05)
    first.kill()
    assert first.wait() == -signal.SIGKILL
    while processes(tmp_path / "marked") and time.monotonic() < until:
        time.sleep(0.05)
    assert not processes(tmp_path / "marked")
    assert not (tmp_path / "out/train.json").exists()
    second = command(*settings, f"--output={tmp_path / 'out'}")
    printed, said = second.communicate(timeout=180)
    assert second.returncode == 0, said
    assert "8 written (0 of them damaged), 3 failed, 0 missing" in printed
    monkeypatch.setattr(distribute, "check_installed", lambda: None)
    monkeypatch.setattr(distribute, "local", lambda work, offsets, _: [shards.write_shard(work, at) for at in offsets])
    built(annotations.find(tmp_path / "videos", split="train"), tmp_path / "other", shards=6)
    assert contents(tmp_path / "out") == contents(tmp_path / "other")


def test_a_name_that_is_not_utf_8_is_one_failed_video(tmp_path, in_process):
    """Whether the file's own or a folder's above it, as Kinetics' may have any: named, and the others are written."""
    good = films.film([films.picture(i) for i in range(6)])
    (tmp_path / "videos/run").mkdir(parents=True)
    for name in (b"a.mp4", b"caf\xe9.mp4"):
        (tmp_path / "videos/run" / os.fsdecode(name)).write_bytes(good)
    report = built(annotations.find(tmp_path / "videos", split="train"), tmp_path / "out", shards=1)
    assert (report.written, report.failed) == (1, 1)
    (failed,) = (json.loads(line) for line in (tmp_path / "out/failed.jsonl").read_text(encoding="utf-8").splitlines())
    assert failed["id"] == r"run/caf\xe9.mp4"
    assert failed["reason"] == "its name is not UTF-8: rename the file or its folder"
    assert manifest.read(tmp_path / "out/train.json").failed[0]["path"].endswith(r"run/caf\xe9.mp4")
    folder = tmp_path / "kinetics" / os.fsdecode(b"caf\xe9")
    folder.mkdir(parents=True)
    (folder / "AAAAAAAAAAA.mp4").write_bytes(good)
    (tmp_path / "a.csv").write_text("yoga,AAAAAAAAAAA,0,10,train\n", encoding="utf-8")
    report = built(annotations.kinetics(tmp_path / "a.csv", tmp_path / "kinetics"), tmp_path / "other", shards=1)
    assert (report.written, report.failed) == (0, 1)
    assert r"caf\\xe9" in (tmp_path / "other/failed.jsonl").read_text(encoding="utf-8")


def test_a_folder_that_reads_as_a_glob(videos, tmp_path, in_process):
    """Built, checked, loaded, shown: by the folder, and by a glob in it."""
    from keras_i3d.data import load
    from keras_i3d.data.record_files import find, read_one

    for name in ("out[1]", "a*b", "c?d"):
        folder = tmp_path / name
        assert built(annotations.find(videos, split="train"), folder).written == 7
        assert built(annotations.find(videos, split="train"), folder).built == 0
        assert check(folder).problems == ()
        for pattern in (folder, f"{folder}/train-*", f"{folder}/train-0000[0-3]-of-00004.tfrecord"):
            assert find(pattern).records == 7
        assert find(folder / "train-00000-of-00004.tfrecord").records is not None
        assert len(list(load(f"{folder}/train-*", clip_frames=3, size=24))) == 7
        assert read_one(f"{folder}/train-*", "3")["id"] == read_one(folder, "3")["id"]
    (tmp_path / "out1").mkdir()
    shutil.copytree(tmp_path / "out[1]", tmp_path / "out1", dirs_exist_ok=True)
    shutil.rmtree(tmp_path / "out[1]")
    assert find(str(tmp_path / "out[1]/train-*")).records == 7, "where there is no such folder, it is a pattern"


def test_the_home_folder(listing, tmp_path, in_process, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert built(listing, "~/out").written == 7
    assert check("~/out").problems == ()
    assert not (tmp_path / "~").exists()
