"""`assets.extra/tf_serving_warmup_requests`: what TensorFlow Serving runs before it takes requests.

A TFRecord of the messages of `prediction_logs`.
"""

import numpy as np
import tensorflow as tf

from keras_i3d import prediction_logs
from keras_i3d.export import signatures

SIZE_OF_RAW = (240, 320)  # height, width: what cameras and data sets often have


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
            content = {name: tensor.SerializeToString(deterministic=True) for name, tensor in tensors.items()}
            file.write(prediction_logs.encode(model, signature, content))
