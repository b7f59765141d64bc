"""TVL1 against the CPU engine, OpenCV's DualTVL1, known motions, and the contract of a Keras layer."""

import itertools
import os
import subprocess
import sys
import textwrap

import keras
import numpy as np
import pytest
import tensorflow as tf
from made import ROOT, oracle
from made.oracle import endpoint, levels_apart

from keras_i3d.flow import TVL1, tvl1
from keras_i3d.flow.layer import QUALITIES, _grey, _median, _resize, _warp, _with_gradient
from keras_i3d.precision import policy

cv2 = pytest.importorskip("cv2", reason="OpenCV is the oracle: pip install opencv-contrib-python-headless==5.0.0.93")
OPENCV_5 = int(cv2.__version__.split(".")[0]) >= 5  # older ones round the places that they sample to 1/32 pixel
COMPILED = {}
QUICK = {"nscales": 2, "median": 1}  # settings that compile fast, where only the plumbing is tested


def flow(frames, **settings):
    """The layer's flow of grey frames, traced once for each setting, for frames of any size."""
    key = tuple(sorted(settings.items()))
    if key not in COMPILED:
        spec = tf.TensorSpec((None, None, None, None, 1), "float32")
        COMPILED[key] = tf.function(TVL1(**settings), input_signature=[spec])
    return COMPILED[key](np.float32(frames)).numpy()


def opencv(frames, **settings):
    grey = [cv2.cvtColor(f, cv2.COLOR_RGB2GRAY) if f.shape[-1] == 3 else f[..., 0] for f in frames]
    return np.stack([cv2.optflow.DualTVL1OpticalFlow_create(**settings).calc(a, b, None)
                     for a, b in itertools.pairwise(grey)])  # fmt: skip


def texture(height, width, seed=0):
    """Smoothed noise of many scales, coarse enough to be followed over 15 pixels, float32 (height, width)."""
    rng = np.random.default_rng(seed)
    image = np.zeros((height, width))
    for sigma in (2, 6, 18):
        octave = cv2.GaussianBlur(rng.normal(size=(height, width)), (0, 0), sigma)
        image += sigma * octave / octave.std()
    return np.clip(128 + 45 * image / image.std(), 0, 255).astype("float32")


def shifted(dx, dy, height=96, width=128, seed=0):
    """Two frames of a texture that moves by (dx, dy), uint8 (2, height, width, 1)."""
    margin = 24
    wide = texture(height + 2 * margin, width + 2 * margin, seed)
    moved = cv2.warpAffine(wide, np.float32([[1, 0, dx], [0, 1, dy]]), wide.shape[::-1], flags=cv2.INTER_CUBIC)
    cut = np.s_[margin:-margin, margin:-margin, None]
    return np.round(np.clip(np.stack([wide[cut], moved[cut]]), 0, 255)).astype("uint8")


def assert_alike(ours, theirs, textured=np.s_[...]):
    """A pixel is within one level if both of its values are."""
    assert endpoint(ours, theirs)[textured].mean() <= 0.05
    assert np.mean(levels_apart(ours, theirs).max(axis=-1) <= 1) >= 0.98


# The pieces, against OpenCV's.


@pytest.mark.parametrize("size", [(1, 1), (5, 4), (31, 40)])
@pytest.mark.parametrize("window", [3, 5])
def test_median(size, window):
    x = np.random.default_rng(0).normal(size=(2, 2, *size)).astype("float32")
    x[0] = np.round(x[0])
    expected = [[cv2.medianBlur(component, window) for component in pair] for pair in x]
    np.testing.assert_array_equal(_median(x, window), expected)


@pytest.mark.parametrize("size", [(20, 30), (33, 47), (16, 21)])
def test_resize(size):
    x = np.random.default_rng(0).uniform(0, 255, size).astype("float32")
    down = cv2.resize(x, None, fx=0.8, fy=0.8)
    np.testing.assert_allclose(_resize(x[None, None], down.shape, 1.25)[0, 0], down, atol=1e-3)
    up = cv2.resize(down, size[::-1])
    np.testing.assert_allclose(_resize(down[None, None], size)[0, 0], up, atol=1e-3)


@pytest.mark.skipif(not OPENCV_5, reason="OpenCV before 5 samples at multiples of 1/32 pixel")
def test_warp():
    rng = np.random.default_rng(0)
    image = rng.uniform(0, 255, (24, 31)).astype("float32")
    by = rng.normal(0, 8, (24, 31, 2)).astype("float32")
    at = by + np.stack(np.meshgrid(np.arange(31), np.arange(24)), axis=-1).astype("float32")
    table = np.asarray(_with_gradient(image[None, None]))
    sample = np.asarray(_warp(table, by.transpose(2, 0, 1)[None]))[0]
    for channel in range(3):
        inside = np.ascontiguousarray(table[0, 4:-4, 4:-4, channel])
        np.testing.assert_allclose(sample[channel], cv2.remap(inside, at, None, cv2.INTER_CUBIC), atol=2e-3)


def test_grey_is_that_of_opencv():
    frames = np.random.default_rng(0).integers(0, 256, (256, 256, 3), dtype="uint8")
    grey = cv2.cvtColor(frames, cv2.COLOR_RGB2GRAY)
    np.testing.assert_array_equal(_grey(frames), grey)
    np.testing.assert_array_equal(_grey(frames[..., :1]), frames[..., 0])
    np.testing.assert_allclose(_grey(frames.astype("float32")), grey, atol=0.501)


# The whole.


@pytest.mark.parametrize(("dx", "dy"), [(0.3, -0.2), (1.5, 0.75), (-4.25, 2.5), (8, -6), (-12, 9)])
def test_known_motion(dx, dy):
    frames = shifted(dx, dy)
    ours, theirs = flow(frames[None])[0], opencv(frames)
    inner = np.s_[:, 20:-20, 20:-20]
    assert_alike(ours[inner], theirs[inner])
    assert_alike(ours[inner], tvl1(frames)[inner])
    truth = np.float32([dx, dy])
    if OPENCV_5:
        assert endpoint(ours[inner], truth).mean() <= endpoint(theirs[inner], truth).mean() + 0.001
    assert endpoint(ours[inner], truth).mean() <= 0.05


@pytest.mark.slow
@pytest.mark.parametrize(("quality", "allowed"), [("fast", 0.05), ("fastest", 0.1)])
def test_qualities_stay_near(quality, allowed):
    frames = shifted(1.5, 0.75)
    inner = np.s_[:, 20:-20, 20:-20]
    ours = flow(frames[None], quality=quality, nscales=2)[0]
    assert endpoint(ours[inner], np.float32([1.5, 0.75])).mean() < allowed


@pytest.mark.slow
def test_other_settings():
    frames = shifted(2.5, -1)
    settings = {"nscales": 2, "warps": 3, "epsilon": 0.02, "tau": 0.2, "theta": 0.25, "median": 3}
    theirs = opencv(frames, nscales=2, warps=3, epsilon=0.02, tau=0.2, theta=0.25, medianFiltering=3, lambda_=0.1,
                    scaleStep=0.7, innnerIterations=20, outerIterations=5)  # fmt: skip
    ours = flow(frames[None], **settings, lambda_=0.1, scale_step=0.7, inner_iterations=20, outer_iterations=5)
    assert_alike(ours[0], theirs)


def test_real_video(shared):
    pairs, theirs = oracle.video_pairs(shared / "media/v_GGSY1Qvo990.mp4")
    ours = flow(pairs[..., None])[:, 0]
    textured = np.hypot(*np.gradient(pairs[:, 0].astype("float32"), axis=(1, 2))) > 5
    assert 0.1 < textured.mean() < 0.9
    for number, pair in enumerate(pairs):
        assert_alike(ours[number], tvl1(pair)[0], textured[number])
        assert_alike(ours[number], theirs[number], textured[number])


def test_not_a_number_stays_in_its_pair():
    """The layer cannot refuse values inside a graph: the pair that has NaN ends, and leaves the other as it is."""
    sound = shifted(0.5, 0.25, 20, 24).astype("float32")
    spoilt = sound.copy()
    spoilt[1, 10, 10] = np.nan
    both = flow(np.stack([sound, spoilt]))
    np.testing.assert_array_equal(both[0], flow(np.stack([sound, sound]))[0])
    assert np.isnan(both[1]).any()


def test_still_frames_have_exactly_no_flow():
    still = shifted(0, 0)[[0, 0, 0]]
    assert not flow(np.stack([still, np.zeros_like(still)])).any()


@pytest.mark.parametrize(("height", "width"), [(1, 1), (3, 40), (15, 17), (16, 16), (20, 19), (37, 61), (97, 33)])
def test_odd_and_tiny_frames(height, width):
    frames = shifted(0.5, 0.25, height, width)
    ours = flow(frames[None])[0]
    assert ours.shape == (1, height, width, 2)
    assert np.isfinite(ours).all()
    if min(height, width) > 2 and OPENCV_5:
        assert_alike(ours, opencv(frames))


def test_pairs_of_a_batch_are_independent():
    slow, fast, still = shifted(0.3, -0.2, 32, 40), shifted(-3, 2, 32, 40, seed=5), np.zeros((2, 32, 40, 1), "uint8")
    both = flow(np.stack([slow, fast]))
    for index, frames in enumerate((slow, fast)):
        for other in (slow, fast, still):
            pair = [other, other]
            pair[index] = frames
            np.testing.assert_array_equal(flow(np.stack(pair))[index], both[index])
        assert endpoint(flow(frames[None])[0], both[index]).mean() < 0.01
    clip = np.concatenate([slow, fast])[None]
    assert endpoint(flow(clip)[0, [0, 2]], both[:, 0]).mean() < 0.01


@pytest.mark.slow
def test_groups_of_pairs_of_known_size():
    clip = np.concatenate([shifted(0.3, -0.2, 40, 60), shifted(1.5, 0.75, 40, 60)])[None]
    grouped = tf.function(TVL1(pairs_at_once=2, **QUICK))
    assert endpoint(grouped(clip), flow(clip, **QUICK)).mean() < 0.01


@pytest.mark.slow
def test_eager_agrees():
    frames = shifted(0.5, 0.25, 20, 24)[None]
    assert endpoint(TVL1(**QUICK)(frames), flow(frames, **QUICK)).mean() < 0.01


# The contract of a layer.


@pytest.mark.slow
def test_float32_within_any_policy():
    frames = shifted(1.5, 0.75, 40, 50)[None]
    with policy("mixed_float16"):
        layer = TVL1(warps=1, **QUICK)
        outputs = keras.Sequential([keras.Input((2, 40, 50, 1)), layer])(frames.astype("float32"))
    assert layer.compute_dtype == "float32"
    assert outputs.dtype == "float32"
    assert endpoint(outputs, flow(frames, warps=1, **QUICK)).mean() < 0.01


def test_no_gradient_passes():
    frames = tf.Variable(shifted(1, 0, 16, 16)[None].astype("float32"))
    with tf.GradientTape() as tape:
        outputs = tf.reduce_sum(TVL1(nscales=1, warps=1, median=1)(frames))
    assert tape.gradient(outputs, frames) is None


def test_config_round_trip(tmp_path):
    layer = TVL1("fast", lambda_=0.1, median=3, pairs_at_once=4, name="flow")
    again = TVL1.from_config(layer.get_config())
    assert again.get_config() == layer.get_config()
    assert again.warps == QUALITIES["fast"]["warps"]
    assert again.median == 3

    model = keras.Sequential([keras.Input((None, None, None, 3), dtype="uint8"), layer])
    assert model.output_shape == (None, None, None, None, 2)
    model.save(tmp_path / "flow.keras")
    loaded = keras.saving.load_model(tmp_path / "flow.keras")
    assert loaded.get_layer("flow").get_config() == layer.get_config()


def run(code, *arguments, **environment):
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)],
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", **environment},
        capture_output=True,
        text=True,
        cwd=arguments[0],
    )
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.parametrize("pairs_at_once", [None, pytest.param(2, marks=pytest.mark.slow)])
def test_export_runs_without_this_package(tmp_path, pairs_at_once):
    layer = TVL1(pairs_at_once=pairs_at_once, **QUICK)
    model = keras.Sequential([keras.Input((None, None, None, 3), dtype="uint8"), layer])
    model.export(tmp_path / "flow", format="tf_saved_model", verbose=False)
    clips = [np.repeat(shifted(1.5, 0.75, *size), 3, axis=-1) for size in ((40, 60), (18, 25))]
    clips = [np.stack([clips[0], clips[0][::-1]]), np.concatenate([clips[1], clips[1]])[None]]
    np.savez(tmp_path / "clips.npz", *clips)
    run(
        """
        import sys
        sys.modules.update(dict.fromkeys(("keras_i3d", "keras", "cv2")))
        import numpy as np, tensorflow as tf
        folder = sys.argv[1]
        serve = tf.saved_model.load(f"{folder}/flow").serve
        np.savez(f"{folder}/flows.npz", *(serve(x).numpy() for x in np.load(f"{folder}/clips.npz").values()))
        """,
        tmp_path,
    )
    for clip, exported in zip(clips, np.load(tmp_path / "flows.npz").values()):
        assert exported.shape == (*clip.shape[:1], clip.shape[1] - 1, *clip.shape[2:4], 2)
        assert endpoint(exported, flow(clip[..., :1], **QUICK)).mean() < 0.01


def test_jax_alone(tmp_path):
    clip = np.stack([shifted(1.5, 0.75), shifted(-1.25, 2.5)])
    np.save(tmp_path / "clip.npy", clip)
    run(
        """
        import sys
        sys.modules.update(dict.fromkeys(("tensorflow", "cv2", "av", "numba")))
        sys.path.insert(0, sys.argv[2])
        import keras, numpy as np
        from keras_i3d.flow import TVL1
        assert keras.backend.backend() == "jax"
        clip = np.load(f"{sys.argv[1]}/clip.npy")
        model = keras.Sequential([keras.Input((None, None, None, 1), dtype="uint8"), TVL1(nscales=2)])
        flow = model.predict_on_batch(clip)
        assert flow.dtype == "float32"
        assert not model.predict_on_batch(clip[:, [0, 0]]).any()
        twice = model.predict_on_batch(clip[[0, 0]])
        np.testing.assert_array_equal(twice[0], flow[0])
        model.save(f"{sys.argv[1]}/flow.keras")
        keras.saving.load_model(f"{sys.argv[1]}/flow.keras")
        np.save(f"{sys.argv[1]}/flow.npy", flow)
        """,
        tmp_path,
        ROOT,
        KERAS_BACKEND="jax",
        XLA_FLAGS="--xla_backend_optimization_level=0",  # compiling is most of this test
    )
    inner = np.s_[:, 20:-20, 20:-20]
    for frames, ours in zip(clip, np.load(tmp_path / "flow.npy")):
        assert_alike(ours[inner], opencv(frames, nscales=2)[inner])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"quality": "best"}, "quality must be one of opencv, fast, fastest. Received: quality='best'"),
        ({"tau": 0}, "tau must be positive. Received: tau=0"),
        ({"warps": 2.5}, "warps must be a whole number of at least 1. Received: warps=2.5"),
        ({"pairs_at_once": 0}, "pairs_at_once must be a whole number of at least 1"),
        ({"scale_step": 1.25}, "scale_step must be between 0 and 1"),
        ({"median": 4}, "median must be 1 (no filter), 3 or 5. Received: median=4"),
    ],
)
def test_settings_are_checked(settings, message):
    with pytest.raises(ValueError) as error:
        TVL1(**settings)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("shape", "message"),
    [((8, 64, 64, 3), "frames[None]"), ((1, 8, 64, 64, 2), "or 1 (grey)"), ((1, 1, 64, 64, 3), "at least 2")],
)
def test_frames_are_checked(shape, message):
    with pytest.raises(ValueError) as error:
        TVL1()(np.zeros(shape, "uint8"))
    assert message in str(error.value)
    assert str(shape) in str(error.value)
    with pytest.raises(ValueError):
        TVL1().compute_output_shape(shape)
