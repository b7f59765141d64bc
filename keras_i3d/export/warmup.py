"""`assets.extra/tf_serving_warmup_requests`: what TensorFlow Serving runs before it takes requests.

A TFRecord of PredictionLog messages. The few fields that are needed are written by hand, as protocol buffers are on the
wire: the package that has these messages, tensorflow-serving-api, is then needed by clients alone.
"""

import numpy as np
import tensorflow as tf

from keras_i3d.export import signatures

FILE = "tf_serving_warmup_requests"
SIZE_OF_RAW = (240, 320)  # height, width: what cameras and data sets often have

# Field numbers of tensorflow_serving/apis: prediction_log.proto, predict.proto, model.proto.
PREDICT_LOG, REQUEST = 6, 1
MODEL_SPEC, INPUTS = 1, 2
NAME, SIGNATURE_NAME = 1, 3
KEY, VALUE = 1, 2  # of a map's entry


def requests(functions, contract, frames):
    """Returns {signature: {input: TensorProto}}: one clip of still grey frames for each, small in the file.

    Args:
        functions: {name: concrete function of a signature}.
        contract: the signatures.Contract.
        frames: that a network is to see of a clip.
    """
    from keras_i3d.records import sequence_example

    spec = contract.spec
    sent = max(clip.span(frames) for clip in contract.clips.values())
    height, width = SIZE_OF_RAW
    grey = sequence_example.encode_rgb(np.full((height, width, 3), 127, "uint8"))
    field = sequence_example.encode_flow(np.zeros((spec.short_side, spec.short_side, 2)), spec)
    return {
        name: {
            kind.name: _still(
                kind, frames if name == "serving_default" else sent, field if kind.name == "flow" else grey
            )
            for kind in signatures.inputs(function)
        }
        for name, function in functions.items()
        if name != "facts"
    }


def _still(kind, frames, image):
    """A TensorProto whose one value stands for all of them, as TensorFlow reads one that is shorter than its shape."""
    shape = [1, frames, *kind.shape[2:]]
    if len(shape) == 5:
        shape[2:4] = [side or size for side, size in zip(shape[2:4], SIZE_OF_RAW)]
    proto = tf.make_tensor_proto({tf.string: image, tf.uint8: 127, tf.float32: 0.0}[kind.dtype], kind.dtype)
    proto.tensor_shape.CopyFrom(tf.TensorShape(shape).as_proto())
    return proto


def write(path, model, inputs):
    """Writes one PredictionLog for each of {signature: {input: TensorProto}}.

    Args:
        path: the file.
        model: the name that the server knows the model by.
        inputs: what `requests` gives.
    """
    with tf.io.TFRecordWriter(str(path)) as file:
        for signature, tensors in inputs.items():
            spec = _field(NAME, model.encode()) + _field(SIGNATURE_NAME, signature.encode())
            request = _field(MODEL_SPEC, spec)
            for name, tensor in sorted(tensors.items()):
                entry = _field(KEY, name.encode()) + _field(VALUE, tensor.SerializeToString(deterministic=True))
                request += _field(INPUTS, entry)
            file.write(_field(PREDICT_LOG, _field(REQUEST, request)))


def _field(number, content):
    """A length-delimited field on the wire."""
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(value):
    result = b""
    while value > 127:
        result += bytes([value & 127 | 128])
        value >>= 7
    return result + bytes([value])
