"""Warm-up requests as TensorFlow Serving reads them: PredictionLog messages, as protocol buffers are on the wire.

The few fields that are needed are written and read by hand: the package that has these messages,
tensorflow-serving-api, is then needed by clients alone.
"""

FILE = "tf_serving_warmup_requests"  # in the folder assets.extra of a SavedModel; a TFRecord of these messages

# Field numbers of tensorflow_serving/apis: prediction_log.proto, predict.proto, model.proto.
PREDICT_LOG, REQUEST = 6, 1
MODEL_SPEC, INPUTS = 1, 2
NAME, SIGNATURE_NAME = 1, 3
KEY, VALUE = 1, 2  # of a map's entry
# Bytes of a field of each kind; a varint has as many as it needs, and LENGTH says how many follow.
VARINT, LENGTH, FIXED = 0, 2, {1: 8, 5: 4}


def encode(model, signature, tensors):
    """Returns the bytes of one PredictionLog.

    Args:
        model: the name that the server knows the model by.
        signature: the name of the signature.
        tensors: {input: bytes of a TensorProto}.
    """
    spec = _field(NAME, model.encode()) + _field(SIGNATURE_NAME, signature.encode())
    request = _field(MODEL_SPEC, spec)
    for name, tensor in sorted(tensors.items()):
        request += _field(INPUTS, _field(KEY, name.encode()) + _field(VALUE, tensor))
    return _field(PREDICT_LOG, _field(REQUEST, request))


def decode(message):
    """Returns (signature, {input: bytes of a TensorProto}) of a PredictionLog; None of a log of another kind.

    Raises:
        ValueError: bytes that are no message.
    """
    request = _last(_last(message, PREDICT_LOG), REQUEST)
    if request is None:
        return None
    signature = _last(_last(request, MODEL_SPEC), SIGNATURE_NAME) or b"serving_default"
    entries = [value for number, value in _fields(request) if number == INPUTS]
    return signature.decode(), {(_last(entry, KEY) or b"").decode(): _last(entry, VALUE) or b"" for entry in entries}


def _field(number, content):
    """A length-delimited field on the wire."""
    return _varint(number << 3 | LENGTH) + _varint(len(content)) + content


def _varint(value):
    result = b""
    while value > 127:
        result += bytes([value & 127 | 128])
        value >>= 7
    return result + bytes([value])


def _last(message, number):
    """The content of a field, of which the last one counts; None if the message, or the field, is not there."""
    found = [value for at, value in _fields(message or b"") if at == number]
    return found[-1] if found else None


def _fields(message):
    """Yields (number, content) of each length-delimited field."""
    at = 0
    while at < len(message):
        tag, at = _read_varint(message, at)
        number, kind = tag >> 3, tag & 7
        if kind == VARINT:
            _, at = _read_varint(message, at)
        elif kind in FIXED:
            at += FIXED[kind]
        elif kind == LENGTH:
            size, at = _read_varint(message, at)
            if at + size > len(message):
                raise ValueError(f"A field must end within its message. Received: {size} bytes, of which some lack.")
            yield number, message[at : at + size]
            at += size
        else:
            raise ValueError(f"A field's kind must be 0, 1, 2 or 5. Received: {kind}")


def _read_varint(message, at):
    """The number that begins at a place, and the place after it."""
    value, shift = 0, 0
    while True:
        if at >= len(message) or shift > 63:
            raise ValueError("A number must end within its message. Received: bytes that are cut short.")
        byte = message[at]
        value, shift, at = value | (byte & 127) << shift, shift + 7, at + 1
        if byte < 128:
            return value, at
