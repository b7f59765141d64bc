"""JSON to arrays and back: the forms, the words of what is refused, the status of HTTP."""

import base64
import json
import types

import numpy as np
import pytest

from keras_i3d.serving import rest_form, servables
from keras_i3d.serving.servables import Refusal

PAIR = {"rgb": "float32", "words": "string"}


class Echo:
    """A version whose only signature gives back what it was fed, and a sum of each row."""

    name, version, signatures = "i3d", 2, {}

    def __init__(self, kinds):
        import tensorflow as tf

        self.kinds, self.fed = {key: tf.as_dtype(kind) for key, kind in kinds.items()}, None

    def inputs(self, name):
        if name not in ("", "plain"):
            raise Refusal(servables.INVALID, f'Serving signature name: "{name}" not found in signature def')
        return self.kinds

    def predict(self, name, inputs):
        self.fed = inputs
        if name == "plain":
            return {"only": next(iter(inputs.values()))}
        return dict(inputs)


def asked(kinds, **request):
    """(what the version was fed, the answer) of a request."""
    echo = Echo(kinds)
    answer = json.loads(json.dumps(rest_form.predict(echo, json.dumps(request).encode())))
    return echo.fed, answer


def refused(kinds, request):
    body = request if isinstance(request, bytes) else json.dumps(request).encode()
    with pytest.raises(Refusal) as caught:
        rest_form.predict(Echo(kinds), body)
    assert caught.value.code == servables.INVALID
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 250
    return str(caught.value)


def packed(content):
    return {"b64": base64.b64encode(content).decode()}


def test_rows_of_several_inputs():
    rows = [{"rgb": [0.2, 1], "words": [packed(b"\xff\xd8"), "a"]}, {"words": ["b", "\u00e9"], "rgb": [3, 4]}]
    fed, answer = asked(PAIR, instances=rows)
    assert fed["rgb"].dtype == np.float32
    np.testing.assert_array_equal(fed["rgb"], np.float32([[0.2, 1], [3, 4]]))
    assert fed["words"].tolist() == [[b"\xff\xd8", b"a"], [b"b", "\u00e9".encode()]]
    assert [row["rgb"] for row in answer["predictions"]] == [[0.2, 1.0], [3.0, 4.0]]  # not 0.20000000298023224
    assert answer["predictions"][1]["words"] == ["b", "\u00e9"]


def test_columns_of_several_inputs():
    fed, answer = asked(PAIR, inputs={"rgb": [[1, 2]], "words": packed(b"x")})
    assert fed["rgb"].shape == (1, 2)
    assert fed["words"].shape == ()
    assert answer == {"outputs": {"rgb": [[1.0, 2.0]], "words": "x"}}


@pytest.mark.parametrize(("kind", "value"), [("uint8", 255), ("int64", -3), ("bool", True), ("float32", 0.5)])
def test_one_input_needs_no_name_and_one_output_has_none(kind, value):
    """In any of the four ways to say it."""
    for request in ({"instances": [value] * 2}, {"instances": [{"x": value}] * 2}):
        fed, answer = asked({"x": kind}, signature_name="plain", **request)
        assert answer == {"predictions": [value] * 2}
        assert fed["x"].dtype == kind
    for request in ({"inputs": [value] * 2}, {"inputs": {"x": [value] * 2}}):
        assert asked({"x": kind}, signature_name="plain", **request)[1] == {"outputs": [value] * 2}


def test_bytes_go_out_in_base64_where_the_name_says_so():
    assert asked({"x_bytes": "string"}, instances=[packed(b"\xff\0")])[1] == {"predictions": [packed(b"\xff\0")]}


def test_empty_lists_keep_their_shape():
    fed, _ = asked({"x": "float32"}, instances=[[[], []]])
    assert fed["x"].shape == (1, 2, 0)


DEEP = b'{"instances": ' + b"[" * 500 + b"]" * 500 + b"}"
TOO_DEEP = b'{"instances": ' + b"[" * 200_000


@pytest.mark.parametrize(
    ("request_", "part"),
    [
        (b"", "JSON Parse error: The document is empty"),
        (b'{"instances": [1', "JSON Parse error: "),
        (b"\xff\xfe{", "JSON Parse error: "),
        (TOO_DEEP, "JSON Parse error: "),
        (DEEP, "may have 32 levels of lists. Received: "),
        ([1], "JSON Value: [1] Is not object"),
        ({}, "Missing 'inputs' or 'instances' key"),
        ({"inputs": 1, "instances": [1]}, "only one of 'inputs' or 'instances'"),
        ({"instances": []}, "No values in 'instances' array"),
        ({"instances": {}}, "Expecting 'instances' to be a list"),
        ({"signature_name": 3, "instances": [1]}, "JSON Value: 3 'signature_name' key must be a string"),
        ({"signature_name": "none", "instances": [1]}, 'Serving signature name: "none" not found in signature def'),
        ({"instances": [{"y": 1}]}, "element: 0 key: y of 'instances' list. Error: JSON object: does not have named"),
        ({"instances": [{}]}, "JSON object: {} keys must be equal to: x"),
        ({"instances": [1, {"x": 1}]}, "Expecting value/list but got object at item 1 of input list"),
        ({"instances": [{"x": 1}, 1]}, "Expecting object but got list at item 1 of input list"),
        ({"instances": [[1, 2], [1]]}, "element: 1 of 'instances' list. Error: Expecting shape [2] but got: [1]"),
        ({"instances": [[[1, 2], [1]]]}, "list at unexpected size: 1 at level: 1 expected size: 2"),
        ({"instances": [[1, [2]]]}, "list at unexpected level: 1 expected < 1"),
        ({"instances": [[[1], 2]]}, "JSON Value: 2 found at incorrect level: 2 in the JSON DOM. Expected at level: 2"),
        ({"inputs": {"y": 1}}, "Missing named input: x in 'inputs' object."),
        ({"inputs": ["a" * 100]}, f'JSON Value: "{"a" * 59}... Type: String is not of expected type: uint8'),
        ({"inputs": [1, None]}, "JSON Value: null Type: Null is not of expected type: uint8"),
        ({"inputs": [1, 1.5]}, "JSON Value: 1.5 Type: Number is not of expected type: uint8"),
        ({"inputs": [1, 256]}, "JSON Value: 256 Type: Number is not of expected type: uint8"),
        ({"inputs": [2**70]}, "Type: Number is not of expected type: uint8"),
        ({"inputs": [True]}, "JSON Value: true Type: True is not of expected type: uint8"),
        ({"inputs": [packed(b"x")]}, "Type: Object is not of expected type: uint8"),
    ],
)
def test_what_is_refused(request_, part):
    assert part in refused({"x": "uint8"}, request_)


@pytest.mark.parametrize(
    ("value", "part"),
    [
        (1, "JSON Value: 1 Type: Number is not of expected type: string"),
        ({"b64": "a"}, "Unable to base64 decode"),
        ({"b64": 3}, 'JSON Value: {"b64": 3} not formatted correctly for base64 data'),
        ([["a"], ["a", "b"]], "unexpected size: 2 at level: 1 expected size: 1"),
    ],
)
def test_strings_that_are_refused(value, part):
    assert part in refused({"x": "string"}, {"inputs": {"x": value}})


def test_numbers_that_a_float_cannot_hold():
    assert "JSON Value: 1e+300 Type: Number" in refused({"x": "float32"}, {"inputs": [0.5, 1e300]})
    fed, answer = asked({"x": "float32"}, inputs=[float("nan"), float("-inf")])
    assert np.isnan(fed["x"][0])
    assert answer["outputs"][1] == float("-inf")


def test_two_inputs_are_named():
    assert "multiple input tensors required" in refused(PAIR, {"instances": [1]})
    assert "multiple input tensors required" in refused(PAIR, {"inputs": [1]})


@pytest.fixture
def models():
    versions = [types.SimpleNamespace(name="i3d", version=number) for number in (2, 10)]
    return rest_form.Models({"i3d": versions}, {"stable": 2, "old": 1})


def test_versions_and_labels(models):
    assert models.find("i3d").version == 10
    assert models.find("i3d", 2).version == models.find("i3d", label="stable").version == 2
    listed = models.status("i3d")["model_version_status"]
    fine = {"error_code": "OK", "error_message": ""}
    assert listed == [{"version": number, "state": "AVAILABLE", "status": fine} for number in ("2", "10")]
    assert [one["version"] for one in models.status("i3d", 2)["model_version_status"]] == ["2"]
    assert [one["version"] for one in models.status("i3d", label="stable")["model_version_status"]] == ["2"]


@pytest.mark.parametrize(
    ("verb", "named", "code", "words"),
    [
        ("find", ("cats",), 404, "Servable not found for request: Latest(cats)"),
        ("find", ("cats", 2), 404, "Servable not found for request: Specific(cats, 2)"),
        ("find", ("i3d", 0), 404, "Servable not found for request: Specific(i3d, 0)"),
        ("find", ("i3d", None, "new"), 400, "Unrecognized servable version label: new"),
        ("find", ("i3d", None, "old"), 400, "Unrecognized servable version label: old"),
        ("status", ("cats",), 404, "Could not find any versions of model cats"),
        ("status", ("i3d", 7), 404, "Could not find version 7 of model i3d"),
        ("status", ("i3d", None, "new"), 400, "Unrecognized servable version label: new"),
    ],
)
def test_what_is_not_there(models, verb, named, code, words):
    with pytest.raises(Refusal) as caught:
        getattr(models, verb)(*named)
    assert (rest_form.HTTP[caught.value.code], str(caught.value)) == (code, words)


def test_paths():
    for path, parts in (
        ("/v1/models/i3d", ("i3d", None, None, None)),
        ("/v1/models/i3d:predict", ("i3d", None, None, ":predict")),
        ("/v1/models/i3d/versions/12:predict", ("i3d", "12", None, ":predict")),
        ("/v1/models/i3d/labels/stable/metadata", ("i3d", None, "stable", "/metadata")),
    ):
        assert rest_form.PATH.fullmatch(path).groups() == parts
    for path in ("/v1/models", "/v1/models/i3d:explain", "/v1/models/i3d/versions/x", "/v1/models/a/b"):
        assert not rest_form.PATH.fullmatch(path)
