"""What stops a run that nobody of this package stopped, in one line: TensorFlow's errors, and memory that is gone."""

import contextlib
import re

import tensorflow as tf

from keras_i3d.errors import TrainingError, tensorflow_message
from keras_i3d.training import workers


@contextlib.contextmanager
def told(recipe):
    """Raises TrainingError with the reason and the remedy when TensorFlow would print a graph.

    Args:
        recipe: the Recipe of the run; its settings are named if they are what did not fit.
    """
    lost = (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.InternalError, tf.errors.CancelledError)
    try:
        yield
    except (tf.errors.ResourceExhaustedError, MemoryError) as error:
        raise TrainingError(_memory(recipe, error)) from error
    except lost as error:
        if re.search(r"out of memory", str(error), re.IGNORECASE):  # a GPU's allocator, by way of XLA
            raise TrainingError(_memory(recipe, error)) from error
        if workers.shard()[1] == 1:
            raise TrainingError(f"TensorFlow stopped: {tensorflow_message(error)}") from error
        raise TrainingError(
            f"Lost the worker {_others(error)}. Start the same command again on all workers: it resumes from the last "
            f"checkpoint. ({tensorflow_message(error)})"
        ) from error
    except tf.errors.OpError as error:
        said = tensorflow_message(error)
        if _is_of_data(error):
            raise TrainingError(
                f"{said}. Make the records again, or drop and count such ones: --errors=count "
                '(errors="count"). The same command resumes from the last checkpoint.'
            ) from error
        raise TrainingError(f"TensorFlow stopped: {said}") from error


def _is_of_data(error):
    """Whether a record was at fault: a check of `data.load`, or TensorFlow while it read, parsed or decoded one."""
    return isinstance(error, tf.errors.DataLossError | tf.errors.NotFoundError) or re.search(
        r"assertion failed|IteratorGetNext|Iterator::|tfrecord", str(error)
    )


def _memory(recipe, error):
    each = recipe.batch_size // (recipe.accumulate or 1)
    remat = "" if recipe.remat else ", set remat=true"
    return (
        f"Memory ran out with {each} clips a step of {recipe.clip_frames} frames of {recipe.size} pixels. Raise "
        f"accumulate, which leaves the result as it is{remat}, or lower batch_size, size or clip_frames, in another "
        f"output. Received: batch_size={recipe.batch_size}, accumulate={recipe.accumulate}, remat={recipe.remat}, "
        f"size={recipe.size} ({tensorflow_message(error)[:200]})"
    )


def _others(error):
    """The addresses of the workers that an error names, this one left out."""
    found = workers.cluster()
    addresses = dict(zip(found.tasks, found.addresses))
    named = {(job, int(task)) for job, task in re.findall(r"/job:(\w+)/(?:replica:\d+/)?task:(\d+)", str(error))}
    lost = sorted(addresses[task] for task in named & set(addresses) if task != found.tasks[found.place])
    return " and ".join(lost) or "of another machine"
