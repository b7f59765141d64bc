"""A gRPC client that is not ours, ovmsclient, asks an export behind the server of the tests.

Its messages are those of TensorFlow Serving, under file names that tensorflow-serving-api has too, so it runs in a
process of its own. It sends version 0 where none is named, which TensorFlow Serving does not have: here one is named.
"""

import importlib.util
import json
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from made import ROOT, served_exports, small_exports

pytestmark = pytest.mark.slow
pytest.importorskip("tensorflow_serving", reason="needs tensorflow-serving-api, of the extra serving")
if importlib.util.find_spec("ovmsclient") is None:
    pytest.skip("needs ovmsclient", allow_module_level=True)

CODE = """
import json, sys
import numpy as np
import ovmsclient

client = ovmsclient.make_grpc_client(sys.argv[1])
clip = dict(np.load("clip.npz"))
outputs = client.predict(inputs=clip, model_name="i3d", model_version=7, timeout=300)
np.savez("outputs.npz", **outputs)
told = {"status": client.get_model_status(model_name="i3d", model_version=7)}
told["metadata"] = client.get_model_metadata(model_name="i3d", model_version=7)
refusals = (
    ("frames", {name: value[:, :8] for name, value in clip.items()}, "i3d", 7),
    ("channels", {"rgb": clip["flow"], "flow": clip["flow"]}, "i3d", 7),
    ("model", clip, "cats", 7),
    ("version", clip, "i3d", 3),
)
for name, *request in refusals:
    try:
        client.predict(*request, timeout=300)
    except Exception as error:
        told[name] = [type(error).__name__, str(error)]
assert not {"tensorflow", "keras", "keras_i3d", "tensorflow_serving"} & set(sys.modules)
print(json.dumps(told))
"""


@pytest.fixture(scope="module")
def clip():
    """{stream: clip as the networks take it}."""
    draw = np.random.default_rng(3)
    return {s: draw.uniform(-1, 1, (2, 10, 32, 32, c)).astype("float32") for s, c in (("rgb", 3), ("flow", 2))}


@pytest.fixture(scope="module")
def told(exported, clip, tmp_path_factory):
    """What the client was told, and in "outputs" what it got."""
    folder = tmp_path_factory.mktemp("ovmsclient")
    served_exports.linked(exported.folder / "1", folder / "i3d/7")
    np.savez(folder / "clip.npz", **clip)
    words = [sys.executable, str(ROOT / "tests/made/serving.py"), "i3d=i3d"]
    server = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=folder, text=True)
    with server:
        address = f"127.0.0.1:{json.loads(server.stdout.readline())['grpc']}"
        code = [sys.executable, "-c", textwrap.dedent(CODE), address]
        result = subprocess.run(code, cwd=folder, capture_output=True, text=True, check=False)
        server.stdin.close()
    assert result.returncode == 0, result.stderr
    return {**json.loads(result.stdout), "outputs": dict(np.load(folder / "outputs.npz"))}


def test_it_gets_the_logits_of_the_saved_model(exported, clip, told):
    known = small_exports.Server(exported.folder / "1")("serving_default", **clip)
    assert told["outputs"].keys() == known.keys() == {"logits", "probabilities"}
    for name, value in known.items():
        np.testing.assert_allclose(told["outputs"][name], value, rtol=1e-4, atol=1e-6)


def test_it_reads_the_metadata_and_the_status(told):
    shape = [-1, -1, 32, 32]
    assert told["metadata"]["model_version"] == 7
    inputs = {name: {"shape": [*shape, channels], "dtype": "DT_FLOAT"} for name, channels in (("rgb", 3), ("flow", 2))}
    assert told["metadata"]["inputs"] == inputs
    assert told["status"] == {"7": {"state": "AVAILABLE", "error_code": 0, "error_message": ""}}


def test_it_is_told_what_is_wrong(told):
    assert told["frames"][0] == told["channels"][0] == "InvalidInputError"
    assert "with at least 9 frames. Received: 8" in told["frames"][1]
    assert "with 3 channels. Received: 2" in told["channels"][1]
    assert told["model"][0] == told["version"][0] == "ModelNotFoundError"
    assert "Servable not found for request: Specific(i3d, 3)" in told["version"][1]
