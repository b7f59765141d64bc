"""Pictures of what the models see."""

import numpy as np

from keras_i3d.specs import FLOW_BOUND

# Steps of each colour range of the wheel: red to yellow, green, cyan, blue, magenta, red
# (Baker et al., "A Database and Evaluation Methodology for Optical Flow", IJCV 2011).
_WHEEL_STEPS = (15, 6, 4, 11, 13, 6)


def flow_to_color(flow, bound=FLOW_BOUND):
    """Paints flow in the colour-wheel code: hue is direction, saturation is speed, white is still.

    Args:
        flow: float (..., H, W, 2), dx and dy in pixels per frame.
        bound: the speed in pixels per frame of full colour; faster motion is darkened.

    Returns:
        uint8 (..., H, W, 3), RGB. Motion to the right is red.
    """
    if not bound > 0:
        raise ValueError(f"bound must be positive, in pixels per frame. Received: bound={bound!r}")
    flow = np.asarray(flow, np.float32) / bound
    if flow.shape[-1] != 2:
        raise ValueError(f"Flow has dx and dy on the last axis. Received: shape {flow.shape}")
    if not np.isfinite(flow).all():
        raise ValueError("Flow to paint must be finite. Received: NaN or infinity.")
    wheel = _wheel()
    speed = np.hypot(flow[..., 0], flow[..., 1])[..., None]
    turn = (np.arctan2(flow[..., 1], flow[..., 0]) / (2 * np.pi) % 1) * len(wheel)
    first = np.floor(turn).astype(int) % len(wheel)
    part = (turn - np.floor(turn))[..., None]
    hue = wheel[first] * (1 - part) + wheel[(first + 1) % len(wheel)] * part
    color = np.where(speed <= 1, 1 - speed * (1 - hue), hue * 0.75)
    return np.rint(color * 255).astype(np.uint8)


def _wheel():
    """The colours of the wheel in [0, 1], (55, 3), in the order of the angle from +x towards +y (down)."""
    corners = np.array([[1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 1, 1], [0, 0, 1], [1, 0, 1], [1, 0, 0]], float)
    ranges = [
        start + (end - start) * (np.arange(steps) / steps)[:, None]
        for start, end, steps in zip(corners, corners[1:], _WHEEL_STEPS)
    ]
    return np.concatenate(ranges)
