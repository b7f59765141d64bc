"""A video as each network of a classifier sees it, whole in memory: to be run again with parts of it hidden."""

import dataclasses

import numpy as np

from keras_i3d.errors import VideoError, notice
from keras_i3d.flow import pairs
from keras_i3d.inference import chunks
from keras_i3d.plurals import counted
from keras_i3d.specs import BOTH, CHANNELS, ClipSpec
from keras_i3d.video import Reader, damage

GREY = 127.5  # the level of red, green and blue that stands where a part is hidden; motion is 0 there


@dataclasses.dataclass(frozen=True, eq=False)
class SeenClip:
    """What one network sees of a video.

    Attributes:
        spec: the ClipSpec of what it takes.
        frames: uint8 or float32 (N, h, w, C): the decoded and cropped frames or fields that are seen at all.
        places: int (T,): which of `frames` each frame of its clip is; a short video comes several times.
        looped: whether it does.
    """

    spec: ClipSpec
    frames: np.ndarray
    places: np.ndarray
    looped: bool = False

    @property
    def shape(self):
        """(T, h, w) of the clip."""
        return (len(self.places), *self.frames.shape[1:3])

    def prepared(self, chunk, blocks=None, hidden=None):
        """Returns float32 (T, h, w, C), a chunk of the clip as the network takes it.

        Args:
            chunk: a `chunks.Chunk`.
            blocks: a `faithfulness.Blocks`, of which some are hidden; None for none.
            hidden: bool, the blocks that are.
        """
        frames = self.spec.prepared(self.frames[self.places[chunk.start : chunk.stop]])
        if blocks is not None:
            mask = blocks.mask(hidden, chunk.start, chunk.stop)[..., None]
            frames = np.where(mask, self._nothing(), frames)
        return frames

    def _nothing(self):
        """What is shown where a part is hidden, as the network takes it: mid-grey, and no motion."""
        levels = [GREY] * CHANNELS["rgb"] if self.spec.stream != "flow" else []
        levels += [0.0] * CHANNELS["flow"] if self.spec.stream != "rgb" else []
        return self.spec.prepared(np.float32(levels).reshape(1, 1, 1, -1))


@dataclasses.dataclass(frozen=True, eq=False)
class SeenVideo:
    """A video in memory.

    Attributes:
        name: its name.
        frames: uint8 (N, h, w, 3), RGB, cropped as the networks see it.
        fields: float32 (N - 1, h, w, 2), pixels per frame; None if no network sees flow.
        clips: {stream: SeenClip}.
        fps: frames per second.
    """

    name: str
    frames: np.ndarray
    fields: np.ndarray | None
    clips: dict
    fps: float


def read(source, classifier, start=None, end=None):
    """Reads a video into memory, and its flow if a network sees that: a SeenVideo. A line says if it is damaged.

    A second takes 4 MB of frames and 10 MB of flow at 25 frames of 224 x 224 pixels.

    Args:
        source: as for `video.Reader`.
        classifier: a Classifier, whose networks, crop and flow method count.
        start, end: seconds between which it is read; None for its own ends.

    Raises:
        VideoError: as `video.Reader`; one frame where flow needs two.
    """
    spec = classifier.clip
    reader = Reader(source, spec.fps, spec.short_side, start, end, classifier.max_seconds)
    frames, fields = [], None

    def decoded():
        for frame in reader:
            frames.append(chunks.centre_crop(frame, spec.crop).copy())  # a view would hold the whole frame
            yield frame

    if classifier.flow_method:
        found = pairs.stream(decoded(), classifier.flow_method)
        fields = [chunks.centre_crop(field, spec.crop).copy() for field in found]
        if not fields:
            raise VideoError(reader.name, "flow needs at least 2 frames, and it has 1; use the rgb stream alone")
        fields = np.stack(fields)
    else:
        for _ in decoded():
            pass
    frames = np.stack(frames)
    if reader.damaged or reader.cut_short:
        notice(f"{reader.name}: {damage(reader)}")
    clips = {s: _seen(s, network, frames, fields, reader.name) for s, network in classifier.networks.items()}
    return SeenVideo(reader.name, frames, fields, clips, float(spec.fps))


def _seen(stream, network, frames, fields, name):
    """The SeenClip of a network: every `frame_stride`-th frame of the video, or all of a short one again and again."""
    given = {"rgb": frames, "flow": fields}.get(stream)
    if stream == BOTH:
        given = np.concatenate([frames[:-1], fields], axis=-1, dtype=np.float32)
    stride, least = network.clip.frame_stride, network.family.min_frames
    looped = network.clip.seen(len(given)) < least
    if looped:
        notice(f"{name}: {counted(len(given), f'{stream} frame')}, looped to {least}")
        places = np.arange(least) * stride % len(given)
    else:
        places = np.arange(0, len(given), stride)
    return SeenClip(network.clip, given, places, looped)


def logits(classifier, stream, clip, blocks=None, hidden=None):
    """Returns float32 (classes,): what a network of a classifier says of a clip, by the steps that `classify` takes.

    Args:
        classifier: a Classifier.
        stream: which of its networks.
        clip: the SeenClip of that stream.
        blocks, hidden: as of `SeenClip.prepared`.
    """
    family = classifier.networks[stream].family
    rows = chunks.Rows(classifier.answers[stream])
    for chunk in chunks.plan_chunks(clip.shape[0], classifier.chunk_frames, family):
        rows.add(chunks.of_chunk(classifier.models[stream], clip.prepared(chunk, blocks, hidden), chunk))
    return rows.logits()
