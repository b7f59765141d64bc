"""Checks of one video: whether it can be read whole, what is done to it on the way, and what a network sees of it."""

import dataclasses
import re
import shlex

import numpy as np

from keras_i3d.checkup.colour_order import looks_swapped
from keras_i3d.checkup.findings import fault, fine, look, note, warning
from keras_i3d.checkup.video_sample import SAMPLED, SECONDS, clipped, take
from keras_i3d.errors import VideoError
from keras_i3d.models import families
from keras_i3d.plurals import counted
from keras_i3d.specs import FLOW_BOUND, FPS
from keras_i3d.video import damage
from keras_i3d.video.pixels import CONVERTED, UNSPECIFIED

SLOW = 12  # frames per second below which most frames that a network sees are repeated ones
UNEVEN = 0.25  # how far gaps between frames are from their median, as a share of it, if the rate is variable
RATE = 0.02  # how far from 25 a rate may be, as a share, that needs no word
STILL = 0.5  # mean levels that frames differ by at most if nothing happens
CHANGED, FEW = 30, 5e-4  # levels by which a pixel is another one; share of such pixels of a thing that is small
DARK = 8  # mean level of nearly black frames
FLAT = 2  # deviation within a frame of one colour
BLACK = 24  # level that bars do not exceed
BAR = 0.03  # of a side that a bar takes at least to be one
BARS = 0.1  # of a side that both take together to be worth a warning
EDGE, PICTURE = 4, 0.5  # lines next to a bar, and the share of one of them that is lit, because the picture is there
CLIPPED = 0.05  # of the flow that may be beyond the bound
SLIGHT = 0.05  # mean pixels per frame of motion that flow hardly shows


def examine(path, network=None):
    """Yields the Findings about a video.

    Args:
        path: of a file.
        network: the `networks.Network` that is to see it; None for what the published I3D weights take.
    """
    family = network.family if network else families.find(families.DEFAULT)
    clip = network.clip if network else next(iter(family.clips.values()))
    try:
        seen = take(path, clip.short_side)
    except VideoError as error:
        remedy = f"fetch the file again, or encode it anew: ffmpeg -i {shlex.quote(str(path))} -c:v libx264 new.mp4"
        said = fault("video.unreadable", error.reason, "it can be neither classified nor recorded", remedy)
        yield dataclasses.replace(said, about=str(path))
        return
    for each in look(path, CHECKS, seen, family, clip, network):
        yield dataclasses.replace(each, remedy=re.sub(r"\bVIDEO\b", lambda _: shlex.quote(str(path)), each.remedy))


def length(seen, family, clip, network):
    """How many frames it has, and whether they are enough."""
    rate = f"{seen.fps:.4g} fps" if seen.fps else "one frame"
    at = "" if seen.fps is None else f", {seen.seconds:.1f} s"
    height, width = seen.size
    part = "" if seen.whole else f"; the first {SECONDS} s were looked at"
    yield fine("video.frames", f"{width}x{height} pixels, {seen.header.codec}, {rate}{at}{part}")
    seconds = seen.seconds if seen.seconds > SAMPLED else seen.read / FPS
    frames = max(round(seconds * clip.fps), 1)
    needed, usual = family.min_frames, clip.frames
    found = f"{counted(frames, 'frame')} at {clip.fps:g} fps"
    if clip.seen(frames) < needed:
        yield warning(
            "video.short",
            f"{found}; {family.name} takes at least {clip.span(needed)}",
            "it is repeated from its start until it is long enough, and motion jumps there",
            "cut a longer part of the source",
        )
    elif usual and frames < clip.span(usual):
        whose = "this network was trained" if network else "the published networks were trained"
        yield note(
            "video.short",
            f"{found}; {whose} on clips of {clip.span(usual)}",
            "a longer part gives more to average over",
        )


def whole_file(seen, *_):
    """Damaged packets, and a file that lacks its end."""
    if seen.damaged or seen.cut_short:
        yield warning(
            "video.whole",
            damage(seen),
            "what FFmpeg shows in the place of lost frames is not what was filmed",
            "fetch or copy the file again, and compare its size and hash",
        )
    else:
        yield fine("video.whole", "no damaged packet, and no part is missing")


def turned(seen, *_):
    """A rotation or mirroring that the file notes."""
    if seen.turned:
        yield note(
            "video.rotated",
            "the file notes a rotation or a mirroring; frames are read upright",
            "a reader that ignores it shows the video lying, so its features and flow are others",
            "for such readers: ffmpeg -i VIDEO -c:v libx264 upright.mp4, which turns the pictures themselves",
        )


def fields(seen, *_):
    """Interlaced frames."""
    if seen.interlaced:
        yield note(
            "video.interlaced",
            f"{seen.interlaced:.0%} of the frames are interlaced; the lines of one field are filled in",
            "a reader that does not do so shows combs at edges, which flow takes for motion",
            "for such readers: ffmpeg -i VIDEO -vf yadif -c:v libx264 progressive.mp4",
        )


def pixel_aspect(seen, *_):
    """Pixels that are not square."""
    if abs(seen.aspect - 1) > 1e-3:
        yield note(
            "video.pixel_aspect",
            f"stored pixels are {seen.aspect:.3g} times as wide as high; frames are read with square ones",
            "a reader that ignores it shows everything stretched",
            "for such readers: ffmpeg -i VIDEO -vf scale=iw*sar:ih,setsar=1 -c:v libx264 square.mp4",
        )


def colours(seen, *_):
    """The tags by which YUV becomes RGB."""
    if seen.is_rgb:
        return
    if seen.matrix == UNSPECIFIED and min(seen.size) >= 720:
        yield note(
            "video.colours",
            f"no tag of its colour matrix, at {min(seen.size)} lines; BT.601 is taken, as FFmpeg does",
            "a player may take BT.709 for it, and greens and reds differ by a few levels",
            "ffmpeg -i VIDEO -c copy -bsf:v h264_metadata=matrix_coefficients=1 tagged.mp4, if it is BT.709",
        )
    elif seen.matrix not in CONVERTED:
        yield warning(
            "video.colours",
            f"a colour matrix that FFmpeg does not convert, number {seen.matrix}",
            "the colours are not those that were filmed",
            "ffmpeg -i VIDEO -vf zscale=matrix=709 -c:v libx264 new.mp4",
        )
    if seen.full_range:
        yield note(
            "video.range",
            "its values are tagged as of the full range, 0 to 255; they are read so",
            "a reader that takes them for 16 to 235 makes shadows and lights too hard",
        )


def frame_rate(seen, _family, clip, _network):
    """How its frames become those of the network's rate."""
    if seen.fps is None:
        return
    gaps = seen.gaps
    uneven = len(gaps) > 3 and float(np.mean(np.abs(gaps / np.median(gaps) - 1) > UNEVEN)) > 0.02
    if uneven:
        yield note(
            "video.variable_rate",
            f"variable frame rate: frames last {1000 * gaps.min():.0f} to {1000 * gaps.max():.0f} ms; resampled to "
            f"{clip.fps:g} fps by their times",
            "a reader that counts frames instead plays parts of it too fast or too slow",
            f"for such readers: ffmpeg -i VIDEO -vf fps={clip.fps:g} -c:v libx264 constant.mp4",
        )
    if seen.fps < SLOW:
        yield warning(
            "video.frame_rate",
            f"{seen.fps:.3g} fps, resampled to {clip.fps:g}",
            f"{1 - seen.fps / clip.fps:.0%} of the frames that a network sees are repeated, and flow jumps between "
            "zero and several frames' motion",
            "take the video in its own rate; a time-lapse is not what the networks were trained on",
        )
    elif abs(seen.fps / clip.fps - 1) > RATE:
        change = "dropped" if seen.fps > clip.fps else "repeated"
        share = abs(1 - min(seen.fps, clip.fps) / max(seen.fps, clip.fps))
        yield note(
            "video.frame_rate",
            f"{seen.fps:.4g} fps, resampled to {clip.fps:g}: {share:.0%} of the frames are {change}",
            "speed stays as it was filmed; features by the stored frames differ from these",
        )
    elif not uneven:
        yield fine("video.frame_rate", f"{seen.fps:.4g} fps, as the network takes it")


def contents(seen, *_):
    """Whether anything can be seen, and moves."""
    grey = seen.frames.mean(-1)
    deviation = grey.std(axis=(1, 2))
    looked = f"in {len(grey)} frames of the first {SAMPLED} s"
    why = "the logits then depend on noise"
    if (grey.mean(axis=(1, 2)) < DARK).mean() > 0.9:
        yield warning(
            "video.dark",
            f"nearly black {looked}: mean level {grey.mean():.1f}",
            why,
            "look at it: keras-i3d show VIDEO --output=x.png",
        )
    elif (deviation < FLAT).mean() > 0.9:
        yield warning(
            "video.flat",
            f"one colour {looked}: deviation {deviation.mean():.1f}",
            why,
            "look at it: keras-i3d show VIDEO --output=x.png",
        )
    elif len(seen.changes) > 1 and seen.changes.max() < STILL and not _small_thing(seen.frames):
        yield warning(
            "video.still",
            f"nothing moves {looked}: they differ by {seen.changes.max():.2f} levels",
            "it is a picture: flow is zero, and the flow stream knows nothing of it",
            "take another part of its source, or classify --streams=rgb",
        )
    else:
        moves = ", and it moves" if len(seen.changes) > 1 else ""
        yield fine("video.contents", f"mean level {grey.mean():.0f}, deviation {deviation.mean():.0f}{moves}")


def _small_thing(frames):
    """Whether few pixels change, and these much: something small moves, where compression changes all a little."""
    other = np.abs(frames[1:].astype("int16") - frames[0]).max(-1) > CHANGED
    return bool(other.mean(axis=(1, 2)).max() > FEW)


def bars(seen, *_):
    """Black bars around the picture."""
    grey = seen.frames.mean(-1)
    if grey.mean() < DARK or seen.read < 2:
        return
    for name, across in (("above and below", 2), ("left and right", 1)):
        shares = (grey > BLACK).mean(across).max(0)  # of each line, in the frame where it has most that is lit
        lit = np.flatnonzero(shares)
        if not len(lit):
            continue
        before, after = lit[0] / len(shares), 1 - (lit[-1] + 1) / len(shares)
        # A bar ends where a picture begins; a dark scene becomes lighter by and by.
        ends = min(shares[lit[0] :][:EDGE].max(), shares[: lit[-1] + 1][-EDGE:].max())
        if min(before, after) >= BAR and ends >= PICTURE:
            say = warning if before + after >= BARS else note
            yield say(
                "video.bars",
                f"black bars {name}, {before + after:.0%} of that side together",
                "they take a part of the crop, and the scene is seen smaller than in training",
                "ffmpeg -i VIDEO -vf cropdetect -f null - prints the crop; then -vf crop=W:H:X:Y",
            )


def resolution(seen, _family, clip, network):
    """Whether it is smaller than what a network sees."""
    short = min(seen.size)
    if short >= clip.short_side:
        return
    whose = "this network's" if network else "the published networks'"
    found = f"a short side of {short} pixels, enlarged to {whose} {clip.short_side}"
    why = "nothing is gained by enlarging: it is blurred as no video in their training was"
    if network and short < clip.crop / 2:
        yield warning(
            "video.small", found, why, f"take it in a larger size, or train on records of --short_side={short}"
        )
    else:
        yield note("video.small", found, why)


def motion(seen, _family, clip, _network):
    """How fast it moves, on the scale that flow is stored in."""
    if seen.flow is None:
        return
    bound = clip.flow_bound or FLOW_BOUND
    mean, beyond = clipped(seen.flow, bound)
    found = (
        f"motion: {mean:.2g} pixels per frame on average at a short side of {clip.short_side}, {beyond:.1%} beyond "
        f"{bound:g} (of {counted(len(seen.flow), 'pair')})"
    )
    if beyond > CLIPPED:
        yield warning(
            "video.motion",
            found,
            f"flow beyond {bound:g} is clipped, so fast motion looks slower than it is",
            "check the frame rate: a video whose frames were dropped moves as fast",
        )
    elif mean < SLIGHT:
        yield note("video.motion", found, "the flow stream sees next to nothing of it", "classify --streams=rgb")
    else:
        yield fine("video.motion", found)


def channel_order(seen, *_):
    """Whether red and blue look swapped."""
    swapped, cold, warm = looks_swapped(seen.frames)
    if swapped:
        yield note(
            "video.channel_order",
            f"red and blue may be swapped: of the coloured pixels below the middle, {cold:.0%} have more blue than "
            f"green and more green than red, and {warm:.1%} the other way round",
            "swapped frames cost the RGB stream accuracy; colours alone cannot tell, because water and blue light look "
            "the same",
            "look at it: keras-i3d show VIDEO --output=x.png. If it is so: ffmpeg -i VIDEO -vf "
            "colorchannelmixer=0:0:1:0:0:1:0:0:1:0:0 right.mp4",
        )


CHECKS = (
    *(length, whole_file, turned, fields, pixel_aspect, colours, frame_rate),
    *(contents, bars, resolution, motion, channel_order),
)
