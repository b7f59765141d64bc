"""The features of one video, and when each row is."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class VideoFeatures:
    """The features of one video.

    Attributes:
        video: its name.
        arrays: {stream: float32 (crops, rows, channels)}; of pool "none" (crops, rows, time, height, width, channels),
            or (crops, rows, height, width, channels) of a dense pass.
        start, end: {stream: float64 (rows,)}: seconds after the first frame between which a row sees the video. Of a
            dense pass: what its receptive field reaches of it.
        centre: {stream: float64 (rows,)}: seconds after the first frame at which the middle of a window is, or of a
            receptive field. It may lie outside the video where a window does in part.
        frames: how many the video has at `fps`.
        fps: frames per second; the mean of a video that was read at its own times.
        damaged, cut_short: as of `video.Reader`.
        notes: what stands next to the file in JSON: the layout, the network, its weights and their hash.
    """

    video: str
    arrays: dict
    start: dict
    end: dict
    centre: dict
    frames: int
    fps: float
    damaged: int = 0
    cut_short: bool = False
    notes: dict = dataclasses.field(default_factory=dict)
