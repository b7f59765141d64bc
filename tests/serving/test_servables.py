"""An export as a server has it: which versions, what each signature answers and refuses, warm-up requests."""

import json
import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from made import ROOT, served_exports, small_exports

from keras_i3d import ServerError
from keras_i3d.serving import rest_form, servables

BOTH = "frames_two_stream_jpeg"


@pytest.fixture(scope="module")
def servable(exported, tmp_path_factory):
    path = served_exports.linked(exported.folder / "1", tmp_path_factory.mktemp("served") / "i3d/7")
    return servables.Servable("i3d", path)


@pytest.fixture(scope="module")
def session(exported):
    """The same export in a session of C++: another road to the same answers."""
    return small_exports.Server(exported.folder / "1")


@pytest.fixture(scope="module")
def clip():
    """uint8 (10, 40, 56, 3)."""
    return small_exports.film(1)[0]


@pytest.fixture(scope="module")
def inputs(clip):
    """{signature: {input: array}}; flow of a small file, which shows nothing."""
    draw = np.random.default_rng(0)
    files = small_exports.encode(clip[None])
    pair = {"rgb": draw.uniform(-1, 1, (2, 10, 32, 32, 3)), "flow": draw.uniform(-1, 1, (2, 10, 32, 32, 2))}
    return {
        "serving_default": {name: value.astype("float32") for name, value in pair.items()},
        "uint8": {"frames": clip[None]},
        "jpeg": {"frames": files},
        "jpeg_two_stream": {"rgb": files, "flow": files[:, 1:]},
        BOTH: {"frames": files},
    }


def in_json(value):
    return {"b64": served_exports.in_base64(value)} if isinstance(value, bytes) else [in_json(item) for item in value]


def asked(servable, form, signature, arrays):
    """A predict request's answer."""
    columns = {name: in_json(value) if value.dtype == object else value.tolist() for name, value in arrays.items()}
    rows = [dict(zip(columns, row)) for row in zip(*columns.values())]
    request = {"signature_name": signature, form: columns if form == "inputs" else rows}
    return json.loads(json.dumps(rest_form.predict(servable, json.dumps(request).encode())))


LONGER = [pytest.param(name, marks=pytest.mark.slow) for name in ("uint8", "jpeg_two_stream", BOTH)]


@pytest.mark.parametrize("signature", ["serving_default", "jpeg", *LONGER])
def test_json_gives_what_the_saved_model_gives(servable, session, inputs, signature):
    """By rows and by columns, all outputs of each signature."""
    known = session(signature, **inputs[signature])
    columns = asked(servable, "inputs", signature, inputs[signature])["outputs"]
    rows = asked(servable, "instances", signature, inputs[signature])["predictions"]
    assert columns.keys() == known.keys()
    assert len(rows) == len(known["logits"])
    for name, value in known.items():
        assert [row[name] for row in rows] == columns[name]
        if value.dtype == object:
            assert [[word.encode() for word in row] for row in columns[name]] == value.tolist()
        else:
            np.testing.assert_allclose(columns[name], value, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("signature", "change", "line"),
    [
        (
            "uint8",
            lambda frames: frames[:, :8],
            "frames must be (batch, time, height, width, 3), RGB, with at least 9 frames. Received: 8, in an array of "
            "shape [1 8 40 56 3]. Repeat the frames of a shorter video, or send a longer part of it.",
        ),
        (
            "uint8",
            lambda frames: frames[0],
            "frames must be (batch, time, height, width, 3), RGB. Received: an array of shape [10 40 56 3].",
        ),
        (
            "jpeg",
            lambda frames: np.array([[b"hello", *frames[0, 1:]]], object),
            "A frame must be an encoded JPEG or PNG. Received: 5 bytes of something else, frame 0 of clip 0. Send "
            "whole files; in JSON as base64, under the key b64.",
        ),
    ],
)
def test_the_graphs_refusal_is_told_whole_in_one_line(servable, inputs, signature, change, line):
    """Also of arrays that have not the shape that the signature states, which TensorFlow would refuse in Python."""
    with pytest.raises(servables.Refusal) as caught:
        asked(servable, "inputs", signature, {"frames": change(inputs[signature]["frames"])})
    assert str(caught.value) == line
    assert rest_form.HTTP[caught.value.code] == 400


def test_metadata_has_the_shapes_and_types_of_the_signatures(servable, session):
    found = json.loads(json.dumps(rest_form.metadata(servable)))
    assert found["model_spec"] == {"name": "i3d", "signature_name": "", "version": "7"}
    told = found["metadata"]["signature_def"]["signature_def"]
    assert told.keys() == session.signatures.keys()
    frames = told["uint8"]["inputs"]["frames"]
    assert frames["dtype"] == "DT_UINT8"
    assert [dim["size"] for dim in frames["tensor_shape"]["dim"]] == ["-1", "-1", "-1", "-1", "3"]
    assert frames["tensor_shape"]["unknown_rank"] is False
    assert told["uint8"]["method_name"] == "tensorflow/serving/predict"


def test_warm_up_requests_are_run(servable, monkeypatch, tmp_path, capsys):
    ran, predict = [], servable.predict
    monkeypatch.setattr(servable, "predict", lambda name, inputs: ran.append((name, inputs)) or predict(name, inputs))
    assert servable.warm_up() == 1
    assert [(name, inputs["about"].tolist()) for name, inputs in ran] == [("facts", [b""])]
    monkeypatch.setattr(servable, "path", tmp_path)
    assert servable.warm_up() == 0
    assert f"{tmp_path} brings no warm-up requests" in capsys.readouterr().err


def test_an_export_that_cannot_warm_up_is_not_served(servable, monkeypatch):
    def refuse(name, inputs):
        raise servables.Refusal(3, "A frame must be whole.")

    monkeypatch.setattr(servable, "predict", refuse)
    with pytest.raises(ServerError, match=r"i3d/7 cannot be served: A frame must be whole. Export it again."):
        servable.warm_up()


def test_a_damaged_export_is_told(tmp_path):
    (tmp_path / "1").mkdir()
    (tmp_path / "1/saved_model.pb").write_bytes(b"junk")
    with pytest.raises(ServerError, match=r"/1 cannot be served: .+ Export it again") as caught:
        servables.Servable("i3d", tmp_path / "1")
    assert "\n" not in str(caught.value)


def test_which_versions_are_served(tmp_path):
    for number in ("2", "10", "9"):
        (tmp_path / "i3d" / number).mkdir(parents=True)
        (tmp_path / "i3d" / number / "saved_model.pb").touch()
    for name in (".part-11", "12", "old"):  # unfinished, without a model, no number
        (tmp_path / "i3d" / name).mkdir()
    folder = tmp_path / "i3d"
    assert servables.versions_of(folder) == {10: folder / "10"}
    assert [*servables.versions_of(folder, "all")] == [2, 9, 10]
    assert [*servables.versions_of(folder, [9, 2])] == [2, 9]
    for path, wanted, words in (
        (folder, [3], "versions must be of those in .*: 2, 9, 10. Received: versions=3"),
        (folder / "10", "latest", "Received: .*/10, a version. Name its parent"),
        (tmp_path, "latest", "must hold an export, NUMBER/saved_model.pb. Received: .* which has none"),
        (tmp_path / "none", "all", "which has none. Make one: keras-i3d export --output=.*none"),
    ):
        with pytest.raises(ServerError, match=words):
            servables.versions_of(path, wanted)


@pytest.mark.slow
def test_the_exports_own_warm_up_requests_run_without_keras(exported, tmp_path):
    """One of each signature that takes clips, in a process in which neither Keras nor a network can be imported."""
    code = f"""
        import sys
        sys.path.insert(0, {str(ROOT)!r})

        class Blocked:
            names = {{"keras", *("keras_i3d." + name for name in ("models", "export", "flow", "networks", "builders"))}}
            def find_spec(self, name, path=None, target=None):
                if name in self.names:
                    raise ImportError(name + " is blocked")

        sys.meta_path.insert(0, Blocked())
        import pathlib
        from keras_i3d.serving import servables
        print(servables.Servable("i3d", pathlib.Path(sys.argv[1])).warm_up())
    """
    words = [sys.executable, "-c", textwrap.dedent(code), str(exported.folder / "1")]
    result = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, env={**os.environ}, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stdout.split() == ["6"]
