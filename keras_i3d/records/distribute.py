"""The shards of a plan written by Apache Beam: by local processes, or wherever one of its runners has them."""

from keras_i3d import pipelines
from keras_i3d.errors import BuildError, system_line
from keras_i3d.records import shards

KEPT = "Complete shards are kept; the same command resumes from there"


def check_installed():
    """Raises ImportError if Apache Beam is missing."""
    pipelines.check_installed("Building records")


def here(folder, offsets):
    """Writes the shards at these offsets of `folder`/plan.jsonl by this process, one after the other."""
    for offset in offsets:
        _write(offset, folder)


def local(folder, offsets, workers):
    """Writes the shards at these offsets of `folder`/plan.jsonl by `workers` processes of this machine.

    Raises:
        BuildError: with what the workers said last.
    """
    no_gpu = {"CUDA_VISIBLE_DEVICES": "-1"}  # TensorFlow only writes files here
    try:
        pipelines.local(_write, offsets, folder, workers, no_gpu)
    except pipelines.WorkersError as error:
        raise BuildError(f"The workers stopped: {error}. {KEPT}") from None


def remote(folder, offsets, runner, flags):
    """Writes the shards by the Beam runner of this name; an interruption cancels the job."""
    try:
        pipelines.remote(_write, offsets, folder, runner, flags)
    except pipelines.WorkersError as error:
        raise BuildError(f"{error}. {KEPT}") from None


def _write(offset, folder):
    try:
        shards.write_shard(folder, offset)
    except OSError as error:  # of the output: what is wrong with a video is noted, and no error
        said = system_line(error)
        if said is None:
            raise
        raise BuildError(said) from error
