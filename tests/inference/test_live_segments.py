"""Rows of video without an end are those of one pass over it; windows are what a network says of their frames."""

import dataclasses

import numpy as np
import pytest
from made import ROOT, live_networks

from keras_i3d import video
from keras_i3d.flow import pairs
from keras_i3d.inference import chunks
from keras_i3d.inference.live_segments import Settings
from keras_i3d.models.families import FAMILIES

SLOW = pytest.mark.slow


@pytest.fixture(scope="module")
def frames():
    return video.read(live_networks.film(200), 25, 40)


def single_pass(classifier, frames):
    """{stream: rows} of one pass over the frames."""
    rows = {}
    for stream in classifier.streams:
        clip = frames if stream == "rgb" else list(pairs.stream(frames, "tvl1"))
        clip = np.stack([chunks.centre_crop(frame, 32) for frame in clip[:: classifier.clips[stream].frame_stride]])
        family = classifier.networks[stream].family
        rows[stream] = chunks.rows(classifier.models[stream], family, classifier.clips[stream].prepared(clip), 512)
    return rows


@pytest.fixture(scope="module")
def offline(live_both, frames):
    """Of the video cut behind its 24th step."""
    return single_pass(live_both, frames[:192])


def feed(settings, frames, sizes):
    """Returns (all Dues, the segment) of blocks that come so many at a time."""
    segment, found, at = settings.segment(), [], 0
    for size in sizes:
        for _ in range(size):
            segment.add([*frames[at : at + settings.frames]])
            at += settings.frames
        found += segment.due()
    return [*found, *segment.finish()], segment


@pytest.mark.parametrize("sizes", [[3, 1, 9, 11], *(pytest.param(each, marks=SLOW) for each in ([1] * 24, [24]))])
def test_exact_rows_are_those_of_one_pass(sizes, live_both, frames, offline):
    """Both streams, whatever the chunks; and not those of a video of another length, whose padding stands elsewhere."""
    found, _ = feed(Settings(live_both, rows=True), frames, sizes)
    assert [(due.first, due.end, due.missing) for due in found] == [(8 * r, 8 * r + 16, 0) for r in range(23)]
    for stream, rows in offline.items():
        got = np.stack([due.logits[stream] for due in found])
        assert np.abs(got - rows).max() < 2e-6
        assert np.ptp(rows, axis=0).min() > 1e-4


@SLOW
def test_exact_rows_of_frames_that_lie_apart(live_both, frames, monkeypatch):
    """Every second frame: a step is of 16 at the clip's rate, and the last field is that of the last frame but one."""
    for stream, clip in live_both.clips.items():
        monkeypatch.setitem(live_both.clips, stream, dataclasses.replace(clip, frame_stride=2))
    settings = Settings(live_both, rows=True)
    assert settings.frames == 16
    found, _ = feed(settings, frames, [1] * 12)
    for stream, rows in single_pass(live_both, frames[:192]).items():
        assert np.abs(np.stack([due.logits[stream] for due in found]) - rows).max() < 2e-6


def test_the_phase_of_padding_matters(live_rgb, frames, offline):
    """So a row is that of the video cut behind a whole step: its last frames would change all rows."""
    other = single_pass(live_rgb, frames[:196])
    assert np.abs(other["rgb"][:23] - offline["rgb"]).max() > 1e-4


def test_a_row_is_final_when_its_halo_has_come(live_rgb, frames, offline):
    """7 steps behind the 2 of its own: before that there is none."""
    segment = Settings(live_rgb, rows=True).segment()
    for step in range(9):
        assert not [*segment.due()]
        segment.add([*frames[8 * step : 8 * step + 8]])
    (first,) = segment.due()
    assert np.abs(first.logits["rgb"] - offline["rgb"][0]).max() < 2e-6


def test_a_shorter_delay_says_what_is_missing(live_rgb, frames, offline):
    """0.7 s are two steps: each row lacks five of the seven that it sees behind it."""
    settings = Settings(live_rgb, rows=True, delay=0.7)
    assert settings.waits == {"rgb": 2}
    found, _ = feed(settings, frames, [1] * 24)
    assert [due.missing for due in found] == [5] * 21 + [0] * 2
    apart = np.abs(np.stack([due.logits["rgb"] for due in found]) - offline["rgb"]).max(axis=1)
    assert apart[:15].max() > 1e-5  # the last 7 rows see the end in any case
    # It is the row of the video as it was cut then.
    cut = single_pass(live_rgb, frames[:96])
    assert np.abs(found[8].logits["rgb"] - cut["rgb"][8]).max() < 1e-5


def test_answers_of_several_rows_are_their_means(live_rgb, frames, offline):
    found, _ = feed(Settings(live_rgb, rows=True, every=1.6), frames, [5, 19])
    assert [(due.first, due.end) for due in found] == [(0, 48), (40, 88), (80, 128), (120, 168), (160, 192)]
    assert np.abs(found[1].logits["rgb"] - offline["rgb"][5:10].mean(axis=0)).max() < 1e-5


def test_windows_are_what_a_network_says_of_their_frames(live_both, frames):
    """16 frames of rgb, and 16 fields, which need the frame before; every 0.64 s, and at the end of the last ones."""
    settings = Settings(live_both, every=0.64)
    assert (settings.lengths, settings.span, settings.every) == ({"rgb": 16, "flow": 16}, 17, 2)
    segment, found = settings.segment(), []
    for at in range(0, 56, 8):
        segment.add([*frames[at : at + 8]])
        found += segment.due()
    segment.add([*frames[56:59]])
    found += segment.finish()
    assert [(due.first, due.end) for due in found] == [(7, 24), (23, 40), (39, 56), (42, 59)]
    assert segment.skipped == 0
    for due in found:
        expected = single_pass(live_both, frames[due.first : due.end])
        assert np.abs(due.logits["flow"] - expected["flow"].mean(axis=0)).max() < 1e-5
        alone = single_pass(live_both, frames[due.end - 16 : due.end])
        assert np.abs(due.logits["rgb"] - alone["rgb"].mean(axis=0)).max() < 1e-5


def test_windows_of_frames_that_lie_apart(live_rgb, frames, monkeypatch):
    monkeypatch.setitem(live_rgb.clips, "rgb", dataclasses.replace(live_rgb.clips["rgb"], frame_stride=2))
    segment = Settings(live_rgb).segment()
    for at in range(0, 48, 16):
        segment.add([*frames[at : at + 16]])
    (due,) = segment.due()
    assert (due.first, due.end) == (16, 48)
    segment.add([*frames[48:59]])
    (last,) = segment.finish()
    assert (last.first, last.end) == (28, 59)  # frame 27 is not seen
    for each in (due, last):
        expected = single_pass(live_rgb, frames[each.first : each.end])
        assert np.abs(each.logits["rgb"] - expected["rgb"].mean(axis=0)).max() < 1e-5


def test_windows_that_are_late_are_skipped(live_rgb, frames):
    segment = Settings(live_rgb, every=0).segment()
    for at in range(0, 80, 8):
        segment.add([*frames[at : at + 8]])
    (due,) = segment.due()
    assert (due.end, segment.skipped) == (80, 0)  # the first one
    for at in range(80, 120, 8):
        segment.add([*frames[at : at + 8]])
    (due,) = segment.due()
    assert (due.end, segment.skipped) == (120, 4)


def test_before_a_gap_rows_are_finished_and_windows_that_are_late_are_not(live_rgb, frames):
    for rows, ends in ((False, []), (True, [16, 24, 32])):
        segment = Settings(live_rgb, rows=rows).segment()
        for at in (0, 8, 16):
            segment.add([*frames[at : at + 8]])
        before = [*segment.due()]
        segment.add([*frames[24:32]])
        assert (len(before), not [*segment.due()]) == (not rows, True)
        assert [due.end for due in segment.finish(late=True)] == ends
        assert segment.unanswered == (0 if rows else 8)


@pytest.mark.parametrize("rows", [False, True])
def test_memory_is_bounded(rows, live_rgb, frames):
    segment = Settings(live_rgb, rows=rows).segment()
    for at in range(0, 192, 8):
        segment.add([*frames[at : at + 8]])
        assert len([*segment.due()]) <= 1
        assert len(segment.streams["rgb"].frames) <= (8 * 16 if rows else 16 + 3 * 8)
    assert segment.streams["rgb"].frames[0].base is None


def test_too_few_frames(live_rgb, frames):
    for rows in (False, True):
        found, segment = feed(Settings(live_rgb, rows=rows), frames, [1])
        assert (found, segment.unanswered) == ([], 8)
    segment = Settings(live_rgb, rows=True).segment()
    segment.add([*frames[:5]])
    assert (segment.unanswered, segment.frames) == (5, 0)


def test_settings(live_both):
    settings = Settings(live_both, window=1.6)
    assert (settings.lengths["rgb"], settings.capacity, settings.every) == (40, 6, 3)
    assert Settings(live_both, rows=True).capacity == 16
    assert Settings(live_both, rows=True, delay=99).waits == {"rgb": 7, "flow": 7}
    for wrong, message in (
        ({"every": -1}, "every must be a number of seconds"),
        ({"rows": True, "window": 2}, "window= is of answers of windows"),
        ({"delay": 2}, "delay= is of answers of rows"),
    ):
        with pytest.raises(ValueError, match=message):
            Settings(live_both, **wrong)


def test_networks_that_see_a_video_as_a_whole(live_rgb, monkeypatch):
    family = live_rgb.networks["rgb"].family
    whole = dataclasses.replace(family, name="Whole", halo=None)
    kind = type(live_rgb.networks["rgb"])
    monkeypatch.setattr(kind, "family", property(lambda network: whole))
    with pytest.raises(ValueError, match="Received: Whole, which looks at a video as a whole"):
        Settings(live_rgb, rows=True)
    assert Settings(live_rgb).lengths["rgb"] == 16
    monkeypatch.setattr(live_rgb, "chunk_frames", 15)
    with pytest.raises(ValueError, match="takes at most chunk_frames=15 frames. Received: a window of 16"):
        Settings(live_rgb)


def test_rows_of_several_streams_lie_alike(live_both, monkeypatch):
    families = {s: dataclasses.replace(live_both.networks[s].family, window=w) for s, w in (("rgb", 1), ("flow", 2))}
    monkeypatch.setattr(type(live_both.networks["rgb"]), "family", property(lambda network: families[network.stream]))
    with pytest.raises(ValueError, match="rgb: every 8 frames, of 1 step, flow: every 8 frames, of 2 steps"):
        Settings(live_both, rows=True)


def test_the_documented_delays_are_those_of_the_networks():
    text = (ROOT / "docs/stream.md").read_text(encoding="utf-8")
    table = text.partition("<!-- delays -->")[2].partition("<!-- end of delays -->")[0]
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.strip().splitlines()[2:]]
    assert len(lines) > 10
    for name, *told in lines:
        row = FAMILIES[name]
        clip = next(iter(row.clips.values()))
        step = row.step * clip.frame_stride / clip.fps
        waits = "-" if row.halo is None or row.answer != "mean" else f"{row.halo * step:.2f} s"
        assert told == [f"{step:.2f} s", f"{clip.frames * clip.frame_stride / clip.fps:.2f} s", waits], name
