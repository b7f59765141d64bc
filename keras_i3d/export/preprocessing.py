"""From encoded or decoded frames to clips, in TensorFlow operations that any process can load.

What a request gets wrong ends in InvalidArgumentError with one line: the rule, what was received, the remedy. Each
check comes before the operations that would fail by themselves.
"""

import numpy as np
import tensorflow as tf

from keras_i3d.export import image_headers
from keras_i3d.records import sequence_example
from keras_i3d.specs import HALF, normalised
from keras_i3d.video.pixels import MAX_ASPECT, MAX_PIXELS

SCANS = 10  # that a progressive JPEG commonly has; each takes as long as the pixels of another one
LEAST_SIDE = 32  # pixels of a frame that is sent; scaled up, a smaller one shows nothing
AT_ONCE = 32  # frames in flight while decoding and scaling
MAX_ROWS = 64  # of a request for facts
MAX_REQUEST = 1 << 29  # pixels of a request's frames; a clip of 64 frames of 3840 x 2160 is just below


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
        row, column = _first(wrong)
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
    sound = require(tf.reduce_all(sound), _DAMAGED.format(noun=noun), tf.strings.length(images[at]), *named)
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


_DAMAGED = (
    "A {noun} must be a whole JPEG or PNG. Received: {{}} bytes that are damaged or cut short, {noun} {{}} of clip "
    "{{}}. Encode it again, and send all of its bytes."
)


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
    row, column = _first(large & ~small)
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


def few_rows(about):
    """Returns the check that a request asks few times for the facts, which are longer than the question."""
    rows = tf.size(about)
    rule = f"about may hold {MAX_ROWS} values, each of which gets the same answer. Received: {{}}. One will do."
    return require(rows <= MAX_ROWS, rule, rows)


def _first(wrong):
    """Returns scalars (row, column) of the first True in a bool tensor (B, T); (0, 0) if there is none."""
    flat = tf.argmax(tf.cast(tf.reshape(wrong, [-1]), tf.int8))
    return tf.unstack(tf.unravel_index(flat, tf.shape(wrong, tf.int64)))


def mapped(function, elements, kinds):
    """`tf.map_fn` over many frames at once. A check inside would have them wait for each other: checks come after."""
    return tf.map_fn(function, elements, fn_output_signature=kinds, parallel_iterations=AT_ONCE)


def scaled_size(height, width, short_side):
    """Returns int32 (height, width) after scaling, rounded as `video.scaled_size` does."""
    sides = tf.stack([height, width])
    short = tf.reduce_min(sides)
    scaled = tf.cast(tf.round(tf.cast(sides * short_side, tf.float64) / tf.cast(short, tf.float64)), tf.int32)
    return tf.where(tf.equal(sides, short), short_side, scaled)


def scaled(image, short_side, crop=None):
    """Scales a frame to a short side, bilinear and averaging over the covered area when it shrinks.

    Args:
        image: uint8 (H, W, 3).
        short_side: pixels.
        crop: side of the central square to give, cut out while scaling; None gives the whole frame.

    Returns:
        uint8 (crop, crop, 3) or (H', W', 3). A frame that has the short side already keeps its values.
    """
    height, width = tf.unstack(tf.shape(image)[:2])
    size = scaled_size(height, width, short_side)
    corner = (size - crop) // 2 if crop else tf.zeros(2, tf.int32)
    window = tf.constant([crop, crop]) if crop else size

    def cut():
        return tf.slice(image, tf.concat([corner, [0]], 0), tf.concat([window, [3]], 0))

    def resampled():
        # What tf.image.resize(antialias=True) calls, which has no way to give only a part.
        values = tf.raw_ops.ScaleAndTranslate(
            images=image[None],
            size=window,
            scale=tf.cast(size, tf.float32) / tf.cast(tf.stack([height, width]), tf.float32),
            translation=-tf.cast(corner, tf.float32),
            kernel_type="triangle",
            antialias=True,
        )[0]
        return tf.cast(tf.clip_by_value(tf.round(values), 0, 255), tf.uint8)

    result = tf.cond(tf.equal(tf.minimum(height, width), short_side), cut, resampled)
    return tf.ensure_shape(result, (crop, crop, 3))


def cropped(clip, crop):
    """Returns the central square of (..., H, W, C)."""
    height, width = tf.unstack(tf.shape(clip)[-3:-1])
    top, left = (height - crop) // 2, (width - crop) // 2
    return clip[..., top : top + crop, left : left + crop, :]


def decoded(function, images, sizes, shape, number=0, stride=1, noun="frame"):
    """Decodes images, many at once, and maps a function over them.

    `tf.data` does it, a dataset of the images as a part of the graph: what cannot be decoded is left out there, and it
    is then known which. Outside of it TensorFlow's error ends the request, without a word of the frame.

    Args:
        function: uint8 (H, W, 3) to uint8 of one shape.
        images, sizes: string (B, T) and int32 (B, T, 2), as `encoded` gives them.
        shape: shape of what `function` gives, None if it is not known.
        number: which of the request's clips is the first.
        stride: frame i was sent as frame `stride` i.
        noun: what to call them.

    Returns:
        uint8 (B, T, *shape).

    Raises:
        InvalidArgumentError: inside the graph, naming the first that cannot be decoded.
    """

    def one(place, image, size):
        image = sequence_example.decode_rgb(image)
        as_stated = tf.debugging.Assert(tf.reduce_all(tf.equal(tf.shape(image)[:2], size)), [size])
        with tf.control_dependencies([as_stated]):
            return place, tf.ensure_shape(function(tf.identity(image)), shape)

    count = tf.size(images, tf.int64)
    flat = (tf.range(count), tf.reshape(images, [-1]), tf.reshape(sizes, (-1, 2)))
    none = (tf.zeros([0], tf.int64), tf.zeros([0, *(side or 0 for side in shape)], tf.uint8))
    options = tf.data.Options()
    # The dataset is used once: to rewrite it would cost more than it could save.
    options.autotune.enabled = False
    options.experimental_optimization.apply_default_optimizations = False
    data = tf.data.Dataset.from_tensor_slices(flat).map(one, num_parallel_calls=AT_ONCE, deterministic=True)
    data = data.ignore_errors().batch(tf.maximum(count, 1)).concatenate(tf.data.Dataset.from_tensors(none)).take(1)
    places, values = data.with_options(options).get_single_element()
    missing = tf.scatter_nd(places[:, None], tf.ones_like(places), [count])
    row, column = _first(tf.reshape(tf.equal(missing, 0), tf.shape(images)))
    whole = require(
        tf.equal(tf.size(places, tf.int64), count),
        _DAMAGED.format(noun=noun),
        *(tf.strings.length(images[row, column]), column * stride, row + tf.cast(number, tf.int64)),
    )
    with tf.control_dependencies([whole]):
        return tf.reshape(values, tf.concat([tf.shape(images), tf.shape(values)[1:]], 0))


def crops_of_encoded(images, short_side, crop, stride=1):
    """Decodes, scales and crops the frames of several clips, all in one flat parallel map.

    Args:
        images: string (B, N). The frames of a clip have one size; clips may differ.
        short_side, crop: pixels.
        stride: takes the frames 0, stride, 2 stride, ...; the others are not decoded.

    Returns:
        uint8 (B, T, crop, crop, 3), T being N / stride, rounded up.
    """
    images, sizes = encoded(images, short_side, stride)
    with tf.control_dependencies([same_sizes(sizes, stride)]):
        images = tf.identity(images)
    return decoded(lambda image: scaled(image, short_side, crop), images, sizes, (crop, crop, 3), stride=stride)


def same_sizes(sizes, stride=1):
    """Returns the check that each clip's frames, sizes int32 (B, T, 2), are of one size.

    They are the request's frames 0, `stride`, 2 `stride`, ...
    """
    differs = tf.reduce_any(tf.not_equal(sizes, sizes[:, :1]), -1)
    row, column = _first(differs)
    return require(
        ~tf.reduce_any(differs),
        "The frames of a clip must have one size. Received: {} pixels (height, width) for frame 0 and {} for frame {} "
        "of clip {}. Scale them alike.",
        *(sizes[row, 0], sizes[row, column], column * stride, row),
    )


def large_enough(sizes, stride=1, noun="frame"):
    """Returns the check that frames, sizes (B, T, 2), are as large as the network takes them; as `same_sizes`."""
    small = tf.reduce_any(sizes < LEAST_SIDE, -1)
    row, column = _first(small)
    return require(
        ~tf.reduce_any(small),
        f"A {noun} must be at least {LEAST_SIDE} pixels high and wide. Received: {{}} pixels (height, width) for "
        f"{noun} {{}} of clip {{}}.",
        *(sizes[row, column], column * stride, row),
    )


def crops_of_frames(frames, short_side, crop):
    """Scales and crops uint8 (B, T, H, W, 3) to (B, T, crop, crop, 3); those of the short side are cropped alone."""
    batch, time, height, width, _ = tf.unstack(tf.shape(frames))

    def one_by_one():
        flat = tf.reshape(frames, (-1, height, width, 3))
        clips = mapped(lambda image: scaled(image, short_side, crop), flat, tf.TensorSpec((crop, crop, 3), tf.uint8))
        return tf.reshape(clips, (batch, time, crop, crop, 3))

    same = tf.equal(tf.minimum(height, width), short_side)
    return tf.ensure_shape(
        tf.cond(same, lambda: cropped(frames, crop), one_by_one), (None, frames.shape[1], crop, crop, 3)
    )


def whole_of_encoded(images, sizes, row, short_side):
    """Decodes and scales the frames of one clip, uncropped, for flow.

    Args:
        images, sizes: string (T,) and int32 (T, 2), all one, as `encoded` gives them.
        row: which of the request's clips it is.
        short_side: pixels.

    Returns:
        uint8 (T, H', W', 3).
    """
    shape = (None, None, 3)
    return decoded(lambda image: scaled(image, short_side), images[None], sizes[None], shape, number=row)[0]


def whole_of_frames(frames, short_side):
    """Scales the frames of one clip, uint8 (T, H, W, 3), uncropped, for flow."""
    return mapped(lambda image: scaled(image, short_side), frames, tf.TensorSpec((None, None, 3), tf.uint8))


def fields_of_encoded(images, spec, crop, stride=1):
    """Decodes the flow of several clips as records hold it.

    Args:
        images: string (B, N), JPEGs that `records.sequence_example.encode_flow` made. All fields of a clip have one
            size, whose short side is the spec's.
        spec: a RecordSpec, whose bound and scheme they are read by.
        crop: pixels.
        stride: takes the fields 0, stride, 2 stride, ...; the others are not decoded.

    Returns:
        float32 (B, T, crop, crop, 2), dx and dy in pixels per frame.
    """
    images, sizes = encoded(images, spec.short_side, stride, "field")
    fits = tf.equal(tf.reduce_min(sizes, -1), spec.short_side)
    row, column = _first(~fits)
    # Scaled flow would need its values scaled too, and its levels are no colours.
    fits = require(
        tf.reduce_all(fits),
        f"Flow must be as records hold it, of a short side of {spec.short_side} pixels. Received: {{}} pixels "
        "(height, width) for field {} of clip {}. Compute it on frames of that short side.",
        *(sizes[row, column], column * stride, row),
    )
    with tf.control_dependencies([fits]):
        same = same_sizes(sizes, stride)
    with tf.control_dependencies([same]):
        images = tf.identity(images)

    def levels(image):
        return tf.ensure_shape(cropped(image[..., :2], crop), (crop, crop, 2))

    levels = decoded(levels, images, sizes, (crop, crop, 2), stride=stride, noun="field")
    shift, factor = sequence_example.flow_scaling(spec.flow_bound, spec.flow_scheme)
    return (tf.cast(levels, tf.float32) + shift) * factor
