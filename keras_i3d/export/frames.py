"""From encoded or decoded frames to clips, in TensorFlow operations that any process can load.

What a request gets wrong ends in InvalidArgumentError with one line: the rule, what was received, the remedy. Each
check comes before the operations that would fail by themselves.
"""

from keras_i3d.data import records
from keras_i3d.specs import MIN_FRAMES, MIN_SIZE

AT_ONCE = 32  # frames in flight while decoding and scaling


def require(holds, message, *values):
    """Returns what has to be a control dependency of all that relies on a scalar bool.

    Args:
        holds: the bool tensor.
        message: one line, each {} in it replaced by a value.
        values: tensors.
    """
    import tensorflow as tf

    def fail():
        with tf.control_dependencies([tf.debugging.Assert(False, [tf.strings.format(message, list(values))])]):
            return tf.constant(False)

    return tf.cond(holds, lambda: tf.constant(True), fail)


def checked(x, name, what, sizes, remedies):
    """Returns a signature's input unchanged, once its shape is seen to be right.

    A server does not hold a request to the shape that a signature states, so the graph looks for itself.

    Args:
        x: a tensor of a known rank.
        name: of the input.
        what: its axes, for the message, such as "(batch, time, height, width, 3)".
        sizes: {axis: (least, most or None, noun)} of the axes that are bounded.
        remedies: {axis: [a sentence]}; none where the rule says it all.
    """
    import tensorflow as tf

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


def time_rule(frames, least=MIN_FRAMES, noun="frames"):
    """Returns the entry of the time axis for `checked`, and its remedy."""
    if frames is None:
        return (least, None, noun), "Repeat the frames of a shorter video, or send a longer part of it."
    return (
        (frames, frames, noun),
        "The time axis was fixed at the export; cut or repeat the frames, or export with --frames=0 for any number.",
    )


def same_batch(inputs):
    """Returns the checks that {stream: tensor} of two streams hold equally many clips; [] for one stream."""
    import tensorflow as tf

    if len(inputs) == 1:
        return []
    counts = [tf.shape(inputs[stream])[0] for stream in ("rgb", "flow")]
    rule = "rgb and flow must hold equally many clips. Received: {} and {}. Send both of each clip."
    return [require(tf.equal(*counts), rule, *counts)]


def in_range(clip, stream):
    """Returns a clip (B, T, H, W, C) once it is seen to be finite, and scaled.

    Whether it was scaled shows in a sample of its values; up to 2 pass, for resampling may overshoot.
    """
    import tensorflow as tf

    # In a sum of values near 1 nothing overflows, and NaN or infinity stays. It costs less than looking at each value.
    finite = require(
        tf.math.is_finite(tf.reduce_sum(clip)),
        f"{stream} must be finite. Received: NaN or infinity. Check what made the clip.",
    )
    largest = tf.reduce_max(tf.abs(clip[:, ::4, ::8, ::8]))
    scale = {"rgb": "x / 127.5 - 1", "flow": "clip(x, -20, 20) / 20"}[stream]
    scaled = require(
        ~(largest > 2),
        f"{stream} must be in [-1, 1]. Received: values up to {{}}. Scale it by {scale}, or use a signature of frames.",
        largest,
    )
    with tf.control_dependencies([finite, scaled]):
        return tf.identity(clip)


def encoded(images):
    """Returns the frames of clips, string (B, T), once each is seen to begin as a JPEG or PNG does."""
    import tensorflow as tf

    jpeg = tf.equal(tf.strings.substr(images, 0, 3), b"\xff\xd8\xff")
    png = tf.equal(tf.strings.substr(images, 0, 8), b"\x89PNG\r\n\x1a\n")
    row, column = _first(~(jpeg | png))
    known = require(
        tf.reduce_all(jpeg | png),
        "A frame must be an encoded JPEG or PNG. Received: {} bytes of something else, frame {} of clip {}. Send whole "
        "files; in JSON as base64, under the key b64.",
        *(tf.strings.length(images[row, column]), column, row),
    )
    with tf.control_dependencies([known]):
        return tf.identity(images)


def _first(wrong):
    """Returns scalars (row, column) of the first True in a bool tensor (B, T); (0, 0) if there is none."""
    import tensorflow as tf

    flat = tf.argmax(tf.cast(tf.reshape(wrong, [-1]), tf.int8))
    return tf.unstack(tf.unravel_index(flat, tf.shape(wrong, tf.int64)))


def mapped(function, elements, kinds):
    """`tf.map_fn` over many frames at once. A check inside would have them wait for each other: checks come after."""
    import tensorflow as tf

    return tf.map_fn(function, elements, fn_output_signature=kinds, parallel_iterations=AT_ONCE)


def scaled_size(height, width, short_side):
    """Returns int32 (height, width) after scaling, rounded as `video.scaled_size` does."""
    import tensorflow as tf

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
    import tensorflow as tf

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
    import tensorflow as tf

    height, width = tf.unstack(tf.shape(clip)[-3:-1])
    top, left = (height - crop) // 2, (width - crop) // 2
    return clip[..., top : top + crop, left : left + crop, :]


def crops_of_encoded(images, short_side, crop, stride=1):
    """Decodes, scales and crops the frames of several clips, all in one flat parallel map.

    Args:
        images: string (B, N). The frames of a clip have one size; clips may differ.
        short_side, crop: pixels.
        stride: takes the frames 0, stride, 2 stride, ...; the others are not decoded.

    Returns:
        uint8 (B, T, crop, crop, 3), T being N / stride, rounded up.
    """
    import tensorflow as tf

    def one(image):
        image = records.decode_rgb(image)
        return scaled(image, short_side, crop), tf.shape(image)[:2]

    images = encoded(images)[:, ::stride]
    batch, time = tf.unstack(tf.shape(images))
    kinds = (tf.TensorSpec((crop, crop, 3), tf.uint8), tf.TensorSpec((2,), tf.int32))
    clips, sizes = mapped(one, tf.reshape(images, [-1]), kinds)
    sizes = tf.reshape(sizes, (batch, time, 2))
    with tf.control_dependencies([same_sizes(sizes, stride=stride), large_enough(sizes, stride=stride)]):
        return tf.reshape(clips, (batch, time, crop, crop, 3))


def same_sizes(sizes, number=0, stride=1):
    """Returns the check that each clip's frames, sizes int32 (B, T, 2), are of one size.

    The first is clip `number`, and its frames are the request's frames 0, `stride`, 2 `stride`, ...
    """
    import tensorflow as tf

    differs = tf.reduce_any(tf.not_equal(sizes, sizes[:, :1]), -1)
    row, column = _first(differs)
    return require(
        ~tf.reduce_any(differs),
        "The frames of a clip must have one size. Received: {} pixels (height, width) for frame 0 and {} for frame {} "
        "of clip {}. Scale them alike.",
        *(sizes[row, 0], sizes[row, column], column * stride, row + tf.cast(number, tf.int64)),
    )


def large_enough(sizes, number=0, stride=1):
    """Returns the check that frames, sizes int32 (B, T, 2), are as large as the network takes them; as `same_sizes`."""
    import tensorflow as tf

    small = tf.reduce_any(sizes < MIN_SIZE, -1)
    row, column = _first(small)
    return require(
        ~tf.reduce_any(small),
        f"A frame must be at least {MIN_SIZE} pixels high and wide. Received: {{}} pixels (height, width) for frame "
        "{} of clip {}.",
        *(sizes[row, column], column * stride, row + tf.cast(number, tf.int64)),
    )


def crops_of_frames(frames, short_side, crop):
    """Scales and crops uint8 (B, T, H, W, 3) to (B, T, crop, crop, 3); those of the short side are cropped alone."""
    import tensorflow as tf

    batch, time, height, width, _ = tf.unstack(tf.shape(frames))

    def one_by_one():
        flat = tf.reshape(frames, (-1, height, width, 3))
        clips = mapped(lambda image: scaled(image, short_side, crop), flat, tf.TensorSpec((crop, crop, 3), tf.uint8))
        return tf.reshape(clips, (batch, time, crop, crop, 3))

    same = tf.equal(tf.minimum(height, width), short_side)
    return tf.ensure_shape(
        tf.cond(same, lambda: cropped(frames, crop), one_by_one), (None, frames.shape[1], crop, crop, 3)
    )


def whole_of_encoded(images, row, short_side):
    """Decodes and scales the frames of one clip, uncropped, for flow.

    Args:
        images: string (T,), of which `encoded` has seen the beginnings.
        row: which of the request's clips it is.
        short_side: pixels.

    Returns:
        uint8 (T, H', W', 3).
    """
    import tensorflow as tf

    first = tf.shape(records.decode_rgb(images[0]))
    # Before scaling: to the short side, a line of pixels would become an image that no memory holds.
    with tf.control_dependencies([large_enough(first[None, None, :2], row)]):
        first = tf.identity(first)

    def one(image):
        image = records.decode_rgb(image)
        size = tf.shape(image)
        alike = tf.cond(tf.reduce_all(tf.equal(size, first)), lambda: image, lambda: tf.zeros(first, tf.uint8))
        return scaled(tf.ensure_shape(alike, (None, None, 3)), short_side), size[:2]

    kinds = (tf.TensorSpec((None, None, 3), tf.uint8), tf.TensorSpec((2,), tf.int32))
    clip, sizes = mapped(one, images, kinds)
    with tf.control_dependencies([same_sizes(sizes[None], row)]):
        return tf.identity(clip)


def whole_of_frames(frames, short_side):
    """Scales the frames of one clip, uint8 (T, H, W, 3), uncropped, for flow."""
    import tensorflow as tf

    return mapped(lambda image: scaled(image, short_side), frames, tf.TensorSpec((None, None, 3), tf.uint8))


def fields_of_encoded(images, spec, crop, stride=1):
    """Decodes the flow of several clips as records hold it.

    Args:
        images: string (B, N), JPEGs that `data.records.encode_flow` made. All fields of a clip have one size, whose
            short side is the spec's.
        spec: a RecordSpec, whose bound and scheme they are read by.
        crop: pixels.
        stride: takes the fields 0, stride, 2 stride, ...; the others are not decoded.

    Returns:
        float32 (B, T, crop, crop, 2), dx and dy in pixels per frame.
    """
    import tensorflow as tf

    def fits(size):
        return tf.equal(tf.reduce_min(size, -1), spec.short_side)

    def one(image):
        levels = records.decode_rgb(image)[..., :2]
        size = tf.shape(levels)[:2]
        cut = tf.cond(fits(size), lambda: cropped(levels, crop), lambda: tf.zeros((crop, crop, 2), tf.uint8))
        return tf.ensure_shape(cut, (crop, crop, 2)), size

    images = encoded(images)[:, ::stride]
    batch, time = tf.unstack(tf.shape(images))
    kinds = (tf.TensorSpec((crop, crop, 2), tf.uint8), tf.TensorSpec((2,), tf.int32))
    levels, sizes = mapped(one, tf.reshape(images, [-1]), kinds)
    sizes = tf.reshape(sizes, (batch, time, 2))
    row, column = _first(~fits(sizes))
    # Scaled flow would need its values scaled too, and its levels are no colours.
    whole = require(
        tf.reduce_all(fits(sizes)),
        f"Flow must be as records hold it, of a short side of {spec.short_side} pixels. Received: {{}} pixels "
        "(height, width) for field {} of clip {}. Compute it on frames of that short side.",
        *(sizes[row, column], column * stride, row),
    )
    with tf.control_dependencies([whole, same_sizes(sizes, stride=stride)]):
        levels = tf.reshape(levels, (batch, time, crop, crop, 2))
    shift, factor = records.flow_scaling(spec.flow_bound, spec.flow_scheme)
    return (tf.cast(levels, tf.float32) + shift) * factor
