"""Distances between two sets of videos by a network's answers to them: Frechet video distance, and the kernel's."""

from keras_i3d import on_first_use

# Loaded when they are first used: the metric and the callback need Keras, the rest NumPy alone.
_HOMES = {
    "Distance": "keras_i3d.frechet.distances",
    "Extrapolation": "keras_i3d.frechet.distances",
    "FrechetCallback": "keras_i3d.frechet.keras_metric",
    "FrechetVideoDistance": "keras_i3d.frechet.keras_metric",
    "Gaussian": "keras_i3d.frechet.gaussians",
    "Interval": "keras_i3d.frechet.distances",
    "KernelDistance": "keras_i3d.frechet.distances",
    "LogitNetwork": "keras_i3d.frechet.logit_network",
    "VideoDistance": "keras_i3d.frechet.fvd_card",
    "VideoDistances": "keras_i3d.frechet.fvd_card",
    "bootstrap": "keras_i3d.frechet.distances",
    "extrapolated": "keras_i3d.frechet.distances",
    "frechet_distance": "keras_i3d.frechet.distances",
    "from_features": "keras_i3d.frechet.distances",
    "kernel_distance": "keras_i3d.frechet.distances",
    "read_pickle": "keras_i3d.frechet.gaussians",
}

__all__ = [
    "Distance",
    "Extrapolation",
    "FrechetCallback",
    "FrechetVideoDistance",
    "Gaussian",
    "Interval",
    "KernelDistance",
    "LogitNetwork",
    "VideoDistance",
    "VideoDistances",
    "bootstrap",
    "extrapolated",
    "frechet_distance",
    "from_features",
    "kernel_distance",
    "read_pickle",
]
__getattr__, __dir__ = on_first_use.names(__name__, _HOMES)
