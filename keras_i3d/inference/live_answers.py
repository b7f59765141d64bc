"""What was found in a part of a live video, and how late that is: as text and as JSON."""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class LiveAnswer:
    """What was found in a part of a live video.

    Attributes:
        source: its name, a URL without the name and password of its user.
        start, end: the part, in seconds after the first frame of the source.
        predictions: Predictions, best first; of a sigmoid, unless `top` says how many, the classes above their
            thresholds, of which there may be none.
        logits: float32 (classes,): summed over the streams.
        stream_logits: {stream: float32 (classes,)}.
        delay: seconds of video from `end` to the newest frame that had been read when the answer was there.
        dropped: steps of video that were dropped so far, because the networks were too slow.
        skipped: answers that were due and left out so far, because newer frames were there.
        segment: 1 for the first part of the video without a gap, and one more after each gap.
        missing: steps of their receptive field that rows lack on the right; 0 if they are those of a whole video.
        looped: frames that a source of too few for a network was repeated to; None if it was long enough.
    """

    source: str
    start: float
    end: float
    predictions: list
    logits: np.ndarray
    stream_logits: dict
    delay: float
    dropped: int = 0
    skipped: int = 0
    segment: int = 1
    missing: int = 0
    looped: int | None = None

    def __str__(self):
        found = ", ".join(f"{p.label} {p.probability:.3f}{p.below}" for p in self.predictions)
        counts = (("dropped", self.dropped), ("skipped", self.skipped), ("missing", self.missing))
        more = "".join(f", {count} {what}" for what, count in counts if count or what == "dropped")
        return f"{self.start:8.2f} to {self.end:.2f} s: {found or 'nothing'}  ({self.delay:.2f} s behind{more})"

    def record(self):
        """Returns what `--json` prints: plain numbers, strings and lists."""
        return {
            "source": self.source,
            "start": round(self.start, 3),
            "end": round(self.end, 3),
            "predictions": [
                {name: value for name, value in dataclasses.asdict(each).items() if value is not None}
                for each in self.predictions
            ],
            "delay": round(self.delay, 3),
            "dropped": self.dropped,
            "skipped": self.skipped,
            "segment": self.segment,
            "missing": self.missing,
            "looped": self.looped,
        }
