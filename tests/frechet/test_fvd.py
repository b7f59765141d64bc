"""From videos to a number: by two roads, growing with noise, with its card, its warnings and what it refuses."""

import json
import pickle

import keras
import numpy as np
import pytest
import scipy.linalg
from made import films, tiny
from PIL import Image

import keras_i3d
from keras_i3d import fvd, networks, runtimes
from keras_i3d.errors import EvaluationError
from keras_i3d.frechet import distances, fvd_protocols, logit_network
from keras_i3d.frechet.gaussians import Gaussian
from keras_i3d.models import families
from keras_i3d.weights import by_name

SIZE = 32  # of the network's clips here
CLASSES = 12
PROTOCOLS = tuple(fvd_protocols.PROTOCOLS)


@pytest.fixture(scope="module", autouse=True)
def network():
    """A trained network would have a bias: a tiny I3D with one, for clips of 32 x 32."""
    with pytest.MonkeyPatch.context() as patch:
        tiny.shorten(patch)
        patch.setattr(fvd_protocols, "SIZE", SIZE)
        keras.utils.set_random_seed(3)
        model = tiny.i3d(input_shape=(None, None, None, 3), classes=CLASSES, depth_multiplier=0.25)
        head = model.get_layer(families.of(model).head)
        kernel, bias = head.get_weights()
        head.set_weights([8 * kernel, bias + np.linspace(-1, 1, CLASSES)])
        yield model


@pytest.fixture(scope="module")
def ready(network):
    """The network, loaded once for all."""
    return logit_network.LogitNetwork(network)


def scenes(count=24, frames=10, seed=0, size=(36, 44)):
    """Smooth random pictures that move to the right by two pixels a frame."""
    draw, made = np.random.default_rng(seed), []
    for _ in range(count):
        coarse = draw.integers(0, 256, (6, 14, 3)).astype(np.uint8)
        wide = np.asarray(Image.fromarray(coarse).resize((size[1] + 2 * frames, size[0]), Image.BILINEAR))
        made.append([wide[:, 2 * t : 2 * t + size[1]] for t in range(frames)])
    return np.array(made)


def noisy(videos, deviation, seed=5):
    noise = np.random.default_rng(seed).normal(0, deviation, videos.shape)
    return np.uint8(np.clip(np.rint(videos + noise), 0, 255))


def measured(real, generated, network, **settings):
    return fvd(real, generated, **{"frames": 9, "weights": network, **settings})


def test_two_roads(network):
    """Against the network on clips made by TensorFlow 1's kernel, NumPy's covariance and SciPy's square root."""
    import tensorflow as tf

    sides = scenes(16), noisy(scenes(16, seed=1), 40)
    found = measured(*sides, network)
    gaussians, rows = [], []
    for videos in sides:
        frames = videos[:, :9].reshape(-1, *videos.shape[2:])
        clips = tf.compat.v1.image.resize_bilinear(frames, (SIZE, SIZE)).numpy().reshape(16, 9, SIZE, SIZE, 3)
        logits = networks.load(network, "rgb").to_logits().predict(2 * clips / 255 - 1, verbose=0)
        rows.append(np.float64(logits))
        gaussians.append((rows[-1].mean(axis=0), np.cov(rows[-1].T)))
    (m1, c1), (m2, c2) = gaussians
    root = scipy.linalg.sqrtm(c1 @ c2).real
    expected = ((m1 - m2) ** 2).sum() + np.trace(c1 + c2 - 2 * root)
    assert found.value == pytest.approx(expected, rel=1e-4)
    assert float(found) == found.value > 0.01
    assert found.distance.mean_term + found.distance.covariance_term == found.value
    assert fvd.from_features(*rows).value == pytest.approx(found.value, rel=1e-4)


def test_it_grows_with_noise_by_all_protocols_and_each_is_the_one_of_the_single_pass(ready):
    real = scenes(16)
    found = [measured(real, noisy(real, level), ready, frames=10, all_protocols=True) for level in (0, 15, 40, 90)]
    for name in PROTOCOLS:
        values = [each[name].value for each in found]
        assert values == sorted(values)
        assert values[-1] > 10 * max(values[1], 1e-6)
        alone = measured(real, noisy(real, 40), ready, frames=10, protocol=name)
        assert alone.value == pytest.approx(values[2], rel=1e-6)
        assert alone.card == found[2][name].card
    # Videos of no more frames than a clip: two protocols begin with the same one, and do the same to arrays.
    assert len({round(each.value, 6) for each in found[2].protocols.values()}) == 3
    said = str(found[2])
    assert "no two of these numbers can be compared" in said
    assert all(f"\n{name}: " in said for name in PROTOCOLS)
    assert json.loads(json.dumps(found[2].record()))["protocols"]["cd-fvd"]["value"] == found[2]["cd-fvd"].value
    assert abs(measured(real, real, ready).value) < 1e-6


def test_protocols_that_cannot_be_computed_are_named(ready):
    found = measured(scenes(14), scenes(15), ready, all_protocols=True)
    assert set(found.protocols) == {"stylegan-v", "cd-fvd"}
    assert "at least 10 frames. Received: frames=9" in found.refused["common-metrics"]
    assert "a multiple of 16 videos. Received: 14 real videos" in found.refused["original"]
    assert "original: none" in str(found)
    with pytest.raises(ValueError, match="a multiple of 16 videos. Received: 14 real videos"):
        measured(scenes(14), scenes(15), ready)
    with pytest.raises(ValueError, match="14 real and 15 generated videos. Pass videos=14"):
        measured(scenes(14), scenes(15), ready, frames=10, protocol="common-metrics")
    with pytest.raises(EvaluationError, match="frames of 44x36, 48x36"):
        measured(scenes(2), scenes(2, size=(36, 48)), ready, frames=10, protocol="common-metrics")
    with pytest.raises(EvaluationError, match="2 real and 3 generated videos that give a clip. Pass videos=2"):
        measured(iter(scenes(2)), iter(scenes(3)), ready, frames=10, protocol="common-metrics")


def test_rows_of_videos_are_those_of_the_distance(ready):
    """For metrics and callbacks, in batches of any size."""
    real, generated = scenes(16, frames=9), noisy(scenes(16, frames=9, seed=1), 40)
    for name in PROTOCOLS[:3]:
        rows = [ready.rows(videos, name) for videos in (real, generated)]
        assert rows[0].shape == (16, CLASSES)
        protocol = fvd_protocols.PROTOCOLS[name]
        expected = fvd.from_features(*rows, ddof=protocol.ddof, form=protocol.form)
        assert measured(real, generated, ready, protocol=name).value == pytest.approx(expected.value, rel=1e-5)
    np.testing.assert_allclose(ready.rows(real[3:5]), ready.rows(real)[3:5], rtol=1e-4, atol=1e-4)
    with pytest.raises(ValueError, match=r"uint8 \(N, T, H, W, 3\). Received: float64"):
        ready.rows(np.zeros((2, 9, 32, 32, 3)))


def test_one_video_by_its_mean_alone(ready):
    one, other = scenes(1), scenes(1, seed=1)
    found = measured(one, other, ready, frames=np.int64(10), seed=np.int64(0), protocol="common-metrics")
    assert found.value == found.distance.mean_term > 0
    assert json.loads(json.dumps(found.record()))["card"]["frames"] == 10  # NumPy's numbers or Python's


def test_the_card(network, ready, tmp_path):
    for i, video in enumerate(scenes(3, frames=14)):
        (tmp_path / "real").mkdir(exist_ok=True)
        (tmp_path / f"real/{i}.mp4").write_bytes(films.film(list(video), rate=30))
        for t, frame in enumerate(video[:9, :32]):
            (tmp_path / f"mine/{i}").mkdir(parents=True, exist_ok=True)
            Image.fromarray(frame).save(tmp_path / f"mine/{i}/{t}.png")
    (tmp_path / "mine/short").mkdir()
    Image.fromarray(frame).save(tmp_path / "mine/short/0.png")
    output = tmp_path / "card.json"
    found = measured(tmp_path / "real", tmp_path / "mine", ready, protocol="stylegan-v", seed=4, output=output)
    assert json.loads(output.read_text()) == found.record()
    card = found.card
    assert [card[name] for name in ("protocol", "frames", "stride", "seed", "videos")] == ["stylegan-v", 9, 1, 4, 2048]
    assert (card["estimator"], card["version"]) == (
        "covariance by N, square root: real part of the product's (as scipy.linalg.sqrtm)",
        keras_i3d.__version__,
    )
    assert card["network"]["logits"] == CLASSES
    assert card["network"]["sha256"] == by_name.digest(network)
    assert card["network"]["runtime"] == runtimes.with_version("tensorflow")
    assert f"{CLASSES} logits, float32 by tensorflow " in str(found)
    real, mine = card["real"], card["generated"]
    assert (real["source"], real["clips"], real["begins"], real["frames"]) == (
        str(tmp_path / "real"),
        3,
        "random",
        [14, 14],
    )
    assert (real["fps"], real["sizes"], real["encodings"], real["lossy"]) == (
        {"30": 3},
        {"44x36": 3},
        {"mpeg4": 3},
        ["mpeg4"],
    )
    assert (mine["clips"], mine["begins"], mine["encodings"], mine["lossy"]) == (3, "first", {"png": 3}, [])
    assert mine["short"] == {"count": 1, "names": [str(tmp_path / "mine/short")]}
    said = "\n".join(found.warnings)
    for warning in (
        "3 rows are fewer than the 13",
        "Clips have 9 frames",
        "differ in length: real 14 to 14 frames, generated 9 to 9 frames",
        "differ in size: real 44x36, generated 44x32",
        "compressed with loss and the other is not: real mpeg4, generated png",
        "1 generated videos are shorter than a clip, and left out",
        "published numbers are by I3D's kinetics-scratch",
    ):
        assert warning in said
        assert warning in str(found)
    assert "per second" not in said  # pictures have no rate


def test_other_warnings(ready, tmp_path):
    for side, rate, codec in (("a", 25, "mpeg4"), ("b", 10, "libx264")):
        (tmp_path / side).mkdir()
        for i, video in enumerate(scenes(13)):
            (tmp_path / side / f"{i}.mp4").write_bytes(films.film(list(video), codec=codec, rate=rate))
    found = measured(tmp_path / "a", tmp_path / "b", ready, frames=10, protocol="common-metrics")
    assert [warning.split(":")[0] for warning in found.warnings] == [
        "The network is the model i3d_rgb (I3D); published numbers are by I3D's kinetics-scratch, rgb.",
        "The videos of both sides differ in frames per second",
        "Both sides are compressed with loss, by different codecs",
    ]
    assert (
        measured(scenes(13), scenes(14), ready, protocol="cd-fvd", videos=None)
        .warnings[0]
        .startswith("The sides have 13 and 14 rows")
    )
    found = measured(scenes(19), scenes(19), ready)
    assert "3 real clips are left out, because N is a multiple of 16." in found.warnings


def test_statistics_are_a_side_again(ready, tmp_path):
    real, generated = scenes(16), noisy(scenes(16, seed=1), 30)
    files = {f"save_{side}": str(tmp_path / f"{side}.npz") for side in ("real", "generated")}
    whole = measured(real, generated, ready, **files)
    paths = files["save_real"], files["save_generated"]
    for a, b in ((paths[0], generated), (real, paths[1]), (Gaussian.load(paths[0]), paths[1])):
        again = measured(a, b, ready)
        assert again.value == pytest.approx(whole.value, rel=1e-6)
        assert again.warnings == whole.warnings or again.warnings == whole.warnings[:1]
    assert again.card["network"] == whole.card["network"]
    assert again.card["real"]["sizes"] == {"44x36": 16}
    assert "16 clips of" in str(again)
    assert "saved statistics" in str(again)
    bootstrapped = measured(paths[0], generated, ready, bootstrap=4, extrapolate=True, motion_check=True)
    assert bootstrapped.interval.low < bootstrapped.interval.high
    assert list(bootstrapped.motion) == ["generated"]


def test_statistics_that_were_made_otherwise_are_refused(network, ready, tmp_path):
    real, path = scenes(16), str(tmp_path / "real.npz")
    measured(real, real, ready, save_real=path)
    for settings, message in (
        ({"protocol": "cd-fvd"}, "protocol='original', and protocol='cd-fvd'"),
        ({"frames": 10}, "frames=9, and frames=10"),
        ({"all_protocols": True}, "Saved statistics are of one protocol"),
        ({"kernel": True}, "kernel= needs the rows of both sides"),
        ({"save_real": f"{path}.npz"}, "save_real= is of videos"),
    ):
        with pytest.raises(ValueError, match=message):
            measured(path, real, ready, **settings)
    other = keras.models.clone_model(network)
    other.set_weights([0.5 * array for array in network.get_weights()])
    with pytest.raises(ValueError, match=rf"through the same network.*\(sha256 {by_name.digest(network)}\)"):
        measured(path, real, other)
    Gaussian(5).update(np.eye(5)).save(tmp_path / "five.npz")
    with pytest.raises(ValueError, match="statistics of 5 features, and 12 logits"):
        measured(tmp_path / "five.npz", real, ready, protocol="cd-fvd")
    with pytest.raises(ValueError, match="statistics of 5 and 12 features"):
        measured(tmp_path / "five.npz", path, ready, protocol="cd-fvd")
    with pytest.raises(ValueError, match="bootstrap= needs videos on one side"):
        measured(path, path, ready, bootstrap=3)


def test_cd_fvds_published_statistics(ready, tmp_path):
    real = scenes(16)
    generated = noisy(real, 30)
    expected = measured(real, generated, ready, protocol="cd-fvd", resolution=128, save_real=tmp_path / "s.npz")
    saved = Gaussian.load(tmp_path / "s.npz")
    raw_cov = saved.scatter + 16 * np.outer(saved.mean, saved.mean)
    content = {"raw_mean": 16 * saved.mean, "raw_cov": raw_cov, "num_items": 16, "all_features": []}
    path = tmp_path / "i3d_ucf101_full_res128_len9_skip1_seed0.pkl"
    path.write_bytes(pickle.dumps(content))
    again = measured(path, generated, ready, protocol="cd-fvd", resolution=128)
    assert again.value == pytest.approx(expected.value, rel=1e-5)
    assert "nothing says that its network had the same weights" in again.warnings[0]
    for settings, message in (
        ({"protocol": "original"}, "is of the protocol cd-fvd"),
        ({"protocol": "cd-fvd"}, "resolution=128 by their name, and resolution=256"),
        ({"protocol": "cd-fvd", "resolution": 128, "frames": 10}, "frames=9 by their name, and frames=10"),
    ):
        with pytest.raises(ValueError, match=message):
            measured(path, generated, ready, **settings)
    unnamed = path.rename(tmp_path / "stats.pkl")
    assert "does not say how it was made" in measured(unnamed, generated, ready, protocol="cd-fvd").warnings[0]


def test_kernel_interval_extrapolation_and_motion(ready):
    real, generated = scenes(20), noisy(scenes(20, seed=1), 30)
    settings = {"protocol": "stylegan-v", "kernel": True, "bootstrap": 5, "extrapolate": True, "motion_check": True}
    found = measured(real, generated, ready, **settings)
    record = json.loads(json.dumps(found.record()))
    assert record["kernel"]["value"] == found.kernel.value
    assert found.kernel.standard_error > 0
    assert record["interval"]["low"] < found.value < record["interval"]["high"]
    assert record["extrapolated"]["value"] < found.value
    assert "subsets of 10 videos and more; those of fewer than 13 are on no line" in found.warnings[-1]
    assert set(record["motion"]) == {"real", "generated"}
    assert min(found.motion["real"].values()) > 0.05
    frozen = measured(real, np.repeat(generated[:, :1], 9, axis=1), ready, protocol="stylegan-v")
    assert found.motion["generated"]["frozen"] == pytest.approx(frozen.value, rel=1e-5)
    for text in ("kernel ", "interval ", "N -> inf ", "real videos against themselves: frozen"):
        assert text in str(found)
    still = measured(real[:, :1].repeat(9, 1), real[:, :1].repeat(9, 1)[::-1], ready, motion_check=True, videos=16)
    assert "the number does not measure motion here" in str(still) or still.value < 1e-9


def test_what_is_interrupted_leaves_nothing(ready, tmp_path):
    """The real side is finished and stays; nothing else is there, and no temporary file."""

    def breaking():
        yield from scenes(4)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measured(
            scenes(16),
            breaking(),
            ready,
            save_real=tmp_path / "real.npz",
            save_generated=tmp_path / "generated.npz",
            output=tmp_path / "card.json",
        )
    assert [path.name for path in tmp_path.iterdir() if path.name != "keras_home"] == ["real.npz"]
    assert Gaussian.load(tmp_path / "real.npz").count == 16


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"frames": 0}, "frames must be a whole number of at least 1. Received: frames=0"),
        ({"frames": 8}, "takes clips of at least 9 frames. Received: frames=8"),
        ({"videos": 0}, "videos must be"),
        ({"bootstrap": 1}, "bootstrap must be 0, or at least 2 draws"),
        ({"protocol": "FVD"}, "protocol must be one of"),
        ({"precision": "int8"}, "precision must be"),
        ({"resolution": 128}, "resolution= is of the protocol cd-fvd"),
        ({"save_real": "real.pkl"}, "Statistics are written to a .npz. Received: save_real='real.pkl'"),
        ({"output": "/nowhere/card.json"}, "no folder /nowhere"),
        ({"real": "nowhere"}, "The real side may be: a folder of videos"),
        ({"weights": None}, "never trained"),
    ],
)
def test_settings_out_of_range(settings, message, ready):
    arguments = {"real": np.zeros((16, 9, 32, 32, 3), np.uint8), "generated": np.zeros((16, 9, 32, 32, 3), np.uint8)}
    with pytest.raises(ValueError, match=message):
        fvd(**{"frames": 9, "weights": ready, **arguments, **settings})


def test_nothing_that_is_read_or_written_is_replaced(ready, tmp_path):
    videos, files = np.zeros((2, 9, 32, 32, 3), np.uint8), tmp_path / "videos.npz"
    np.savez(files, videos)
    before = files.read_bytes()
    one = tmp_path / "one.npz"
    for settings, message in (
        ({"save_generated": tmp_path / "." / "videos.npz"}, "is read as a side"),
        ({"save_real": one, "save_generated": one}, "is written already"),
        ({"save_real": one, "output": one}, "is written already"),
        ({"output": tmp_path}, "What is written is a file. Received: .*, a folder"),
    ):
        with pytest.raises(ValueError, match=message):
            measured(files, videos, ready, protocol="cd-fvd", **settings)
    assert files.read_bytes() == before
    assert not one.exists()


def test_sides_that_are_not_scaled_alike(ready, tmp_path):
    """cd-fvd's code scales what lies in folders, and arrays not."""
    videos = scenes(3, frames=9)
    for i, video in enumerate(videos):
        (tmp_path / f"mine/{i}").mkdir(parents=True)
        for t, frame in enumerate(video):
            Image.fromarray(frame).save(tmp_path / f"mine/{i}/{t}.png")

    def said(real, **settings):
        found = measured(real, tmp_path / "mine", ready, protocol="cd-fvd", videos=3, **settings)
        return [warning for warning in found.warnings if "not prepared alike" in warning]

    assert "real videos as they are, generated videos scaled and cropped to 256 as pictures" in said(videos)[0]
    assert said(tmp_path / "mine", save_real=tmp_path / "s.npz") == said(tmp_path / "s.npz") == []
    measured(videos, videos, ready, protocol="cd-fvd", save_real=tmp_path / "s.npz")
    assert len(said(tmp_path / "s.npz")) == 1


def test_another_precision_is_said_and_is_no_side(network, ready, tmp_path):
    real = scenes(2, frames=9)
    settings = {"protocol": "cd-fvd", "precision": "bfloat16", "save_real": tmp_path / "s.npz"}
    found = measured(real, real, network, **settings)
    assert found.card["network"]["precision"] == "bfloat16"
    assert any("(I3D) in bfloat16; published" in warning for warning in found.warnings)
    assert ready.card["precision"] == "float32"
    with pytest.raises(ValueError, match="real statistics in bfloat16, and float32 for the other side"):
        measured(tmp_path / "s.npz", real, ready, protocol="cd-fvd")


def test_a_callback_measures_as_the_protocol_does(ready, tmp_path):
    from keras_i3d.frechet import FrechetCallback

    real, generated = scenes(6, frames=9), noisy(scenes(6, frames=9, seed=1), 40)
    settings = {"protocol": "stylegan-v", "save_real": tmp_path / "s.npz"}
    expected = measured(real, generated, ready, **settings)
    for side in (lambda: [real[:4], real[4:]], tmp_path / "s.npz"):
        follow, logs = FrechetCallback(side, lambda model: [generated], ready, protocol="stylegan-v"), {}
        follow.on_train_begin()
        follow.on_epoch_end(0, logs)
        assert logs == {"val_fvd_stylegan-v": pytest.approx(expected.value, rel=1e-5)}
    with pytest.raises(ValueError, match="by 'stylegan-v', and protocol='original'"):
        FrechetCallback(tmp_path / "s.npz", lambda model: [], ready, protocol="original").on_train_begin()
    with pytest.raises(ValueError, match="one of original, stylegan-v.*Received: protocol='mine'"):
        FrechetCallback(tmp_path / "s.npz", lambda model: [], ready, protocol="mine")


def test_the_hash_is_that_of_the_weights(network, tmp_path):
    network.save(tmp_path / "n.keras")
    assert by_name.digest(keras.models.load_model(tmp_path / "n.keras")) == by_name.digest(network)
    other = keras.models.clone_model(network)
    other.set_weights(network.get_weights())
    assert by_name.digest(other) == by_name.digest(network)
    arrays = network.get_weights()
    arrays[0][0, 0, 0, 0, 0] += 1e-3
    other.set_weights(arrays)
    assert by_name.digest(other) != by_name.digest(network)


def test_public_names():
    assert keras_i3d.fvd is fvd
    for name in ("from_features", "frechet_distance", "kernel_distance", "bootstrap", "extrapolated"):
        assert getattr(fvd, name) is getattr(distances, name)
    assert "fvd" in dir(keras_i3d)
