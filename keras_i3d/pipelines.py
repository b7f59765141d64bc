"""Work on a list of items by Apache Beam: in local processes, or wherever one of its runners has them.

Locally Beam's driver and its workers are a process group of their own. Whatever ends this process, kill -9 included,
closes the driver's input, at which it ends its group: no worker continues alone.
"""

import collections
import contextlib
import importlib
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import threading

from keras_i3d.errors import missing_package, notice

SAID = "keras_i3d: "  # how the lines of errors.notice begin
OURS = re.compile(r"(?:BuildError|FeaturesError): ")  # whose messages are sentences of their own


class WorkersError(Exception):
    """Workers that stopped before their end; what they said last."""


def check_installed(what):
    """Raises ImportError if Apache Beam is missing, which `what` needs."""
    try:
        import apache_beam  # noqa: F401
    except ImportError as error:
        raise missing_package("apache_beam", "'keras-i3d[beam]'", what) from error


def local(function, items, settings, workers, environment=None):
    """Calls `function(item, settings)` for each item, by processes of this machine.

    Args:
        function: one of a module of this package, by which a worker finds it.
        items, settings: what JSON holds.
        workers: how many processes.
        environment: {name: value} of variables that the workers have besides those of this process.

    Raises:
        WorkersError: with what the workers said last.
    """
    root = str(pathlib.Path(__file__).resolve().parents[1])
    driver = subprocess.Popen(
        [sys.executable, "-c", "from keras_i3d import pipelines; pipelines.drive()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        errors="backslashreplace",
        env={
            **os.environ,
            "TF_CPP_MIN_LOG_LEVEL": "3",  # an exception says what matters; the last line that is printed is told
            "PYTHONPATH": os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")])),
            **(environment or {}),
        },
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
    work = {"module": function.__module__, "function": function.__name__, "items": items, "settings": settings}
    try:
        driver.stdin.write(json.dumps({**work, "workers": workers}) + "\n")
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
        raise WorkersError(said)


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
    function = getattr(importlib.import_module(work["module"]), work["function"])
    status = 0
    try:
        _pipeline(function, work["items"], work["settings"], options, FnApiRunner()).run().wait_until_finish()
    except Exception as error:
        reasons = [line for line in str(error).splitlines() if line.strip()] or [repr(error)]
        print(without_origin(reasons[-1]), file=sys.stderr, flush=True)
        status = 1
    os._exit(status)  # whatever threads are left


def without_origin(reason):
    """Returns what an error of a worker says, without the classes that Beam puts before it and the step behind it."""
    reason = re.sub(r"^(?:RuntimeError: )?(?:[\w.]+\.)?(\w+(?:Error|Exception): )", r"\1", reason)
    return OURS.sub("", re.sub(r" \[while running '[^']*'\]$", "", reason), count=1)


def remote(function, items, settings, runner, flags):
    """Does what `local` does by the Beam runner of this name; an interruption cancels the job.

    Raises:
        WorkersError: with the state that the job ended in.
    """
    from apache_beam.options.pipeline_options import PipelineOptions

    result = _pipeline(function, items, settings, PipelineOptions([f"--runner={runner}", *flags])).run()
    try:
        state = result.wait_until_finish()
    except KeyboardInterrupt:
        result.cancel()
        raise
    if str(state) != "DONE":
        raise WorkersError(f"{runner} ended with {state}")


def _pipeline(function, items, settings, options, runner=None):
    import apache_beam as beam

    pipeline = beam.Pipeline(runner=runner, options=options)
    _ = pipeline | beam.Create(items) | beam.Reshuffle() | beam.Map(function, settings)
    return pipeline


def _end_group(group):
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)
