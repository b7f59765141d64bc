"""From encoded or decoded frames to clips, in TensorFlow operations that any process can load."""

import tensorflow as tf

from keras_i3d.export import request_checks
from keras_i3d.records import sequence_example

AT_ONCE = 32  # frames in flight while decoding and scaling


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
        images, sizes: string (B, T) and int32 (B, T, 2), as `request_checks.encoded` gives them.
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
    row, column = request_checks.first(tf.reshape(tf.equal(missing, 0), tf.shape(images)))
    whole = request_checks.require(
        tf.equal(tf.size(places, tf.int64), count),
        request_checks.DAMAGED.format(noun=noun),
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
    images, sizes = request_checks.encoded(images, short_side, stride)
    with tf.control_dependencies([request_checks.same_sizes(sizes, stride)]):
        images = tf.identity(images)
    return decoded(lambda image: scaled(image, short_side, crop), images, sizes, (crop, crop, 3), stride=stride)


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
        images, sizes: string (T,) and int32 (T, 2), all one, as `request_checks.encoded` gives them.
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
    images, sizes = request_checks.encoded(images, spec.short_side, stride, "field")
    fits = tf.equal(tf.reduce_min(sizes, -1), spec.short_side)
    row, column = request_checks.first(~fits)
    # Scaled flow would need its values scaled too, and its levels are no colours.
    fits = request_checks.require(
        tf.reduce_all(fits),
        f"Flow must be as records hold it, of a short side of {spec.short_side} pixels. Received: {{}} pixels "
        "(height, width) for field {} of clip {}. Compute it on frames of that short side.",
        *(sizes[row, column], column * stride, row),
    )
    with tf.control_dependencies([fits]):
        same = request_checks.same_sizes(sizes, stride)
    with tf.control_dependencies([same]):
        images = tf.identity(images)

    def levels(image):
        return tf.ensure_shape(cropped(image[..., :2], crop), (crop, crop, 2))

    levels = decoded(levels, images, sizes, (crop, crop, 2), stride=stride, noun="field")
    shift, factor = sequence_example.flow_scaling(spec.flow_bound, spec.flow_scheme)
    return (tf.cast(levels, tf.float32) + shift) * factor
