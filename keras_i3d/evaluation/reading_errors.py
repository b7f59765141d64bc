"""What can go wrong while records are scored, and what is said of it."""

import contextlib

import tensorflow as tf

from keras_i3d.errors import EvaluationError, is_out_of_memory, tensorflow_message

DAMAGE = 'Make the records again, or drop and count such ones: errors="count".'
LESS_MEMORY = "Lower views_at_once= (by views) or chunk_frames= (whole videos), or size= or clip_frames=."


@contextlib.contextmanager
def readable_errors():
    """Turns errors of TensorFlow, and of want of memory, into an EvaluationError with their remedy.

    A failed assertion of the data pipeline, and data that is lost, mean damaged records. Nothing else does.
    """
    try:
        yield
    except Exception as error:
        if is_out_of_memory(error):
            raise EvaluationError(f"The memory is too small to score a video. {LESS_MEMORY}") from error
        if not isinstance(error, tf.errors.OpError):
            raise
        what = tensorflow_message(error)
        if isinstance(error, tf.errors.DataLossError) or "assertion failed" in str(error.message):
            raise EvaluationError(f"{what}. {DAMAGE}") from error
        raise EvaluationError(f"Scoring failed in TensorFlow ({type(error).__name__}): {what}") from error
