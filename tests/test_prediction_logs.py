"""Messages on the wire, read back and by the package that has them."""

import pytest

from keras_i3d import prediction_logs

TENSORS = {"flow": b"", "rgb": bytes(range(256)) * 3}


def test_what_is_written_is_read():
    message = prediction_logs.encode("i3d", "jpeg", TENSORS)
    assert prediction_logs.decode(message) == ("jpeg", TENSORS)
    assert prediction_logs.decode(b"") is None
    assert prediction_logs.decode(b"\x0a\x00") is None  # a log of another kind


def test_other_fields_are_passed_over():
    message = prediction_logs.encode("i3d", "jpeg", TENSORS)
    others = b"\x08\x96\x01" + b"\x11" + bytes(8) + b"\x1d" + bytes(4)  # a varint, 8 bytes, 4 bytes
    assert prediction_logs.decode(others + message + others) == ("jpeg", TENSORS)


def test_the_servers_own_messages_are_read_and_ours_are_by_it():
    pytest.importorskip("tensorflow_serving", reason="needs tensorflow-serving-api, of the extra serving")
    from tensorflow_serving.apis import prediction_log_pb2

    log = prediction_log_pb2.PredictionLog()
    request = log.predict_log.request
    request.model_spec.name, request.model_spec.signature_name = "i3d", "uint8"
    request.model_spec.version.value = 3
    request.inputs["frames"].dtype = 4
    request.inputs["frames"].int_val.append(127)
    log.log_metadata.model_spec.name = "i3d"
    tensor = request.inputs["frames"].SerializeToString()
    assert prediction_logs.decode(log.SerializeToString()) == ("uint8", {"frames": tensor})
    ours = prediction_log_pb2.PredictionLog.FromString(prediction_logs.encode("i3d", "uint8", {"frames": tensor}))
    assert ours.predict_log.request.inputs["frames"].int_val == [127]
    assert ours.predict_log.request.model_spec.signature_name == "uint8"


@pytest.mark.parametrize("cut", [1, 3, 200])
def test_a_message_that_is_cut_short_is_refused(cut):
    with pytest.raises(ValueError, match="must end within its message"):
        prediction_logs.decode(prediction_logs.encode("i3d", "jpeg", TENSORS)[:-cut])
