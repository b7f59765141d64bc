"""What was found in a video: the classes, their probabilities and times; as text, in a notebook and as JSON."""

import dataclasses

import numpy as np

from keras_i3d import markup
from keras_i3d.plurals import counted
from keras_i3d.probabilities import probabilities
from keras_i3d.specs import FPS, ordinal
from keras_i3d.video import damage

LISTED = 4  # times of a class that its line shows


@dataclasses.dataclass(frozen=True)
class Prediction:
    """One class of a video: its label, index, probability in [0, 1] and logit.

    `above` is whether the probability is at least the threshold of the class; None of a softmax, which has none.
    `times` are those of the class, as of `Classification`.
    """

    label: str
    index: int
    probability: float
    logit: float
    above: bool | None = None
    times: tuple | None = None

    @property
    def below(self):
        """What stands behind the label of a class that was asked for by `top` and is below its threshold, else ""."""
        return " (below its threshold)" if self.above is False else ""


@dataclasses.dataclass(frozen=True)
class Classification:
    """What was found in one video.

    Attributes:
        video: its name.
        predictions: the most probable classes, best first; of a sigmoid, unless `top` says how many, those above their
            thresholds, of which there may be none.
        logits: float32 (classes,): summed over the streams, each averaged over time.
        stream_logits: {stream: float32 (classes,)}.
        frames: frames at `fps`.
        damaged: packets of the file that could not be decoded, or only with errors.
        looped: frames that a short video was repeated to; None if it was long enough.
        flow_method: how flow was computed; None if it was not.
        seconds: {stage: seconds} for decode, flow, and the model of each stream, some of which run at the same
            time; and "waiting", how long the networks waited for frames in all.
        fps: frames per second that the video was read at.
        activation: name of what made the probabilities of the logits, the network's own.
        clips: {stream: the ClipSpec that the network was trained on, and that the video was made into}.
        cut_short: whether the file lacks a part that its container announces.
        thresholds: of a sigmoid, from which probability on each class counts as there.
        times: of a sigmoid, ((start, end), ...) of each class: the stretches of the video, in seconds from its begin,
            in whose frames the class is above its threshold. The logits of a frame are interpolated from the rows, as
            in training on labels over time, and summed over the streams. A row sees seconds, so that ends are rough.
            None of a softmax, and of a network whose answer is not the mean of its rows.
    """

    video: str
    predictions: list
    logits: np.ndarray
    stream_logits: dict
    frames: int
    damaged: int
    looped: int | None
    flow_method: str | None
    seconds: dict
    fps: float = FPS
    activation: str = "softmax"
    clips: dict = dataclasses.field(default_factory=dict)
    cut_short: bool = False
    thresholds: tuple | None = None
    times: tuple | None = None

    @property
    def above(self):
        """Of a sigmoid, the indices of all classes above their thresholds, in the order of the classes; else None."""
        if self.thresholds is None:
            return None
        shares = probabilities(self.logits, self.activation)
        return [i for i, (share, least) in enumerate(zip(shares, self.thresholds)) if share >= least]

    def __str__(self):
        return "\n".join(
            [
                self._caption(),
                *self._decision(),
                "  probability    logit  label",
                *(f"  {p.probability:11.5f} {p.logit:8.3f}  {self._marked(p)}" for p in self.predictions),
                "  " + ", ".join(f"{stage} {seconds:.2f} s" for stage, seconds in self.seconds.items()),
            ]
        )

    def _repr_html_(self):
        fragments = markup.Fragments(__package__, "classification.html")
        rows = [
            fragments.fill(
                "prediction",
                label=self._marked(p),
                width=f"{100 * p.probability:.1f}",
                probability=f"{p.probability:.5f}",
                logit=f"{p.logit:.3f}",
            )
            for p in self.predictions
        ]
        return fragments.fill(
            "classification",
            caption="; ".join(map(str.strip, [self._caption(), *self._decision()])),
            rows=markup.join(rows),
        )

    def _decision(self):
        """A line on how many classes are above their thresholds; none of a softmax."""
        if self.thresholds is None:
            return []
        low, high = min(self.thresholds), max(self.thresholds)
        least = f"{low:g}" if low == high else f"{low:.3g} to {high:.3g}"
        hint = "" if self.predictions else "; top=5 names the most probable"
        briefly = {i for i, times in enumerate(self.times or ()) if times} - set(self.above)
        more = f", {len(briefly)} more for a part of the time (top= names them)" if briefly else ""
        return [f"  {len(self.above)} of {len(self.thresholds)} classes above their thresholds ({least}){more}{hint}"]

    def _recorded(self, prediction):
        content = dataclasses.asdict(prediction)
        content = {name: value for name, value in content.items() if value is not None}
        if prediction.times is not None:
            content["times"] = [list(each) for each in prediction.times]
        if prediction.above is None:
            return content
        return {**content, "threshold": float(self.thresholds[prediction.index])}

    def _marked(self, prediction):
        """A label, with its times; one below its threshold says so."""
        times = [f"{start:.1f} to {end:.1f} s" for start, end in (prediction.times or ())[:LISTED]]
        if len(prediction.times or ()) > LISTED:
            times.append(counted(len(prediction.times) - LISTED, "more time"))
        return f"{prediction.label}{prediction.below}{times and ': ' or ''}{', '.join(times)}"

    def _caption(self):
        apart = {s: f", every {ordinal(c.frame_stride)}" for s, c in self.clips.items() if c.frame_stride > 1}
        streams = " + ".join(
            (s if s == "rgb" else f"{s} ({self.flow_method})") + apart.get(s, "") for s in self.stream_logits
        )
        looped = f", looped to {self.looped}" if self.looped else ""
        damaged = damage(self)
        frames = f"{counted(self.frames, 'frame')} at {self.fps:g} fps"
        return f"{self.video}: {frames}{looped}{damaged and ', '}{damaged}; {streams}"

    def record(self):
        """Returns what `--json` prints: plain numbers, strings and lists."""
        return {
            "video": self.video,
            "predictions": [self._recorded(prediction) for prediction in self.predictions],
            "frames": self.frames,
            "fps": self.fps,
            "damaged": self.damaged,
            "cut_short": self.cut_short,
            "looped": self.looped,
            "streams": list(self.stream_logits),
            "frame_stride": {stream: clip.frame_stride for stream, clip in self.clips.items()},
            "flow_method": self.flow_method,
            "activation": self.activation,
            **({} if self.thresholds is None else {"above": len(self.above)}),
            "seconds": {stage: round(seconds, 3) for stage, seconds in self.seconds.items()},
        }
