"""Pictures of an explanation: a sheet of frames under their evidence, and those of a moving picture, one by one."""

import dataclasses
import os

import numpy as np

from keras_i3d import visualize
from keras_i3d.explaining import overlays
from keras_i3d.explaining.explanations import is_of_frames

WIDTH = 200  # pixels of a frame, at least; smaller ones are enlarged by a whole number
COLUMNS, COUNT = 6, 12
GAP = 2
TITLES = {"rgb": "RGB stream", "flow": "flow stream", "both": "both streams in one network"}


class Pictures:
    """The pictures of one Explanation: each stream's map over its frames.

    Attributes:
        length: how many moments there are: the frames of the first stream's clip.
        fps: moments per second.
    """

    def __init__(self, explanation):
        self.explanation = explanation
        first = next(iter(explanation.streams.values()))
        self.length = first.clip.shape[0]
        self._stride = first.clip.spec.frame_stride
        self.fps = explanation.fps / self._stride
        size = explanation.frames.shape[1:3]
        self.factor = max(round(WIDTH / size[1]), 1)
        self._painters = {
            stream: overlays.Painter(each.map, each.centres, size, self.factor)
            for stream, each in explanation.streams.items()
        }
        self._bound = None if explanation.fields is None else visualize.own_bound(explanation.fields)

    def seconds(self, moment):
        """When a moment is, in seconds from the begin of what was read."""
        return moment * self._stride / self.explanation.fps

    def frame(self, moment):
        """Returns uint8 (h, w, 3), the frame that the first stream sees at a moment, enlarged."""
        first = next(iter(self.explanation.streams.values()))
        picture = self.explanation.frames[first.clip.places[moment]]
        return np.rint(overlays.enlarged(picture, self.factor)).astype(np.uint8)

    def overlay(self, stream, moment):
        """Returns uint8 (h, w, 3): a stream's evidence at a moment, over the grey frame or over the flow's colours."""
        clip = self.explanation.streams[stream].clip
        time = min(moment * self._stride / clip.spec.frame_stride, clip.shape[0] - 1)
        place = clip.places[round(time)]
        if is_of_frames(stream):
            return self._painters[stream].paint(self.explanation.frames[place], time)
        colours = visualize.flow_to_color(self.explanation.fields[place], self._bound)
        return self._painters[stream].paint(colours, time, keep_colours=True)

    def moving(self, moment):
        """Returns uint8 (h, w, 3), a picture of a moving one: the frame, each stream's evidence, and bars over time."""
        tiles = [self.frame(moment), *(self.overlay(stream, moment) for stream in self.explanation.streams)]
        row = _side_by_side(tiles)
        width, parts = row.shape[1], [row]
        for stream, each in self.explanation.streams.items():
            cursor = moment * self._stride / each.clip.spec.frame_stride
            parts += [
                visualize.text_line(f"{TITLES[stream]}: what each step adds", width),
                overlays.bars(each.per_step, each.centres[0], each.clip.shape[0], width, cursor),
            ]
        return np.concatenate(parts)

    def with_words(self):
        """Yields the pictures of a moving one, all of one size, with the label and the time above."""
        (first, *_) = headings(self.explanation)
        for moment in range(self.length):
            picture = self.moving(moment)
            lines = (first, f"{self.seconds(moment):.2f} s")
            yield np.concatenate([*(visualize.text_line(text, picture.shape[1]) for text in lines), picture])

    def sheet(self):
        """Returns uint8 (h, w, 3): frames of the whole video, with their evidence, the sums in words and a legend."""
        chosen = np.unique(np.linspace(0, self.length - 1, min(COUNT, self.length)).round().astype(int)).tolist()
        columns = min(COLUMNS, len(chosen))
        rows = [chosen[at : at + columns] for at in range(0, len(chosen), columns)]
        frames = [self._row(self.frame, moments, columns, times=True) for moments in rows]
        width = frames[0].shape[1]
        parts = [visualize.text_line(text, width) for text in headings(self.explanation)]
        parts += frames
        for stream in self.explanation.streams:
            parts.append(self._stream_heading(stream, width))
            parts += [self._row(lambda moment, s=stream: self.overlay(s, moment), moments, columns) for moments in rows]
            parts += self.strip(stream, width)
        if self.explanation.fields is not None and "flow" in self.explanation.streams:
            said = f"flow's colours: where a point moves to; full colour {self._bound:.3g} pixels per frame, made paler"
            parts.append(visualize.text_line(said, width))
        return np.concatenate(parts)

    def strip(self, stream, width):
        """Returns the parts of a stream's bars over time, each uint8 (h, width, 3): bars, words on them, the legend."""
        each = self.explanation.streams[stream]
        values, exact = each.per_step, each.bias is not None
        unit = "logits" if exact else "without a unit"
        seconds = self.seconds(self.length - 1)
        said = f"over time, 0 to {seconds:.2f} s: what each step adds, {values.min():.3g} to {values.max():.3g} {unit}"
        return [
            overlays.bars(values, each.centres[0], each.clip.shape[0], width),
            visualize.text_line(said, width),
            overlays.legend(self._painters[stream].bound, f"{unit} a position", width, exact),
        ]

    def _stream_heading(self, stream, width):
        each = self.explanation.streams[stream]
        over = "frames" if is_of_frames(stream) else "flow in colours"
        t, h, w = each.map.shape
        how = "class activation" if each.bias is not None else "Grad-CAM"
        said = f"{TITLES[stream]}: {how} at {each.endpoint}, {t} steps of {h} x {w} positions, over {over}"
        return visualize.text_line(said, width)

    def _row(self, picture, moments, columns, times=False):
        cells = [picture(moment) for moment in moments]
        if times:
            lines = [visualize.text_line(f"{self.seconds(moment):.2f} s", cells[0].shape[1]) for moment in moments]
            cells = [np.concatenate([line, cell]) for line, cell in zip(lines, cells)]
        return _side_by_side(cells + [np.full_like(cells[0], 255)] * (columns - len(cells)))


def headings(explanation):
    """The lines above a picture, with the name of the file alone: the label and its sums, and what the curve found."""
    lines = str(dataclasses.replace(explanation, video=os.path.basename(explanation.video))).splitlines()
    return [line.strip() for line in lines if not line.lstrip().startswith("other labels")]


def _side_by_side(cells):
    gap = np.full((cells[0].shape[0], GAP, 3), 255, np.uint8)
    row = np.concatenate([part for cell in cells for part in (cell, gap)], axis=1)
    return np.pad(row, ((0, GAP), (0, 0), (0, 0)), constant_values=255)
