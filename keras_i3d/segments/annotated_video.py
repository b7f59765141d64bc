"""A video with its labels: what is there now on the frame, flow next to it, and the time line below."""

import collections
import contextlib
import functools
import os

import numpy as np

from keras_i3d import visualize
from keras_i3d.charts import COLOURS, clock
from keras_i3d.errors import missing_package
from keras_i3d.flow import pairs
from keras_i3d.progress import Bar
from keras_i3d.segments.finding import LANES
from keras_i3d.specs import SHORT_SIDE
from keras_i3d.video import MAX_SECONDS, Reader, writing

LEAST_WIDTH = 480  # pixels, in which the words below the frame are readable
LANE, MARGIN = 24, 8  # pixels: height of a lane; space at the sides
GROUND, WORDS, PALE, DARK = (17, 24, 39), (243, 244, 246), (156, 163, 175), (55, 65, 81)
FONT = 13  # pixels of a line
MOMENTS = 8  # of the video, whose flow says how fast full colour is


def write(path, timeline, source=None, top=LANES, progress=False):
    """Writes an .mp4 of the video at the network's frame rate, without its sound, in bounded memory.

    The labels of the segments that are there stand on the frame. If the flow stream was used, flow is next to it,
    computed again. Below is a lane for each label of `Timeline.lanes`, with its probability now and along all of the
    video, its segments, and a cursor.

    Args:
        path: ends in .mp4.
        timeline: a Timeline.
        source: the video: a path, the bytes of a file, or a file object; by default the file that the time line names.
        top: lanes at most.
        progress: whether to show how far it is.

    Raises:
        ValueError: another name, or the video itself.
        keras_i3d.VideoError: the video cannot be read.
    """
    path, found = writing.check_name(path), timeline.found
    source = found.video if source is None else source
    if _is_itself(path, found.video):
        raise ValueError(f"An annotated video is another file than the video itself. Received: {path}. Name another.")
    bound = full_colour(source, found)
    name = os.path.basename(str(path))
    with Bar(name, found.frames, "frames", shown=progress) as bar, contextlib.closing(pictures(source, found)) as seen:
        writing.write(path, bar.over(_annotated(seen, timeline, top, bound)), found.fps)


def pictures(source, found):
    """Yields (frame as it is shown, uint8 (H, W, 3); its flow, float32 (h, w, 2) in pixels per frame, or None).

    The short side of a frame is 256, that of the flow what the network sees. The last frame has the flow of the one
    before it.

    Args:
        source: the video, as for `write`.
        found: the LabelsInTime of it.
    """
    if found.flow_method is None:
        yield from ((frame, None) for frame in _reader(source, found, f"short:{SHORT_SIDE}"))
        return
    shown = collections.deque()

    def seen():
        for small, large in _reader(source, found, (f"short:{found.clip.short_side}", f"short:{SHORT_SIDE}")):
            shown.append(large)
            yield small

    field = None
    with contextlib.closing(pairs.stream(seen(), found.flow_method)) as fields:
        for field in fields:
            yield shown.popleft(), field
    yield from ((frame, field) for frame in shown)


def _reader(source, found, resize, **part):
    return Reader(source, found.fps, resize=resize, max_seconds=max(MAX_SECONDS, found.seconds + 1), **part)


def full_colour(source, found):
    """Returns the speed of full colour, in pixels per frame: that of the flow at some moments, for all of the video.

    None without flow. Args: as of `pictures`.
    """
    if found.flow_method is None:
        return None
    fields = []
    for begin in np.linspace(0, max(found.seconds - 2 / found.fps, 0), MOMENTS):
        part = {"start": float(begin), "end": float(begin + 2 / found.fps)}
        frames = list(_reader(source, found, f"short:{found.clip.short_side}", **part))
        fields += list(pairs.stream(frames, found.flow_method)) if len(frames) > 1 else []
    return visualize.own_bound(np.stack(fields))


def _annotated(seen, timeline, top, bound):
    """Yields the pictures of the .mp4, uint8 (H, W, 3)."""
    panel = None
    for number, (frame, field) in enumerate(seen):
        if panel is None:
            height, width = frame.shape[:2]
            sides = width if field is None else 2 * width
            panel = _Panel(timeline, timeline.lanes(top), max(sides, LEAST_WIDTH) // 2 * 2)
        now = (number + 0.5) / timeline.found.fps
        there = [each for each in timeline.segments if each.start <= now < each.end]
        parts = [_labelled(frame, [(each.label, panel.colours.get(each.index, PALE)) for each in there])]
        if field is not None:
            flow = painted(field, bound, width, height)
            caption = (4, height - 18, f"flow; full colour is {bound:.3g} pixels a frame", (0, 0, 0))
            parts.append(_written(flow, [caption], width - 8))
        row = np.concatenate(parts, axis=1)
        before = (panel.width - row.shape[1]) // 2
        space = ((0, 0), (before, panel.width - row.shape[1] - before), (0, 0))
        yield np.concatenate([np.pad(row, space), panel.at(now)])


class _Panel:
    """What stands below the frame: a lane for each label."""

    def __init__(self, timeline, lanes, width):
        found = timeline.found
        self.timeline, self.lanes, self.width = timeline, lanes, width
        self.colours = {index: _rgb(COLOURS[place % len(COLOURS)]) for place, index in enumerate(lanes)}
        self.shares = found.probabilities(found.frame_times, lanes)  # (frames, lanes)
        self.bar = (int(0.34 * width), int(0.50 * width))  # from and to, pixels
        self.strip = (int(0.58 * width), width - MARGIN)
        self.still = self._still()

    def _still(self):
        """What is the same in all frames: names, curves, segments; uint8 (H, width, 3)."""
        found, (left, right) = self.timeline.found, self.strip
        picture = np.full((LANE * (len(self.lanes) + 1), self.width, 3), GROUND, np.uint8)
        columns = (np.arange(right - left + 1) * found.frames / (right - left)).astype(int)
        for place, index in enumerate(self.lanes):
            colour, floor = self.colours[index], LANE * (place + 1) - 6
            picture[floor, left:right] = DARK
            for x, (first, end) in enumerate(zip(columns, columns[1:]), left):
                high = round((LANE - 10) * float(self.shares[first : max(end, first + 1), place].max()))
                picture[floor - high : floor, x] = [each // 2 for each in colour]
                picture[max(floor - high - 1, 0) : floor - high + 1, x] = colour
            for each in self.timeline.segments:
                if each.index == index:
                    ends = [left + round(at / found.seconds * (right - left)) for at in (each.start, each.end)]
                    picture[floor + 1 : floor + 4, ends[0] : max(ends[1], ends[0] + 1)] = colour
            picture = _written(
                picture, [(MARGIN, LANE * place + 4, found.labels[index], WORDS)], self.bar[0] - 2 * MARGIN
            )
        return picture

    def at(self, seconds):
        """The panel at a moment, uint8 (H, width, 3)."""
        found, picture = self.timeline.found, self.still.copy()
        shares = self.shares[min(int(seconds * found.fps), len(self.shares) - 1)]
        words = [(MARGIN, LANE * len(self.lanes) + 4, f"{clock(seconds, 1)} of {clock(found.seconds, 1)}", PALE)]
        left, right = self.bar
        for place, index in enumerate(self.lanes):
            top = LANE * place + 6
            picture[top : top + 10, left:right] = DARK
            picture[top : top + 10, left : left + round(float(shares[place]) * (right - left))] = self.colours[index]
            words.append((right + 4, LANE * place + 4, f"{shares[place]:.0%}", WORDS))
        cursor = self.strip[0] + int(min(seconds / found.seconds, 1) * (self.strip[1] - self.strip[0] - 1))
        picture[: LANE * len(self.lanes), cursor] = WORDS
        return _written(picture, words)


def painted(field, bound, width, height):
    """Returns uint8 (height, width, 3), flow in the colours of `visualize.flow_to_color`, of the size of its frame."""
    return np.asarray(_pillow().Image.fromarray(visualize.flow_to_color(field, bound)).resize((width, height)))


def _written(picture, words, width=None):
    """Returns a picture with words, [(x, y, text, colour)], cut to `width` pixels each."""
    image = _pillow().Image.fromarray(picture)
    draw = _pillow().ImageDraw.Draw(image)
    for x, y, text, colour in words:
        draw.text((x, y), text if width is None else _cut(text, width), colour, _font())
    return np.array(image)  # one that may be written


def _labelled(picture, labels):
    """Returns a frame with [(label, colour)], a line each, on dark ground in its upper corner."""
    image = _pillow().Image.fromarray(picture)
    draw = _pillow().ImageDraw.Draw(image)
    for place, (label, colour) in enumerate(labels):
        text, top = _cut(label, image.width - 30), 4 + 20 * place
        draw.rectangle((4, top, 22 + _font().getlength(text), top + 18), GROUND)
        draw.rectangle((8, top + 4, 15, top + 13), colour)
        draw.text((19, top + 1), text, WORDS, _font())
    return np.array(image)  # one that may be written


def _cut(text, width):
    """A text that fits, with dots in the place of what does not."""
    shown = text = " ".join(text.split())
    while _font().getlength(shown) > width and text:
        text = text[:-1]
        shown = f"{text}..."
    return shown


@functools.cache
def _font():
    return _pillow().ImageFont.load_default(FONT)


def _pillow():
    try:
        import PIL.Image
        import PIL.ImageDraw
        import PIL.ImageFont
    except ImportError as error:
        raise missing_package("PIL", "pillow", "An annotated video") from error
    return PIL


def _is_itself(path, video):
    """Whether a path is the file of a video."""
    try:
        return os.path.samefile(path, video)
    except OSError:  # one of them is not there
        return False


def _rgb(colour):
    """(red, green, blue) of "#rrggbb"."""
    return tuple(int(colour[at : at + 2], 16) for at in (1, 3, 5))
