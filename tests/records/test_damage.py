"""Records that are damaged, or that nobody who means well has made: an error with file and record, or counted."""

import json
import os
import struct

import pytest
import tensorflow as tf
from made import small_records
from made.checksums import crc32c

from keras_i3d.data.pipeline import dropped, load
from keras_i3d.data.record_files import read_one
from keras_i3d.records import check, framing, manifest, sequence_example

SMALL = {"clip_frames": 4, "size": 24}


def claim(length):
    """A record's length with its right checksum, and bytes that are not as many: 32 in all."""
    header = struct.pack("<Q", length)
    return header + struct.pack("<I", crc32c(header)) + bytes(20)


@pytest.fixture
def folder(tmp_path):
    """Two files of two records each."""
    small_records.split(tmp_path, "test", 4)
    return tmp_path


def shard(folder, number=1):
    return folder / f"test-0000{number}-of-00002.tfrecord"


def raws(path):
    return [raw.numpy() for raw in tf.data.TFRecordDataset(str(path))]


def write(path, contents):
    with tf.io.TFRecordWriter(str(path)) as writer:
        for content in contents:
            writer.write(content)


def changed(raw, change):
    example = tf.train.SequenceExample.FromString(raw)
    change(example.context.feature)
    return example.SerializeToString()


@pytest.mark.parametrize("length", [1 << 40, (1 << 64) - 1, 1 << 63, 21])
def test_a_length_beyond_the_file(length, folder):
    """TensorFlow's reader ends the process at the greatest of these; here the record before is read, the rest lost."""
    whole = shard(folder).read_bytes()
    first = 16 + len(raws(shard(folder))[0])
    shard(folder).write_bytes(whole[:first] + claim(length))
    assert framing.whole_records(shard(folder)) == 1
    assert framing.whole_records(shard(folder, 0)) == -1
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"test-00001-of-00002.tfrecord: test/003.mp4: lost"):
        list(load(str(folder), **SMALL))
    dataset = load(str(folder), errors="count", with_ids=True, **SMALL)
    assert [ids.numpy()[0].decode() for _, _, ids in dataset] == ["test/000.mp4", "test/002.mp4", "test/001.mp4"]
    assert dropped(dataset)["lost"] == 1
    problems = list(map(str, check(folder).problems))
    assert (
        "test-00001-of-00002.tfrecord: unreadable after 1 records of 2: a length is beyond the file's end" in problems
    )
    assert read_one(folder, "test/001.mp4")["id"] == "test/001.mp4"
    with pytest.raises(ValueError, match=r"test-00001-of-00002.tfrecord cannot be read beyond its first 1 records"):
        read_one(folder, "test/003.mp4")
    with pytest.raises(IndexError, match="has no record 1"):
        sequence_example.read(shard(folder), 1)


def test_a_foreign_file_of_nothing_but_a_length(tmp_path, shared):
    (tmp_path / "x.tfrecord").write_bytes(claim(1 << 40))
    assert claim(1 << 40)[:12] == (shared / "cases/hostile/len_240.tfrecord").read_bytes()[:12]
    for path in (tmp_path / "x.tfrecord", shared / "cases/hostile/len_240.tfrecord"):
        with pytest.raises(tf.errors.InvalidArgumentError, match=f"{path.name}: record 0: cut"):
            list(load([path], **SMALL))
        dataset = load([path], errors="count", **SMALL)
        assert list(dataset) == []
        assert dropped(dataset)["cut"] == 1


def test_bytes_that_are_no_record(folder):
    """A right checksum over something else: named, counted, and what follows is read."""
    kept = raws(shard(folder))
    write(shard(folder), [b"\xff\xff", kept[1]])
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"00001-of-00002.tfrecord: test/001.mp4: unparseable"):
        list(load(str(folder), **SMALL))
    for training in (False, True):
        dataset = load(str(folder), training=training, seed=1, errors="count", with_ids=True, **SMALL)
        found = sorted(ids.numpy()[0].decode() for _, _, ids in dataset)
        assert found == ["test/000.mp4", "test/002.mp4", "test/003.mp4"]
        assert dropped(dataset)["unparseable"] == 1
    problems = list(map(str, check(folder).problems))
    assert "test-00001-of-00002.tfrecord: record 0: its bytes are no SequenceExample" in problems
    assert not any("test/003.mp4" in problem for problem in problems)
    with pytest.raises(ValueError, match=r"00001-of-00002.tfrecord: test/001.mp4 is no record"):
        read_one(folder, "test/001.mp4")


@pytest.mark.parametrize(
    ("key", "value", "stream"),
    [
        ("clip/label/index", 3, "rgb"),
        ("clip/label/index", -2, "rgb"),
        ("keras_i3d/flow/bound", float("nan"), "flow"),
        ("keras_i3d/flow/bound", 0.0, "both"),
        ("keras_i3d/flow/bound", float("inf"), "both"),
    ],
)
def test_facts_that_cannot_be(key, value, stream, folder):
    def change(context):
        kind = context[key].int64_list if "index" in key else context[key].float_list
        kind.value[0] = value

    kept = raws(shard(folder))
    write(shard(folder), [kept[0], changed(kept[1], change)])
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"00001-of-00002.tfrecord: test/003.mp4: invalid"):
        list(load(str(folder), stream, **SMALL))
    dataset = load(str(folder), stream, errors="count", **SMALL)
    y = [int(y[0]) for _, y in dataset]
    assert y == [0, 2, 1]
    assert dropped(dataset)["invalid"] == 1
    assert check(folder).problems


def test_a_flow_bound_does_not_matter_to_rgb(folder):
    def change(context):
        context["keras_i3d/flow/bound"].float_list.value[0] = float("nan")

    kept = raws(shard(folder))
    write(shard(folder), [kept[0], changed(kept[1], change)])
    assert len(list(load(str(folder), **SMALL))) == 4


def test_what_is_no_regular_file_is_refused(tmp_path):
    """A pipe would be waited for, for ever."""
    os.mkfifo(tmp_path / "x.tfrecord")
    os.mkfifo(tmp_path / "train.json")
    with pytest.raises(ValueError, match=r"train.json: a regular file is needed"):
        manifest.read(tmp_path / "train.json")
    with pytest.raises(ValueError, match=r"x.tfrecord: a regular file is needed"):
        load([tmp_path / "x.tfrecord"], **SMALL)


def test_the_lengths_of_remote_files_are_not_read():
    assert framing.whole_records("gs://bucket/x.tfrecord") == -1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m["shards"][0].update(name="../x.tfrecord"), "next to the manifest"),
        (lambda m: m["shards"][0].update(name="/etc/passwd"), "next to the manifest"),
        (lambda m: m["shards"][0].update(ids=[1, 2]), "its ids are text"),
        (lambda m: m["spec"].update(flow_bound=float("nan")), "flow_bound must be above 0"),
        (lambda m: m["spec"].update(fps=float("inf")), "fps must be above 0"),
        (lambda m: m.update(shards=7), "shards are a list"),
        (lambda m: m.update(labels=[1, 2, 3]), "labels are text"),
    ],
)
def test_a_manifest_that_cannot_be(change, message, folder):
    path = folder / "test.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    change(content)
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        manifest.read(path)


def test_a_manifest_of_another_shape(folder):
    for text in ("[]", "null", "[" * 100_000):
        (folder / "test.json").write_text(text, encoding="utf-8")
        with pytest.raises(ValueError, match=r"test.json is not a manifest of records"):
            manifest.read(folder / "test.json")


def test_a_foreign_file_that_cannot_be_read_is_named(tmp_path):
    """One record of it is asked for: the others are counted, whatever they are."""
    small_records.split(tmp_path / "made", "test", 1, shards=1)
    path = tmp_path / "x.tfrecord"
    path.write_bytes(claim(1 << 40))
    with pytest.raises(ValueError, match=r"x.tfrecord has no record that can be read"):
        read_one(path, "0")
    kept = raws(tmp_path / "made/test-00000-of-00001.tfrecord")
    write(path, [b"\xff\xff", kept[0]])
    with pytest.raises(ValueError, match=r"x.tfrecord: record 0 is no record that can be shown"):
        read_one(path, "0")
    assert read_one(path, "1")["id"] == read_one(path, "test/000.mp4")["id"] == "test/000.mp4"
    write(path, [tf.train.SequenceExample().SerializeToString(), kept[0]])
    with pytest.raises(ValueError, match=r"x.tfrecord: record 0 is no record that can be shown \(A record to decode"):
        read_one(path, "0")
    content = bytearray(path.read_bytes())
    content[-30] ^= 1  # in the second record: its checksum says so
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"x.tfrecord has no record '1'. It has 1 records"):
        read_one(path, "1")
