"""Features as batches: of NumPy and of TensorFlow the same."""

import numpy as np
import pytest
from made import small_features

from keras_i3d.errors import FeaturesError
from keras_i3d.features import Layout, batches, dataset, feature_files

ROWS = {"a": 3, "b": 5, "c": 4}
LABELS = {"a": 0, "b": 1, "c": 2, "d": 3}


def written(folder, layout=Layout(), **settings):  # noqa: B008
    for name, rows in ROWS.items():
        source = {"name": f"{name}.mp4", "bytes": 3}
        feature_files.write(folder, name, layout, small_features.features(rows=rows, **settings), source)
    return folder


def test_padded_batches(tmp_path):
    """Rows that only fill a batch are zeros, with times of -1."""
    written(tmp_path)
    for made in (batches(tmp_path, LABELS, 2), dataset(tmp_path, LABELS, 2).as_numpy_iterator()):
        (features, times, label), (last, _, last_label) = made
        assert features.shape == (2, 5, 6)
        assert features.dtype == times.dtype == np.float32
        np.testing.assert_array_equal(features[0, 2], [20, 21, 22, 1020, 1021, 1022])
        assert not features[0, 3:].any()
        np.testing.assert_allclose(times[0, 2], [0.32, 0.96, 0.64], atol=1e-6)
        assert (times[0, 3:] == -1).all()
        assert (times[1] >= 0).all()
        np.testing.assert_array_equal(label, [0, 1])
        assert last.shape == (1, 4, 6)
        np.testing.assert_array_equal(last_label, [2])


def test_ragged_batches_and_single_videos(tmp_path):
    written(tmp_path)
    features, times = next(iter(dataset(tmp_path, batch_size=3, ragged=True)))
    assert features.row_lengths().numpy().tolist() == [3, 5, 4]
    assert times.to_tensor().shape == (3, 5, 3)
    assert [f.shape for f, _ in dataset(tmp_path, batch_size=None, stream="rgb")] == [(3, 3), (5, 3), (4, 3)]
    assert [f.shape for f, _ in batches(tmp_path, batch_size=None, stream="rgb")] == [(3, 3), (5, 3), (4, 3)]
    assert int(dataset(tmp_path, batch_size=2).cardinality()) == 2


def test_several_crops(tmp_path):
    written(tmp_path, Layout(crops=5, axes="NTC"), crops=5)
    features, _ = next(batches(tmp_path, batch_size=2))
    assert features.shape == (2, 5, 5, 6)
    np.testing.assert_array_equal(features[1, 4, 3], [340, 341, 342, 1340, 1341, 1342])


def test_order(tmp_path):
    """By name, as asked for, or drawn anew in each pass; a label for each row too."""
    written(tmp_path)
    dense = {name: np.arange(4) for name in ROWS}
    assert [len(f) for f, _ in batches(tmp_path, batch_size=None, names=["c", "a"])] == [4, 3]
    assert next(batches(tmp_path, dense.get))[2].shape == (3, 4)
    drawn = dataset(tmp_path, batch_size=None, seed=3)
    passes = [[len(f) for f, _ in drawn] for _ in range(6)]
    assert all(sorted(each) == [3, 4, 5] for each in passes)
    assert len(set(map(tuple, passes))) > 1
    assert passes[0] == [len(f) for f, _ in batches(tmp_path, batch_size=None, seed=3)]


def test_what_cannot_be_a_batch(tmp_path):
    written(tmp_path)
    with pytest.raises(ValueError, match=r"labels must have one for each video.*none for 1 of 3 \(first: 'b'\)"):
        next(batches(tmp_path, {"a": 0, "c": 2}))
    with pytest.raises(ValueError, match="names must be of videos in .*Received: 'd'"):
        next(batches(tmp_path, names=["d"]))
    with pytest.raises(FeaturesError, match="a has no both, but rgb, flow"):
        next(batches(tmp_path, stream="both"))
    own = small_features.features()
    own.arrays["flow"] = own.arrays["flow"][:, :-1]
    for what in (own.start, own.end, own.centre):
        what["flow"] = what["flow"][:-1]
    layout = Layout(files="per_stream", name="{stem}_{stream}", flow_end="own")
    feature_files.write(tmp_path / "own", "a", layout, own, {"name": "a.mp4", "bytes": 3})
    with pytest.raises(FeaturesError, match=r"5 of rgb, 4 of flow.*take one alone: stream="):
        next(batches(tmp_path / "own"))
    assert next(batches(tmp_path / "own", stream="flow"))[0].shape == (1, 4, 3)


@pytest.mark.slow
def test_a_model_is_fitted(tmp_path):
    """Padded rows masked by their zeros."""
    import keras

    written(tmp_path)
    model = keras.Sequential([keras.layers.Masking(), keras.layers.GRU(2), keras.layers.Dense(4)])
    model.compile(loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    pairs = dataset(tmp_path, LABELS, 2, seed=1).map(lambda features, times, label: (features, label))
    assert np.isfinite(model.fit(pairs, epochs=1, verbose=0).history["loss"][0])
