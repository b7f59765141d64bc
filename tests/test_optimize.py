"""The network for inference alone answers what the original answers."""

import keras
import numpy as np
import pytest

import keras_i3d
from keras_i3d.models import blocks
from keras_i3d.precision import policy
from keras_i3d.training import faster_step

SMALL = {"weights": None, "classes": 5, "depth_multiplier": 0.125}


def lived_in(model, seed=0):
    """Gives batch norm the statistics of a network that has seen data, and biases their values."""
    draw = np.random.default_rng(seed)
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.BatchNormalization):
            beta, mean, variance = (v.shape for v in layer.weights)
            layer.set_weights([draw.normal(0, 0.2, beta), draw.normal(0, 0.2, mean), draw.uniform(0.3, 2, variance)])
    return model


def clip(*shape, seed=1):
    return np.random.default_rng(seed).uniform(-1, 1, shape).astype("float32")


def deviation(got, wanted):
    """The relative L2 distance."""
    got, wanted = np.float64(got), np.float64(wanted)
    return np.linalg.norm(got - wanted) / np.linalg.norm(wanted)


BUILDERS = {
    "rgb": lambda: keras_i3d.I3D(**SMALL, dropout=0.5, input_shape=(None, None, None, 3)),
    "flow, fixed, odd": lambda: keras_i3d.I3D(**SMALL, stream="flow", input_shape=(11, 45, 39, 2)),
    "features": lambda: keras_i3d.I3D(weights=None, include_top=False, pooling="avg", depth_multiplier=0.125),
    "as it trains": lambda: faster_step.for_training(keras_i3d.I3D(**SMALL, input_shape=(None, None, None, 3))),
    "two streams": lambda: keras_i3d.TwoStreamI3D(**SMALL, input_shape=(None, None, None)),
}


@pytest.mark.parametrize("kind", BUILDERS)
def test_same_answers_in_float32(kind):
    model = lived_in(BUILDERS[kind]())
    weights = model.get_weights()
    optimized = keras_i3d.optimize_for_inference(model)
    if kind == "two streams":
        x = {"rgb": clip(2, 10, 45, 39, 3), "flow": clip(2, 9, 45, 39, 2)}
    else:
        x = clip(2, 11, *(side or 45 for side in model.input_shape[2:4]), model.input_shape[-1])
    assert deviation(optimized(x), model(x)) < 1e-4
    assert (optimized.name, optimized.input_shape, optimized.output_shape) == (
        model.name,
        model.input_shape,
        model.output_shape,
    )
    kinds = {type(layer).__name__ for layer in optimized._flatten_layers()}
    assert not kinds & {"BatchNormalization", "Dropout", "ReLU"}
    for before, after in zip(weights, model.get_weights()):
        np.testing.assert_array_equal(before, after)


def test_endpoints_keep_their_names():
    model = lived_in(keras_i3d.I3D(**SMALL, input_shape=(9, 32, 32, 3)))
    optimized = keras_i3d.optimize_for_inference(model)
    x = clip(1, 9, 32, 32, 3)
    for name in ("Conv3d_1a_7x7", "Conv3d_2c_3x3", "Mixed_3b", "Mixed_5c", "Logits"):
        original = keras.Model(model.input, model.get_layer(name).output)
        cut = keras.Model(optimized.input, optimized.get_layer(name).output)
        assert deviation(cut(x), original(x)) < 1e-4, name


def test_a_convolution_that_others_read_keeps_its_batch_norm_apart():
    """Folding it would change what the other reader gets."""
    x = keras.Input((9, 32, 32, 3))
    conv = keras.layers.Conv3D(4, 3, padding="same", use_bias=False, name="conv")(x)
    norm = keras.layers.BatchNormalization(name="norm")(conv)
    model = lived_in_norm(keras.Model(x, keras.layers.Add()([conv, keras.layers.ReLU()(norm)])))
    optimized = keras_i3d.optimize_for_inference(model)
    batch = clip(1, 9, 32, 32, 3)
    assert deviation(optimized(batch), model(batch)) < 1e-6
    assert optimized.get_layer("norm").weights


def lived_in_norm(model):
    norm = model.get_layer("norm")
    norm.set_weights([np.full(v.shape, value) for v, value in zip(norm.weights, (1.5, 0.3, -0.2, 0.7))])
    return model


def test_scale_and_bias_are_folded_too_and_another_relu_is_left():
    x = keras.Input((9, 32, 32, 3))
    y = keras.layers.Conv3D(4, 3, bias_initializer="ones", name="conv")(x)
    y = keras.layers.BatchNormalization(name="norm")(y)
    model = lived_in_norm(keras.Model(x, keras.layers.ReLU(max_value=0.5, name="capped")(y)))
    optimized = keras_i3d.optimize_for_inference(model)
    batch = clip(1, 9, 32, 32, 3)
    assert [layer.name for layer in optimized.layers[1:]] == ["norm", "capped"]
    assert deviation(optimized(batch), model(batch)) < 1e-6


def test_a_convolution_with_bias_takes_its_relu_and_one_before_a_sum_its_batch_norm():
    x = keras.Input((9, 32, 32, 3))
    y = keras.layers.Conv3D(3, 3, padding="same", bias_initializer="ones", name="conv")(x)
    y = keras.layers.ReLU(name="relu")(y)
    z = keras.layers.Conv3D(3, 1, use_bias=False, name="other")(y)
    z = keras.layers.BatchNormalization(name="norm")(z)
    model = lived_in_norm(keras.Model(x, keras.layers.ReLU(name="end")(keras.layers.Add(name="sum")([y, z]))))
    optimized = keras_i3d.optimize_for_inference(model)
    batch = clip(1, 9, 32, 32, 3)
    assert [layer.name for layer in optimized.layers[1:]] == ["relu", "norm", "sum", "end"]
    assert deviation(optimized(batch), model(batch)) < 1e-6


@pytest.mark.parametrize("sizes", [(12, 34, 32), (11, 33, 35), (10, 33, 32), (1, 1, 2)])
@pytest.mark.parametrize("known", [True, False])
def test_the_rearranged_stem_is_the_stem(sizes, known):
    """Odd and even sizes, known and unknown when the graph is made: SAME padding lies elsewhere for each."""
    conv = keras.layers.Conv3D(6, 7, 2, padding="same", use_bias=False)
    x = clip(2, *sizes, 3)
    wanted = conv(x)
    inputs = keras.Input((*(sizes if known else (None,) * 3), 3))
    rearranged = blocks.SpaceToDepth3D()(inputs)
    assert rearranged.shape[1:] == (*(-(-s // 2) if known else None for s in sizes), 24)
    outputs = keras.ops.conv(rearranged, blocks.space_to_depth_kernel(conv.kernel), 1, "same")
    got = keras.Model(inputs, outputs).predict_on_batch(x)
    assert got.shape == wanted.shape
    assert deviation(got, wanted) < 1e-5


def test_a_kernel_whose_padding_starts_on_an_odd_place_is_refused():
    with pytest.raises(ValueError, match=r"3 modulo 4. Received: \(5, 7, 7\)"):
        blocks.space_to_depth_kernel(np.zeros((5, 7, 7, 3, 4), "float32"))


def test_in_bfloat16_as_near_to_float32_as_the_original():
    """The rewritten stem and pools are in it, on a CPU; the weights are in bfloat16, the head is not."""
    keras.utils.set_random_seed(0)  # of the draws of seeds 0 to 5 one is such that rounding moves logits by 0.7%
    exact = lived_in(keras_i3d.I3D(**SMALL, input_shape=(None, None, None, 3)))
    with policy("mixed_bfloat16"):
        model = keras_i3d.I3D(**SMALL, input_shape=(None, None, None, 3))
    model.set_weights(exact.get_weights())
    optimized = keras_i3d.optimize_for_inference(model)
    if not keras.distribution.list_devices("gpu"):
        assert optimized.get_layer("Conv3d_1a_7x7").kernel.shape[:4] == (4, 4, 4, 24)
        assert optimized.get_layer("Mixed_4b_Branch_3_MaxPool3d_0a_3x3").pool_size == (1, 3, 3)
    assert optimized.get_layer("Mixed_4b_Branch_0_Conv3d_0a_1x1").kernel.dtype == "bfloat16"
    assert optimized.get_layer("Logits_Conv3d_0c_1x1_conv_3d").kernel.dtype == "float32"
    for sizes in ((12, 48, 48), (11, 45, 39)):
        x = clip(2, *sizes, 3)
        cuts = [keras.Model(m.input, m.get_layer("Logits").output) for m in (exact, model, optimized)]
        wanted, plain, faster = (np.asarray(cut(x)) for cut in cuts)
        assert faster.dtype == np.float32
        assert deviation(faster, wanted) < max(1.5 * deviation(plain, wanted), 5e-3)


def test_what_is_no_functional_model_is_refused():
    with pytest.raises(TypeError, match="functional keras.Model. Received: 'rgb'"):
        keras_i3d.optimize_for_inference("rgb")
    with pytest.raises(TypeError, match="Received: <Sequential"):
        keras_i3d.optimize_for_inference(keras.Sequential([keras.Input((9, 32, 32, 3)), keras.layers.ReLU()]))


def test_an_operation_between_layers_stays():
    model = lived_in(keras_i3d.I3D(**SMALL, input_shape=(9, 32, 32, 3)))
    cut = keras.Model(model.input, keras.ops.mean(model.get_layer("Mixed_4b").output, axis=(2, 3)))
    x = clip(1, 9, 32, 32, 3)
    assert deviation(keras_i3d.optimize_for_inference(cut)(x), cut(x)) < 1e-5
