"""Labels along the time of long videos, and the segments that they make."""

from keras_i3d import on_first_use

_HOMES = {
    "Segment": "keras_i3d.segments.finding",
    "Timeline": "keras_i3d.segments.finding",
    "find": "keras_i3d.segments.finding",
    "save": "keras_i3d.segments.segment_files",
}

__all__ = ["Segment", "Timeline", "find", "save"]
__getattr__, __dir__ = on_first_use.names(__name__, _HOMES)
