"""Videos, healthy and with one thing wrong."""

import dataclasses
import pathlib
import types

import numpy as np
import pytest
from made import films, sick

from keras_i3d.checkup import video_checks
from keras_i3d.checkup.video_sample import clipped
from keras_i3d.models import families
from keras_i3d.specs import RGB_CLIP

# A network that takes frames as small as these videos have them.
SMALL = types.SimpleNamespace(family=families.find("I3D"), clip=dataclasses.replace(RGB_CLIP, short_side=48, crop=32))


@pytest.fixture(scope="module")
def healthy(tmp_path_factory):
    return sick.video(tmp_path_factory.mktemp("healthy") / "a.mp4")


def examined(path, network=SMALL):
    return list(video_checks.examine(path, network))


def test_a_healthy_video(healthy):
    found = examined(healthy)
    assert {finding.level for finding in found} == {"fine"}
    assert "80x64 pixels, h264, 25 fps, 3.2 s" in sick.said(found, "video.frames").found
    assert {finding.about for finding in found} == {healthy}
    motion = float(sick.said(found, "video.motion").found.split()[1])
    assert 0.6 < motion < 0.9  # a pixel a frame of 64 rows, at 48


@pytest.mark.slow  # test_examination.py has the line of such a video too
def test_a_video_for_the_published_networks_is_enlarged(healthy):
    found = examined(healthy, None)
    assert sick.wrong(found) == {}
    assert "short side of 64 pixels, enlarged to the published networks' 256" in sick.said(found, "video.small").found


def test_turned_and_interlaced(tmp_path):
    (tmp_path / "turned.mp4").write_bytes(films.turned(films.film(sick.moving(70), codec="libx264"), (0, 1, -1, 0)))
    found = sick.said(examined(str(tmp_path / "turned.mp4")), "video.rotated")
    assert found.level == "note"
    assert f"ffmpeg -i {tmp_path}/turned.mp4" in found.remedy
    settings = {"container": "mpeg", "codec": "mpeg2video", "options": {"flags": "+ildct+ilme"}, "bit_rate": 8_000_000}
    found = examined(sick.video(tmp_path / "lines.mpg", **settings))
    assert sick.said(found, "video.interlaced").found.startswith("100% of the frames")
    assert sick.wrong(found) == {}


@pytest.mark.parametrize(
    ("settings", "code", "level", "words"),
    [
        ({"rate": 50}, "video.frame_rate", "note", "50 fps, resampled to 25: 50% of the frames are dropped"),
        ({"rate": 5}, "video.frame_rate", "warning", "5 fps"),
        ({"times": [40 * i + 12 * (i % 3) for i in range(80)]}, "video.variable_rate", "note", "16 to 52 ms"),
    ],
)
def test_frame_rates(settings, code, level, words, tmp_path):
    found = sick.said(examined(sick.video(tmp_path / "a.mkv", container="matroska", **settings)), code)
    assert found.level == level
    assert words in found.found


@pytest.mark.parametrize(
    ("pictures", "code", "level"),
    [
        (sick.moving(1) * 70, "video.still", "warning"),
        ([np.full_like(p, 2) for p in sick.moving(70)], "video.dark", "warning"),
        ([np.full_like(p, 90) for p in sick.moving(70)], "video.flat", "warning"),
        ([np.pad(p[12:-12], ((12, 12), (0, 0), (0, 0))) for p in sick.moving(70)], "video.bars", "warning"),
        (sick.moving(5), "video.short", "warning"),
        (sick.moving(30), "video.short", "note"),
    ],
    ids=["still", "dark", "flat", "bars", "short", "shorter than in training"],
)
def test_what_is_seen(pictures, code, level, tmp_path):
    found = examined(sick.video(tmp_path / "a.mp4", pictures))
    assert sick.said(found, code).level == level
    assert set(sick.wrong(found)) <= {code}


def test_a_small_thing_that_moves_and_a_dark_stage():
    still = np.repeat(np.linspace(60, 180, 340).astype("uint8")[None, None, :, None], 3, 0)
    still = np.broadcast_to(still, (3, 256, 340, 3)).copy()
    moving = still.copy()
    for number, frame in enumerate(moving):
        frame[100:108, 40 * number : 40 * number + 8] = 220
    noisy = still + np.random.default_rng(0).integers(0, 12, still.shape, dtype="uint8")
    for frames, code in ((still, "video.still"), (moving, "video.contents"), (noisy, None)):
        changes = np.abs(frames.astype(float) - frames[0]).mean(axis=(1, 2, 3))
        seen = types.SimpleNamespace(frames=frames, changes=changes)
        (found,) = video_checks.contents(seen)
        assert code in (None, found.code)
        assert video_checks._small_thing(frames) == (code == "video.contents")
    y, x = np.mgrid[:256, :340]
    spot = 255 * np.exp(-(((y - 128) / 60) ** 2) - ((x - 170) / 80) ** 2)
    seen = types.SimpleNamespace(frames=np.repeat(spot[None, ..., None], 3, -1).astype("uint8"), read=50)
    assert list(video_checks.bars(seen)) == []
    seen.frames = np.pad(np.full((1, 200, 340, 3), 90, "uint8"), ((0, 0), (28, 28), (0, 0), (0, 0)))
    (found,) = video_checks.bars(seen)
    assert "above and below, 22%" in found.found


def test_damage(healthy, tmp_path):
    content = pathlib.Path(healthy).read_bytes()
    (tmp_path / "cut.mkv").write_bytes(films.film(sick.moving(), "matroska", "libx264")[:-4000])
    assert sick.said(examined(str(tmp_path / "cut.mkv")), "video.whole").level == "warning"
    (tmp_path / "none.mp4").write_bytes(content[:100])
    (found,) = examined(str(tmp_path / "none.mp4"))
    assert (found.code, found.level, found.about) == ("video.unreadable", "fault", str(tmp_path / "none.mp4"))


def test_pixels_that_are_not_square_and_the_full_range(tmp_path):
    from fractions import Fraction

    found = examined(sick.video(tmp_path / "a.mp4", sample_aspect_ratio=Fraction(4, 3)))
    assert "1.33 times as wide" in sick.said(found, "video.pixel_aspect").found
    found = examined(sick.video(tmp_path / "b.mp4", pixels="yuvj420p"))
    assert sick.said(found, "video.range").level == "note"


def test_motion_beyond_the_bound():
    flow = np.zeros((1, 4, 4, 2), "float32")
    flow[0, 0] = (30, 40)
    mean, beyond = clipped(flow)
    assert (mean, beyond) == (12.5, 0.25)


def test_a_network_of_larger_crops(healthy):
    large = types.SimpleNamespace(family=SMALL.family, clip=dataclasses.replace(RGB_CLIP, short_side=150, crop=144))
    found = sick.said(examined(healthy, large), "video.small")
    assert found.level == "warning"
    assert "--short_side=64" in found.remedy
