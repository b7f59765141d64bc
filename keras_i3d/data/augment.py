"""What happens to a clip between its JPEGs and the model: which frames, which window, a flip, colour, scale.

Plain functions on tensors, the same inside `tf.data` and outside of it. Every draw comes from a stateless seed, is made
once for a video, and serves all its frames and both streams; flow knows that it is flow: a flip negates dx, and a
change of size changes its values. `pipeline.load` puts them together.
"""

import collections

import numpy as np
import tensorflow as tf

from keras_i3d.errors import missing_package
from keras_i3d.specs import CHANNELS, FLOW_BOUND, HALF, normalised

# Where each crop lies, as parts of what the frame has to spare below and to the right of it; and whether it is flipped.
Place = collections.namedtuple("Place", "down right flipped")
# Each draws for itself, by its place here: a new one stands at the end, so that the others keep their values.
DRAWS = (
    *("start", "short side", "top", "left", "flip", "colour", "repeat", "stride", "reverse", "window"),
    *("erase", "erased window", "erased top", "erased left", "mix", "share", "cut row", "cut column"),
)
TRIES = 10  # rectangles that are drawn, of which the first that fits is taken
ERASED_AREA, ERASED_ASPECT = (0.02, 1 / 3), (0.3, 1 / 0.3)  # arXiv 1708.04896 and, for the largest area, PySlowFast
_CORNERS_AND_CENTRE = [(0.0, 0.0), (0.0, 1.0), (1.0, 0.0), (1.0, 1.0), (0.5, 0.5)]
CROPS = {
    1: (Place(0.5, 0.5, False),),
    3: tuple(Place(part, part, False) for part in (0.0, 0.5, 1.0)),  # the short side spares nothing: see `windows`
    10: tuple(Place(*where, flipped) for flipped in (False, True) for where in _CORNERS_AND_CENTRE),
}


def seed_of(*numbers):
    """Returns a stateless seed, int64 (2,), from integers or scalar integer tensors."""
    seed = tf.zeros([2], tf.int64)
    for number in numbers:
        seed = tf.random.experimental.stateless_fold_in(seed, tf.cast(number, tf.int64))
    return seed


def seed_for(seed, name):
    """Returns the seed of one name of `DRAWS`."""
    return tf.random.experimental.stateless_fold_in(seed, DRAWS.index(name))


def draw(seed, name, low, high):
    """Draws an int32 in low..high, both included; each name of `DRAWS` draws for itself."""
    return tf.random.stateless_uniform([], seed_for(seed, name), low, high + 1, tf.int32)


def chance(seed, name, share):
    """Draws a bool that is true in a share of all draws; a Python bool if there is nothing to draw."""
    if share in (0, 1):
        return bool(share)
    return tf.random.stateless_uniform([], seed_for(seed, name)) < share


def repeated(seed, number):
    """Returns the seed of the `number`-th draw of a video, whose first has the seed itself."""
    if number == 0:
        return seed
    return tf.random.experimental.stateless_fold_in(seed_for(seed, "repeat"), tf.constant(number, tf.int64))


def random_stride(available, frames, low, high, seed):
    """Draws the distance between the frames of a clip, int32 in low..high.

    What does not fit in the video is not drawn; if nothing fits, it is `low`.
    """
    fits = (available - 1) // max(frames - 1, 1)
    return draw(seed, "stride", low, tf.clip_by_value(fits, low, high))


def starts(available, frames, stride, seed=None, clips=1):
    """Where clips start in a video, so that they end within it if they can.

    Args:
        available: scalar int32 tensor, frames (or fields, or pairs of both) of the video.
        frames, stride: a clip is the frames start, start + stride, ... of it.
        seed: for a random start; None for `clips` starts evenly spaced, or the centred one.

    Returns:
        int32 (clips,); zeros if the video is too short.
    """
    last = tf.maximum(available - ((frames - 1) * stride + 1), 0)
    if seed is not None:
        return draw(seed, "start", 0, last)[None]
    if clips == 1:
        return (last // 2)[None]
    return (2 * tf.range(clips) * last + clips - 1) // (2 * (clips - 1))  # rounded in whole numbers


def frame_numbers(start, available, frames, stride):
    """Returns int32 (clips, frames): the frames of each clip; one that is too long starts over from frame 0."""
    return (start[:, None] + stride * tf.range(frames)[None]) % tf.maximum(available, 1)


def played_backwards(numbers, with_flow):
    """Returns the frames and fields of a clip that is played backwards.

    The field n is the motion from frame n to n + 1. From n + 1 to n it is the same, negated, as far as flow is its own
    inverse: each vector stands where the frame n has what moves, not where the frame n + 1 has it. So the field n goes
    with the frame n + 1, and a clip with flow has the frames one further on than the same clip played forwards: frame 0
    is the one that has no field then.

    Args:
        numbers: int32 (..., T), the fields, or frames, of the clip played forwards.
        with_flow: whether the clip has both frames and fields.

    Returns:
        {"rgb": numbers of the frames, "flow": numbers of the fields}, which have to be negated.
    """
    numbers = tf.reverse(numbers, [-1])
    return {"rgb": numbers + 1 if with_flow else numbers, "flow": numbers}


def side(height, width, size, short_side=None):
    """Returns the side of the square window which, scaled to `size`, shows what a crop of a scaled frame shows.

    The rule for all sizes: a frame is scaled to the short side `short_side` and cropped to `size`. Without one it
    keeps its size, and is scaled up if its short side is below `size`. Cropping comes first, which costs less.
    """
    short = tf.minimum(height, width)
    if short_side is None:
        return tf.minimum(short, size)
    part = tf.cast(short * size, tf.float32) / tf.cast(short_side, tf.float32)
    return tf.clip_by_value(tf.cast(tf.round(part), tf.int32), 1, short)


def random_window(height, width, side, seed):
    """Returns int32 (4,): top, left, height, width of a square window anywhere in the frame."""
    return tf.stack([draw(seed, "top", 0, height - side), draw(seed, "left", 0, width - side), side, side])


def area_window(height, width, area, aspect, seed):
    """Returns int32 (4,): top, left, height, width of a window anywhere in the frame, of random area and aspect.

    Args:
        height, width: scalar int32 tensors.
        area: (low, high), the window's share of the frame.
        aspect: (low, high), its width over its height, drawn evenly in logarithms.
        seed: a stateless seed.
    """
    rows, columns = _rectangle(height, width, area, aspect, seed_for(seed, "window"))
    return tf.stack([draw(seed, "top", 0, height - rows), draw(seed, "left", 0, width - columns), rows, columns])


def erased_window(size, share, seed):
    """Returns int32 (4,), the window of a clip that is erased; in all but a share of clips an empty one."""
    rows, columns = _rectangle(size, size, ERASED_AREA, ERASED_ASPECT, seed_for(seed, "erased window"))
    top, left = draw(seed, "erased top", 0, size - rows), draw(seed, "erased left", 0, size - columns)
    return tf.where(chance(seed, "erase", share), tf.stack([top, left, rows, columns]), 0)


def _rectangle(height, width, area, aspect, seed):
    """Returns int32 (rows, columns) of the first of some rectangles that fits; if none does, one that is cut off."""
    drawn = tf.random.stateless_uniform([2, TRIES], seed)
    low, high = np.log(aspect).astype("float32")
    turned = tf.exp((low + drawn[1] * (high - low)) / 2)  # the square root of the aspect
    share = tf.sqrt((area[0] + drawn[0] * (area[1] - area[0])) * tf.cast(height * width, tf.float32))
    rows, columns = (tf.maximum(tf.cast(tf.round(x), tf.int32), 1) for x in (share / turned, share * turned))
    which = tf.argmax((rows <= height) & (columns <= width))  # the first, if none does
    return tf.minimum(rows[which], height), tf.minimum(columns[which], width)


def inside(window, size):
    """Returns bool (..., size, size): whether a pixel of a clip lies in a window, int32 (..., 4)."""
    top, left, rows, columns = tf.unstack(window[..., None], axis=-2)
    at = tf.range(size)
    down, right = (at >= top) & (at < top + rows), (at >= left) & (at < left + columns)
    return down[..., :, None] & right[..., None, :]


def windows(height, width, side, crops):
    """Returns int32 (crops, 4), the windows of `CROPS`; 3 crops lie along the long side, centred on the short one."""
    spare = tf.cast(tf.stack([height - side, width - side]), tf.float32)
    parts = tf.constant([(place.down, place.right) for place in CROPS[crops]])
    if crops == 3:
        parts = tf.where(tf.stack([height > width, height <= width])[None], parts, 0.5)
    corners = tf.cast(tf.floor(parts * spare), tf.int32)
    return tf.concat([corners, tf.fill(tf.shape(corners), side)], axis=1)


def mirror(clip, flipped=True):
    """Mirrors frames or fields left to right. Mirrored flow must also be multiplied by `signs`.

    Args:
        clip: tensor (..., H, W, C) of any dtype; uint8 costs least.
        flipped: whether to mirror, a Python bool or a scalar bool tensor.

    Returns:
        A tensor of the same shape and dtype.
    """

    def mirrored():
        shape = tf.shape(clip)
        rows = tf.reshape(clip, (-1, shape[-2], clip.shape[-1]))  # of rank 3, which TensorFlow reverses fast
        return tf.reshape(tf.reverse(rows, [1]), shape)

    if isinstance(flipped, bool):
        return mirrored() if flipped else clip
    return tf.cond(flipped, mirrored, lambda: clip)


def signs(flipped=True):
    """Returns float32 (2,), the factors of mirrored flow: what moved right moves left, so dx changes its sign."""
    return tf.where(flipped, [-1.0, 1.0], [1.0, 1.0])


def resize(clip, size, stream):
    """Scales a clip (T, h, w, C) to (T, size, size, C), bilinear; flow is scaled in its values as well.

    Returns:
        float32; of the same values if it has that size already.
    """
    shape = tf.shape(clip)

    def resized():
        values = tf.image.resize(clip, (size, size))
        if stream == "rgb":
            return values
        return values * tf.cast(size, tf.float32) / tf.cast(tf.stack([shape[-2], shape[-3]]), tf.float32)

    same = (shape[-3] == size) & (shape[-2] == size)
    return tf.ensure_shape(
        tf.cond(same, lambda: tf.cast(clip, tf.float32), resized), (None, size, size, CHANNELS[stream])
    )


def jitter_colour(clip, seed, strength):
    """Changes brightness, contrast and saturation of an rgb clip, float in [0, 255], by one draw for all its frames.

    Args:
        strength: s in [0, 1): three factors are drawn from [1 - s, 1 + s]. Contrast is about each frame's mean.

    Returns:
        float32 of the same shape, in [0, 255].
    """
    factors = tf.random.stateless_uniform([3], seed_for(seed, "colour"), 1.0 - strength, 1.0 + strength)
    brightness, contrast, saturation = tf.unstack(factors)
    clip = tf.clip_by_value(clip * brightness, 0.0, 255.0)
    clip = tf.clip_by_value(tf.image.adjust_contrast(clip, contrast), 0.0, 255.0)
    return tf.clip_by_value(tf.image.adjust_saturation(clip, saturation), 0.0, 255.0)


def rand_augment(layers, magnitude):
    """Returns a function that applies RandAugment (arXiv 1909.13719) to an rgb clip, uint8 (T, H, W, 3).

    It is `official.vision.ops.augment`, with one draw for all frames of a clip. Cutout is left out: on a clip it is a
    box in time too, so that frames would differ. The draws come from TensorFlow's stateful random numbers, which a seed
    given to `load` does not reach.

    Raises:
        ImportError: tf-models-official is not installed.
    """
    try:
        from official.vision.ops import augment
    except ImportError as error:
        raise missing_package("tf-models-official", "'keras-i3d[official]'", "randaugment=") from error
    return augment.RandAugment(num_layers=layers, magnitude=magnitude, exclude_ops=["Cutout"]).distort


def scale(clip, stream, mean=HALF, std=HALF):
    """Returns a clip as `specs.scaled` has it, float32: (rgb / 255 - mean) / std; clip(flow, +-20) / 20."""
    clip = tf.cast(clip, tf.float32)
    return normalised(clip, mean, std) if stream == "rgb" else tf.clip_by_value(clip / FLOW_BOUND, -1.0, 1.0)
