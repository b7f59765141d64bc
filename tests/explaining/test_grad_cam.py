"""Grad-CAM: what it is at the last endpoint of a linear head, in chunks, past two bodies, and where it is refused."""

import keras
import numpy as np
import pytest
from made import seen, tiny

from keras_i3d.explaining import activation_maps, grad_cam
from keras_i3d.inference import chunks


@pytest.fixture(scope="module")
def short():
    with pytest.MonkeyPatch.context() as patch:
        tiny.shorten(patch)
        yield


@pytest.mark.parametrize(
    "name", ["I3D", *(pytest.param(n, marks=pytest.mark.slow) for n in ("R2Plus1D18", "TwoStreamConvNet"))]
)
def test_at_the_last_endpoint_it_is_class_activation(name, short):
    """There the gradient of a channel is the class's weight times that of the position, whose sum is 1."""
    network = seen.network(name)
    clip = seen.clip(network, 13, 44, 52)
    exact, _ = activation_maps.of_clip(network, clip, 2)
    t, y, x = activation_maps.position_weights(exact.shape, network.model.get_layer(network.pool))
    evidence = exact / (t[:, None, None] * y[:, None] * x)
    found = grad_cam.of_clip(network, clip, 2, network.body)
    assert found.max() > 0
    np.testing.assert_allclose(found * found.size, np.maximum(evidence, 0), atol=1e-4 * np.abs(evidence).max())


@pytest.mark.parametrize(
    ("name", "endpoint"),
    [("I3D", "MaxPool3d_2a_3x3"), pytest.param("TwoStreamConvNet", "flow_Mixed_3b", marks=pytest.mark.slow)],
)
def test_chunks_give_the_map_of_the_single_pass(name, endpoint, short):
    """At an earlier endpoint; and of one of two bodies, which the other one leads past."""
    network = seen.network(name)
    clip = seen.clip(network, 41, 36, 36)
    maps = ((index, grad_cam.of_clip(network, clip, index, endpoint)) for index in range(seen.CLASSES))
    index, whole = next(each for each in maps if each[1].max() > 0)  # what speaks against a class is cut off
    least = chunks.least_frames(network.family)
    assert len(chunks.plan_chunks(41, least, network.family)) > 2
    found = grad_cam.of_clip(network, clip, index, endpoint, least)
    assert whole.shape == grad_cam.endpoints(network, clip.shape)[endpoint]
    np.testing.assert_allclose(found, whole, atol=1e-5 * whole.max())


def test_a_network_with_a_memory_is_seen_whole(short):
    network = seen.network("ConvNetLSTM")
    clip = seen.clip(network, 5, 40, 40)
    found = grad_cam.of_clip(network, clip, 0, "Mixed_3b")
    assert found.shape == (5, 10, 10)
    assert found.max() > 0
    with pytest.raises(ValueError, match=r"the whole clip at once, at most chunk_frames=4 frames. Received: 5. Raise"):
        grad_cam.of_clip(network, clip, 0, "Mixed_3b", 4)
    assert "LSTM" not in grad_cam.endpoints(network, clip.shape)


def test_the_default_endpoint_tells_positions_in_space_apart(short):
    network = seen.network("C3D")
    shape = (16, 112, 112)
    found = grad_cam.endpoints(network, shape)
    assert found["fc7"][1:] == (1, 1) or max(found["fc7"][1:]) > 1
    assert max(found[grad_cam.default_endpoint(network, shape)][1:]) > 1


def test_without_tensorflow(monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(ValueError, match=r"Received: KERAS_BACKEND=jax. Take method=cam, which needs none"):
        grad_cam.check_backend()
