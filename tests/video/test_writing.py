"""Frames that are written come back from the reader."""

import numpy as np
import pytest
from made import films

from keras_i3d import video
from keras_i3d.video import writing


def test_what_is_written_is_read_again(tmp_path):
    frames = [films.picture(8 * i, 33, 47) for i in range(6)]
    writing.write(tmp_path / "x.mp4", iter(frames), 12.5)
    found = video.read(tmp_path / "x.mp4", fps=12.5, short_side=None)
    assert found.shape == (6, 34, 48, 3)
    assert np.abs(found[:, :33, :47].astype(float) - frames).mean() < 3


@pytest.mark.parametrize(
    ("frames", "said"),
    [
        ([], "Received: none"),
        ([np.zeros((8, 8, 3), "float32")], "Received: float32"),
        ([np.zeros((8, 8, 3), "uint8"), np.zeros((8, 9, 3), "uint8")], "then (8, 9, 3)"),
    ],
)
def test_bad_frames_leave_no_file(tmp_path, frames, said):
    with pytest.raises(ValueError) as error:
        writing.write(tmp_path / "x.mp4", frames)
    assert said in str(error.value)
    assert not list(tmp_path.iterdir())


def test_names_that_are_no_video_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"\.mp4. Received: x.avi"):
        writing.write(tmp_path / "x.avi", [np.zeros((8, 8, 3), "uint8")])
