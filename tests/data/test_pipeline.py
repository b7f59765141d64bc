"""Records to batches: which frames, which window, in which order; and what damage does."""

import dataclasses
import importlib.util
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from made import ROOT
from made.numbered import (
    LENGTHS,
    SPEC,
    WIDTH,
    build,
    encode,
    field,
    frame,
    which_fields,
    which_frames,
    write,
)

from keras_i3d.data import augment, dropped, find, load
from keras_i3d.data.clips import KINDS
from keras_i3d.records import manifest, sequence_example

NONE = dict.fromkeys(KINDS.values(), 0)  # dropped


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return build(tmp_path_factory.mktemp("data") / "train")


@pytest.fixture
def copy(folder, tmp_path):
    """A copy of the folder to damage."""
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path


def shard(folder, number):
    return folder / manifest.shard_name("train", number, 4)


def where(x):
    """(left, top) of rgb, in pixels: the lowest green and blue."""
    low = (np.asarray(x).min((0, 1, 2)) + 1) * 127.5
    return (low[1] - 20) / 4, (low[2] - 20) / 5


def ids(dataset):
    return [id.decode() for batch in dataset for id in batch[-1].numpy()]


def by_id(dataset):
    return {id: x for x, _, (id,) in dataset.as_numpy_iterator()}


ORDER = ["v0", "v4", "v1", "v5", "v2", "v6", "v3", "v7"]


def test_centred_clips_in_the_order_of_the_files(folder):
    dataset = load(str(folder), "both", clip_frames=6, size=32, batch_size=4, with_ids=True)
    assert dataset.cardinality() == 2
    batches = list(dataset)
    assert ids(batches) == ORDER
    x, y, _ = batches[0]
    assert x["rgb"].shape == (4, 6, 32, 32, 3)
    assert x["flow"].shape == (4, 6, 32, 32, 2)
    assert (x["rgb"].dtype, x["flow"].dtype, y.dtype) == (tf.float32, tf.float32, tf.int64)
    assert y.numpy().tolist() == [0, 1, 1, 2]
    starts = [(LENGTHS[int(id[1:])] - 1 - 6) // 2 for id in ORDER[:4]]
    assert which_frames(x["rgb"]) == [[s + i for i in range(6)] for s in starts]
    assert which_fields(x["flow"])[0] == which_frames(x["rgb"])
    assert where(x["rgb"][0]) == pytest.approx((12, 4), abs=0.6)
    whole = frame(starts[0])[4:36, 12:44] / 127.5 - 1
    np.testing.assert_allclose(x["rgb"][0, 0], whole, atol=0.04)
    np.testing.assert_allclose(x["flow"][0, 0], field(starts[0])[4:36, 12:44] / 20, atol=0.012)


def test_too_short_starts_over_in_aligned_pairs(folder):
    x = by_id(load(str(folder), "both", clip_frames=6, size=32, with_ids=True))[b"v2"]
    assert which_frames(x["rgb"]) == [[0, 1, 2, 3, 0, 1]]
    assert which_fields(x["flow"])[0] == [[0, 1, 2, 3, 0, 1]]
    x = by_id(load(str(folder), "rgb", clip_frames=6, size=32, with_ids=True))[b"v2"]
    assert which_frames(x) == [[0, 1, 2, 3, 4, 0]]


def test_whole_videos(folder):
    lengths = [len(which_frames(x)[0]) for x, _ in load(str(folder), clip_frames=None, size=32)]
    assert lengths == [max(LENGTHS[int(id[1:])], 9) for id in ORDER]
    x, _ = next(iter(load(str(folder), "both", clip_frames=None, size=32, frame_stride=1)))
    assert which_frames(x["rgb"]) == [list(range(11))]
    assert which_fields(x["flow"])[0] == [list(range(11))]
    with pytest.raises(ValueError, match="clip_frames=None needs batch_size=1"):
        load(str(folder), clip_frames=None, batch_size=2)


def test_frame_stride(folder):
    x, _ = next(iter(load(str(folder), "both", clip_frames=4, frame_stride=3, size=32)))
    assert which_frames(x["rgb"]) == [[0, 3, 6, 9]]
    assert which_fields(x["flow"])[0] == [[0, 3, 6, 9]]


def test_views(folder):
    clips = load(str(folder), "both", clip_frames=4, size=40, views=(3, 3), with_ids=True)
    assert len(clips) == 3 * len(ORDER)
    assert ids(clips) == [id for id in ORDER for _ in range(3)]
    for start, (x, _, _) in zip((0, 4, 7), clips):
        assert x["rgb"].shape == (1, 3, 4, 40, 40, 3)
        assert which_frames(x["rgb"][0]) == [[start + i for i in range(4)]] * 3
        assert which_fields(x["flow"][0])[0] == [[start + i for i in range(4)]] * 3
        assert [where(v)[0] for v in x["rgb"][0]] == pytest.approx([0, 8, 16], abs=0.6)
    x, _ = next(iter(load(str(folder), "both", clip_frames=2, size=24, views=(1, 10))))
    rgb, flow = x["rgb"][0], x["flow"][0]
    places = [where(v) for v in rgb[:5]]
    assert np.allclose(places, [(0, 0), (32, 0), (0, 16), (32, 16), (16, 8)], atol=0.8)
    np.testing.assert_array_equal(rgb[5:], rgb[:5, :, :, ::-1])
    np.testing.assert_array_equal(flow[5:], flow[:5, :, :, ::-1] * np.float32([-1, 1]))


def test_training_draws_once_for_both_streams(folder):
    """Whichever start, window and flip a video gets, it is the same for rgb and flow."""
    starts, places, flips = set(), set(), set()
    dataset = load(str(folder), "both", 6, training=True, batch_size=4, size=32, seed=3, repeat=True)
    for x, _ in dataset.take(5):
        frames = which_frames(x["rgb"])
        numbers, mirrored = which_fields(x["flow"])
        assert frames == numbers
        for rgb, flow, flipped in zip(x["rgb"].numpy(), x["flow"].numpy(), mirrored):
            green = rgb[0].mean(0)[:, 1]
            assert (green[-1] < green[0]) == flipped[0]
            assert len(set(flipped)) == 1
            left, top = where(rgb)
            left_by_flow = flow[..., 1].min() * 20 * 2 + WIDTH / 2
            assert left == pytest.approx(left_by_flow, abs=0.8)
            places.add((round(left), round(top)))
            flips.add(flipped[0])
        starts |= {f[0] for f in frames}
    assert flips == {True, False}
    assert starts > {0, 1, 2}
    assert len({left for left, _ in places}) > 8
    assert len({top for _, top in places}) > 4


def examples(dataset):
    """Yields (rgb, flow, id) of each example of both streams."""
    for x, _, id in dataset.as_numpy_iterator():
        yield from zip(x["rgb"], x["flow"], id)


def equal(a, b):
    a, b = tf.nest.flatten(list(a)), tf.nest.flatten(list(b))
    assert len(a) == len(b) > 0
    return all(np.array_equal(x, y) for x, y in zip(a, b))


SMALL = {"clip_frames": 3, "size": 24, "training": True, "batch_size": 3, "with_ids": True}


def test_a_seed_fixes_order_and_draws(folder):
    one = list(load(str(folder), "both", seed=5, short_sides=(24, 40), color_jitter=0.3, **SMALL))
    tf.random.set_seed(0)  # has no part in it
    other = list(load(str(folder), "both", seed=5, short_sides=(24, 40), color_jitter=0.3, **SMALL))
    assert equal(one, other)
    assert sorted(ids(one)) == sorted(ORDER)
    assert ids(one) != ORDER
    assert not equal(one, load(str(folder), "both", seed=6, short_sides=(24, 40), color_jitter=0.3, **SMALL))


def test_each_iteration_is_the_next_epoch(folder):
    endless = load(str(folder), seed=5, repeat=True, **(SMALL | {"batch_size": 4})).take(4)
    dataset = load(str(folder), seed=5, **(SMALL | {"batch_size": 4}))
    epochs = [list(dataset), list(dataset)]
    assert equal(epochs[0] + epochs[1], endless)
    assert ids(epochs[0]) != ids(epochs[1])
    assert not equal(*epochs)


@pytest.mark.parametrize("start", [*(pytest.param(start, marks=pytest.mark.slow) for start in (1, 3)), 7])
def test_start_batch(start, folder):
    """8 examples in batches of 3: batches run over the ends of the epochs. 7 are two epochs, and a part of one."""
    settings = SMALL | {"seed": 5, "repeat": True, "shuffle_buffer": 3}
    whole = list(load(str(folder), **settings).take(9))
    assert equal(whole[start:], load(str(folder), start_batch=start, **settings).take(9 - start))


def test_start_batch_by_epochs_of_their_own_and_in_order(folder):
    dataset = load(str(folder), seed=5, **SMALL)
    whole = [*dataset, *dataset]
    assert [len(batch[1]) for batch in whole] == [3, 3, 2] * 2
    dataset = load(str(folder), seed=5, start_batch=4, **SMALL)
    assert equal([*dataset], whole[4:])
    in_order = SMALL | {"training": False}
    assert equal([*load(str(folder), start_batch=2, **in_order)], [*load(str(folder), **in_order)][2:])


def test_start_batch_decodes_nothing_before_it(copy):
    """What is skipped may be undecodable: fields of a foreign file, which has no fingerprints, that are no JPEGs."""
    content = tf.train.SequenceExample.FromString(encode(5, id="v"))
    foreign = mediapipe(content)
    broken = tf.train.SequenceExample.FromString(foreign)
    for feature in broken.feature_lists.feature_list["image/encoded"].feature:
        feature.bytes_list.value[0] = feature.bytes_list.value[0][:100]
    write(copy / "x.tfrecord", [broken.SerializeToString(), foreign])
    settings = {"clip_frames": 3, "size": 24, "batch_size": 1}
    assert len(list(load([copy / "x.tfrecord"], start_batch=1, **settings))) == 1
    with pytest.raises(tf.errors.InvalidArgumentError, match="x.tfrecord: v: undecodable"):
        list(load([copy / "x.tfrecord"], **settings))
    dataset = load([copy / "x.tfrecord"], errors="count", **settings)
    assert len(list(dataset)) == 1
    assert dropped(dataset) == NONE | {"undecodable": 1}


def mediapipe(example):
    """The record as MediaPipe writes it: no keys of ours, no fingerprints, truncated levels in a colour JPEG."""
    made = tf.train.SequenceExample()
    for key in ("example/id", "clip/label/index"):
        made.context.feature[key].CopyFrom(example.context.feature[key])
    for key in ("image/encoded", "FORWARD_FLOW/image/encoded"):
        made.feature_lists.feature_list[key].CopyFrom(example.feature_lists.feature_list[key])
    for i, feature in enumerate(made.feature_lists.feature_list["FORWARD_FLOW/image/encoded"].feature):
        levels = (np.clip((field(i) + 20) / 40, 0, 1) * 255).astype("uint8")
        image = tf.io.encode_jpeg(np.concatenate([levels, 0 * levels[..., :1]], -1), quality=100).numpy()
        feature.bytes_list.value[0] = image
    return made.SerializeToString()


def test_records_by_mediapipe(tmp_path):
    path = tmp_path / "kinetics_700_train_25fps_rgb_flow-00000-of-00001"
    write(path, [mediapipe(tf.train.SequenceExample.FromString(encode(8, id="v", label="run", index=0)))])
    patterns = (str(tmp_path), f"{tmp_path}/kinetics*", [path])
    assert [list(map(str, find(pattern).files)) for pattern in patterns] == [[str(path)]] * 3
    pattern = patterns[-1]
    x, y = next(iter(load(pattern, "both", clip_frames=7, size=40, training=False)))
    assert y.numpy().tolist() == [0]
    assert which_frames(x["rgb"]) == which_fields(x["flow"])[0] == [list(range(7))]
    expected = np.stack([field(i) for i in range(7)])[:, :, 8:48]
    assert abs(x["flow"][0] * 20 - expected).numpy().mean() < 0.25
    rounded, _ = next(iter(load(pattern, "flow", clip_frames=7, size=40, flow_scheme="rounded")))
    np.testing.assert_allclose(rounded * 20 + 20 / 255, x["flow"] * 20, atol=1e-3)
    assert find(pattern).records is None


def test_small_records_are_scaled_up(folder):
    x, _ = next(iter(load(str(folder), "both", clip_frames=2, size=80)))
    assert x["rgb"].shape == (1, 2, 80, 80, 3)
    assert where(x["rgb"][0])[0] == pytest.approx(8, abs=0.8)
    dx = x["flow"][0, :, :, :, 0].numpy().mean((1, 2)) * 20
    assert dx == pytest.approx([10, 12], abs=0.1)  # fields 4 and 5: 5 and 6 pixels, twice the size


def test_short_side_jitter(folder):
    """A frame of short side 40 seen as if it had 80: half the window, twice the motion."""
    settings = SMALL | {"size": 24, "with_ids": False}
    for x, _ in load(str(folder), "both", seed=1, short_sides=(80, 80), **settings):
        for rgb, flow in zip(x["rgb"].numpy(), x["flow"].numpy()):
            green = (rgb[0].mean(0)[:, 1] + 1) * 127.5
            assert abs(green[20] - green[4]) / 16 == pytest.approx(2, abs=0.12)  # 4 a pixel of the record
            dx = abs(flow[..., 0].mean((1, 2))) * 20
            assert dx == pytest.approx([min(2 * (n + 1), 20) for n in which_frames(rgb)], abs=0.2)
    with pytest.raises(ValueError, match=r"short_sides must be \(low, high\) with size <= low"):
        load(str(folder), short_sides=(20, 40), **settings)


def test_classes(folder):
    by_name = load(str(folder), clip_frames=2, size=24, classes=["swim", "run"], with_ids=True)
    by_index = load(str(folder), clip_frames=2, size=24, classes=[2, 0], with_ids=True)
    assert equal(by_name, by_index)
    found = {id: y for _, (y,), (id,) in by_name.as_numpy_iterator()}
    assert found == {b"v0": 1, b"v3": 1, b"v6": 1, b"v2": 0, b"v5": 0}
    with pytest.raises(ValueError, match=r"among the 3 of the records. Received: \['fly'\]"):
        load(str(folder), classes=["fly"])
    settings = SMALL | {"classes": [0, 2], "seed": 5, "repeat": True}
    assert equal(load(str(folder), start_batch=2, **settings).take(2), [*load(str(folder), **settings).take(4)][2:])


def test_cache(copy, tmp_path):
    settings = SMALL | {"seed": 5, "repeat": True, "batch_size": 8}
    dataset = load(str(copy), cache=True, **settings)
    iterator = iter(dataset)
    first = next(iterator)
    with_file = iter(load(str(copy), cache=str(tmp_path / "cached"), **settings))
    assert equal([first], [next(with_file)])
    for path in copy.glob("*.tfrecord"):
        path.unlink()
    second = next(iterator)
    assert sorted(ids([first])) == sorted(ids([second])) == sorted(ORDER)
    assert ids([first]) != ids([second])
    assert equal([second], [next(with_file)])


def test_shards_are_disjoint_and_complete(folder):
    parts = [ids(load(str(folder), seed=5, shard=(i, 3), **SMALL)) for i in range(3)]
    assert sorted(sum(parts, [])) == sorted(ORDER)
    with pytest.raises(ValueError, match="Received: 4 files"):
        load(str(folder), shard=(0, 5))


def share(folder, count, settings, whole):
    """Asserts that the batches of `count` workers are those of one process, `whole`, put together in turn."""
    settings = settings | {"batch_size": settings["batch_size"] // count}
    for i in range(count):
        dataset = load(str(folder), worker=(i, count), **settings)
        part = list(dataset.take(len(whole) + 1 - settings.get("repeat", False)))
        assert dataset.cardinality() in (len(part), tf.data.INFINITE_CARDINALITY, tf.data.UNKNOWN_CARDINALITY)
        assert equal(part, [(x[i::count], y[i::count], id[i::count]) for x, y, id in whole if len(y) > i])


def test_workers_share_each_batch(folder):
    """8 examples in batches of 6: over the ends of epochs, from the middle on, and epochs of their own."""
    settings = SMALL | {"batch_size": 6, "seed": 5, "shuffle_buffer": 3}
    whole = list(load(str(folder), repeat=True, **settings).take(5))
    assert len({tuple(ids([batch])) for batch in whole}) == 5
    share(folder, 2, settings | {"repeat": True, "start_batch": 2}, whole[2:])  # the first of them lies in two epochs
    whole = list(load(str(folder), **settings))
    assert [len(batch[1]) for batch in whole] == [6, 2]
    share(folder, 3, settings, whole)


def test_workers_share_the_records_of_an_evaluation(folder):
    settings = SMALL | {"batch_size": 4, "training": False, "classes": [0, 1]}  # 6 of 8
    whole = list(load(str(folder), **settings))
    assert [len(batch[1]) for batch in whole] == [4, 2]
    share(folder, 2, settings, whole)
    share(folder, 2, settings | {"drop_remainder": True}, whole[:1])


def test_8_bit_clips_are_the_floats_that_they_stand_for(copy):
    """Where a manifest says that no frame is too small, clips become floats after the batch only."""
    settings = SMALL | {"seed": 5, "batch_size": 8, "with_ids": False}
    described = list(load(str(copy), "both", **settings))
    (copy / "train.json").unlink()
    for a, b in zip(
        tf.nest.flatten(described), tf.nest.flatten(list(load(str(copy), "both", **settings))), strict=True
    ):
        np.testing.assert_allclose(a, b, rtol=0, atol=3e-7)


def test_frames_smaller_than_the_manifest_says(copy):
    content = manifest.read(str(copy / "train.json"))
    dataclasses.replace(content, spec=dataclasses.replace(SPEC, short_side=60)).write(str(copy))
    with pytest.raises(tf.errors.InvalidArgumentError, match="v0: undecodable: .* or are smaller than the manifest"):
        list(load(str(copy), clip_frames=2, size=60))


def test_without_flips(folder):
    """Same start, same window, nothing mirrored."""
    settings = SMALL | {"seed": 5, "batch_size": 8}
    ((x, _, _),) = load(str(folder), "both", **settings)
    ((same, _, _),) = load(str(folder), "both", flip=False, **settings)
    mirrored = np.array(which_fields(x["flow"])[1])[:, 0]
    assert mirrored.any()
    assert not np.array(which_fields(same["flow"])[1]).any()
    for stream, signs in (("rgb", [1, 1, 1]), ("flow", [-1, 1])):
        undone = np.where(mirrored[:, None, None, None, None], x[stream][..., ::-1, :] * np.float32(signs), x[stream])
        np.testing.assert_array_equal(undone, same[stream])


@pytest.mark.slow
def test_under_a_strategy(folder):
    """Two replicas: each batch is split among them; and `fit` takes what load gives."""
    code = f"""
import keras, tensorflow as tf
from keras_i3d.data import load
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
settings = dict(clip_frames=3, size=24, training=True, batch_size=4, seed=5)
with strategy.scope():
    dataset = load({str(folder)!r}, with_ids=True, errors="count", **settings)
    model = keras.Sequential([keras.layers.GlobalAveragePooling3D(), keras.layers.Dense(3)])
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
for epoch in range(2):
    for batch in strategy.experimental_distribute_dataset(dataset):
        print(*(",".join(id.decode() for id in part.numpy()) for part in strategy.experimental_local_results(batch[2])))
model.fit(load({str(folder)!r}, **settings), epochs=2, verbose=0)
print(model.optimizer.iterations.numpy())
"""
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    assert result.returncode == 0, result.stderr
    *lines, steps = result.stdout.split()
    assert steps == "4"
    assert [len(part.split(",")) for part in lines] == [2] * 8
    for epoch in (lines[:4], lines[4:]):
        assert sorted(",".join(epoch).split(",")) == sorted(ORDER)


@pytest.fixture
def service():
    """The address of a dispatcher; its workers end with each test, because they work ahead until then."""
    from tensorflow.data.experimental import service

    dispatcher = service.DispatchServer()
    address = dispatcher.target.split("://")[1]
    workers = [service.WorkerServer(service.WorkerConfig(dispatcher_address=address)) for _ in range(2)]
    yield dispatcher.target
    del workers


def test_service(folder, service):
    settings = SMALL | {"training": False, "batch_size": 1}
    assert sorted(ids(load(str(folder), "both", service=service, **settings))) == sorted(ORDER)
    training = load(str(folder), "both", seed=1, repeat=True, service=service, **(SMALL | {"batch_size": 8}))
    batches = list(training.take(4))
    assert all(sorted(ids([batch])) == sorted(ORDER) for batch in batches)  # an epoch is one worker's
    assert len({tuple(ids([batch])) for batch in batches}) == 4
    with pytest.raises(ValueError, match="needs repeat=True"):
        load(str(folder), service=service, **SMALL)


def test_service_counts(copy, service):
    flip_byte(shard(copy, 1), 0.4)
    dataset = load(str(copy), clip_frames=3, size=24, with_ids=True, service=service, errors="count")
    assert sorted(ids(dataset)) == sorted(set(ORDER) - {"v1", "v5"})
    assert dropped(dataset)["lost"] == 2


def flip_byte(path, part):
    content = bytearray(path.read_bytes())
    content[int(len(content) * part)] ^= 1
    path.write_bytes(content)


def test_a_damaged_file(copy, capfd):
    """The second of two records: the manifest tells what is gone."""
    flip_byte(shard(copy, 1), 0.9)
    with pytest.raises(tf.errors.InvalidArgumentError, match="train-00001-of-00004.tfrecord: v5: lost"):
        list(load(str(copy), clip_frames=3, size=24))
    dataset = load(str(copy), clip_frames=3, size=24, with_ids=True, errors="count")
    assert ids(dataset) == [id for id in ORDER if id != "v5"]
    assert dropped(dataset) == NONE | {"lost": 1}
    assert "train-00001-of-00004.tfrecord: v5: lost" in capfd.readouterr().err
    flip_byte(shard(copy, 2), 0.01)
    assert len(list(dataset)) == 5
    assert dropped(dataset)["lost"] == 3  # v5 was counted before
    with pytest.raises(ValueError, match='load\\(errors="count"\\)'):
        dropped(dataset.take(1))


def test_a_damaged_frame_in_a_sound_file(copy):
    """A flipped bit in a JPEG decodes silently; the fingerprint tells, where the frame is used."""
    example = tf.train.SequenceExample.FromString(encode(10, id="v4", label="jump", index=1))
    feature = example.feature_lists.feature_list["FORWARD_FLOW/image/encoded"].feature[4]
    image = bytearray(feature.bytes_list.value[0])
    image[-20] ^= 4
    feature.bytes_list.value[0] = bytes(image)
    write(shard(copy, 0), [encode(12, id="v0", label="run", index=0), example.SerializeToString()])
    settings = {"clip_frames": 3, "size": 24, "with_ids": True}
    with pytest.raises(tf.errors.InvalidArgumentError, match="00000-of-00004.tfrecord: v4: damaged"):
        list(load(str(copy), "flow", **settings))
    for stream in ("flow", "both"):
        dataset = load(str(copy), stream, errors="count", **settings)
        assert ids(dataset) == [id for id in ORDER if id != "v4"]
        assert dropped(dataset)["damaged"] == 1
    assert ids(load(str(copy), "rgb", **settings)) == ORDER


def test_a_record_with_fewer_fingerprints_than_frames_is_damaged(copy):
    example = tf.train.SequenceExample.FromString(encode(10, id="v4", label="jump", index=1))
    (key,) = [k for k in example.feature_lists.feature_list if "fingerprint" in k and not k.startswith("FORWARD_FLOW")]
    del example.feature_lists.feature_list[key].feature[1:]
    write(shard(copy, 0), [encode(12, id="v0", label="run", index=0), example.SerializeToString()])
    with pytest.raises(tf.errors.InvalidArgumentError, match="00000-of-00004.tfrecord: v4: damaged"):
        list(load(str(copy), clip_frames=3, size=24))
    dataset = load(str(copy), clip_frames=3, size=24, with_ids=True, errors="count")
    assert ids(dataset) == [id for id in ORDER if id != "v4"]
    assert dropped(dataset)["damaged"] == 1


def test_a_foreign_file_that_is_cut(copy):
    path = copy / "other.tfrecord"
    content = shard(copy, 0).read_bytes()
    path.write_bytes(content[: len(content) - 30])
    with pytest.raises(tf.errors.InvalidArgumentError, match="other.tfrecord: record 1: cut"):
        list(load([path], clip_frames=3, size=24))
    dataset = load([path], clip_frames=3, size=24, errors="count")
    assert len(list(dataset)) == 1
    assert dropped(dataset) == NONE | {"cut": 1}
    path.write_bytes(content)
    assert len(list(load([path], clip_frames=3, size=24))) == 2


def test_a_file_that_is_gone_ends_in_an_error(copy):
    dataset = load(str(copy), clip_frames=3, size=24)
    shard(copy, 2).unlink()
    with pytest.raises(tf.errors.NotFoundError, match="train-00002-of-00004.tfrecord"):
        list(dataset)
    with pytest.raises(FileNotFoundError, match="1 of 4 files .* are not there, first .*train-00002"):
        load(str(copy))


def test_a_record_that_the_manifest_does_not_name(copy):
    write(shard(copy, 0), [encode(5, id="w", label="run", index=0)] * 2)
    with pytest.raises(tf.errors.InvalidArgumentError, match="w: the manifest has v0"):
        list(load(str(copy), clip_frames=3, size=24))


def test_without_flow_or_label(tmp_path):
    spec = dataclasses.replace(SPEC, flow_method=None)
    folder = build(tmp_path / "a", 1, spec, lengths=(3, 3))
    assert len(list(load(str(folder), clip_frames=2, size=24))) == 2
    with pytest.raises(ValueError, match="hold no flow"):
        load(str(folder), "both")
    path = tmp_path / "foreign.tfrecord"
    write(path, [encode(3, spec, id="v")])
    assert [y.numpy().tolist() for _, y in load([path], clip_frames=2, size=24)] == [[-1]]
    with pytest.raises(tf.errors.InvalidArgumentError, match="foreign.tfrecord: v: a record without flow"):
        list(load([path], "both", clip_frames=2, size=24))
    with pytest.raises(tf.errors.InvalidArgumentError, match="foreign.tfrecord: v: a record without a label"):
        list(load([path], clip_frames=2, size=24, training=True))


def test_what_a_pattern_finds(folder, copy):
    names = [manifest.shard_name("train", i, 4) for i in range(4)]
    for pattern in (folder, str(folder), f"{folder}/train-*", [folder / name for name in names]):
        source = find(pattern)
        assert source.files == tuple(str(folder / name) for name in names)
        assert source.records == 8
        assert (source.spec, source.labels) == (SPEC, ("run", "jump", "swim"))
    assert find(source) is source
    (copy / "train-00003-of-00004.tfrecord.abc.part").write_bytes(b"x")
    assert len(find(copy).files) == len(find(f"{copy}/train-*").files) == 4
    (copy / "train.json").rename(copy / "kept.json")
    assert find(copy).records is None
    shard(copy, 1).unlink()
    with pytest.raises(FileNotFoundError, match="holds 3 of 4 files of train and no manifest"):
        find(copy)
    build(copy, 1, split="test", lengths=(2,))
    with pytest.raises(ValueError, match=r"one split is needed. Received: .* holds test, train. Choose .*test-\*"):
        find(copy)


def test_nothing_found_and_what_disagrees(folder, tmp_path):
    for pattern in (tmp_path, f"{tmp_path}/none-*", []):
        with pytest.raises(FileNotFoundError, match="No files of records"):
            find(pattern)
    other = build(tmp_path / "b", 1, dataclasses.replace(SPEC, fps=10), lengths=(2,))
    with pytest.raises(ValueError, match="must agree. Received: fps: 25 and 10"):
        find([shard(folder, 0), other / "train-00000-of-00001.tfrecord"])
    third = build(tmp_path / "c", 1, lengths=(2,), labels=("run", "skip", "swim"))
    with pytest.raises(ValueError, match="'jump' and 'skip' at index 1"):
        find([shard(folder, 0), third / "train-00000-of-00001.tfrecord"])
    (third / "train-00000-of-00002.tfrecord").write_bytes(b"")
    with pytest.raises(ValueError, match="not one of the files that its manifest train.json names"):
        find([third / "train-00000-of-00002.tfrecord"])


@pytest.mark.parametrize("pattern", ["s3://bucket/train-*", ["az://a/b/train-00000-of-00001"]])
def test_other_file_systems_say_what_they_need(pattern):
    if tf.__version__.startswith("2.16."):
        pytest.skip("tensorflow-io works with this TensorFlow")
    with pytest.raises(ImportError, match=r"TensorFlow 2.16.* Run: pip install 'keras-i3d\[io\]'"):
        find(pattern)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"stream": "depth"}, "stream must be one of 'rgb', 'flow', 'both'"),
        ({"clip_frames": 0}, "clip_frames must be at least 1"),
        ({"batch_size": 0}, "batch_size must be at least 1"),
        ({"views": (2, 5)}, r"views must be \(clips, crops\) with crops one of 1, 3, 10"),
        ({"views": (2, 3), "training": True}, "views is for evaluation"),
        ({"color_jitter": 0.4}, "color_jitter is for training=True"),
        ({"color_jitter": 0.4, "training": True, "stream": "flow"}, "color_jitter is for rgb"),
        ({"errors": "ignore"}, 'errors must be "raise" or "count"'),
        ({"classes": []}, "classes must be names, or indices, each once"),
        ({"flow_scheme": "other"}, "flow_scheme must be None or one of"),
        ({"clip_frames": None, "training": True}, "Training takes clips of one length"),
        ({"service": "grpc://x", "cache": True}, "use one of them"),
        ({"randaugment": (2, 9), "training": True, "seed": 3}, "leave seed=None. Received: seed=3"),
        ({"shard": (2, 2)}, "0 <= index < count"),
        ({"worker": (2, 2)}, r"worker must be \(index, count\) with 0 <= index < count"),
        ({"worker": (1, 2), "shard": (0, 2)}, "worker shares out examples, shard files, service epochs: use one"),
        ({"worker": (1, 2), "training": True}, "Workers that share batches need one seed"),
    ],
)
def test_bad_settings(folder, settings, message):
    with pytest.raises(ValueError, match=message):
        load(str(folder), **settings)


def test_randaugment_says_what_it_needs(folder):
    if importlib.util.find_spec("official"):
        pytest.skip("tf-models-official is installed")
    with pytest.raises(ImportError, match=r"pip install 'keras-i3d\[official\]'"):
        load(str(folder), training=True, randaugment=(2, 9))


@pytest.mark.compat
def test_randaugment(folder):
    """Flow stays as it was; rgb does not, and all its frames change alike."""
    pytest.importorskip("official", reason="needs the extra official: make test-compat")
    settings = SMALL | {"batch_size": 8, "clip_frames": 4, "shuffle_buffer": 1}
    keras.utils.set_random_seed(5)  # starts, windows and flips, for which `load` draws a seed
    plain = {id: (rgb, flow) for rgb, flow, id in examples(load(str(folder), "both", **settings))}
    changed = 0
    keras.utils.set_random_seed(5)
    for rgb, flow, id in examples(load(str(folder), "both", randaugment=(2, 9), **settings)):
        np.testing.assert_array_equal(flow, plain[id][1])
        assert rgb.min() >= -1
        assert rgb.max() <= 1
        changed += not np.array_equal(rgb, plain[id][0])
    assert changed > 2
    still = [sequence_example.encode_rgb(frame(3))] * 4
    distort = augment.rand_augment(2, 9)
    clip = tf.stack([sequence_example.decode_rgb(image) for image in still])
    for _ in range(8):
        result = distort(clip).numpy()
        assert (result == result[:1]).all()
