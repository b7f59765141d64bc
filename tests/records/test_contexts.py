"""What records say of their videos, read without their pictures; how many clips a class has."""

import dataclasses

import pytest
import tensorflow as tf
from made import small_records

from keras_i3d.data.record_files import find
from keras_i3d.records import contexts, manifest


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two files: the records 0, 2, 4 of the classes 0, 2, 1, and 1, 3 of 1, 0."""
    folder = tmp_path_factory.mktemp("records")
    small_records.split(folder, "test", 5)
    return folder


def rewritten(path, target, change):
    """Copies a file whose first record is changed; returns the path of the copy."""
    raws = [raw.numpy() for raw in tf.data.TFRecordDataset(str(path))]
    with tf.io.TFRecordWriter(str(target)) as writer:
        for raw in (change(raws[0]), *raws[1:]):
            writer.write(raw)
    return target


def several(raw):
    example = tf.train.SequenceExample.FromString(raw)
    example.context.feature["clip/label/index"].int64_list.value[:] = [2, 0, 2]
    example.context.feature["clip/label/string"].bytes_list.value[:] = [b"up", b"left", b"up"]
    return example.SerializeToString(deterministic=True)


def test_contexts_of_a_file(folder, tmp_path):
    path = folder / "test-00000-of-00002.tfrecord"
    assert list(contexts.read(path)) == [
        contexts.Context("test/000.mp4", (0,), ("left",)),
        contexts.Context("test/002.mp4", (2,), ("up",)),
        contexts.Context("test/004.mp4", (1,), ("right",)),
    ]
    first = lambda change: next(contexts.read(rewritten(path, tmp_path / "x.tfrecord", change)))  # noqa: E731
    assert first(several) == contexts.Context("test/000.mp4", (0, 2), ("up", "left", "up"))
    assert first(lambda raw: b"no record") == contexts.Context("", (), ())
    assert first(lambda raw: b"") == contexts.Context("", (), ())

    def swapped(raw):
        """The lists before the context, as no writer that is known has them."""
        example = tf.train.SequenceExample.FromString(raw)
        lists = tf.train.SequenceExample(feature_lists=example.feature_lists)
        return lists.SerializeToString() + tf.train.SequenceExample(context=example.context).SerializeToString()

    def long(raw):
        """A context that is longer than what is read at once."""
        example = tf.train.SequenceExample.FromString(raw)
        example.context.feature["clip/note"].bytes_list.value.append(bytes(3 * contexts.HEAD))
        return example.SerializeToString()

    assert first(swapped) == first(long) == contexts.Context("test/000.mp4", (0,), ("left",))
    content = path.read_bytes()
    (tmp_path / "cut.tfrecord").write_bytes(content[:-20])
    assert [context.id for context in contexts.read(tmp_path / "cut.tfrecord")] == ["test/000.mp4", "test/002.mp4"]


def test_counts_are_read_where_nobody_noted_them(folder, tmp_path, capsys):
    source = find(folder)
    assert source.counts == (2, 2, 1)
    assert source.record_classes == (((0,), (2,), (1,)), ((1,), (0,)))
    said = capsys.readouterr().err
    assert "the classes of 2 files of records are read from the records, first" in said
    made = manifest.read(folder / "test.json")
    noted = [dataclasses.replace(shard, classes=((1,),) * len(shard.ids)) for shard in made.shards]
    dataclasses.replace(made, shards=tuple(noted)).write(tmp_path)
    for shard in made.shards:
        (tmp_path / shard.name).touch()
    assert find(tmp_path).counts == (0, 5, 0), "from the manifest alone: the files are empty"
    assert "are read from the records" not in capsys.readouterr().err
    bad = dataclasses.replace(noted[0], classes=((0,), (1,), (7,)))
    dataclasses.replace(made, shards=(bad, noted[1])).write(tmp_path)
    with pytest.raises(ValueError, match=r"classes are among the 3 labels. Received: 7"):
        find(tmp_path).counts  # noqa: B018


def test_counts_of_third_party_files(folder, tmp_path):
    path = rewritten(folder / "test-00000-of-00002.tfrecord", tmp_path / "x.tfrecord", several)
    assert find(path).counts == (1, 1, 2), "without labels, as many as the highest class has"
