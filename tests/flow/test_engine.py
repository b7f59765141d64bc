"""The CPU engine of TV-L1 against OpenCV 5.0.0's DualTVL1, step by step and as a whole, and on its own at the edges.

DualTVL1 is chaotic: a difference in the last bit of one step can change the number of iterations of a later one. Built
for another instruction set, OpenCV differs from itself by 0.004 px on average, so that is as near as answers can be.
"""

import itertools
import pathlib
import sys
import threading
import tracemalloc

import numpy as np
import pytest
from made import oracle
from made.oracle import endpoint, levels_apart

from keras_i3d import flow
from keras_i3d.flow import engine


@pytest.fixture(scope="module")
def cv2():
    return oracle.opencv()


@pytest.fixture
def rng():
    return np.random.default_rng(7)


def texture(rng, h, w, dx=0.0, dy=0.0):
    """A smooth random texture in [0, 255] and the same one moved by (dx, dy) pixels: exact, by Fourier's shift."""
    size = 2 * max(h, w)
    fy, fx = np.meshgrid(np.fft.fftfreq(size), np.fft.fftfreq(size), indexing="ij")
    spectrum = np.fft.fft2(rng.normal(size=(size, size))) * np.exp(-((fx**2 + fy**2) / (2 * 0.06**2)))
    still = np.fft.ifft2(spectrum).real
    moved = np.fft.ifft2(spectrum * np.exp(-2j * np.pi * (fx * dx + fy * dy))).real
    low, high = min(still.min(), moved.min()), max(still.max(), moved.max())
    return tuple(np.rint((f[:h, :w] - low) * 255 / (high - low)).astype(np.uint8) for f in (still, moved))


def flow_pair(previous, following, params=None):
    return flow.tvl1([previous, following], params=params)[0]


def plane(field):
    h, w = field.shape
    flat = np.zeros((h + 2) * engine._kernels()[0].pitch_of(w), np.float32)
    engine._inside(flat, h, w)[:] = field
    return flat


def plane_of(field):
    """The (h, w) field of an array inside a plane, and the plane."""
    flat = plane(field)
    return engine._inside(flat, *field.shape), flat


# Parity with OpenCV 5.0.0.


def assert_parity(pairs, expected):
    """Over all pixels of all pairs; a pixel is equal if both of its values are."""
    received = np.stack([flow_pair(*pair) for pair in pairs])
    apart = levels_apart(received, expected).max(axis=-1)
    assert endpoint(received, expected).mean() <= 0.008
    assert np.mean(apart == 0) >= 0.97
    assert np.mean(apart <= 1) >= 0.999


def test_synthetic_flow_equals_opencv_5_0_0(cv2, rng):
    pairs = [texture(rng, 110, 141, 1.37, -0.62), texture(rng, 110, 141, -2.71, 1.5)]
    solver = cv2.optflow.DualTVL1OpticalFlow_create()
    assert_parity(pairs, np.stack([solver.calc(*pair, None) for pair in pairs]))


def test_video_flow_equals_opencv_5_0_0(shared):
    assert_parity(*oracle.video_pairs(shared / "media/v_GGSY1Qvo990.mp4"))


@pytest.mark.parametrize(
    ("name", "value", "setter"),
    [
        ("nscales", 2, "setScalesNumber"),
        ("median", 1, "setMedianFiltering"),
        ("lambda_", 0.05, "setLambda"),
        ("scale_step", 0.5, "setScaleStep"),
    ],
)
def test_parameters_mean_what_they_mean_in_opencv_5_0_0(cv2, rng, name, value, setter):
    frames = texture(rng, 65, 97, 0.8, 0.3)
    oracle = cv2.optflow.DualTVL1OpticalFlow_create()
    getattr(oracle, setter)(value)
    expected = oracle.calc(*frames, None)
    received = flow_pair(*frames, engine.TVL1Params(**{name: value}))
    assert endpoint(received, expected).mean() < 0.03
    assert endpoint(flow_pair(*frames), expected).mean() > endpoint(received, expected).mean()


def test_float_frames_as_in_opencv_5_0_0(cv2, rng):
    frames = [frame.astype(np.float32) for frame in texture(rng, 64, 80, 0.4, 0.2)]
    expected = cv2.optflow.DualTVL1OpticalFlow_create().calc(*(frame / 255 for frame in frames), None)
    np.testing.assert_array_equal(flow.compute(frames, "opencv")[0], expected)
    assert endpoint(flow_pair(*frames), expected).mean() < 0.03


@pytest.mark.parametrize(("size", "new"), [((64, 97), (51, 78)), ((33, 20), (26, 16)), ((51, 78), (64, 97))])
def test_resize_equals_opencv_5_0_0(cv2, kernels, rng, size, new):
    field = (rng.random(size) * 255).astype(np.float32)
    received, flat = plane_of(np.zeros(new, np.float32))
    pitches = [kernels.pitch_of(w) for _, w in (size, new)]
    if new < size:
        kernels.resize(plane(field), *size, pitches[0], flat, *new, pitches[1], 1.25, 1.25, np.float32(1))
        expected = cv2.resize(field, None, fx=0.8, fy=0.8)
    else:
        steps = size[0] / new[0], size[1] / new[1]
        kernels.resize(plane(field), *size, pitches[0], flat, *new, pitches[1], *steps, np.float32(1))
        expected = cv2.resize(field, new[::-1])
    np.testing.assert_allclose(received, expected, atol=1e-4)


def test_pyramid_sizes_equal_opencv_5_0_0(cv2):
    for side in range(20, 400):
        assert round(side * 0.8) == cv2.resize(np.zeros((side, 20), np.uint8), None, fx=0.8, fy=0.8).shape[0]


@pytest.mark.parametrize("size", [(40, 50), (1, 9), (9, 1), (3, 4)])
def test_median_equals_opencv_5_0_0(cv2, kernels, rng, size):
    field = rng.normal(size=size).astype(np.float32)
    received, flat = plane_of(field)
    solver = engine._Solver(size, engine.TVL1Params(nscales=1), engine._kernels())
    kernels.median(flat, size[0], kernels.pitch_of(size[1]), size[1], solver.copy, solver.columns, solver.edges[1][0])
    np.testing.assert_array_equal(received, cv2.medianBlur(field, 5))


@pytest.mark.parametrize("size", [(37, 53), (3, 9), (20, 1100)])
@pytest.mark.parametrize("reach", [0.01, 1.5, 400.0])
def test_warp_equals_opencv_5_0_0(cv2, kernels, rng, size, reach):
    h, w = size
    first, second = (rng.random((2, h, w)) * 255).astype(np.float32)
    u, v = (rng.normal(size=(2, h, w)) * reach).astype(np.float32)
    aprons = tuple(np.zeros(kernels.apron_size(h, w), np.float32) for _ in range(3))
    pitch = kernels.pitch_of(w)
    kernels.gradient(plane(second), h, w, pitch, aprons)
    (gx, gx_), (gy, gy_), (inverse, inverse_), (rest, rest_) = (plane_of(np.zeros(size, np.float32)) for _ in range(4))
    solver = engine._Solver(size, engine.TVL1Params(), engine._kernels())
    flow, data, (column, in_image, _) = (plane(u), plane(v)), (gx_, gy_, inverse_, rest_), solver.edges
    kernels.warp(plane(first), aprons, h, w, pitch, flow, data, column, in_image[0], solver.shifts)

    at_x, at_y = np.arange(w, dtype=np.float32) + u, np.arange(h, dtype=np.float32)[:, None] + v
    padded = np.pad(second, 1, mode="edge")
    slopes = (padded[1:-1, 2:] - padded[1:-1, :-2]) / 2, (padded[2:, 1:-1] - padded[:-2, 1:-1]) / 2
    value, slope_x, slope_y = (cv2.remap(f, at_x, at_y, cv2.INTER_CUBIC) for f in (second, *slopes))
    np.testing.assert_allclose(gx, slope_x, atol=5e-4)
    np.testing.assert_allclose(gy, slope_y, atol=5e-4)
    np.testing.assert_allclose(inverse, 1 / np.maximum(gx**2 + gy**2, np.float32(1e-12)), rtol=1e-5)
    np.testing.assert_allclose(rest, value - gx * u - gy * v - first, atol=1e-3, rtol=1e-4)


def test_to_grey_equals_opencv_5_0_0(cv2):
    levels = np.arange(256, dtype=np.uint8)
    for red in range(0, 256, 15):
        rgb = np.stack(np.broadcast_arrays(np.uint8(red), levels[:, None], levels), axis=-1)
        np.testing.assert_array_equal(engine.to_grey(rgb), cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY))


# The engine on its own.


@pytest.mark.parametrize("motion", [(0.5, 0.25), (-1.75, 1.1), (3.3, 0.0)])
def test_finds_a_known_motion(rng, motion):
    field = flow_pair(*texture(rng, 96, 120, *motion))
    assert (field.shape, field.dtype) == ((96, 120, 2), np.float32)
    assert endpoint(field, np.float32(motion))[8:-8, 8:-8].mean() < 0.06


def test_to_grey_shapes_and_types(rng):
    clip = rng.random((2, 4, 5, 3))
    assert (engine.to_grey(clip).shape, engine.to_grey(clip).dtype) == ((2, 4, 5), np.float32)
    np.testing.assert_allclose(engine.to_grey(clip), clip @ [0.299, 0.587, 0.114], rtol=1e-6)
    assert engine.to_grey(np.zeros((4, 5, 1), np.uint8)).shape == (4, 5)


def test_rgb_grey_and_float_agree(rng):
    previous, following = texture(rng, 40, 44, 0.5, 0.5)
    field = flow_pair(previous, following)
    rgb = [np.repeat(frame[..., None], 3, axis=-1) for frame in (previous, following)]
    np.testing.assert_array_equal(flow_pair(*rgb), field)
    np.testing.assert_array_equal(flow_pair(previous.astype(float), following.astype(float)), field)


@pytest.mark.parametrize("size", [(64, 80), (1, 40), (40, 1), (1, 1), (2, 2), (5, 7), (17, 16), (61, 83)])
def test_identical_frames_do_not_move(rng, size):
    frame = rng.integers(0, 256, size, dtype=np.uint8)
    zero = np.zeros((*size, 2), np.float32)
    np.testing.assert_array_equal(flow_pair(frame, frame), zero)


@pytest.mark.parametrize("size", [(1, 40), (40, 1), (1, 1), (2, 3), (5, 7), (17, 16), (61, 83)])
def test_small_and_odd_sizes(rng, size):
    field = flow_pair(*rng.integers(0, 256, (2, *size), dtype=np.uint8))
    assert field.shape == (*size, 2)
    assert np.isfinite(field).all()


def test_black_frames_do_not_move():
    black = np.zeros((48, 64), np.uint8)
    np.testing.assert_array_equal(flow_pair(black, black), np.zeros((48, 64, 2)))
    assert np.isfinite(flow_pair(black, np.full_like(black, 255))).all()


def test_scene_cut_and_far_motion_stay_finite(rng):
    assert np.isfinite(flow_pair(*rng.integers(0, 256, (2, 60, 80), dtype=np.uint8))).all()
    assert np.isfinite(flow_pair(*texture(rng, 60, 80, 45.0, 30.0))).all()


def test_pyramid_stops_at_sixteen_pixels():
    sizes = engine._pyramid((256, 341), engine.TVL1Params())
    assert sizes == [(256, 341), (205, 273), (164, 218), (131, 174), (105, 139)]
    assert engine._pyramid((20, 400), engine.TVL1Params()) == [(20, 400), (16, 320)]
    assert engine._pyramid((1, 400), engine.TVL1Params()) == [(1, 400)]


@pytest.mark.parametrize(
    ("frames", "error", "message"),
    [
        (np.full((2, 8, 8), np.nan, np.float32), ValueError, "finite"),
        (np.full((2, 8, 8), 0.5), ValueError, r"\[0, 255\]"),
        (np.full((2, 8, 8), 300.0), ValueError, r"\[0, 255\]"),
        (np.zeros((2, 8, 8), np.int32), ValueError, "int32"),
        (np.zeros((2, 8, 0), np.uint8), ValueError, "empty"),
        (np.zeros((2, 8, 8, 2), np.uint8), ValueError, "channels"),
        ((np.zeros((8, 8), np.uint8), np.zeros((8, 9), np.uint8)), ValueError, "one shape"),
    ],
)
def test_bad_frames_are_refused(frames, error, message):
    with pytest.raises(error, match=message):
        flow_pair(*frames)
    with pytest.raises(error, match=message):
        list(flow.stream(frames, workers=1))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("tau", 0.3),
        ("theta", 0),
        ("lambda_", float("inf")),
        ("epsilon", float("nan")),
        ("scale_step", 1.0),
        ("median", 4),
        ("warps", 0),
        ("nscales", 2.5),
        ("inner_iterations", 1.5),
        ("outer_iterations", 5.5),
    ],
)
def test_bad_parameters_are_refused(name, value):
    with pytest.raises(ValueError, match=f"{name} must be .* Received: {name}={value}"):
        engine.TVL1Params(**{name: value})


def test_single_frames_are_refused(rng):
    frames = rng.integers(0, 256, (2, 20, 24), dtype=np.uint8)
    with pytest.raises(ValueError, match="at least 2 frames"):
        flow.tvl1(frames[:1])


# Streams and threads.


def test_workers_do_not_change_a_bit(rng):
    clip = rng.integers(0, 256, (9, 40, 52), dtype=np.uint8)
    pairs = np.stack([flow_pair(a, b) for a, b in itertools.pairwise(clip)])
    np.testing.assert_array_equal(flow.tvl1(clip, workers=1), pairs)
    np.testing.assert_array_equal(flow.tvl1(clip, workers=3), pairs)


def test_a_solver_forgets_the_pair_before(rng):
    solver = engine._Solver((40, 52), engine.TVL1Params(), engine._kernels())
    a, b, c = rng.random((3, 40, 52)).astype(np.float32) * 255
    once = solver(a, b)
    solver(c, a)
    np.testing.assert_array_equal(solver(a, b), once)


def test_streams_are_read_ahead_only_so_far(rng):
    read = []

    def frames():
        for number in range(100):
            read.append(number)
            yield rng.integers(0, 256, (20, 20), dtype=np.uint8)

    flows = flow.stream(frames(), workers=2)
    next(flows)
    assert len(read) <= 7
    before = threading.active_count()
    flows.close()
    assert threading.active_count() < before


def test_streams_may_reuse_their_frame(rng):
    clip = rng.integers(0, 256, (6, 24, 24), dtype=np.uint8)

    def frames():
        buffer = np.empty_like(clip[0])
        for frame in clip:
            buffer[:] = frame
            yield buffer

    np.testing.assert_array_equal(np.stack(list(flow.stream(frames(), workers=2))), flow.tvl1(clip))


def test_memory_of_a_worker_is_as_documented():
    tracemalloc.start()
    solver = engine._Solver((256, 341), engine.TVL1Params(), engine._kernels())
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert 0.95 < held / (106 * 256 * 341) < 1
    assert solver.sizes[0] == (256, 341)


# Compilation.


@pytest.fixture
def fresh(monkeypatch):
    """The engine as in a new process: nothing loaded."""
    for name in ("kernel_cache", "kernels", "sweeps", "coarse_to_fine"):
        monkeypatch.delitem(sys.modules, f"keras_i3d.flow.{name}", raising=False)
        monkeypatch.delattr(flow, name, raising=False)
    monkeypatch.setattr(engine, "_load_kernels", engine._load_kernels.__wrapped__)


def test_missing_numba_names_the_remedy(fresh, monkeypatch):
    monkeypatch.setitem(sys.modules, "numba", None)
    with pytest.raises(ImportError, match="pip install numba"):
        flow.tvl1(np.zeros((2, 8, 8), np.uint8))


def test_kernels_are_compiled_when_they_are_loaded(fresh):
    kernels, sweeps, coarse_to_fine = engine._kernels()
    assert len(coarse_to_fine.solve.signatures) == 1
    # Compiled with it, or read from disk with it; for no types twice.
    parts = kernels.resize, kernels.gradient, kernels.warp, sweeps.minimise
    assert all(len(kernel.signatures) <= 1 for kernel in parts)


def test_a_pair_asks_for_python_s_lock_a_few_times(rng):
    """So a thread that computes flow does not wait for one that holds the lock, as an import or a network does."""
    solver = engine._Solver((40, 52), engine.TVL1Params(), engine._kernels())
    frames = rng.integers(0, 256, (2, 40, 52), dtype=np.uint8)
    calls = []
    sys.setprofile(lambda frame, event, called: calls.append(called) if event == "c_call" else None)
    try:
        solver(*frames)
    finally:
        sys.setprofile(None)
    assert len(calls) < 10


def double(x):
    return 2 * x


def test_kernels_work_where_no_cache_can_be_written(kernels, monkeypatch):
    from numba.core import caching

    monkeypatch.setattr(caching.CacheImpl, "_locator_classes", [])
    compiled = kernels.kernel(double)
    assert compiled(21) == 42
    assert compiled.stats.cache_path is None


@pytest.mark.parametrize("suffix", [".nbi", ".nbc"])
def test_damaged_cache_files_are_made_anew(kernels, monkeypatch, tmp_path, suffix):
    from numba.core import config

    monkeypatch.setattr(config, "CACHE_DIR", str(tmp_path))
    assert kernels.kernel(double)(21) == 42
    whole = {path: path.read_bytes() for path in tmp_path.rglob(f"*{suffix}")}
    for path, content in whole.items():
        path.write_bytes(content[: len(content) // 2])
    assert kernels.kernel(double)(21) == 42
    again = kernels.kernel(double)
    assert again(21) == 42
    assert whole
    assert sum(again.stats.cache_hits.values()) == 1


def test_kept_kernels_are_of_these_sources(kernels, monkeypatch, tmp_path):
    from numba.core import config

    from keras_i3d.flow import kernel_cache

    monkeypatch.setattr(config, "CACHE_DIR", str(tmp_path))
    hits = []
    for sources in ("old", "new", "new"):
        monkeypatch.setattr(kernel_cache, "_sources", lambda sources=sources: sources)
        compiled = kernels.kernel(double)
        assert compiled(21) == 42
        hits.append(sum(compiled.stats.cache_hits.values()))
    assert hits == [0, 0, 1]


def test_a_full_disk_does_not_stop_the_kernels(kernels, monkeypatch, tmp_path, capsys):
    from numba.core import caching, config

    from keras_i3d.flow import kernel_cache

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(config, "CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(caching.IndexDataCacheFile, "save", full)
    kernel_cache._not_kept.cache_clear()
    for _ in range(2):
        assert kernels.kernel(double)(21) == 42
    assert capsys.readouterr().err.count("could not be kept (No space left on device); set NUMBA_CACHE_DIR") == 1


def test_kernels_work_in_a_read_only_package(kernels, monkeypatch, tmp_path):
    from numba.core import caching

    # Numba 0.57 has the class with an underscore.
    locator = getattr(caching, "InTreeCacheLocator", None) or caching._InTreeCacheLocator
    monkeypatch.setattr(locator, "from_function", classmethod(lambda *_: None))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    compiled = kernels.kernel(double)
    assert compiled(21) == 42
    assert str(pathlib.Path(__file__).parent / "__pycache__") != compiled.stats.cache_path


def test_compiling_is_announced_once(kernels, capsys, monkeypatch):
    import numba

    with engine._announced(kernels):
        numba.njit(lambda x: x + 1)(1)
        numba.njit(lambda x: x + 2)(1)
    assert capsys.readouterr().err.count("compiling the TV-L1 kernels") == 1
    with engine._announced(kernels):
        flow_pair(*np.zeros((2, 8, 8), np.uint8))
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(kernels, "is_kept", lambda: False)
    with engine._announced(kernels):
        numba.njit(lambda x: x + 3)(1)
    assert "NUMBA_CACHE_DIR" in capsys.readouterr().err


# Presets.


def test_qualities_are_those_of_the_layer(rng):
    from keras_i3d.flow import layer

    for quality, preset in engine.QUALITIES.items():
        of_layer = layer.TVL1(quality)
        params = engine.TVL1Params.of_quality(quality)
        for name in preset:
            assert getattr(params, name) == getattr(of_layer, name)
    assert engine.TVL1Params.of_quality("opencv") == engine.TVL1Params()


def test_a_quality_gives_up_accuracy(rng):
    clip = texture(rng, 96, 120, 1.3, -0.7)
    exact = flow.compute(clip)
    apart = [endpoint(flow.compute(clip, quality=quality), exact).mean() for quality in engine.QUALITIES]
    assert apart[0] == 0 < apart[1] < apart[2] < 0.2
    np.testing.assert_array_equal(
        flow.tvl1(clip, quality="fast"), flow.compute(clip, params=engine.TVL1Params.of_quality("fast"))
    )


@pytest.mark.parametrize(
    "settings",
    [
        {"quality": "best"},
        {"quality": "fast", "params": engine.TVL1Params()},
        {"quality": "fast", "method": "dis"},
    ],
)
def test_a_quality_that_means_nothing_is_refused(rng, settings):
    with pytest.raises(ValueError, match="quality .*Received: quality='(best|fast)'"):
        flow.compute(texture(rng, 20, 24), **settings)
