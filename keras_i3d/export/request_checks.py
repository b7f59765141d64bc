"""What a request must hold to, as TensorFlow operations that any process can load.

What it gets wrong ends in InvalidArgumentError with one line: the rule, what was received, the remedy. Each check comes
before the operations that would fail by themselves.
"""

import numpy as np
import tensorflow as tf

from keras_i3d.export import image_headers
from keras_i3d.specs import HALF, normalised
from keras_i3d.video.pixels import MAX_ASPECT, MAX_PIXELS

SCANS = 10  # that a progressive JPEG commonly has; each takes as long as the pixels of another one
LEAST_SIDE = 32  # pixels of a frame that is sent; scaled up, a smaller one shows nothing
MAX_ROWS = 64  # of a request for facts
MAX_REQUEST = 1 << 29  # pixels of a request's frames; a clip of 64 frames of 3840 x 2160 is just below
DAMAGED = (
    "A {noun} must be a whole JPEG or PNG. Received: {{}} bytes that are damaged or cut short, {noun} {{}} of clip "
    "{{}}. Encode it again, and send all of its bytes."
)


def require(holds, message, *values):
    """Returns what has to be a control dependency of all that relies on a scalar bool.

    Args:
        holds: the bool tensor.
        message: one line, each {} in it replaced by a value.
        values: tensors.
    """

    def fail():
        with tf.control_dependencies([tf.debugging.Assert(False, [tf.strings.format(message, list(values))])]):
            return tf.constant(False)

    return tf.cond(holds, lambda: tf.constant(True), fail)


def checked(x, name, what, sizes, remedies):
    """Returns a signature's input unchanged, once its shape is seen to be right.

    A server does not hold a request to the shape that a signature states, so the graph looks for itself.

    Args:
        x: a tensor of a known rank.
        name: name of the input.
        what: its axes, for the message, such as "(batch, time, height, width, 3)".
        sizes: {axis: (least, most or None, noun)} of the axes that are bounded.
        remedies: {axis: [a sentence]}; none if the rule says it all.
    """
    rank = len(x.shape)
    # Behind this operation TensorFlow knows no shape, so that none of the checks is taken for granted and left out.
    shape = tf.shape(tf.raw_ops.PlaceholderWithDefault(input=x, shape=tf.TensorShape(None)))
    of_rank = require(
        tf.equal(tf.size(shape), rank), f"{name} must be {what}. Received: an array of shape {{}}.", shape
    )
    with tf.control_dependencies([of_rank]):
        shape = tf.identity(shape)
    checks = [require(shape[0] >= 1, f"{name} must hold at least one clip. Received: an array of shape {{}}.", shape)]
    for axis, (least, most, noun) in sizes.items():
        holds = shape[axis] >= least if most is None else (shape[axis] >= least) & (shape[axis] <= most)
        rule = f"at least {least}" if most is None else f"{least}"
        message = f"{name} must be {what}, with {rule} {noun}. Received: {{}}, in an array of shape {{}}."
        checks.append(require(holds, " ".join([message, *remedies.get(axis, ())]), shape[axis], shape))
    with tf.control_dependencies(checks):
        return tf.identity(x)


def time_rule(frames, least, noun="frames"):
    """Returns the entry of the time axis for `checked`, and its remedy."""
    if frames is None:
        return (least, None, noun), "Repeat the frames of a shorter video, or send a longer part of it."
    return (
        (frames, frames, noun),
        "The time axis was fixed at the export; cut or repeat the frames, or export with --frames=0 for any number.",
    )


def same_batch(inputs):
    """Returns the checks that {stream: tensor} of two streams hold equally many clips; [] for one stream."""
    if len(inputs) == 1:
        return []
    counts = [tf.shape(inputs[stream])[0] for stream in ("rgb", "flow")]
    rule = "rgb and flow must hold equally many clips. Received: {} and {}. Send both of each clip."
    return [require(tf.equal(*counts), rule, *counts)]


def in_range(clip, spec):
    """Returns a clip (B, T, H, W, C) once it is seen to be finite, and scaled as its ClipSpec says.

    Whether it was scaled shows in a sample of its values; up to twice the range pass, as resampling may overshoot.
    """
    stream = spec.stream
    ends = normalised(np.float32([[0] * 3, [255] * 3]), spec.mean, spec.std) if stream == "rgb" else np.float32([-1, 1])
    # In a sum of values near 1 nothing overflows, and NaN or infinity stays. It costs less than looking at each value.
    finite = require(
        tf.math.is_finite(tf.reduce_sum(clip)),
        f"{stream} must be finite. Received: NaN or infinity. Check what made the clip.",
    )
    largest = tf.reduce_max(tf.abs(clip[:, ::4, ::8, ::8]))
    how = "clip(x, -20, 20) / 20"
    if stream == "rgb":
        plain = (spec.mean, spec.std) == (HALF, HALF)
        how = "x / 127.5 - 1" if plain else f"(x / 255 - {list(spec.mean)}) / {list(spec.std)}"
    scaled = require(
        ~(largest > 2 * np.abs(ends).max()),
        f"{stream} must be in [{ends.min():.4g}, {ends.max():.4g}]. Received: values up to {{}}. Scale it by {how}, or "
        "use a signature of frames.",
        largest,
    )
    with tf.control_dependencies([finite, scaled]):
        return tf.identity(clip)


def encoded(images, short_side, stride=1, noun="frame"):
    """Returns the frames of clips once each is seen to be a JPEG or PNG of a size that is taken.

    Sizes are those that the files' headers state: nothing is decoded before all checks have passed.

    Args:
        images: string (B, N).
        short_side: pixels, to which they will be scaled.
        stride: takes the frames 0, stride, 2 stride, ...; of the others only the beginnings are looked at.
        noun: what to call them.

    Returns:
        (string (B, T), int32 (B, T, 2), height and width), T being N / stride, rounded up.
    """

    def place(wrong, stride=1):
        row, column = first(wrong)
        return (row, column), (column * stride, row)

    # Before any is looked at, because there may be millions.
    with tf.control_dependencies([few_enough(tf.size(images, tf.int64), short_side, f"{noun}s")]):
        images = tf.identity(images)
    known = image_headers.is_jpeg(images) | image_headers.is_png(images)
    at, named = place(~known)
    whole_files = "Send whole files; in JSON as base64, under the key b64."
    known = require(
        tf.reduce_all(known),
        f"A {noun} must be an encoded JPEG or PNG. Received: {{}} bytes of something else, {noun} {{}} of clip {{}}. "
        f"{whole_files}",
        *(tf.strings.length(images[at]), *named),
    )
    with tf.control_dependencies([known]):
        images = images[:, ::stride]
    sizes, whole, scans = image_headers.read(tf.reshape(images, [-1]))
    sizes = tf.reshape(sizes, [*tf.unstack(tf.shape(images)), 2])
    sound = tf.reshape(whole, tf.shape(images)) & tf.reduce_all(sizes > 0, -1)
    at, named = place(~sound, stride)
    sound = require(tf.reduce_all(sound), DAMAGED.format(noun=noun), tf.strings.length(images[at]), *named)
    few = tf.reshape(scans, tf.shape(images)) <= image_headers.MAX_SCANS
    with tf.control_dependencies([sound]):
        _, named = place(~few, stride)
        few = require(
            tf.reduce_all(few),
            f"A progressive JPEG may have {image_headers.MAX_SCANS} scans. Received: more, in {noun} {{}} of clip "
            f"{{}}. Encode it again.",
            *named,
        )
    with tf.control_dependencies([few]):
        sizes = tf.identity(sizes)
    passes = tf.reshape((scans + SCANS - 1) // SCANS, tf.shape(images))
    with tf.control_dependencies([bounded(sizes, short_side, stride, noun, passes)]):
        return tf.identity(images), tf.cast(sizes, tf.int32)


def few_enough(count, short_side, noun="frames", pixels=None):
    """Returns the check that a request's frames are not too much work.

    Args:
        count: int64, how many there are.
        short_side: pixels, to which they will be scaled.
        noun: what to call them.
        pixels: int64, pixels of all of them; None if their sizes are not known yet.
    """
    known = pixels is not None
    pixels = pixels if known else count * short_side**2
    return require(
        pixels <= MAX_REQUEST,
        f"The {noun} of a request may have {MAX_REQUEST} pixels in all, as they are sent, once for every {SCANS} scans "
        f"of a progressive JPEG, or as scaled to a short side of {short_side}. Received: {{}} {noun}, "
        f"{'' if known else 'at least '}{{}} pixels. Send fewer in a request{', or smaller ones' if known else ''}.",
        *(count, tf.identity(pixels)),
    )


def bounded(sizes, short_side, stride=1, noun="frame", passes=1):
    """Returns the check that no frame is too large or too long, nor all of them together; after `few_enough`.

    Args:
        sizes: int64 (B, T, 2), height and width.
        short_side: pixels, to which they will be scaled.
        stride: frame i was sent as frame `stride` i.
        noun: what to call them.
        passes: int64 (B, T), how often the pixels of each count.
    """
    pixels, short, long = tf.reduce_prod(sizes, -1), tf.reduce_min(sizes, -1), tf.reduce_max(sizes, -1)
    large = (pixels > MAX_PIXELS) | (long > MAX_ASPECT * short)
    small = short < LEAST_SIDE
    row, column = first(large & ~small)
    fits = require(
        ~tf.reduce_any(large & ~small),
        f"A {noun} may have {MAX_PIXELS} pixels and an aspect of {MAX_ASPECT}:1. Received: {{}} pixels (height, width) "
        f"for {noun} {{}} of clip {{}}. Scale it, or send a part of it.",
        *(sizes[row, column], column * stride, row),
    )
    with tf.control_dependencies([large_enough(sizes, stride, noun), fits]):
        scaled = short_side**2 * tf.cast(long, tf.float64) / tf.cast(tf.maximum(short, 1), tf.float64)
        work = tf.reduce_sum(tf.maximum(pixels * passes, tf.cast(scaled, tf.int64)))
    return few_enough(tf.size(pixels, tf.int64), short_side, f"{noun}s", work)


def bounded_frames(frames, short_side):
    """Returns the check `bounded` of decoded frames, uint8 (B, T, H, W, 3)."""
    batch, time, height, width, _ = tf.unstack(tf.shape(frames, tf.int64))
    one = tf.reshape(tf.stack([height, width]), (1, 1, 2))  # stands for all of them
    with tf.control_dependencies([bounded(one, short_side)]):
        scaled = short_side**2 * tf.maximum(height, width) // tf.maximum(tf.minimum(height, width), 1)
    return few_enough(batch * time, short_side, pixels=batch * time * tf.maximum(height * width, scaled))


def same_sizes(sizes, stride=1):
    """Returns the check that each clip's frames, sizes int32 (B, T, 2), are of one size.

    They are the request's frames 0, `stride`, 2 `stride`, ...
    """
    differs = tf.reduce_any(tf.not_equal(sizes, sizes[:, :1]), -1)
    row, column = first(differs)
    return require(
        ~tf.reduce_any(differs),
        "The frames of a clip must have one size. Received: {} pixels (height, width) for frame 0 and {} for frame {} "
        "of clip {}. Scale them alike.",
        *(sizes[row, 0], sizes[row, column], column * stride, row),
    )


def large_enough(sizes, stride=1, noun="frame"):
    """Returns the check that frames, sizes (B, T, 2), are as large as the network takes them; as `same_sizes`."""
    small = tf.reduce_any(sizes < LEAST_SIDE, -1)
    row, column = first(small)
    return require(
        ~tf.reduce_any(small),
        f"A {noun} must be at least {LEAST_SIDE} pixels high and wide. Received: {{}} pixels (height, width) for "
        f"{noun} {{}} of clip {{}}.",
        *(sizes[row, column], column * stride, row),
    )


def few_rows(about):
    """Returns the check that a request asks few times for the facts, which are longer than the question."""
    rows = tf.size(about)
    rule = f"about may hold {MAX_ROWS} values, each of which gets the same answer. Received: {{}}. One will do."
    return require(rows <= MAX_ROWS, rule, rows)


def first(wrong):
    """Returns scalars (row, column) of the first True in a bool tensor (B, T); (0, 0) if there is none."""
    flat = tf.argmax(tf.cast(tf.reshape(wrong, [-1]), tf.int8))
    return tf.unstack(tf.unravel_index(flat, tf.shape(wrong, tf.int64)))
