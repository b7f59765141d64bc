"""What needs the extra `io`, s3:// on TensorFlow 2.16, or `official`, RandAugment on 2.20: each in its environment."""

import importlib.util
import json
import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import tensorflow as tf

pytestmark = pytest.mark.compat


def needed(package, extra):
    """Returns the module, or skips the test where the extra is not installed; the Makefile tries the imports."""
    return pytest.importorskip(package, reason=f"needs the extra {extra}: make test-compat", exc_type=ImportError)


def test_tensorflow_is_the_one_that_the_extra_is_tested_on():
    wanted = {"tensorflow_io": "2.16", "official": "2.20"}
    found = {name: release for name, release in wanted.items() if importlib.util.find_spec(name)}
    if not found:
        pytest.skip("needs the extra io or official: make test-compat")
    assert set(found.values()) == {tf.__version__.rpartition(".")[0]}


# Records from S3.


@pytest.fixture(scope="module")
def s3():
    """(client, environment of a reader): an S3 service on localhost."""
    needed("tensorflow_io", "io")
    boto3, moto = needed("boto3", "io"), needed("moto.server", "io")
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    address = "http://{}:{}".format(*server.get_host_and_port())
    keys = {"AWS_ACCESS_KEY_ID": "any", "AWS_SECRET_ACCESS_KEY": "any", "AWS_REGION": "us-east-1"}
    yield (
        boto3.client(
            "s3",
            endpoint_url=address,
            region_name=keys["AWS_REGION"],
            aws_access_key_id=keys["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=keys["AWS_SECRET_ACCESS_KEY"],
        ),
        # tensorflow-io reads S3_ENDPOINT, with its scheme; it knows no AWS_ENDPOINT_URL.
        {**os.environ, **keys, "S3_ENDPOINT": address, "AWS_EC2_METADATA_DISABLED": "true"},
    )
    server.stop()


def read(code, environment):
    """Runs code that sets `answer` in a process of its own, and returns the answer.

    A process that has read from s3:// with tensorflow-io 0.37.1 aborts when it ends, after all its work, as the
    plug-in's threads outlive what they use (tensorflow/io issue 2039). os._exit ends it before that.
    """
    script = "import hashlib, json, os, sys\nimport tensorflow as tf\nimport tensorflow_io\n"
    script += textwrap.dedent(code) + "\nprint('\\n' + json.dumps(answer), flush=True)\nos._exit(0)\n"
    run = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout.splitlines()[-1])


def test_records_from_s3(s3, tmp_path):
    import hashlib

    client, environment = s3
    client.create_bucket(Bucket="videos")
    rng = np.random.RandomState(0)
    expected = []
    for shard in range(2):
        path = tmp_path / f"train-{shard:05d}-of-00002.tfrecord"
        with tf.io.TFRecordWriter(str(path)) as writer:
            for _ in range(3):
                record = rng.bytes(300_000)  # several reads each
                expected.append(hashlib.sha256(record).hexdigest())
                writer.write(record)
        client.upload_file(str(path), "videos", f"kinetics/{path.name}")
    client.put_object(Bucket="videos", Key="kinetics/train.json", Body=b'{"shards": 2}')
    answer = read(
        """
        files = tf.io.gfile.glob("s3://videos/kinetics/train-*.tfrecord")
        records = tf.data.TFRecordDataset(sorted(files), num_parallel_reads=1)
        answer = {
            "files": files,
            "records": [hashlib.sha256(record.numpy()).hexdigest() for record in records],
            "manifest": tf.io.gfile.GFile("s3://videos/kinetics/train.json").read(),
            "missing": tf.io.gfile.exists("s3://videos/kinetics/test.json"),
        }
        """,
        environment,
    )
    assert answer["files"] == [f"s3://videos/kinetics/train-0000{shard}-of-00002.tfrecord" for shard in range(2)]
    assert answer["records"] == expected
    assert answer["manifest"] == '{"shards": 2}'
    assert not answer["missing"]


def test_more_files_on_s3_than_one_answer_lists(s3):
    client, environment = s3
    client.create_bucket(Bucket="many-shards")
    for shard in range(120):  # the plug-in asks for 100 at a time
        client.put_object(Bucket="many-shards", Key=f"x/{shard:03d}", Body=b"")
    answer = read("answer = tf.io.gfile.glob('s3://many-shards/x/*')", environment)
    assert answer == [f"s3://many-shards/x/{shard:03d}" for shard in range(120)]


# RandAugment of clips. It takes (T, H, W, 3) and draws once for the whole clip, but its Cutout removes a box in time
# too, from at most half of the frames: it is left out.


@pytest.fixture(scope="module")
def augment():
    return needed("official.vision.ops.augment", "official")


@pytest.fixture(scope="module")
def still():
    """uint8 (T, H, W, 3): six equal frames, so that one which was changed otherwise than the first shows."""
    frame = np.random.RandomState(0).randint(20, 200, (10, 12, 3)).astype("uint8")
    return np.repeat(np.kron(frame, np.ones((5, 5, 1), "uint8"))[None], 6, axis=0)  # (6, 50, 60, 3)


def results(augmenter, clip, count, threads=None):
    dataset = tf.data.Dataset.from_tensors(clip).repeat(count).map(augmenter.distort, num_parallel_calls=threads)
    return list(dataset.as_numpy_iterator())


def operations(augment):
    return augment.RandAugment(exclude_ops=["Cutout"]).available_ops


def alone(augment, operation, **settings):
    """RandAugment with one operation left, which it skips in half of its draws."""
    others = [name for name in augment.RandAugment().available_ops if name != operation]
    return augment.RandAugment(num_layers=1, exclude_ops=others, **settings)


def test_randaugment_draws_once_for_all_frames(augment, still):
    tf.random.set_seed(0)
    clips = results(augment.RandAugment(exclude_ops=["Cutout"]), still, 40, threads=tf.data.AUTOTUNE)
    for clip in clips:
        assert (clip.dtype, clip.shape) == (still.dtype, still.shape)
        np.testing.assert_array_equal(clip, clip[:1].repeat(6, axis=0))
    assert len({clip.tobytes() for clip in clips}) > 20  # each clip has a draw of its own
    frames = tf.map_fn(augment.RandAugment(exclude_ops=["Cutout"]).distort, still).numpy()
    assert (frames != frames[:1]).any()  # a draw for each frame would have shown


def test_every_operation_of_randaugment_treats_all_frames_alike(augment, still):
    for operation in operations(augment):
        tf.random.set_seed(0)
        clips = results(alone(augment, operation, translate_const=10.0), still, 12)
        for clip in clips:
            np.testing.assert_array_equal(clip, clip[:1].repeat(6, axis=0), err_msg=operation)
        assert any((clip != still).any() for clip in clips), operation


@pytest.mark.parametrize("operation", ["Rotate", "ShearX", "ShearY", "TranslateX", "TranslateY"])
def test_randaugment_moves_each_frame_as_it_would_alone(augment, still, operation):
    """Frames that differ are moved alike: a clip of a frame and its negative stays one, where neither is filled."""
    clip = np.stack([still[0], 255 - still[0], still[0]])
    tf.random.set_seed(0)
    for moved in results(alone(augment, operation, translate_const=10.0), clip, 12):
        first, negative, last = moved.astype(int)
        np.testing.assert_array_equal(first, last)
        filled = (first == 128) & (negative == 128)
        assert filled.mean() < 0.5
        assert ((first + negative == 255) | filled).all()


def test_cutout_of_a_clip_is_a_box_in_time(augment, still):
    """Why it is left out: the frames differ."""
    tf.random.set_seed(0)
    assert any((clip != clip[:1]).any() for clip in results(alone(augment, "Cutout"), still, 20))
