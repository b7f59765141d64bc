"""What is in records: healthy, with channels, values, components or scale of another kind."""

import numpy as np
import pytest
from made import sick, small_records

from keras_i3d.checkup import record_contents, record_sample
from keras_i3d.checkup.colour_order import looks_swapped, swapped_against
from keras_i3d.checkup.findings import look


def examined(place, videos=()):
    return list(look(place, record_contents.CHECKS, videos, record_sample.splits(place)))


def made(tmp_path, monkeypatch, **settings):
    return examined(sick.records(tmp_path / "records", monkeypatch, **settings))


def test_healthy_records(tmp_path, monkeypatch):
    found = made(tmp_path, monkeypatch)
    assert {finding.level for finding in found} == {"fine"}
    assert "as (dx, dy)" in sick.said(found, "records.flow_order").found
    scale = float(sick.said(found, "records.flow_scale").found.split()[4])
    assert 0.9 < scale < 1.1
    assert "9 clips looked at, of 7 to 13 frames at 25 fps" in sick.said(found, "records.frames").found


@pytest.mark.parametrize(
    ("field", "words"),
    [
        (lambda flow: flow[..., ::-1], "(dy, dx)"),
        pytest.param(lambda flow: flow * (-1, 1), "(-dx, dy)", marks=pytest.mark.slow),
        pytest.param(lambda flow: flow * (1, -1), "(dx, -dy)", marks=pytest.mark.slow),
        pytest.param(lambda flow: -flow, "(-dx, -dy)", marks=pytest.mark.slow),
    ],
    ids=["swapped", "dx", "dy", "both"],
)
def test_components_of_flow(field, words, tmp_path, monkeypatch):
    found = made(tmp_path, monkeypatch, field=field, videos=4)
    assert sick.wrong(found) == {"records.flow_order": "fault"}
    assert f"as {words}" in sick.said(found, "records.flow_order").found


@pytest.mark.parametrize("factor", [pytest.param(0.2, marks=pytest.mark.slow), 4.0])
def test_scale_of_flow(factor, tmp_path, monkeypatch):
    found = made(tmp_path, monkeypatch, field=lambda flow: flow * factor, videos=4)
    assert sick.wrong(found) == {"records.flow_scale": "fault"}
    scale = float(sick.said(found, "records.flow_scale").found.split()[4])
    assert 0.8 * factor < scale < 1.2 * factor


@pytest.mark.slow
def test_flow_that_is_zero_or_of_other_frames(tmp_path, monkeypatch):
    assert sick.wrong(made(tmp_path / "a", monkeypatch, field=lambda flow: 0 * flow)) == {"records.flow": "fault"}
    draw = np.random.default_rng(0)
    found = made(tmp_path / "b", monkeypatch, field=lambda flow: draw.normal(0, 3, flow.shape))
    assert sick.wrong(found) == {"records.flow_order": "warning"}
    found = made(tmp_path / "c", monkeypatch, field=lambda flow: np.where(flow > 1, 90, flow))
    assert sick.said(found, "records.flow_clipped").level == "warning"


def test_values_that_were_scaled_before(tmp_path, monkeypatch):
    found = made(tmp_path, monkeypatch, turn=lambda frames: (frames / 255).astype("uint8"), spec=no_flow())
    assert sick.wrong(found) == {"records.range": "fault"}


def no_flow():
    import dataclasses

    return dataclasses.replace(sick.SPEC, flow_method=None)


def warm(seed, *_, frames=12, height=40):
    """A texture of skin, wood and earth that moves."""
    clip = small_records_clip(seed, (0, 1), frames, height).astype("float32") / 255
    return np.stack([180 + 60 * clip[..., 0], 50 + 120 * clip[..., 1], 10 + 40 * clip[..., 2]], -1).astype("uint8")


small_records_clip = small_records.clip


def test_red_and_blue_by_colours_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(small_records, "clip", warm)
    found = made(tmp_path / "rgb", monkeypatch, spec=no_flow())
    assert sick.wrong(found) == {}
    found = made(tmp_path / "bgr", monkeypatch, turn=lambda frames: frames[..., ::-1], spec=no_flow())
    assert sick.wrong(found) == {"records.channel_order": "warning"}
    assert "in 9 of 9 clips" in sick.said(found, "records.channel_order").found
    blue = np.zeros((4, 40, 40, 3), "uint8") + np.uint8([20, 80, 200])  # a single hue says nothing
    assert not looks_swapped(blue)[0]


def test_red_and_blue_against_source_videos(tmp_path, monkeypatch):
    for i in range(9):
        frames = list(small_records.clip(i, small_records.MOTIONS[i % 3]))
        (tmp_path / "videos/train").mkdir(parents=True, exist_ok=True)
        sick.video(tmp_path / f"videos/train/{i:03}.mp4", frames)
    videos = [tmp_path / "videos"]
    place = sick.records(tmp_path / "rgb", monkeypatch, spec=no_flow())
    assert sick.said(examined(place, videos), "records.channel_order").level == "fine"
    place = sick.records(tmp_path / "bgr", monkeypatch, turn=lambda frames: frames[..., ::-1], spec=no_flow())
    found = sick.said(examined(place, videos), "records.channel_order")
    assert found.level == "fault"
    assert "against 8 source videos" in found.found
    others = sick.records(tmp_path / "others", monkeypatch, spec=no_flow(), seed=40)  # of the same names
    assert [each.level for each in examined(others, videos) if each.code == "records.channel_order"] == []
    grey = np.full((8, 8, 3), 90, "uint8")
    assert not swapped_against(grey, grey)[0]


def test_clips_in_which_nothing_moves_and_another_rate(tmp_path, monkeypatch):
    import dataclasses

    spec = dataclasses.replace(no_flow(), fps=12.5)
    found = made(tmp_path, monkeypatch, turn=lambda frames: np.repeat(frames[:1], len(frames), 0), spec=spec)
    assert sick.wrong(found) == {"records.still": "warning"}
    assert "12.5 fps" in sick.said(found, "records.fps").found
