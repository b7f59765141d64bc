"""Videos to a server of TensorFlow Serving's APIs that holds an export of this package, and labels back.

An address that begins with http:// or https:// is asked by REST, any other one by gRPC. Frames go as JPEGs, as records
hold them. The export says by itself, in its signature `facts`, at which rate and size it takes them, how many a request
holds, and which signature uses all of its streams.

Neither Keras nor, by REST, TensorFlow is needed.
"""

import base64
import dataclasses
import json
import re

from keras_i3d import jpeg, video
from keras_i3d.errors import ServerError, notice
from keras_i3d.probabilities import probabilities
from keras_i3d.specs import QUALITY

# What gRPC says of a message over a limit: "Received message larger than max (9437184 vs. 4194304)".
LARGER = re.compile(r"message larger than max \(\d+ vs\. (\d+)\)")
TOO_LARGE = 413  # of HTTP, which carries gRPC too; of proxies, because TensorFlow Serving never says it
REFUSED_BY_PROXY = re.compile(rf"header with status: {TOO_LARGE}\b")  # what gRPC says of that
TOP = 5  # classes that are named of networks for one label a video


class Grpc:
    """A model behind `tensorflow.serving.PredictionService`."""

    def __init__(self, address, model, version, seconds):
        try:
            import grpc
            from tensorflow_serving.apis import prediction_service_pb2_grpc
        except ImportError as error:
            raise ServerError(
                f"gRPC needs the package {error.name}, which is not installed. Run: pip install 'keras-i3d[serving]' "
                "Or ask by REST: http://HOST:8501"
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

    def facts(self):
        """Returns what the export says of itself: `export.signatures.Contract.description`."""
        return json.loads(self._predict("facts", "about", [b""])["facts"][0])

    def logits(self, signature, jpegs):
        """Returns the logits of one clip, a list of floats."""
        return [float(value) for value in self._predict(signature, "frames", [jpegs])["logits"][0]]

    def _predict(self, signature, name, value):
        import tensorflow as tf
        from tensorflow_serving.apis import predict_pb2

        request = predict_pb2.PredictRequest()
        request.model_spec.signature_name = signature
        request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
        outputs = self._call(self.stub.Predict, request).outputs
        return {name: tf.make_ndarray(output) for name, output in outputs.items()}

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
            if code == grpc.StatusCode.RESOURCE_EXHAUSTED and (found := LARGER.search(error.details() or "")):
                raise _too_large(self.address, request.ByteSize(), int(found[1])) from error
            if REFUSED_BY_PROXY.search(error.details() or ""):
                raise _too_large(self.address, request.ByteSize()) from error
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

    def facts(self):
        """As Grpc's."""
        request = {"signature_name": "facts", "instances": [{"about": ""}]}
        (answer,) = self._call("POST", ":predict", json=request)["predictions"]
        return json.loads(answer if isinstance(answer, str) else answer["facts"])  # a server leaves out a single name

    def logits(self, signature, jpegs):
        """As Grpc's."""
        frames = [{"b64": base64.b64encode(jpeg).decode()} for jpeg in jpegs]
        request = {"signature_name": signature, "instances": [{"frames": frames}]}
        (answer,) = self._call("POST", ":predict", json=request)["predictions"]
        return answer["logits"]

    def _call(self, method, verb, **content):
        import requests

        try:
            response = requests.request(method, self.url + verb, timeout=self.seconds, **content)
            if response.status_code == TOO_LARGE:
                raise _too_large(self.address, len(response.request.body))
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
        f"No {kind} server of TensorFlow Serving answers at {address} ({words}). serve.sh of an export starts one, "
        "and `keras-i3d serve` one for REST; gRPC has port 8500, REST 8501."
    )


def _too_slow(address, seconds):
    return ServerError(f"{address} gave no answer in {seconds:g} s. Wait longer: seconds=.")


def _too_large(address, size, limit=None):
    """A request over a limit: of gRPC, 4 MiB for servers that set none; or None, of a proxy, which does not tell it."""
    if limit is None:
        said = f"{address} takes no request of this size, by HTTP {TOO_LARGE}"
        remedy = "client_max_body_size of nginx"
    else:
        said = f"{address} takes gRPC messages of at most {limit / 1e6:.2g} MB"
        remedy = "grpc.max_receive_message_length of a gRPC server, or ask by REST"
    return ServerError(
        f"{said}. Received: a request of {size / 1e6:.2g} MB. TensorFlow Serving takes up to 2 GB, so raise the limit "
        f"of what answers there: {remedy}. Or send less: lower quality= (of the JPEGs) or, if the export takes clips "
        "of any length, split the video by clip_frames=."
    )


def _refused(address, code, words):
    words = words.splitlines()[0] if words else ""  # below it are places in the graph
    hint = ". Name it by model= and version=" if code in ("NOT_FOUND", "HTTP 404") else ""
    return ServerError(f"{address} refused, {code}: {words}{hint}")


def connect(address, model="i3d", version=None, seconds=300):
    """Returns the Rest or Grpc that an address asks for.

    Args:
        address: "http://HOST:PORT" or "https://HOST:PORT" for REST, "HOST:PORT" for gRPC.
        model: the name of the model on the server.
        version: a number; None for the latest.
        seconds: how long to wait for an answer.

    Raises:
        ServerError: gRPC, without the packages that it needs.
    """
    return (Rest if address.startswith(("http://", "https://")) else Grpc)(address, model, version, seconds)


@dataclasses.dataclass(frozen=True)
class Answer:
    """What a model on a server says of a clip, or of all clips of a video.

    Attributes:
        video_frames: frames of the whole video, at the model's rate.
        clips: how many clips it is about: their logits are averaged.
        start, end: seconds of the video that they cover.
        looped: whether the video is shorter than a clip, and was repeated.
        clip_frames: frames of a clip.
        logits: a list of floats, one a class.
    """

    video_frames: int
    clips: int
    start: float
    end: float
    looped: bool
    clip_frames: int
    logits: list


class Model:
    """What a model on a server takes, and how it is asked.

    Args:
        server: what `connect` returns.
        signature: one whose input is `frames` as JPEGs; by default the export's own.
        fps, short_side: frames per second, and pixels of the shorter side; by default what the export takes.
        quality: quality of the JPEGs, 1 to 100.
        clip_frames: frames of a request, if the export takes any number; by default all of the video.

    Raises:
        ServerError: the server does not answer, or holds a model that this client cannot ask.
        ValueError: clip_frames that the export does not take.
    """

    def __init__(self, server, signature=None, fps=None, short_side=None, quality=QUALITY, clip_frames=None):
        self.server, self.quality = server, quality
        signatures = server.signatures()
        if "facts" not in signatures:
            raise ServerError(
                "The model does not say what it takes: it has no signature `facts`. Export it again with this version."
            )
        self.facts = server.facts()
        self.signature = signature or self.facts["signature"]
        self.fps, self.short_side = fps or self.facts["fps"], short_side or self.facts["short_side"]
        fit = sorted(n for n, inputs in signatures.items() if [*inputs] == ["frames"] and len(inputs["frames"]) == 2)
        if self.signature not in fit:
            raise ServerError(
                f"The signature must be one of {', '.join(fit) or '(none of the model)'}. "
                f"Received: signature={self.signature}"
            )
        self.length, self.clip_frames = signatures[self.signature]["frames"][1], clip_frames
        if clip_frames is not None and not self.facts["least"] <= clip_frames == (self.length or clip_frames):
            takes = f"{self.length}, which is fixed" if self.length else f"at least {self.facts['least']}"
            raise ValueError(f"clip_frames must be what the export takes: {takes}. Received: clip_frames={clip_frames}")
        for name, used in (("fps", self.fps), ("short_side", self.short_side)):
            if used != self.facts[name]:
                notice(f"{name}={used:g}; the model was trained at {self.facts[name]:g}")

    def cut(self, jpegs):
        """Yields (first frame, clip): clips of the length that a request has, which cover the video.

        If a request may have any length, all of the video in one clip, or clips of `clip_frames`.
        """
        whole = max(len(jpegs), self.facts["least"])
        wanted = self.length or min(whole, self.clip_frames or whole)
        looped = [jpegs[i % len(jpegs)] for i in range(max(len(jpegs), wanted))]
        for start in range(0, len(looped), wanted):
            start = min(start, len(looped) - wanted)
            yield start, looped[start : start + wanted]

    def ask(self, path):
        """Yields an Answer for each clip of a video and, where it has several, one of all of them.

        Args:
            path: a video file.

        Raises:
            VideoError: no frame can be decoded.
            ServerError: the server does not answer, or refuses.
        """
        jpegs = encode(path, self.fps, self.short_side, self.quality)
        sums, clips = None, 0
        for start, clip in self.cut(jpegs):
            logits = self.server.logits(self.signature, clip)
            sums, clips = logits if sums is None else [a + b for a, b in zip(sums, logits)], clips + 1
            end = min(start + len(clip), len(jpegs))
            yield Answer(len(jpegs), 1, start / self.fps, end / self.fps, len(clip) > len(jpegs), len(clip), logits)
        if clips > 1:
            mean = [value / clips for value in sums]
            yield Answer(len(jpegs), clips, 0.0, len(jpegs) / self.fps, False, len(clip), mean)

    def best(self, logits, top=None):
        """Returns [(label, probability)] of the `top` best classes, best first.

        None takes 5; of networks for several labels a video all above their thresholds, of which there may be none.
        """
        shares = probabilities(logits, self.facts["activation"])
        order, least = sorted(range(len(logits)), key=lambda i: -logits[i]), self.facts.get("thresholds")
        if top is None and least is not None:
            order = [i for i in order if shares[i] >= least[i]]
        else:
            order = order[: TOP if top is None else top]
        return [(self.facts["labels"][i], float(shares[i])) for i in order]


def encode(path, fps, short_side, quality=QUALITY):
    """Returns a video's frames as a list of JPEGs; a line says if it is damaged or cut short."""
    reader = video.Reader(path, fps, short_side)
    jpegs = [jpeg.encode(frame, quality) for frame in reader]
    if video.damage(reader):
        notice(f"{path}: {video.damage(reader)}")
    return jpegs
