"""What a folder of records says of itself."""

import dataclasses
import json

import pytest

from keras_i3d.records import manifest
from keras_i3d.specs import RecordSpec

WHOLE = manifest.Manifest(
    split="train",
    labels=("run", "jump \u00e9"),
    spec=RecordSpec(fps=12.5, flow_method=None),
    shards=(manifest.Shard("train-00000-of-00002.tfrecord", ("a", "b"), 10), manifest.Shard("x", (), 0)),
    failed=({"id": "c", "path": "c.mp4", "reason": "broken"},),
)


def test_round_trip(tmp_path):
    path = WHOLE.write(tmp_path)
    assert path == str(tmp_path / "train.json")
    assert manifest.read(path) == WHOLE
    assert WHOLE.records == 2
    assert [p.name for p in tmp_path.iterdir()] == ["train.json"]
    assert manifest.of_shard(str(tmp_path / manifest.shard_name("train", 0, 2))) == WHOLE
    assert manifest.of_shard(str(tmp_path / "kinetics-00000-of-00002.tfrecord")) is None
    assert manifest.of_shard(str(tmp_path / "other.tfrecord")) is None


def test_the_name_of_a_shard():
    assert manifest.split_of(manifest.shard_name("a-00001-of-00002", 3, 4)) == "a-00001-of-00002"
    for name in ("train-00000-of-00002", "train-0-of-2.tfrecord", "-00000-of-00002.tfrecord", "train.tfrecord"):
        assert manifest.split_of(name) is None


@pytest.mark.parametrize("content", ["{", "[]", '{"format": 2}', json.dumps({"format": 1, "split": "a"})])
def test_not_a_manifest(tmp_path, content):
    (tmp_path / "train.json").write_text(content)
    with pytest.raises(ValueError, match="train.json is not a manifest"):
        manifest.read(tmp_path / "train.json")


def test_check_same_gives_both_values():
    manifest.check_same("The spec", WHOLE.spec, WHOLE.spec, "a", "b")
    other = dataclasses.replace(WHOLE.spec, fps=25, short_side=128)
    with pytest.raises(
        ValueError, match=r"The spec of a and b must agree. Received: fps: 12.5 and 25; short_side: 256 and 128"
    ):
        manifest.check_same("The spec", WHOLE.spec, other, "a", "b")
