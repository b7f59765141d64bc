"""`keras-i3d serve`: KServe's server with an export behind it, asked by our client and as TensorFlow Serving is."""

import concurrent.futures
import contextlib
import importlib.util
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import types

import numpy as np
import pytest
from made import ROOT, films, served_exports, small_exports

import keras_i3d
from keras_i3d import ServerError, cli, listening
from keras_i3d.serving import kserve_server

BOTH = "frames_two_stream_jpeg"
needs_kserve = pytest.mark.skipif(
    importlib.util.find_spec("kserve") is None, reason="needs kserve, of the extra kserve"
)
# The command, in a process in which neither Keras nor what is built on it can be imported.
COMMAND = """
import sys

class Blocked:
    names = {"keras", *("keras_i3d." + name for name in ("models", "export", "flow", "networks", "builders", "video"))}
    def find_spec(self, name, path=None, target=None):
        if name in self.names:
            raise ImportError(name + " is blocked")

sys.meta_path.insert(0, Blocked())
from keras_i3d import cli
sys.exit(cli.main(["serve", *sys.argv[1:]]))
"""


@contextlib.contextmanager
def serve(elsewhere, *words, ends_by=signal.SIGINT):
    """`keras-i3d serve` in a process of its own, which has to end as it should; gives its address and what it said."""
    command = [sys.executable, "-c", COMMAND, *map(str, words), "--port=0"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with open(elsewhere / "log", "w+", encoding="utf-8") as log:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=log, cwd=elsewhere, env=environment, text=True
        )
        try:
            line = process.stdout.readline()
            assert " ready at http" in line, (elsewhere / "log").read_text()
            yield types.SimpleNamespace(rest=line.split()[-1].partition("/v1/")[0], line=line, process=process)
        finally:
            process.send_signal(ends_by)
            try:
                rest, _ = process.communicate(timeout=60)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
    assert (process.returncode, rest.splitlines()[-1:]) == (0, ["stopped"])
    log = (elsewhere / "log").read_text().splitlines()
    assert [line for line in log if not line.startswith("keras_i3d: serve, ")] == []  # whatever was asked


@pytest.fixture(scope="module")
def server(request, tmp_path_factory):
    """Version 7 of the model, by the label `stable` too; `.path` is the export that it is a link to."""
    if importlib.util.find_spec("kserve") is None:
        pytest.skip("needs kserve, of the extra kserve")
    path = request.getfixturevalue("exported").folder / "1"  # not made for nothing
    elsewhere = tmp_path_factory.mktemp("serve")
    served_exports.linked(path, elsewhere / "models/i3d/7")
    with serve(elsewhere, "models/i3d", "--labels=stable:7") as started:
        started.path = path
        yield started


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    path = tmp_path_factory.mktemp("video") / "clip.mp4"
    path.write_bytes(films.film(list(small_exports.film(1, 24, 48, 64)[0])))
    return path


def got(server, path, content=None, **headers):
    """(status, the object that is answered) of a GET or, with bytes to send, a POST."""
    import requests

    url = f"{server.rest}{path}"
    answer = requests.post(url, content, headers=headers, timeout=300) if content is not None else requests.get(url)
    return answer.status_code, answer.json()


def test_it_says_what_it_serves_and_where_and_listens_there_alone(server):
    port = int(server.rest.rpartition(":")[2])
    assert server.line == f"i3d: version 7, ready at http://127.0.0.1:{port}/v1/models/i3d\n"
    listening = []
    for table in ("tcp", "tcp6"):
        for row in pathlib.Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            place, _, state = row.split()[1:4]
            if state == "0A" and place.endswith(f":{port:04X}"):
                listening.append(place)
    assert listening == [f"0100007F:{port:04X}"]


@pytest.mark.parametrize("signature", ["jpeg", pytest.param(BOTH, marks=pytest.mark.slow)])
def test_our_client_gets_the_logits_of_the_saved_model(server, client, video, signature):
    """On the same JPEGs, in a session of C++."""
    jpegs = client.encode(video, 25, 40)
    found = client.connect(server.rest).logits(signature, jpegs)
    known = small_exports.Server(server.path)(signature, frames=np.array([jpegs], object))["logits"]
    np.testing.assert_allclose(found, known[0], rtol=1e-4, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(("signature", "streams"), [("jpeg", ["rgb"]), (BOTH, ["rgb", "flow"])])
def test_ask_prints_the_labels_of_classify(server, exported, video, capsys, signature, streams):
    assert cli.main(["ask", server.rest, f"--signature={signature}", "--version=7", str(video)]) == 0
    printed = capsys.readouterr().out.splitlines()
    weights = {stream: exported.runs[stream] for stream in streams}
    found = keras_i3d.classify(video, "both" if len(streams) == 2 else "rgb", **weights).predictions
    assert [line.split()[1] for line in printed[2:]] == [one.label for one in found]


def test_versions_labels_and_status(server):
    fine = {"error_code": "OK", "error_message": ""}
    status = {"model_version_status": [{"version": "7", "state": "AVAILABLE", "status": fine}]}
    body = b'{"signature_name": "facts", "inputs": ["x"]}'
    answers = []
    for place in ("", "/versions/7", "/labels/stable"):
        assert got(server, f"/v1/models/i3d{place}") == (200, status)
        code, metadata = got(server, f"/v1/models/i3d{place}/metadata")
        assert (code, metadata["model_spec"]["version"]) == (200, "7")
        code, answer = got(server, f"/v1/models/i3d{place}:predict", body)
        assert code == 200
        answers.append(json.loads(answer["outputs"][0])["signature"])
    assert answers == [BOTH] * 3
    assert got(server, "/v1/models") == (200, {"models": ["i3d/versions/7", "i3d"]})  # KServe's own


def test_a_request_need_not_say_that_it_is_json(server):
    """As curl sends it, which KServe alone would not read."""
    body, kind = (
        b'{"signature_name": "facts", "instances": ["x"]}',
        {"Content-Type": "application/x-www-form-urlencoded"},
    )
    assert got(server, "/v1/models/i3d:predict", body, **kind)[0] == 200


@pytest.mark.parametrize(
    ("path", "body", "code", "words"),
    [
        ("i3d:predict", b"{", 400, "JSON Parse error: "),
        ("i3d:predict", b'{"signature_name": "x", "instances": [1]}', 400, 'name: "x" not found in signature def'),
        ("i3d:predict", b'{"signature_name": "jpeg", "inputs": [["a"]]}', 400, "at least 9 frames. Received: 1, in "),
        ("i3d:classify", b"{}", 400, "Expected classify signature method_name to be tensorflow/serving/classify"),
        ("i3d:explain", b"{}", 400, "Malformed request: POST /v1/models/i3d:explain"),
        ("i3d:predict", None, 400, "Malformed request: GET /v1/models/i3d:predict"),
        ("cats:predict", b"{}", 404, "Servable not found for request: Latest(cats)"),
        ("i3d/versions/3:predict", b"{}", 404, "Servable not found for request: Specific(i3d, 3)"),
        ("i3d/labels/new:predict", b"{}", 400, "Unrecognized servable version label: new"),
        ("cats", None, 404, "Could not find any versions of model cats"),
        ("i3d/versions/3/metadata", None, 404, "Servable not found for request: Specific(i3d, 3)"),
    ],
)
def test_what_is_refused(server, path, body, code, words):
    status, answer = got(server, f"/v1/models/{path}", body)
    assert (status, [*answer]) == (code, ["error"])
    assert words in answer["error"]
    assert "\n" not in answer["error"]


def test_kserves_other_protocol_is_refused_in_words(server):
    body = {"inputs": [{"name": "x", "shape": [1], "datatype": "INT32", "data": [1]}]}
    code, answer = got(
        server, "/v2/models/i3d/infer", json.dumps(body).encode(), **{"Content-Type": "application/json"}
    )
    assert (code, answer) == (501, {"error": "Requests come in the form of TensorFlow Serving, to /v1/models."})


def test_requests_of_four_threads_get_each_its_own_answer(server, client):
    """Good ones and bad ones at the same time."""
    clips = [small_exports.encode(small_exports.film(1, seed=seed))[0] for seed in range(3)]
    one = client.connect(server.rest)
    alone = [one.logits("jpeg", list(clip)) for clip in clips]

    def ask(number):
        if number % 4 == 3:
            with pytest.raises(ServerError, match=r"HTTP 400: A frame must be an encoded JPEG or PNG"):
                one.logits("jpeg", [b"junk"] * 10)
            return True
        return one.logits("jpeg", list(clips[number % 4])) == alone[number % 4]

    with concurrent.futures.ThreadPoolExecutor(4) as threads:
        assert all(threads.map(ask, range(16)))
    assert len({tuple(logits) for logits in alone}) == 3


@pytest.mark.slow
def test_it_answers_as_the_server_of_the_other_tests_does(server, client, tmp_path):
    """Which follows TensorFlow Serving and is written apart: the same signatures, status, answers, codes and words."""
    pytest.importorskip("tensorflow_serving", reason="needs tensorflow-serving-api, of the extra serving")
    served_exports.linked(server.path, tmp_path / "i3d/7")
    words = [sys.executable, str(ROOT / "tests/made/serving.py"), f"i3d={tmp_path / 'i3d'}"]
    process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=tmp_path, text=True)
    other = types.SimpleNamespace(rest=f"http://127.0.0.1:{json.loads(process.stdout.readline())['rest']}")
    with process:
        found, known = (client.connect(one.rest).signatures() for one in (server, other))
        assert found == known
        for path in ("i3d", "i3d/versions/7", "cats", "i3d/versions/3", "cats/metadata", "i3d/versions/3/metadata"):
            assert got(server, f"/v1/models/{path}") == got(other, f"/v1/models/{path}"), path
        clip = small_exports.film(1)
        files = [{"b64": served_exports.in_base64(file)} for file in small_exports.encode(clip)[0]]
        for path, request in (
            ("i3d", {"signature_name": "jpeg", "instances": [{"frames": files}]}),
            ("i3d", {"signature_name": "jpeg", "instances": [files, files]}),
            ("i3d/versions/7", {"signature_name": "jpeg", "inputs": {"frames": [files]}}),
            ("i3d", {"signature_name": "uint8", "instances": clip.tolist()}),
            ("i3d", {"signature_name": "facts", "instances": ["x", "y"]}),
            ("i3d", {"signature_name": "facts", "inputs": ["x"]}),
            ("cats", {"instances": [1]}),
            ("i3d/versions/3", {"instances": [1]}),
            ("i3d", {"signature_name": "none", "instances": [1]}),
            ("i3d", {"signature_name": "jpeg", "instances": [{"frames": [{"b64": "AAAA"}] * 10}]}),
            ("i3d", {"signature_name": "uint8", "inputs": clip[:, :8].tolist()}),
            ("i3d", {"signature_name": "uint8", "inputs": [[1], [1, 2]]}),
        ):
            body = json.dumps(request).encode()
            (code, answer), (known_code, known) = (got(s, f"/v1/models/{path}:predict", body) for s in (server, other))
            assert code == known_code, request.get("signature_name")
            if "error" in known:
                # The other one adds places in the graph, as TensorFlow Serving does, and says less of a list.
                assert answer["error"].split(" expected size")[0] in known["error"]
            else:
                assert_alike(answer, known)
        process.stdin.close()


def assert_alike(found, known):
    """Nested lists and dictionaries, whose numbers need not be the same to the last digit."""
    if isinstance(known, dict):
        assert found.keys() == known.keys()
        for key, value in known.items():
            assert_alike(found[key], value)
    elif isinstance(known, list):
        assert len(found) == len(known)
        for one, other in zip(found, known):
            assert_alike(one, other)
    else:
        assert found == (known if isinstance(known, str) else pytest.approx(known, rel=1e-4, abs=1e-6))


@pytest.mark.slow
@needs_kserve
def test_several_models_and_versions_and_an_end_by_sigterm(exported, tmp_path):
    for place in ("i3d/1", "i3d/2", "other/5"):
        served_exports.linked(exported.folder / "1", tmp_path / place)
    words = ("i3d", "other", "--versions=all", "--labels=canary:2")
    with serve(tmp_path, *words, ends_by=signal.SIGTERM) as server:
        assert server.line.startswith("i3d: version 1, 2, ready at ")
        for path, versions in (("i3d", ["1", "2"]), ("i3d/labels/canary", ["2"]), ("other", ["5"])):
            found = got(server, f"/v1/models/{path}")[1]["model_version_status"]
            assert [one["version"] for one in found] == versions
        assert got(server, "/v1/models/i3d/metadata")[1]["model_spec"]["version"] == "2"
        assert got(server, "/v1/models/other/labels/canary")[0] == 400


def test_without_kserve_the_line_that_installs_it_is_told(monkeypatch, capsys, tmp_path):
    monkeypatch.setitem(sys.modules, "kserve", None)
    assert cli.main(["serve", str(tmp_path)]) == 1
    assert capsys.readouterr().err == (
        "error: Serving without docker needs the package kserve, which is not installed. Run: pip install "
        "'keras-i3d[kserve]'\n"
    )


@pytest.mark.parametrize(
    ("words", "part"),
    [
        ([], "at least one folder that `keras-i3d export --output=` wrote"),
        (["i3d", "--versions=new"], "--versions must be latest, all, or numbers with commas between them"),
        (["i3d", "--labels=stable"], "--labels must be LABEL:N with commas between them"),
        (["i3d", "--port=70000"], "port"),
    ],
)
def test_words_that_it_does_not_take(words, part, capsys):
    assert cli.main(["serve", *words]) == 2
    assert part in capsys.readouterr().err


@pytest.fixture
def no_kserve_needed(monkeypatch):
    """What comes before the server runs, without KServe."""
    monkeypatch.setattr(kserve_server, "_kserve", lambda verbose: None)


def test_what_cannot_be_served_is_told_before_anything_is_loaded(no_kserve_needed, capsys, tmp_path):
    for place in ("a/i3d/1", "b/i3d/1"):
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / "saved_model.pb").write_bytes(b"junk")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for words, line in (
            ([tmp_path / "none"], "which has none"),
            ([tmp_path / "a/i3d", tmp_path / "b/i3d"], "Each model must have a name of its own. Received: two of i3d."),
            ([tmp_path / "a/i3d", "--versions=3"], "must be of those in "),
            ([tmp_path / "a/i3d", "--labels=x:3"], "Received: --labels=x:3. Serve it: --versions=3, or all."),
            (
                [tmp_path / "a/i3d", f"--port={port}"],
                f"cannot listen on 127.0.0.1, port {port}: Address already in use",
            ),
            ([tmp_path / "a/i3d", "--host=no.such.host.invalid"], "cannot listen on no.such.host.invalid, port 8501"),
        ):
            assert cli.main(["serve", *map(str, words)]) == 1
            said = capsys.readouterr().err
            assert said.startswith("error: ")
            assert said.count("\n") == 1
            assert line in said


def test_the_address_is_held_but_refuses_until_it_is_ready():
    with contextlib.closing(listening.bound("127.0.0.1", 0)) as listener:
        address = listener.getsockname()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address, timeout=10)
        listener.listen()
        socket.create_connection(address, timeout=10).close()
