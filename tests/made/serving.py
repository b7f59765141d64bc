"""A stand-in for tensorflow_model_server, in a process of its own: exports behind gRPC's PredictionService and REST.

  python tests/made/serving.py NAME=DIR...    prints {"grpc": port, "rest": port}, then serves until its input ends

Each line of its input is answered with the bytes that it uses. It loads DIR/VERSION as that server does, into a session
by the tag "serve", and feeds what a request holds without looking at it: a bad request is refused by the graph, or not
at all. Errors, their codes and the JSON are those of TensorFlow Serving
(tensorflow_serving/servables/tensorflow/predict_util.cc, util/json_tensor.cc, g3doc/api_rest.md).
Neither keras_i3d nor Keras can be imported here.
"""

import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.modules["keras_i3d"] = sys.modules["keras"] = None  # importing them raises

import base64  # noqa: E402
import concurrent.futures  # noqa: E402
import ctypes  # noqa: E402
import http.server  # noqa: E402
import json  # noqa: E402
import pathlib  # noqa: E402
import re  # noqa: E402
import threading  # noqa: E402

import grpc  # noqa: E402
import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402
from google.protobuf import json_format  # noqa: E402
from tensorflow.core.protobuf import config_pb2  # noqa: E402
from tensorflow_serving.apis import (  # noqa: E402
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

CODES = {code.value[0]: code for code in grpc.StatusCode}
HTTP = {3: 400, 5: 404, 9: 400, 12: 501, 14: 503}
PATH = re.compile(r"/v1/models/([^/:]+)(?:/versions/(\d+))?(:predict|/metadata)?")


class Failure(Exception):
    """A request that cannot be answered: a status code of gRPC and the server's words."""

    def __init__(self, code, message):
        super().__init__(message)
        self.code = code


class Servable:
    """One version of a model."""

    def __init__(self, name, folder):
        self.name, self.version = name, int(folder.name)
        self.session = tf.compat.v1.Session(graph=tf.Graph())
        with self.session.graph.as_default():
            graph = tf.compat.v1.saved_model.loader.load(self.session, ["serve"], str(folder))
        self.signatures = dict(graph.signature_def)
        self.calls, self.lock = {}, threading.Lock()

    def _call(self, name, signature):
        """A signature as a call that checks nothing: `Session.run` compares shapes, which the server does not."""
        with self.lock:
            if name not in self.calls:
                options = config_pb2.CallableOptions(
                    feed=[signature.inputs[key].name for key in sorted(signature.inputs)],
                    fetch=[signature.outputs[key].name for key in sorted(signature.outputs)],
                )
                self.calls[name] = self.session._make_callable_from_options(options)
            return self.calls[name]

    def signature(self, name, by_rest=False):
        if name not in self.signatures:
            if by_rest:
                raise Failure(3, f'Serving signature name: "{name}" not found in signature def')
            raise Failure(9, f'Serving signature key "{name}" not found.')
        return self.signatures[name]

    def predict(self, name, inputs):
        """{name: array} to {name: array}."""
        name = name or "serving_default"
        signature = self.signature(name)
        given, wanted = set(inputs), set(signature.inputs)
        if given != wanted:
            extra, missing = (",".join(sorted(a - b)) for a, b in ((given, wanted), (wanted, given)))
            raise Failure(
                3,
                f"input size does not match signature: {len(given)}!={len(wanted)}. "
                f"Sent extra: {{{extra}}}. Missing but required: {{{missing}}}.",
            )
        try:
            values = self._call(name, signature)(*(inputs[key] for key in sorted(inputs)))
        except tf.errors.OpError as error:
            raise Failure(error.error_code, error.message) from error
        return dict(zip(sorted(signature.outputs), values))


class Models:
    """{name: {version: Servable}}, asked as the server is."""

    def __init__(self, words):
        self.versions = {}
        for name, base in (word.split("=", 1) for word in words):
            folders = [path for path in pathlib.Path(base).iterdir() if path.name.isdigit()]
            self.versions[name] = {int(path.name): Servable(name, path) for path in folders}

    def find(self, name, version=None):
        versions = self.versions.get(name, {})
        if not versions or version not in (None, *versions):
            wanted = f"Latest({name})" if version is None else f"Specific({name}, {version})"
            raise Failure(5, f"Servable not found for request: {wanted}")
        return versions[version or max(versions)]

    def available(self, name, version=None):
        """Numbers of a model's versions, or of the one that is named."""
        versions = sorted(self.versions.get(name, {}))
        if version is not None and version not in versions:
            raise Failure(5, f"Could not find version {version} of model {name}")
        if not versions:
            raise Failure(5, f"Could not find any versions of model {name}")
        return versions if version is None else [version]


class Service(prediction_service_pb2_grpc.PredictionServiceServicer):
    """gRPC: Predict and GetModelMetadata."""

    def __init__(self, models):
        self.models = models

    def Predict(self, request, context):  # noqa: N802
        with _Reported(context):
            servable = self._servable(request.model_spec)
            inputs = {}
            for name, value in request.inputs.items():
                try:
                    inputs[name] = tf.make_ndarray(value)
                except (ValueError, TypeError) as error:
                    raise Failure(3, f"tensor parsing error: {name}") from error
            response = predict_pb2.PredictResponse()
            for name, value in servable.predict(request.model_spec.signature_name, inputs).items():
                response.outputs[name].CopyFrom(tf.make_tensor_proto(value))
            response.model_spec.name = servable.name
            response.model_spec.version.value = servable.version
            return response

    def GetModelMetadata(self, request, context):  # noqa: N802
        with _Reported(context):
            return metadata(self._servable(request.model_spec))

    def _servable(self, spec):
        return self.models.find(spec.name, spec.version.value if spec.HasField("version") else None)


class Status(model_service_pb2_grpc.ModelServiceServicer):
    """gRPC: GetModelStatus."""

    def __init__(self, models):
        self.models = models

    def GetModelStatus(self, request, context):  # noqa: N802
        with _Reported(context):
            spec, response = request.model_spec, get_model_status_pb2.GetModelStatusResponse()
            for version in self.models.available(spec.name, spec.version.value if spec.HasField("version") else None):
                state = get_model_status_pb2.ModelVersionStatus.State.AVAILABLE
                response.model_version_status.add(version=version, state=state)
            return response


class _Reported:
    def __init__(self, context):
        self.context = context

    def __enter__(self):
        return self

    def __exit__(self, kind, error, _):
        if isinstance(error, Failure):
            self.context.abort(CODES[error.code], str(error))


def metadata(servable):
    """What the server says of a model: its signatures, packed."""
    response = get_model_metadata_pb2.GetModelMetadataResponse()
    response.model_spec.name = servable.name
    response.model_spec.version.value = servable.version
    signatures = get_model_metadata_pb2.SignatureDefMap(signature_def=servable.signatures)
    response.metadata["signature_def"].Pack(signatures)
    return response


class Rest(http.server.BaseHTTPRequestHandler):
    """REST: POST .../NAME[/versions/N]:predict with "instances" or "inputs", GET of its status and .../metadata."""

    protocol_version = "HTTP/1.1"
    models = None

    def do_POST(self):  # noqa: N802
        self._answer(":predict", self.rfile.read(int(self.headers["Content-Length"])))

    def do_GET(self):  # noqa: N802
        self._answer("/metadata" if self.path.endswith("/metadata") else None)

    def log_message(self, *_):
        pass

    def _answer(self, verb, body=None):
        try:
            match = PATH.fullmatch(self.path)
            if not match or match[3] != verb:
                raise Failure(3, f"Malformed request: {self.command} {self.path}")
            version = match[2] and int(match[2])
            servable = verb and self.models.find(match[1], version)
            if verb is None:
                fine = {"error_code": "OK", "error_message": ""}
                found = self.models.available(match[1], version)
                found = [{"version": str(number), "state": "AVAILABLE", "status": fine} for number in found]
                code, text = 200, json.dumps({"model_version_status": found})
            elif verb == "/metadata":
                code, text = 200, json_format.MessageToJson(metadata(servable), preserving_proto_field_name=True)
            else:
                code, text = 200, json.dumps(predict_json(servable, body))
        except Failure as failure:
            code, text = HTTP.get(failure.code, 500), json.dumps({"error": str(failure)})
        content = text.encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


def predict_json(servable, body):
    """A predict request's JSON object to the answer's; rows for rows, columns for columns."""
    try:
        request = json.loads(body)
    except ValueError as error:
        raise Failure(3, f"JSON Parse error: {error}") from error
    name = request.get("signature_name", "serving_default")
    signature = servable.signature(name, by_rest=True)
    if ("instances" in request) == ("inputs" in request):
        raise Failure(3, "Request must have one of 'instances' and 'inputs'")
    rows = request.get("instances")
    if rows is None:
        columns = request["inputs"]
    elif rows and all(isinstance(row, dict) and "b64" not in row for row in rows):
        columns = {key: [row[key] for row in rows if key in row] for key in rows[0]}
    else:
        columns = rows
    if not isinstance(columns, dict):
        columns = dict.fromkeys(signature.inputs, columns)
    inputs = {
        key: tensor(value, signature.inputs[key].dtype) for key, value in columns.items() if key in signature.inputs
    }
    if set(inputs) != set(columns):
        raise Failure(3, f"JSON object: does not have named input: {sorted(set(columns) - set(inputs))[0]}")
    outputs = {key: _plain(value) for key, value in servable.predict(name, inputs).items()}
    if rows is None:
        return {"outputs": outputs if len(outputs) > 1 else next(iter(outputs.values()))}
    if len(outputs) == 1:
        return {"predictions": next(iter(outputs.values()))}
    return {"predictions": [dict(zip(outputs, row)) for row in zip(*outputs.values())]}


def tensor(value, dtype):
    """A JSON value to an array; all lists of one level as long as the first."""
    shape, first = [], value
    while isinstance(first, list):
        shape.append(len(first))
        first = first[0] if first else None
    flat = []

    def fill(value, level):
        if not isinstance(value, list):
            if level != len(shape):
                raise Failure(3, f"JSON Value found at incorrect level: {level + 1}. Expected at level: {len(shape)}")
            flat.append(base64.b64decode(value["b64"]) if isinstance(value, dict) and "b64" in value else value)
        elif level >= len(shape) or len(value) != shape[level]:
            raise Failure(3, f"Encountered list at unexpected size: {len(value)} at level: {level}")
        else:
            for item in value:
                fill(item, level + 1)

    fill(value, 0)
    kind = tf.as_dtype(dtype)
    if kind == tf.string:
        if not all(isinstance(item, str | bytes) for item in flat):
            raise Failure(3, "JSON Value is not of expected type: string")
        flat = [item.encode() if isinstance(item, str) else item for item in flat]
        return np.array(flat, object).reshape(shape)
    if not all(isinstance(item, int | float) for item in flat):
        raise Failure(3, f"JSON Value is not of expected type: {kind.name}")
    return np.array(flat, kind.as_numpy_dtype).reshape(shape)


def _plain(value):
    """An array as JSON holds it: its strings as text."""
    if value.dtype == object:
        return np.vectorize(bytes.decode, otypes=[object])(value).tolist()
    return value.tolist()


def used():
    """Bytes in memory after malloc gave back what was freed: the GNU C library keeps much of it otherwise."""
    ctypes.CDLL(None).malloc_trim(0)
    return int(re.search(r"VmRSS:\s+(\d+) kB", pathlib.Path("/proc/self/status").read_text())[1]) << 10


def main(words):
    models = Models(words)
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(4), options=[("grpc.max_receive_message_length", -1)])
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(Service(models), server)
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(Status(models), server)
    ports = {"grpc": server.add_insecure_port("127.0.0.1:0")}
    server.start()
    Rest.models = models
    rest = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Rest)
    ports["rest"] = rest.server_address[1]
    threading.Thread(target=rest.serve_forever, daemon=True).start()
    print(json.dumps(ports), flush=True)
    for _ in sys.stdin:
        print(used(), flush=True)
    server.stop(None)


if __name__ == "__main__":
    main(sys.argv[1:])
