"""The 2D networks: TF-Slim's golden, and what the two-stream ones make of a clip."""

import json

import keras
import numpy as np
import pytest
from made import ROOT, films, goldens, small_exports, synthetic, tiny

import keras_i3d
from keras_i3d import builders, cli, data, flow, runs, video
from keras_i3d.evaluation import evaluate, scores
from keras_i3d.models import families
from keras_i3d.models.baselines import FUSED_POOL
from keras_i3d.models.inception import HEAD, INCEPTION_V1
from keras_i3d.probabilities import softmax
from keras_i3d.specs import BOTH, FLOW_BOUND
from keras_i3d.weights import by_name, cache, h5_files
from keras_i3d.weights.originals import catalogue, deepmind, original

ANY = (None, None, None)
SHORT = tiny.short_rows()


def build(row, channels, **settings):
    """A narrow network with values that show a fault, its dropout off."""
    model = row.build(input_shape=(*ANY, channels), classes=5, depth_multiplier=0.1, dropout=0.0, **settings)
    draw = np.random.default_rng(1)
    for weight in model.weights:
        weight.assign(
            0.5 + draw.random(weight.shape) if "variance" in weight.name else draw.normal(0, 0.2, weight.shape)
        )
    return model


def outputs(model, x, layer="Logits"):
    return np.asarray(keras.Model(model.input, model.get_layer(layer).output)(x, training=False))


def test_inception_v1_equals_slims():
    """Every endpoint of TF-Slim's network, from its checkpoint's variables, class layer included."""
    golden = json.loads((ROOT / "tests/goldens/inception_v1_2d.json").read_text())
    arrays = {
        name: synthetic.weight(name, shape, golden["weights_seed"]) for name, shape in golden["variables"].items()
    }
    found, weights, known = original.find(arrays, catalogue.ORIGINALS, "inception_v1.ckpt")
    assert (found.name, known.family, known.classes) == ("TF-Slim", "InceptionV1", 1001)
    model = families.find("InceptionV1").build(input_shape=(None, 224, 224, 3), classes=1001)
    by_name.assign(model, weights, "golden")
    layers = {name: name.replace("Conv2d", "Conv3d").replace("MaxPool_", "MaxPool3d_") for name in golden["endpoints"]}
    image = synthetic.clip((1, 224, 224, 3), golden["image_seed"])
    parts = keras.Model(model.input, {name: model.get_layer(layer).output for name, layer in layers.items()})
    errors = {}
    for name, value in parts(image[:, None], training=False).items():
        wanted, value = golden["endpoints"][name], np.float64(value)
        value = value[:, 0] if value.ndim == 5 else value
        assert list(value.shape) == wanted["shape"], name
        size = wanted["l2"] / np.sqrt(value.size)
        centre = goldens.relative(value.ravel()[value.size // 2 :][:8], wanted["centre"], size * np.sqrt(8))
        errors[name] = max(
            abs(np.linalg.norm(value) / wanted["l2"] - 1), abs(value.mean() - wanted["mean"]) / size, centre
        )
    assert {name: error for name, error in errors.items() if not error < 2e-5} == {}
    assert errors["Logits"] < 1e-5


def test_frames_are_seen_one_by_one():
    model, x = build(SHORT["InceptionV1"], 3), synthetic.clip((1, 3, 40, 32, 3), 1)
    rows = outputs(model, x, HEAD)[0].mean(axis=(1, 2))
    for place in range(3):
        np.testing.assert_allclose(outputs(model, x[:, place : place + 1])[0], rows[place], rtol=1e-4, atol=1e-5)


def test_the_stream_and_the_options_choose_the_row():
    def chosen(name, stream=None, **options):
        return families.of_builder(name, options, stream)[0].name

    assert chosen("InceptionV1") == chosen("InceptionV1", "rgb") == "InceptionV1"
    assert chosen("InceptionV1", "flow") == "InceptionV1-stack10"
    assert chosen("InceptionV1", "flow", order="pairs") == "InceptionV1-stack10-pairs"
    assert chosen("InceptionV1", "flow", subtract_mean=True) == "InceptionV1-stack10-mean"
    assert chosen("TwoStreamConvNet", trajectories=True) == "TwoStreamConvNet-trajectories"
    with pytest.raises(ValueError, match="InceptionV1 takes the stream rgb and flow"):
        chosen("InceptionV1", "both")
    with pytest.raises(ValueError, match='stream must be "rgb" for InceptionV1. Received'):
        families.find("InceptionV1").build(stream="flow")


def test_two_streams_are_the_mean_of_both_networks():
    """Of 12 frames 3 stacks; each with the frame in its middle."""
    both = build(SHORT["TwoStreamConvNet"], 5)
    x = synthetic.clip((2, 12, 32, 40, 5), 1)
    rows = {}
    for stream, name, clip in (("rgb", "InceptionV1", x[:, 5:8, ..., :3]), ("flow", "InceptionV1-stack10", x[..., 3:])):
        alone, half = build(SHORT[name], clip.shape[-1]), slice(0, None)
        values = by_name.layer_weights(both)
        kernel, *biases = values[HEAD]
        width = kernel.shape[-2] // 2
        half = slice(0, width) if stream == "rgb" else slice(width, None)
        weights = {layer.removeprefix(f"{stream}_"): each for layer, each in values.items() if layer.startswith(stream)}
        by_name.assign(alone, {**weights, HEAD: [kernel[..., half, :], biases[stream == "flow"]]}, "test")
        rows[stream] = outputs(alone, clip, HEAD)
    np.testing.assert_allclose(outputs(both, x, HEAD), (rows["rgb"] + rows["flow"]) / 2, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(outputs(both, x), outputs(both, x, HEAD).mean(axis=(1, 2, 3)), rtol=1e-5, atol=1e-6)


def test_fused_rows_are_of_five_snippets_each_by_itself():
    model, x = build(SHORT["FusedTwoStream"], 5), synthetic.clip((1, 64, 32, 32, 5), 1)
    rows = outputs(model, x, HEAD)[0].mean(axis=(1, 2))
    assert rows.shape == (2, 5)  # 6 snippets; the last 4 frames are of none
    for place in range(2):
        np.testing.assert_allclose(
            outputs(model, x[:, 10 * place : 10 * place + 50])[0], rows[place], rtol=1e-4, atol=1e-5
        )

    def changed(frame, channels):
        other = x[:, :50].copy()
        other[:, frame, ..., channels] *= -1
        return np.abs(outputs(model, other) - rows[:1]).max() > 1e-5

    rgb, flow = slice(3), slice(3, 5)
    assert [frame for frame in (0, 4, 5, 6, 15, 16, 45, 49) if changed(frame, rgb)] == [5, 15, 45]
    assert all(changed(frame, flow) for frame in (0, 9, 10, 49))


def test_the_fused_features_are_512_numbers():
    model = families.find("FusedTwoStream")
    shapes = model.layout()
    assert shapes["Fused_Conv3d_3x3x3_conv_3d"] == [(3, 3, 3, 2048, 512)]
    assert shapes[HEAD] == [(1, 1, 1, 512, 400), (400,)]
    assert FUSED_POOL in model.endpoints


@pytest.mark.parametrize(
    ("name", "channels"), [("InceptionV1", 3), ("InceptionV1-stack10", 2), ("TwoStreamConvNet", 5)]
)
def test_imagenet_weights_are_read_without_inflation(name, channels, tmp_path, monkeypatch, capsys):
    """Each kernel is the 2D one; that of flow the mean over RGB."""
    tiny.shorten(monkeypatch)
    i3d, row = families.find("I3D"), families.find(name)
    shapes = synthetic.slim_shapes(i3d.layout(include_top=False))
    prefix = synthetic.write(shapes, 3, tmp_path / "inception_v1.ckpt")
    assert row.inflated_from == INCEPTION_V1
    found = deepmind.read_inception_v1(prefix, channels, name)
    assert {layer: [each.shape for each in arrays] for layer, arrays in found.items()} == row.layout(include_top=False)
    inflated = deepmind.read_inception_v1(prefix)
    for layer, (kernel, *_) in found.items():
        if kernel.ndim < 5:
            continue
        flat = inflated[layer.removeprefix("rgb_").removeprefix("flow_")][0].sum(axis=0, keepdims=True)
        if kernel.shape[-2] != flat.shape[-2]:
            assert kernel.shape[-2] == 20
            flat = np.repeat(flat.mean(axis=3, keepdims=True), 20, axis=3)
        np.testing.assert_allclose(kernel, flat, rtol=1e-5, atol=1e-6)
    assert ("repeated for 20 flow channels" in capsys.readouterr().err) == (channels != 3)


def test_imagenet_weights_leave_the_recurrence_as_it_was_drawn(tmp_path, monkeypatch, capsys):
    tiny.shorten(monkeypatch)
    shapes = synthetic.slim_shapes(families.find("I3D").layout(include_top=False))
    prefix = synthetic.write(shapes, 3, tmp_path / "inception_v1.ckpt")

    def fetched(stream, attempts, network):
        path = tmp_path / f"{network}.weights.h5"
        found = deepmind.read_inception_v1(prefix, 3, network)
        h5_files.write_h5(found, path, families.find(network).groups(include_top=False), stream=stream, family=network)
        return path

    monkeypatch.setattr(cache, "imagenet", fetched)
    model = builders.build("ConvNetLSTM", weights="imagenet", classes=5, input_shape=(None, 32, 32, 3))
    assert "LSTM are new and must be trained" in capsys.readouterr().err
    read = deepmind.read_inception_v1(prefix, 3, "InceptionV1")
    for layer, arrays in read.items():
        for value, wanted in zip(model.get_layer(layer).get_weights(), arrays):
            np.testing.assert_array_equal(value, wanted)
    again = families.find("ConvNetLSTM").build(classes=5, input_shape=(None, 32, 32, 3))
    assert keras_i3d.inflate(prefix, again) is again
    np.testing.assert_array_equal(again.get_layer(next(iter(read))).get_weights()[0], next(iter(read.values()))[0])
    with pytest.raises(keras_i3d.WeightsError, match="whose blocks S3D lacks"):
        keras_i3d.inflate(prefix, families.find("S3D").build(classes=5))


# From records to an answer.

FRAMES = 13  # of a video


@pytest.fixture(params=["TwoStreamConvNet", pytest.param("InceptionV1-stack10", marks=pytest.mark.slow), "ConvNetLSTM"])
def trained(request, tmp_path, monkeypatch):
    """A run of two steps, of a network whose stream nobody names."""
    tiny.shorten(monkeypatch)
    row = families.find(request.param)
    for split in ("train", "test"):
        tiny.write(tmp_path, split, videos=3, frames=FRAMES, width=32)
    settings = {
        "steps": 2, "batch_size": 2, "reference_batch": "none", "learning_rate": 0.01, "boundaries": "()",
        "rates": "()", "size": 32, "depth_multiplier": 0.05, "precision": "float32",
    }  # fmt: skip
    if row.answer == "last":
        settings |= {"clip_frames": 3, "frame_stride": 2}
    command = ["train", f"--records={tmp_path}/train-*", f"--validation={tmp_path}/test-*", f"--model={row.name}"]
    command += [
        "--weights=none",
        f"--output={tmp_path}/run",
        *(f"--set={field}={value}" for field, value in settings.items()),
    ]
    assert cli.main(command) == 0
    return row, tmp_path


def seen(frames, stream):
    """What a network of a stream takes of uint8 frames (T, H, W, 3), at their rate."""
    rgb = frames / np.float32(127.5) - 1
    if stream == "rgb":
        return rgb
    fields = np.clip(flow.compute(frames) / np.float32(FLOW_BOUND), -1, 1)
    return fields if stream == "flow" else np.concatenate([rgb[:-1], fields], axis=-1)


def test_every_road_gives_the_same_answer(trained, capsys):
    row, folder = trained
    (stream,) = row.clips
    model, run = runs.load_model(folder / "run"), runs.read(folder / "run")
    assert (run.stream, run.clip.stream, run.family) == (stream, stream, row.name)
    assert run.recipe.clip_frames == (3 if row.answer == "last" else row.clips[stream].frames)
    assert set(run.log()[-1]) >= {"loss", "top1", "val_top1"}

    # Records, whole and in views.
    test, stride = f"{folder}/test-*", run.recipe.frame_stride
    command = ["evaluate", f"--records={test}", f"--{stream}={folder}/run", f"--output={folder}/report", "--noreport"]
    assert cli.main([*command, f"--chunk_frames={row.min_frames + 1}"]) == 0
    written = scores.read(folder / "report/scores.npz")
    evaluated = written.logits[stream]
    last = "logits of the last step" in written.settings[stream]
    assert last == (row.answer == "last") == ("logits averaged over time" not in written.settings[stream])
    asked = {"stream": stream, "joined": stream == BOTH, "size": 32, "frame_stride": stride}
    clips = [x for x, _ in data.load(test, clip_frames=None, min_frames=row.min_frames, **asked)]
    frames = FRAMES if stream == "rgb" else FRAMES - 1
    assert {x.shape[1] for x in clips} == {-(-frames // stride)}
    np.testing.assert_allclose(evaluated, np.concatenate([outputs(model, x) for x in clips]), rtol=1e-3, atol=1e-4)
    length = run.recipe.clip_frames
    found = evaluate(test, protocol="views:1x1", **{stream: folder / "run"}).scores.logits[stream]
    central = [outputs(model, x) for x, _ in data.load(test, clip_frames=length, **asked)]
    np.testing.assert_allclose(softmax(found), softmax(np.concatenate(central)), rtol=1e-3, atol=1e-4)

    # A video.
    (folder / "film.mp4").write_bytes(films.film([films.picture(i, 32, 40) for i in range(FRAMES)]))
    capsys.readouterr()
    assert cli.main(["classify", str(folder / "film.mp4"), f"--{stream}={folder}/run", "--top=3", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert answer["streams"] == [stream]
    decoded = np.stack(list(video.Reader(folder / "film.mp4", 25, 32)))
    probabilities = np.asarray(model(seen(decoded, stream)[None, ::stride, :, 4:36], training=False))[0]
    for prediction in answer["predictions"]:
        assert prediction["probability"] == pytest.approx(probabilities[prediction["index"]], abs=1e-4)

    _check_middle(row, stream, model, folder)


def _check_middle(row, stream, model, folder):
    """The protocol of the middle frame: alone, however long the network's clips are; of rgb alone."""
    test = f"{folder}/test-*"
    if stream != "rgb":
        with pytest.raises(ValueError, match="middle is of the rgb stream"):
            evaluate(test, protocol="middle", **{stream: folder / "run"})
        return
    found = evaluate(test, protocol="middle", rgb=folder / "run")
    assert "the middle frame, central crop 32 x 32" in str(found)
    whole = [x for x, _ in data.load(test, clip_frames=None, size=32, min_frames=1)]
    wanted = np.concatenate([outputs(model, x[:, (FRAMES - 1) // 2 :][:, :1]) for x in whole])
    np.testing.assert_allclose(softmax(found.scores.logits["rgb"]), softmax(wanted), rtol=1e-3, atol=1e-4)


@pytest.mark.slow
def test_an_export_computes_flow_by_itself(trained):
    row, folder = trained
    (stream,) = row.clips
    model, run = runs.load_model(folder / "run"), runs.read(folder / "run")
    command = ["export", f"--{stream}={folder}/run", f"--output={folder}/{row.name}", "--version=1", "--frames=0"]
    assert cli.main(command) == 0
    card = json.loads((folder / row.name / "1/assets.extra/keras_i3d.json").read_text())
    assert (card["streams"], card["networks"]) == ([stream], {stream: row.name})
    server = small_exports.Server(folder / row.name / "1")
    frames = np.stack([films.picture(i, 32, 40) for i in range(FRAMES)])
    clip = seen(frames, stream)[None, :: run.recipe.frame_stride, :, 4:36]
    wanted = np.asarray(model(clip, training=False))
    np.testing.assert_allclose(server("uint8", frames=frames[None])["probabilities"], wanted, atol=1e-3)
    np.testing.assert_allclose(server("serving_default", **{stream: clip})["probabilities"], wanted, atol=1e-5)
