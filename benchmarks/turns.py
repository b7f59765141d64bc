"""Processes that take timed steps in turn, so that a busy moment of the machine meets all of them.

Each is a process of its own, so that its peak memory is its own.
"""

import contextlib
import json
import os
import pathlib
import resource
import statistics
import subprocess
import sys
import threading
import time


def work(step):
    """Takes one step for each line read, and answers with its seconds, its result and the memory in GB so far.

    Args:
        step: a function without arguments; what it returns goes into the answer as "result".
    """
    before = _resident()
    for _ in sys.stdin:
        began, busy = time.perf_counter(), time.process_time()
        result = step()
        seconds, busy = time.perf_counter() - began, time.process_time() - busy
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        answer = {"seconds": seconds, "busy": busy, "result": result, "peak": peak, "before": before}
        print(json.dumps(answer), flush=True)


def measure(commands, repeats, together=True, optional=None):
    """Runs one command a configuration and lets them step.

    Args:
        commands: {name: command whose process calls `work`}.
        repeats: timed steps of each, after one that builds, traces and compiles.
        together: whether they live side by side and step in turn. One after the other where memory does not hold all.
        optional: {name: seconds that its first step may take}. If it takes longer or fails, that configuration is
            missing in the answer. A failure of any other ends the script.

    Returns:
        {name: {"seconds", "least", "busy": of a step, "results": of every step, "peak", "before": GB, "first": seconds
        of the first step, with all that came before it}}.
    """
    optional = optional or {}
    groups = [commands] if together else [{name: command} for name, command in commands.items()]
    answers = {}
    for group in groups:
        with contextlib.ExitStack() as stack:
            workers = {name: stack.enter_context(_worker(command)) for name, command in group.items()}
            for name, worker in list(workers.items()):
                began = time.perf_counter()
                try:
                    answers[name] = [_first(worker, optional.get(name))]
                except SystemExit:
                    if name not in optional:
                        raise
                    del workers[name]
                else:
                    answers[name][0]["first"] = time.perf_counter() - began
            for _ in range(repeats):
                for name, worker in workers.items():
                    answers[name].append(_step(worker))
    return {
        name: {
            "seconds": statistics.median(answer["seconds"] for answer in some[1:]),
            "least": min(answer["seconds"] for answer in some[1:]),
            "busy": statistics.median(answer["busy"] for answer in some[1:]),
            "results": [answer["result"] for answer in some],
            "peak": some[-1]["peak"],
            "before": some[-1]["before"],
            "first": some[0]["first"],
        }
        for name, some in answers.items()
    }


@contextlib.contextmanager
def _worker(command):
    worker = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield worker
    finally:
        with contextlib.suppress(BrokenPipeError):
            worker.stdin.close()
        worker.wait()


def _first(worker, limit):
    """The first step, in at most `limit` seconds; None for any time."""
    if limit is None:
        return _step(worker)
    timer = threading.Timer(limit, worker.kill)
    timer.start()
    try:
        return _step(worker)
    finally:
        timer.cancel()


def _step(worker):
    with contextlib.suppress(BrokenPipeError):  # then it has no answer either
        worker.stdin.write("\n")
        worker.stdin.flush()
    line = worker.stdout.readline()
    if not line:
        raise SystemExit("A worker ended early; its message is above.")
    return json.loads(line)


def _resident():
    pages = int(pathlib.Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e9
