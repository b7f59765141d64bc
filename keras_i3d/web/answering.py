"""What is done for a video of the page: labels, time line and segments as plain data; its film; evidence for a label.

Whatever is handed out is free of paths of this machine: of weights and of the file that was sent.
"""

import dataclasses
import json
import os
import re

import numpy as np

from keras_i3d import atomic, runtimes, segments
from keras_i3d.errors import notice
from keras_i3d.explaining import explanation_pictures, explanations
from keras_i3d.plurals import counted
from keras_i3d.progress import Bar
from keras_i3d.segments import annotated_video
from keras_i3d.segments.finding import SHORTEST, SMOOTH
from keras_i3d.video import writing
from keras_i3d.web.jobs import EVIDENCE, FILES, FILM

MOMENTS = 800  # at which curves are given, at most
EXPLAINED = 8.0  # seconds of a longer video that are explained, because they are kept in memory
STREAMS = {"rgb": "RGB", "flow": "flow", "both": "RGB and flow in one"}
METHODS = {"tvl1": "TV-L1", "opencv": "OpenCV's TV-L1", "dis": "DIS"}
# A path from the root on, of at least two parts, which is no part of a URL.
PATH = re.compile(r"(?<![\w/:.])(?:/[\w.@+-]+){2,}/?")


class Answers:
    """What one Classifier answers.

    Args:
        classifier: the Classifier.
        threshold, smooth, shortest: as for `segments.find`.
        top: how many labels are named and drawn.
    """

    def __init__(self, classifier, threshold=None, smooth=SMOOTH, shortest=SHORTEST, top=5):
        self.classifier, self.threshold = classifier, threshold
        self.smooth, self.shortest, self.top = smooth, shortest, top

    def settle_runtimes(self):
        """Settles what runs the networks, so that a video that is sent twice has one answer; a line says what it is."""
        chosen = self.classifier.choose_runtimes()
        if chosen:
            told = (
                f"{runtimes.with_version(name)} runs the {STREAMS[stream]} network" for stream, name in chosen.items()
            )
            notice(f"{', '.join(told)}, for every video")

    def without_paths(self, text, job):
        """Returns a text in which this machine's paths are not: a video is called as its user called it."""
        text = text.replace(str(job.path), job.name).replace(str(job.folder), "")
        for stream, network in self.classifier.networks.items():
            if os.sep in network.origin:
                text = text.replace(network.origin, f"the {STREAMS[stream]} network")
        return PATH.sub("(a path)", text)

    def about(self):
        """Returns what the page says of the networks, as plain data."""
        classifier = self.classifier
        networks = [
            {
                "stream": STREAMS[stream],
                "family": network.family.name,
                "precision": _precision(network.model),
            }
            for stream, network in classifier.networks.items()
        ]
        return {
            "networks": networks,
            "labels": list(classifier.labels),
            "several": classifier.activation != "softmax",
            "flow": classifier.flow_method,
        }

    def answer(self, job):
        """Classifies a video and finds its segments; writes the files of `FILES`, and returns what the page shows."""
        top = self.top if self.classifier.thresholds is None else None  # else all labels above their thresholds
        classification, found = self.classifier.at_once(str(job.path), top)
        classification = dataclasses.replace(classification, video=job.name)
        timeline = segments.find(dataclasses.replace(found, video=job.name), self.threshold, self.smooth, self.shortest)
        record = classification.record()
        atomic.write_text(job.folder / "labels.json", f"{json.dumps(record, ensure_ascii=False)}\n")
        for name in FILES:
            if name.startswith("segments"):
                segments.save(job.folder / name, timeline)
        job.timeline = timeline
        return {
            "record": record,
            "seconds": timeline.seconds,
            "lanes": _lanes(timeline, self.top),
            "segments": [dataclasses.asdict(each) for each in timeline.segments],
            "facts": [
                self.without_paths(fact, job) for fact in (*self._facts(classification, timeline), *_further(job))
            ],
            "flow": timeline.found.flow_method is not None,
        }

    def film(self, job):
        """Writes the video as the networks see it, its flow next to it, as a film that browsers play."""
        found = job.timeline.found
        bound = annotated_video.full_colour(str(job.path), found)
        path = job.folder / FILM
        with Bar(FILM, found.frames, shown=False) as bar:
            writing.write(path, bar.over(_side_by_side(str(job.path), found, bound)), found.fps)
        return {"file": FILM, "bound": None if bound is None else f"{bound:.3g}"}

    def evidence(self, job, index, at):
        """Writes where the evidence for a label lies, as a film, and returns the sums.

        Args:
            job: whose video it is.
            index: of the label.
            at: the moment around which a long video is explained, in seconds.
        """
        start, end = self.part(job.timeline.seconds, at)
        explanation = explanations.explain_by(
            self.classifier, str(job.path), int(index), steps=0, start=start or None, end=end
        )
        pictures = explanation_pictures.Pictures(explanation)
        moving = (_tiles(pictures, moment) for moment in range(pictures.length))
        with Bar(EVIDENCE, pictures.length, shown=False) as bar:
            writing.write(job.folder / EVIDENCE, bar.over(moving), pictures.fps)
        streams = [
            {
                "stream": STREAMS[stream],
                "exact": each.bias is not None,
                "endpoint": each.endpoint,
                "map": float(each.map.sum()),
                "bias": each.bias,
                "total": each.total,
                "logit": each.logit,
                "steps": [round(float(value), 6) for value in each.per_step],
                "times": [
                    round(start + float(at) * each.clip.spec.frame_stride / explanation.fps, 3)
                    for at in each.centres[0]
                ],
            }
            for stream, each in explanation.streams.items()
        ]
        return {
            "file": EVIDENCE,
            "label": explanation.label,
            "probability": explanation.probability,
            "logit": explanation.logit,
            "streams": streams,
            "start": start,
            "end": end or job.timeline.seconds,
            "whole": end is None,
        }

    @staticmethod
    def part(seconds, at):
        """Returns (start, end) of what is explained, in seconds; (0, None) is the whole."""
        if seconds <= EXPLAINED:
            return 0.0, None
        start = min(max(at - EXPLAINED / 2, 0.0), seconds - EXPLAINED)
        return start, start + EXPLAINED

    def _facts(self, classification, timeline):
        """Yields how the answer was made, in plain words, a sentence or two each."""
        found = timeline.found
        frames = counted(found.frames, "frame")
        yield f"The video lasts {found.seconds:.2f} seconds: {frames} at {found.fps:g} a second."
        for stream, network in self.classifier.networks.items():
            apart = network.clip.frame_stride
            every = "every frame" if apart == 1 else f"one frame in {apart}"
            computes, side = _precision(network.model), network.clip.crop
            by = runtimes.with_version(self.classifier.models[stream].used[-1])
            yield (
                f"{STREAMS[stream]} network: {network.family.name}, computes in {computes} by {by}, sees {every}, "
                f"{side} x {side} pixels of its centre."
            )
        if len(self.classifier.networks) > 1:
            yield "The logits of the streams are summed."
        if found.flow_method is not None:
            trained = {self.classifier.clips[s].flow_method for s in found.streams if s != "rgb"} - {None}
            same = {found.flow_method} == trained or {found.flow_method, *trained} <= {"tvl1", "opencv"}
            others = " and ".join(METHODS.get(each, each) for each in sorted(trained))
            which = "as the network was trained on" if same else f"while the network was trained on {others}"
            yield f"Flow was computed by {METHODS.get(found.flow_method, found.flow_method)}, {which}."
        if classification.looped:
            yield f"The video is shorter than a network takes, so it was repeated to {classification.looped} frames."
        if classification.damaged:
            packets = counted(classification.damaged, "packet")
            yield f"The file is damaged: {packets} could not be decoded, or only with errors."
        if classification.cut_short:
            yield "The file is cut short: it lacks a part that it announces."
        for stream, frames in found.windows.items():
            clips = f"clips of {counted(frames, 'frame')}"
            yield f"The {STREAMS[stream]} network was asked about {clips} for the labels along time."
        least = timeline.threshold
        there = (
            f"a label is the most probable one, and its probability is at least {least:g}"
            if isinstance(least, float)
            else "the probability of a label is at least its threshold"
        )
        yield (
            f"A segment is a stretch of at least {timeline.shortest:g} s in which {there}. Before that, the logits are "
            f"averaged over {timeline.smooth:g} s."
        )


def _further(job):
    """What else was said of a job's video; that it was looped is a fact of its own."""
    return [line for line in job.lines if str(job.path) in line and "looped to" not in line]


def _precision(model):
    """What a network computes in, as "float32"; the last layers are float32 in any case."""
    layer = next(layer for layer in model.layers if layer.weights)
    return getattr(layer, "dtype_policy", None) and layer.dtype_policy.compute_dtype or "float32"


def _lanes(timeline, top):
    """The labels worth a look along time, in the order in which they first come: [{label, index, times, values}]."""
    found, lanes = timeline.found, timeline.lanes(top)
    moments = np.linspace(0, found.seconds, min(found.frames + 1, MOMENTS))
    shares = found.probabilities(moments, lanes)
    return [
        {"label": found.labels[index], "index": index, "values": [round(float(v), 4) for v in shares[:, place]]}
        for place, index in enumerate(lanes)
    ]


def _tiles(pictures, moment):
    """uint8 (h, w, 3): a frame, and each stream's evidence next to it."""
    tiles = [pictures.frame(moment), *(pictures.overlay(stream, moment) for stream in pictures.explanation.streams)]
    return np.concatenate(tiles, axis=1)


def _side_by_side(source, found, bound):
    """Yields uint8 (H, W, 3): a frame, or a frame and its flow."""
    for frame, field in annotated_video.pictures(source, found):
        height, width = frame.shape[:2]
        if field is None:
            yield frame
        else:
            yield np.concatenate([frame, annotated_video.painted(field, bound, width, height)], axis=1)
