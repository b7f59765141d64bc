"""What happens to a clip between its JPEGs and the model: which frames, which window, a flip, colour, scale.

Plain functions on tensors, the same inside `tf.data` and outside of it. Every draw comes from a stateless seed, is made
once for a video, and serves all its frames and both streams; flow knows that it is flow: a flip negates dx, and a
change of size changes its values. `pipeline.load` puts them together.
"""

import collections

import tensorflow as tf

from keras_i3d.errors import missing_package
from keras_i3d.specs import CHANNELS, FLOW_BOUND, HALF, normalised

# Where each crop lies, as parts of what the frame has to spare below and to the right of it; and whether it is flipped.
Place = collections.namedtuple("Place", "down right flipped")
DRAWS = ("start", "short side", "top", "left", "flip", "colour")
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


def draw(seed, name, low, high):
    """Draws an int32 in low..high, both included; each name of `DRAWS` draws for itself."""
    seed = tf.random.experimental.stateless_fold_in(seed, DRAWS.index(name))
    return tf.random.stateless_uniform([], seed, low, high + 1, tf.int32)


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
    seed = tf.random.experimental.stateless_fold_in(seed, DRAWS.index("colour"))
    brightness, contrast, saturation = tf.unstack(
        tf.random.stateless_uniform([3], seed, 1.0 - strength, 1.0 + strength)
    )
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
