"""Goldens of the family: what an original computes from seeded weights; see tests/goldens/README.md."""

import functools
import json
import math
import re
import zlib

import keras
import numpy as np

from made import ROOT, synthetic

ENDPOINT, LOGITS = 2e-5, 1e-5  # relative errors allowed


@functools.cache
def case(name):
    """Returns the golden `name`, a dictionary, which nobody changes."""
    return json.loads((ROOT / f"tests/goldens/family/{name}.json").read_text())


def draw(golden, name):
    """The random stream of variable `name` in a golden."""
    return np.random.RandomState(zlib.crc32(f"{golden['weights_seed']}/{name}".encode()))


def seeded(name, shape, golden):
    """The value of variable `name` in a golden, float32."""
    random = draw(golden, name)
    last = re.split(r"[./]", name)[-1]
    if "variance" in last or "running_var" in last:
        value = 0.5 + random.rand(*shape)
    elif len(shape) > 1:
        fan_in = np.prod(shape[1:] if golden["layout"].startswith("torch") else shape[:-1])
        value = random.standard_normal(shape) * np.sqrt(2 / fan_in)
    else:
        value = (1 if last in ("weight", "gamma") else 0) + 0.1 * random.standard_normal(shape)
    return np.float32(value) * np.float32(golden.get("factors", {}).get(name, 1))


def arrays(golden):
    """Returns {variable: float32 array}, all that the original's file would hold."""
    return {name: seeded(name, tuple(shape), golden) for name, shape in golden["variables"].items()}


def clip(golden):
    """Returns the seeded clip, float32 (B, T, H, W, C)."""
    value = synthetic.clip(golden["input"]["shape"], golden["input"]["seed"])
    return value.transpose(0, 2, 3, 4, 1) if golden["input"]["axes"] == "NCTHW" else value


def errors(model, golden, layers, logits="Logits"):
    """Returns {endpoint: relative error} of a model with a golden's weights, of all endpoints and of "logits".

    Args:
        model: a functional keras.Model, any sizes.
        golden: as `case` gives it.
        layers: {endpoint's name in the original: our layer, whose output it is}.
        logits: our layer of the logits.
    """
    wanted = golden.get("logits") or golden["video_embedding"]
    outputs = {endpoint: model.get_layer(layer).output for endpoint, layer in layers.items()}
    values = keras.Model(model.input, {"answer": model.get_layer(logits).output, **outputs})(
        clip(golden), training=False
    )
    found = {}
    for endpoint in layers:
        value, each = np.float64(values[endpoint]), golden["endpoints"][endpoint]
        assert list(value.shape) == each["shape"], (endpoint, value.shape, each["shape"])
        size = each["l2"] / math.sqrt(value.size)  # root mean square
        found[endpoint] = max(
            abs(np.linalg.norm(value) / each["l2"] - 1),
            abs(value.mean() - each["mean"]) / size,
            relative(value.ravel()[value.size // 2 :][:8], each["centre"], size * math.sqrt(8)),
        )
    found["logits"] = relative(np.float64(values["answer"])[0], wanted)
    return found


def relative(value, reference, size=None):
    """L2 distance, relative to the reference's norm or to `size`."""
    reference = np.float64(reference)
    return np.linalg.norm(np.float64(value) - reference) / (size or np.linalg.norm(reference))


def check(model, golden, layers, logits="Logits", endpoint=ENDPOINT, answer=LOGITS):
    """Asserts that all of `errors` are small."""
    found = errors(model, golden, layers, logits)
    assert found.pop("logits") < answer
    assert {name: error for name, error in found.items() if not error < endpoint} == {}
