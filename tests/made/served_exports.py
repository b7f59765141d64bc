"""Exports as a server finds them, without the warm-up requests that take most of its start."""

import base64

from keras_i3d import prediction_logs


def linked(version, folder):
    """Makes a folder the same version of a model, by links, with one warm-up request of `facts`.

    Args:
        version: the folder of an export's version.
        folder: where it is to be found too; its last part is the number of the version there.
    """
    import tensorflow as tf

    folder.mkdir(parents=True)
    for name in ("saved_model.pb", "variables", "assets"):
        (folder / name).symlink_to(version / name)
    (folder / "assets.extra").mkdir()
    about = tf.make_tensor_proto([b""]).SerializeToString()
    with tf.io.TFRecordWriter(str(folder / "assets.extra" / prediction_logs.FILE)) as file:
        file.write(prediction_logs.encode("i3d", "facts", {"about": about}))
    return folder


def in_base64(content):
    """Bytes as JSON takes them, under the key b64."""
    return base64.b64encode(content).decode()
