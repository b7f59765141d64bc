"""What every network keeps to, whatever it is: each test runs over each row of `families.py`."""

import dataclasses
import functools
import hashlib
import json
import math
import os
import re
import subprocess
import sys
import types

import keras
import numpy as np
import pytest
import tensorflow as tf
from made import ROOT, films, small_exports, synthetic, tiny

from keras_i3d import builders, cli, data, facts, networks, runs, video
from keras_i3d.errors import WeightsError
from keras_i3d.evaluation import scores
from keras_i3d.facts import Facts
from keras_i3d.inference import chunks
from keras_i3d.models import counting, families, family, receptive_fields
from keras_i3d.models.family import without_memory
from keras_i3d.models.inception import INCEPTION_V1
from keras_i3d.optimize import optimize_for_inference
from keras_i3d.precision import policy
from keras_i3d.records import sequence_example
from keras_i3d.specs import INPUT_CHANNELS
from keras_i3d.training import faster_step
from keras_i3d.weights import by_name, h5_files

ROWS = dict(families.FAMILIES)
SHORT = tiny.short_rows()
WIDTH, CLASSES = 0.1, 7


def slow_unless(at_once, name):
    """A network that is tested at once, or by `make test-slow`."""
    return name if at_once else pytest.param(name, marks=pytest.mark.slow)


def is_first(name):
    """Whether a network is the first of its builder, and has not a smaller sister of the same layers."""
    first = next(row for row in ROWS.values() if row.of == ROWS[name].of)
    return first.name == name and name not in ("R3D34", "R2Plus1D34", "I3DResNet101")


NAMES = [slow_unless(is_first(name), name) for name in ROWS]
# Of each kind of layers one.
KINDS = ("I3D", "S3DG", "R2Plus1D18", "I3DResNet50-nl5", "C3D", "FusedTwoStream", "ConvNetLSTM")
# `test_baselines.py` takes the rest along the same roads.
OTHERS = [
    slow_unless(name == "S3D", name)
    for name, row in ROWS.items()
    if name != families.DEFAULT and "rgb" in row.clips and row.of not in ("InceptionV1", "ConvNetLSTM")
]

# sha256 of names, shapes and order with the row's own classes, {"NETWORK STREAM": digest}. Keras loads a `.weights.h5`
# by position, so a change of one of these needs a new format of the cache (`weights.cache.FORMAT`).
FINGERPRINTS = json.loads((ROOT / "tests/goldens/fingerprints.json").read_text())


@pytest.fixture
def row(request):
    """A whole network's row."""
    return ROWS[request.param]


@pytest.fixture
def short(request, monkeypatch):
    """The row of a network cut short, which everything in the package takes for the whole one."""
    for name, row in SHORT.items():
        monkeypatch.setitem(families.FAMILIES, name, row)
    return SHORT[request.param]


each_row = pytest.mark.parametrize("row", NAMES, indirect=True)
each_short_row = pytest.mark.parametrize("short", NAMES, indirect=True)


def build(row, **settings):
    """A narrow network of a row for clips of any size, its dropout off."""
    shape = (None, None, None, INPUT_CHANNELS[stream_of(row)])
    settings = {"input_shape": shape, "classes": CLASSES, "depth_multiplier": WIDTH, **settings}
    return row.build(dropout=0.0, stream=stream_of(row), **settings)


def stream_of(row):
    """The first stream that a network takes."""
    return next(iter(row.clips))


def randomise(model, seed=1):
    """Gives a model values that show a fault: no offset is 0, no variance 1, no attention is all for one place."""
    draw = np.random.default_rng(seed)
    for weight in model.weights:
        if "variance" in weight.name:
            value = 0.5 + draw.random(weight.shape)
        elif len(weight.shape) > 1:
            value = draw.standard_normal(weight.shape) * math.sqrt(2 / math.prod(weight.shape[:-1]))
        else:
            value = 0.1 * draw.standard_normal(weight.shape) + (weight.name == "gamma")
        weight.assign(value * (2**-14 if "_nonlocal_theta_" in weight.path else 1))
    return model


@functools.cache
def narrow(row):
    """The narrow network of a row with such values, which no test changes."""
    return randomise(build(row))


def clip(row, frames=0, height=0, width=0, batch=1):
    """A clip larger by these numbers than the smallest one."""
    shape = (row.min_frames + frames, row.min_size + height, row.min_size + width, INPUT_CHANNELS[stream_of(row)])
    return synthetic.clip((batch, *shape), 5)


def outputs(model, x, layer=None):
    """What a model, or one of its layers, makes of a clip: op by op, which is quicker than tracing a graph once."""
    if layer:
        model = keras.Model(model.input, model.get_layer(layer).output)
    return np.asarray(model(x, training=False))


def relative(value, reference):
    """L2 distance, relative to the reference's norm."""
    value, reference = np.float64(value), np.float64(reference)
    return np.linalg.norm(value - reference) / np.linalg.norm(reference)


# Names, shapes, counts


@functools.cache
def described(name, stream):
    """(fingerprint, trainable parameters, multiply-adds) of a network as published, made without its memory."""
    row = ROWS[name]
    spec = row.clips[stream]
    shape = (spec.frames, spec.crop, spec.crop, INPUT_CHANNELS[stream])

    def describe():
        model = row.build(input_shape=shape, stream=stream, classes=row.classes)
        shapes = by_name.layer_shapes(model)
        return by_name.fingerprint(shapes), counting.parameters(model), counting.multiply_adds(model)

    return without_memory(describe)


@each_row
def test_names_shapes_and_order(row):
    for stream in row.clips:
        found = described(row.name, stream)[0]
        assert FINGERPRINTS.get(f"{row.name} {stream}") == found
        assert by_name.fingerprint(row.layout(stream=stream, classes=row.classes)) == found


def test_every_network_has_a_fingerprint():
    assert set(FINGERPRINTS) == {f"{name} {stream}" for name, row in ROWS.items() for stream in row.clips}


@each_row
def test_counts_are_those_of_the_row(row):
    assert row.parameters == {stream: described(row.name, stream)[1] for stream in row.parameters}
    assert row.macs == round(described(row.name, stream_of(row))[2] / 1e9, 2)


@each_row
def test_the_row_describes_the_model(row):
    model = narrow(row)
    names = [layer.name for layer in model.layers]
    assert [name for name in names if name in row.endpoints] == list(row.endpoints)
    assert set(row.cuts) <= set(row.endpoints)
    assert (model.output.shape, model.get_layer(row.logits).output.shape) == ((None, CLASSES),) * 2
    assert row.endpoints[-2:] == (row.logits, row.predictions)
    assert next(layer for layer in model.layers if layer.weights).name == row.first
    assert families.of(model) is row
    shapes = by_name.layer_shapes(model)
    settings = {"classes": CLASSES, "depth_multiplier": WIDTH, "stream": stream_of(row)}
    assert list(row.layout(**settings).items()) == list(shapes.items())
    assert list(row.layout(include_top=False, **settings)) == [name for name in shapes if name != row.head]
    assert row.groups(**settings) == {name: row.groups(stream=stream_of(row))[name] for name in shapes}
    assert families.of_layers(shapes).layout(**settings) == shapes
    # By these it is ruled out for weights that are not its own.
    assert {name: tuple(shapes[name][0])[:-2] for name in row.kernels} == row.kernels
    bare = [end for end in row.endpoints[:-2] if not any(f"{name}_".startswith(f"{end}_") for name in shapes)]
    assert all("pool" in endpoint.lower() for endpoint in bare)
    # The head alone depends on the classes.
    other = row.layout(**settings | {"classes": CLASSES + 1})
    assert [name for name in shapes if other[name] != shapes[name]] == [row.head]


def alike_by_building(shapes):
    """What `families.all_of_layers` gives, by the layouts of all networks."""
    bodies = {row: row.layout(include_top=False) for row in families.FAMILIES.values()}
    fitting = sorted((row for row in bodies if bodies[row].keys() <= shapes.keys()), key=lambda row: -len(bodies[row]))
    alike = [
        row
        for row in fitting
        if row.stream_of(shapes[row.first][0][-2])
        and all(len(each) == len(shapes[name]) for name, each in bodies[row].items())
        and all(each[0][:-2] == shapes[name][0][:-2] for name, each in bodies[row].items())
        and row.depth_multiplier_of(shapes)
    ]
    most = [row for row in alike if len(bodies[row]) == len(bodies[alike[0]])]
    return most or fitting[:1] or [families.find("I3D")]


def variants(row):
    """Layers of a network as files may hold them: narrow, with a head, with layers more or less, other kernels."""
    for stream in row.clips:
        yield row.layout(stream=stream, depth_multiplier=WIDTH)
    shapes = row.layout(include_top=False)
    yield {**shapes, "other": [(3,)]}
    yield {name: each for name, each in shapes.items() if name != list(shapes)[-2]}
    first, *others = shapes[row.first]
    yield {**shapes, row.first: [(5, 5, 5, *first[-2:]), *others]}


@pytest.mark.slow
@pytest.mark.parametrize("rows", [SHORT, ROWS], ids=["short", "whole"])
def test_networks_are_found_by_their_layers_as_if_all_were_built(rows, monkeypatch):
    for name, row in rows.items():
        monkeypatch.setitem(families.FAMILIES, name, row)
    for row in rows.values():
        for shapes in variants(row):
            found, wanted = ([each.name for each in of(shapes)] for of in (families.all_of_layers, alike_by_building))
            assert found == wanted, row.name


def test_networks_that_cannot_have_such_layers_are_not_built(monkeypatch):
    built, layout = set(), family.Family.layout
    shapes = {name: ROWS[name].layout() for name in ("I3D", "I3DResNet50")}
    monkeypatch.setattr(family.Family, "layout", lambda row, *a, **b: built.add(row.name) or layout(row, *a, **b))
    assert families.of_layers(shapes["I3D"]).name == "I3D"
    assert built == {name for name, row in ROWS.items() if "I3D" in (row.name, row.shares)}
    built.clear()
    assert families.of_layers(shapes["I3DResNet50"]).name == "I3DResNet50"
    assert {ROWS[name].of for name in built} == {"I3DResNet50"}


@each_row
def test_what_has_the_blocks_of_inception_v1_is_inflated_from_it(row):
    """Each once, or once a stream. What has none of its blocks as they are says another 2D network, or none."""
    blocks = ROWS["I3D"].layout(include_top=False).keys()
    own = {re.sub("^(rgb|flow)_", "", name) for name in row.layout(include_top=False)}
    assert (row.inflated_from == INCEPTION_V1) == (blocks <= own)


@each_row
@pytest.mark.parametrize("width", [1.0, 0.5, 0.1, 0.33])
def test_a_width_is_found_in_the_shapes(row, width):
    shapes = dict(row.layout(include_top=False, depth_multiplier=width))
    found = row.depth_multiplier_of(shapes)
    assert row.layout(include_top=False, depth_multiplier=found) == shapes
    if width in (1.0, 0.5):
        assert found == width
    kernel = next(name for name, each in reversed(shapes.items()) if max(each[0][:-2], default=1) > 1)
    shapes[kernel] = [(*shapes[kernel][0][:-1], shapes[kernel][0][-1] + 1)]
    assert row.depth_multiplier_of(shapes) is None
    assert row.depth_multiplier_of({}) is None


# Sizes


@each_row
def test_any_size_from_the_least(row):
    model = narrow(row)
    ends = [row.endpoints[-3], row.head, row.logits]
    parts = keras.Model(model.input, [*(model.get_layer(name).output for name in ends), model.output])
    for size in ((0, 0, 0), (1, 1, 15), (8, 64, 0)):
        x = clip(row, *size, batch=2)
        last, rows, logits, scores = map(np.asarray, parts(x, training=False))
        assert last.shape[1] == row.steps(x.shape[1])
        assert rows.shape[1] == row.steps(x.shape[1]) - row.window + 1
        rows = rows.mean(axis=tuple(range(2, rows.ndim - 1)))
        answer = rows[:, -1] if row.answer == "last" else rows.mean(axis=1)
        np.testing.assert_allclose(answer, logits, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(scores.sum(axis=1), 1, rtol=1e-5)
        assert np.isfinite(logits).all()
    fixed = build(row, input_shape=x.shape[1:])
    fixed.set_weights(model.get_weights())
    np.testing.assert_allclose(outputs(fixed, x), scores, rtol=1e-5)


@each_short_row
def test_smaller_clips_are_refused(short):
    model = narrow(short)
    words = f"at least {short.min_frames} frames; received {short.min_frames - 1}"
    with pytest.raises(ValueError, match=words):
        model(clip(short, frames=-1))
    with pytest.raises(ValueError, match=f"at least {short.min_size} pixels; received width {short.min_size - 2}"):
        model(clip(short, width=-2))
    traced = tf.function(
        model, input_signature=[tf.TensorSpec((None, None, None, None, INPUT_CHANNELS[stream_of(short)]))]
    )
    assert traced(clip(short)).shape == (1, CLASSES)
    for smaller, axis in ((clip(short, frames=-1), 1), (clip(short, height=-12), 2)):
        with pytest.raises(tf.errors.InvalidArgumentError, match=rf"size\[{axis}\]"):
            traced(smaller)


@each_row
def test_bad_arguments(row):
    stream, frames, side = stream_of(row), row.min_frames, row.min_size
    channels = INPUT_CHANNELS[stream]
    for arguments, message in (
        (
            {"input_shape": (frames - 1, side, side, channels)},
            f"^({row.name}|{row.of}) takes clips of at least {frames} frames.*Pass",  # the row, or the builder
        ),
        ({"input_shape": (frames, side - 1, side, channels)}, f"{side - 1} high"),
        ({"input_shape": (frames, side, side - 2, channels)}, f"{side - 2} wide"),
        ({"input_shape": (frames, side, side, 4)}, f"has {channels} channels"),
        ({"input_shape": (side, side, channels)}, "time, height, width, channel"),
        ({"stream": "depth"}, f'stream must be "{stream}"'),
        ({"pooling": "avg"}, "include_top=False"),
        ({"include_top": False, "pooling": "mean"}, "pooling must be"),
        ({"classes": 0}, "positive integer"),
        ({"dropout": 1.0}, "dropout"),
        ({"depth_multiplier": 0}, "depth_multiplier"),
        ({"bn_momentum": 1.5}, "bn_momentum"),
    ):
        with pytest.raises(ValueError, match=message):
            row.build(**{"stream": stream, **arguments})


def test_the_remedy_for_a_clip_of_the_other_stream():
    with pytest.raises(ValueError, match='has 3 channels.*stream="flow"'):
        ROWS["I3D"].build(input_shape=(64, 224, 224, 2))
    with pytest.raises(ValueError, match='has 2 channels.*stream="rgb"'):
        ROWS["S3D"].build(input_shape=(64, 224, 224, 3), stream="flow")


# Precision, backends, other graphs of the same network


# Each of some 20 (I3D) to 30 layers in a row rounds twice, by at most 2^-9 (bfloat16) or 2^-12 (float16) of the value.
ROUNDINGS = {"I3D": 40}


@each_short_row
@pytest.mark.parametrize(("mixed", "step"), [("mixed_bfloat16", 2**-9), ("mixed_float16", 2**-12)])
def test_mixed_precision_keeps_the_head_in_float32(short, mixed, step):
    with policy(mixed):
        model = build(short)
    model.set_weights(narrow(short).get_weights())
    body = short.endpoints[-4 if short.features else -3]  # the recurrence is of the head
    assert model.get_layer(body).compute_dtype == mixed.removeprefix("mixed_")
    heads = [model.get_layer(name).compute_dtype for name in (short.head, short.logits, short.predictions)]
    assert heads == ["float32"] * 3
    x = clip(short, 7, 32, 32)
    found, wanted = (outputs(m, x, short.logits) for m in (model, narrow(short)))
    assert relative(found, wanted) < ROUNDINGS.get(short.name, 60) * step


@each_row
def test_optimised_for_inference(row):
    model, x = narrow(row), clip(row, 8, 16, 8)
    fast = optimize_for_inference(model)
    assert relative(outputs(fast, x, row.logits), outputs(model, x, row.logits)) < 1e-4
    assert set(row.endpoints) <= {layer.name for layer in fast.layers}
    assert families.of(fast) is row


@each_short_row
def test_made_for_training(short):
    """The same names, weights and answers; kept or computed again, activations give the same step to the bit."""
    plain, x, y = narrow(short), clip(short, 3, batch=2), np.array([1, 4])
    found = []
    if not short.cuts:
        with pytest.raises(ValueError, match=f"{short.name} has no place to be cut.*remat=False"):
            faster_step.for_training(plain, remat=True)
    for remat in (False, True) if short.cuts else (False,):
        model = build(short)
        model.set_weights(plain.get_weights())
        model = faster_step.for_training(model, remat)
        assert [layer.name for layer in model.layers] == [layer.name for layer in plain.layers]
        np.testing.assert_array_equal(model(x), plain(x))
        with tf.GradientTape() as tape:
            scores = model(x, training=True)
            loss = keras.ops.mean(keras.losses.sparse_categorical_crossentropy(y, scores))
        gradients = tape.gradient(loss, [weight.value for weight in model.trainable_weights])
        assert all(np.any(gradient) for gradient in gradients[:1] + gradients[-2:])
        found.append([loss, *gradients, *(weight.numpy() for weight in model.non_trainable_weights)])
    for again in found[1:]:
        for value, kept in zip(again, found[0]):
            np.testing.assert_array_equal(value, kept)


JAX = """
import sys
import keras, numpy as np
from made import tiny
from keras_i3d.models import blocks, families
from keras_i3d.optimize import optimize_for_inference
tiny.shorten()
# Weights are loaded; to draw them first, JAX compiles each shape for half a second.
for kind in (keras.initializers.TruncatedNormal, keras.initializers.RandomNormal):
    kind.__call__ = lambda self, shape, dtype=None: np.zeros(shape, dtype)
assert keras.backend.backend() == "jax" and not blocks.has_gpu()
for name in sys.argv[2:]:
    row = families.find(name)
    x = np.load(f"{sys.argv[1]}/{name}.npy")
    for precision in ("float32", "bfloat16"):
        keras.config.set_dtype_policy(precision)
        model = row.build(input_shape=x.shape[1:], classes=7, depth_multiplier=0.1)
        model.load_weights(f"{sys.argv[1]}/{name}.weights.h5")
        for kind, each in (("plain", model), ("fast", optimize_for_inference(model))):
            assert each.output_shape == (None, 7)
            if precision == "float32":  # on a CPU, JAX takes a minute for a clip in bfloat16
                logits = keras.Model(each.input, each.get_layer(row.logits).output)
                np.save(f"{sys.argv[1]}/{name}-{kind}.npy", logits.predict_on_batch(x))
"""


@pytest.mark.parametrize(
    "names", [KINDS, pytest.param([name for name in ROWS if name not in KINDS], marks=pytest.mark.slow)], ids=len
)
def test_the_same_on_jax(names, tmp_path, monkeypatch):
    """Networks cut short, in one process."""
    tiny.shorten(monkeypatch)
    wanted = {}
    for name in names:
        row = families.find(name)
        model, x = randomise(build(row)), clip(row, 3, 8, 16)
        h5_files.save_h5(model, tmp_path / f"{name}.weights.h5")
        np.save(tmp_path / f"{name}.npy", x)
        wanted[name] = outputs(model, x, row.logits)
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}", "KERAS_BACKEND": "jax"}
    # Most of this test is compiling.
    environment |= {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": "--xla_backend_optimization_level=0"}
    command = [sys.executable, "-c", JAX, str(tmp_path), *names]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    for name in wanted:
        for kind, bound in (("plain", 1e-5), ("fast", 1e-4)):
            assert relative(np.load(tmp_path / f"{name}-{kind}.npy"), wanted[name]) < bound, (name, kind)


# Files


def test_the_digest_is_that_of_the_weights():
    """One value changed is another digest; the precision and the order of the layers are not."""
    row = SHORT["I3D"]
    model, wanted = narrow(row), by_name.digest(narrow(row))
    with policy("mixed_bfloat16"):
        other = build(row)
    assert by_name.digest(other) != wanted
    other.set_weights(model.get_weights())
    assert by_name.digest(other) == wanted
    bias = other.get_layer(row.head).weights[-1]
    bias.assign(bias + np.eye(CLASSES)[0] * 1e-6)
    assert by_name.digest(other) != wanted
    values = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, name="one")])
    values.set_weights([np.float32([[1], [2]]), np.float32([3])])
    expected = hashlib.sha256(b"('one', [(2, 1), (1,)])" + np.array([1, 2, 3], "<f4").tobytes()).hexdigest()
    assert by_name.digest(values) == expected


@each_short_row
def test_saved_and_loaded(short, tmp_path):
    """A model says of itself what it is, and what it was trained on, in either kind of file."""
    model, x = build(short), clip(short)
    model.set_weights(narrow(short).get_weights())
    stream = stream_of(short)
    spec = dataclasses.replace(short.clips[stream], fps=12, short_side=48, crop=40)
    labels = tuple(f"label {i}" for i in range(CLASSES))
    known = Facts(stream, CLASSES, labels, "softmax", WIDTH, "float32", spec, "a test", short.name)
    facts.note(model, known)
    model.save(tmp_path / "model.keras")
    h5_files.save_h5(model, tmp_path / "model.weights.h5", **facts.of(model).record())
    loaded = [keras.models.load_model(tmp_path / "model.keras")]
    loaded += [networks.load(tmp_path / f"model{ending}", stream).model for ending in (".keras", ".weights.h5")]
    again = build(short)
    again.load_weights(tmp_path / "model.weights.h5")  # by Keras itself, by position
    for each in loaded:
        assert families.of(each) is short
        assert facts.of(each) == known
    for each in (*loaded, again):
        np.testing.assert_array_equal(outputs(each, x), outputs(model, x))


@each_short_row
def test_weights_of_another_network_are_refused(short, tmp_path):
    path = tmp_path / "model.weights.h5"
    narrow(short).save_weights(path)  # by Keras, without a note: its layers say what it is
    # The layers of some networks are those of another row too.
    found = families.of_layers(by_name.layer_shapes(narrow(short)))
    assert found.layout() == short.layout()
    others = [each for each in SHORT.values() if each.of not in (short.of, found.of) and each.shares != found.name]
    stream = stream_of(short)
    others = [each for each in others if stream in each.clips]
    if not others:
        return
    other = others[list(SHORT).index(short.name) % len(others)]
    with pytest.raises(WeightsError, match=f"holds weights of {found.name}; this model is {other.name}. Pass"):
        builders.build(other.name, weights=path, stream=stream, input_shape=(None, None, None, INPUT_CHANNELS[stream]))


# Videos longer than memory holds


@each_row
def test_chunks_give_what_the_single_pass_gives(row):
    if row.halo is None:
        with pytest.raises(ValueError, match=f"{row.name} looks at a clip as a whole, .*chunk_frames=64"):
            chunks.plan_chunks(65, 64, row)
        return
    model = narrow(row)
    network = networks.load(model)

    def eager(model):
        return model and types.SimpleNamespace(predict_on_batch=lambda x: np.asarray(model(x, training=False)))

    rows, answer = eager(network.to_rows()), eager(network.to_answer())
    least = max(row.step * (2 * row.halo + row.window + 1), row.min_frames + row.step - 1)
    chunks.check_length(least, [row])
    with pytest.raises(ValueError, match=f"chunk_frames must be at least {least}"):
        chunks.check_length(least - 1, [row])
    for longer, length in ((0, 0), (row.step + 3, 1), (2 * row.step + 1, row.step - 1)):
        total = least + 3 * row.step + longer
        assert len(chunks.plan_chunks(total, least + length, row)) > 1
        video = synthetic.clip((total, row.min_size, row.min_size, INPUT_CHANNELS[stream_of(row)]), 5)
        found = chunks.score(rows, row, video, least + length, answer)
        np.testing.assert_allclose(found, outputs(model, video[None], row.logits)[0], rtol=1e-4, atol=1e-5)


@each_row
def test_the_halo_is_what_a_step_sees(row):
    """Whatever the phase of the padding; one step more does no harm."""
    least = row.min_frames + 20 * row.step
    found = {receptive_fields.steps_at_ends(row, narrow(row), least + phase) for phase in range(row.step)}
    if row.halo is None:
        assert found == {None}
    else:
        assert max(found) <= row.halo <= max(found) + 1


def test_without_a_halo_a_long_video_is_refused():
    row = dataclasses.replace(ROWS[families.DEFAULT], name="Whole", halo=None)
    assert chunks.plan_chunks(64, 64, row) == [(0, 64, 0, None)]
    with pytest.raises(ValueError, match=r"Whole looks at a clip as a whole.*at most chunk_frames=64.*Received: 65"):
        chunks.plan_chunks(65, 64, row)


# From records to an answer; the tests of training, evaluation, classify and export have the default network's.


@pytest.fixture(params=OTHERS)
def trained(request, tmp_path, monkeypatch):
    """A run of two steps, on videos one frame shorter than the network takes, or of three where it takes so few.

    They are square: a JPEG whose crop alone is decoded differs from the whole one by a level at the edges of the crop.
    """
    tiny.shorten(monkeypatch)
    row = families.find(request.param)
    for split in ("train", "test"):
        tiny.write(tmp_path, split, videos=3, frames=max(row.min_frames - 1, 3), width=32)
    settings = {
        "steps": 2, "batch_size": 2, "reference_batch": "none", "learning_rate": 0.01, "boundaries": "()",
        "rates": "()", "clip_frames": row.min_frames, "size": 32, "depth_multiplier": 0.05, "precision": "float32",
    }  # fmt: skip
    command = ["train", f"--records={tmp_path}/train-*", f"--model={row.name}", "--weights=none"]
    command += [f"--output={tmp_path}/run", *(f"--set={field}={value}" for field, value in settings.items())]
    assert cli.main(command) == 0
    return row, tmp_path


def test_every_road_gives_the_same_answer(trained, capsys):
    row, folder = trained
    run = folder / "run"
    assert json.loads((run / runs.FACTS).read_text())["family"] == row.name
    model = runs.load_model(run)
    assert families.of(model) is row
    given = max(row.min_frames - 1, 3)
    test = f"{folder}/test-*"
    capsys.readouterr()
    spec = facts.of(model).sees
    is_short = spec.seen(given) < row.min_frames

    def whole(frames):
        """A video, over and over if it is short: as long as one has to be of which every `frame_stride`-th is seen."""
        length = spec.span(row.min_frames) if is_short else len(frames)
        return np.resize(frames, (length, *np.shape(frames)[1:]))[None]

    # Records: evaluated, and through the plain model.
    assert cli.main(["evaluate", f"--records={test}", f"--rgb={run}", f"--output={folder}/report", "--noreport"]) == 0
    evaluated = scores.read(folder / "report/scores.npz").logits["rgb"]
    settings = {"frame_stride": spec.frame_stride, "mean": spec.mean, "std": spec.std}
    loaded = data.load(test, clip_frames=None, size=32, min_frames=row.min_frames, **settings)
    clips = [x.numpy() for x, _ in loaded]
    assert {x.shape for x in clips} == {(1, max(spec.seen(given), row.min_frames), 32, 32, 3)}
    plain = np.concatenate([outputs(model, x, row.logits) for x in clips])
    assert relative(evaluated, plain) < 1e-4

    # A video: classified, and through the plain model.
    frames = [films.picture(i, 32, 40) for i in range(given)]
    (folder / "film.mp4").write_bytes(films.film(frames))
    assert cli.main(["classify", str(folder / "film.mp4"), f"--rgb={run}", "--top=3", "--json"]) == 0
    said = capsys.readouterr()
    assert (f"looped to {row.min_frames}" in said.err) == is_short
    answer = json.loads(said.out.splitlines()[-1])
    decoded = np.stack(list(video.Reader(folder / "film.mp4", 25, 32)))
    seen = whole(decoded)[:, :: spec.frame_stride, :, 4:36]
    probabilities = outputs(model, spec.prepared(seen))[0]
    for prediction in answer["predictions"]:
        assert prediction["probability"] == pytest.approx(probabilities[prediction["index"]], abs=1e-5)

    # An export: asked for both, and refuses less.
    command = ["export", f"--rgb={run}", f"--output={folder}/{row.name}", "--version=1"]
    if row.min_frames > 1:
        assert cli.main([*command, f"--frames={row.min_frames - 1}"]) == 1
        assert f"frames must be at least {row.min_frames} here" in capsys.readouterr().err
    assert cli.main([*command, "--frames=0"]) == 0
    card = json.loads((folder / row.name / "1/assets.extra/keras_i3d.json").read_text())
    assert card["networks"] == {"rgb": row.name}
    server = small_exports.Server(folder / row.name / "1")
    (records,) = folder.glob("test-*.tfrecord")
    for record, wanted in zip(tf.data.TFRecordDataset(str(records)), evaluated):
        jpegs = whole(sequence_example.parse(record, ("rgb",))["rgb"].numpy())
        assert relative(server("jpeg", frames=jpegs)["logits"][0], wanted) < 1e-4
    np.testing.assert_allclose(server("uint8", frames=whole(decoded))["probabilities"][0], probabilities, atol=1e-5)
    if is_short:
        with pytest.raises(tf.errors.InvalidArgumentError, match=str(spec.span(row.min_frames))):
            server("uint8", frames=decoded[None])
