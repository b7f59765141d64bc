"""Versions of a model as TensorFlow Serving has them: found in a folder, loaded, warmed up, asked.

An export is a SavedModel that TensorFlow alone runs, so nothing of this package but this folder is imported here.
"""

import contextlib
import pathlib
import sys

from keras_i3d import prediction_logs
from keras_i3d.errors import ServerError, notice, tensorflow_message

DEFAULT = "serving_default"
SAVED_MODEL = "saved_model.pb"


class Refusal(Exception):
    """A request that is not answered.

    Attributes:
        code: number of a gRPC status, which TensorFlow's errors share.
    """

    def __init__(self, code, message):
        super().__init__(message)
        self.code = code


INVALID, NOT_FOUND = 3, 5


def versions_of(folder, wanted="latest"):
    """Returns the version folders of a model that are to be served, {number: path}, smallest number first.

    Args:
        folder: a pathlib.Path, the OUTPUT of an export.
        wanted: "latest", "all", or a collection of numbers.

    Raises:
        ServerError: there is no such version.
    """
    if (folder / SAVED_MODEL).is_file():
        raise ServerError(f"The folder of a model holds its versions. Received: {folder}, a version. Name its parent.")
    inside = folder.iterdir() if folder.is_dir() else ()
    found = {int(path.name): path for path in inside if path.name.isdecimal() and (path / SAVED_MODEL).is_file()}
    found = {number: found[number] for number in sorted(found)}
    if not found:
        raise ServerError(
            f"The folder of a model must hold an export, NUMBER/{SAVED_MODEL}. Received: {folder}, which has none. "
            f"Make one: keras-i3d export --output={folder} --version=1 --rgb=..."
        )
    if wanted == "all":
        return found
    numbers = [max(found)] if wanted == "latest" else wanted
    if missing := [number for number in numbers if number not in found]:
        listed = ", ".join(map(str, found))
        raise ServerError(
            f"versions must be of those in {folder}: {listed}. Received: versions={','.join(map(str, missing))}"
        )
    return {number: path for number, path in found.items() if number in numbers}


def tensorflow():
    """Returns TensorFlow, imported without Keras unless that is there: no graph needs it, and it takes seconds."""
    absent = "keras" not in sys.modules and "tensorflow" not in sys.modules
    if absent:
        sys.modules["keras"] = None  # importing it raises, which TensorFlow is ready for
    try:
        import tensorflow
    finally:
        if absent:
            del sys.modules["keras"]
    return tensorflow


class Servable:
    """One version of a model.

    Args:
        name: the model's.
        path: the folder of the version; a pathlib.Path, whose name is a number.

    Attributes:
        name, version: of which model it is the version.
        signatures: {name: SignatureDef}.

    Raises:
        ServerError: TensorFlow cannot load it.
    """

    def __init__(self, name, path):
        self.name, self.version, self.path = name, int(path.name), pathlib.Path(path)
        tf = tensorflow()
        from tensorflow.core.protobuf import saved_model_pb2

        with self._loading():
            self._loaded = tf.saved_model.load(str(path), tags=["serve"])
            content = saved_model_pb2.SavedModel.FromString((self.path / SAVED_MODEL).read_bytes())
        (graph,) = [graph for graph in content.meta_graphs if "serve" in graph.meta_info_def.tags]
        self.signatures = dict(graph.signature_def)
        self._calls = {name: _unchecked(tf, function) for name, function in self._loaded.signatures.items()}

    @contextlib.contextmanager
    def _loading(self):
        """Says in a line what is wrong with the files."""
        from google.protobuf.message import DecodeError

        errors = tensorflow().errors
        try:
            yield
        except (OSError, ValueError, KeyError, RuntimeError, DecodeError, errors.OpError, Refusal) as error:
            words = tensorflow_message(error) if isinstance(error, errors.OpError) else str(error)
            words = (words.splitlines() or [type(error).__name__])[0].rstrip(".")
            raise ServerError(f"{self.path} cannot be served: {words}. Export it again.") from error

    def signature(self, name):
        """Returns the SignatureDef of a name; "" is the default one.

        Raises:
            Refusal: there is none.
        """
        name = name or DEFAULT
        if name not in self._calls:
            raise Refusal(INVALID, f'Serving signature name: "{name}" not found in signature def')
        return self.signatures[name]

    def inputs(self, name):
        """Returns {input: tf.DType} of a signature."""
        return {key: tensorflow().as_dtype(info.dtype) for key, info in self.signature(name).inputs.items()}

    def predict(self, name, inputs):
        """Returns {output: array} of a signature, for {input: array}, whose names are those of the signature.

        Raises:
            Refusal: what the graph refuses, in its words.
        """
        tf = tensorflow()
        try:
            outputs = self._calls[name or DEFAULT]({key: tf.constant(value) for key, value in inputs.items()})
        except tf.errors.OpError as error:
            raise Refusal(error.error_code, tensorflow_message(error)) from error
        return {key: value.numpy() for key, value in outputs.items()}

    def warm_up(self):
        """Runs the requests that the export brings, as TensorFlow Serving does before it takes others.

        Returns:
            how many there were.

        Raises:
            ServerError: they cannot be read, or one is not answered.
        """
        path, ran = self.path / "assets.extra" / prediction_logs.FILE, 0
        if not path.is_file():
            notice(f"{self.path} brings no warm-up requests; the first request of each signature takes longer")
            return 0
        tf = tensorflow()
        from tensorflow.core.framework import tensor_pb2

        with self._loading():
            for message in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
                request = prediction_logs.decode(message)
                if request is not None:
                    name, tensors = request
                    protos = {key: tensor_pb2.TensorProto.FromString(value) for key, value in tensors.items()}
                    self.predict(name, {key: tf.make_ndarray(proto) for key, proto in protos.items()})
                    ran += 1
        return ran


def _unchecked(tf, function):
    """A signature that takes arrays of any shape, as a server feeds them: the graph says what is wrong with one."""
    kinds = {key: tf.TensorSpec(None, kind.dtype, key) for key, kind in function.structured_input_signature[1].items()}
    call = tf.function(lambda inputs: function(**inputs), input_signature=[kinds], autograph=False)
    call.get_concrete_function()  # traced here, not by the first request
    return call
