"""CSV files of several labels a video, with and without their times, to records."""

import dataclasses
import shutil

import pytest
import tensorflow as tf
from made import films

from keras_i3d.cli import show
from keras_i3d.data.record_files import find
from keras_i3d.records import RecordSpec, annotations, build, check, distribute, manifest, sequence_example, shards
from keras_i3d.records.label_cells import labels_of

SPEC = RecordSpec(short_side=32, flow_method=None, fps=5)


def listed(tmp_path, content, *names, **settings):
    for name in names or ("a.mp4", "b.mp4", "c.mp4"):
        (tmp_path / name).touch()
    (tmp_path / "x.csv").write_text(content, encoding="utf-8")
    return annotations.find(tmp_path / "x.csv", **settings)


def facts(listing):
    return [(example.id, example.label, example.index) for example in listing.examples]


def test_several_labels_in_a_cell(tmp_path, capsys):
    lines = ("a.mp4,walk; run;walk,,", "b.mp4,run,,", "c.mp4,,,", '"a.mp4","walk;",0,1.5')
    listing = listed(tmp_path, "\n".join(lines))
    assert (listing.labels, listing.labelling) == (("run", "walk"), "multi")
    assert facts(listing) == [
        ("a.mp4", ("run", "walk"), (0, 1)),
        ("b.mp4", ("run",), (0,)),
        ("c.mp4", (), ()),
        ("a.mp4#t=0,1.5", ("walk",), (1,)),
    ]
    assert [example.indices for example in listing.examples] == [(0, 1), (0,), (), (1,)]
    assert "x.csv: a ; stands between several labels of a video, so labelling=multi is taken" in capsys.readouterr().err


def test_who_says_how_a_file_labels(tmp_path, capsys):
    lines = "a.mp4,run;jump\nb.mp4,run\n"
    single = listed(tmp_path, lines, labelling="single")
    assert (single.labelling, single.labels) == ("single", ("run", "run;jump"))
    assert single.examples[0].indices == (1,)
    assert "labelling" not in capsys.readouterr().err
    multi = listed(tmp_path, "a.mp4,jump\nb.mp4,run\n", labelling="multi", labels=["run", "jump", "fall"])
    assert facts(multi) == [("a.mp4", ("jump",), (1,)), ("b.mp4", ("run",), (0,))]
    none = listed(tmp_path, "path\na.mp4\n", labelling="multi", labels=["run"])
    assert (facts(none), none.labels) == ([("a.mp4", (), ())], ("run",))
    with pytest.raises(ValueError, match=r"line 2: the label is empty.*pass labelling=multi, or labelling=timed if"):
        listed(tmp_path, "a.mp4,run\nb.mp4,\n")
    with pytest.raises(ValueError, match=r"labelling=multi needs labels. Received: none"):
        listed(tmp_path, "path\na.mp4\n", labelling="multi")
    with pytest.raises(ValueError, match=r"labelling is one of single, multi, timed. Received: labelling='some'"):
        listed(tmp_path, lines, labelling="some")
    with pytest.raises(ValueError, match=r"line 1: 'fly' is not one of the 2 labels"):
        listed(tmp_path, "a.mp4,run;fly\n", labels=["run", "jump"])
    with pytest.raises(ValueError, match=r"A video of folder has one label. Received: labelling='multi'"):
        annotations.find(tmp_path, labelling="multi")
    with pytest.raises(ValueError, match=r"x, line 1: each label is text. Received an empty one: 'a;;b'"):
        labels_of("a;;b", "x, line 1")


TIMED = """path,label,start,end
b.mp4,walk,1,2.5
a.mp4,run,0.5,1
b.mp4,run,0,2
b.mp4,walk,0,0.5
c.mp4,,,
"""


def test_rows_of_a_label_and_its_times(tmp_path):
    listing = listed(tmp_path, TIMED, labelling="timed")
    assert (listing.labels, listing.labelling) == (("run", "walk"), "timed")
    assert facts(listing) == [("b.mp4", ("run", "walk"), (0, 1)), ("a.mp4", ("run",), (0,)), ("c.mp4", (), ())]
    assert [example.segments for example in listing.examples] == [
        ((1, "walk", 0, 0.5), (0, "run", 0, 2), (1, "walk", 1, 2.5)),
        ((0, "run", 0.5, 1),),
        (),
    ]
    assert {(example.start, example.end) for example in listing.examples} == {(None, None)}
    trimmed = listed(tmp_path, TIMED.replace("c.mp4,,,", "c.mp4,run,,"))  # without the flag, parts of the videos
    assert [example.id for example in trimmed.examples][:2] == ["b.mp4#t=1,2.5", "a.mp4#t=0.5,1"]
    for row in ("a.mp4,run,1,", "a.mp4,run,,", "a.mp4,,1,2"):
        with pytest.raises(ValueError, match=r"line 2: with labelling=timed a row has a label, its start and its end"):
            listed(tmp_path, f"path,label,start,end\n{row}\n", labelling="timed")


@pytest.fixture(scope="module")
def timed(tmp_path_factory):
    """Records of `TIMED`, whose videos last 3 seconds."""
    folder = tmp_path_factory.mktemp("timed")
    film = films.film([films.picture(i) for i in range(15)], rate=5)
    for name in "abc":
        (folder / f"{name}.mp4").write_bytes(film)
    (folder / "x.csv").write_text(TIMED)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(distribute, "check_installed", lambda: None)
        patch.setattr(distribute, "local", lambda work, offsets, _: [shards.write_shard(work, at) for at in offsets])
        listing = annotations.find(folder / "x.csv", labelling="timed", split="train")
        build(listing, folder / "out", SPEC, shards=1, progress=False)
    return folder / "out"


def test_records_of_labels_with_times(timed):
    made = manifest.read(timed / "train.json")
    assert (made.labelling, made.labels) == ("timed", ("run", "walk"))
    assert dict(zip(made.shards[0].ids, made.shards[0].classes)) == {"a.mp4": (0,), "b.mp4": (0, 1), "c.mp4": ()}
    assert check(timed).problems == ()
    source = find(timed)
    assert (source.labelling, source.counts) == ("timed", (2, 1))
    records = {}
    for raw in tf.data.TFRecordDataset(source.files[0]):
        record = sequence_example.parse(raw)
        records[record["id"].numpy()] = [record[key].numpy().tolist() for key in ("labels", "indices", "segments")]
    assert records == {
        b"a.mp4": [[b"run"], [0], [[0, 500_000, 1_000_000]]],
        b"b.mp4": [[b"run", b"walk"], [0, 1], [[1, 0, 500_000], [0, 0, 2_000_000], [1, 1_000_000, 2_500_000]]],
        b"c.mp4": [[], [], []],
    }


def change(folder, id, edit):
    """Changes the context of one record of the only file of a folder."""
    (path,) = folder.glob("*.tfrecord")
    raws = [tf.train.SequenceExample.FromString(raw.numpy()) for raw in tf.data.TFRecordDataset(str(path))]
    with tf.io.TFRecordWriter(str(path)) as writer:
        for example in raws:
            context = example.context.feature
            if context["example/id"].bytes_list.value[0].decode() == id:
                edit(context)
            writer.write(example.SerializeToString(deterministic=True))


def test_check_of_several_labels_and_their_times(timed, tmp_path):
    def problems(id, edit):
        shutil.copytree(timed, tmp_path / "out", dirs_exist_ok=True)
        change(tmp_path / "out", id, edit)
        return [problem.problem for problem in check(tmp_path / "out").problems if problem.id == id]

    def ints(key, *values):
        return lambda context: context[key].int64_list.value.__setitem__(slice(None), values)

    assert problems("b.mp4", ints("clip/label/index", 0, 0)) == [
        "label 'walk', but label 0 is 'run'",
        "classes [0, 0], [0, 1] in the manifest",
        "a time of class 1, which is not among its classes [0, 0]",
        "a time of class 1, which is not among its classes [0, 0]",
    ]
    assert problems("a.mp4", ints("clip/label/index", 0, 1)) == [
        "2 label indices and 1 labels",
        "classes [0, 1], [0] in the manifest",
    ]
    assert problems("a.mp4", ints("segment/end/timestamp", 500_000)) == [
        "class 0 from 500000 to 500000 microseconds, where 0 <= start < end must hold"
    ]
    made = manifest.read(timed / "train.json")
    shutil.copytree(timed, tmp_path / "out", dirs_exist_ok=True)
    dataclasses.replace(made, labelling="single").write(tmp_path / "out")
    assert {problem.id: problem.problem for problem in check(tmp_path / "out").problems} == {
        "a.mp4": "1 labels with times, none in the manifest",
        "b.mp4": "3 labels with times, none in the manifest",
        "c.mp4": "no label",
    }


def test_segments_of_third_party_records_that_have_no_labels(timed, tmp_path):
    shutil.copy(timed / "train-00000-of-00001.tfrecord", tmp_path / "x.tfrecord")
    change(tmp_path, "b.mp4", lambda context: context.__delitem__("segment/label/index"))
    parsed = [sequence_example.parse(raw) for raw in tf.data.TFRecordDataset(str(tmp_path / "x.tfrecord"))]
    assert {record["id"].numpy(): record["segments"].shape for record in parsed}[b"b.mp4"] == (0, 3)


def test_third_party_records_of_several_labels(timed, tmp_path, capsys):
    shutil.copy(timed / "train-00000-of-00001.tfrecord", tmp_path / "x.tfrecord")
    assert find(tmp_path / "x.tfrecord").labelling == "multi"
    assert "x.tfrecord: records have several labels each, so labelling=multi is taken" in capsys.readouterr().err
    change(tmp_path, "b.mp4", lambda context: context["clip/label/index"].int64_list.value.pop())
    assert find(tmp_path / "x.tfrecord").labelling == "single"


def test_the_title_of_a_record_of_several_labels(timed, capsys):
    show.FLAGS.unparse_flags()
    show.FLAGS(["show", "--record=b.mp4"])
    *_, title, fps = show._record(str(timed))
    assert (title, fps) == ("b.mp4: 0 run, 1 walk, 15 frames, flow: none", 5.0)
    assert capsys.readouterr().out.splitlines() == [
        "0.00 to 0.50 s: 1 walk",
        "0.00 to 2.00 s: 0 run",
        "1.00 to 2.50 s: 1 walk",
    ]


def test_labellings_of_one_folder_agree(timed, tmp_path):
    listing = listed(tmp_path, "a.mp4,run;walk\n", labels=["run", "walk"], split="test")
    with pytest.raises(ValueError, match=r"are labelled alike. Received: multi, and timed in .*train.json"):
        build(listing, timed, SPEC, progress=False)
