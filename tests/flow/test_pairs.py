"""Flow of clips and streams by each method: known motion, order, refusals."""

import itertools
import sys

import numpy as np
import pytest

from keras_i3d import flow


@pytest.fixture(scope="module")
def clip():
    """A texture that moves by (2, -1) pixels a frame."""
    import cv2

    texture = np.random.RandomState(0).randint(0, 255, (20, 24, 3)).astype("uint8")
    texture = cv2.resize(texture, (160, 140), interpolation=cv2.INTER_CUBIC)
    return np.stack([texture[20 + i : 116 + i, 20 - 2 * i : 148 - 2 * i] for i in range(6)])


@pytest.mark.parametrize(("method", "tolerance"), [("tvl1", 0.15), ("opencv", 0.15), ("dis", 0.3)])
def test_known_motion(method, tolerance, clip):
    fields = flow.compute(clip, method)
    assert (fields.dtype, fields.shape) == (np.float32, (5, 96, 128, 2))
    inner = fields[:, 12:-12, 12:-12]
    assert np.abs(inner - (2, -1)).mean() < tolerance


def test_equals_opencv_pair_by_pair(clip):
    import cv2

    threads = cv2.getNumThreads()
    solver = cv2.optflow.DualTVL1OpticalFlow_create()
    grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in clip[:3]]
    expected = [solver.calc(a, b, None) for a, b in itertools.pairwise(grey)]
    np.testing.assert_array_equal(flow.compute(clip[:3], "opencv"), expected)
    np.testing.assert_array_equal(flow.compute(np.stack(grey), "opencv", workers=2), expected)
    assert cv2.getNumThreads() == threads


def test_sizes_may_change_from_call_to_call(clip):
    """OpenCV's solver keeps the pyramid depth of the first frames that it saw."""
    alone = flow.compute(clip[:2], "opencv")
    assert flow.compute(clip[:2, :24, :24], "opencv").shape == (1, 24, 24, 2)
    np.testing.assert_array_equal(flow.compute(clip[:2], "opencv"), alone)


def test_stream_is_lazy_and_in_order(clip):
    taken = []

    def endless():
        for i in itertools.count():
            taken.append(i)
            yield clip[i % 6]

    fields = flow.stream(endless(), "dis", workers=2)
    first = [next(fields) for _ in range(8)]
    fields.close()
    assert len(taken) <= 8 + 1 + 2 * 2 + 2
    expected = flow.compute(clip, "dis")
    for field, wanted in zip(first[:5], expected):
        np.testing.assert_array_equal(field, wanted)
    assert np.abs(first[5] - first[0]).max() > 1  # from the last frame back to the first


def test_opencv_says_which_frames_it_refuses(clip):
    with pytest.raises(ValueError, match="refuses frames of 8 x 9 pixels"):
        flow.compute(clip[:2, :8, :9], "dis")


@pytest.mark.parametrize("workers", [0, -1, 1.5])
def test_workers_are_counted(workers, clip):
    with pytest.raises(ValueError, match="workers must be a whole number of at least 1"):
        flow.tvl1(clip, workers=workers)


@pytest.mark.parametrize("shape", [(20, 24, 3), (1, 4, 20, 24, 3), (20, 24)])
def test_a_single_frame_or_a_batch_is_no_clip(shape):
    with pytest.raises(ValueError, match=r"A clip is \(T, H, W, 3\)"):
        flow.tvl1(np.zeros(shape, np.uint8))


def test_an_iterator_is_no_clip(clip):
    with pytest.raises(ValueError, match="Received: generator. Pass iterators to `stream`"):
        flow.tvl1(frame for frame in clip)


def test_unknown_method(clip):
    with pytest.raises(ValueError, match="'tvl1', 'opencv', 'dis'"):
        flow.compute(clip, "farneback")


def test_no_opencv(monkeypatch, clip):
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(ImportError, match="pip install opencv-contrib-python-headless"):
        flow.compute(clip, "dis")


def test_opencv_without_contrib(monkeypatch, clip):
    import cv2

    monkeypatch.delattr(cv2, "optflow")
    with pytest.raises(ImportError, match="overwrite each other.*pip uninstall"):
        flow.compute(clip, "opencv")


def test_streams_that_overlap_leave_opencv_its_threads(clip):
    import cv2

    threads = cv2.getNumThreads()
    cv2.setNumThreads(2)
    try:
        streams = [flow.stream(iter(clip), "dis") for _ in range(2)]
        for fields in streams:
            next(fields)
        assert cv2.getNumThreads() == 1
        for fields in streams:
            list(fields)
        assert cv2.getNumThreads() == 2
    finally:
        cv2.setNumThreads(threads)


def test_parameters_reach_opencv(clip):
    one, five = (flow.compute(clip[:2], "opencv", flow.TVL1Params(warps=n)) for n in (1, 5))
    assert np.abs(one - five).max() > 0.01
    with pytest.raises(ValueError, match="params are for TV-L1"):
        flow.compute(clip, "dis", flow.TVL1Params())
    with pytest.raises(ValueError, match="params must be a TVL1Params"):
        flow.tvl1(clip, params={"warps": 2})
