"""Checks of what is in records: values and channels of their frames, components and scale of their flow."""

import pathlib

import numpy as np

from keras_i3d.checkup import flow_agreement
from keras_i3d.checkup.colour_order import looks_swapped, swapped_against
from keras_i3d.checkup.findings import fault, fine, low_to_high, note, some, warning
from keras_i3d.errors import VideoError
from keras_i3d.plurals import counted
from keras_i3d.specs import FPS
from keras_i3d.video import Reader

SCALED = 4  # level that frames do not exceed that were scaled before they were stored
STUDIO = (14, 20), (230, 238)  # between which lie the darkest and the lightest of frames that were never expanded
STILL = 1.0  # level by which a pixel changes, on average, in a clip where nothing moves
LITTLE_FLOW = 2  # smallest steps of stored flow that are no motion
MUCH = 0.05  # of the flow that may be at the bound
AGREES, BETTER = 0.5, 0.25  # the least correlation of a way that is believed, and by how much it beats the right one
SCALE = 1.5  # times by which stored flow may differ from ours
SWAPPED = 0.8  # of the clips that look so
SAME_PICTURE = 12  # mean levels by which a stored frame differs from its source at most, or it is of another video
COMPARED = 8  # clips of a split that are compared with their source videos


def frames(_videos, found):
    """Frames that are dark, scaled, of one picture, or of the studio range."""
    for split in found:
        clips = split.clips
        if not clips:
            yield fault(
                "records.unreadable",
                f"{split.name}: none of its sampled records can be read",
                "nothing can be trained on it",
                "make the records again: keras-i3d records",
            )
            continue
        highest = [int(clip.frames.max()) for clip in clips]
        if np.mean(np.array(highest) <= SCALED) > 0.5:
            yield fault(
                "records.range",
                f"{split.name}: frames hold values of 0 to {max(highest)}, not of 0 to 255",
                "they were scaled to 0..1 or -1..1 before they were stored, and are nearly black now",
                "store frames as they are decoded, uint8 in [0, 255]; this package scales them itself",
            )
            continue
        pixels = np.concatenate([clip.frames.reshape(-1)[::7] for clip in clips])
        low, high = np.percentile(pixels, (0.1, 99.9))
        still = [clip.id for clip in clips if clip.length > 1 and _change(clip.frames) < STILL]
        if all(least <= value <= most for value, (least, most) in zip((low, high), STUDIO)):
            yield note(
                "records.studio",
                f"{split.name}: values lie within {low:.0f} to {high:.0f}",
                "that is the range of YUV, 16 to 235: it may never have been expanded to 0 to 255",
                "read the videos by this package, which expands it: keras-i3d records",
            )
        if 2 * len(still) > len(clips):
            yield warning(
                "records.still",
                f"{split.name}: nothing moves in {len(still)} of {counted(len(clips), 'clip')}: {some(still)}",
                "a video of one picture holds no motion to learn",
                "look at one: keras-i3d show",
            )
        rates = sorted({clip.fps for clip in clips})
        yield fine(
            "records.frames",
            f"{split.name}: {counted(len(clips), 'clip')} looked at, of {low_to_high([c.length for c in clips])} "
            f"frames at {', '.join(f'{rate:g}' for rate in rates)} fps, values "
            f"{low:.0f} to {high:.0f}",
        )
        if rates != [FPS]:
            yield note(
                "records.fps",
                f"{split.name}: {', '.join(f'{rate:g}' if rate else 'no' for rate in rates)} fps",
                f"the published weights were trained at {FPS}: motion is faster or slower here",
                f"keras-i3d records --fps={FPS}, unless the network is trained on such records",
            )


def _change(frames):
    """Levels by which a pixel changes in the sampled frames of a clip, on average."""
    return np.ptp(frames.astype("int16"), axis=(0, 1)).mean()


def channel_order(videos, found):
    """Whether red and blue were swapped: against source videos where they are given, else by colours alone."""
    for split in found:
        clips = split.clips
        compared = [result for clip in clips[:COMPARED] if (result := _against_source(clip, split, videos)) is not None]
        remedy = "turn what OpenCV reads, frame[..., ::-1], or read by this package, and make the records again"
        if compared:
            swapped = sum(so for so, _, _ in compared)
            same, other = (np.mean([each[i] for each in compared]) for i in (1, 2))
            found_words = (
                f"{split.name}: against {counted(len(compared), 'source video')}, frames are {same:.1f} levels apart, "
                f"and {other:.1f} with red and blue swapped"
            )
            if 2 * swapped > len(compared):
                yield fault("records.channel_order", found_words, "red and blue are swapped: BGR was stored", remedy)
            else:
                yield fine("records.channel_order", found_words)
            continue
        so = [looks_swapped(clip.frames[:, 0])[0] for clip in clips]
        if so and np.mean(so) >= SWAPPED:
            yield warning(
                "records.channel_order",
                f"{split.name}: in {sum(so)} of {counted(len(so), 'clip')} red and blue look swapped: most coloured "
                "pixels have more blue than green, and more green than red",
                "weights trained on RGB lose accuracy on BGR; colours alone cannot tell, source videos can",
                f"give the folder of source videos too: keras-i3d doctor RECORDS VIDEOS. If it is so: {remedy}",
            )


def _against_source(clip, split, videos):
    spec = split.source.spec
    path = next((p for root in videos if (p := pathlib.Path(root, clip.id)).is_file()), None)
    if spec is None or path is None:
        return None
    try:
        source = next(iter(Reader(path, spec.fps, spec.short_side)))
    except VideoError:
        return None
    stored = clip.frames[0, 0]
    if source.shape != stored.shape or clip.moments[0] != 0:
        return None
    found = swapped_against(stored, source)
    return found if min(found[1:]) <= SAME_PICTURE else None  # of two folders that have names in common


def flow(_videos, found):
    """Whether flow is there, as large as it should be, and what the frames show."""
    for split in found:
        clips = split.clips
        fields = [clip for clip in clips if clip.flow is not None]
        if not fields:
            yield note(
                "records.flow",
                f"{split.name} has no flow",
                "only the RGB stream can be trained on it",
                "keras-i3d records --flow_method=tvl1",
            )
            continue
        bound = fields[0].bound
        values = np.concatenate([clip.flow.reshape(-1) for clip in fields])
        step = 2 * bound / 254
        method = split.source.spec.flow_method if split.source.spec else "a method that nobody noted"
        found_words = (
            f"{split.name}: flow by {method}, mean {values.mean():+.2f}, deviation {values.std():.2f} pixels per "
            f"frame, bound {bound:g}"
        )
        moving = [clip for clip in fields if (clip.frames[:, 0] != clip.frames[:, 1]).any()]
        if moving and np.abs(values).max() <= LITTLE_FLOW * step:
            yield fault(
                "records.flow",
                f"{split.name}: flow is zero in all of {counted(len(fields), 'clip')}, whose frames change",
                "the flow stream has nothing to learn from",
                "make the records again: keras-i3d records --flow_method=tvl1",
            )
            continue
        at_bound = float((np.abs(values) > bound - step).mean())
        if at_bound > MUCH:
            yield warning(
                "records.flow_clipped",
                f"{split.name}: {at_bound:.0%} of the flow is at its bound of {bound:g} pixels per frame",
                "faster motion is clipped to it",
                "check the size that it was computed at, a short side of 256, and the frame rate; make records anew: "
                "keras-i3d records --short_side=256",
            )
        yield fine("records.flow", found_words)
        yield from _agreement(split, fields)


def _agreement(split, fields):
    found = flow_agreement.compare(fields)
    if found is None:
        yield note("records.flow_order", f"{split.name}: too little motion to compare its flow with ours")
        return
    right, best = found.correlations[flow_agreement.RIGHT], found.correlations[found.best]
    words = f"{split.name}, {counted(found.pairs, 'pair')}: stored flow correlates {right:.2f} with ours"
    if best >= AGREES and best - right >= BETTER:
        yield fault(
            "records.flow_order",
            f"{words} as (dx, dy), and {best:.2f} as {found.best}",
            f"what is stored is {found.best}: components swapped, or of another sign",
            "store (dx, dy), the motion from a frame to the next, x to the right and y downwards; or make the records "
            "again: keras-i3d records --flow_method=tvl1",
        )
        return
    if right < AGREES:
        yield warning(
            "records.flow_order",
            f"{words}, by no way better than {best:.2f}",
            "it is of other frames, of another direction in time, or very noisy",
            "look at it: keras-i3d show; make the records again: keras-i3d records --flow_method=tvl1",
        )
        return
    yield fine("records.flow_order", f"{words} as (dx, dy)")
    if not 1 / SCALE <= found.scale <= SCALE:
        yield fault(
            "records.flow_scale",
            f"{split.name}: stored flow is {found.scale:.2g} times ours ({counted(found.pairs, 'pair')}, mean motion "
            f"{found.motion:.2g} pixels per frame)",
            "it was computed at another size, divided by its bound, or stored by another scheme than the record says",
            "store pixels per frame at the stored size, and note flow_bound and flow_scheme as they are; or make the "
            "records again",
        )
    else:
        yield fine("records.flow_scale", f"{split.name}: stored flow is {found.scale:.2f} times ours")


CHECKS = (frames, flow, channel_order)
