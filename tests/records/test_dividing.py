"""Listings divided into splits: by source video, each class alike, the same on every machine."""

import collections
import dataclasses

import pytest

from keras_i3d.records import annotations, divide, dividing

TWO, THREE = {"train": 0.8, "test": 0.2}, {"train": 0.6, "validation": 0.2, "test": 0.2}


def listing(classes, labelling="single"):
    """A Listing of {id: class index, or indices}."""
    indices = [i for index in classes.values() for i in (index if isinstance(index, tuple) else (index,))]
    labels = tuple(f"class {index}" for index in range(max(indices) + 1))
    examples = []
    for id, index in classes.items():
        label = tuple(labels[i] for i in index) if isinstance(index, tuple) else labels[index]
        examples.append(annotations.Example(id, f"/videos/{id}", label, index, None, None, "all"))
    missing = (annotations.Missing("m", "m.mp4"),)
    return annotations.Listing("made", "all", labels, tuple(examples), missing, labelling)


def plain(*sizes):
    """Classes of so many videos, each its own source."""
    return listing({f"{index}/film of {i} and {index}.mp4": index for index, n in enumerate(sizes) for i in range(n)})


def ids(division):
    return [sorted(example.id for example in each.examples) for each in division.listings]


def test_each_class_is_shared_out_alike():
    division = divide(plain(10, 20, 5, 100), TWO)
    assert division.counts == {"class 0": (8, 2), "class 1": (16, 4), "class 2": (4, 1), "class 3": (80, 20)}
    assert (division.sources, division.lacking) == ((108, 27), {})
    assert [each.split for each in division.listings] == ["train", "test"]
    assert [{e.split for e in each.examples} for each in division.listings] == [{"train"}, {"test"}]
    assert [len(each.missing) for each in division.listings] == [1, 0]
    assert str(division).splitlines() == [
        "class    train  test  total",
        "class 0      8     2     10",
        "class 1     16     4     20",
        "class 2      4     1      5",
        "class 3     80    20    100",
        "135 videos: train 108 (80.0%, of 108 source videos), test 27 (20.0%, of 27 source videos)",
    ]
    three = divide(plain(10, 20, 5, 100), THREE)
    assert list(three.counts.values()) == [(6, 2, 2), (12, 4, 4), (3, 1, 1), (60, 20, 20)]


def test_what_cannot_be_shared_out_evenly_adds_up():
    """Of 7 videos 5.6 and 1.4 are wanted: no class is off by a whole video, nor are all of them in one direction."""
    division = divide(plain(*[7] * 20), TWO)
    assert set(division.counts.values()) == {(5, 2), (6, 1)}
    assert [len(each.examples) for each in division.listings] == [112, 28]


def test_the_order_and_the_place_do_not_matter_but_the_seed_does():
    made = plain(10, 7, 30)
    division = divide(made, TWO)
    turned = dataclasses.replace(
        made, examples=tuple(dataclasses.replace(e, path="/elsewhere") for e in made.examples[::-1])
    )
    assert ids(divide(turned, TWO)) == ids(division)
    assert ids(divide(made, TWO, seed=1)) != ids(division)
    assert ids(divide(made, TWO, seed=1)) == ids(divide(turned, TWO, seed=1))
    small = divide(plain(5), {"train": 0.6, "test": 0.4})
    assert ids(small)[1] == ["0/film of 1 and 0.mp4", "0/film of 3 and 0.mp4"], "the same on every machine"


def test_parts_of_one_source_video_stay_together():
    films = {
        f"{name}/v_{name}_g{group:02}_c{part:02}.avi": index
        for index, name in enumerate(("Run", "Jump"))
        for group in range(1, 26)
        for part in range(1, 5 + group % 3)
    }
    made = listing(films)
    division = divide(made, TWO)
    groups = [{id.rpartition("_")[0] for id in each} for each in ids(division)]
    assert not groups[0] & groups[1]
    assert division.sources == (len(groups[0]), len(groups[1]))
    for train, test in division.counts.values():
        assert abs(test / (train + test) - 0.2) < 0.03
    parts = listing({f"{name}.mp4#t={i},{i + 1}": name == "b" for name in "abcdef" for i in range(4)})
    for each in zip(*(ids(division) for division in (divide(parts, TWO), divide(parts, TWO)))):
        assert all(count == 4 for count in collections.Counter(id.partition("#")[0] for id in each[0]).values())
    by_person = divide(made, {"a": 0.5, "b": 0.5}, group=r"_g(\d\d)_")
    people = [{id.split("_")[2] for id in each} for each in ids(by_person)]
    assert not people[0] & people[1]
    assert by_person.sources == (len(people[0]), len(people[1]))


def test_a_class_is_in_every_split_where_it_can_be(capsys):
    division = divide(plain(2, 3, 1, 40), {"train": 0.9, "test": 0.1})
    assert division.counts == {"class 0": (1, 1), "class 1": (2, 1), "class 2": (1, 0), "class 3": (36, 4)}
    assert division.lacking == {"class 2": ("test",)}
    said = capsys.readouterr().err
    assert "1 of 4 classes are not in every split (first: 'class 2', of 1 source videos, is not in test)" in said
    assert list(divide(plain(3, 4), {"a": 0.8, "b": 0.1, "c": 0.1}).counts.values()) == [(1, 1, 1), (2, 1, 1)]
    # One source of many videos and one of a single video: both splits get one.
    heavy = {f"v_A_g01_c{i:02}": 0 for i in range(10)} | {"v_A_g02_c01": 0} | {f"film {i} of one": 1 for i in range(20)}
    assert all(all(row) for row in divide(listing(heavy), TWO).counts.values())


def test_several_labels_a_video():
    """Each label of 300 videos with one to four labels is shared out to within a video or two."""
    classes = {}
    for i in range(300):
        first, step = i % 10, 1 + i % 3
        classes[f"film of {i} days.mp4"] = tuple(sorted({(first + step * j) % 10 for j in range(1 + i % 4)}))
    classes |= {f"film of {i} nights.mp4": () for i in range(10)}
    classes |= {f"film of {i} years.mp4": (0, 10) for i in range(3)}  # a rare one, and only with another
    made = listing(classes, "multi")
    division = divide(made, THREE)
    for name, row in division.counts.items():
        for count, fraction in zip(row, THREE.values()):
            assert abs(count - sum(row) * fraction) < 2.5, (name, row)
    assert (division.counts["class 10"], division.counts["(no label)"]) == ((1, 1, 1), (6, 2, 2))
    assert [each.labelling for each in division.listings] == ["multi"] * 3
    assert sum(map(len, ids(division))) == 313


def test_no_labels_at_all():
    names = [f"film {i} of ours" for i in range(10)]
    examples = tuple(annotations.Example(name, name, None, None, None, None, "all") for name in names)
    made = annotations.Listing("csv", "all", (), examples, ())
    assert divide(made, TWO).counts == {"(no label)": (8, 2)}


def test_the_table_of_many_classes():
    lines = str(divide(plain(*range(5, 65)), TWO)).splitlines()
    assert len(lines) == 43
    assert lines[1].split() == ["class", "0", "4", "1", "5"]
    assert lines[40].split()[:2] == ["class", "39"]
    assert lines[41] == "the 40 of 60 classes with the fewest videos are shown"
    assert lines[42].startswith("2070 videos: train 1656 (80.0%, of 1656 source videos), test 414")


@pytest.mark.parametrize(
    ("text", "fractions"),
    [
        ("train:0.8,test:0.2", TWO),
        (" train : 0.8, test:.2", TWO),
        ("0.8,0.2", TWO),
        ("0.6, 0.2,0.2", THREE),
        ("a:0.5,b:0.25,c d:0.125,e:0.125", {"a": 0.5, "b": 0.25, "c d": 0.125, "e": 0.125}),
    ],
)
def test_fractions(text, fractions):
    assert dividing.parse_fractions(text) == fractions


@pytest.mark.parametrize("text", ["0.8", "0.2,0.2,0.2,0.4", "train:0.8,0.2", "train:0.8,train:0.2", "a:b,c:d", ""])
def test_fractions_that_are_none(text):
    with pytest.raises(ValueError, match=r"Splits are given as train:0.8,test:0.2, each name once"):
        dividing.parse_fractions(text)


def test_what_is_refused(capsys):
    made = plain(4)
    for fractions in ({"train": 1.0}, {"a": 1.2, "b": -0.2}, {"a": 1, "b": 0}):
        with pytest.raises(ValueError, match="Two splits or more have a fraction above 0 each"):
            divide(made, fractions)
    with pytest.raises(ValueError, match=r"add up to 1. Received: .*, 0.9"):
        divide(made, {"a": 0.8, "b": 0.1})
    with pytest.raises(ValueError, match="the name of a split begins those of its files"):
        divide(made, {"a/b": 0.5, "c": 0.5})
    with pytest.raises(ValueError, match="group is a regular expression"):
        divide(made, TWO, group="(")
    with pytest.raises(ValueError, match=r"Received: none for 'test', of 4 videos of 1 source videos"):
        divide(made, TWO, group="film")
    divide(dataclasses.replace(made, split="train"), TWO)
    assert "the split 'train' of made is divided into train, test" in capsys.readouterr().err
