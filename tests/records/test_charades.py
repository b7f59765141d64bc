"""Charades as published: made lines in its format."""

import pytest

from keras_i3d.records import annotations

HEADER = "id,subject,scene,quality,relevance,verified,script,objects,descriptions,actions,length\n"
LINES = (
    'AAAA1,HR43,Kitchen,6,7,Yes,"Someone cooks, and says ""hm"".",food;pan,Cooking.;Stirring.,'
    "c001 11.90 21.20;c000 0.00 12.60;c001 3.00 4.00,24.83\n"
    "BBBB2,TJZ0,Attic,5,6,Yes,A person sits.,,Sitting.,,30.10\n"
    "CCCC3,QI6C,Hallway,5,5,No,A person runs.,door,Running.,c002 5.00 4.00;c000 1.50 40.00,31.00\n"
    "DDDD4,QI6C,Hallway,5,5,No,A person walks.,door,Walking.,c002 0.00 4.00,12.00\n"
)
CLASSES = "c000 Holding some clothes\nc001 Putting food on a pan\nc002 Someone is running\n"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "videos/more").mkdir(parents=True)
    for name in ("AAAA1.mp4", "more/BBBB2.mp4", "CCCC3.webm"):
        (tmp_path / "videos" / name).touch()
    (tmp_path / "Charades_v1_train.csv").write_text(HEADER + LINES, encoding="utf-8")
    (tmp_path / "Charades_v1_classes.txt").write_text(CLASSES, encoding="utf-8")
    return tmp_path


def test_as_published(folder, capsys):
    source = f"charades:{folder / 'videos'}"
    listing = annotations.find(source, annotations=folder / "Charades_v1_train.csv")
    names = ("Holding some clothes", "Putting food on a pan", "Someone is running")
    assert (listing.name, listing.split, listing.labels, listing.labelling) == ("charades", "train", names, "timed")
    assert [missing.path for missing in listing.missing] == ["DDDD4.mp4"]
    assert [(e.id, e.path.rpartition("/")[2], e.index) for e in listing.examples] == [
        ("AAAA1", "AAAA1.mp4", (0, 1)),
        ("BBBB2", "BBBB2.mp4", ()),
        ("CCCC3", "CCCC3.webm", (0, 2)),
    ]
    assert [e.segments for e in listing.examples] == [
        ((0, names[0], 0.0, 12.6), (1, names[1], 3.0, 4.0), (1, names[1], 11.9, 21.2)),
        (),
        ((0, names[0], 1.5, 40.0),),
    ]
    assert (
        "1 videos have actions that end before they begin, which get no time (first: line 4)" in capsys.readouterr().err
    )
    multi = annotations.find(source, folder / "Charades_v1_train.csv", labelling="multi", split="some")
    assert (multi.labelling, multi.split) == ("multi", "some")
    assert [(e.index, e.segments) for e in multi.examples] == [((0, 1), ()), ((), ()), ((0, 2), ())]
    lines = CLASSES.splitlines()
    assert annotations.charades(folder / "Charades_v1_train.csv", folder / "videos", labels=lines) == listing


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("c000 0.00 12.60", "c000 0.00"), r"line 2: an action is a class, a start and an end.*Received: 'c000 0.00'"),
        (("c000 0.00 12.60", "c000 -1 12.60"), r"line 2: an action is a class"),
        (("c000 0.00 12.60", "c009 0.00 12.60"), r"line 2: 'c009' is not one of the 3 labels"),
        (("BBBB2,", ","), r"line 3: the id is empty"),
        (("BBBB2,", ""), r"line 3: 11 columns are expected"),
        (("actions,", "acts,"), r"line 1: the header has no column actions"),
        (("BBBB2", "AAAA1"), r"line 3: AAAA1 is listed before"),
    ],
)
def test_lines_that_are_wrong(folder, change, message):
    path = folder / "Charades_v1_train.csv"
    path.write_text((HEADER + LINES).replace(*change), encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        annotations.charades(path, folder / "videos")


def test_classes_that_are_wrong(folder):
    path = folder / "Charades_v1_classes.txt"
    for content in (CLASSES + "c000 Twice\n", "Holding some clothes\n"):
        path.write_text(content, encoding="utf-8")
        with pytest.raises(ValueError, match=r"classes.txt, line \d: a class of Charades is a code of its own and a"):
            annotations.charades(folder / "Charades_v1_train.csv", folder / "videos")
    path.unlink()
    with pytest.raises(ValueError, match=r"Charades has its classes in Charades_v1_classes.txt. Received"):
        annotations.charades(folder / "Charades_v1_train.csv", folder / "videos")
    with pytest.raises(ValueError, match=r"charades needs its CSV file"):
        annotations.find(f"charades:{folder}")
    with pytest.raises(ValueError, match=r"labelling is one of multi, timed. Received: labelling='single'"):
        annotations.find(f"charades:{folder}", folder / "Charades_v1_train.csv", labelling="single")
