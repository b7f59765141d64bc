"""SequenceExamples: written once, parsed inside a graph."""

import numpy as np
import pytest
import tensorflow as tf

from keras_i3d import flow
from keras_i3d.records import sequence_example
from keras_i3d.specs import RecordSpec


def frames(count=6, height=48, width=64):
    """A texture that moves right by one pixel a frame."""
    scene = tf.image.resize(np.random.default_rng(0).uniform(0, 255, (8, 24, 1)), (height, 2 * width)).numpy()
    scene = scene * np.ones(3)
    return np.stack([scene[:, count - i : count - i + width] for i in range(count)]).astype("uint8")


def encoded(workers):
    facts = {"id": "a/b.mp4", "label": "run", "index": 3, "split": "train", "source": "x.mp4", "start": 1.5}
    return sequence_example.encode(iter(frames()), RecordSpec(short_side=48), workers=workers, **facts)


@pytest.fixture(scope="module")
def record():
    return encoded(workers=None)


def test_round_trip_inside_a_graph(record):
    parsed = tf.function(sequence_example.parse)(record)
    assert parsed["id"] == b"a/b.mp4"
    assert (parsed["label"], parsed["index"]) == (b"run", 3)
    assert parsed["fps"] == 25
    assert parsed["rgb"].shape == (6,)
    assert parsed["flow"].shape == (5,)
    assert (parsed["flow_method"], parsed["flow_bound"], parsed["flow_scheme"]) == (b"tvl1", 20, b"exact")
    clip = frames()
    assert parsed["rgb"].numpy().tolist() == [sequence_example.encode_rgb(frame) for frame in clip]
    fields = flow.tvl1(clip)
    assert parsed["flow"].numpy().tolist() == [sequence_example.encode_flow(field, RecordSpec()) for field in fields]
    for kind in ("rgb", "flow"):
        np.testing.assert_array_equal(sequence_example.fingerprints(parsed[kind]), parsed[f"{kind}_fingerprint"])
    decoded = sequence_example.decode_flow(parsed["flow"][2], parsed["flow_bound"], parsed["flow_scheme"])
    assert abs(np.median(decoded[10:-10, 10:-10, 0]) - 1) < 0.1
    assert abs(decoded.numpy() - fields[2]).mean() < 0.08
    assert abs(sequence_example.decode_rgb(parsed["rgb"][2]).numpy() - np.float32(clip[2])).mean() < 2


def test_the_same_video_gives_the_same_bytes(record):
    assert encoded(workers=1) == record


def test_keys_are_mediapipes(record):
    example = tf.train.SequenceExample.FromString(record)
    assert {k for k in example.context.feature if not k.startswith("keras_i3d/")} == {
        "example/id", "clip/media_id", "clip/alternative_media_id", "clip/data_path", "clip/label/string",
        "clip/label/index", "clip/start/timestamp",
        *(f"{p}image/{k}" for p in ("", "FORWARD_FLOW/") for k in ("format", "channels", "height", "width")),
        *(f"{p}image/frame_rate" for p in ("", "FORWARD_FLOW/")),
    }  # fmt: skip
    lists = example.feature_lists.feature_list
    assert [f.int64_list.value[0] for f in lists["FORWARD_FLOW/image/timestamp"].feature] == [
        0, 40_000, 80_000, 120_000, 160_000
    ]  # fmt: skip
    assert example.context.feature["clip/start/timestamp"].int64_list.value[0] == 1_500_000
    assert len(lists["image/timestamp"].feature) == 6


def test_flow_channels_do_not_mix():
    """A strong dx must not show in dy, and what is still must stay exactly still."""
    field = np.zeros((64, 64, 2), "float32")
    field[16:48, 16:48, 0] = 17
    decoded = sequence_example.decode_flow(sequence_example.encode_flow(field, RecordSpec()), 20.0, "exact").numpy()
    np.testing.assert_array_equal(decoded[..., 1], 0)
    assert abs(decoded[..., 0] - field[..., 0]).mean() < 0.08
    np.testing.assert_array_equal(
        sequence_example.decode_flow(sequence_example.encode_flow(0 * field, RecordSpec()), 20.0, "exact"), 0
    )


def test_window_is_what_the_whole_has_there(record):
    parsed = sequence_example.parse(record)
    whole = sequence_example.decode_flow(parsed["flow"][0], 20.0, "exact")
    part = sequence_example.decode_flow(parsed["flow"][0], 20.0, "exact", (5, 7, 32, 40))
    np.testing.assert_array_equal(whole[5:37, 7:47], part)


def test_a_record_by_mediapipe():
    """Made by hand as its graph makes it: truncated levels in a colour JPEG of quality 100, no keys of ours."""
    field = np.zeros((48, 64, 2), "float32")
    field[..., 0] = 5.0
    levels = (np.clip((field + 20) / 40, 0, 1) * 255).astype("uint8")
    image = tf.io.encode_jpeg(np.concatenate([levels, 0 * levels[..., :1]], -1), quality=100).numpy()

    def feature(value):
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))

    example = tf.train.SequenceExample()
    example.context.feature["example/id"].CopyFrom(feature(b"v_0"))
    example.context.feature["clip/label/index"].int64_list.value.append(7)
    for key, values in (
        ("image/encoded", [sequence_example.encode_rgb(frames()[0])] * 3),
        ("FORWARD_FLOW/image/encoded", [image] * 2),
    ):
        example.feature_lists.feature_list[key].feature.extend([feature(value) for value in values])
    parsed = sequence_example.parse(example.SerializeToString())
    assert (parsed["index"], parsed["label"], parsed["flow_scheme"]) == (7, b"", b"mediapipe")
    assert parsed["flow_fingerprint"].shape == (0,)
    decoded = sequence_example.decode_flow(parsed["flow"][1], parsed["flow_bound"], parsed["flow_scheme"]).numpy()
    assert abs(decoded.mean((0, 1)) - [5, 0]).max() < 0.16


def test_without_flow_and_label():
    parsed = sequence_example.parse(sequence_example.encode(frames(3), RecordSpec(flow_method=None), id="a"))
    assert parsed["flow"].shape == (0,)
    assert (parsed["index"], parsed["label"], parsed["flow_method"]) == (-1, b"", b"")


def test_what_cannot_be_a_record():
    with pytest.raises(ValueError, match="at least 2 frames"):
        sequence_example.encode(frames(1), RecordSpec(), id="a")
    with pytest.raises(ValueError, match="one size"):
        sequence_example.encode([], RecordSpec(flow_method=None), id="a")
    with pytest.raises(ValueError, match="flow_method must be None or one of"):
        RecordSpec(flow_method="raft")
    with pytest.raises(ValueError, match="quality must be in 1..100"):
        RecordSpec(quality=0)


def test_unknown_scheme_is_refused():
    image = sequence_example.encode_flow(np.zeros((16, 16, 2)), RecordSpec())
    with pytest.raises(tf.errors.InvalidArgumentError, match="Unknown keras_i3d/flow/scheme"):
        sequence_example.decode_flow(image, 20.0, tf.constant("other"))


def test_decode(record):
    decoded = sequence_example.decode(record)
    assert (decoded["id"], decoded["label"], decoded["index"]) == ("a/b.mp4", "run", 3)
    assert (decoded["rgb"].shape, decoded["rgb"].dtype) == ((6, 48, 64, 3), np.uint8)
    assert abs(decoded["flow"] - flow.tvl1(frames())).mean() < 0.08
    assert (
        sequence_example.decode(sequence_example.encode(frames(3), RecordSpec(flow_method=None), id="a"))["flow"]
        is None
    )
