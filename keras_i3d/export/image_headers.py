"""What the first bytes of encoded images say, of many images at once, in TensorFlow operations. No pixel is decoded.

The segments of a JPEG are followed one by one as libjpeg follows them (ITU-T T.81, annex B), those of all images
together, so that the loop has as many rounds as one image has segments. The size of a PNG is in its first chunk
(ISO/IEC 15948, 11.2.2). `tf.io.extract_jpeg_shape` takes one image, and has no word for which one is damaged.
"""

import tensorflow as tf

MAX_SEGMENTS = 512  # before the image data of a JPEG; a camera writes some twenty
MAX_SCANS = 100  # of a JPEG; progressive ones have about ten, and each goes over the whole image
JPEG, PNG = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"
# Markers, by their second byte.
NO_FRAME = (0xC4, 0xC8, 0xCC)  # those of 0xC0 to 0xCF that begin no frame
PROGRESSIVE = (0xC2, 0xC6, 0xCA, 0xCE)
SOI, EOI, SOS = 0xD8, 0xD9, 0xDA


def is_jpeg(images):
    """Returns a bool tensor: which strings begin as a JPEG does."""
    return tf.equal(tf.strings.substr(images, 0, len(JPEG)), JPEG)


def is_png(images):
    """Returns a bool tensor: which strings begin as a PNG does."""
    return tf.equal(tf.strings.substr(images, 0, len(PNG)), PNG)


def read(images):
    """Reads the headers of JPEGs and PNGs.

    Args:
        images: string (N,), each of which `is_jpeg` or `is_png`.

    Returns:
        (sizes, whole, scans): int64 (N, 2), height and width, 0 if the header is damaged; bool (N,), false if the
        file is seen to be cut short; int64 (N,), the scans of a JPEG, counted up to `MAX_SCANS` + 1, 1 for a PNG.
    """
    jpeg = is_jpeg(images)
    sizes, start, several = _jpegs(images, jpeg)
    data = tf.strings.substr(images, start, tf.strings.length(images) - start)
    whole = _ends(data, jpeg)
    scans = 1 + _count(data, jpeg & several, bytes([0xFF, SOS]), MAX_SCANS + 1, skip=2)
    return tf.where(jpeg[:, None], sizes, _png_sizes(images)), whole, scans


def _bytes(images, start, count):
    """int64 (N, count): bytes of each string from a place on, zeros beyond its end."""
    start = tf.minimum(start, tf.strings.length(images))
    part = tf.strings.substr(images, start, tf.fill(tf.shape(start), count))
    return tf.cast(tf.io.decode_raw(part, tf.uint8, fixed_length=count), tf.int64)


def _number(content, place, count):
    """int64 (N,): the big-endian number of `count` bytes in a column of `_bytes`."""
    return sum(content[:, place + i] * 256 ** (count - 1 - i) for i in range(count))


def _png_sizes(images):
    content = _bytes(images, tf.fill(tf.shape(images), len(PNG)), 16)
    first = tf.reduce_all(tf.equal(content[:, :8], tf.constant(list(b"\0\0\0\rIHDR"), tf.int64)), -1)
    sizes = tf.stack([_number(content, 12, 4), _number(content, 8, 4)], -1)
    return tf.where(first[:, None] & (sizes < 1 << 31), sizes, tf.constant(0, tf.int64))


def _jpegs(images, jpeg):
    """Returns sizes, int64 (N, 2); where the image data begins, int32 (N,); whether it has several scans, bool (N,)."""
    count = tf.shape(images)[0]

    def going(place, sizes, start, several, ended):
        return ~tf.reduce_all(ended)

    def follow(place, sizes, start, several, ended):
        content = _bytes(images, place, 10)
        marker, length = content[:, 1], tf.cast(_number(content, 2, 2), tf.int32)

        def among(numbers):
            return tf.reduce_any(tf.equal(marker[:, None], tf.constant(numbers, tf.int64)), -1)

        fill = tf.equal(marker, 0xFF)
        alone = among([0x01, *range(0xD0, 0xD8)])  # markers without a segment
        frame = (marker >= 0xC0) & (marker <= 0xCF) & ~among(NO_FRAME)
        data = tf.equal(marker, SOS)
        again = frame & (sizes[:, 0] > 0)
        known = fill | alone | (~among([0x00, SOI, EOI]) & (length >= 2))
        damaged = ~ended & (~tf.equal(content[:, 0], 0xFF) | ~known | again)
        frame, data = (found & ~damaged & ~ended for found in (frame, data))
        size = tf.stack([_number(content, 5, 2), _number(content, 7, 2)], -1)
        # `several` holds the number of components until the first scan says whether it has them all.
        several = tf.where(frame, tf.where(among(PROGRESSIVE), tf.constant(256, tf.int64), content[:, 9]), several)
        several = tf.where(data, tf.cast(several > content[:, 4], tf.int64), several)
        sizes = tf.where(damaged[:, None], tf.constant(0, tf.int64), tf.where(frame[:, None], size, sizes))
        start = tf.where(data, place, start)
        step = tf.where(fill, 1, tf.where(alone, 2, 2 + length))
        return tf.where(ended, place, place + step), sizes, start, several, ended | damaged | data

    begin = (tf.fill([count], 2), tf.zeros([count, 2], tf.int64), tf.zeros([count], tf.int32))
    begin += (tf.zeros([count], tf.int64), ~jpeg)
    ended = tf.while_loop(going, follow, begin, maximum_iterations=MAX_SEGMENTS, parallel_iterations=1)
    _, sizes, start, several, _ = ended
    return tf.where(start[:, None] > 0, sizes, tf.constant(0, tf.int64)), start, tf.equal(several, 1)


def _ends(data, jpeg):
    """bool (N,): false if a JPEG has no end. What some programs append after it is no matter."""
    end = bytes([0xFF, EOI])
    last = tf.strings.substr(data, tf.maximum(tf.strings.length(data) - 2, 0), tf.fill(tf.shape(data), 2))
    there = ~jpeg | tf.equal(last, end)
    return there | (_count(data, ~there, end, 1) > 0)


def _count(data, which, part, most, skip=0):
    """int64 (N,): how often strings hold a part from byte `skip` on, counted up to `most`; 0 if `which` is false."""
    rows = tf.where(which)
    chosen = tf.gather_nd(data, rows)
    start = tf.minimum(skip, tf.strings.length(chosen))
    chosen = tf.strings.substr(chosen, start, tf.strings.length(chosen) - start)
    found = tf.strings.split(chosen, part, maxsplit=most).row_lengths() - 1
    return tf.scatter_nd(rows, found, tf.shape(data, tf.int64))
