"""Each preset gives the files that its readers expect: counts that the sources tell, and their own way of reading.

The networks are short ones, so rows have fewer than 1024 channels; all else is as the presets have it, but for the size
of frames and crops.
"""

import contextlib

import keras
import numpy as np
import pytest
from made import ROOT, films, small_features, tiny

from keras_i3d import facts, features
from keras_i3d.facts import Facts
from keras_i3d.features import presets, windowing
from keras_i3d.features.presets import PRESETS
from keras_i3d.models import families, family
from keras_i3d.specs import INPUT_CHANNELS

NAMES = (
    "thumos14-actionformer",
    "thumos14-wtalc",
    "activitynet",
    "rtfm",
    "deepmil",
    "ur-dmu",
    "xd-violence",
    "ms-tcn",
    "video-features",
    "bmt",
    "piergiaj",
)
FRAMES = 67  # of the video, at 25 frames a second
SMALLER = {"340x256": "43x32", "short:256": "short:36", "least:226": "least:36", None: "short:36"}


def test_the_presets_of_the_issue():
    assert tuple(PRESETS) == NAMES
    for name, preset in PRESETS.items():
        assert preset.name == name
        assert preset.source
        assert f"{name}: {preset.title}" in str(preset)


@pytest.mark.parametrize(
    ("name", "frames", "rows"),
    [
        ("thumos14-actionformer", 5094, 1269),  # ActionFormer#5
        ("thumos14-wtalc", 201, 12),  # wtalc-pytorch#5
        ("thumos14-wtalc", 192, 11),
        ("activitynet", 201, 12),
        ("ur-dmu", 1601, 101),
        ("ur-dmu", 1600, 100),
        ("rtfm", 1601, 100),
        ("rtfm", 1600, 100),
        ("xd-violence", 1600, 99),  # (1600 - 1) // 16
        ("xd-violence", 1601, 100),
        ("ms-tcn", 1234, 1234),
        ("ms-tcn", 12, 12),
        ("video-features", 64, 0),
        ("video-features", 65, 1),
        ("video-features", 129, 2),
        ("bmt", 128, 1),
    ],
)
def test_rows_of_each_stream(name, frames, rows):
    layout = PRESETS[name].layout
    assert {len(windowing.starts(layout, stream, frames)) for stream in layout.streams} == {rows}


def test_what_a_row_of_ms_tcn_sees():
    """The 21 frames around it; at the ends the first and the last frame again, and no motion."""
    layout = PRESETS["ms-tcn"].layout
    rgb, flow = ([windowing.seen(layout, s, 50, start) for start in range(-10, 40)] for s in ("rgb", "flow"))
    assert rgb[0].frames.tolist() == [0] * 11 + list(range(1, 11))
    assert rgb[25].frames.tolist() == list(range(15, 36))
    assert rgb[49].frames.tolist() == list(range(39, 50)) + [49] * 10
    assert flow[0].frames.tolist() == [windowing.NOTHING] * 10 + list(range(11))
    assert flow[49].frames.tolist() == list(range(39, 49)) + [windowing.NOTHING] * 11


def test_channels_are_those_that_the_head_reads():
    files = {name: preset.files for name, preset in PRESETS.items()}
    assert files == {
        "thumos14-actionformer": "NAME.npy (T, 2048)",
        "thumos14-wtalc": "NAME.npy (T, 2048)",
        "activitynet": "NAME.npy (T, 2048)",
        "rtfm": "NAME_i3d.npy (T, 10, 2048)",
        "deepmil": "NAME__0 to NAME__9.npy (T, 1024)",
        "ur-dmu": "NAME_i3d.npy (10, T, 1024)",
        "xd-violence": "rgb/NAME__0 to rgb/NAME__4.npy, flow/NAME__0 to flow/NAME__4.npy (T, 1024)",
        "ms-tcn": "NAME.npy (2048, T)",
        "video-features": "NAME_rgb.npy, NAME_flow.npy (T, 1024)",
        "bmt": "NAME_rgb.npy, NAME_flow.npy (T, 1024)",
        "piergiaj": "rgb/NAME.npy, flow/NAME.npy (T, 1, 1, 1024)",
    }


def test_the_table_of_the_page_is_made_of_the_presets():
    page = (ROOT / "docs/features.md").read_text(encoding="utf-8")
    assert presets.markdown() in page, "make docs"
    assert presets.refreshed(page) == page, "make docs"
    begin, end = presets.BEGIN, presets.END
    assert presets.refreshed(f"a\n{begin}\nold\n{end} b") == f"a\n{begin}\n{presets.markdown()}\n{end} b"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Makes the features of a short video by a preset, and returns (the folder, the VideoFeatures read again)."""
    folder = tmp_path_factory.mktemp("presets")
    weights = {}
    for model, stream in (("I3D", "rgb"), ("I3D", "flow"), ("I3DResNet50-nonlocal", "rgb")):
        keras.utils.set_random_seed(len(weights))
        shape = (None, None, None, INPUT_CHANNELS[stream])
        with short_networks():
            built = families.find(model).build(stream=stream, classes=3, depth_multiplier=0.1, input_shape=shape)
        weights[model, stream] = facts.note(built, Facts(stream, 3, family=model, depth_multiplier=0.1))
    draw = np.random.default_rng(0)
    scene = np.kron(draw.integers(0, 255, (12, 40, 3)), np.ones((4, 4, 1))).astype("uint8")
    frames = [scene[:, i // 2 : i // 2 + 64] for i in range(FRAMES)]
    (folder / "v_one.mp4").write_bytes(films.film(frames))

    def make(name, **settings):
        preset = PRESETS[name]
        given = {stream: weights[preset.model, stream] for stream in preset.layout.streams}
        smaller = {"crop": 32, "resize": SMALLER[preset.layout.resize]}
        if "flow" in preset.layout.streams:
            smaller["flow_method"] = "dis"
        output = folder / f"{name}{len(list(folder.iterdir()))}"
        with short_networks():
            features.extract(folder / "v_one.mp4", output, preset=name, progress=False, **(given | smaller | settings))
        return output, features.read(output)["v_one"]

    return make


@contextlib.contextmanager
def short_networks():
    with pytest.MonkeyPatch.context() as patch:
        tiny.shorten(patch)
        small_features.op_by_op(patch)
        yield


def test_actionformer(made):
    """Rows at stride 4 of windows of 16, centred at (4 i + 8) / fps; the network of ActionFormer takes (C, T)."""
    folder, found = made("thumos14-actionformer")
    feats = np.load(folder / "v_one.npy").astype(np.float32)
    feats = np.ascontiguousarray(feats.transpose())
    channels = found.arrays["rgb"].shape[-1]
    assert feats.shape == (2 * channels, (FRAMES - 1 - 16) // 4)
    np.testing.assert_array_equal(feats[:channels].T, found.arrays["rgb"][0])  # rgb first
    feat_stride, num_frames, fps = 4, 16, 25
    seconds = (np.arange(feats.shape[1]) * feat_stride + 0.5 * num_frames) / fps
    np.testing.assert_allclose(found.centre["rgb"], seconds, atol=1e-9)


def test_wtalc(made):
    folder, found = made("thumos14-wtalc")
    every = np.load(folder / "Thumos14reduced-I3D-JOINTFeatures.npy", encoding="bytes", allow_pickle=True)
    assert every.shape == (1,)
    assert np.array(every[0]).shape == (4, 2 * found.arrays["rgb"].shape[-1])
    np.testing.assert_array_equal(every[0], np.load(folder / "v_one.npy"))


@pytest.mark.slow
def test_activitynet(made):
    """Read as (T, C), and resized in time to the length that a network takes."""
    folder, _ = made("activitynet")
    feats = np.load(folder / "v_one.npy")
    assert (len(feats), feats.dtype) == (4, np.float32)
    places = np.linspace(0, len(feats) - 1, 192)
    resized = np.stack([np.interp(places, np.arange(len(feats)), channel) for channel in feats.T])
    assert resized.shape == (feats.shape[1], 192)


def segments(feat, count=32):
    """Rows (T, C) as `count` means, as readers of UCF-Crime make them; where there are fewer rows, the row itself."""
    edges = np.linspace(0, len(feat), count + 1, dtype=int)
    return np.stack([feat[a:b].mean(axis=0) if a != b else feat[a] for a, b in zip(edges, edges[1:])])


def test_rtfm(made):
    folder, found = made("rtfm")
    feats = np.array(np.load(folder / "v_one_i3d.npy"), dtype=np.float32)
    assert feats.shape == (FRAMES // 16, 10, found.arrays["rgb"].shape[-1])
    divided = np.stack([segments(feat) for feat in feats.transpose(1, 0, 2)])
    assert divided.shape == (10, 32, feats.shape[-1])
    np.testing.assert_array_equal(divided[3, 0], feats[0, 3])
    # The first crop of the second five is the top left of the mirrored frame.
    tl, tr_mirrored, c_mirrored = feats[:, 0], feats[:, 5], feats[:, 7]
    alone = made("rtfm", crops=("tr_mirrored", "c_mirrored"))[1].arrays["rgb"]
    np.testing.assert_allclose(alone, [tr_mirrored, c_mirrored], atol=1e-5)
    assert abs(tl - tr_mirrored).max() > 1e-3


@pytest.mark.slow
def test_the_other_side_of_the_dispute_about_rtfm(made):
    """By 2 x / 255 - 1 the values differ, and the comparison says that the range does."""
    other = {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}
    theirs, ours = (made("rtfm", crops=1, step=2, **more)[0] / "v_one_i3d.npy" for more in (other, {}))
    found = features.compare(theirs, ours)
    assert found.correlation > 0.5
    assert "range of the inputs" in str(found)


def test_deepmil(made):
    folder, found = made("deepmil")
    files = [folder / f"v_one__{crop}.npy" for crop in range(10)]
    crops = np.stack([np.array(np.load(file), dtype=np.float32) for file in files])
    assert crops.shape == (10, 4, found.arrays["rgb"].shape[-1])
    assert segments(crops[0]).shape == (32, crops.shape[-1])
    order = found.notes["layout"]["crops"]
    assert order[:5] == ["c", "tl", "tr", "bl", "br"]
    assert order[5:] == [f"{place}_mirrored" for place in order[:5]]
    assert len({crop.tobytes() for crop in crops}) == 10


def test_ur_dmu(made):
    """67 frames are 4 windows, and one of 3 frames and the last one 13 times more."""
    folder, found = made("ur-dmu")
    feats = np.load(folder / "v_one_i3d.npy")
    assert feats.shape == (10, 5, found.arrays["rgb"].shape[-1])
    assert found.notes["layout"]["crops"][5:] == [f"{place}_mirrored" for place in ("tr", "tl", "c", "br", "bl")]


def test_xd_violence(made):
    folder, _ = made("xd-violence")
    for crop in range(5):
        rgb, flow = (np.array(np.load(folder / s / f"v_one__{crop}.npy"), dtype=np.float32) for s in ("rgb", "flow"))
        assert len(rgb) == (FRAMES - 1) // 16
        rgb = rgb if len(rgb) == len(flow) else rgb[:-1]
        assert np.concatenate((rgb, flow), axis=1).shape == (4, rgb.shape[1] + flow.shape[1])


def test_ms_tcn(made):
    """A column for each frame, of which 50Salads's readers take every second one."""
    folder, found = made("ms-tcn", fps=5)
    feats = np.load(folder / "v_one.npy")
    assert feats.shape == (2 * found.arrays["rgb"].shape[-1], found.frames)
    labels = ["cut"] * found.frames
    sample_rate = 2
    assert feats[:, ::sample_rate].shape[1] == len(labels[::sample_rate])
    np.testing.assert_allclose(found.centre["rgb"], (np.arange(found.frames) + 0.5) / 5)


def test_video_features(made):
    folder, found = made("video-features")
    arrays = {what: np.load(folder / f"v_one_{what}.npy") for what in ("rgb", "flow", "fps", "timestamps_ms")}
    assert arrays["rgb"].shape == arrays["flow"].shape == (1, found.arrays["rgb"].shape[-1])
    assert arrays["fps"] == 25
    np.testing.assert_allclose(arrays["timestamps_ms"], [64 / 25 * 1000])


@pytest.mark.slow
def test_bmt(made):
    folder, _ = made("bmt", window=24)  # MDVC's
    rgb, flow = (np.load(folder / f"v_one_{stream}.npy") for stream in ("rgb", "flow"))
    assert rgb.shape == flow.shape
    assert len(rgb + flow) == (FRAMES - 1) // 24


def test_piergiaj(made):
    """A map of one position; the rows are of two steps of the whole video each."""
    folder, found = made("piergiaj")
    channels = found.arrays["rgb"].shape[-1]
    for stream, frames in (("rgb", FRAMES), ("flow", FRAMES - 1)):
        feats = np.load(folder / stream / "v_one.npy")
        # The short network halves time once. Its maps of 32 pixels are 8 x 8, and the pool of 7 x 7 leaves 2 x 2.
        assert feats.shape == (-(-frames // 2) - 1, 2, 2, channels)
    whole = family.without_memory(lambda: families.find("I3D").build(input_shape=(64, 224, 224, 3)))
    assert whole.get_layer(presets.POOLED[0]).output.shape[1:] == (7, 1, 1, 1024)
    assert PRESETS["piergiaj"].layout.endpoint in presets.POOLED
