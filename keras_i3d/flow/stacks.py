"""Flow inputs of the older two-stream literature, over the fields of `stream` or `compute`.

Simonyan and Zisserman, "Two-Stream Convolutional Networks for Action Recognition in Videos" (NIPS 2014), sections 3
and 6. What they found for the temporal stream alone: stacking several fields matters most, subtracting the mean
helps a little, following the motion is no better than fixed points, and both directions are as good as one.
I3D's flow stream needs none of these: it takes the fields as they are, (T, H, W, 2), and its authors subtract no
mean.
"""

import numpy as np

from keras_i3d.flow.pairs import compute


def bidirectional(frames, length, method="tvl1", params=None, workers=None):
    """Computes flow around the middle frame: the first half of the stack forward, the second half backward.

    Args:
        frames: (length + 1, H, W[, C]), as for `compute`; the middle frame is the one that is described.
        length: how many fields, an even number: length / 2 from the middle frame on to later ones, and
            length / 2 from it back to earlier ones.
        method, params, workers: as for `compute`.

    Returns:
        float32 (length, H, W, 2): the forward fields in the order of time, then the backward fields going back.
    """
    if length < 2 or length % 2:
        raise ValueError(f"length must be an even number of fields. Received: length={length}")
    if not hasattr(frames, "__len__"):
        raise ValueError(f"A clip is an array or a list of frames. Received: {type(frames).__name__}.")
    if len(frames) != length + 1:
        raise ValueError(f"{length} fields around a middle frame need {length + 1} frames. Received: {len(frames)}")
    middle = length // 2
    forward = compute(frames[middle:], method, params, workers)
    backward = compute(frames[middle::-1], method, params, workers)
    return np.concatenate([forward, backward])


def subtract_mean(flow):
    """Subtracts from each field its mean vector: the simplest compensation of camera motion.

    Args:
        flow: float (..., H, W, 2) in pixels per frame.

    Returns:
        float32 of the same shape.
    """
    flow = _checked(flow, any_batch=True)
    return flow - flow.mean(axis=(-3, -2), keepdims=True)


def stack(flow):
    """Lays L fields side by side on the channel axis, all dx before all dy.

    Args:
        flow: float32 (L, H, W, 2).

    Returns:
        float32 (H, W, 2 * L): [x1 ... xL, y1 ... yL], each field read at the same points of the frame.
    """
    flow = _checked(flow)
    return np.concatenate([np.moveaxis(flow[..., axis], 0, -1) for axis in (0, 1)], axis=-1)


def stack_along_trajectories(flow):
    """Lays L fields side by side, each read where the fields before it have carried the point.

    p1 = (u, v), pk = p(k-1) + d(k-1)(p(k-1)); fields are read bilinearly between pixels, and at the border beyond it.

    Args:
        flow: float32 (L, H, W, 2).

    Returns:
        float32 (H, W, 2 * L): [x1 ... xL, y1 ... yL] along the motion.
    """
    flow = _checked(flow)
    if not np.isfinite(flow).all():
        raise ValueError("Flow to follow must be finite. Received: NaN or infinity.")
    height, width = flow.shape[1:3]
    at = np.stack(np.meshgrid(np.arange(width), np.arange(height)), axis=-1).astype(np.float32)
    read = []
    for field in flow:
        read.append(_bilinear(field, at))
        at = np.clip(at + read[-1], 0, (width - 1, height - 1)).astype(np.float32)
    return stack(np.stack(read))


def _checked(flow, any_batch=False):
    flow = np.asarray(flow, np.float32)
    if flow.ndim < 3 or (flow.ndim != 4 and not any_batch) or flow.shape[-1] != 2 or 0 in flow.shape:
        axes = "(..., H, W, 2)" if any_batch else "(L, H, W, 2), of at least one field"
        raise ValueError(f"Flow must be {axes}. Received: shape {flow.shape}.")
    return flow


def _bilinear(field, at):
    """field (H, W, 2) read at the points (x, y) of `at` (H, W, 2), which lie inside it."""
    height, width = field.shape[:2]
    x0, y0 = np.floor(at[..., 0]).astype(int), np.floor(at[..., 1]).astype(int)
    x1, y1 = np.minimum(x0 + 1, width - 1), np.minimum(y0 + 1, height - 1)
    part_x, part_y = (at[..., 0] - x0)[..., None], (at[..., 1] - y0)[..., None]
    top = field[y0, x0] * (1 - part_x) + field[y0, x1] * part_x
    bottom = field[y1, x0] * (1 - part_x) + field[y1, x1] * part_x
    return top * (1 - part_y) + bottom * part_y
