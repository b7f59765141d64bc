"""Whether optional parts can be imported: tried in another process, because what is broken may end or hang its own."""

import json
import os
import subprocess
import sys
import threading

LIMIT = 60.0  # seconds of one import, after which it is given up

# The imports of the other process, a line of JSON for each. What packages print themselves is not wanted.
TRIAL = """
import importlib, json, os, sys
told = os.fdopen(os.dup(1), "w", encoding="utf-8")
os.dup2(2, 1)
sys.path[:] = json.loads(sys.argv[1])
for name in sys.argv[2:]:
    why = ""
    try:
        importlib.import_module(name)
    except BaseException as error:
        why = f"{type(error).__name__}: {error}"
    print(json.dumps([name, why]), file=told, flush=True)
os._exit(0)
"""


class Imports:
    """Imports that are tried while other checks are made.

    Args:
        names: of modules that are installed.
    """

    def __init__(self, names):
        self._found, self._error = {}, None
        self._thread = threading.Thread(target=self._try, args=(list(names),), daemon=True)
        self._thread.start()

    def _try(self, names):
        try:
            self._found = tried(names)
        except Exception as error:  # for the check that asks
            self._error = error

    def found(self):
        """Waits for the last of them; returns what `tried` does, or raises what it raised."""
        self._thread.join()
        if self._error is not None:
            raise self._error
        return self._found


def tried(names):
    """Imports modules in one other process; those that fail there again in one of their own.

    So two parts that do not go together, and that nobody uses together, are not taken for broken.

    Args:
        names: of modules, a list.

    Returns:
        {name: one line on why it cannot be imported, "" if it can}.

    Raises:
        OSError: no other process can be started.
    """
    found, left = {}, list(names)
    while left:
        told, end = _process(left)
        found |= told
        left = [name for name in left if name not in found]
        if left:  # at the first of these the process ended
            found[left.pop(0)] = end
    for name in [name for name, why in found.items() if why and len(names) > 1 and not why.startswith(LATE)]:
        told, end = _process([name])
        found[name] = told.get(name, end)
    return found


LATE = "it takes more than"


def _process(names):
    """({name: why not, or ""} of those whose import ended, why the process ended at the next one)."""
    process = subprocess.Popen(
        [sys.executable, "-c", TRIAL, json.dumps(sys.path), *names],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "-1"},  # no import needs the GPU's memory
        text=True,
        encoding="utf-8",
    )
    told, late = {}, []

    def give_up():
        late.append(True)
        process.kill()

    with process:
        for _ in names:
            timer = threading.Timer(LIMIT, give_up)
            timer.daemon = True
            timer.start()
            line = process.stdout.readline()
            timer.cancel()
            if not line:
                break
            name, why = json.loads(line)
            told[name] = " ".join(why.split())
    if late:
        return told, f"{LATE} {LIMIT:g} s"
    return told, f"it ends the process (status {process.returncode})"
