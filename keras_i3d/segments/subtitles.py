"""Segments as subtitles, SubRip (.srt) and WebVTT (.vtt), which a player shows over the video."""

PLAIN = str.maketrans("<>{}", "\u2039\u203a()")  # in the place of what SubRip's readers take for formatting


def srt(segments):
    """Returns the text of an .srt.

    Many players show one cue of an .srt at a time. So a cue lasts from one change to the next, and has a line for each
    segment that is there. Readers take <, >, { and } for formatting, and the format has no escapes: these are
    replaced by characters that look alike.

    Args:
        segments: Segments.
    """
    edges = sorted({_milliseconds(each) for segment in segments for each in (segment.start, segment.end)})
    cues = []
    for start, end in zip(edges, edges[1:]):
        there = [s for s in segments if _milliseconds(s.start) <= start and end <= _milliseconds(s.end)]
        if there:
            lines = [_named(segment).translate(PLAIN) for segment in there]
            cues.append("\n".join([str(len(cues) + 1), f"{_time(start, ',')} --> {_time(end, ',')}", *lines]))
    return "".join(f"{cue}\n\n" for cue in cues)


def vtt(segments):
    """Returns the text of a .vtt: a cue for each segment, in the order of their starts; those of one time overlap.

    Args:
        segments: Segments.
    """
    cues = ["WEBVTT"]
    for segment in sorted(segments, key=lambda each: _milliseconds(each.start)):
        start, end = _milliseconds(segment.start), _milliseconds(segment.end)
        if start < end:
            text = _named(segment).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
            cues.append(f"{_time(start, '.')} --> {_time(end, '.')}\n{text}")
    return "\n\n".join(cues) + "\n"


def _named(segment):
    """A label in one line, which an empty one would not be, with its score in percent."""
    return f"{' '.join(segment.label.split()) or '(no name)'} {segment.score:.0%}"


def _milliseconds(seconds):
    return round(1000 * seconds)


def _time(milliseconds, point):
    """Hours, minutes and seconds, as in 00:01:02,345; hours have as many digits as they need, at least two."""
    seconds, rest = divmod(milliseconds, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{seconds:02}{point}{rest:03}"
