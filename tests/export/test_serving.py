"""The client of tools/ and the export behind a server: labels, refusals, thousands of requests."""

import base64
import collections
import concurrent.futures
import contextlib
import json
import pathlib
import re
import runpy
import subprocess
import sys
import time
import types

import numpy as np
import pytest
from made import ROOT, films, small_exports
from made.small_exports import stated
from made.small_runs import LABELS

import keras_i3d
from keras_i3d import preprocess_input
from keras_i3d.inference.chunks import centre_crop
from keras_i3d.records.sequence_example import encode_rgb

grpc = pytest.importorskip("grpc", reason="needs grpcio, of the extra serving")
pytest.importorskip("tensorflow_serving", reason="needs tensorflow-serving-api, of the extra serving")

BOTH = "frames_two_stream_jpeg"
MANY = 256 << 20  # bytes that requests of four threads may take beside what one takes
GROWTH = 16 << 20  # bytes more that the server may use in the last quarter of requests than in the second


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    path = tmp_path_factory.mktemp("video") / "clip.mp4"
    path.write_bytes(films.film(list(small_exports.film(1, 24, 48, 64)[0])))
    return path


@contextlib.contextmanager
def serve(folder, elsewhere):
    """An export's folder behind tests/made/serving.py, in a folder from which keras_i3d cannot be imported."""
    words = [sys.executable, str(ROOT / "tests/made/serving.py"), f"i3d={folder}"]
    with open(elsewhere / "log", "w+") as log:
        process = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, cwd=elsewhere, text=True
        )
        ports = json.loads(process.stdout.readline() or "null")
        assert ports, (elsewhere / "log").read_text()
        address = f"127.0.0.1:{ports['grpc']}"
        with grpc.insecure_channel(address) as channel:
            rest = f"http://127.0.0.1:{ports['rest']}"
            yield types.SimpleNamespace(grpc=address, rest=rest, process=process, channel=channel)
        process.stdin.close()
        assert process.wait(60) == 0


@pytest.fixture(scope="module")
def server(exported, tmp_path_factory):
    with serve(exported.folder, tmp_path_factory.mktemp("elsewhere")) as started:
        yield started


def run(capsys, *words):
    """Returns (what tools/serving_client.py prints, what it says to standard error or None if all went well)."""
    script = runpy.run_path(str(ROOT / "tools/serving_client.py"))
    status = script["main"]([str(word) for word in words])
    captured = capsys.readouterr()
    return captured.out, captured.err if status else None


class Plain:
    """The models of an export as Keras runs them, on flow of the layer that the export holds."""

    def __init__(self, exported):
        import keras

        from keras_i3d import flow, runs

        self.models = {}
        for stream, folder in exported.runs.items():
            model = runs.load_model(folder)
            self.models[stream] = keras.Model(model.input, model.get_layer("Logits").output)
        with small_exports.small():
            self.tvl1 = flow.TVL1()

    def inputs(self, frames):
        """Frames, uint8 (T, H, W, 3), to {stream: the clip that its network takes}."""
        whole = {"rgb": frames, "flow": np.asarray(self.tvl1(frames[None])[0])}
        return {
            stream: preprocess_input(np.stack([centre_crop(image, 32) for image in clip]), stream)[None]
            for stream, clip in whole.items()
        }

    def logits(self, frames, streams):
        """float32 (classes,): the sum over streams."""
        clips = self.inputs(frames)
        return sum(self.models[stream].predict_on_batch(clips[stream])[0] for stream in streams)


@pytest.fixture(scope="module")
def plain(exported):
    return Plain(exported)


def decoded(files):
    """JPEGs to uint8 (T, H, W, 3), as the graph and the reader of records decode them."""
    import tensorflow as tf

    return np.stack([tf.io.decode_jpeg(file, 3, dct_method="INTEGER_ACCURATE") for file in files])


def said(exported, video, streams):
    """The labels of `classify`, best first."""
    weights = {s: run for s, run in exported.runs.items() if streams in (s, "both")}
    return [p.label for p in keras_i3d.classify(video, streams, **weights).predictions]


@pytest.mark.parametrize("protocol", ["grpc", "rest"])
@pytest.mark.parametrize("signature", ["jpeg", BOTH])
def test_the_client_prints_the_labels_of_classify(exported, plain, server, client, video, capsys, protocol, signature):
    """And the scores of the plain models on the frames that it sends, which went through one more JPEG."""
    address = getattr(server, protocol)
    printed, problem = run(capsys, f"--server={address}", f"--signature={signature}", video)
    assert not problem
    printed = [line.split(None, 1) for line in printed.splitlines()[2:]]
    streams = ["rgb"] if signature == "jpeg" else ["rgb", "flow"]
    assert [label for _, label in printed] == said(exported, video, "rgb" if signature == "jpeg" else "both")
    logits = plain.logits(decoded(client.encode(video, 25, 40)), streams)
    scores = np.sort(np.exp(logits) / np.exp(logits).sum())[::-1]
    assert [float(score) for score, _ in printed] == pytest.approx(scores, abs=1e-4)


@pytest.mark.slow
def test_flow_of_full_quality_gives_the_labels_of_classify_too(exported, client, video, capsys, tmp_path):
    """TV-L1 in the graph as `classify` computes it, on clips of a fixed length."""
    keras_i3d.export.saved_model(tmp_path / "i3d", 1, **exported.runs, frames=24)
    with serve(tmp_path / "i3d", tmp_path) as server:
        for address in (server.grpc, server.rest):
            printed, problem = run(capsys, f"--server={address}", video)
            assert not problem
            assert [line.split()[1] for line in printed.splitlines()[2:]] == said(exported, video, "both")


@pytest.mark.parametrize(
    ("length", "video", "starts"), [(None, 40, [0]), (16, 40, [0, 16, 24]), (64, 40, [0]), (None, 4, [0])]
)
def test_the_client_covers_a_video_with_clips_of_the_length_that_a_signature_takes(client, length, video, starts):
    facts = {"signature": "jpeg", "fps": 25.0, "short_side": 40, "frames": length, "least": 10}
    signatures = {"facts": {"about": [None]}, "jpeg": {"frames": [None, length]}}
    model = client.Model(types.SimpleNamespace(signatures=lambda: signatures, facts=lambda: facts))
    cuts = list(model.cut(list(range(video))))
    assert [start for start, _ in cuts] == starts
    for start, clip in cuts:
        assert clip == [(start + i) % video for i in range(length or max(video, 10))]


def test_a_model_that_does_not_say_what_it_takes_is_not_guessed_at(client):
    server = types.SimpleNamespace(signatures=lambda: {"jpeg": {"frames": [None, None]}})
    with pytest.raises(client.ServerError, match="no signature `facts`. Export it again"):
        client.Model(server)


@pytest.mark.parametrize("protocol", ["grpc", "rest"])
def test_the_client_says_in_a_line_what_is_wrong(server, client, video, tmp_path, capsys, monkeypatch, protocol):
    address = f"--server={getattr(server, protocol)}"
    junk, encode = tmp_path / "junk.mp4", client.encode
    monkeypatch.setattr(client, "encode", lambda path, *sizes: [b"junk"] if path == str(junk) else encode(path, *sizes))
    refusal = {"grpc": "INVALID_ARGUMENT", "rest": "HTTP 400"}[protocol]
    (tmp_path / "text.mp4").write_text("no video")
    nobody = {"grpc": "--server=127.0.0.1:1", "rest": "--server=http://127.0.0.1:1"}[protocol]
    other = f"--server={'http://' + server.grpc if protocol == 'rest' else server.rest.removeprefix('http://')}"
    for words, parts in (
        ([nobody, video], ["No ", "127.0.0.1:1", "refused", "serve.sh"]),
        ([other, video], ["No ", "server of TensorFlow Serving answers"]),
        ([address, "--model=cats", video], ["refused", "Latest(cats)", "--model="]),
        ([address, "--version=7", video], ["refused", "7", "--version="]),
        ([address, "--signature=uint8", video], ["must be one of", "frames_two_stream_jpeg, jpeg", "uint8"]),
        ([address, tmp_path / "text.mp4"], ["text.mp4", "not a video"]),
        ([address, junk], ["junk.mp4", "refused", refusal, "JPEG"]),
    ):
        printed, problem = run(capsys, *words)
        lines = [line for line in problem.splitlines() if line]
        assert len(lines) == 1, problem
        assert lines[0].startswith("error: ")
        assert all(part in lines[0] for part in parts), lines[0]


def test_one_unreadable_video_does_not_stop_the_rest(server, client, video, capsys):
    words = [f"--server={server.grpc}", video.with_name("none.mp4"), video]
    printed, problem = run(capsys, *words)
    assert "no such file" in problem
    assert printed.count("0.00 to 0.96 s") == 1


def ask(server, signature, **inputs):
    """Predicts by gRPC: {name: array or TensorProto} to {name: array}."""
    import tensorflow as tf
    from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

    request = predict_pb2.PredictRequest()
    request.model_spec.name, request.model_spec.signature_name = "i3d", signature
    for name, value in inputs.items():
        proto = value if hasattr(value, "SerializeToString") else tf.make_tensor_proto(value)
        request.inputs[name].CopyFrom(proto)
    response = prediction_service_pb2_grpc.PredictionServiceStub(server.channel).Predict(request, timeout=300)
    return {name: tf.make_ndarray(value) for name, value in response.outputs.items()}


def ask_jpegs(server, *clips):
    """Predicts by REST with the signature "jpeg": clips of JPEGs to {name: array}, or a Refused."""
    import requests

    rows = [{"frames": [{"b64": base64.b64encode(file).decode()} for file in clip]} for clip in clips]
    request = {"signature_name": "jpeg", "instances": rows}
    response = requests.post(f"{server.rest}/v1/models/i3d:predict", json=request, timeout=300)
    if not response.ok:
        raise Refused(response.status_code, response.json()["error"])
    answer = response.json()["predictions"]
    return {name: np.array([row[name] for row in answer]) for name in answer[0]}


class Refused(Exception):
    """By REST."""

    def __init__(self, code, words):
        super().__init__(words)
        self.code = code


class Traffic:
    """Requests of all kinds, each with what must come of it."""

    def __init__(self, plain, server):
        clips = [small_exports.film(1, 10 + seed, 40, 52, seed)[0] for seed in range(3)]
        files = [[encode_rgb(frame) for frame in clip] for clip in clips]
        self.good = []  # (what is asked, the logits that must come)
        for clip, file in zip(clips, files):
            images, pair = decoded(file), plain.inputs(clip)
            self.good += [
                (lambda clip=clip: ask(server, "uint8", frames=clip[None]), plain.logits(clip, ["rgb"])),
                (lambda file=file: ask(server, "jpeg", frames=[file, file]), plain.logits(images, ["rgb"])),
                (lambda file=file: ask_jpegs(server, file), plain.logits(images, ["rgb"])),
                (lambda pair=pair: ask(server, "serving_default", **pair), plain.logits(clip, ["rgb", "flow"])),
                (lambda file=file: ask(server, BOTH, frames=[file]), plain.logits(images, ["rgb", "flow"])),
            ]
        clip, file = clips[0], files[0]
        png = small_exports.encode(clip[None, :1], png=True)[0, 0]
        line, huge, large = (stated(png, 32, 60000), stated(file[0], 12000, 12000), stated(file[0], 8192, 8192))
        small, four = encode_rgb(clip[0, :36]), np.concatenate([clip, clip[..., :1]], -1)
        swapped = {"rgb": np.zeros((1, 9, 32, 32, 2), "float32"), "flow": np.zeros((1, 9, 32, 32, 3), "float32")}
        self.bad = {  # name: (what is asked, a part of the refusal)
            "four channels": (lambda: ask(server, "uint8", frames=four[None]), "3 channels"),
            "swapped streams": (lambda: ask(server, "serving_default", **swapped), "channels"),
            "8 frames": (lambda: ask(server, "uint8", frames=clip[None, :8]), "at least 9 frames.*8"),
            "5 JPEGs": (lambda: ask(server, "jpeg", frames=[file[:5]]), "at least 9 frames.*5"),
            "no clip": (lambda: ask(server, "uint8", frames=clip[None][:0]), "at least one clip"),
            "no batch axis": (lambda: ask(server, "uint8", frames=clip), r"\(batch, time, height, width, 3\)"),
            "not a JPEG": (lambda: ask(server, "jpeg", frames=[[b"hello", *file[1:]]]), "JPEG.*5 bytes.*frame 0"),
            "half a JPEG": (
                lambda: ask(server, "jpeg", frames=[[*file[:-1], file[-1][:200]]]),
                "200 bytes that are damaged or cut short, frame 9 of clip 0",
            ),
            "damaged PNG": (
                lambda: ask(server, BOTH, frames=[file, [*file[:2], png[:-20] + b"x" + png[-19:], *file[3:]]]),
                f"{len(png)} bytes that are damaged or cut short, frame 2 of clip 1",
            ),
            "lines of pixels": (lambda: ask(server, "jpeg", frames=[[line] * 16]), "aspect of 16:1.*32 60000.*frame 0"),
            "huge JPEG": (lambda: ask(server, "jpeg", frames=[[huge] * 9]), "67108864 pixels.*12000 12000.*frame 0"),
            "huge for flow": (lambda: ask(server, BOTH, frames=[[*file[:5], huge, *file[6:]]]), "12000 12000.*frame 5"),
            "many pixels": (lambda: ask(server, "jpeg", frames=[[large] * 9]), "in all.*9 frames, 603979776 pixels"),
            "many frames": (lambda: ask(server, "jpeg", frames=[[b"x"] * 400_000]), "400000 frames, at least 6400000"),
            "long raw frames": (
                lambda: ask(server, "uint8", frames=np.zeros((1, 9, 32, 513, 3), "uint8")),
                r"aspect of 16:1.*\[32 513\]",
            ),
            "many questions": (lambda: ask(server, "facts", about=[b""] * 100_000), "64 values.*100000"),
            "ragged frames": (lambda: ask(server, "jpeg", frames=[[*file[:-1], small]]), "one size.*36.*frame 9"),
            "float frames": (lambda: ask(server, "uint8", frames=np.float32(clip[None])), "uint8|float"),
            "no input": (lambda: ask(server, "jpeg"), "Missing but required: {frames}"),
            "ragged JSON": (lambda: ask_jpegs(server, file, file[:9]), "unexpected size"),
            "not a JPEG by REST": (lambda: ask_jpegs(server, [b"hello"] * 9), "JPEG"),
        }


def answered(call, logits):
    """Checks a good request's answer."""
    outputs = call()
    for row in outputs["logits"]:
        assert np.linalg.norm(row - logits) <= 1e-4 * np.linalg.norm(logits)
    if "classes" in outputs:
        best = [LABELS[i] for i in np.argsort(-logits)]
        assert [c.decode() if isinstance(c, bytes) else c for c in outputs["classes"][0]] == best


def refused(call, part):
    """Checks a bad request's refusal: its code, and a line that one can read."""
    with pytest.raises((grpc.RpcError, Refused)) as caught:
        call()
    error = caught.value
    if isinstance(error, Refused):
        code, words = error.code == 400, str(error)
    else:
        code, words = error.code() == grpc.StatusCode.INVALID_ARGUMENT, error.details()
    assert code, (error, words)
    assert re.search(part, words.splitlines()[0]), words


def memory(process):
    """Bytes of a process in memory."""
    return int(re.search(r"VmRSS:\s+(\d+) kB", pathlib.Path(f"/proc/{process.pid}/status").read_text())[1]) << 10


PARTS = 16  # of many requests; after each, what the server uses is asked


def used(process):
    """Bytes that a server without work uses: in memory, after malloc gave back what was freed.

    Memory alone tells of no leak. malloc keeps freed memory in an arena for each thread, and how much it keeps depends
    on which requests met. Over 2000 requests of four threads it went up and down by 100 MiB and had no trend; with one
    arena (MALLOC_ARENA_MAX=1) it was level. What is used stayed within 8 MiB from the 125th request to the last.
    """
    print(file=process.stdin, flush=True)
    return int(process.stdout.readline())


def check_growth(sizes):
    """Checks that a server does not grow, by `used` after each part of many requests.

    By the least of each quarter, because a request that was answered may not yet be freed; a leak raises the least.
    """
    print(f"MiB that the server uses after each part: {[size >> 20 for size in sizes]}")
    quarter = PARTS // 4
    assert min(sizes[-quarter:]) - min(sizes[quarter : 2 * quarter]) < GROWTH


@pytest.mark.parametrize("requests", [60, pytest.param(2000, marks=pytest.mark.slow)])
def test_requests_in_a_row_good_and_bad(plain, server, requests):
    """Every good one is answered right, every bad one refused in a line, and the server's memory stays as it is."""
    traffic = Traffic(plain, server)
    kinds = [(answered, *good) for good in traffic.good] + [(refused, *bad) for bad in traffic.bad.values()]
    draw, sizes, seen = np.random.default_rng(0), [], collections.Counter()
    for i in range(requests):
        check, *request = kinds[i if i < len(kinds) else draw.integers(len(kinds))]  # each once, then by chance
        check(*request)
        seen[check] += 1
        if (i + 1) % (requests // PARTS) == 0:
            sizes.append(used(server.process))
    assert min(seen.values()) > requests // 4
    print(f"{seen[answered]} answered, {seen[refused]} refused")
    if requests >= 1000:
        check_growth(sizes)


@pytest.mark.parametrize("requests", [40, pytest.param(500, marks=pytest.mark.slow)])
def test_requests_of_four_threads_good_bad_and_bombs(plain, server, requests):
    """Every good one equals, to the bit, itself asked alone; each is done in seconds; memory stays as it is."""
    traffic = Traffic(plain, server)
    alone = [call() for call, _ in traffic.good]
    for i, (_, logits) in enumerate(traffic.good):
        answered(lambda i=i: alone[i], logits)
    for bad in traffic.bad.values():
        refused(*bad)
    draw = np.random.default_rng(1)
    plan = [draw.integers(2) for _ in range(requests)]
    before, sizes, uses, took = memory(server.process), [], [], []

    def one(good, number):
        began = time.monotonic()
        if good:
            number %= len(alone)
            answer = traffic.good[number][0]()
            assert answer.keys() == alone[number].keys()
            for key, value in answer.items():
                np.testing.assert_array_equal(value, alone[number][key])
        else:
            refused(*list(traffic.bad.values())[number % len(traffic.bad)])
        sizes.append(memory(server.process))
        return time.monotonic() - began

    with concurrent.futures.ThreadPoolExecutor(4) as threads:
        for part in np.array_split(range(requests), PARTS if requests >= 500 else 1):
            took += threads.map(one, [plan[number] for number in part], part)
            uses.append(used(server.process))
    assert min(sum(plan), requests - sum(plan)) > requests // 4
    bombs = max(seconds for seconds, good in zip(took, plan) if not good)
    print(f"{sum(plan)} answered, at most {max(took):.1f} s; refused in {bombs:.1f} s at most; MiB before and at most: "
          f"{before >> 20}, {max(sizes) >> 20}")  # fmt: skip
    assert max(took) < 60
    assert max(sizes) - before < MANY  # twelve thousand pixels squared alone would take 412 MiB
    if requests >= 500:
        check_growth(uses)
