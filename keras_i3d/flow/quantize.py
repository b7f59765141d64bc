"""Flow as 8-bit levels and back, with a zero that is exactly zero."""

import numpy as np

from keras_i3d.specs import FLOW_BOUND

# How levels read back: pixels per frame = (level + offset) * 2 * bound / steps - bound.
SCHEMES = {
    "exact": (254, 0.0),  # this package: 127 is exactly zero; written by rounding, 255 stays unused
    "rounded": (255, 0.0),  # the linear map of [-bound, bound] to [0, 255]; zero becomes 0.078 px
    "mediapipe": (255, 0.5),  # written by truncation, so that a level stands for the middle of what fell into it
}


def quantize_flow(flow, bound=FLOW_BOUND, scheme="exact"):
    """Turns flow into 8-bit levels, round(flow * 127 / bound) + 127, clamped to +-bound.

    Zero is the level 127 and comes back as exactly zero, which the usual map of [-bound, bound] to [0, 255] cannot
    do: a still background would drift by 0.078 px a frame. The step is bound / 127 (0.157 px for 20), the error
    at most half of it.

    Args:
        flow: float (..., 2), dx and dy in pixels per frame; finite.
        bound: pixels per frame that become the ends of the range.
        scheme: "exact"; or, for what was made otherwise, "rounded", round((v + bound) * 255 / (2 * bound)), halves
            upwards, and "mediapipe", the same truncated.

    Returns:
        uint8 of the same shape, in [0, 254], or [0, 255] by another scheme.
    """
    _check_bound(bound)
    _check_scheme(scheme)
    flow = np.asarray(flow)
    if not np.isfinite(flow).all():
        raise ValueError("Flow to quantise must be finite. Received: NaN or infinity.")
    share = np.clip(flow / bound, -1, 1)
    if scheme == "exact":
        return (np.rint(share * 127) + 127).astype(np.uint8)
    return np.floor((share + 1) * 127.5 + (0.5 if scheme == "rounded" else 0)).astype(np.uint8)


def dequantize_flow(levels, bound=FLOW_BOUND, scheme="exact"):
    """Turns 8-bit levels back into flow.

    Args:
        levels: uint8 (..., 2), an array; or a float32 tensor of such values, inside a graph.
        bound: as it was quantised with.
        scheme: "exact", what `quantize_flow` writes; for third-party data "rounded", round((v + bound) * 255 / (2 *
            bound)), or "mediapipe", the same truncated: its zero is the level 127, which its own reader takes for
            -0.078 px and this one for 0.

    Returns:
        float32 of the same shape: dx, dy in pixels per frame.
    """
    _check_scheme(scheme)
    _check_bound(bound)
    steps, offset = SCHEMES[scheme]
    if isinstance(levels, (np.ndarray, np.generic, list, tuple)):
        levels = np.asarray(levels, np.float32)
    # In this order zero stays exactly zero in float32.
    return (levels + (offset - steps / 2)) * (2 * bound / steps)


def _check_scheme(scheme):
    if scheme not in SCHEMES:
        raise ValueError(f"scheme must be one of {', '.join(map(repr, SCHEMES))}. Received: scheme={scheme!r}")


def _check_bound(bound):
    if not 0 < bound < np.inf:
        raise ValueError(f"bound must be positive and finite, in pixels per frame. Received: bound={bound!r}")
