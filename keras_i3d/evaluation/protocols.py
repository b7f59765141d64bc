"""Which parts of a video are scored, and how the scores become one: a protocol has a name, printed with every number.

- `whole`: all frames, the central crop, one pass of the fully convolutional network; its logits are averaged over
  time, softmax after. DeepMind's for I3D (kinetics-i3d `i3d.py` and README; arXiv 1705.07750, section 2.5). Of a
  recurrent network, the logits of the last step (section 2.1).
- `views:NxM`: N clips evenly spaced over the video, from its first frame to its last, M crops of each; the softmax of
  each view, averaged.
    - M = 1: the central crop. `views:10x1` is R(2+1)D's video@1 (VMZ `models.md`), `views:5x1` torchvision's for its
      video ResNets. `views:15x1` in clips of 16 frames is the I3D paper's of its 3D-ConvNet: 240 of some 250 frames.
    - M = 3: crops as large as the short side, along the long side: left, centre, right (or top, centre, bottom), not
      flipped. `views:10x3` is the 30-view test of the non-local networks and SlowFast (video-nonlocal-net README).
    - M = 10: four corners and the centre, and their mirror images. `views:25x10` is the test of the two-stream
      networks (Simonyan and Zisserman, arXiv 1406.2199, section 5), with clips in place of their 25 frames; of a
      network of single frames, with their frames.
- `middle`: the middle frame alone, its central crop, repeated to as many frames as the network takes at least: what can
  be told of a video without its motion. Of the rgb stream alone.
"""

import dataclasses
import re

CROPS = (1, 3, 10)


@dataclasses.dataclass(frozen=True)
class Protocol:
    """How a video is scored.

    Attributes:
        clips: how many clips are taken of a video; None for the whole of it.
        crops: crops of each clip, 1, 3 or 10.
        still: whether a clip is the middle frame alone, repeated.
    """

    clips: int | None = None
    crops: int = 1
    still: bool = False

    def __post_init__(self):
        whole = self.clips is None
        if self.still and (self.clips, self.crops) != (1, 1):
            raise ValueError(f"The middle frame is one clip of one crop. Received: {self.clips!r}, {self.crops!r}")
        if (whole and self.crops != 1) or (not whole and self.clips < 1) or self.crops not in CROPS:
            raise ValueError(f"{_RULE} Received: clips={self.clips!r}, crops={self.crops!r}")

    def __str__(self):
        if self.still:
            return "middle"
        return "whole" if self.clips is None else f"views:{self.clips}x{self.crops}"

    @property
    def views(self):
        """How many views of a video are scored; None for the whole of it."""
        return None if self.clips is None else self.clips * self.crops

    def explain(self, size, frames, stride=1, activation="softmax", answer="mean"):
        """Says in one line what is scored at a size in pixels, in clips of some frames, `stride` apart.

        `answer` is a network's own, as of `Family`.
        """
        if self.still:
            repeated = f", repeated {frames} times" if frames > 1 else ""
            return f"the middle frame{repeated}, central crop {size} x {size}"
        if self.clips is None:
            all_frames = "all frames" if stride == 1 else f"all the video, frames {stride} apart"
            logits = {"mean": "logits averaged over time", "last": "logits of the last step"}[answer]
            return f"{all_frames}, central crop {size} x {size}, {logits}"
        crops = {1: "central crop", 3: "3 crops along the long side", 10: "10 crops (corners, centre, mirrored)"}
        apart = f", {stride} apart" if stride > 1 else ""
        clips = f"{self.clips} clip{'s' if self.clips > 1 else ''} of {frames} frames{apart}"
        return f"{clips}, {crops[self.crops]} of {size} x {size}, {activation} averaged over {self.views} views"


_RULE = (
    'A protocol is "whole", "middle", or "views:NxM" with N clips of a video and M crops of each, M being 1, 3 or 10.'
)


def parse(text):
    """Returns the Protocol of a name such as "whole", "middle" or "views:10x3"; a Protocol is passed on.

    Raises:
        ValueError: no such name.
    """
    if isinstance(text, Protocol):
        return text
    if text == "whole":
        return Protocol()
    if text == "middle":
        return Protocol(1, 1, still=True)
    match = re.fullmatch(r"views:(\d{1,4})x(\d{1,4})", str(text))
    if not match or int(match[1]) < 1 or int(match[2]) not in CROPS:
        raise ValueError(f"{_RULE} Received: {text!r}")
    return Protocol(int(match[1]), int(match[2]))
