"""The JSON of TensorFlow Serving's REST API: requests to arrays, arrays to answers, and the HTTP status of an error.

Its form and its words are those of that server (tensorflow_serving/g3doc/api_rest.md, util/json_tensor.cc). A value
that a message names is cut short, because a line is read.
"""

import base64
import binascii
import json
import re

import numpy as np

from keras_i3d.serving.servables import INVALID, NOT_FOUND, Refusal

# A status of gRPC as one of HTTP; all others are 500.
HTTP = {1: 499, 3: 400, 4: 504, 5: 404, 6: 409, 7: 403, 8: 429, 9: 400, 10: 409, 11: 400, 12: 501, 14: 503, 16: 401}
PATH = re.compile(
    r"/v1/models/(?P<name>[^/:]+)(?:/versions/(?P<version>\d+)|/labels/(?P<label>[^/:]+))?"
    r"(?P<verb>:predict|:classify|:regress|/metadata)?",
    re.IGNORECASE,
)
SHOWN = 60  # characters of a value that a message names
MAX_RANK = 32  # levels of lists; a request has five


class Models:
    """The versions of models, as requests name them.

    Args:
        served: {model's name: [Servable, smallest version first]}.
        labels: {label: version}; a label is one of those models that have the version.
    """

    def __init__(self, served, labels=None):
        self.served, self.labels = served, labels or {}

    def find(self, name, version=None, label=None):
        """Returns the Servable that a request names; without a version or label the latest.

        Raises:
            Refusal: it is not there.
        """
        known = {servable.version: servable for servable in self.served.get(name, ())}
        if label is not None:
            version = self.labels.get(label)
            if version not in known:
                raise Refusal(INVALID, f"Unrecognized servable version label: {label}")
        if not known or version not in (None, *known):
            wanted = f"Latest({name})" if version is None else f"Specific({name}, {version})"
            raise Refusal(NOT_FOUND, f"Servable not found for request: {wanted}")
        return known[max(known) if version is None else version]

    def status(self, name, version=None, label=None):
        """Returns what the server says of a model's versions, or of the one that is named.

        Raises:
            Refusal: it is not there.
        """
        if label is None and name not in self.served:
            raise Refusal(NOT_FOUND, f"Could not find any versions of model {name}")
        if label is None and version is None:
            found = self.served[name]
        else:
            try:
                found = [self.find(name, version, label)]
            except Refusal as error:
                if error.code != NOT_FOUND:
                    raise
                raise Refusal(NOT_FOUND, f"Could not find version {version} of model {name}") from error
        fine = {"error_code": "OK", "error_message": ""}
        versions = [{"version": str(one.version), "state": "AVAILABLE", "status": fine} for one in found]
        return {"model_version_status": versions}


def metadata(servable):
    """Returns what the server says of a version: its signatures, with names, types and shapes."""
    from google.protobuf import json_format

    # Protocol buffers 5 renamed it.
    every = "always_print_fields_with_no_presence"
    if every not in json_format.MessageToDict.__code__.co_varnames:
        every = "including_default_value_fields"
    signatures = {
        name: json_format.MessageToDict(signature, preserving_proto_field_name=True, **{every: True})
        for name, signature in servable.signatures.items()
    }
    return {
        "model_spec": {"name": servable.name, "signature_name": "", "version": str(servable.version)},
        "metadata": {"signature_def": {"signature_def": signatures}},
    }


def predict(servable, body):
    """Returns the answer to a predict request, as plain lists and dictionaries.

    Args:
        servable: a Servable.
        body: bytes of a JSON object: "signature_name", and "instances", a list of rows, or "inputs", columns.

    Raises:
        Refusal: the request is not as it must be, or the graph refuses it.
    """
    request = _parsed(body)
    name = request.get("signature_name", "")
    if not isinstance(name, str):
        raise Refusal(INVALID, f"JSON Value: {_shown(name)} 'signature_name' key must be a string value.")
    kinds = servable.inputs(name)
    if "instances" in request and "inputs" in request:
        raise Refusal(INVALID, "Not formatted correctly expecting only one of 'inputs' or 'instances' keys to exist")
    if "instances" in request:
        outputs = servable.predict(name, _of_rows(request["instances"], kinds))
        return {"predictions": _rows(outputs)}
    if "inputs" in request:
        outputs = servable.predict(name, _of_columns(request["inputs"], kinds))
        plain = {key: _plain(key, value) for key, value in outputs.items()}
        return {"outputs": plain if len(plain) > 1 else next(iter(plain.values()))}
    raise Refusal(INVALID, "Missing 'inputs' or 'instances' key")


def _parsed(body):
    """The object that a request's bytes are."""
    if not body.strip():
        raise Refusal(INVALID, "JSON Parse error: The document is empty")
    try:
        request = json.loads(body)
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError is a ValueError
        words = str(error).splitlines()[0]
        raise Refusal(INVALID, f"JSON Parse error: {words}") from error
    if not isinstance(request, dict):
        raise Refusal(INVALID, f"JSON Value: {_shown(request)} Is not object")
    return request


def _of_rows(rows, kinds):
    """{input: array} of "instances": a list of objects, or of the values of the only input."""
    if not isinstance(rows, list):
        raise Refusal(INVALID, f"JSON Value: {_shown(rows)} Expecting 'instances' to be a list/array")
    if not rows:
        raise Refusal(INVALID, "JSON Value: [] No values in 'instances' array")
    named = _is_object(rows[0])
    if not named and len(kinds) > 1:
        raise Refusal(
            INVALID,
            "instances is a plain list, but expecting list of objects as multiple input tensors required as per "
            "tensorinfo_map",
        )
    columns = {key: [] for key in kinds}
    for place, row in enumerate(rows):
        if _is_object(row) != named:
            what = "object but got list" if named else "value/list but got object"
            raise Refusal(INVALID, f"Expecting {what} at item {place} of input list")
        for key, value in row.items() if named else [(next(iter(kinds)), row)]:
            where = f"Failed to process element: {place}{f' key: {key}' if named else ''} of 'instances' list. Error: "
            try:
                if key not in kinds:
                    raise Refusal(INVALID, f"JSON object: does not have named input: {key}")
                array = _array(value, kinds[key])
                if columns[key] and array.shape != columns[key][0].shape:
                    shapes = [f"[{','.join(map(str, shape))}]" for shape in (columns[key][0].shape, array.shape)]
                    raise Refusal(INVALID, f"Expecting shape {shapes[0]} but got: {shapes[1]}")
            except Refusal as error:
                raise Refusal(INVALID, f"{where}{error}") from error
            columns[key].append(array)
        if named and set(row) != set(kinds):
            raise Refusal(
                INVALID,
                f"Failed to process element: {place} of 'instances' list. JSON object: {_shown(row)} keys must be "
                f"equal to: {','.join(sorted(kinds))}",
            )
    return {key: np.stack(arrays) for key, arrays in columns.items()}


def _of_columns(columns, kinds):
    """{input: array} of "inputs": an object, or the value of the only input."""
    if not _is_object(columns):
        if len(kinds) > 1:
            raise Refusal(
                INVALID,
                "inputs is a plain value/list, but expecting an object as multiple input tensors required as per "
                "tensorinfo_map",
            )
        columns = dict.fromkeys(kinds, columns)
    for key in kinds:
        if key not in columns:
            raise Refusal(INVALID, f"Missing named input: {key} in 'inputs' object.")
    return {key: _array(columns[key], kind) for key, kind in kinds.items()}


def _is_object(value):
    """Whether a JSON value is an object of names, and not one that holds bytes."""
    return isinstance(value, dict) and not _is_bytes(value)


def _is_bytes(value):
    return isinstance(value, dict) and [*value] == ["b64"] and isinstance(value["b64"], str)


def _array(value, kind):
    """A JSON value as an array of a tf.DType; all lists of one level are as long as the first."""
    if kind.name == "string":
        shape, flat = _flat(value)
        array = np.empty(len(flat), object)
        array[:] = [_bytes(item) for item in flat]
        return array.reshape(shape)
    target = np.dtype(kind.as_numpy_dtype)
    try:
        array = np.array(value)
    except (ValueError, OverflowError, RecursionError):  # lists of several lengths or levels
        array = np.array(None)
    if not _fits(array, target):
        _, flat = _flat(value)
        raise Refusal(INVALID, _type_error(next((item for item in flat if not _is_of(item, target)), value), kind.name))
    return array.astype(target)


def _fits(array, target):
    """Whether an array's values are of a dtype, and in its range."""
    kind = array.dtype.kind
    if array.size == 0 or target.kind == "b":
        return kind in ("b" if target.kind == "b" and array.size else "biuf")
    if kind not in ("fiu" if target.kind == "f" else "iu"):
        return False
    if target.kind == "f":
        return bool(np.all(np.abs(array[np.isfinite(array)]) <= np.finfo(target).max))
    info = np.iinfo(target)
    return bool(info.min <= array.min() and array.max() <= info.max)


def _is_of(item, target):
    """`_fits` of one JSON value."""
    return isinstance(item, bool | int | float) and _fits(np.array([item]), target)


def _type_error(item, kind):
    names = {bool: str(item), str: "String", dict: "Object", list: "Array", type(None): "Null"}
    return f"JSON Value: {_shown(item)} Type: {names.get(type(item), 'Number')} is not of expected type: {kind}"


def _flat(value):
    """(shape, all values of nested lists, in order)."""
    shape, first = [], value
    while isinstance(first, list):
        shape.append(len(first))
        first = first[0] if first else None
    if len(shape) > MAX_RANK:
        raise Refusal(INVALID, f"A tensor may have {MAX_RANK} levels of lists. Received: {len(shape)}.")
    flat = []

    def fill(value, level):
        if not isinstance(value, list):
            if level != len(shape):
                raise Refusal(
                    INVALID,
                    f"JSON Value: {_shown(value)} found at incorrect level: {level + 1} in the JSON DOM. Expected at "
                    f"level: {len(shape)}",
                )
            flat.append(value)
        elif level >= len(shape):
            raise Refusal(INVALID, f"Encountered list at unexpected level: {level} expected < {len(shape)}")
        elif len(value) != shape[level]:
            raise Refusal(
                INVALID,
                f"Encountered list at unexpected size: {len(value)} at level: {level} expected size: {shape[level]}",
            )
        else:
            for item in value:
                fill(item, level + 1)

    fill(value, 0)
    return shape, flat


def _bytes(item):
    """A JSON value as bytes: text, or base64 under the key b64."""
    if isinstance(item, str):
        return item.encode("utf-8", "surrogatepass")
    if not isinstance(item, dict):
        raise Refusal(INVALID, _type_error(item, "string"))
    if not _is_bytes(item):
        raise Refusal(INVALID, f"JSON Value: {_shown(item)} not formatted correctly for base64 data")
    try:
        return base64.b64decode(item["b64"], validate=True)
    except (binascii.Error, ValueError) as error:
        raise Refusal(INVALID, "Unable to base64 decode") from error


def _rows(outputs):
    """Outputs as "predictions": a value a row, by name if there are several."""
    plain = {key: _plain(key, value) for key, value in outputs.items()}
    if len(plain) == 1:
        return next(iter(plain.values()))
    return [dict(zip(plain, row)) for row in zip(*plain.values())]


def _plain(name, value):
    """An array as JSON holds it: text as it is, bytes of an output that is named so in base64, shortest decimals."""
    if value.dtype == object:
        packed = name.endswith("_bytes")

        def said(item):
            return {"b64": base64.b64encode(item).decode()} if packed else item.decode("utf-8", "replace")

        return np.vectorize(said, otypes=[object])(value).tolist()
    if value.dtype.kind == "f" and value.dtype.itemsize < 8:
        return value.astype(str).astype("float64").tolist()  # not the digits that a float32 has as a float64
    return value.tolist()


def _shown(value):
    """A JSON value for a message, in a line, cut short."""
    try:
        text = json.dumps(value, ensure_ascii=False)
    except RecursionError:
        text = "[[[..."
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."
