"""What every fuzz target does alike: cases in a process of their own, what came of them counted, a command line.

A target is a script with two functions. `attempt(seed, case)` returns (outcome, detail): "answered", "refused", or what
else there was. `prepare()` makes what all cases need.
"""

import functools
import json
import os
import pathlib
import queue
import resource
import subprocess
import sys
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT / "tests"))  # where sound input is made
START = 600  # seconds in which a process has to be ready
SLOW = 60  # seconds after which a case is given up
LARGE = 1 << 30  # bytes of memory that all cases together may take
OUTCOMES = ("answered", "refused", "else")


def counted(name, script, seconds, seed, kinds, kind_of, outcomes=OUTCOMES):
    """Tries cases for so many seconds; each is fixed by the seed and its number.

    Args:
        name: what the line about a case calls the target.
        script: the target's file.
        seconds, seed: as above.
        kinds: names of all kinds of cases.
        kind_of: a function of (seed, case) that returns the kind.
        outcomes: what is counted by itself; any other outcome is "else".

    Returns:
        {kind: {"tried", and each of `outcomes`: numbers of cases}}. A case that is neither answered nor refused is
        printed, with the seed and the number.
    """
    counts = {kind: dict.fromkeys(("tried", *outcomes), 0) for kind in kinds}
    for case, outcome, detail in tried(script, seconds, seed):
        kind = kind_of(seed, case)
        outcome = outcome if outcome in outcomes else "else"
        counts[kind]["tried"] += 1
        counts[kind][outcome] += 1
        if outcome not in ("answered", "refused"):
            print(f"{name}, --seed={seed} --case={case}: {outcome}: {detail}", file=sys.stderr, flush=True)
    return counts


def tried(script, seconds, seed):
    """Yields (case, outcome, detail) of one case after the other, in processes of their own, for so many seconds."""
    until, case = time.monotonic() + seconds, 0
    while time.monotonic() < until:
        worker = _Worker(script, seed, case)
        try:
            while worker.alive and time.monotonic() < until:
                yield case, *worker.next()
                case += 1
        finally:
            worker.end()


class _Worker:
    """A process that tries one case after the other and prints what came of each."""

    def __init__(self, script, seed, case):
        self.process = subprocess.Popen(
            [sys.executable, script, f"--seed={seed}", f"--work={case}"],
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))},
        )
        self.alive = True
        self.lines = queue.Queue()
        threading.Thread(target=self._listen, daemon=True).start()
        try:
            ready = self.lines.get(timeout=START) == "ready\n"
        except queue.Empty:
            ready = False
        if not ready:
            self.end()
            raise RuntimeError(f"{script} was not ready to try cases; its status is {self.process.wait()}")

    def _listen(self):
        for line in self.process.stdout:
            self.lines.put(line)
        self.lines.put("")

    def next(self):
        """Returns (outcome, detail) of the next case."""
        try:
            line = self.lines.get(timeout=SLOW)
        except queue.Empty:
            self.end()
            return "else", f"no answer in {SLOW} s"
        if not line:
            self.end()
            return "else", f"the process ended with status {self.process.wait()}"
        return json.loads(line)

    def end(self):
        self.alive = False
        self.process.kill()
        self.process.wait()


@functools.cache
def baseline():
    """Bytes of memory that this process had taken at most when this was first called: of all that is no case's."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def too_much():
    """Returns "... MiB of memory" if the cases so far took more than `LARGE`, else ""."""
    taken = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return f"{taken >> 20} MiB of memory" if taken > baseline() + LARGE else ""


def command(description, attempt, prepare, one, run):
    """The command line of a target.

    Args:
        description: its docstring.
        attempt, prepare: its functions.
        one: a function of (seed, case, output) that returns what is printed of one case, as a tuple; with an output,
            a path, it writes the input of the case there.
        run: its function of (seconds, seed) that returns `counted`'s.

    Returns:
        The exit status: 1 if there was anything but answers and refusals.
    """
    import argparse

    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--case", type=int)
    parser.add_argument("--output")
    parser.add_argument("--work", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.work is not None:
        _work(attempt, prepare, given.seed, given.work)
    if given.case is not None:
        print(*one(given.seed, given.case, given.output and pathlib.Path(given.output)))
        return 0
    counts = run(given.seconds, given.seed)
    for kind, found in counts.items():
        print(kind, found)
    return 1 if any(found["else"] for found in counts.values()) else 0


def _work(attempt, prepare, seed, case):
    """Tries cases for ever, from one on; what the package says goes nowhere."""
    import keras_i3d  # noqa: F401

    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    prepare()
    print("ready", flush=True)
    while True:
        print(json.dumps(attempt(seed, case)), flush=True)
        case += 1
