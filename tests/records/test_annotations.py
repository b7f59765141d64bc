"""Annotation files as published and plain folders to examples: names, orders, splits, and files that are wrong."""

import ast
import collections
import os
import pathlib
import pickle

import pytest

from keras_i3d import cli
from keras_i3d.records import annotation_files, annotations, video_files
from keras_i3d.records.annotations import Missing, find

HEADER = "label,youtube_id,time_start,time_end,split,is_cc\n"


def tree(root, *paths):
    """Empty files, and the folder that holds them."""
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()
    return root


def text(path, content, encoding="utf-8"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode(encoding))
    return path


def ids(listing):
    return [example.id for example in listing.examples]


def paths(listing, root):
    return [os.path.relpath(example.path, root) for example in listing.examples]


# Kinetics


@pytest.fixture
def clips(tmp_path):
    return tree(
        tmp_path / "videos",
        "-bcdefghi_k_000017_000027.mp4",
        "playing cricket/AAAAAAAAAAA_000000_000010.webm",
        "massaging_person's_head/BBBBBBBBBBB.mkv",
    )


ROWS = (
    "playing cricket,-bcdefghi_k,17,27,train,0\n"
    '"playing cricket",AAAAAAAAAAA,0,10,train,0\n'
    "massaging person's head,BBBBBBBBBBB,63,73,train,1\n"
    '"cutting, slicing",CCCCCCCCCCC,5,15,train,1\n'
)


def test_kinetics(tmp_path, clips, capsys):
    listing = annotations.kinetics(text(tmp_path / "a.csv", HEADER + ROWS), clips)
    assert (listing.name, listing.split) == ("kinetics", "train")
    assert listing.labels == ("cutting, slicing", "massaging person's head", "playing cricket")
    assert ids(listing) == ["-bcdefghi_k_000017_000027", "AAAAAAAAAAA_000000_000010", "BBBBBBBBBBB_000063_000073"]
    assert paths(listing, clips) == [
        "-bcdefghi_k_000017_000027.mp4",
        "playing cricket/AAAAAAAAAAA_000000_000010.webm",
        "massaging_person's_head/BBBBBBBBBBB.mkv",
    ]
    assert [(e.index, e.label, e.start, e.end) for e in listing.examples] == [
        (2, "playing cricket", None, None),  # cut already
        (2, "playing cricket", None, None),
        (1, "massaging person's head", 63.0, 73.0),
    ]
    assert listing.missing == (Missing("CCCCCCCCCCC_000005_000015", "CCCCCCCCCCC_000005_000015.mp4"),)
    said = capsys.readouterr().err
    assert "3 labels are put in sorted order" in said
    assert "1 of 4 listed videos are not in" in said
    assert "1 of 3 videos are named by their id alone" in said
    assert pickle.loads(pickle.dumps(listing)) == listing


@pytest.mark.parametrize("how", ["bom", "crlf", "no header", "other column order", "blank lines", "floats", "spaces"])
def test_kinetics_spellings_of_one_file(tmp_path, clips, how):
    plain = annotations.kinetics(text(tmp_path / "a.csv", HEADER + ROWS), clips)
    content, encoding = HEADER + ROWS, "utf-8"
    if how == "bom":
        encoding = "utf-8-sig"
    elif how == "crlf":
        content = content.replace("\n", "\r\n")
    elif how == "no header":
        content = ROWS
    elif how == "other column order":
        content = "YouTube_id,time_start,time_end,label,split\n" + (
            "-bcdefghi_k,17,27,playing cricket,train\nAAAAAAAAAAA,0,10,playing cricket,train\n"
            "BBBBBBBBBBB,63,73,massaging person's head,train\n"
            'CCCCCCCCCCC,5,15,"cutting, slicing",train\n'
        )
    elif how == "blank lines":
        content = content.replace("\n", "\n\n")
    elif how == "floats":
        content = content.replace("17,27", "17.0,27.0")
    elif how == "spaces":
        content = content.replace('\n"', '\n "').replace(",17,", " , 17 , ")
    assert annotations.kinetics(text(tmp_path / "b.csv", content, encoding), clips) == plain


@pytest.mark.parametrize("header", ["youtube_id,time_start,time_end,split\n", ""])
def test_kinetics_test_list_without_labels(tmp_path, clips, header, capsys):
    rows = "AAAAAAAAAAA,0,10,test\nBBBBBBBBBBB,63,73,test\n"
    listing = annotations.kinetics(text(tmp_path / "a.csv", header + rows), clips)
    assert (listing.labels, listing.split) == ((), "test")
    assert [(e.label, e.index, e.start) for e in listing.examples] == [(None, None, None), (None, None, 63.0)]
    assert "sorted order" not in capsys.readouterr().err
    assert annotations.kinetics(tmp_path / "a.csv", clips, labels=["x", "y"]).labels == ("x", "y")


def test_kinetics_empty_label_column_is_none(tmp_path, clips):
    listing = annotations.kinetics(text(tmp_path / "a.csv", HEADER + ",AAAAAAAAAAA,0,10,test,0\n"), clips)
    assert (listing.labels, listing.examples[0].label) == ((), None)


def test_kinetics_label_order_is_the_callers(tmp_path, clips, capsys):
    order = ["playing cricket", "zumba", "cutting, slicing", "massaging person's head"]
    file = text(tmp_path / "labels.txt", "\r\n".join(order) + "\r\n", "utf-8-sig")
    for labels in (order, file, str(file)):
        listing = annotations.kinetics(text(tmp_path / "a.csv", HEADER + ROWS), clips, labels=labels)
        assert listing.labels == tuple(order)
        assert [e.index for e in listing.examples] == [0, 0, 3]
    assert "sorted order" not in capsys.readouterr().err


def test_kinetics_labels_are_those_of_all_splits_in_the_file(tmp_path, clips):
    rows = "yoga,AAAAAAAAAAA,0,10,train,0\nabseiling,BBBBBBBBBBB,0,10,validate,0\n"
    both = text(tmp_path / "a.csv", HEADER + rows)
    for asked in ("val", "validate", "validation"):
        listing = annotations.kinetics(both, clips, split=asked)
        assert (listing.split, ids(listing)) == ("validate", ["BBBBBBBBBBB_000000_000010"])
        assert listing.labels == ("abseiling", "yoga")
    assert [e.index for e in annotations.kinetics(both, clips, split="train").examples] == [1]
    with pytest.raises(ValueError, match="several splits: train, validate"):
        annotations.kinetics(both, clips)
    with pytest.raises(ValueError, match="are train, validate. Received: split='test'"):
        annotations.kinetics(both, clips, split="test")


@pytest.mark.parametrize(
    ("name", "split", "expected"),
    [("kinetics_val.csv", None, "val"), ("x.csv", None, "all"), ("x.csv", "holdout", "holdout")],
)
def test_kinetics_without_a_split_column(tmp_path, clips, name, split, expected):
    file = text(tmp_path / name, "label,youtube_id,time_start,time_end\nyoga,AAAAAAAAAAA,0,10\n")
    listing = annotations.kinetics(file, clips, split=split)
    assert (listing.split, listing.examples[0].split) == (expected, expected)


def test_kinetics_choice_among_files_of_one_clip(tmp_path):
    """Cut before whole; the label's folder, then the videos folder, then others; then mp4; then by name."""
    names = [
        "other/AAAAAAAAAAA_000001_000011.mp4",
        "AAAAAAAAAAA_000001_000011.avi",
        "AAAAAAAAAAA_000001_000011.mp4",
        "hand_stand/AAAAAAAAAAA_000001_000011.mkv",
    ]
    file = text(tmp_path / "a.csv", HEADER + "hand stand,AAAAAAAAAAA,1,11,train,0\n")
    videos = tree(tmp_path / "v", "hand_stand/AAAAAAAAAAA.mp4", "hand_stand/AAAAAAAAAAA_000001_000011.mp4.part")
    assert annotations.kinetics(file, videos).examples[0].end == 11
    chosen = []
    for name in names:
        tree(videos, name)
        chosen += paths(annotations.kinetics(file, videos), videos)
    assert chosen == [names[0], names[1], names[2], names[3]]


def test_kinetics_one_video_with_two_clips(tmp_path):
    rows = "cutting apple,c9ZWYpxefXQ,64,74,val,0\npeeling apples,c9ZWYpxefXQ,14,24,val,0\n"
    videos = tree(tmp_path / "v", "cutting apple/c9ZWYpxefXQ.mp4")
    listing = annotations.kinetics(text(tmp_path / "a.csv", HEADER + rows), videos)
    assert [(e.label, e.start) for e in listing.examples] == [("cutting apple", 64), ("peeling apples", 14)]
    assert len(set(ids(listing))) == 2


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "a.csv: the file is empty"),
        ("\n\n", "a.csv: the file is empty"),
        (HEADER, "a.csv: the file has a header and nothing else"),
        ("one,two\n", "a.csv, line 1: Kinetics annotations have the columns"),
        ("label,youtube_id,time_start\nyoga,A,1\n", "line 1: the header has no column time_end"),
        (HEADER + "yoga,A,1,11,train,0\n" + "yoga,B,1,11\n", "line 3: 6 columns are expected"),
        (HEADER + "yoga, hot,A,1,11,train,0\n", "line 2: .*needs quotes"),
        (HEADER + "yoga,A,one,11,train,0\n", "line 2: times are seconds. Received: start='one'"),
        (HEADER + "yoga,A,nan,11,train,0\n", "line 2: times are seconds"),
        (HEADER + "yoga,A,11,11,train,0\n", "line 2: 0 <= start < end"),
        (HEADER + "yoga,A,-1,11,train,0\n", "line 2: 0 <= start < end"),
        (HEADER + "yoga,A,,11,train,0\n", "line 2: a start and an end are needed"),
        (HEADER + "yoga,,1,11,train,0\n", "line 2: youtube_id is empty"),
        (HEADER + "yoga,A,1,11,,0\n", "line 2: split is empty"),
        (HEADER + "yoga,A,1,11,train,0\n,B,1,11,train,0\n", "line 3: the label is empty"),
        (HEADER + 'yoga,A,1,11,train,0\n"yoga,B,1,11,train,0\nyoga,C,1,11,train,0\n', "line 3: not a row"),
        (HEADER + 'yoga,A,1,11,train,0\nyoga,B,1,11,train,"0\n1"\nyoga,C,2,1,train,0\n', "line 5: 0 <= start"),
        (
            HEADER + "yoga,A,1,11,train,0\nyoga,B,1,11,train,0\nyoga,A,1,11,train,0\n",
            "line 4: A_000001_000011 is .*line 2",
        ),
    ],
)
def test_kinetics_files_that_are_wrong(tmp_path, content, message):
    videos = tree(tmp_path / "v", "A_000001_000011.mp4")
    with pytest.raises(ValueError, match=message):
        annotations.kinetics(text(tmp_path / "a.csv", content), videos)


def test_a_label_outside_the_labels_is_named(tmp_path, clips):
    file = text(tmp_path / "a.csv", HEADER + "abseiling,AAAAAAAAAAA,0,10,train,0\n")
    with pytest.raises(ValueError, match="a.csv, line 2: 'abseiling' is not one of the 2 .*nearest is 'abseling'"):
        annotations.kinetics(file, clips, labels=["abseling", "yoga"])


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ("a\n\nb\n", "line 2: empty"),
        ("a\nb\na\n", "Received twice: 'a'"),
        (" \n", "the file is empty"),
        ([], "at least one label"),
        ([1], "a label is text"),
        (["a", "a"], "Received twice"),
    ],
)
def test_labels_that_are_wrong(tmp_path, clips, labels, message):
    file = text(tmp_path / "a.csv", HEADER + ROWS)
    if isinstance(labels, str):
        labels = text(tmp_path / "labels.txt", labels)
    with pytest.raises(ValueError, match=message):
        annotations.kinetics(file, clips, labels=labels)


def test_files_that_cannot_be_read(tmp_path, clips):
    with pytest.raises(ValueError, match="none.csv: the file cannot be read .No such file"):
        annotations.kinetics(tmp_path / "none.csv", clips)
    with pytest.raises(ValueError, match="the file cannot be read .Is a directory"):
        annotations.kinetics(clips, clips)
    with pytest.raises(ValueError, match="annotation files are UTF-8"):
        annotations.kinetics(text(tmp_path / "a.csv", HEADER + "café,A,1,11,train,0\n", "latin-1"), clips)
    with pytest.raises(ValueError, match="annotation files are UTF-8"):
        annotations.kinetics(text(tmp_path / "a.csv", HEADER + ROWS, "utf-16"), clips)
    with pytest.raises(ValueError, match="The videos folder cannot be listed: .*nowhere"):
        annotations.kinetics(text(tmp_path / "a.csv", HEADER + ROWS), tmp_path / "nowhere")
    with pytest.raises(ValueError, match="The videos folder cannot be listed: .*Not a directory"):
        annotations.kinetics(tmp_path / "a.csv", tmp_path / "a.csv")
    with pytest.raises(ValueError, match="None of the 4 videos that .*a.csv lists is in .*v. The first is -bcd"):
        annotations.kinetics(tmp_path / "a.csv", tree(tmp_path / "v", "notes.txt"))


def test_each_folder_is_listed_once_and_no_file_is_looked_at(tmp_path, monkeypatch):
    """What makes 240,000 files on a network disk bearable."""
    rows = [(f"class {i % 7}", f"video{i:06d}") for i in range(400)]
    videos = tree(tmp_path / "v", *[f"{label}/{name}_000000_000010.mp4" for label, name in rows if name[-1] != "3"])
    content = HEADER + "".join(f"{label},{name},0,10,train,0\n" for label, name in rows)
    file = text(tmp_path / "a.csv", content)
    listed, scandir = collections.Counter(), os.scandir

    def counted(path):
        listed[os.path.relpath(path, videos)] += 1
        return scandir(path)

    def refused(path, *args, **kwargs):
        raise AssertionError(f"looked at {path}")

    with monkeypatch.context() as patch:
        patch.setattr(video_files.os, "scandir", counted)
        patch.setattr(os, "stat", refused)
        patch.setattr(os, "lstat", refused)
        listing = annotations.kinetics(file, videos)
    assert listed == dict.fromkeys([".", *[f"class {i}" for i in range(7)]], 1)
    assert (len(listing.examples), len(listing.missing)) == (360, 40)


# UCF101


@pytest.fixture
def ucf(tmp_path):
    lists = tmp_path / "ucfTrainTestlist"
    text(lists / "classInd.txt", "1 ApplyEyeMakeup\r\n2 HandstandPushups\r\n3 YoYo\r\n")
    text(
        lists / "trainlist01.txt",
        "YoYo/v_YoYo_g08_c01.avi 3\r\nHandstandPushups/v_HandStandPushups_g08_c01.avi 2\r\n"
        "HandstandPushups/v_HandstandPushups_g09_c01.avi 2\r\nApplyEyeMakeup/v_ApplyEyeMakeup_g08_c01.avi 1\r\n",
    )
    text(lists / "testlist01.txt", "YoYo/v_YoYo_g01_c01.avi\nHandstandPushups/v_HandStandPushups_g01_c01.avi\n")
    text(lists / "trainlist02.txt", "YoYo/v_YoYo_g01_c01.avi 3\n")
    videos = tree(
        tmp_path / "UCF-101",
        "YoYo/v_YoYo_g08_c01.avi",
        "YoYo/v_YoYo_g01_c01.avi",
        "HandstandPushups/v_HandStandPushups_g08_c01.avi",
        "HandstandPushups/v_HandStandPushups_g09_c01.avi",
        "handstandpushups/v_HandstandPushups_g01_c01.mp4",
    )
    return lists, videos


def test_ucf101(ucf):
    lists, videos = ucf
    train = annotations.ucf101(lists, videos)
    assert (train.name, train.split) == ("ucf101-split1", "train")
    assert train.labels == ("ApplyEyeMakeup", "HandstandPushups", "YoYo")
    assert ids(train) == [
        "YoYo/v_YoYo_g08_c01.avi",
        "HandstandPushups/v_HandStandPushups_g08_c01.avi",
        "HandstandPushups/v_HandstandPushups_g09_c01.avi",
    ]
    assert paths(train, videos)[2] == "HandstandPushups/v_HandStandPushups_g09_c01.avi"
    assert [e.index for e in train.examples] == [2, 1, 1]
    eye = "ApplyEyeMakeup/v_ApplyEyeMakeup_g08_c01.avi"
    assert train.missing == (Missing(eye, eye),)
    test = annotations.ucf101(lists, videos, "test")
    assert [(e.label, e.index, e.split) for e in test.examples] == [
        ("YoYo", 2, "test"),
        ("HandstandPushups", 1, "test"),
    ]
    assert paths(test, videos)[1] == "handstandpushups/v_HandstandPushups_g01_c01.mp4"
    assert ids(annotations.ucf101(lists, videos, "train", 2)) == ["YoYo/v_YoYo_g01_c01.avi"]


def test_ucf101_class_in_another_case(ucf):
    lists, videos = ucf
    text(lists / "trainlist01.txt", "HandStandPushups/v_HandStandPushups_g08_c01.avi 2\n")
    (example,) = annotations.ucf101(lists, videos).examples
    assert (example.label, example.index) == ("HandstandPushups", 1)


def test_ucf101_in_one_flat_folder(ucf, tmp_path):
    flat = tree(tmp_path / "flat", "v_YoYo_g08_c01.avi", "ApplyEyeMakeup/v_HandStandPushups_g08_c01.avi")
    listing = annotations.ucf101(ucf[0], flat)
    assert paths(listing, flat) == ["v_YoYo_g08_c01.avi"]  # another class's folder does not count
    assert len(listing.missing) == 3


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("trainlist01.txt", "YoYo/v.avi 2\n", "line 1: YoYo has the id 3"),
        ("trainlist01.txt", "YoYo/v.avi 3\nYoYo/w.avi\n", 'line 2: must be "Class/video.avi Id"'),
        ("trainlist01.txt", "v.avi 3\n", 'line 1: must be "Class/video.avi Id"'),
        ("trainlist01.txt", "YoYo/v.avi 3\nYoYos/w.avi 3\n", "line 2: 'YoYos' is not one of the 3 .*nearest is 'YoYo'"),
        ("trainlist01.txt", "YoYo/v.avi 3\n\nYoYo/v.avi 3\n", "line 3: YoYo/v.avi is listed before, in .*line 1"),
        ("trainlist01.txt", "", "trainlist01.txt: the file is empty"),
        ("classInd.txt", "1 ApplyEyeMakeup\n3 YoYo\n", 'line 2: must be "2 ClassName". Received: .3 YoYo'),
        ("classInd.txt", "1 ApplyEyeMakeup\n2\n", 'line 2: must be "2 ClassName"'),
        ("classInd.txt", "1 YoYo\n2 YoYo\n", "Received twice: 'YoYo'"),
    ],
)
def test_ucf101_files_that_are_wrong(ucf, name, content, message):
    lists, videos = ucf
    text(lists / name, content)
    with pytest.raises(ValueError, match=message):
        annotations.ucf101(lists, tree(videos, "YoYo/v.avi"))


@pytest.mark.parametrize("reader", [annotations.ucf101, annotations.hmdb51])
def test_splits_that_do_not_exist(ucf, reader):
    with pytest.raises(ValueError, match='"train" and "test". Received: split=\'val\''):
        reader(*ucf, "val")
    with pytest.raises(ValueError, match="1, 2 or 3: .*number=4"):
        reader(*ucf, "train", 4)


def test_split_lists_that_are_absent(ucf):
    with pytest.raises(ValueError, match="trainlist03.txt: the file cannot be read"):
        annotations.ucf101(*ucf, number=3)
    with pytest.raises(ValueError, match="called <class>_test_split1.txt. There is none in"):
        annotations.hmdb51(*ucf)


# HMDB51


@pytest.fixture
def hmdb(tmp_path):
    lists = tmp_path / "testTrainMulti_7030_splits"
    odd = "Fellowship_5_shoot_bow_[u]_cm!&_np1_fr_*_med_1.avi"
    text(lists / "shoot_bow_test_split1.txt", f"{odd} 1 \nb(1).avi 2 \nc.avi 0 \nsame.avi 1 \n")
    text(lists / "brush_hair_test_split1.txt", "z.avi 1 \na.avi 1 \nsame.avi 1 \n")
    text(lists / "brush_hair_test_split2.txt", "z.avi 2 \n")
    videos = tree(
        tmp_path / "hmdb",
        *[f"shoot_bow/{name}" for name in (odd, "b(1).avi", "c.avi", "same.avi")],
        *[f"brush_hair/{name}" for name in ("z.avi", "a.avi")],
    )
    return lists, videos, odd


def test_hmdb51(hmdb):
    lists, videos, odd = hmdb
    train = annotations.hmdb51(lists, videos)
    assert (train.name, train.split, train.labels) == ("hmdb51-split1", "train", ("brush_hair", "shoot_bow"))
    expected = ["brush_hair/z.avi", "brush_hair/a.avi", f"shoot_bow/{odd}", "shoot_bow/same.avi"]
    assert ids(train) == paths(train, videos) == expected
    assert [e.index for e in train.examples] == [0, 0, 1, 1]
    assert train.missing == (Missing("brush_hair/same.avi", "brush_hair/same.avi"),)
    assert ids(annotations.hmdb51(lists, videos, "test")) == ["shoot_bow/b(1).avi"]
    assert ids(annotations.hmdb51(lists, videos, "test", 2)) == ["brush_hair/z.avi"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("z.avi 3\n", 'line 1: must be "video.avi 0", 1 or 2. Received: .z.avi 3'),
        ("a.avi 1\nz.avi\n", "line 2: must be"),
        ("a.avi 1\na.avi 1\n", "line 2: brush_hair/a.avi is listed before"),
        ("", "brush_hair_test_split1.txt: the file is empty"),
    ],
)
def test_hmdb51_files_that_are_wrong(hmdb, content, message):
    text(hmdb[0] / "brush_hair_test_split1.txt", content)
    with pytest.raises(ValueError, match=message):
        annotations.hmdb51(*hmdb[:2])


def test_hmdb51_split_without_a_video(hmdb):
    with pytest.raises(ValueError, match="lists no videos in the split 'train'"):
        annotations.hmdb51(*hmdb[:2], "train", 2)


# Folders


def test_folder(tmp_path, capsys):
    videos = tree(
        tmp_path / "v", "b/2.mp4", "b/10.AVI", "b/notes.txt", "b/.hidden.mp4", "a a/x.webm", "c/deep/y.mp4", "top.mp4"
    )
    tree(videos, ".cache/x.mp4")
    (videos / "b" / "broken.mp4").symlink_to("nowhere.mp4")
    (videos / "b" / "linked.mp4").symlink_to("2.mp4")
    listing = annotations.folder(videos)
    assert (listing.name, listing.split, listing.labels) == ("folder", "all", ("a a", "b", "c"))
    assert ids(listing) == paths(listing, videos) == ["a a/x.webm", "b/10.AVI", "b/2.mp4", "b/linked.mp4"]
    assert [e.index for e in listing.examples] == [0, 1, 1, 1]
    assert listing.missing == (Missing("b/broken.mp4", "b/broken.mp4"),)
    said = capsys.readouterr().err
    assert "2 files are no videos in class folders, and left out (first: b/notes.txt)" in said
    assert "1 folders are too deep, and left out (first: c/deep)" in said
    assert "2 names begin with a dot, and left out (first: .cache)" in said
    assert "1 of 3 classes have no video (first: c)" in said


def test_a_folder_that_is_linked_twice_is_taken_once(tmp_path, capsys):
    """Where it is, or else by the first link; links that lead up or in a circle come to an end."""
    videos = tree(tmp_path / "v", "run/1.mp4", "run/deep/2.mp4")
    tree(tmp_path / "elsewhere", "3.mp4")
    for name, target in (("a", "run"), ("up", "."), ("x", "../elsewhere"), ("y", "../elsewhere")):
        (videos / name).symlink_to(target)
    found = video_files.walk(videos)
    assert found.videos == ("run/1.mp4", "run/deep/2.mp4", "x/3.mp4")
    assert (found.folders, found.again) == (("run", "run/deep", "x"), ("a", "up", "y"))
    listing = annotations.folder(videos)
    assert (listing.labels, ids(listing)) == (("run", "x"), ["run/1.mp4", "x/3.mp4"])
    assert "3 linked folders are taken once already, and left out (first: a)" in capsys.readouterr().err
    (videos / "run/out").symlink_to(tmp_path)  # which holds all of it again, under other names
    assert video_files.walk(videos).videos == ("run/1.mp4", "run/deep/2.mp4", "x/3.mp4")


def test_a_folder_below_that_cannot_be_listed(tmp_path, monkeypatch):
    videos, scandir = tree(tmp_path / "v", "run/1.mp4", "jump/2.mp4"), os.scandir

    def refusing(path):
        if os.path.basename(path) == "run":
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(video_files.os, "scandir", refusing)
    found = video_files.walk(videos)
    assert found.videos == ("jump/2.mp4",)
    ((place, problem),) = found.unlisted
    assert place == "run"
    assert problem == f"A folder in {videos} cannot be listed: {videos}/run (Permission denied)"
    with pytest.raises(ValueError, match="run .Permission denied"):
        annotations.folder(videos)


def test_folder_order_of_labels_file(tmp_path):
    videos = tree(tmp_path / "v", "a/1.mp4", "b/1.mp4")
    text(videos / "labels.txt", "b\nempty\na\n")
    listing = annotations.folder(videos)
    assert (listing.labels, ids(listing)) == (("b", "empty", "a"), ["b/1.mp4", "a/1.mp4"])
    assert [e.index for e in listing.examples] == [0, 2]
    assert annotations.folder(videos, labels=["a", "b"]).labels == ("a", "b")
    text(videos / "labels.txt", "b\nA1\n")
    with pytest.raises(ValueError, match="v/a: 'a' is not one of the 2 labels"):
        annotations.folder(videos)


def test_folder_without_videos(tmp_path):
    with pytest.raises(ValueError, match="has none.$"):
        annotations.folder(tree(tmp_path / "v", "a/notes.txt"))
    with pytest.raises(ValueError, match="has none. train/a is a folder: classes may lie one level further down"):
        annotations.folder(tree(tmp_path / "w", "train/b/1.mp4", "train/a/1.mp4"))


# CSV


def test_csv(tmp_path, capsys):
    tree(tmp_path, "v/a b.mp4", "v/c.mp4", "v/.d.mp4", "v/e.mp4/f.txt")
    rows = "v/a b.mp4,run\n./v/c.mp4,jump\nv/none.mp4,jump\nv/.d.mp4,run\nv/e.mp4,run\nw/x.mp4,run\n"
    listing = annotations.csv(text(tmp_path / "list.csv", rows), split="train")
    assert (listing.name, listing.split, listing.labels) == ("csv", "train", ("jump", "run"))
    assert ids(listing) == ["v/a b.mp4", "v/c.mp4", "v/.d.mp4"]
    assert [(e.label, e.index, e.start, e.end) for e in listing.examples][:2] == [
        ("run", 1, None, None),
        ("jump", 0, None, None),
    ]
    assert [m.path for m in listing.missing] == ["v/none.mp4", "v/e.mp4", "w/x.mp4"]
    assert "2 labels are put in sorted order" in capsys.readouterr().err


def test_csv_header_times_and_videos_folder(tmp_path):
    videos = tree(tmp_path / "v", "a.mp4")
    rows = "Label,end,path,start\nrun,4,a.mp4,1.5\nrun,,a.mp4,4\nrun,2,a.mp4,\nrun,,a.mp4,\n"
    listing = annotations.csv(text(tmp_path / "l/list.csv", rows, "utf-8-sig"), videos, labels=["jump", "run"])
    assert ids(listing) == ["a.mp4#t=1.5,4", "a.mp4#t=4", "a.mp4#t=,2", "a.mp4"]
    assert [(e.start, e.end) for e in listing.examples] == [(1.5, 4.0), (4.0, None), (None, 2.0), (None, None)]
    assert {e.index for e in listing.examples} == {1}
    assert {e.path for e in listing.examples} == {str(videos / "a.mp4")}


@pytest.mark.parametrize("rows", ["path\na.mp4\n", "path,label\na.mp4,\n", "a.mp4,\n"])
def test_csv_without_labels(tmp_path, rows):
    listing = annotations.csv(text(tree(tmp_path, "a.mp4") / "list.csv", rows))
    assert (listing.labels, listing.examples[0].label, listing.examples[0].index) == ((), None, None)


def test_csv_ids_hold_no_absolute_path(tmp_path):
    """The same dataset on two machines has the same ids."""
    found = []
    for machine in ("one", "two/deeper"):
        root = tree(tmp_path / machine, "in/a.mp4", "out/x/b.mp4", "out/y/c.mp4")
        rows = f"a.mp4,r\n{root}/in/../in/a.mp4,r,1,2\n{root}/out/x/b.mp4,r\n{root}/out/y/c.mp4,r\n"
        rows = "path,label,start,end\n" + "".join(r + ("" if r.count(",") == 3 else ",,") + "\n" for r in rows.split())
        found.append(ids(annotations.csv(text(root / "l.csv", rows), root / "in")))
    assert found[0] == found[1] == ["a.mp4", "a.mp4#t=1,2", "x/b.mp4", "y/c.mp4"]


def test_csv_in_the_current_folder(tmp_path, monkeypatch):
    text(tree(tmp_path, "a.mp4") / "list.csv", "a.mp4,run\n")
    monkeypatch.chdir(tmp_path)
    assert annotations.csv("list.csv").examples[0].path == "a.mp4"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("path,lable\na.mp4,x\n", "line 1: the columns are path, label, start, end, each once"),
        ("path,path\na.mp4,x\n", "line 1: the columns are"),
        ("path,label\n", "a header and nothing else"),
        ("a.mp4\n", "line 1: a row is path,label or"),
        ("a.mp4,x,1,2,3\n", "line 1: a row is path,label or"),
        ("a.mp4,x\na.mp4,x,1,2\n", "line 2: 2 columns are expected"),
        ("a.mp4,x\n,x\n", "line 2: the path is empty"),
        ("a.mp4,x,2,1\n", "line 1: 0 <= start < end"),
        ("a.mp4,x\nb.mp4,\n", "line 2: the label is empty"),
        ("a.mp4,x\n./a.mp4,y\n", "line 2: a.mp4 is listed before"),
        ("b.mp4,x\n", "None of the 1 videos"),
    ],
)
def test_csv_files_that_are_wrong(tmp_path, content, message):
    tree(tmp_path, "a.mp4")
    with pytest.raises(ValueError, match=message):
        annotations.csv(text(tmp_path / "list.csv", content))


# One entry


def test_find(tmp_path, clips, ucf, hmdb):
    mine = tree(tmp_path / "mine:1", "a/1.mp4")
    table = text(tmp_path / "list.CSV", "mine:1/a/1.mp4,a\n")
    below = text(tmp_path / "below.csv", "a/1.mp4,a\n")
    clip_list = text(tmp_path / "train.csv", HEADER + ROWS)
    assert find(mine) == find(f"folder:{mine}") == annotations.folder(mine)
    assert find(mine, split="train", labels=["b", "a"]) == annotations.folder(mine, ["b", "a"], "train")
    assert find(str(table)) == find(f"csv:{table}") == annotations.csv(table)
    assert find(f"csv:{mine}", below, split="test") == annotations.csv(below, mine, split="test")
    assert find(f"kinetics:{clips}", clip_list) == annotations.kinetics(clip_list, clips)
    assert find(f"ucf101:{ucf[1]}", ucf[0], split="test") == annotations.ucf101(*ucf, "test")
    assert find(f"ucf101:{ucf[1]}", number=2) == annotations.ucf101(*ucf, "train", 2)  # its lists lie beside it
    assert find(f"hmdb51:{hmdb[1]}") == annotations.hmdb51(*hmdb[:2])


@pytest.mark.parametrize(
    ("source", "options", "message"),
    [
        ("kinetic:VIDEOS", {}, "'kinetic' is no kind of dataset; the kinds are folder, csv, kinetics, ucf101, hmdb51"),
        ("kinetics:", {}, "PATH or KIND:PATH"),
        ("VIDEOS/none", {}, "No such file or folder: .*the kinds are folder, csv, kinetics, ucf101, hmdb51"),
        (
            "VIDEOS/a/1.mp4",
            {},
            "the kinds are folder, csv, kinetics, ucf101, hmdb51, charades, records. Received the file",
        ),
        ("folder:VIDEOS/none", {}, "The videos folder cannot be listed"),
        ("kinetics:VIDEOS", {}, "kinetics needs its CSV file"),
        ("ucf101:VIDEOS", {}, "no ucfTrainTestlist in .* or next to it"),
        ("hmdb51:VIDEOS", {}, "no testTrainMulti_7030_splits in"),
        ("hmdb51:VIDEOS", {"labels": ["a"]}, "labels of hmdb51 come from its own files"),
        ("VIDEOS", {"number": 2}, "numbered splits. Received: number=2 with folder"),
        ("VIDEOS", {"annotations": "x.csv"}, "no annotations. Received: annotations='x.csv'.*kinds are folder, csv"),
    ],
)
def test_find_refuses(tmp_path, source, options, message):
    videos = tree(tmp_path / "v", "a/1.mp4")
    with pytest.raises(ValueError, match=message):
        find(source.replace("VIDEOS", str(videos)), **options)


def test_datasets_need_no_tensorflow():
    for module in (annotations, video_files, annotation_files):
        for node in ast.walk(ast.parse(pathlib.Path(module.__file__).read_text())):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else [getattr(node, "module", None)]
            assert not {str(name).split(".")[0] for name in names} & {"tensorflow", "keras", "numpy"}


# What file names and annotation files may hold


@pytest.mark.parametrize("split", ["fold/1", "/abs/out", "..", ".", "", "a*", "a[1]", "a?", "-x", "a\nb", "x" * 101])
def test_a_split_that_is_no_part_of_a_file_name(tmp_path, clips, split, ucf):
    videos = tree(tmp_path / "v", "run/1.mp4")
    rule = "the name of a split begins those of its files"
    with pytest.raises(ValueError, match=rule):
        annotations.folder(videos, split=split)
    with pytest.raises(ValueError, match=rule):
        find(videos, split=split)
    with pytest.raises(ValueError, match=rule):
        annotations.csv(text(tmp_path / "a.csv", "v/run/1.mp4,run\n"), split=split)
    if "\n" not in split and split:
        with pytest.raises(ValueError, match=rule):
            annotations.kinetics(text(tmp_path / "k.csv", HEADER + f"yoga,AAAAAAAAAAA,0,10,{split},0\n"), clips)
    with pytest.raises(ValueError, match=rule):
        annotations.Listing("csv", split, (), (), ())


def test_splits_as_people_call_them(tmp_path):
    for split in ("train", "fold_1", "val-2", "1.5 s", "épreuve", "a+b"):
        assert find(tree(tmp_path / "v", "run/1.mp4"), split=split).split == split


@pytest.mark.parametrize("mark", ["\n", "\r", "\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c"])
def test_a_label_is_one_line_for_every_reader(tmp_path, clips, mark):
    label = f"one{mark}two"
    quoted = f'"{label}"'
    videos = tree(tmp_path / "v", "1.mp4")
    with pytest.raises(ValueError, match=r"a.csv, line 1: a label is one line.*Received: 'one\\"):
        annotations.csv(text(tmp_path / "a.csv", f"v/1.mp4,{quoted}\n"))
    with pytest.raises(ValueError, match=r"k.csv, line 2: a label is one line"):
        annotations.kinetics(text(tmp_path / "k.csv", HEADER + f"{quoted},AAAAAAAAAAA,0,10,train,0\n"), clips)
    with pytest.raises(ValueError, match=r"labels: a label is one line"):
        annotations.csv(text(tmp_path / "b.csv", "v/1.mp4,one\n"), labels=[label])
    with pytest.raises(ValueError, match=r"w, a class folder: a label is one line"):
        annotations.folder(tree(tmp_path / "w", f"{label}/1.mp4"))
    assert videos


def test_the_cases_of_others_with_line_breaks_in_labels(shared):
    for name in ("label_newline", "label_u2028"):
        with pytest.raises(ValueError, match=rf"{name}.csv, line [12]: a label is one line"):
            annotations.csv(shared / f"cases/hostile/{name}.csv")


def test_links_in_a_circle_and_pipes_are_missing_videos(tmp_path, capsys):
    videos = tree(tmp_path / "v", "run/1.mp4")
    (videos / "run/loop.mp4").symlink_to(videos / "run/loop.mp4")
    (videos / "loop").symlink_to(videos / "loop")
    os.mkfifo(videos / "run/pipe.mp4")
    listing = annotations.folder(videos)
    assert ids(listing) == ["run/1.mp4"]
    assert [video.id for video in listing.missing] == ["run/loop.mp4", "run/pipe.mp4"]
    rows = "run/1.mp4,run\nrun/loop.mp4,run\nrun/pipe.mp4,run\n"
    listing = annotations.csv(text(videos / "a.csv", rows))
    assert [video.id for video in listing.missing] == ["run/loop.mp4", "run/pipe.mp4"]


def test_pipes_in_the_place_of_annotation_files(tmp_path):
    videos = tree(tmp_path / "v", "run/1.mp4")
    os.mkfifo(videos / "labels.txt")
    with pytest.raises(ValueError, match=r"labels.txt: the labels of a folder are in a regular file"):
        annotations.folder(videos)
    with pytest.raises(ValueError, match=r"labels.txt: a regular file is needed. Received: a pipe"):
        annotations.folder(videos, labels=videos / "labels.txt")
    with pytest.raises(ValueError, match=r"labels.txt: a regular file is needed"):
        annotations.csv(videos / "labels.txt")
    read, write = os.pipe()
    os.write(write, b"v/run/1.mp4,run\n")
    os.close(write)
    listing = annotations.csv(f"/dev/fd/{read}", tmp_path)  # as a shell's <(command) is
    os.close(read)
    assert ids(listing) == ["v/run/1.mp4"]


def test_names_that_are_not_utf_8(tmp_path, capsys):
    videos = tree(tmp_path / "v", "run/1.mp4", os.fsdecode(b"run/caf\xe9.mp4"))
    listing = annotations.folder(videos)
    assert len(listing.examples) == 2, "it is one of the videos, for the build to count as failed"
    assert "1 of 2 videos have names that are not UTF-8" in capsys.readouterr().err
    tree(videos, os.fsdecode(b"caf\xe9/1.mp4"))
    with pytest.raises(ValueError, match=r"a class folder: a label is UTF-8 text. Received: 'caf\\\\xe9'. Rename it"):
        annotations.folder(videos)


def test_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    tree(tmp_path / "v", "run/1.mp4")
    text(tmp_path / "a.csv", "v/run/1.mp4,run\n")
    text(tmp_path / "labels.txt", "run\n")
    for listing in (
        find("~/v"),
        find("folder:~/v", labels="~/labels.txt"),
        find("~/a.csv"),
        annotations.csv("~/a.csv"),
    ):
        assert paths(listing, tmp_path) == ["v/run/1.mp4"]


def test_an_output_among_the_class_folders_would_be_a_class(tmp_path, monkeypatch, capsys):
    """At a first start too, when it is not there yet."""
    (tmp_path / "v/run").mkdir(parents=True)
    (tmp_path / "v/run/0.mp4").touch()
    for source in (f"{tmp_path}/v", f"folder:{tmp_path}/v"):
        for output in ("v", "v/records", "v/run/records"):
            with pytest.raises(ValueError, match=r"lies outside the folder of videos.* Name another output="):
                annotations.check_output(source, tmp_path / output)
        annotations.check_output(source, tmp_path / "v2")
    annotations.check_output(f"csv:{tmp_path}/v", tmp_path / "v/records")
    monkeypatch.chdir(tmp_path / "v")
    annotations.check_output(".", "gs://bucket/records")
    assert cli.main(["records", "--source=.", "--output=records"]) == 1
    assert "--output='records', in ." in capsys.readouterr().err
    assert not (tmp_path / "v/records").exists()
