"""The page of `keras-i3d web`: labels, time line, flow, evidence and segments of a video, in a browser."""

from keras_i3d import on_first_use

_HOMES = {
    "Limits": "keras_i3d.web.jobs",
    "serve": "keras_i3d.web.page_server",
}

__all__ = ["Limits", "serve"]
__getattr__, __dir__ = on_first_use.names(__name__, _HOMES)
