"""What our client sends, and what it says of a server that takes less; with whole exports: `export/test_serving.py`."""

import concurrent.futures
import contextlib
import json
import types

import pytest
from made import films, small_exports

from keras_i3d import ServerError, cli


def model(client, length=None, **settings):
    """A client of a model on no server."""
    facts = {"signature": "jpeg", "fps": 25.0, "short_side": 40, "frames": length, "least": 10}
    signatures = {"facts": {"about": [None]}, "jpeg": {"frames": [None, length]}}
    return client.Model(types.SimpleNamespace(signatures=lambda: signatures, facts=lambda: facts), **settings)


@pytest.mark.parametrize(
    ("clip_frames", "video", "starts", "size"),
    [(16, 40, [0, 16, 24], 16), (16, 12, [0], 12), (16, 4, [0], 10), (40, 40, [0], 40), (None, 40, [0], 40)],
)
def test_a_video_is_split_where_a_request_may_have_any_length(client, clip_frames, video, starts, size):
    """A shorter one is not made longer for it."""
    cuts = list(model(client, clip_frames=clip_frames).cut(list(range(video))))
    assert [start for start, _ in cuts] == starts
    assert {len(clip) for _, clip in cuts} == {size}
    assert {frame for _, clip in cuts for frame in clip} == set(range(video))


@pytest.mark.parametrize(
    ("length", "clip_frames", "words"),
    [(None, 9, "at least 10. Received: clip_frames=9"), (64, 16, "64, which is fixed. Received: clip_frames=16")],
)
def test_a_length_that_the_export_does_not_take(client, length, clip_frames, words):
    with pytest.raises(ValueError, match=words):
        model(client, length, clip_frames=clip_frames)
    assert model(client, 64, clip_frames=64).length == 64


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    path = tmp_path_factory.mktemp("video") / "clip.mp4"
    path.write_bytes(films.film(list(small_exports.film(1, 24, 48, 64)[0])))
    return path


@contextlib.contextmanager
def small_server(limit):
    """A gRPC server that takes messages of so many bytes; gives its address and the frames of each request."""
    grpc = pytest.importorskip("grpc", reason="needs grpcio, of the extra serving")
    pytest.importorskip("tensorflow_serving", reason="needs tensorflow-serving-api, of the extra serving")
    import tensorflow as tf
    from tensorflow_serving.apis import get_model_metadata_pb2, predict_pb2, prediction_service_pb2_grpc

    seen = []
    facts = {"signature": "jpeg", "fps": 25.0, "short_side": 40, "frames": None, "least": 10, "activation": "softmax"}
    facts |= {"labels": ["left", "right"], "thresholds": None}

    class Service(prediction_service_pb2_grpc.PredictionServiceServicer):
        def Predict(self, request, context):  # noqa: N802
            response = predict_pb2.PredictResponse()
            if request.model_spec.signature_name == "facts":
                response.outputs["facts"].CopyFrom(tf.make_tensor_proto([json.dumps(facts).encode()]))
            else:
                seen.append(len(request.inputs["frames"].string_val))
                response.outputs["logits"].CopyFrom(tf.make_tensor_proto([[0.0, 1.0]]))
            return response

        def GetModelMetadata(self, request, context):  # noqa: N802
            found = get_model_metadata_pb2.SignatureDefMap()
            for signature, name, rank in (("facts", "about", 1), ("jpeg", "frames", 2)):
                shape = found.signature_def[signature].inputs[name].tensor_shape
                for _ in range(rank):
                    shape.dim.add(size=-1)
            response = get_model_metadata_pb2.GetModelMetadataResponse()
            response.metadata["signature_def"].Pack(found)
            return response

    options = [("grpc.max_receive_message_length", limit)]
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(1), options=options)
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(Service(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}", seen
    finally:
        server.stop(None).wait()


def test_a_request_over_the_servers_limit_is_told_with_what_to_do(client, video, capsys):
    """In one line; and what it names helps."""
    usual, low = (sum(map(len, client.encode(video, 25, 40, *quality))) for quality in ((), (20,)))
    assert low < 0.8 * usual
    limit = (usual + low) // 2
    with small_server(limit) as (address, seen):
        assert cli.main(["ask", address, str(video)]) == 1
        said = capsys.readouterr().err
        assert said.count("\n") == 1
        assert f"{address} takes gRPC messages of at most {limit / 1e6:.2g} MB. Received: a request of 0.0" in said
        for part in ("grpc.max_receive_message_length", "ask by REST", "--quality=", "--clip_frames="):
            assert part in said
        assert seen == []
        assert cli.main(["ask", address, "--quality=20", str(video)]) == 0
        assert seen == [24]
        assert cli.main(["ask", address, "--clip_frames=10", str(video)]) == 0
        assert seen == [24, 10, 10, 10]
        assert "all 3 clips" in capsys.readouterr().out


def test_a_proxys_limit_is_told_with_what_to_do(client, monkeypatch):
    """nginx refuses what is over 1 MB, gRPC too, with a page for people."""
    grpc = pytest.importorskip("grpc", reason="needs grpcio, of the extra serving")
    pytest.importorskip("tensorflow_serving", reason="needs tensorflow-serving-api, of the extra serving")
    import requests
    from tensorflow_serving.apis import predict_pb2

    class Refused(grpc.RpcError):
        code = staticmethod(lambda: grpc.StatusCode.UNKNOWN)
        details = staticmethod(lambda: "Received http2 header with status: 413")

    def refuse(request, timeout):
        raise Refused

    def refused(method, url, timeout, json):
        found = requests.Response()
        found.status_code, found._content = 413, b"<html>Request Entity Too Large</html>"
        found.request = requests.Request(method, url, json=json).prepare()
        return found

    monkeypatch.setattr(requests, "request", refused)
    request = predict_pb2.PredictRequest()
    request.inputs["frames"].string_val.append(bytes(2_000_000))
    for ask in (
        lambda: client.connect("127.0.0.1:1")._call(refuse, request),
        lambda: client.connect("http://127.0.0.1:1").logits("jpeg", [bytes(1_500_000)]),
    ):
        with pytest.raises(
            ServerError, match="by HTTP 413. Received: a request of 2 MB. .*client_max_body_size"
        ) as said:
            ask()
        assert "lower quality= (of the JPEGs)" in str(said.value)
        assert "or ask by REST" not in str(said.value)  # which goes through the same proxy


def test_other_refusals_of_resources_are_told_as_they_are(client, monkeypatch):
    """TensorFlow's out of memory, for one, has the same code."""
    grpc = pytest.importorskip("grpc", reason="needs grpcio, of the extra serving")
    pytest.importorskip("tensorflow_serving", reason="needs tensorflow-serving-api, of the extra serving")
    from tensorflow_serving.apis import predict_pb2

    class Refused(grpc.RpcError):
        code = staticmethod(lambda: grpc.StatusCode.RESOURCE_EXHAUSTED)
        details = staticmethod(lambda: "OOM when allocating tensor")

    def refuse(request, timeout):
        raise Refused

    one = client.connect("127.0.0.1:1")
    with pytest.raises(ServerError, match="refused, RESOURCE_EXHAUSTED: OOM when allocating tensor"):
        one._call(refuse, predict_pb2.PredictRequest())
