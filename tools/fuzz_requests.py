"""Damaged images in requests by the thousand: each is answered, or refused in a line, in bounded time and memory.

  python tools/fuzz_requests.py --seconds=60 --seed=0
  python tools/fuzz_requests.py --seed=0 --case=1234 --output=x.bin    writes the image of one case

A case is a request of two clips for one of the signatures that take images, of which one image is damaged. It is
refused when a line of this package's own names that image and its clip, and answered when the logits are finite and
those of the other clip are the same to the bit as without the damage. A line of TensorFlow's is counted apart.
Cases are tried in a process of their own, so that one that ends it, or never comes back, is found as well.
"""

import contextlib
import functools
import io
import os
import random
import re
import struct
import sys
import zlib

import fuzz_process

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

FRAMES, CROP, SHORT_SIDE = 10, 32, 40
SIZE = (44, 60)  # of the frames: scaled, so that all of the path is gone
FIELD = (40, 55)
KINDS = ("JPEG", "progressive JPEG", "PNG", "flow")
OUTCOMES = ("answered", "refused", "tensorflow", "else")
EXTREME = (0, 1, 8, 31, 32, 255, 0x7FFF, 0x8000, 0xFFFF)


def run(seconds, seed):
    """Sends damaged images for so many seconds.

    Returns:
        {kind of image: {"tried", "answered", "refused", "tensorflow", "else"}}: numbers of cases. "refused" is by a
        line of this package that names the image, "tensorflow" by TensorFlow's words; see `fuzz_process.counted`.
    """
    return fuzz_process.counted("requests", __file__, seconds, seed, KINDS, lambda *which: drawn(*which)[1], OUTCOMES)


def drawn(seed, case):
    """Returns (the generator of a case, its kind of image)."""
    rng = random.Random(f"{seed}/{case}")
    return rng, rng.choice(KINDS)


@functools.cache
def images():
    """Returns {kind: clips (2, N) of sound images, as lists of bytes}."""
    import numpy as np
    from made.small_exports import film
    from PIL import Image

    from keras_i3d.records import sequence_example
    from keras_i3d.specs import RecordSpec

    def encoded(image, form, **settings):
        buffer = io.BytesIO()
        Image.fromarray(image).save(buffer, form, **settings)
        return buffer.getvalue()

    clips = film(2, FRAMES, *SIZE)
    fields = np.random.default_rng(0).normal(0, 2, (2, FRAMES - 1, *FIELD, 2))
    spec = RecordSpec(short_side=SHORT_SIDE)
    return {
        "JPEG": [[encoded(image, "JPEG", quality=90) for image in clip] for clip in clips],
        "progressive JPEG": [[encoded(image, "JPEG", progressive=True) for image in clip] for clip in clips],
        "PNG": [[encoded(image, "PNG") for image in clip] for clip in clips],
        "flow": [[sequence_example.encode_flow(field, spec) for field in clip] for clip in fields],
    }


def damaged(seed, case):
    """Returns (kind, signature, clip, place in it, bytes of the damaged image) of one case."""
    from made.small_exports import stated

    rng, kind = drawn(seed, case)
    clips = images()[kind]
    clip = rng.randrange(2)
    place = rng.randrange(len(clips[clip]))
    signature = "jpeg_two_stream" if kind == "flow" else rng.choice(("jpeg", "jpeg", "jpeg", "frames_two_stream_jpeg"))
    data = bytearray(clips[clip][place])
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        at = rng.randrange(len(data))
        if rng.random() < 0.5:  # where headers are
            at = min(at, rng.choice((30, 200, 700)))
        size = min(rng.choice((1, 1, 2, 4, 16, 200)), len(data) - at)
        change = rng.randrange(8)
        if change == 0:
            data[at : at + size] = rng.randbytes(size)
        elif change == 1:
            data[at] ^= 1 << rng.randrange(8)
        elif change == 2:
            data[at : at + size] = rng.choice((b"\0", b"\xff")) * size
        elif change == 3:
            data[at : at + 2] = struct.pack(">H", rng.choice(EXTREME))
        elif change == 4:
            del data[at : at + size]
        elif change == 5:
            data[at:at] = data[at : at + size]
        elif change == 6:
            size = rng.choice(EXTREME), rng.choice(EXTREME)
            with contextlib.suppress(AttributeError):  # where damage has left nothing that states a size
                data = bytearray(stated(data, *size))
        else:
            other = images()[rng.choice(KINDS)][0][0]
            data = data[:at] + other[min(at, len(other) - 1) :]
        if len(data) < 8:
            break
    if rng.random() < 0.2:
        del data[rng.randrange(len(data) + 1) :]
    if rng.random() < 0.5:
        _sum_again(data)
    return kind, signature, clip, place, bytes(data)


def _sum_again(data):
    """Makes the checksums of a PNG right, so that damage comes to what is behind them."""
    at = 8
    while data[:4] == b"\x89PNG" and at + 12 <= len(data):
        end = at + 8 + int.from_bytes(data[at : at + 4], "big")
        if end + 4 > len(data):
            return
        data[end : end + 4] = struct.pack(">I", zlib.crc32(data[at + 4 : end]))
        at = end + 4


@functools.cache
def signatures():
    """The signatures of an export, over networks that take a moment. TV-L1 has one level."""
    import keras
    from made.small_exports import LIGHT

    from keras_i3d.export import signatures as lib
    from keras_i3d.flow import layer
    from keras_i3d.specs import CHANNELS, CLIPS

    layer.QUALITIES["opencv"] = LIGHT
    keras.utils.set_random_seed(0)
    from keras_i3d.models.families import find
    from keras_i3d.specs import RecordSpec

    clips, models = {}, {}
    for stream, spec in CLIPS.items():
        clips[stream] = RecordSpec(short_side=SHORT_SIDE, fps=spec.fps).clip(stream, CROP)
        x = keras.Input((None, CROP, CROP, CHANNELS[stream]))
        models[stream] = keras.Model(x, keras.layers.Dense(3)(keras.layers.GlobalAveragePooling3D()(x)))
    spec = RecordSpec(short_side=SHORT_SIDE)
    held, found = lib.module(
        models, lib.Contract(clips, ("a", "b", "c"), spec, None, families=dict.fromkeys(clips, find("I3D")))
    )
    return held, models, found


def ask(signature, clips, flows=None):
    """Returns the logits (2, 3) of two clips; raises InvalidArgumentError."""
    import tensorflow as tf

    function = signatures()[2][signature]
    if signature == "jpeg_two_stream":
        return function(rgb=tf.constant(clips), flow=tf.constant(flows))["logits"].numpy()
    return function(frames=tf.constant(clips))["logits"].numpy()


@functools.cache
def sound(kind, signature):
    """The logits of the request without damage."""
    return request(kind, signature, images()[kind])


def request(kind, signature, clips):
    """Asks with clips of one kind; returns the logits."""
    return ask(signature, images()["JPEG"], clips) if kind == "flow" else ask(signature, clips)


def attempt(seed, case):
    """Returns (outcome, detail) of one case."""
    import numpy as np
    import tensorflow as tf

    kind, signature, clip, place, data = damaged(seed, case)
    wanted = sound(kind, signature)
    clips = [list(row) for row in images()[kind]]
    clips[clip][place] = data
    try:
        logits = request(kind, signature, clips)
    except tf.errors.InvalidArgumentError as error:
        return judged(str(error.message), kind, clip, place)
    except Exception as error:
        return "else", f"{type(error).__name__}: {error}"
    if not np.isfinite(logits).all() or not np.array_equal(logits[1 - clip], wanted[1 - clip]):
        return "else", f"logits {logits.tolist()}, where without damage they are {wanted.tolist()}"
    if large := fuzz_process.too_much():
        return "else", large
    return "answered", ""


def judged(message, kind, clip, place):
    """Returns (outcome, detail) of a refusal."""
    line = next((line for line in message.splitlines() if "assertion failed: [" in line), "")
    if "Received: " not in line:
        return "tensorflow", message
    noun = "field" if kind == "flow" else "frame"
    named = re.search(rf"(?:frame|{noun}) (\d+) of clip (\d+)", line)
    # Where the first of a clip has another size than the rest, the second is the one that differs.
    if named and int(named[2]) == clip and (int(named[1]) == place or ("one size" in line and place == 0)):
        return "refused", line
    return "else", f"the image is {place} of clip {clip}, and the line says: {line}"


def prepare():
    """Whatever is made once: the sound requests are answered."""
    for kind in KINDS:
        for signature in ("jpeg_two_stream",) if kind == "flow" else ("jpeg", "frames_two_stream_jpeg"):
            sound(kind, signature)
    fuzz_process.baseline()


def one(seed, case, output):
    """Returns what is said of one case; writes its image."""
    kind, signature, clip, place, data = damaged(seed, case)
    if output:
        output.write_bytes(data)
    return f"{kind} {place} of clip {clip} for {signature}, {len(data)} bytes:", *attempt(seed, case)


if __name__ == "__main__":
    sys.exit(fuzz_process.command(__doc__, attempt, prepare, one, run))
