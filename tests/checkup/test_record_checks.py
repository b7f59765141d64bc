"""Manifests, labels and classes of records."""

import pytest
from made import sick, small_records

from keras_i3d.checkup import record_checks, record_sample
from keras_i3d.checkup.findings import look


def examined(place):
    return list(look(place, record_checks.CHECKS, place, record_sample.splits(place)))


@pytest.fixture
def plain(monkeypatch):
    """Records without flow, made in no time."""
    import dataclasses

    spec = dataclasses.replace(sick.SPEC, flow_method=None)
    return lambda folder, **settings: sick.records(folder, monkeypatch, **{"videos": 15, "spec": spec, **settings})


def test_healthy_records(plain, tmp_path):
    place = plain(tmp_path / "records")
    plain(tmp_path / "records", name="test", seed=50)
    (tmp_path / "records/labels.txt").write_text("left\nright\nup\n")
    found = examined(place)
    assert {finding.level for finding in found} == {"fine"}
    assert sick.said(found, "records.manifest").found.startswith("30 records in 2 files")


def test_folders_in_commands(tmp_path):
    (tmp_path / "it's").mkdir()
    place = tmp_path / "it's"
    assert record_checks.folder_of(place) == record_checks.folder_of(f"{place}/train-*") == str(place)
    assert record_checks.folder_of("train-*") == "."


def test_damage(plain, tmp_path):
    place = plain(tmp_path / "records")
    (shard,) = tmp_path.glob("records/*.tfrecord")
    shard.write_bytes(sick.damaged_copy(shard.read_bytes(), 5000))
    found = sick.said(examined(place), "records.manifest")
    assert found.level == "fault"
    assert f"keras-i3d records --check={place} lists them" in found.remedy
    (tmp_path / "records/train.json").unlink()
    assert sick.said(examined(place), "records.manifest").level == "note"


def test_a_list_of_labels_in_another_order(plain, tmp_path):
    place = plain(tmp_path / "records")
    (tmp_path / "records/labels.txt").write_text("right\nleft\nup\n")
    assert sick.wrong(examined(place)) == {"records.label_file": "fault"}


def test_classes_that_are_absent_or_rare(plain, tmp_path):
    place = plain(tmp_path / "a", labels=(*small_records.LABELS, "down"))
    found = list(record_checks.classes(place, record_sample.splits(place)))
    assert sick.wrong(found) == {"records.absent": "warning"}
    assert "1 of 4 classes: down" in sick.said(found, "records.absent").found
    place = plain(tmp_path / "b", videos=4)
    found = list(record_checks.classes(place, record_sample.splits(place)))
    assert sick.wrong(found) == {}
    assert "left (2)" in sick.said(found, "records.few").found


def test_uneven_classes(plain, tmp_path, monkeypatch):
    import dataclasses

    place = plain(tmp_path / "records")
    (split,) = record_sample.splits(place)
    classes = ((*[(0,)] * 12, (1,), (2,), (2,)),)
    uneven = dataclasses.replace(split, source=dataclasses.replace(split.source, classes=classes))
    found = list(record_checks.classes(place, [uneven]))
    assert sick.wrong(found) == {"records.balance": "warning"}
    assert "12 records of left, 1 of right" in sick.said(found, "records.balance").found


def test_folders_of_other_classes(plain, tmp_path):
    import dataclasses

    (split,) = record_sample.splits(plain(tmp_path / "records", videos=3))
    named = dataclasses.replace(
        split.source, ids=(("up/1.mp4", "left/2.mp4", "right/3.mp4"),), classes=((0,), (1,), (2,))
    )
    named = dataclasses.replace(named, classes=(((0,), (1,), (2,)),))
    found = list(record_checks.label_folders("", [dataclasses.replace(split, source=named)]))
    assert sick.wrong(found) == {"records.label_folders": "fault"}
