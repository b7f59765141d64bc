"""Exports: healthy, without labels or card, and with files of another one."""

import hashlib
import json
import shutil

import pytest
from made import sick

from keras_i3d.checkup import export_checks
from keras_i3d.checkup.findings import look


@pytest.fixture
def copy(tmp_path):
    """The version folder of what has the files of an export, and a variable in the place of networks."""
    path = tmp_path / "i3d/1"
    saved(path, 3.0)
    (path / "assets").mkdir(exist_ok=True)
    (path / "assets/labels.txt").write_text("left\nright\nup\n")
    (path / "assets.extra").mkdir()
    card = {"streams": ["rgb"], "classes": 3, "precision": "float32", "made_by": {"tensorflow": "2.16.1"}}
    card["labels_sha256"] = hashlib.sha256(b"left\nright\nup\n").hexdigest()
    (path / "assets.extra/keras_i3d.json").write_text(json.dumps(card))
    return path


def saved(path, *values):
    """Writes a SavedModel of one variable."""
    import tensorflow as tf

    module = tf.Module()
    module.v = tf.Variable(values)
    tf.saved_model.save(module, str(path))


def files_alone(path):
    """What is said without loading it."""
    return list(look(path, (export_checks.card, export_checks.labels, export_checks.fingerprint), path))


@pytest.mark.slow
def test_a_healthy_export(exported):
    found = list(export_checks.examine(exported.folder))
    assert {finding.level for finding in found} == {"fine"}
    assert sick.said(found, "export.answers").found.startswith("it loads, and answers ")
    assert "serving_default" in sick.said(found, "export.answers").found
    assert sick.said(found, "export.labels").found == "3 labels, as they were written: left, right, up"


def test_labels_that_are_missing_or_too_few(copy):
    (copy / "assets/labels.txt").write_text("left\nright\n")
    found = files_alone(copy)
    assert sick.wrong(found) == {"export.labels": "fault"}
    assert "2 labels for 3 classes" in sick.said(found, "export.labels").found
    (copy / "assets/labels.txt").unlink()
    assert sick.wrong(files_alone(copy)) == {"export.labels": "fault"}


def without_digest(copy):
    file = copy / "assets.extra/keras_i3d.json"
    card = json.loads(file.read_text())
    del card["labels_sha256"]
    file.write_text(json.dumps(card))


def test_labels_in_another_order(copy):
    """As many as before: no count tells it."""
    assert {finding.level for finding in files_alone(copy)} == {"fine"}
    (copy / "assets/labels.txt").write_text("right\nleft\nup\n")
    found = files_alone(copy)
    assert sick.wrong(found) == {"export.labels": "fault"}
    assert "assets/labels.txt is not what was written" in sick.said(found, "export.labels").found
    (copy / "assets/labels.txt").write_bytes("\ufeffleft\r\nright\r\nup\r\n".encode())  # an editor's, in their order
    assert sick.wrong(files_alone(copy)) == {}
    without_digest(copy)
    assert "export.labels" not in {finding.code for finding in files_alone(copy)}  # its graph is asked
    assert sick.said(list(export_checks.answers(copy)), "export.labels").level == "note"  # and does not say


def test_an_empty_label_at_the_end(copy):
    """It was told as a label too few."""
    (copy / "assets/labels.txt").write_text("left\nright\n\n")
    file = copy / "assets.extra/keras_i3d.json"
    card = json.loads(file.read_text()) | {"labels_sha256": hashlib.sha256(b"left\nright\n\n").hexdigest()}
    file.write_text(json.dumps(card))
    assert {finding.level for finding in files_alone(copy)} == {"fine"}
    (copy / "assets/labels.txt").write_text("left\nright\n\n\n\n")  # an editor's empty lines
    assert {finding.level for finding in files_alone(copy)} == {"fine"}


def test_labels_of_an_earlier_version_against_the_graph(copy):
    import tensorflow as tf

    facts = tf.constant(json.dumps({"labels": ["left", "right", "up"]}))
    module = tf.Module()
    module.facts = tf.function(lambda about: {"facts": tf.fill(tf.shape(about), facts)})
    kind = tf.TensorSpec((None,), tf.string, "about")
    tf.saved_model.save(module, str(copy), signatures={"facts": module.facts.get_concrete_function(kind)})
    for digest in (True, False):
        assert sick.wrong(export_checks.answers(copy)) == {}
        if digest:
            (copy / "assets").mkdir(exist_ok=True)
            (copy / "assets/labels.txt").write_text("left\nright\nup\n")
            without_digest(copy)
    assert sick.said(list(export_checks.answers(copy)), "export.labels").level == "fine"
    (copy / "assets").mkdir(exist_ok=True)
    (copy / "assets/labels.txt").write_text("right\nleft\nup\n")
    found = list(export_checks.answers(copy))
    assert sick.wrong(found) == {"export.labels": "fault"}
    assert "not the list that its graph answers by" in sick.said(found, "export.labels").found


def test_variables_of_another_export(copy, tmp_path):
    assert sick.wrong(files_alone(copy)) == {}
    saved(tmp_path / "other", 1.0, 2.0)
    shutil.rmtree(copy / "variables")
    shutil.copytree(tmp_path / "other/variables", copy / "variables")
    found = files_alone(copy)
    assert sick.wrong(found) == {"export.variables": "fault"}
    shutil.copy(tmp_path / "other/saved_model.pb", copy / "saved_model.pb")
    assert sick.wrong(files_alone(copy)) == {"export.variables": "fault", "export.graph": "fault"}


def test_cards(copy):
    file = copy / "assets.extra/keras_i3d.json"
    card = json.loads(file.read_text())
    card["made_by"]["tensorflow"] = "9.1.0"
    file.write_text(json.dumps(card))
    assert "written by TensorFlow 9.1.0" in sick.said(files_alone(copy), "export.tensorflow").found
    file.write_text("{")
    assert sick.said(files_alone(copy), "export.card").level == "fault"
    file.unlink()
    assert sick.wrong(files_alone(copy)) == {"export.card": "warning"}


def test_what_does_not_load(copy):
    (copy / "saved_model.pb").write_bytes(b"nothing")
    (found,) = export_checks.answers(copy)
    assert (found.code, found.level) == ("export.loads", "fault")


def test_versions_and_what_is_left(copy):
    (copy.parent / ".part-2").mkdir()
    (copy.parent / "3").mkdir()
    assert export_checks.versions_of(copy.parent) == [copy]
    found = list(export_checks.folders(copy.parent, [copy]))
    assert sick.said(found, "export.unfinished").found.endswith(".part-2")
    (copy.parent / "3/model.onnx").touch()
    (copy.parent / "3/labels.txt").write_text("right\nleft\nup\n")
    shutil.copy(copy / "assets.extra/keras_i3d.json", copy.parent / "3")
    found = list(export_checks.examine(copy.parent))
    assert sick.said(found, "export.format").found.startswith("a file of onnx")
    assert sick.said(found, "export.labels").level == "fault"
