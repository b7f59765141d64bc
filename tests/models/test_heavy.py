"""I3D that is 2D in part, and I3D with more steps in time: against the 2D network, and against I3D."""

import functools
import json
import re

import keras
import numpy as np
import pytest
from made import ROOT, synthetic

from keras_i3d import builders
from keras_i3d.errors import WeightsError
from keras_i3d.models import families, heavy
from keras_i3d.models.inception import HEAD, LAYERS, inception_i3d, strided, timing
from keras_i3d.weights.by_name import assign, layer_weights

ANY = (None, None, None, 3)
NAMES = [row[0] for row in LAYERS]
NARROW = {"input_shape": ANY, "classes": 5, "depth_multiplier": 0.1}


def narrow(name, seed=1):
    """A narrow network of a row with values that show a fault."""
    model, draw = families.find(name).build(**NARROW), np.random.RandomState(seed)
    for weight in model.weights:
        low = 0.5 if "variance" in weight.name else -0.5
        scale = 2 / np.sqrt(np.prod(weight.shape[:-1]) / 6) if len(weight.shape) > 1 else 0.2 if low < 0 else 1
        weight.assign((low + draw.rand(*weight.shape)) * scale)
    return model


def values(model, clip, *layers):
    parts = keras.Model(model.input, [model.get_layer(name).output for name in layers])
    return [np.asarray(value) for value in keras.tree.flatten(parts(clip, training=False))]


# The 2D network


@functools.cache
def golden():
    return json.loads((ROOT / "tests/goldens/inception_v1_2d.json").read_text())


def weights_of_2d():
    """{layer: arrays} of the seeded 2D Inception-V1 of the golden, without its class layer."""
    found = {}
    for name, shape in golden()["variables"].items():
        match = re.fullmatch(r"InceptionV1/((?!Logits).+?)/(BatchNorm/)?(\w+)", name)
        if not match:
            continue
        value = synthetic.weight(name, tuple(shape), golden()["weights_seed"])
        unit = match[1].replace("Conv2d", "Conv3d").replace("/", "_")
        layer = f"{unit}_batch_norm" if match[2] else f"{unit}_conv_3d"
        found.setdefault(layer, {})[match[3]] = value if match[2] else value[None]
    order = ("weights", "beta", "moving_mean", "moving_variance")
    return {layer: [parts[name] for name in order if name in parts] for layer, parts in found.items()}


def check_endpoint(value, name):
    """A frame's endpoint (h, w, C) is the golden's."""
    wanted = golden()["endpoints"][name.replace("Conv3d", "Conv2d").replace("MaxPool3d", "MaxPool")]
    assert [1, *value.shape] == wanted["shape"], name
    value = np.float64(value).ravel()
    assert np.linalg.norm(value) == pytest.approx(wanted["l2"], rel=1e-5), name
    middle = value[value.size // 2 :][:8]
    np.testing.assert_allclose(middle, wanted["centre"], rtol=1e-4, atol=1e-4, err_msg=name)


def image():
    return synthetic.clip((224, 224, 3), golden()["image_seed"])


@pytest.mark.parametrize("frames", [1, 3])
def test_i2d_per_frame_is_the_2d_network_on_each_frame(frames):
    model = families.find("I2D-per-frame").build(include_top=False)
    assign(model, weights_of_2d(), "golden")
    clip = synthetic.clip((1, frames, 224, 224, 3), 5)
    clip[0, frames // 2] = image()
    for name, value in zip(NAMES, values(model, clip, *NAMES)):
        assert value.shape[1] == frames
        check_endpoint(value[0, frames // 2], name)


def test_i2d_is_the_2d_network_at_every_step_of_a_still_video():
    model = families.find("I2D").build(include_top=False)
    assign(model, weights_of_2d(), "golden")
    found = values(model, np.broadcast_to(image(), (1, 10, 224, 224, 3)), *NAMES)
    assert [value.shape[1] for value in found] == [5] * 7 + [3] * 6 + [2] * 3
    for name, value in zip(NAMES, found):
        for step in value[0]:
            check_endpoint(step, name)


def test_the_logits_of_i2d_per_frame_are_the_mean_of_those_of_its_frames():
    model, clip = narrow("I2D-per-frame"), synthetic.clip((1, 4, 40, 33, 3), 5)
    (whole,) = values(model, clip, "Logits")
    (alone,) = values(model, clip[0][:, None], "Logits")
    np.testing.assert_allclose(whole[0], alone.mean(axis=0), rtol=1e-4, atol=1e-5)


# I3D


FLAT = {
    "TopHeavyI3D": NAMES[: NAMES.index("Mixed_4b")],
    "TopHeavyI3D-Mixed_3b": NAMES[: NAMES.index("Mixed_3b")],
    "TopHeavyI3D-Mixed_5b": NAMES[: NAMES.index("Mixed_5b")],
    "BottomHeavyI3D": NAMES[NAMES.index("Mixed_4b") :],
    "BottomHeavyI3D-Conv3d_2c_3x3": NAMES[NAMES.index("Mixed_3b") :],
    "BottomHeavyI3D-Mixed_4f": NAMES[NAMES.index("Mixed_5b") :],
    "I2D": NAMES,
}


@pytest.mark.parametrize("name", FLAT)
def test_a_flat_kernel_is_the_middle_of_i3ds(name):
    """I3D computes the same if its kernels are 0 but in the middle; with an odd length, that is so at stride 2 too."""
    model, i3d = narrow(name), narrow("I3D")
    wanted = {}
    for layer, (kernel, *others) in layer_weights(model).items():
        full = i3d.get_layer(layer).get_weights()[0]
        flat = layer.startswith(tuple(FLAT[name])) and kernel.ndim == 5
        assert kernel.shape == ((1, *full.shape[1:]) if flat else full.shape), layer
        if kernel.shape != full.shape:
            padded = np.zeros_like(full)
            padded[len(full) // 2] = kernel[0]
            kernel = padded
        wanted[layer] = [kernel, *others]
    assign(i3d, wanted, name)
    clip = synthetic.clip((1, 17, 64, 40, 3), 5)
    ends = ("Mixed_3c", "Mixed_4f", "Mixed_5c", HEAD, "Predictions")
    for found, reference in zip(values(model, clip, *ends), values(i3d, clip, *ends)):
        np.testing.assert_allclose(found, reference, rtol=1e-4, atol=1e-5 * abs(reference).max())


def test_i3d_with_more_steps_in_time():
    """What comes before a place is I3D's, and of what the place gives each second step is: its window stayed."""
    i3d, clip = narrow("I3D"), synthetic.clip((1, 29, 32, 40, 3), 5)
    for strides, place, before in (
        ((2, 2, 1), "MaxPool3d_5a_2x2", "Mixed_4f"),
        ((2, 1, 1), "MaxPool3d_4a_3x3", "Mixed_3c"),
        ((1, 1, 1), "Conv3d_1a_7x7", None),
    ):
        model = families.find(f"I3D-strides-{'-'.join(map(str, strides))}").build(**NARROW)
        assign(model, layer_weights(i3d), "I3D")
        layers = (place, before) if before else (place,)
        found, reference = values(model, clip, *layers), values(i3d, clip, *layers)
        np.testing.assert_allclose(found[0][:, ::2], reference[0], rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(found[1:], reference[1:])
        assert model.get_layer("Mixed_5c").output.shape[1] is None


@pytest.mark.parametrize(
    ("strides", "step", "halo"), [((2, 2, 2), 8, 7), ((2, 2, 1), 4, 12), ((2, 1, 1), 2, 14), ((1, 1, 1), 1, 15)]
)
def test_steps_and_how_far_one_reaches(strides, step, halo):
    """Each frame that a step depends on, at either parity of the length, is at most a halo of steps away."""
    found = timing(strided(LAYERS, strides))
    assert (found["step"], found["halo"]) == (step, halo)
    model = narrow("I3D") if step == 8 else families.find(f"I3D-strides-{'-'.join(map(str, strides))}").build(**NARROW)
    assign(model, layer_weights(narrow("I3D")), "I3D")
    length = 2 * step * halo + 3 * step
    middle = halo + 1
    for frames in (length, length + 1):
        clip = synthetic.clip((1, frames, 32, 32, 3), 5)
        (before,) = values(model, clip, "Mixed_5c")
        assert before.shape[1] == found["steps"](frames)
        for frame in (0, step - 1, (middle + halo + 1) * step, frames - 1):
            changed = clip.copy()
            changed[:, frame] *= -10
            (after,) = values(model, changed, "Mixed_5c")
            assert np.array_equal(after[:, middle], before[:, middle]), (frames, frame)


def test_the_table_of_a_network_in_part():
    assert heavy.flat(LAYERS, ()) == LAYERS
    assert heavy.below("Mixed_3b") == NAMES[:5]
    assert heavy.above("Mixed_5b") == ["Mixed_5c"]
    flat = {row[0]: row for row in heavy.flat(LAYERS, NAMES, pools=True)}
    assert flat["Conv3d_1a_7x7"][3:] == ((1, 7, 7), (2, 2, 2))
    assert flat["MaxPool3d_4a_3x3"][2:] == ((1, 3, 3), (2, 2, 2))
    assert flat["Mixed_4b"][8:] == (1, 1)
    assert timing(flat.values())["halo"] == 0


@pytest.mark.parametrize("strides", [(2, 2), (2, 2, 3), (0, 1, 1)])
def test_temporal_strides_are_1_or_2(strides):
    with pytest.raises(ValueError, match="temporal_strides are three of 1 or 2"):
        inception_i3d(temporal_strides=strides)


# Weights of the same layers


def test_weights_for_other_steps_in_time(tmp_path):
    """A network that is another one at other steps takes its weights; one that only has the same layers does not."""
    for name, options in (("I3D", {"temporal_strides": (1, 1, 1)}), ("I2D", {"per_frame": True})):
        model, path = narrow(name), tmp_path / f"{name}.weights.h5"
        model.save_weights(path)
        lists = {option: list(value) if isinstance(value, tuple) else value for option, value in options.items()}
        found = builders.build(name, weights=path, **NARROW | lists)
        row = families.of(found)
        assert (row.of, row.options, row.shares) == (name, options, name)
        np.testing.assert_array_equal(found.get_weights()[0], model.get_weights()[0])
    with pytest.raises(WeightsError, match="holds weights of I2D; this model is TopHeavyI3D"):
        builders.build("TopHeavyI3D", weights=path, **NARROW)
