"""Mixup and cutmix: each clip of a batch mixed with another one of it.

What a clip is mixed with is fixed: the clip half a batch further on. Batches are shuffled, so that this is any other
video; with `repeats` it is none of the same one. And processes that share a batch, each of which has every n-th clip of
it, find the same partners in their own parts, if these are even: half a part further on is half the batch further on.

How it is mixed is drawn from the clip's own seed, for both streams at once.
"""

import tensorflow as tf

from keras_i3d.data import augment


def drawn(seed, mixup, cutmix, size):
    """Draws how a clip is mixed.

    Args:
        seed: a stateless seed.
        mixup, cutmix: alpha of each, 0 for none. With both, half of the clips take one and half the other.
        size: side of the clip in pixels.

    Returns:
        {"weight": float32 (), the clip's own share of each pixel, of its partner being the rest; "cut": int32 (4,), the
        window (top, left, height, width) in which all is the partner's, in each frame}. Of mixup the window is empty,
        of cutmix the weight is 1.
    """
    cuts = augment.chance(seed, "mix", 0.5 if mixup and cutmix else float(cutmix > 0))
    share = _beta(augment.seed_for(seed, "share"), tf.where(cuts, float(cutmix), float(mixup)))
    side = tf.cast(tf.round(size * tf.sqrt(1 - share)), tf.int32)
    ends = []
    for name in ("cut row", "cut column"):
        first = augment.draw(seed, name, 0, size - 1) - side // 2  # arXiv 1905.04899: its centre is anywhere
        ends.append((tf.maximum(first, 0), tf.minimum(first + side, size)))
    (top, bottom), (left, right) = ends
    window = tf.stack([top, left, bottom - top, right - left])
    return {"weight": tf.where(cuts, 1.0, share), "cut": tf.where(cuts, window, 0)}


def _beta(seed, alpha):
    """Draws from Beta(alpha, alpha), float32 ()."""
    one, other = tf.unstack(tf.random.stateless_gamma([2], seed, tf.cast(alpha, tf.float64), dtype=tf.float64))
    # Of a tiny alpha both may be too small for a number: it is one or the other then.
    return tf.cast(tf.where(one + other > 0, one / tf.maximum(one + other, 1e-300), 1.0), tf.float32)


def mixed(clips, weight, cut):
    """Mixes the clips of one stream.

    Args:
        clips: float32 (B, T, H, W, C).
        weight, cut: float32 (B,), int32 (B, 4), as `drawn` gives them for each clip.

    Returns:
        float32 of the same shape.
    """
    own = tf.where(augment.inside(cut, clips.shape[-2]), 0.0, weight[:, None, None])[:, None, :, :, None]
    return own * clips + (1 - own) * _partners(clips)


def mixed_labels(y, weight, cut, size):
    """Returns y, float32 (B, classes), mixed by the share that each clip has of its pixels."""
    area = tf.cast(cut[:, 2] * cut[:, 3], tf.float32) / (size * size)
    own = (weight * (1 - area))[:, None]
    return own * y + (1 - own) * _partners(y)


def _partners(batch):
    """Each example's partner: the one half a batch further on, from the end on from the beginning."""
    half = tf.shape(batch)[0] // 2
    return tf.concat([batch[half:], batch[:half]], axis=0)
