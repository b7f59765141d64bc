"""From videos to features: each row is what the network makes of its frames, whatever road they came by."""

import dataclasses
import functools
import io
import json
import types

import keras
import numpy as np
import pytest
from made import drawn, films, small_features, tiny

import keras_i3d
from keras_i3d import facts, flow, inference, networks, video
from keras_i3d.errors import VideoError
from keras_i3d.facts import Facts
from keras_i3d.features import cropping, layouts, stream_clips, video_extractor, windowing
from keras_i3d.features.layouts import CROP_ORDERS, Layout
from keras_i3d.features.video_extractor import Extractor
from keras_i3d.inference import chunks
from keras_i3d.models import families, inception
from keras_i3d.models.receptive_fields import of_layers
from keras_i3d.specs import INPUT_CHANNELS
from keras_i3d.weights import by_name

SHORT = tiny.short_rows()
WIDTH, CLASSES = 0.05, 4
SMALL = {"crop": 32, "resize": "short:40"}  # by TV-L1: on such small frames OpenCV's DIS is not the same each time
FRAMES = 30


@pytest.fixture(autouse=True)
def short(monkeypatch):
    tiny.shorten(monkeypatch)


@pytest.fixture
def traced():
    """Asked for by a test that runs networks as graphs."""


@pytest.fixture(autouse=True)
def eager(request, monkeypatch):
    """All others run them op by op."""
    if "traced" not in request.fixturenames:
        small_features.op_by_op(monkeypatch)


@functools.cache
def model(name, stream):
    """A narrow network cut short, whose weights show what they are given."""
    row = SHORT[name]
    shape = (None, None, None, INPUT_CHANNELS[stream])
    made = row.build(
        stream=stream, classes=CLASSES, depth_multiplier=WIDTH, input_shape=shape, classifier_activation="softmax"
    )
    drawn.seeded(made, 7)
    spec = dataclasses.replace(row.clips[stream], short_side=40, crop=32)
    return facts.note(made, Facts(stream, CLASSES, tuple("abcd"), "softmax", WIDTH, "float32", spec, "", name, "MIT"))


def extractor(layout, name="I3D", **settings):
    return Extractor(layout, **{s: model(name, s) for s in layout.streams}, **settings)


@functools.cache
def moving(frames, height=40, width=52, seed=0):
    """A film without loss of a scene that moves."""
    draw = np.random.default_rng(seed)
    scene = draw.integers(0, 255, (10, 14, 3)).repeat(8, 0).repeat(8, 1).astype("uint8")
    shown = [np.roll(scene, (i % 7, 2 * i), (0, 1))[:height, :width] for i in range(frames)]
    return films.film(shown, "matroska", "ffv1", pixels="bgr0")


def decoded(film, layout):
    frames = video.read(film, resize=layout.resize, fps=layout.fps if layout.fps != "weights" else 25)
    return frames, flow.compute(frames)


def rows_of(model, layer, clip, stream, place="c"):
    """What a layer makes of a clip, one at a time and op by op."""
    spec = facts.of(model).sees
    x = cropping.clip(list(clip), 32, CROP_ORDERS[10], place, stream)
    part = keras.Model(model.input, layer if not isinstance(layer, str) else model.get_layer(layer).output)
    return np.asarray(part(spec.prepared(x)[None], training=False))[0]


def close(found, wanted):
    found, wanted = np.float64(found), np.float64(wanted)
    assert found.shape == wanted.shape
    assert np.linalg.norm(found - wanted) < 1e-5 * np.linalg.norm(wanted)


def test_windows_are_what_the_network_makes_of_each():
    layout = Layout(step=5, crops=("tl", "br_mirrored"), axes="NTC", **SMALL)
    found = extractor(layout, batch_size=3)(moving(FRAMES))
    frames, fields = decoded(moving(FRAMES), layout)
    for stream, source in (("rgb", frames), ("flow", fields)):
        net, starts = model("I3D", stream), windowing.starts(layout, stream, FRAMES)
        assert found.arrays[stream].shape == (2, len(starts), 32)
        head = net.get_layer(SHORT["I3D"].head).input
        for crop, place in enumerate(layout.crops):
            for row, start in enumerate(starts):
                wanted = rows_of(net, head, source[start : start + 16], stream, place)
                close(found.arrays[stream][crop, row], wanted.mean(axis=(0, 1, 2)))
        np.testing.assert_allclose(found.centre[stream], (starts + 8) / 25)
    assert (found.frames, found.fps, found.damaged, found.cut_short) == (FRAMES, 25.0, 0, False)


def assembled(layout, stream, frames, fields, start):
    """What a window sees, put together frame by frame; NOTHING is what the network takes as zero."""
    seen = windowing.seen(layout, stream, len(frames), start, layout.stride or 1)
    if stream == "rgb":
        source = [*frames]
    elif stream == "flow":
        source = [*fields, fields[-1]]
    else:
        still = np.zeros_like(fields[:1])
        source = [*np.concatenate([frames, np.concatenate([fields, still])], axis=-1, dtype=np.float32)]
        for place, moving in zip(seen.frames, seen.moving):
            assert moving or place == len(frames) - 1 or start < 0
    zero = np.full_like(source[0], 127.5 if stream == "rgb" else 0, dtype=np.float32)
    return [source[place] if place != windowing.NOTHING else zero for place in seen.frames]


LAYOUTS = {
    "a row a frame": (
        {"window": 11, "step": 1, "first": -5, "tail": "repeat", "flow_end": "repeat", "flow_from": "stored"},
        12,
    ),
    "grey": ({"window": 10, "tail": "pad", "drop_last": False, "flow_end": "repeat", "fps": None}, 12),
    "shifted": ({"window": 9, "tail": "shift"}, 23),
    "shifted, own": (
        {"window": 9, "step": 4, "tail": "shift", "files": "per_stream", "flow_end": "own", "flow_levels": "rounded"},
        22,
    ),
    "over and over": ({"window": 20, "tail": "shift"}, 7),
    "every second": ({"window": 20, "step": 7, "stride": 2, "one_more": True}, 40),
    "gaps": ({"window": 9, "step": 20, "flow_levels": "rounded", "tail": "repeat"}, 25),
}


# What these two have, windowing's tests and the others have too.
LATER = ("shifted", "gaps")


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow) if n in LATER else n for n in LAYOUTS])
def test_each_layout_row_by_row(name):
    settings, count = LAYOUTS[name]
    if settings.get("files") == "per_stream":
        settings = {**settings, "name": "{stem}_{stream}"}
    layout = Layout(**SMALL | settings)
    film = moving(count, 48, 60) if layout.flow_from == "stored" else moving(count)
    found = extractor(layout, batch_size=4)(film)
    frames, fields = decoded(film, layout)
    if layout.flow_from == "stored":
        stored = flow.compute(video.read(film, resize="stored"))
        fields = np.stack([cropping.resized(field, *frames.shape[2:0:-1]) for field in stored])
    if layout.flow_levels:
        fields = flow.dequantize_flow(flow.quantize_flow(fields, scheme="rounded"), scheme="rounded")
    for stream in layout.streams:
        net, starts = model("I3D", stream), windowing.starts(layout, stream, count)
        assert len(starts) == found.arrays[stream].shape[1] > 0
        clips = [assembled(layout, stream, frames, fields, start) for start in starts]
        head = net.get_layer(SHORT["I3D"].head).input
        wanted = [rows_of(net, head, clip, stream).mean(axis=(0, 1, 2)) for clip in clips]
        close(found.arrays[stream][0], np.stack(wanted))
        np.testing.assert_allclose(found.centre[stream], (starts + layout.window / 2) / 25)
        assert (found.start[stream].min(), found.end[stream].max() <= count / 25) == (0, True)


def test_frames_and_fields_in_one_tensor():
    """Beyond the end stands the last frame, without motion, or with the last field again."""
    for ending in ("common", "repeat"):
        layout = Layout(streams=("both",), window=12, tail="repeat", flow_end=ending, **SMALL)
        found = extractor(layout, "TwoStreamConvNet")(moving(17))
        frames, fields = decoded(moving(17), layout)
        last = np.zeros_like(fields[0]) if ending == "common" else fields[-1]
        joined = [np.concatenate([i, f], axis=-1, dtype=np.float32) for i, f in zip(frames, [*fields, last])]
        beyond = np.concatenate([frames[-1], np.zeros_like(fields[-1])], axis=-1, dtype=np.float32)
        net = model("TwoStreamConvNet", "both")
        head = net.get_layer(SHORT["TwoStreamConvNet"].head).input
        clips = joined[:12], [*joined[12:], *[beyond] * 7]
        wanted = [rows_of(net, head, clip, "both").mean(axis=(0, 1, 2)) for clip in clips]
        close(found.arrays["both"][0], np.stack(wanted))


# What a row is, of every network


def family_model(name):
    return model(name, next(iter(SHORT[name].clips)))


KINDS = ("I3D", "C3D", "TwoStreamConvNet", "ConvNetLSTM")  # of each kind of heads one


@pytest.mark.parametrize("name", [n if n in KINDS else pytest.param(n, marks=pytest.mark.slow) for n in SHORT])
def test_a_feature_through_the_head_is_the_clips_logits(name):
    """Endpoint None and a window: for every network, an answer that is its last row included."""
    row, net = SHORT[name], networks.load(family_model(name))
    layout = Layout(streams=(net.stream,), window=row.min_frames + 3 * row.step)
    rows = video_extractor._rows_model(layout, net, video_extractor._layer(layout, net))
    shape = (2, layout.window, row.min_size + 8, row.min_size + 16, INPUT_CHANNELS[net.stream])
    clip = np.random.default_rng(3).uniform(-1, 1, shape).astype("float32")
    features = np.asarray(rows(clip, training=False))
    wanted = np.asarray(net.to_logits()(clip, training=False))
    head = net.model.get_layer(row.head)
    found = np.asarray(head(features[:, None, None, None]))[:, 0, 0, 0]
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)
    logits = dataclasses.replace(layout, endpoint="logits")
    rows = video_extractor._rows_model(logits, net, video_extractor._layer(logits, net))
    np.testing.assert_allclose(np.asarray(rows(clip, training=False)), wanted, rtol=1e-4, atol=1e-5)
    # Of one pass, each row of logits is one of the head's; their mean, or the last, is the answer.
    dense = dataclasses.replace(logits, window="all", step=None)
    rows = np.asarray(video_extractor._rows_model(dense, net, video_extractor._layer(dense, net))(clip, training=False))
    answer = rows[:, -1] if row.answer == "last" else rows.mean(axis=1)
    np.testing.assert_allclose(answer, wanted, rtol=1e-4, atol=1e-5)


def test_logits_are_those_of_classify():
    """A window's are those of the part of the video cut out; of features, the head makes the same."""
    layout = Layout(window=16, step=9, streams=("rgb",), crop=32, resize="short:40")
    film = moving(FRAMES)
    features = extractor(layout)(film)
    logits = extractor(dataclasses.replace(layout, endpoint="logits"))(film)
    frames = video.read(film, resize="stored")
    classifier = inference.Classifier("rgb", rgb=model("I3D", "rgb"))
    for row, (start, end) in enumerate(zip(logits.start["rgb"], logits.end["rgb"])):
        part = [*frames[round(start * 25) : round(end * 25)]]
        wanted = classifier(films.film(part, "matroska", "ffv1", pixels="bgr0")).logits
        np.testing.assert_allclose(logits.arrays["rgb"][0, row], wanted, rtol=1e-4, atol=1e-5)
    head = model("I3D", "rgb").get_layer(SHORT["I3D"].head)
    found = np.asarray(head(features.arrays["rgb"][0][:, None, None, None]))[:, 0, 0, 0]
    np.testing.assert_allclose(found, logits.arrays["rgb"][0], rtol=1e-4, atol=1e-5)
    assert logits.arrays["rgb"].shape == (1, 2, CLASSES)


def test_positions_where_nothing_is_pooled():
    layout = Layout(window=10, step=8, streams=("rgb",), endpoint="MaxPool3d_2a_3x3", pool="none", **SMALL)
    found = extractor(layout)(moving(FRAMES)).arrays["rgb"]
    assert found.shape == (1, 3, 5, 8, 8, 8)  # crops, rows, time, height, width, channels
    frames, _ = decoded(moving(FRAMES), layout)
    close(found[0, 1], rows_of(model("I3D", "rgb"), "MaxPool3d_2a_3x3", frames[8:18], "rgb"))


# Batches across videos


def test_a_row_is_the_same_to_the_bit_whatever_is_in_its_batch(traced):
    layout = Layout(window=9, step=4, **SMALL)
    several = [moving(count, seed=count) for count in (14, 21, 30, 9 + 1)]
    one = extractor(layout, batch_size=5)
    together = dict(enumerate(one.many(several)))
    assert [film for film, _ in together.values()] == several
    assert [found.arrays["rgb"].shape[1] for _, found in together.values()] == [2, 3, 6, 1]
    for film, found in together.values():
        alone = one(film)
        for stream in layout.streams:
            np.testing.assert_array_equal(alone.arrays[stream], found.arrays[stream])


def test_what_cannot_be_read_is_given_in_its_place(tmp_path):
    layout = Layout(window=9, streams=("rgb",), **SMALL)
    (tmp_path / "text.mp4").write_text("no video")
    given = [moving(12), str(tmp_path / "text.mp4"), moving(5), str(tmp_path / "none.mp4"), moving(20)]
    found = dict(zip("abcde", extractor(layout, batch_size=16).many(given)))
    assert [video for video, _ in found.values()] == given
    assert [type(each).__name__ for _, each in found.values()] == [
        "VideoFeatures", "VideoError", "VideoError", "VideoError", "VideoFeatures"
    ]  # fmt: skip
    assert "5 frames, and a window of 9 frames needs 9 for rgb; tail=repeat" in str(found["c"][1])
    assert "no such file" in str(found["d"][1])
    with pytest.raises(VideoError, match="no such file"):
        extractor(layout)(tmp_path / "none.mp4")


def test_frames_are_kept_only_as_long_as_a_window_needs_them():
    layouts = [
        Layout(window=8, step=2, streams=("rgb",)),
        Layout(window=8, step=30, streams=("rgb",), tail="shift"),
        Layout(window=8, step=3, first=-6, tail="repeat", drop_last=True, streams=("rgb",)),
    ]
    intake = stream_clips.Intake(facts.of(model("I3D", "rgb")).sees, SHORT["I3D"], 1, 1, "")
    frame = np.zeros((40, 40, 3), "uint8")
    for layout in layouts:
        stream = stream_clips.Windows(layout, "rgb", intake, 0, "a video")
        given = 0
        for _ in range(400):
            given += sum(1 for _ in stream.add(frame))
            assert len(stream.frames) <= layout.window + layout.step + 2
        given += sum(1 for _ in stream.finish(400))
        assert given == len(stream.starts) == len(windowing.starts(layout, "rgb", 400))


def test_a_video_of_a_size_of_its_own_does_not_hold_back_the_others():
    """Its windows would fill a batch with those of a video of the same size alone."""
    asked = []

    def films_of_two_sizes():
        for number in range(20):
            asked.append(number)
            yield moving(9, 36, 40) if number == 0 else moving(9)

    one = extractor(Layout(window=9, streams=("rgb",), crop=64, resize="stored"), batch_size=3)
    found = one.many(films_of_two_sizes())
    assert next(found)[1].arrays["rgb"].shape == (1, 1, 32)
    assert len(asked) < 10
    assert len(list(found)) == 19


def test_the_default_is_a_layout():
    assert Extractor(rgb=model("I3D", "rgb"), flow=model("I3D", "flow")).layout == Layout()


# One pass over the whole video


PARTS = [
    (None, ("rgb", "flow")),
    ("Logits_AvgPool3d_0a_7x7", ("rgb",)),
    pytest.param("Conv3d_1a_7x7", ("rgb",), marks=pytest.mark.slow),
    pytest.param("logits", ("rgb",), marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("endpoint", "streams"), PARTS)
def test_a_long_video_in_parts_is_the_single_pass(endpoint, streams, monkeypatch):
    layout = Layout(window="all", endpoint=endpoint, streams=streams, **SMALL)
    counted = []
    original = video.Reader.count
    monkeypatch.setattr(video.Reader, "count", lambda reader: counted.append(1) or original(reader))
    film = moving(49)
    whole = extractor(layout)(film)
    assert not counted  # what fits in one pass is decoded once
    one = extractor(layout, chunk_frames=26)
    for source in (film, io.BytesIO(film)):
        parts = one(source)
        assert len(counted) == 1
        counted.clear()
        for stream in layout.streams:
            close(parts.arrays[stream], whole.arrays[stream])
            np.testing.assert_array_equal(parts.centre[stream], whole.centre[stream])
    frames, fields = decoded(film, layout)
    net, seen = model("I3D", streams[-1]), {"rgb": frames, "flow": fields}[streams[-1]]
    layer = {None: "Mixed_3b", "logits": SHORT["I3D"].head}.get(endpoint, endpoint)
    wanted = rows_of(net, layer, seen, streams[-1]).mean(axis=(1, 2))
    close(whole.arrays[streams[-1]][0], wanted)


def test_rows_of_flow_where_it_has_a_field_less():
    """Of 33 frames, 17 steps of rgb and 16 of flow."""
    film = moving(33)
    settings = {"window": "all", "files": "per_stream", "name": "{stem}_{stream}", **SMALL}
    shapes = {}
    for ending in ("own", "common", "repeat"):
        found = extractor(Layout(flow_end=ending, **settings))(film)
        shapes[ending] = tuple(found.arrays[stream].shape[1] for stream in ("rgb", "flow"))
        assert {len(times[s]) for times in (found.start, found.end, found.centre) for s in times} <= {*shapes[ending]}
    assert shapes == {"own": (17, 16), "common": (16, 16), "repeat": (17, 17)}


def test_a_dense_pass_of_every_second_frame():
    for count in (41, 12):  # the second is filled up with its last frame
        layout = Layout(window="all", stride=2, streams=("rgb",), tail="repeat", **SMALL)
        row = dataclasses.replace(SHORT["I3D"], min_frames=9)
        families.FAMILIES["I3D"] = row
        found = extractor(layout)(moving(count))
        frames, _ = decoded(moving(count), layout)
        seen = [*frames[::2]] if count == 41 else [*frames[::2], *[frames[-1]] * 3]
        close(found.arrays["rgb"][0], rows_of(model("I3D", "rgb"), "Mixed_3b", seen, "rgb").mean(axis=(1, 2)))
        field = of_layers(model("I3D", "rgb"), (len(seen), 32, 32))["Mixed_3b"]
        start = 2 * (field.start[0] + 2 * np.arange(found.arrays["rgb"].shape[1]))
        np.testing.assert_allclose(found.start["rgb"], np.clip(start, 0, count) / 25)
        np.testing.assert_allclose(found.end["rgb"], np.clip(start + 2 * field.size[0] - 1, 0, count) / 25)


def test_what_sees_a_video_as_a_whole_goes_through_in_one_pass():
    layout = Layout(window="all", streams=("rgb",), **SMALL)
    one = extractor(layout, "S3DG", chunk_frames=24)
    found = one(moving(24))
    rows = found.arrays["rgb"].shape[1]
    np.testing.assert_allclose(found.start["rgb"], 0)
    np.testing.assert_allclose(found.end["rgb"], 24 / 25)
    np.testing.assert_allclose(found.centre["rgb"], (np.arange(rows) + 0.5) * 24 / 25 / rows)
    with pytest.raises(VideoError, match="more than chunk_frames=24 frames, and Mixed_3b of S3DG sees a video as a wh"):
        one(moving(25))


def test_a_network_that_reads_steps_in_turn():
    """What its recurrence reads is there for a video of any length, and what it makes of it in one pass."""
    settings = {"window": "all", "streams": ("rgb",), **SMALL}
    film = moving(30)
    features = extractor(Layout(**settings), "ConvNetLSTM", chunk_frames=20)(film)
    assert features.arrays["rgb"].shape == (1, 6, 32)  # every fifth frame
    steps = extractor(Layout(endpoint="LSTM", **settings), "ConvNetLSTM")(film)
    assert steps.arrays["rgb"].shape == (1, 6, 26)
    with pytest.raises(VideoError, match="LSTM of ConvNetLSTM sees a video as a whole"):
        extractor(Layout(endpoint="LSTM", stride=1, **settings), "ConvNetLSTM", chunk_frames=20)(film)


CENTRES = {0: 5, 1: 2, 2: 3, 3: 4}  # of Mixed_5c in a video of T frames: row i is centred on frame 8 i + CENTRES[T % 4]


@pytest.mark.parametrize("phase", CENTRES)
def test_where_a_row_of_mixed_5c_is(phase, whole_i3d):
    """Measured: of 99 frames, the first and the last one change it, and those next to them do not."""
    frames, row = 112 + phase, 6
    start = 8 * row + CENTRES[phase] - 49
    clips = np.ones((5, frames, 32, 32, 3), "float32")
    for clip, place in zip(clips, (start - 1, start, start + 98, start + 99)):
        clip[place] += 1e10
    part = keras.Model(whole_i3d.input, whole_i3d.get_layer("Mixed_5c").output)
    found = np.asarray(part(clips, training=False))[:, row]
    changed = [bool(np.any(np.abs(each - found[4]) > 1e-3 * np.abs(found[4]))) for each in found[:4]]
    assert changed == [False, True, True, False]


@pytest.fixture(scope="module")
def whole_i3d():
    """All layers of I3D, narrow, whose weights let nothing that a position sees get lost."""
    net = inception.inception_i3d(input_shape=(None, None, None, 3), depth_multiplier=0.05, classes=2)
    for weight in net.weights:
        weight.assign(np.full(weight.shape, 1 / max(np.prod(weight.shape[:-1]), 1)))
    return net


@pytest.fixture
def whole_row(monkeypatch):
    monkeypatch.setitem(families.FAMILIES, "I3D", inception.rows()[0])


MIXED_5C = {
    "window": "all", "endpoint": "Mixed_5c", "fps": 25, "crop": 32, "resize": "short:32"
}  # fmt: skip


def check_mixed_5c(found, stream, frames, length):
    """Rows of a stream of so many frames, in a video `length` frames long."""
    rows = -(-frames // 8)
    middle = 8 * np.arange(rows) + CENTRES[frames % 4]
    assert found.arrays[stream].shape[1] == rows
    np.testing.assert_allclose(found.centre[stream] * 25, middle + 0.5)
    np.testing.assert_allclose(found.start[stream] * 25, np.maximum(middle - 49, 0))
    np.testing.assert_allclose(found.end[stream] * 25, np.minimum(middle + 50, length))


def test_449_frames_have_57_rows_and_448_have_56(whole_i3d, whole_row):
    one = Extractor(Layout(streams=("rgb",), **MIXED_5C), rgb=whole_i3d)
    for frames, rows in ((449, 57), (448, 56)):
        found = one(moving(frames, 32, 40))
        assert found.arrays["rgb"].shape[:2] == (1, rows)
        check_mixed_5c(found, "rgb", frames, frames)


@pytest.mark.slow
def test_449_frames_have_57_rows_of_rgb_and_56_of_flow(whole_row):
    nets = {s: families.find("I3D").build(stream=s, classes=2, depth_multiplier=0.05) for s in ("rgb", "flow")}
    layout = Layout(files="per_stream", name="{stem}_{stream}", flow_end="own", **MIXED_5C)
    found = Extractor(layout, **nets)(moving(449, 32, 40))
    assert {stream: array.shape[1] for stream, array in found.arrays.items()} == {"rgb": 57, "flow": 56}
    check_mixed_5c(found, "rgb", 449, 449)
    check_mixed_5c(found, "flow", 448, 449)


def test_times_of_a_video_without_a_constant_rate():
    times = [0, 40, 100, 360, 400, 440, 480, 530, 570, 610, 700, 740]
    film = films.film([films.picture(i, 40, 52) for i in range(12)], "matroska", times=times)
    layout = Layout(window=9, step=2, fps=None, streams=("rgb",), crop=32, resize="short:40")
    found = extractor(layout)(film)
    np.testing.assert_allclose(found.start["rgb"], [0, 0.1])
    np.testing.assert_allclose(found.end["rgb"], [0.61, 0.74], atol=1e-6)
    np.testing.assert_allclose(found.centre["rgb"], [0.42, 0.505])  # the middle of the fifth frame, and of the seventh
    assert found.fps == pytest.approx(12 / 0.78, rel=0.05)


def test_a_video_that_is_cut_short_is_said(capsys):
    film = moving(FRAMES)
    layout = Layout(window=9, streams=("rgb",), **SMALL)
    found = extractor(layout)(film[: len(film) * 2 // 3])
    assert (found.cut_short, found.arrays["rgb"].shape) == (True, (1, found.frames // 9, 32))
    assert "<bytes>: cut short" in capsys.readouterr().err
    extractor(layout)(film)
    assert capsys.readouterr().err == ""


def test_rows_are_there_once():
    """Of an hour at ten crops of 2048 channels they are half a gigabyte."""
    made = types.SimpleNamespace(layout=Layout(crops=("c", "tl"), axes="NTC"))
    rows = {("rgb", crop): [np.full(3, 10 * crop + row, np.float32) for row in range(4)] for crop in range(2)}
    array = Extractor._stacked(made, "rgb", rows)
    assert rows == {}
    assert array.dtype == np.float32
    np.testing.assert_array_equal(array[..., 1], [[0, 1, 2, 3], [10, 11, 12, 13]])


# What stands next to the numbers


def test_notes():
    layout = Layout(window=9, crop=32, resize="40x36", flow_from="stored", flow_method="dis", flow_levels="exact")
    one = extractor(layout)
    notes = json.loads(json.dumps(one.notes))
    assert one(moving(12)).notes == notes
    assert layouts.parse(notes["layout"]) == layout
    assert set(notes["networks"]) == {"rgb", "flow"}
    rgb = notes["networks"]["rgb"]
    assert (rgb["network"], rgb["layer"], rgb["precision"]) == ("I3D", "Logits_AvgPool3d_0a_7x7", "float32")
    assert rgb["licence"] == "MIT"
    assert rgb["sha256"] == by_name.digest(model("I3D", "rgb"))
    assert notes["networks"]["flow"]["sha256"] == by_name.digest(model("I3D", "flow")) != rgb["sha256"]
    assert (notes["fps"], notes["resize"], notes["crop"], notes["crops"]) == (25, "40x36", 32, ["c"])
    assert (notes["flow"]["method"], notes["flow"]["levels"]) == ("dis", "exact")
    assert notes["flow"]["order"].startswith("flow is computed of frames as they are stored, then resized")
    assert notes["keras_i3d"] == keras_i3d.__version__


@pytest.mark.parametrize(
    ("layout", "settings", "rule"),
    [
        ({}, {"batch_size": 0}, "batch_size must be a number of windows"),
        ({}, {"precision": "half"}, "precision must be one of"),
        ({"flow_method": "raft"}, {}, "flow_method must be one of None, 'tvl1'"),
        ({"streams": ("rgb",)}, {"flow": "kinetics"}, "flow= names weights that the layout with streams"),
        ({"streams": ("rgb",), "window": 2}, {}, "A window must show I3D at least 9 frames.*window=2 with stride=1"),
        ({"streams": ("rgb",), "window": 8, "stride": 4}, {}, "at least 9 frames.*which shows 2"),
        ({"streams": ("rgb",), "endpoint": "Mixed_3"}, {}, "An endpoint of I3D is one of.*near are Mixed_3b"),
        ({"streams": ("rgb",)}, {"model": "S3D"}, "model='S3D' is another network than that of rgb=, I3D"),
        ({"streams": ("rgb",)}, {"model": "I3DD"}, "A network is one of"),
        ({"streams": ("rgb",), "window": "all"}, {"chunk_frames": 8}, "chunk_frames must be at least"),
        ({"streams": ("rgb",), "window": "all", "endpoint": "Logits"}, {}, "An endpoint of I3D is one of"),
    ],
)
def test_refusals(layout, settings, rule):
    with pytest.raises(ValueError, match=rule):
        Extractor(
            Layout(**SMALL | layout), **{s: model("I3D", s) for s in layout.get("streams", ("rgb", "flow"))} | settings
        )


def test_too_small_and_too_short():
    layout = Layout(window="all", streams=("rgb",), crop=32, resize="stored")
    with pytest.raises(VideoError, match="crops are 32 x 24 pixels, and I3D takes 32 or more; resize=least:32"):
        extractor(layout)(moving(9, 24, 40))
    with pytest.raises(VideoError, match="it has 2 rgb frames, and I3D takes 9 or more; tail=repeat"):
        extractor(layout)(moving(2))
    filled = extractor(dataclasses.replace(layout, tail="pad"))(moving(2))
    assert filled.arrays["rgb"].shape == (1, 5, 32)
    with pytest.raises(VideoError, match="flow needs at least 2 frames, and it has 1"):
        extractor(Layout(window=9, **SMALL))(moving(1))


def test_features_that_are_not_finite():
    net = tiny.i3d(classes=2, depth_multiplier=WIDTH, input_shape=(None, None, None, 3))
    offset = next(w for w in net.weights if w.name == "beta")
    offset.assign(np.full(offset.shape, 3e38))
    with pytest.raises(VideoError, match=r"features must be finite, and \d+ values are not"):
        Extractor(Layout(window=9, streams=("rgb",), **SMALL), rgb=net)(moving(18))


@pytest.mark.parametrize(
    ("network", "stream", "given", "wanted"),
    [
        (None, "rgb", None, "kinetics"),
        (None, "flow", "runs/flow", "runs/flow"),
        ("I3D", "flow", None, "kinetics"),
        ("I3D", "rgb", "kinetics-scratch", "kinetics-scratch"),
        ("S3D", "rgb", None, "S3D:kinetics"),
        ("S3D", "rgb", "kinetics", "S3D:kinetics"),
        ("I3DResNet50", "rgb", None, "I3DResNet50:kinetics"),
        ("I3DResNet50-nonlocal-nl5", "rgb", None, "I3DResNet50-nonlocal-nl5:kinetics"),
        ("C3D", "rgb", None, "C3D:ucf101"),
    ],
)
def test_whose_weights(network, stream, given, wanted):
    assert video_extractor._weights(network, stream, given) == wanted


def test_networks_without_weights():
    for network, stream in (("S3D", "flow"), ("FusedTwoStream", "both"), (None, "both")):
        with pytest.raises(ValueError, match=f"published for {stream}. Pass {stream}= with weights of your own"):
            video_extractor._weights(network, stream, None)


@pytest.mark.slow
@pytest.mark.parametrize("name", SHORT)
def test_every_network_goes_through_in_parts(name):
    """Its last rows and its first ones, which are finer; or, where a row sees all, in one pass alone."""
    row = SHORT[name]
    net, stream = family_model(name), next(iter(row.clips))
    least = chunks.least_frames(row)
    film = moving(least + 3 * row.step + 2, row.min_size + 8, row.min_size + 12)
    for endpoint in (None, row.endpoints[0]):
        layout = Layout(
            window="all", stride=1, streams=(stream,), endpoint=endpoint, crop=row.min_size, resize="stored", fps=25,
        )  # fmt: skip
        whole = Extractor(layout, **{stream: net}, chunk_frames=4 * least)(film)
        frames = whole.frames - (stream != "rgb")
        if endpoint is None:
            assert whole.arrays[stream].shape[1] == row.steps(frames)
        if row.halo is None:
            with pytest.raises(VideoError, match="as a whole"):
                Extractor(layout, **{stream: net}, chunk_frames=least)(film)
            continue
        parts = Extractor(layout, **{stream: net}, chunk_frames=least + 1)(film)
        close(parts.arrays[stream], whole.arrays[stream])
