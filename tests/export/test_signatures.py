"""Exports: what each signature answers, what it refuses, and how a version comes into place."""

import subprocess
import sys
import textwrap

import keras
import numpy as np
import pytest
from made import films, small_exports
from made.small_exports import FRAMES
from made.small_runs import LABELS

import keras_i3d
from keras_i3d import export, flow, prediction_logs, preprocess_input, video
from keras_i3d.export import preprocessing as frames_lib
from keras_i3d.inference.chunks import centre_crop
from keras_i3d.records import sequence_example
from keras_i3d.specs import RecordSpec
from keras_i3d.video import scaled_size

PAIR = ["serving_default", "uint8", "jpeg", "jpeg_two_stream", "frames_two_stream", "frames_two_stream_jpeg"]
CROP, SHORT_SIDE = 32, 40


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    with small_exports.small():
        yield small_exports.write_runs(tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def pair(runs, tmp_path_factory):
    """An export of both streams."""
    return export.saved_model(tmp_path_factory.mktemp("pair") / "pair", 3, **runs, frames=FRAMES, archive=True)


@pytest.fixture(scope="module")
def ask(pair):
    return small_exports.Server(pair.path)


@pytest.fixture(scope="module")
def clips():
    return small_exports.film()


@pytest.fixture(scope="module")
def plain(runs):
    """{stream: preprocessed clips (B, T, H, W, C) to logits}, by the models as they were trained."""

    def logits(stream):
        trained = keras.models.load_model(runs[stream] / "model.keras", compile=False)
        model = keras.Model(trained.input, trained.get_layer("Logits").output)
        return lambda x: np.asarray(model(x, training=False))

    return {stream: logits(stream) for stream in runs}


@pytest.fixture(scope="module")
def expected(plain, clips):
    """{stream: logits} of the clips by hand: flow before the crop, centre crop, scale, model."""
    import tensorflow as tf

    fields = np.asarray(tf.function(flow.TVL1())(clips))
    return {
        "rgb": plain["rgb"](crops(clips, "rgb")),
        "flow": plain["flow"](crops(fields, "flow")),
        "fields": fields,
    }


def crops(clips, stream):
    cut = np.array([[centre_crop(frame, CROP) for frame in clip] for clip in clips])
    return preprocess_input(cut, stream)


def distance(logits, expected):
    return np.linalg.norm(logits - expected) / np.linalg.norm(expected)


def softmax(logits):
    return np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)


def test_the_clips_tell_answers_apart(expected):
    """Or nothing below could fail."""
    for stream in ("rgb", "flow"):
        first, second = expected[stream]
        assert distance(first, second) > 1e-2
    assert distance(expected["rgb"], expected["flow"]) > 0.1


def test_clips_in_floats(ask, clips, expected):
    x = {"rgb": crops(clips, "rgb"), "flow": crops(np.resize(expected["fields"], (2, FRAMES, 40, 56, 2)), "flow")}
    answer = ask("serving_default", **x)
    assert {key: (value.dtype, value.shape) for key, value in answer.items()} == {
        "logits": (np.float32, (2, 3)),
        "probabilities": (np.float32, (2, 3)),
    }
    np.testing.assert_allclose(answer["probabilities"], softmax(answer["logits"]), rtol=1e-5)
    one = ask("serving_default", **{stream: clip[1:] for stream, clip in x.items()})
    assert distance(one["logits"], answer["logits"][1:]) < 1e-5


def test_both_streams_are_summed(ask, plain, clips):
    draw = np.random.default_rng(3)
    x = {s: np.float32(draw.uniform(-1, 1, (1, FRAMES, CROP, CROP, c))) for s, c in (("rgb", 3), ("flow", 2))}
    assert distance(ask("serving_default", **x)["logits"], plain["rgb"](x["rgb"]) + plain["flow"](x["flow"])) < 1e-5


def test_frames_of_the_short_side_are_cropped_alone(ask, clips, expected):
    answer = ask("uint8", frames=clips)
    assert distance(answer["logits"], expected["rgb"]) < 1e-5
    np.testing.assert_allclose(answer["probabilities"], softmax(expected["rgb"]), rtol=1e-4)


@pytest.mark.parametrize(("height", "width"), [(97, 130), (130, 97), (200, 200)])
def test_frames_of_any_size_are_scaled_and_cropped(height, width, ask, plain):
    import tensorflow as tf

    clips = small_exports.film(1, height=height, width=width, seed=1)
    size = scaled_size(width, height, SHORT_SIDE)[::-1]
    scaled = tf.image.resize(clips[0], size, antialias=True).numpy().round().clip(0, 255).astype("uint8")
    assert distance(ask("uint8", frames=clips)["logits"], plain["rgb"](crops(scaled[None], "rgb"))) < 1e-5


def test_scaling_into_the_crop_is_scaling_then_cropping():
    """But for values half way between two levels, which rounding may take either way."""
    import tensorflow as tf

    for height, width in ((97, 130), (33, 35), (61, 41), (40, 56)):
        for image in small_exports.film(1, height=height, width=width)[0, :3]:
            size = scaled_size(width, height, SHORT_SIDE)[::-1]
            values = tf.image.resize(image, size, antialias=True).numpy()
            tie = np.abs(values - np.floor(values) - 0.5) < 1e-4
            whole = frames_lib.scaled(tf.constant(image), SHORT_SIDE).numpy()
            assert np.abs(whole - np.where(tie, whole, values.round())).max() == 0
            part = frames_lib.scaled(tf.constant(image), SHORT_SIDE, CROP).numpy()
            difference = np.abs(np.int32(part) - centre_crop(whole, CROP))
            assert (difference <= centre_crop(tie, CROP)).all()


def test_encoded_frames(ask, plain, clips, expected):
    images = small_exports.encode(clips, png=True)  # nothing is lost on the way
    answer = ask("jpeg", frames=images)
    assert distance(answer["logits"], expected["rgb"]) < 1e-5
    for row, logits in zip(range(2), expected["rgb"]):
        order = np.argsort(-logits)
        assert [name.decode() for name in answer["classes"][row]] == [LABELS[i] for i in order]
        np.testing.assert_allclose(answer["scores"][row], softmax(logits)[order], rtol=1e-4)
    jpegs = small_exports.encode(clips)
    decoded = np.array([[sequence_example.decode_rgb(image).numpy() for image in clip] for clip in jpegs])
    assert distance(ask("jpeg", frames=jpegs)["logits"], plain["rgb"](crops(decoded, "rgb"))) < 1e-5


def test_clips_of_a_batch_may_differ_in_size(ask, clips):
    """A server puts requests of several clients into one batch."""
    other = small_exports.encode(small_exports.film(1, height=64, width=48, seed=2))
    both = np.concatenate([small_exports.encode(clips[:1]), other])
    alone = ask("jpeg", frames=other)["logits"][0]
    assert distance(ask("jpeg", frames=both)["logits"][1], alone) < 1e-5


def test_frames_as_records_hold_them(ask, plain, clips, expected):
    spec = RecordSpec(short_side=SHORT_SIDE)
    rgb = small_exports.encode(clips)
    fields = np.array(
        [[sequence_example.encode_flow(field, spec) for field in clip] for clip in expected["fields"]], object
    )
    flows = [[sequence_example.decode_flow(image, 20.0, "exact").numpy() for image in clip] for clip in fields]
    frames = np.array([[sequence_example.decode_rgb(image).numpy() for image in clip] for clip in rgb])
    wanted = plain["rgb"](crops(frames, "rgb")) + plain["flow"](crops(np.array(flows), "flow"))
    answer = ask("jpeg_two_stream", rgb=rgb, flow=fields)
    assert distance(answer["logits"], wanted) < 1e-5
    assert answer["classes"][0, 0].decode() == LABELS[wanted[0].argmax()]


def test_flow_of_frames_in_the_graph(ask, clips, expected):
    fused = expected["rgb"] + expected["flow"]
    answer = ask("frames_two_stream", frames=clips)
    assert distance(answer["logits"], fused) < 1e-4
    assert [row[0].decode() for row in answer["classes"]] == [LABELS[i] for i in fused.argmax(-1)]
    images = small_exports.encode(clips, png=True)
    assert distance(ask("frames_two_stream_jpeg", frames=images)["logits"], fused) < 1e-4


def test_warm_up_requests_are_the_server_s_messages(pair, ask):
    """Each signature once, under the model's name; TensorFlow's C++ reads the short tensors as NumPy does."""
    import tensorflow as tf

    messages = pytest.importorskip("tensorflow_serving.apis.prediction_log_pb2")
    seen = []
    for record in tf.data.TFRecordDataset(str(pair.path / "assets.extra" / prediction_logs.FILE)).as_numpy_iterator():
        assert len(record) < 20_000
        request = messages.PredictionLog.FromString(record).predict_log.request
        assert request.model_spec.name == "pair"
        inputs = {key: tf.make_ndarray(tensor) for key, tensor in request.inputs.items()}
        for key, tensor in request.inputs.items():
            kind = tf.dtypes.as_dtype(tensor.dtype)
            np.testing.assert_array_equal(tf.io.parse_tensor(tensor.SerializeToString(), kind), inputs[key])
        seen.append(request.model_spec.signature_name)
        assert np.isfinite(ask(seen[-1], **inputs)["logits"]).all()
    assert seen == PAIR


def bad(case, clips):
    """(signature, inputs) of a request that is wrong in one way."""
    rgb = np.zeros((1, FRAMES, CROP, CROP, 3), np.float32)
    pair = {"rgb": rgb, "flow": rgb[..., :2]}
    images = small_exports.encode(clips)
    broken, ragged = images.copy(), images.copy()
    broken[1, 3] = b"no picture"
    ragged[1, 4] = small_exports.encode(clips[:1, :1, :, :36])[0, 0]
    spec = RecordSpec(short_side=64)
    field = np.full((2, 9), sequence_example.encode_flow(np.zeros((64, 64, 2)), spec), object)
    return {
        "short": ("serving_default", {**pair, "rgb": rgb[:, :4]}),
        "long": ("uint8", {"frames": np.repeat(clips, 2, axis=1)}),
        "channels": ("serving_default", {**pair, "flow": rgb}),
        "size": ("serving_default", {**pair, "rgb": rgb[:, :, 1:]}),
        "rank": ("serving_default", {**pair, "rgb": rgb[0]}),
        "no clip": ("serving_default", {stream: x[:0] for stream, x in pair.items()}),
        "unequal": ("serving_default", {**pair, "rgb": np.repeat(rgb, 2, axis=0)}),
        "nan": ("serving_default", {**pair, "flow": pair["flow"] + np.float32(np.nan)}),
        "infinity": ("serving_default", {**pair, "rgb": rgb + np.float32(np.inf)}),
        "unscaled": ("serving_default", {**pair, "rgb": rgb + np.float32(200)}),
        "grey": ("uint8", {"frames": clips[..., :1]}),
        "tiny": ("uint8", {"frames": clips[:, :, :20]}),
        "frames rank": ("uint8", {"frames": clips[0]}),
        "few": ("jpeg", {"frames": images[:, :8]}),
        "no picture": ("jpeg", {"frames": broken}),
        "empty": ("jpeg", {"frames": np.full((1, FRAMES), b"", object)}),
        "cut off": ("jpeg", {"frames": np.full((1, FRAMES), images[0, 0][:200], object)}),
        "ragged": ("jpeg", {"frames": ragged}),
        "small": ("jpeg", {"frames": small_exports.encode(clips[:, :, :31])}),
        "images rank": ("jpeg", {"frames": images[0]}),
        "flow few": ("jpeg_two_stream", {"rgb": images, "flow": field[:, :8]}),
        "flow size": ("jpeg_two_stream", {"rgb": images, "flow": field}),
        "flow clips": ("jpeg_two_stream", {"rgb": images, "flow": field[:1]}),
        "two-stream grey": ("frames_two_stream", {"frames": clips[..., :1]}),
        "two-stream no picture": ("frames_two_stream_jpeg", {"frames": broken}),
        "two-stream small": ("frames_two_stream_jpeg", {"frames": small_exports.encode(clips[:, :, :, :1])}),
        "two-stream ragged": ("frames_two_stream_jpeg", {"frames": ragged}),
    }[case]


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ("short", r"rgb must be .*, with 10 frames. Received: 4, .*fixed at the export; .*--frames=0"),
        ("long", "frames must be .* with 10 frames. Received: 20"),
        ("channels", r"flow must be \(batch, time, 32, 32, 2\), with 2 channels. Received: 3"),
        ("size", "rgb must be .* with 32 pixels of height. Received: 31"),
        ("rank", r"rgb must be \(batch, time, 32, 32, 3\). Received: an array of shape \[10 32 32 3\]"),
        ("no clip", "must hold at least one clip. Received: an array of shape"),
        ("unequal", "rgb and flow must hold equally many clips. Received: 2 and 1"),
        ("nan", "flow must be finite. Received: NaN or infinity"),
        ("infinity", "rgb must be finite"),
        ("unscaled", r"rgb must be in \[-1, 1\]. Received: values up to 200. Scale it by x / 127.5 - 1"),
        ("grey", "with 3 channels. Received: 1, .* Convert the frames to RGB"),
        ("tiny", "at least 32 pixels of height. Received: 20"),
        ("frames rank", r"Received: an array of shape \[10 40 56 3\]"),
        ("few", r"frames must be \(batch, time\), encoded frames, with 10 frames. Received: 8"),
        ("no picture", "JPEG or PNG. Received: 10 bytes of something else, frame 3 of clip 1. .*b64"),
        ("empty", "JPEG or PNG. Received: 0 bytes of something else, frame"),
        (
            "cut off",
            "whole JPEG or PNG. Received: 200 bytes that are damaged or cut short, frame . of clip 0. Encode it",
        ),
        ("ragged", r"one size. Received: \[40 56\] .* frame 0 and \[40 36\] for frame 4 of clip 1. Scale them alike"),
        ("small", r"at least 32 pixels high and wide. Received: \[31 56\] pixels .* for frame 0 of clip 0"),
        ("images rank", r"frames must be \(batch, time\), encoded frames. Received: an array of shape \[10\]"),
        ("flow few", "flow must be .* with at least 9 fields. Received: 8"),
        ("flow size", r"short side of 40 pixels. Received: \[64 64\] pixels .* for field . of clip ."),
        ("flow clips", "equally many clips. Received: 2 and 1"),
        ("two-stream grey", "with 3 channels. Received: 1"),
        ("two-stream no picture", "frame 3 of clip 1"),
        ("two-stream small", r"at least 32 pixels .*Received: \[40 1\] pixels .* for frame 0 of clip 0"),
        ("two-stream ragged", r"one size. Received: \[40 56\] .* and \[40 36\] for frame 4 of clip 1"),
    ],
)
def test_bad_requests_are_refused_and_the_next_is_answered(case, message, ask, clips, expected):
    import tensorflow as tf

    signature, inputs = bad(case, clips)
    with pytest.raises(tf.errors.InvalidArgumentError, match=message) as caught:
        ask(signature, **inputs)
    first, *_ = str(caught.value).splitlines()
    assert len(first) < 400
    assert distance(ask("uint8", frames=clips[:1])["logits"], expected["rgb"][:1]) < 1e-5


def test_a_process_without_this_package_runs_every_signature(pair, ask, clips, expected, tmp_path):
    """Plain TensorFlow, from elsewhere: a py_function would be saved, and would not be there."""
    rgb = small_exports.encode(clips)
    spec = RecordSpec(short_side=SHORT_SIDE)
    field = np.full((2, 9), sequence_example.encode_flow(np.zeros((40, 56, 2)), spec), object)
    requests = {
        "serving_default": {"rgb": crops(clips, "rgb"), "flow": np.zeros((2, FRAMES, CROP, CROP, 2), np.float32)},
        "uint8": {"frames": clips},
        "jpeg": {"frames": rgb},
        "jpeg_two_stream": {"rgb": rgb, "flow": field},
        "frames_two_stream": {"frames": clips[:1]},
        "frames_two_stream_jpeg": {"frames": rgb[:1]},
    }
    assert list(requests) == PAIR
    np.save(tmp_path / "requests.npy", requests, allow_pickle=True)
    script = """
        import sys
        sys.modules["keras_i3d"] = None
        import numpy as np, tensorflow as tf
        signatures = tf.saved_model.load(sys.argv[1]).signatures
        requests = np.load("requests.npy", allow_pickle=True).item()
        answers = {n: signatures[n](**{k: tf.constant(v) for k, v in x.items()}) for n, x in requests.items()}
        np.save("answers.npy", {n: {k: v.numpy() for k, v in a.items()} for n, a in answers.items()}, allow_pickle=True)
        assert not [name for name in sys.modules if name.startswith("keras_i3d.")]
    """
    command = [sys.executable, "-I", "-c", textwrap.dedent(script), str(pair.path)]
    subprocess.run(command, check=True, cwd=tmp_path)
    answers = np.load(tmp_path / "answers.npy", allow_pickle=True).item()
    for name, inputs in requests.items():
        for key, value in ask(name, **inputs).items():
            if key == "classes":
                np.testing.assert_array_equal(answers[name][key], value)
            else:
                np.testing.assert_allclose(answers[name][key], value, rtol=1e-4, atol=1e-6, err_msg=f"{name} {key}")


@pytest.mark.slow
def test_a_video_as_classify_does(tmp_path):
    """At full depth, TV-L1 as the weights' flow was made: the frames of a video, both streams, fused."""
    made = small_exports.write_runs(tmp_path / "runs")
    film = films.film([films.picture(3 * i) for i in range(12)])
    wanted = keras_i3d.Classifier(rgb=made["rgb"], flow=made["flow"])(film, top=3)
    ask = small_exports.Server(export.saved_model(tmp_path / "pair", **made, frames=0).path)
    frames = video.read(film, short_side=SHORT_SIDE)[None]
    answer = ask("frames_two_stream", frames=frames)
    assert distance(answer["logits"][0], wanted.logits) < 1e-3
    assert [name.decode() for name in answer["classes"][0]] == [p.label for p in wanted.predictions]
    assert distance(ask("uint8", frames=frames)["logits"][0], wanted.stream_logits["rgb"]) < 1e-5
