"""What a file of weights does not say of itself, and what is said of that: what it ends in, and its licence."""

import dataclasses

import pytest
from made import ported, synthetic, tiny

import keras_i3d
from keras_i3d import facts, networks
from keras_i3d.models import families
from keras_i3d.weights import conversion, h5_files
from keras_i3d.weights.originals import catalogue

LICENCE = "CC-BY-NC-4.0, if piergiaj published it"
pytestmark = pytest.mark.usefixtures("short")


@pytest.fixture
def short(monkeypatch):
    tiny.shorten(monkeypatch)


@pytest.fixture
def licensed(monkeypatch):
    """The codes, of which piergiaj's publishes its weights under a licence that forbids commerce."""
    found = [
        dataclasses.replace(each, licence=LICENCE) if each.name == "piergiaj" else each for each in catalogue.ORIGINALS
    ]
    monkeypatch.setattr(catalogue, "ORIGINALS", found)


@pytest.mark.parametrize(
    ("name", "classes", "activation", "said"),
    [
        ("mine.pt", 157, None, ' does not say what it ends in; softmax is taken ("I3D:charades", of as many classes, '),
        ("mine.pt", 5, None, " does not say what it ends in; softmax is taken. For sigmoid, build it in Python with "),
        ("mine.pt", 400, "softmax", None),
        ("rgb_charades.pt", 157, "sigmoid", None),
    ],
)
def test_an_activation_that_nobody_knows(name, classes, activation, said, tmp_path, capsys):
    """Of a file that is known by its names alone, by the verbs' door and by a builder."""
    path = ported.write(tmp_path / name, classes)
    network = networks.load(path, "rgb")
    assert network.facts.activation == (activation or "softmax")
    lines = capsys.readouterr().err.splitlines()
    assert [line.startswith(f"keras_i3d: {path}{said}") for line in lines] == [True] * (said is not None)
    assert facts.activation(keras_i3d.I3D(weights=path)) == (activation or "softmax")
    assert capsys.readouterr().err.splitlines() == lines
    assert conversion.convert_torch(path, tmp_path / "made.weights.h5").activation == activation


@pytest.mark.parametrize(("classes", "activation"), [(5, None), (600, "softmax")])
def test_a_checkpoint_of_deepminds_code_that_is_not_published(classes, activation, tmp_path, capsys):
    shapes = synthetic.sonnet_shapes(families.find("I3D").layout(classes=classes))
    path = synthetic.write(shapes, 7, tmp_path / "model.ckpt")
    assert conversion.convert_sonnet(path, tmp_path / "made.weights.h5").activation == activation
    networks.load(path)
    said = capsys.readouterr().err
    assert ("model.ckpt does not say what it ends in; softmax is taken. For" in said) == (activation is None)


def test_a_sigmoid_is_chosen_once(tmp_path, capsys):
    """As the line says: by the argument, and from then on by the file."""
    path = ported.write(tmp_path / "mine.pt", 157)
    keras_i3d.I3D(weights=path, classifier_activation="sigmoid").save(tmp_path / "mine.keras")
    assert networks.load(tmp_path / "mine.keras").facts.activation == "sigmoid"
    assert capsys.readouterr().err == ""


def test_a_licence_of_a_code_is_said_and_goes_with_what_is_made_of_its_files(licensed, tmp_path, capsys):
    path = ported.write(tmp_path / "mine.pt", 400)
    said = f" is under {LICENCE}: no commercial use"
    model = keras_i3d.I3D(weights=path)
    assert facts.of(model).licence == LICENCE
    assert capsys.readouterr().err == f"keras_i3d: {path}{said}\n"
    model.save(tmp_path / "mine.keras")
    assert conversion.convert_torch(path, tmp_path / "mine.weights.h5").licence == LICENCE
    h5_files.save_h5(model, tmp_path / "saved.weights.h5", **facts.of(model).record())
    capsys.readouterr()
    for name in ("mine.keras", "mine.weights.h5", "saved.weights.h5"):
        assert networks.load(tmp_path / name).facts.licence == LICENCE
        assert capsys.readouterr().err == f"keras_i3d: {tmp_path / name}{said}\n"
