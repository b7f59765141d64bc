"""One video as one `tf.train.SequenceExample`: written once, parsed inside a graph.

The keys are MediaPipe's (`mediapipe/util/sequence/media_sequence.py`), so that data sets made by it can be read, and
ours by its readers. Frame i is stored at i / fps seconds; flow i belongs to the frames i and i + 1.

RGB frames are JPEGs of quality 95. A flow field is a JPEG too, of three components that are coded as they are: dx, dy
and a constant, without the conversion to luma and colour, and without subsampling, both of which mix dx with dy.
`benchmarks/README.md` compares this with other encodings.
"""

import collections

import numpy as np
import tensorflow as tf

from keras_i3d import jpeg
from keras_i3d.flow.pairs import stream
from keras_i3d.flow.quantize import SCHEMES, quantize_flow
from keras_i3d.records import framing
from keras_i3d.specs import FLOW_BOUND, QUALITY
from keras_i3d.version import __version__

FLOW = "FORWARD_FLOW/"
PREFIXES = {"rgb": "", "flow": FLOW}
SEGMENT = ("label/index", "start/timestamp", "end/timestamp")


def encode(
    frames, spec, *, id, label=None, index=None, split="", source="", start=None, end=None, segments=(), workers=None
):
    """Returns a video as a serialised SequenceExample, its flow computed on the way.

    Args:
        frames: an iterable of uint8 (H, W, 3), RGB, at `spec.fps` and of the short side `spec.short_side`. It is
            read once; only JPEGs are kept of it.
        spec: a RecordSpec.
        id: text that no other record of the data set has.
        label, index: the class, by name and by its place in the list of labels; None for an unlabelled video. Of
            several classes, tuples of as many names and places.
        segments: (index, label, start, end) of each class that the video shows for a time: its place and name, and
            seconds from the first frame; MediaPipe's `segment` keys hold them.
        split: "train", "validate", ...
        source: where the video came from, for people.
        start, end: seconds of the source that the video was trimmed to; None for its own ends.
        workers: frame pairs whose flow is computed at once; by default one a core.

    Returns:
        bytes.

    Raises:
        ValueError: no frame, or a single one if flow is asked for, or frames of several sizes.
    """
    images, sizes = [], set()

    def kept(frames):
        for frame in frames:
            images.append(encode_rgb(frame, spec.quality))
            sizes.add(frame.shape[:2])
            yield frame

    if spec.flow_method is None:
        flows = None
        collections.deque(kept(frames), maxlen=0)
    else:
        flows = [encode_flow(field, spec) for field in stream(kept(frames), spec.flow_method, workers=workers)]
    if len(sizes) != 1:
        raise ValueError(f"A record needs frames of one size. Received: {len(images)} frames, sizes {sorted(sizes)}")
    if flows == []:
        raise ValueError("Flow needs at least 2 frames. Received: 1. Use flow_method=none for still pictures")
    height, width = sizes.pop()
    context = {
        "example/id": _bytes(id),
        "clip/media_id": _bytes(id),
        "clip/alternative_media_id": _bytes(split),
        "clip/data_path": _bytes(source),
        "keras_i3d/version": _bytes(__version__),
        **_image_facts("", height, width, spec),
    }
    if index is not None:
        several = isinstance(index, tuple)
        indices, labels = (index, label) if several else ((index,), (label,))
        context |= {"clip/label/index": _ints(*indices), "clip/label/string": _bytes(*labels)}
    if segments:
        places, names, starts, ends = zip(*segments)
        context |= {
            "segment/label/index": _ints(*places),
            "segment/label/string": _bytes(*names),
            "segment/start/timestamp": _ints(*(round(seconds * 1e6) for seconds in starts)),
            "segment/end/timestamp": _ints(*(round(seconds * 1e6) for seconds in ends)),
        }
    for key, seconds in (("clip/start/timestamp", start), ("clip/end/timestamp", end)):
        if seconds is not None:
            context[key] = _ints(round(seconds * 1e6))
    lists = _image_lists("", images, spec)
    if flows is not None:
        lists |= _image_lists(FLOW, flows, spec)
        context |= {
            **_image_facts(FLOW, height, width, spec),
            "keras_i3d/flow/method": _bytes(spec.flow_method),
            "keras_i3d/flow/bound": _floats(spec.flow_bound),
            "keras_i3d/flow/scheme": _bytes(spec.flow_scheme),
        }
    return tf.train.SequenceExample(
        context=tf.train.Features(feature=context),
        feature_lists=tf.train.FeatureLists(
            feature_list={key: tf.train.FeatureList(feature=values) for key, values in lists.items()}
        ),
    ).SerializeToString(deterministic=True)


def encode_rgb(frame, quality=QUALITY):
    """Returns a frame, uint8 (H, W, 3), as a JPEG."""
    return jpeg.encode(frame, quality)


def encode_flow(field, spec):
    """Returns a field, float (H, W, 2), as a JPEG whose first two channels are its 8-bit levels."""
    if spec.flow_scheme != "exact":
        raise ValueError(f'Flow is written with flow_scheme="exact". Received: {spec.flow_scheme!r}')
    levels = quantize_flow(field, spec.flow_bound)
    # keep_rgb: the three components are stored as they are, not as luma and colour.
    levels = np.concatenate([levels, np.full_like(levels[..., :1], 127)], axis=-1)
    return jpeg.encode(levels, spec.quality, subsampling=0, keep_rgb=True, optimize=True)


def parse(serialized, streams=("rgb", "flow")):
    """Parses a SequenceExample inside a graph; nothing is decoded yet.

    Args:
        serialized: a scalar string tensor, written by `encode` or by MediaPipe.
        streams: whose JPEGs and fingerprints to give; the others are not copied.

    Returns:
        {"id": string, "label": string ("" if there is none), "index": int64 (-1 if there is none), of several classes
        the first; "labels": string (N,), "indices": int64 (N,), all of them; "segments": int64 (M, 3), of each class
        that is shown for a time its index, start and end in microseconds from the first frame;
        "rgb": string (T,), JPEGs; "flow": string (T - 1,), JPEGs, or (0,); "rgb_fingerprint", "flow_fingerprint":
        int64, as long as the JPEGs, or (0,) in records of others; "fps": float32 (0 if unknown); "flow_bound":
        float32; "flow_scheme", "flow_method": string}.
    """
    text = tf.io.FixedLenFeature([], tf.string, "")
    context, lists = tf.io.parse_single_sequence_example(
        serialized,
        context_features={
            "example/id": text,
            "clip/label/string": tf.io.VarLenFeature(tf.string),
            "clip/label/index": tf.io.VarLenFeature(tf.int64),
            **{f"segment/{key}": tf.io.VarLenFeature(tf.int64) for key in SEGMENT},
            "image/frame_rate": tf.io.FixedLenFeature([], tf.float32, 0.0),
            "keras_i3d/flow/method": text,
            "keras_i3d/flow/bound": tf.io.FixedLenFeature([], tf.float32, FLOW_BOUND),
            "keras_i3d/flow/scheme": tf.io.FixedLenFeature([], tf.string, "mediapipe"),
        },
        sequence_features={
            f"{prefix}image/{key}": tf.io.FixedLenSequenceFeature([], kind, allow_missing=True)
            for prefix in (PREFIXES[stream] for stream in streams)
            for key, kind in (("encoded", tf.string), ("fingerprint", tf.int64))
        },
    )

    # MediaPipe's segments may have times without labels.
    segments = [context[f"segment/{key}"].values for key in SEGMENT]
    whole = tf.reduce_min([tf.size(values) for values in segments])

    def first(values, default):
        return tf.concat([values.values, [default]], axis=0)[0]

    return {
        "id": context["example/id"],
        "label": first(context["clip/label/string"], ""),
        "index": first(context["clip/label/index"], tf.constant(-1, tf.int64)),
        "labels": context["clip/label/string"].values,
        "indices": context["clip/label/index"].values,
        "segments": tf.stack([values[:whole] for values in segments], axis=1),
        "fps": context["image/frame_rate"],
        **{stream: lists[f"{PREFIXES[stream]}image/encoded"] for stream in streams},
        **{f"{stream}_fingerprint": lists[f"{PREFIXES[stream]}image/fingerprint"] for stream in streams},
        "flow_method": context["keras_i3d/flow/method"],
        "flow_bound": context["keras_i3d/flow/bound"],
        "flow_scheme": context["keras_i3d/flow/scheme"],
    }


def decode(serialized):
    """Decodes a whole SequenceExample, eagerly.

    Args:
        serialized: bytes.

    Returns:
        What `parse` gives, as NumPy values and text, with "rgb" as uint8 (T, H, W, 3) and "flow" as float32
        (T - 1, H, W, 2) in pixels per frame, or None.
    """
    parsed = parse(serialized)
    if not len(parsed["rgb"]):
        raise ValueError("A record to decode has at least one frame. Received: none")
    bound, scheme = parsed["flow_bound"], parsed["flow_scheme"]
    flow = [decode_flow(image, bound, scheme).numpy() for image in parsed["flow"]]
    values = {key: value.numpy() for key, value in parsed.items()}
    return {
        **{key: value.decode(errors="replace") if isinstance(value, bytes) else value for key, value in values.items()},
        "rgb": np.stack([decode_rgb(image).numpy() for image in parsed["rgb"]]),
        "flow": np.stack(flow) if flow else None,
    }


def record_id(serialized):
    """Returns the id of a SequenceExample, as text."""
    return tf.train.SequenceExample.FromString(serialized).context.feature["example/id"].bytes_list.value[0].decode()


def read(path, number):
    """Returns the record of a file that has `number` others before it, as bytes for `decode`.

    Raises:
        IndexError: the file has no more than `number` records that can be read.
    """
    for record in framing.dataset(path).skip(number).take(1).as_numpy_iterator():
        return record
    raise IndexError(f"{path} has no record {number}")


def fingerprints(images):
    """Returns int64 (T,): a 62-bit hash of each of a list or tensor of JPEGs; also inside a graph."""
    return tf.strings.to_hash_bucket_fast(images, 1 << 62)


def decode_rgb(image, window=None):
    """Decodes a JPEG inside a graph to uint8 (H, W, 3), or only its `window` (top, left, height, width)."""
    if window is None:
        return tf.io.decode_jpeg(image, 3, dct_method="INTEGER_ACCURATE")
    return tf.io.decode_and_crop_jpeg(image, window, 3, dct_method="INTEGER_ACCURATE")


def decode_flow(image, bound, scheme, window=None):
    """Decodes a flow JPEG inside a graph to float32 (H, W, 2), dx and dy in pixels per frame.

    Args:
        image: a scalar string tensor.
        bound, scheme: tensors, as `parse` gives them.
        window: (top, left, height, width) to decode, or None.
    """
    shift, factor = flow_scaling(bound, scheme)
    return (tf.cast(decode_rgb(image, window)[..., :2], tf.float32) + shift) * factor


def flow_scaling(bound, scheme):
    """Returns scalar float32 tensors (shift, factor): pixels per frame = (level + shift) * factor.

    Raises:
        InvalidArgumentError: inside the graph, a scheme that is not one of `flow.quantize.SCHEMES`.
    """
    equal = tf.equal(scheme, list(SCHEMES))
    check = tf.debugging.Assert(tf.reduce_any(equal), ["Unknown keras_i3d/flow/scheme in a record:", scheme])
    with tf.control_dependencies([check]):
        which = tf.argmax(equal)
    steps = tf.gather([float(steps) for steps, _ in SCHEMES.values()], which)
    offset = tf.gather([float(offset) for _, offset in SCHEMES.values()], which)
    return offset - steps / 2, 2 * bound / steps  # the order of `flow.dequantize_flow`: zero stays exactly zero


def _image_facts(prefix, height, width, spec):
    return {
        f"{prefix}image/format": _bytes("JPEG"),
        f"{prefix}image/channels": _ints(3),
        f"{prefix}image/height": _ints(height),
        f"{prefix}image/width": _ints(width),
        f"{prefix}image/frame_rate": _floats(spec.fps),
    }


def _image_lists(prefix, images, spec):
    return {
        f"{prefix}image/encoded": [_bytes(image) for image in images],
        f"{prefix}image/timestamp": [_ints(round(i * 1e6 / spec.fps)) for i in range(len(images))],
        f"{prefix}image/fingerprint": [_ints(value) for value in fingerprints(images).numpy()],
    }


def _bytes(*values):
    values = [value if isinstance(value, bytes) else str(value).encode() for value in values]
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=values))


def _ints(*values):
    return tf.train.Feature(int64_list=tf.train.Int64List(value=[int(value) for value in values]))


def _floats(value):
    return tf.train.Feature(float_list=tf.train.FloatList(value=[float(value)]))
