"""Why a network gave a label: where in a video its evidence lies, whether that holds, and how its filters look."""

from keras_i3d import on_first_use

_HOMES = {
    "Explanation": "keras_i3d.explaining.explanations",
    "FilterBank": "keras_i3d.explaining.filter_bank",
    "StreamExplanation": "keras_i3d.explaining.explanations",
    "explain": "keras_i3d.explaining.explanations",
    "first_filters": "keras_i3d.explaining.filter_bank",
    "save": "keras_i3d.explaining.saving_explanations",
    "save_filters": "keras_i3d.explaining.filter_sheets",
}

__all__ = [
    "Explanation",
    "FilterBank",
    "StreamExplanation",
    "explain",
    "first_filters",
    "save",
    "save_filters",
]
__getattr__, __dir__ = on_first_use.names(__name__, _HOMES)
