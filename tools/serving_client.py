"""Sends videos to a TensorFlow Serving server that holds an export of `keras-i3d export`, and prints their labels.

  sh models/serve.sh    # starts the server by docker; `keras-i3d export --output=models/i3d` wrote it
  python tools/serving_client.py --server=localhost:8500 clip.mp4
  python tools/serving_client.py --server=http://localhost:8501 --signature=frames_two_stream_jpeg clip.mp4

An address that begins with http:// or https:// is asked by REST, any other one by gRPC, which needs
pip install 'keras-i3d[serving]'. Frames go as JPEGs, as records hold them. The signature says how many a request takes:
a longer video goes as clips, one after the other, the last one up to its end; a shorter one is repeated, and the output
says so.
"""

import base64
import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from absl import app, flags  # noqa: E402

_SERVER = flags.DEFINE_string("server", "localhost:8500", "HOST:PORT for gRPC, http://HOST:PORT for REST.")
_MODEL = flags.DEFINE_string("model", "i3d", "Name of the model on the server.")
_VERSION = flags.DEFINE_integer("version", None, "Version of the model; by default the latest.", lower_bound=0)
_SIGNATURE = flags.DEFINE_string("signature", "jpeg", "One whose input is `frames` as JPEGs.")
_FPS = flags.DEFINE_float("fps", 25, "Frames per second, as the model was trained.", lower_bound=0.01)
_SHORT_SIDE = flags.DEFINE_integer("short_side", 256, "Pixels of the shorter side, likewise.", lower_bound=1)
_SECONDS = flags.DEFINE_float("seconds", 300, "How long to wait for an answer.", lower_bound=0.01)

SHORTEST = 10  # frames: the nine fields that a flow network needs are between ten


class ServerError(Exception):
    """A server that does not answer, or refuses."""


class Grpc:
    """A model behind `tensorflow.serving.PredictionService`."""

    def __init__(self, address, model, version, seconds):
        try:
            import grpc
            from tensorflow_serving.apis import prediction_service_pb2_grpc
        except ImportError as error:
            raise ServerError(
                f"gRPC needs the package {error.name}, which is not installed. Run: pip install 'keras-i3d[serving]' "
                "Or ask by REST: --server=http://HOST:8501"
            ) from error
        self.address, self.model, self.version, self.seconds = address, model, version, seconds
        self.channel = grpc.insecure_channel(address, options=[("grpc.max_receive_message_length", -1)])
        self.stub = prediction_service_pb2_grpc.PredictionServiceStub(self.channel)

    def signatures(self):
        """Returns {signature: {input: its shape, with None for what is open}}."""
        from tensorflow_serving.apis import get_model_metadata_pb2

        request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
        packed = self._call(self.stub.GetModelMetadata, request).metadata["signature_def"]
        found = get_model_metadata_pb2.SignatureDefMap()
        packed.Unpack(found)
        return {
            name: {key: _shape(dim.size for dim in info.tensor_shape.dim) for key, info in signature.inputs.items()}
            for name, signature in found.signature_def.items()
        }

    def predict(self, signature, jpegs):
        """Returns [(label, score)] of one clip, best first."""
        import tensorflow as tf
        from tensorflow_serving.apis import predict_pb2

        request = predict_pb2.PredictRequest()
        request.model_spec.signature_name = signature
        request.inputs["frames"].CopyFrom(tf.make_tensor_proto([jpegs]))
        outputs = self._call(self.stub.Predict, request).outputs
        labels, scores = (tf.make_ndarray(outputs[name])[0] for name in ("classes", "scores"))
        return [(label.decode(), float(score)) for label, score in zip(labels, scores)]

    def _call(self, method, request):
        import grpc

        request.model_spec.name = self.model
        if self.version is not None:
            request.model_spec.version.value = self.version
        try:
            return method(request, timeout=self.seconds)
        except grpc.RpcError as error:
            code = error.code()
            if code == grpc.StatusCode.UNAVAILABLE:
                raise _no_server("gRPC", self.address, error.details()) from error
            if code == grpc.StatusCode.DEADLINE_EXCEEDED:
                raise _too_slow(self.address, self.seconds) from error
            raise _refused(self.address, code.name, error.details()) from error


class Rest:
    """A model behind the REST API."""

    def __init__(self, address, model, version, seconds):
        number = "" if version is None else f"/versions/{version}"
        self.address, self.url, self.seconds = address, f"{address.rstrip('/')}/v1/models/{model}{number}", seconds

    def signatures(self):
        """As Grpc's. Servers write what is empty, or leave it out."""
        found = self._call("GET", "/metadata")["metadata"]["signature_def"]["signature_def"]
        return {
            name: {
                key: _shape(int(dim["size"]) for dim in info["tensor_shape"].get("dim", []))
                for key, info in signature.get("inputs", {}).items()
            }
            for name, signature in found.items()
        }

    def predict(self, signature, jpegs):
        """As Grpc's."""
        frames = [{"b64": base64.b64encode(jpeg).decode()} for jpeg in jpegs]
        request = {"signature_name": signature, "instances": [{"frames": frames}]}
        (answer,) = self._call("POST", ":predict", json=request)["predictions"]
        return list(zip(answer["classes"], answer["scores"]))

    def _call(self, method, verb, **content):
        import requests

        try:
            response = requests.request(method, self.url + verb, timeout=self.seconds, **content)
            answer = response.json()
        except requests.Timeout as error:
            raise _too_slow(self.address, self.seconds) from error
        except requests.JSONDecodeError as error:
            words = f"HTTP {response.status_code}, and no JSON"
            raise _no_server("REST", self.address, words) from error
        except requests.RequestException as error:
            words = "connection refused" if "refused" in str(error) else type(error).__name__
            raise _no_server("REST", self.address, words) from error
        if not response.ok:
            raise _refused(self.address, f"HTTP {response.status_code}", answer.get("error", answer))
        return answer


def _shape(sizes):
    return [size if size >= 0 else None for size in sizes]


def _no_server(kind, address, words):
    return ServerError(
        f"no {kind} server of TensorFlow Serving answers at {address} ({words}). `--help` says how to start one; "
        "gRPC has port 8500, REST 8501."
    )


def _too_slow(address, seconds):
    return ServerError(f"{address} gave no answer in {seconds:g} s. Wait longer by --seconds=.")


def _refused(address, code, words):
    words = words.splitlines()[0] if words else ""  # below it are places in the graph
    hint = ". Name it by --model= and --version=" if code in ("NOT_FOUND", "HTTP 404") else ""
    return ServerError(f"{address} refused, {code}: {words}{hint}")


def connect(address, model, version=None, seconds=300):
    """Returns the Rest or Grpc that an address asks for."""
    return (Rest if address.startswith(("http://", "https://")) else Grpc)(address, model, version, seconds)


def clip_frames(server, signature):
    """Returns how many frames a request of a signature takes; None for any number."""
    signatures = server.signatures()
    fit = sorted(name for name, inputs in signatures.items() if [*inputs] == ["frames"] and len(inputs["frames"]) == 2)
    if signature not in fit:
        raise ServerError(
            f"--signature must be one of {', '.join(fit) or '(none of the model)'}. Received: {signature}"
        )
    return signatures[signature]["frames"][1]


def encode(path, fps, short_side):
    """Returns a video's frames as a list of JPEGs; a line says if it is damaged or cut short."""
    from keras_i3d import video
    from keras_i3d.data.records import encode_rgb
    from keras_i3d.messages import notice

    reader = video.Reader(path, fps, short_side)
    jpegs = [encode_rgb(frame) for frame in reader]
    if video.damage(reader):
        notice(f"{path}: {video.damage(reader)}")
    return jpegs


def cut(jpegs, length):
    """Yields (first frame, clip): clips of `length` frames that cover the video; all of it where `length` is None."""
    wanted = length or max(len(jpegs), SHORTEST)
    looped = [jpegs[i % len(jpegs)] for i in range(max(len(jpegs), wanted))]
    for start in range(0, len(looped), wanted):
        start = min(start, len(looped) - wanted)
        yield start, looped[start : start + wanted]


def main(paths):
    from keras_i3d.messages import KerasI3DError

    if len(paths) < 2:
        raise app.UsageError("at least one video")
    failed = 0
    try:
        server = connect(_SERVER.value, _MODEL.value, _VERSION.value, _SECONDS.value)
        length = clip_frames(server, _SIGNATURE.value)
    except ServerError as error:
        raise SystemExit(f"error: {error}") from error
    for path in paths[1:]:
        try:
            jpegs = encode(path, _FPS.value, _SHORT_SIDE.value)
            print(f"{path}: {len(jpegs)} frames at {_FPS.value:g} fps; {_MODEL.value}, {_SIGNATURE.value}")
            for start, clip in cut(jpegs, length):
                answer = server.predict(_SIGNATURE.value, clip)
                end = min(start + len(clip), len(jpegs))
                looped = "" if len(clip) <= len(jpegs) else f", looped to {len(clip)} frames"
                print(f"  {start / _FPS.value:.2f} to {end / _FPS.value:.2f} s{looped}")
                print("\n".join(f"  {score:11.5f}  {label}" for label, score in answer), flush=True)
        except (ServerError, KerasI3DError, ImportError) as error:  # one bad video must not stop the rest
            failed += 1
            print(f"error: {error}" if str(path) in str(error) else f"error: {path}: {error}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    app.run(main)
