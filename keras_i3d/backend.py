"""Which of Keras's backends is in use, and what is said if the package cannot work with it."""

import glob
import os

SUPPORTED = ("tensorflow", "jax")
RULE = "keras_i3d runs on Keras with TensorFlow, and with JAX for all but training and export"


def problem():
    """Returns why Keras cannot be imported, in a line with the remedy; None if it can."""
    try:
        import keras  # noqa: F401
    except Exception as error:  # a backend that is not installed raises whatever it likes
        wanted = os.environ.get("KERAS_BACKEND")
        received = f"KERAS_BACKEND={wanted}, which" if wanted else "the backend of ~/.keras/keras.json, which"
        return (
            f"{RULE}. Received: {received} cannot be imported ({type(error).__name__}: {error}). "
            "Set the environment variable KERAS_BACKEND to tensorflow, or install the backend."
        )
    return None


def check():
    """Raises ImportError if Keras cannot be imported, ValueError if its backend is not a supported one."""
    found = problem()
    if found:
        raise ImportError(found)
    import keras

    name = keras.backend.backend()
    if name not in SUPPORTED:
        raise ValueError(
            f"{RULE}. Received: the backend {name}. Set the environment variable KERAS_BACKEND to tensorflow."
        )


def unused_gpu():
    """Returns a line with the remedy if this machine has an NVIDIA GPU that TensorFlow does not use, else None.

    A GPU that CUDA_VISIBLE_DEVICES hides is not meant to be used. JAX says the same in its own words.
    """
    import keras

    cards = glob.glob("/dev/nvidia[0-9]*")
    if not cards or os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1") or keras.backend.backend() != "tensorflow":
        return None
    import tensorflow as tf

    if tf.config.list_physical_devices("GPU"):
        return None
    return (
        f"TensorFlow does not use the GPU of this machine ({', '.join(sorted(cards))}), so the CPU does all of the "
        "work. Install what it needs: pip install 'tensorflow[and-cuda]'; --verbose shows what it says."
    )
