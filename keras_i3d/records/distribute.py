"""The shards of a plan written by Apache Beam: by local processes, or wherever one of its runners has them.

Locally Beam's driver and its workers are a process group of their own. Whatever ends this process, kill -9 included,
closes the driver's input, at which it ends its group: no worker continues alone.
"""

import collections
import contextlib
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import threading

from keras_i3d.errors import BuildError, missing_package, notice, system_line
from keras_i3d.records import shards

SAID = "keras_i3d: "  # how the lines of errors.notice begin


def check_installed():
    """Raises ImportError if Apache Beam is missing."""
    try:
        import apache_beam  # noqa: F401
    except ImportError as error:
        raise missing_package("apache_beam", "'keras-i3d[beam]'", "Building records") from error


def local(folder, offsets, workers):
    """Writes the shards at these offsets of `folder`/plan.jsonl by `workers` processes of this machine.

    Raises:
        BuildError: with what the workers said last.
    """
    root = str(pathlib.Path(__file__).resolve().parents[2])
    environment = {
        **os.environ,
        "CUDA_VISIBLE_DEVICES": "-1",  # TensorFlow only writes files here
        "TF_CPP_MIN_LOG_LEVEL": "3",  # an exception says what matters; the last line that is printed is told
        "PYTHONPATH": os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")])),
    }
    driver = subprocess.Popen(
        [sys.executable, "-c", "from keras_i3d.records import distribute; distribute.drive()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        errors="backslashreplace",
        env=environment,
        start_new_session=True,
    )
    last = collections.deque(maxlen=200)

    def listen():
        for line in driver.stderr:
            last.append(line.rstrip())
            if line.startswith(SAID):
                notice(line[len(SAID) :].rstrip())

    listener = threading.Thread(target=listen, daemon=True)
    listener.start()
    try:
        driver.stdin.write(json.dumps({"folder": folder, "offsets": offsets, "workers": workers}) + "\n")
        driver.stdin.flush()
        code = driver.wait()
    except BrokenPipeError:
        code = driver.wait()
    finally:
        _end_group(driver.pid)
        driver.wait()
        listener.join()
    if code:
        said = next((line for line in reversed(last) if line.strip()), f"status {code}").removesuffix(".")
        raise BuildError(f"The workers stopped: {said}. Complete shards are kept; the same command resumes from there")


def drive():
    """Runs the pipeline in a process of its own; what to do comes as a line of standard input."""
    work = json.loads(sys.stdin.readline())

    def follow():
        sys.stdin.read()  # ends when the process that started this one does
        _end_group(0)

    def lost(problem):
        why = f"{problem.exc_type.__name__} {problem.exc_value}".strip()
        print(f"a worker process was lost, perhaps for want of memory ({why})", file=sys.stderr, flush=True)
        _end_group(0)

    threading.Thread(target=follow, daemon=True).start()
    threading.excepthook = lost  # a worker that dies raises in the thread that waits for it; Beam would wait on
    from apache_beam.options.pipeline_options import PipelineOptions
    from apache_beam.runners.portability.fn_api_runner import FnApiRunner

    # Not "DirectRunner": that one looks for another runner first, and downloads it.
    options = PipelineOptions(["--direct_running_mode=multi_processing", f"--direct_num_workers={work['workers']}"])
    status = 0
    try:
        _pipeline(work["folder"], work["offsets"], options, FnApiRunner()).run().wait_until_finish()
    except Exception as error:
        reasons = [line for line in str(error).splitlines() if line.strip()] or [repr(error)]
        print(_without_origin(reasons[-1]), file=sys.stderr, flush=True)
        status = 1
    os._exit(status)  # whatever threads are left


def _without_origin(reason):
    """What an error of a worker says, without the classes that Beam puts before it and the step that it puts after."""
    reason = re.sub(r"^(?:RuntimeError: )?(?:[\w.]+\.)?(\w+(?:Error|Exception): )", r"\1", reason)
    return re.sub(r" \[while running '[^']*'\]$", "", reason).removeprefix("BuildError: ")


def remote(folder, offsets, runner, flags):
    """Writes the shards by the Beam runner of this name; an interruption cancels the job."""
    from apache_beam.options.pipeline_options import PipelineOptions

    result = _pipeline(folder, offsets, PipelineOptions([f"--runner={runner}", *flags])).run()
    try:
        state = result.wait_until_finish()
    except KeyboardInterrupt:
        result.cancel()
        raise
    if str(state) != "DONE":
        raise BuildError(f"{runner} ended with {state}. Complete shards are kept; the same command resumes from there")


def _pipeline(folder, offsets, options, runner=None):
    import apache_beam as beam

    pipeline = beam.Pipeline(runner=runner, options=options)
    _ = pipeline | beam.Create(offsets) | beam.Reshuffle() | beam.Map(_write, folder)
    return pipeline


def _write(offset, folder):
    try:
        shards.write_shard(folder, offset)
    except OSError as error:  # of the output: what is wrong with a video is noted, and no error
        said = system_line(error)
        if said is None:
            raise
        raise BuildError(said) from error


def _end_group(group):
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)
