"""The annotated video: its frames, flow, lanes and cursor, and what is left when it fails."""

import numpy as np
import pytest
from made import films

from keras_i3d import segments, video
from keras_i3d.charts import COLOURS
from keras_i3d.inference.labels_in_time import LabelsInTime, StreamInTime
from keras_i3d.segments import annotated_video
from keras_i3d.specs import RGB_CLIP

FRAMES = 30


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    path = tmp_path_factory.mktemp("annotated") / "x.mp4"
    path.write_bytes(films.film([films.picture(i, 48, 64) for i in range(FRAMES)]))
    return path


def timeline(source, flow_method=None):
    """1.2 s, of which the first half is a."""
    rows = {"rgb": StreamInTime(np.array([0.3, 0.6, 0.9]), np.float32([[4, 0], [2, 2.01], [0, 4]]))}
    clip = RGB_CLIP.__class__("rgb", short_side=48)
    found = LabelsInTime(str(source), rows, ["a <long> name", "b"], "softmax", FRAMES, 25.0, clip, flow_method)
    return segments.find(found, smooth=0)


@pytest.fixture(scope="module")
def pictures(source, tmp_path_factory):
    path = tmp_path_factory.mktemp("pictures") / "y.mp4"
    segments.save(path, timeline(source), top=2)
    return video.read(path, None, None)


def near(pixels, colour):
    """Which pixels have a colour, up to what compression does to it."""
    rgb = [int(colour[at : at + 2], 16) for at in (1, 3, 5)]
    return np.abs(pixels.astype(int) - rgb).max(axis=-1) < 40


def test_frames_lie_above_their_lanes(pictures, source):
    frames = video.read(source)
    assert pictures.shape == (FRAMES, 256 + 3 * annotated_video.LANE, 480, 3)
    left = (480 - frames.shape[2]) // 2
    shown = pictures[:, 100:256, left : left + frames.shape[2]].astype(int)
    assert np.abs(shown - frames[:, 100:]).mean() < 6
    assert pictures[:, 100:256, : left - 2].mean() < 20


def test_bars_follow_the_probabilities_and_the_cursor_the_time(pictures):
    """Of the first label the bar is full at first and empty at last; the cursor goes from left to right."""
    lanes = pictures[:, 256 : 256 + annotated_video.LANE, :]
    bars = near(lanes[:, 8:14, 163:240], COLOURS[0]).mean(axis=(1, 2))
    assert bars[0] > 0.9
    assert bars[-1] < 0.1
    assert (np.diff(bars) < 0.02).all()
    strip = pictures[:, 256 : 256 + 2 * annotated_video.LANE, 278:472].min(axis=(1, 3))
    cursor = strip.argmax(axis=1)
    assert cursor[0] < 10
    assert cursor[-1] > 180
    assert (np.diff(cursor) > 0).all()


def test_the_label_stands_on_the_frame_while_it_is_there(pictures):
    corner = pictures[:, 8:18, 78:86]  # the first label's square, where the frame begins
    assert near(corner, COLOURS[0]).any(axis=(1, 2))[:10].all()
    assert not near(corner, COLOURS[0]).any(axis=(1, 2))[-10:].any()
    assert near(corner, COLOURS[1]).any(axis=(1, 2))[-10:].all()


def test_flow_stands_next_to_the_frame(source, tmp_path):
    pytest.importorskip("cv2", reason="needs OpenCV, for a flow that is fast to compute")
    annotated_video.write(tmp_path / "y.mp4", timeline(source, "dis"), top=1)
    pictures = video.read(tmp_path / "y.mp4", None, None)
    width = video.read(source).shape[2]
    assert pictures.shape[:3] == (FRAMES, 256 + 2 * annotated_video.LANE, (2 * width + 1) // 2 * 2)
    right = pictures[:, 20:220, width + 10 : -10]
    assert right.mean() > 180  # nothing moves: white


def test_a_failure_leaves_nothing(source, tmp_path, monkeypatch):
    at = annotated_video._Panel.at

    def broken(panel, seconds):
        if seconds > 0.5:
            raise MemoryError("no room")
        return at(panel, seconds)

    monkeypatch.setattr(annotated_video._Panel, "at", broken)
    with pytest.raises(MemoryError, match="no room"):
        segments.save(tmp_path / "y.mp4", timeline(source))
    assert not list(tmp_path.iterdir())


def test_the_video_itself_is_not_written_over(source):
    before = source.read_bytes()
    with pytest.raises(ValueError, match="another file than the video itself. Received: .*x.mp4"):
        segments.save(source, timeline(source))
    assert source.read_bytes() == before


def test_words_are_cut_to_what_fits():
    assert annotated_video._cut("a\nb", 100) == "a b"
    cut = annotated_video._cut("a very long label of many words", 80)
    assert cut.endswith("...")
    assert annotated_video._font().getlength(cut) <= 80
