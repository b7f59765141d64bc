"""The registry against the published index files, and what is asked of it by name."""

import json
import re

import numpy as np
import pytest
from made import synthetic

import keras_i3d
from keras_i3d import WeightsError
from keras_i3d.models import families
from keras_i3d.weights import registry, tensorflow_files


def test_entries_say_what_the_repository_says(shared):
    files = json.loads((shared / "facts/checkpoint_index.json").read_text())["_files"]
    assert {entry.name for entry in registry.CHECKPOINTS.values()} == set(files)
    for entry in registry.CHECKPOINTS.values():
        for remote in (entry.index, entry.file):
            fact = files[entry.name][remote.path.rpartition("/")[2]]
            assert (remote.path, remote.git_blob) == (fact["path"], fact["git_blob"])
            assert remote.bytes == fact["bytes"]
    others = json.loads((shared / "facts/checkpoint_index.json").read_text())["_other_files"]
    assert {e.file.path: e.file.git_blob for e in registry.LABELS.values()}.items() <= others.items()


def test_data_bytes_are_four_a_weight():
    for entry in registry.CHECKPOINTS.values():
        layers = synthetic.i3d_shapes(entry.stream, entry.classes)
        shapes = synthetic.sonnet_shapes(layers, synthetic.SCOPES[entry.stream], kin600=entry.weights == "kinetics600")
        assert entry.file.bytes == 4 * sum(int(np.prod(shape)) for shape in shapes.values())


def test_published_index_files_are_recognised(shared):
    index_files = sorted((shared / "facts/checkpoints").glob("*.index"))
    assert len(index_files) == 5
    for path in index_files:
        entry = registry.identify(path)
        assert path.name.startswith(f"{entry.name}.model")
        assert len(tensorflow_files.crcs(path)) == (346 if entry.name == "rgb_scratch_kin600" else 230)


def test_index_of_another_checkpoint_is_read_but_not_recognised(checkpoints):
    index = checkpoints["flow_t12"] + ".index"
    assert len(tensorflow_files.crcs(index)) == 230
    assert registry.identify(index) is None


def test_names_and_shapes_of_the_synthetic_checkpoints_are_the_published(shared):
    published = json.loads((shared / "facts/checkpoint_index.json").read_text())
    for entry in registry.CHECKPOINTS.values():
        kin600 = entry.weights == "kinetics600"
        layers = synthetic.i3d_shapes(entry.stream, entry.classes)
        ours = synthetic.sonnet_shapes(layers, "" if kin600 else synthetic.SCOPES[entry.stream], kin600)
        assert ours == {name: tuple(e["shape"]) for name, e in published[entry.name].items()}


def test_no_index_file(tmp_path):
    (tmp_path / "x.index").write_bytes(b"nothing of the kind" * 10)
    with pytest.raises(WeightsError, match="not the index of a TensorFlow checkpoint"):
        tensorflow_files.crcs(tmp_path / "x.index")


@pytest.mark.parametrize(
    ("weights", "stream", "message"),
    [("kinetics600", "flow", "stream rgb only"), ("kinetics700", "rgb", 'Pass None, one of "kinetics"')],
)
def test_unknown_names(weights, stream, message):
    with pytest.raises(ValueError, match=message):
        registry.find(weights, stream)


def test_a_name_of_the_network_whose_weights_are_shared():
    assert registry.whole_name("charades", ["I3D"]) == "I3D:charades"
    assert registry.whole_name("charades", ["I3D-strides-1-1-1"]) == "I3D:charades"
    assert registry.whole_name("kinetics", ["I3D-strides-1-1-1"]) == "kinetics"
    assert registry.whole_name("kinetics", ["S3D", "S3D-kylemin"]) == "S3D:kinetics"


@pytest.mark.parametrize(
    ("weights", "networks", "message"),
    [
        ("kinetics", ["R3D34"], 'R3D34 has no weights "kinetics". Pass None, or the path of a .weights.h5 file, '),
        ("kinetics", ["C3D", "C3D-bn"], 'C3D has no weights "kinetics". Pass None, "ucf101", or the path'),
        ("kinetics600", ["I2D"], 'I2D has no weights "kinetics600". Pass None, "imagenet", or the path'),
        ("imagenet", ["S3D"], 'S3D has no weights "imagenet". Pass None, "kinetics", or the path'),
        ("imagenet", ["I3DResNet101-gluon"], 'I3DResNet101-gluon has no weights "imagenet". Pass None, or the path'),
    ],
)
def test_a_published_name_that_the_network_does_not_have(weights, networks, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        registry.whole_name(weights, networks)
    builder = families.find(networks[0]).of
    options = {} if networks == [builder] or len(networks) > 1 else families.find(networks[0]).options
    with pytest.raises(ValueError, match=re.escape(message)):
        getattr(keras_i3d, builder)(weights=weights, **options)


def test_names_are_those_that_a_network_has():
    assert registry.names(["I3DResNet101"]) == ()
    assert registry.names(["I3DResNet101-keras"]) == ("imagenet",)
    assert registry.names(["ConvNetLSTM"]) == ("imagenet",)
    assert registry.names(["C3D"]) == ("ucf101",)
    assert registry.names(["I3D"])[:3] == ("kinetics", "kinetics-scratch", "kinetics600")
    assert registry.choices(["ConvNetLSTM"]).startswith('Pass None, "imagenet", or the path of')
    assert registry.choices(["R3D34"]).startswith("Pass None, or the path of")
    assert 'one of "kinetics", "kinetics-scratch", "kinetics600", "imagenet", the name of another' in registry.choices()
