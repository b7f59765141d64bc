"""Segments to files: ActivityNet's JSON, CSV, subtitles, a picture, an annotated video. The ending says which."""

import csv
import io
import json
import pathlib
import re

from keras_i3d import atomic, paths
from keras_i3d.plurals import counted
from keras_i3d.segments import subtitles
from keras_i3d.version import __version__

OF_ALL = (".json", ".csv")  # what holds any number of videos
OF_ONE = (".srt", ".vtt", ".png", ".mp4")
VERSION = "VERSION 1.3"  # of ActivityNet
YOUTUBE = re.compile(r"v_([\w-]{11})")  # ActivityNet's files are named v_ID, and its annotations name the ID
COLUMNS = ("video", "label", "score", "start", "end")


def ending(path):
    """Returns the ending of a path that segments can be written to, or raises ValueError."""
    suffix = pathlib.PurePath(path).suffix
    if suffix not in OF_ALL + OF_ONE:
        raise ValueError(f"A file of segments ends in {', '.join(OF_ALL + OF_ONE)}. Received: {path}")
    return suffix


def video_id(path):
    """Returns what ActivityNet's JSON calls a video: its file's name without the ending.

    Without the `v_`, too, that ActivityNet's files have before an ID of YouTube, which is of 11 characters.
    """
    stem = pathlib.PurePath(path).stem
    found = YOUTUBE.fullmatch(stem)
    return found[1] if found else stem


def video_ids(videos):
    """Returns {video: its ID}, or raises ValueError for two videos of one ID."""
    owner = {}
    for each in videos:
        other = owner.setdefault(video_id(each), each)
        if other != each:
            raise ValueError(
                f"Each video has an ID of its own, the name of its file. Received: {other} and {each}, both "
                f"{video_id(each)!r}. Rename one, or write a file for each video: --output='*.json'."
            )
    return {each: name for name, each in owner.items()}


def activitynet(segments, details=""):
    """Returns ActivityNet's form of detections, which its evaluation code reads, as a dictionary.

    Args:
        segments: {video ID: Segments}.
        details: what the segments were made with, in words.
    """
    found = {
        name: [
            {
                "label": each.label,
                "score": round(each.score, 6),
                "segment": [round(each.start, 3), round(each.end, 3)],
            }
            for each in of_video
        ]
        for name, of_video in segments.items()
    }
    said = f"keras_i3d {__version__}{details and ': '}{details}"
    return {"version": VERSION, "results": found, "external_data": {"used": True, "details": said}}


def write_json(path, segments, details=""):
    """Writes the JSON of `activitynet`; args as there."""
    content = json.dumps(activitynet(segments, details), ensure_ascii=False, allow_nan=False)
    atomic.write_text(paths.expand(path), f"{content}\n")


def write_csv(path, segments):
    """Writes a row for each segment.

    Args:
        path: of the file.
        segments: {video, as it is to be called: Segments}.
    """
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(COLUMNS)
    for video, of_video in segments.items():
        writer.writerows(
            [video, each.label, f"{each.score:.6f}", f"{each.start:.3f}", f"{each.end:.3f}"] for each in of_video
        )
    atomic.write_text(paths.expand(path), file.getvalue())


def save(path, timeline, source=None, top=None, progress=False):
    """Writes what is found in one video; the ending of the path says how.

    Args:
        path: ends in .json or .csv; .srt or .vtt, subtitles; .png, a picture of the time line; or .mp4, the video with
            labels and time line.
        timeline: a Timeline, as `find` gives it.
        source: of an .mp4, the video; by default the file that `timeline.video` names.
        top: how many labels an .mp4 and a .png show; by default 5.
        progress: whether to show how far an .mp4 is.

    Raises:
        ValueError: another ending, or the video itself as the path.
        ImportError: of a .png, matplotlib is not installed; the message has the install line.
    """
    from keras_i3d.segments import annotated_video, pictures_of_time

    suffix, video, segments = ending(path), timeline.video, timeline.segments
    lanes = {} if top is None else {"top": top}
    if suffix == ".json":
        write_json(path, {video_id(video): segments}, described(timeline))
    elif suffix == ".csv":
        write_csv(path, {video: segments})
    elif suffix in (".srt", ".vtt"):
        text = {".srt": subtitles.srt, ".vtt": subtitles.vtt}[suffix](segments)
        atomic.write_text(paths.expand(path), text)
    elif suffix == ".png":
        pictures_of_time.write(path, timeline, **lanes)
    else:
        annotated_video.write(path, timeline, source, progress=progress, **lanes)


def described(timeline):
    """Returns what segments were made with, in words, for people."""
    found = timeline.found
    threshold = timeline.threshold if isinstance(timeline.threshold, float) else "one for each class"
    windows = "".join(f", {stream} in clips of {counted(n, 'frame')}" for stream, n in found.windows.items())
    flow = f" (flow by {found.flow_method})" if found.flow_method else ""
    return (
        f"{' + '.join(found.streams)}{flow} at {found.fps:g} fps{windows}; {found.activation}, threshold {threshold}, "
        f"smooth {timeline.smooth:g} s, shortest {timeline.shortest:g} s"
    )
