"""An export behind KServe's server, in the REST form of TensorFlow Serving, without docker.

The answers come from the SavedModel, by TensorFlow alone: neither Keras nor a network of this package is imported.
"""

from keras_i3d.serving.kserve_server import HOST, PORT, serve

__all__ = ["HOST", "PORT", "serve"]
