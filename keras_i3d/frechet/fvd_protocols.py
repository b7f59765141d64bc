"""The four ways in which Frechet video distance is computed by published code; their numbers cannot be compared.

All four take the 400 logits of the rgb network that was trained on Kinetics-400 from scratch, of frames of 224 x 224 in
[-1, 1], as 2 x / 255 - 1. They differ in what comes before and after. What nobody published is said here, and chosen by
this package; none of it is part of what the others' numbers are compared by.

- `original`: google-research, `frechet_video_distance`. Frames are squashed to 224 x 224 by TensorFlow 1's
  `resize_bilinear`: no half-pixel centres, no antialias. Covariances by N - 1, the square root of their product by its
  symmetric form (TFGAN). Videos go through in batches of 16, so N is a multiple of 16. Nobody published which clips are
  taken of which videos, nor how their files are read. Here: the first frames of videos that are drawn by the seed.
- `stylegan-v`: universome/stylegan-v@3fecd69, `src/metrics`. Frames are squashed to 224 x 224 inside of its
  TorchScript file, whose kernel nobody published in words; half-pixel bilinear without antialias, PyTorch's default, is
  taken. Covariances by N from raw moments in float64, the square root is the real part of scipy's. Frames are stored as
  pictures. The first 2048 videos in the order of their names; a clip at a random place of each real one, the first
  frames of each generated one; videos shorter than a clip are discarded. Its metrics `fvd2048_16f` and `fvd2048_128f`
  are frames=16 and frames=128; `fvd2048_128f_subsample8f` is frames=16 and stride=8. Real videos are those of the train
  split.
- `cd-fvd`: songweige/content-debiased-fvd@a1e037a. Squashed, half-pixel bilinear, no antialias. Its loader of folders
  first scales the shorter side to `resolution` and crops the centre: of videos by bilinear with antialias, of frame
  folders (cropped first) by Lanczos; either is cut off to whole levels. Covariances by N, scipy's square root. A random
  clip of each video. Where there are fewer generated videos than asked for, it draws further clips of the same videos
  until there are as many, and says nothing. It takes all real videos unless told otherwise. Which draws its seed makes
  is PyTorch's affair: here they are others. It leaves out frame folders of exactly as many frames as a clip; this
  package does not.
- `common-metrics`: JunyaoHu/common_metrics_on_video_quality@5f75173. The shorter side to 224, the other one rounded up,
  half-pixel bilinear without antialias, then the central 224 x 224. Covariances by N - 1, scipy's square root; of one
  video the means alone. At least 10 frames, from the first one on; both sides of the same shape. It takes tensors, so
  nobody published how files become those.
"""

import dataclasses

import numpy as np

from keras_i3d.frechet import resizing

SIZE = 224  # pixels of the clips that the network sees
RESOLUTION = 256  # what cd-fvd's loader of folders scales to by default
BATCH = 16  # videos of a batch of the original
VARIANTS = ("", "frozen", "shuffled")  # of a clip: as it is; its first frame repeated; its frames in another order


@dataclasses.dataclass(frozen=True)
class Protocol:
    """How two sets of videos become one number.

    Attributes:
        name: what `protocol=` calls it.
        shape: "squash" to 224 x 224, or "crop" after the shorter side is 224.
        kernel: "legacy" or "half-pixel" bilinear, functions of `resizing`.
        ddof: 1 for covariances by N - 1, 0 for N.
        form: of the square root, as `distances.frechet_distance` takes it.
        starts: where the clip of a real and of a generated video begins, each "first" or "random".
        order: which videos are taken if there are more than asked for: the first by "names", or "drawn" by the seed.
        multiple: what N is a multiple of.
        least_frames: the fewest frames of a clip.
        same_shape: whether both sides must have as many videos, of one size.
        resolution: what the shorter side of videos in folders is scaled to before; None if nothing comes before.
        refills: whether further clips of the same generated videos make up for videos that are missing.
        source: whose code it is.
    """

    name: str
    shape: str
    kernel: str
    ddof: int
    form: str
    source: str
    starts: tuple = ("first", "first")
    order: str = "drawn"
    multiple: int = 1
    least_frames: int = 1
    same_shape: bool = False
    resolution: int | None = None
    refills: bool = False

    @property
    def resize(self):
        """What becomes of a frame, in words."""
        kernel = {
            "legacy": "TensorFlow 1's bilinear (no half-pixel centres, no antialias)",
            "half-pixel": "half-pixel bilinear (no antialias)",
        }[self.kernel]
        if self.shape == "squash":
            return f"squashed to {SIZE} x {SIZE} by {kernel}"
        return f"shorter side to {SIZE} by {kernel}, centre crop {SIZE} x {SIZE}"

    @property
    def estimator(self):
        """How the number is computed of rows, in words."""
        root = {"symmetric": "symmetric form", "scipy": "real part of the product's (as scipy.linalg.sqrtm)"}[self.form]
        return f"covariance by {'N - 1' if self.ddof else 'N'}, square root: {root}"

    def check_frames(self, frames):
        """Raises ValueError if clips of so many frames are too short for it."""
        if frames < self.least_frames:
            raise ValueError(
                f"The protocol {self.name} takes clips of at least {self.least_frames} frames. "
                f"Received: frames={frames}"
            )

    def spread(self, of_real, total, span, stride):
        """Returns how many places there are where a clip may begin.

        Args:
            of_real: whether the video is a real one.
            total: its frames; None if they are not counted, because the clip begins with the first one.
            span: frames that a clip needs, its own times their distance.
            stride: that distance.
        """
        if self.starts[0 if of_real else 1] == "first":
            return 1
        # StyleGAN-V draws the frames after the last one that is seen as well.
        return total - span + (stride if self.name == "stylegan-v" else 1)

    def first_step(self, frames_are_files, resolution):
        """Returns the resizing before the protocol's own: a key for `prepared`; None if there is none.

        Args:
            frames_are_files: "video" or "pictures" of videos that lie in folders, None of arrays.
            resolution: pixels, in place of the protocol's own; None for that.
        """
        if self.resolution is None:
            return None
        if resolution is None and frames_are_files is None:
            return None
        return frames_are_files or "video", resolution or self.resolution

    def recipe(self, height, width, first=None):
        """Returns what becomes of frames of a size: equal recipes make equal clips, whatever the protocols' names.

        Args:
            height, width: pixels.
            first: as `first_step` returns it.

        Returns:
            (first step, kernel, (height, width) to resize to).
        """
        if first is not None:
            height = width = first[1]
        to = (SIZE, SIZE) if self.shape == "squash" else resizing.shorter_side(height, width, SIZE)
        return first, None if (height, width) == to else self.kernel, to


def prepared(frames, recipe):
    """Returns frames as the network's clips have them, before they are scaled to [-1, 1].

    Args:
        frames: uint8 (T, H, W, 3).
        recipe: as `Protocol.recipe` returns it for their size.

    Returns:
        float32 (T, 224, 224, 3) in [0, 255], not rounded.
    """
    first, kernel, size = recipe
    if first is not None:
        frames = _scaled_and_cropped(frames, *first)
    if kernel is not None:
        frames = {"legacy": resizing.legacy, "half-pixel": resizing.half_pixel}[kernel](frames, *size)
    return np.float32(resizing.centre(frames, SIZE))


def scaled(clips):
    """Returns clips in [0, 255] as 2 x / 255 - 1, float32, in [-1, 1]."""
    return np.float32(2) * np.float32(clips) / np.float32(255) - np.float32(1)


def _scaled_and_cropped(frames, kind, resolution):
    """What cd-fvd's loader of folders does: uint8 (T, resolution, resolution, 3)."""
    if kind == "pictures":
        return resizing.lanczos(resizing.square(frames), resolution)
    size = resizing.shorter_side(*frames.shape[1:3], resolution)
    return resizing.levels(resizing.centre(resizing.antialiased(frames, *size), resolution))


PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        Protocol(
            "original",
            "squash",
            "legacy",
            ddof=1,
            form="symmetric",
            multiple=BATCH,
            source="google-research, frechet_video_distance (arXiv 1812.01717)",
        ),
        Protocol(
            "stylegan-v",
            "squash",
            "half-pixel",
            ddof=0,
            form="scipy",
            starts=("random", "first"),
            order="names",
            source="universome/stylegan-v@3fecd69",
        ),
        Protocol(
            "cd-fvd",
            "squash",
            "half-pixel",
            ddof=0,
            form="scipy",
            starts=("random", "random"),
            resolution=RESOLUTION,
            refills=True,
            source="songweige/content-debiased-fvd@a1e037a",
        ),
        Protocol(
            "common-metrics",
            "crop",
            "half-pixel",
            ddof=1,
            form="scipy",
            least_frames=10,
            same_shape=True,
            source="JunyaoHu/common_metrics_on_video_quality@5f75173",
        ),
    )
}


def find(name):
    """Returns the Protocol of a name, or raises ValueError with those that there are."""
    if isinstance(name, Protocol):
        return name
    if name not in PROTOCOLS:
        raise ValueError(f"protocol must be one of {', '.join(PROTOCOLS)}. Received: protocol={name!r}")
    return PROTOCOLS[name]
