"""Requests that cost more than they hold: bombs, damage inside of images, and what the graph says of them."""

import io
import re
import time

import numpy as np
import pytest
from made import small_exports
from made.small_exports import stated
from PIL import Image

from keras_i3d.export import image_headers, preprocessing, request_checks
from keras_i3d.video.pixels import MAX_ASPECT, MAX_PIXELS

SHORT_SIDE, CROP = 256, 224
WORDS = "whole JPEG or PNG. Received: {} bytes that are damaged or cut short, frame {} of clip {}. Encode it again"


@pytest.fixture(scope="module")
def crops():
    """The path of the signature `jpeg` up to the network: lists of images to uint8 (B, T, 224, 224, 3)."""
    import tensorflow as tf

    kind = tf.TensorSpec((None, None), tf.string)

    @tf.function(autograph=False, input_signature=[kind])
    def graph(images):
        return preprocessing.crops_of_encoded(images, SHORT_SIDE, CROP)

    return lambda images: graph(tf.constant(images)).numpy()


def refused(call, *arguments):
    """Returns the line of a refusal, and holds that it took no time to speak of."""
    import tensorflow as tf

    began = time.monotonic()
    with pytest.raises(tf.errors.InvalidArgumentError) as caught:
        call(*arguments)
    assert time.monotonic() - began < 10  # decoding would take minutes; a machine that does much else takes seconds
    return re.search(r"assertion failed: \[(.*)\]", str(caught.value.message))[1]


def encode(height, width, form="JPEG", **settings):
    """A picture of smooth colours."""
    values = np.add.outer(np.arange(height), np.arange(width)) % 256
    image = np.stack([values, values[::-1], 255 - values], -1).astype("uint8")
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, form, **settings)
    return buffer.getvalue()


@pytest.mark.parametrize("form", ["JPEG", "PNG"])
@pytest.mark.parametrize(
    ("height", "width"), [(32, 60000), (12000, 12000), (8192, 8193), (60000, 60000), (60000, 32), (100, 1601)]
)
def test_frames_that_are_too_large_or_too_long(crops, form, height, width):
    good = encode(100, 1600, form)
    line = refused(crops, [[good] * 9, [good] * 4 + [stated(good, height, width)] * 5])
    assert line == (
        f"A frame may have {MAX_PIXELS} pixels and an aspect of {MAX_ASPECT}:1. Received: [{height} {width}] pixels "
        "(height, width) for frame 4 of clip 1. Scale it, or send a part of it."
    )


@pytest.mark.parametrize("form", ["JPEG", "PNG"])
def test_frames_that_are_too_many_pixels_together(crops, form):
    image = stated(encode(64, 64, form), 8192, 8192)
    line = refused(crops, [[image] * 5, [image] * 5])
    assert "may have 536870912 pixels in all" in line
    assert "Received: 10 frames, 671088640 pixels. Send fewer in a request, or smaller ones." in line


def test_small_frames_count_as_they_will_be_scaled(crops):
    """And are counted before any of them is looked at."""
    line = refused(crops, [[b"not even a picture"] * 100_000])
    assert "Received: 100000 frames, at least 6553600000 pixels. Send fewer in a request." in line
    line = refused(crops, [[encode(32, 512)] * 1000])  # 4096 x 256 each
    assert "Received: 1000 frames, 1048576000 pixels." in line


def test_scans_of_a_progressive_jpeg_count(crops):
    """The last scan may come again and again: each takes as long as the whole image."""
    image = encode(64, 64, progressive=True)
    at = image.rindex(b"\xff\xda")
    many, more = (image[:-2] + image[at:-2] * count + image[-2:] for count in (85, 95))
    assert crops([[many] * 9]).shape == (1, 9, CROP, CROP, 3)
    line = refused(crops, [[image] * 3 + [more] * 6])
    assert line == "A progressive JPEG may have 100 scans. Received: more, in frame 3 of clip 0. Encode it again."
    line = refused(crops, [[stated(many, 8192, 4096)] * 2])
    assert "once for every 10 scans of a progressive JPEG" in line
    assert f"Received: 2 frames, {2 * 8192 * 4096 * 10} pixels." in line


@pytest.mark.parametrize(
    ("shape", "part"),
    [
        (
            (1, 9, 32, 60000, 3),
            r"aspect of 16:1. Received: \[32 60000\] pixels \(height, width\) for frame 0 of clip 0",
        ),
        ((1, 9, 8193, 8192, 3), r"67108864 pixels and an .* Received: \[8193 8192\]"),
        ((1, 9000, 32, 32, 3), "Received: 9000 frames, 589824000 pixels"),
        ((3, 3, 8192, 8192, 3), "Received: 9 frames, 603979776 pixels"),
        ((1, 9, 31, 700, 3), r"at least 32 pixels high and wide. Received: \[31 700\]"),
    ],
)
def test_decoded_frames_have_the_same_limits(shape, part):
    """A tensor of this shape takes its memory when it is touched alone: nothing is."""
    import tensorflow as tf

    check = tf.function(lambda x: request_checks.bounded_frames(x, SHORT_SIDE), autograph=False)
    clip = tf.constant(np.broadcast_to(np.uint8(0), shape)) if np.prod(shape) < 1 << 28 else _empty(shape)
    assert re.search(part, refused(check, clip))


def _empty(shape):
    import tensorflow as tf

    return tf.raw_ops.Empty(shape=shape, dtype=tf.uint8)


def test_what_is_within_the_limits_is_answered(crops):
    for image in (encode(100, 1600), encode(1600, 100, "PNG"), encode(2160, 3840)):
        assert crops([[image] * 9]).shape == (1, 9, CROP, CROP, 3)


def test_all_kinds_of_sound_images(crops):
    """Headers are read right whatever else a file holds."""
    jpeg, segments = encode(64, 80), b"".join(b"\xff\xe1\x01\x00" + bytes([i]) * 254 for i in range(200))
    thumbnail = b"\xff\xe1" + (len(jpeg) + 2).to_bytes(2, "big") + jpeg  # with sizes and an end of its own
    sound = [
        jpeg,
        encode(64, 80, progressive=True),
        encode(64, 80, subsampling=0, optimize=True),
        encode(64, 80, icc_profile=bytes(200_000)),
        encode(64, 80, "PNG"),
        encode(64, 80, restart_marker_blocks=2),
        jpeg[:2] + segments + jpeg[2:],
        jpeg[:2] + b"\xff\xff\xff" + jpeg[2:],  # bytes that may fill up before a marker
        jpeg[:2] + thumbnail + jpeg[2:],
        jpeg + b"\0" * 7,  # what cameras append
        jpeg + b"ftypmp42" * 100,
    ]
    import tensorflow as tf

    sizes, whole, _ = image_headers.read(tf.constant(sound))
    assert sizes.numpy().tolist() == [[64, 80]] * len(sound)
    assert whole.numpy().all()
    clips = crops([[image] * 9 for image in sound])
    assert np.abs(np.int32(clips) - clips[4]).mean() < 6
    for form, modes in (("JPEG", ("L", "CMYK")), ("PNG", ("1", "L", "LA", "P", "RGBA", "I;16"))):
        for mode in modes:
            buffer = io.BytesIO()
            Image.new(mode, (80, 64)).save(buffer, form)
            assert crops([[buffer.getvalue()] * 9]).shape == (1, 9, CROP, CROP, 3)


def test_sizes_are_those_of_the_decoder():
    import tensorflow as tf

    for height, width in ((1, 1), (33, 97), (255, 256), (300, 5000)):
        for form, settings in (("JPEG", {}), ("JPEG", {"progressive": True}), ("PNG", {})):
            image = encode(height, width, form, **settings)
            size = image_headers.read(tf.constant([image]))[0][0].numpy().tolist()
            assert size == tf.io.decode_jpeg(image).shape[:2]
            if form == "JPEG":
                assert size == tf.io.extract_jpeg_shape(image)[:2].numpy().tolist()


def _damages():
    """{what is wrong: an image}."""
    jpeg, png = encode(64, 80), encode(64, 80, "PNG")
    tables, frame = jpeg.index(b"\xff\xc4"), jpeg.index(b"\xff\xc0")
    return {
        "JPEG cut in its header": jpeg[:100],
        "JPEG cut in its data": jpeg[: len(jpeg) * 2 // 3],
        "JPEG without its end": jpeg[:-2],
        "JPEG without its last byte": jpeg[:-1],
        "JPEG of its beginning alone": jpeg[:3],
        "JPEG with a table of chance": jpeg[: tables + 5] + b"\xff" * 16 + jpeg[tables + 21 :],
        "JPEG without a size": stated(jpeg, 0, 80),
        "JPEG of 12 bits": jpeg.replace(b"\xff\xc0\0\x11\x08", b"\xff\xc0\0\x11\x0c"),
        "JPEG with two sizes": jpeg[:frame] + b"\xff\xc0\0\x0b\x08\0\x40\0\x50\1\1\x11\0" + jpeg[frame:],
        "JPEG of segments alone": jpeg[:2] + b"\xff\xe0\0\2" * 5000 + jpeg[2:],
        "PNG cut in its header": png[:20],
        "PNG cut in its data": png[: len(png) // 2],
        "PNG with another byte": png[:60] + bytes([png[60] ^ 1]) + png[61:],
        "PNG of 7 bits": png[:24] + b"\7" + png[25:],
        "PNG of a wrong first chunk": png.replace(b"IHDR", b"IDAT", 1),
    }


DAMAGES = _damages()


@pytest.mark.parametrize("case", DAMAGES)
def test_damage_is_told_with_its_place(crops, case):
    image, sound = DAMAGES[case], encode(64, 80)
    line = refused(crops, [[sound] * 9, [sound] * 7 + [image, sound]])
    assert WORDS.format(len(image), 7, 1) in line
    line = refused(crops, [[image] * 9])  # where there is not one that can be decoded
    assert WORDS.format(len(image), 0, 0) in line


def test_the_first_of_several_is_told_and_the_next_request_is_answered(crops):
    sound, broken = encode(64, 80), DAMAGES["PNG with another byte"]
    wanted = crops([[sound] * 9])
    for _ in range(3):
        line = refused(crops, [[sound] * 9, [sound] * 3 + [broken] * 6, [broken] * 9])
        assert WORDS.format(len(broken), 3, 1) in line
        np.testing.assert_array_equal(crops([[sound] * 9]), wanted)


def test_frames_that_are_not_seen_keep_their_numbers():
    """Of every third frame: the number is that in the request."""
    import tensorflow as tf

    sound = encode(64, 80)
    graph = tf.function(lambda x: preprocessing.crops_of_encoded(x, SHORT_SIDE, CROP, 3), autograph=False)
    clip = [sound] * 27
    for case in ("JPEG cut in its data", "PNG with another byte"):
        clip[21] = DAMAGES[case]
        assert "frame 21 of clip 0" in refused(graph, tf.constant([clip]))
    clip[21], clip[22] = sound, DAMAGES["PNG with another byte"]
    assert graph(tf.constant([clip])).shape == (1, 9, CROP, CROP, 3)  # not decoded, so not missed


def test_many_questions_for_the_facts():
    """The answer is long: a million empty questions would have a million of it."""
    import tensorflow as tf

    check = tf.function(request_checks.few_rows, autograph=False)
    assert check(tf.constant([b""] * request_checks.MAX_ROWS))
    line = refused(check, tf.constant([b""] * 1_000_000))
    assert line == "about may hold 64 values, each of which gets the same answer. Received: 1000000. One will do."


@pytest.fixture(scope="module")
def fuzz(tool):
    with small_exports.small():
        yield tool("fuzz_requests")


@pytest.mark.slow
def test_a_thousand_damaged_images_are_answered_or_refused_in_our_words(fuzz):
    """Seeded. Whatever libjpeg and libpng refuse is told with its frame; the other clip's answer is the same."""
    shares = {kind: {} for kind in fuzz.KINDS}
    for case in range(1000):
        outcome, detail = fuzz.attempt(1, case)
        assert outcome in ("answered", "refused"), (case, detail)
        kind = shares[fuzz.drawn(1, case)[1]]
        kind[outcome] = kind.get(outcome, 0) + 1
    print(shares)
    assert all(share["answered"] and share["refused"] > 100 for share in shares.values())


def test_the_fuzz_target_tells_crashes_from_answers(fuzz, monkeypatch):
    """What it counts, with a worker that stands in for the process."""
    found = iter([(0, "answered", ""), (1, "refused", ""), (2, "tensorflow", "Invalid PNG"), (3, "else", "")])
    monkeypatch.setattr("fuzz_process.tried", lambda *words: found)
    counts = fuzz.run(1, 0)
    assert {key: sum(kind[key] for kind in counts.values()) for key in ("tried", *fuzz.OUTCOMES)} == {
        "tried": 4, "answered": 1, "refused": 1, "tensorflow": 1, "else": 1,
    }  # fmt: skip


def test_the_fuzz_target_knows_a_wrong_refusal(fuzz):
    """It could not fail otherwise."""
    line = "assertion failed: [A frame must be whole. Received: 3 bytes, frame 4 of clip 1. Send it.]"
    assert fuzz.judged(line, "PNG", 1, 4)[0] == "refused"
    assert fuzz.judged(line, "PNG", 1, 5)[0] == "else"
    assert fuzz.judged("Invalid PNG data, size 3", "PNG", 1, 4)[0] == "tensorflow"
