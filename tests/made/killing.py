"""Runs code in a process that ends itself by SIGKILL at a stage that is named, not met by chance.

A stage is "before NAME" or "after NAME", of the rename that puts a file or folder of that name in place; or "call
MODULE:ATTRIBUTE", of the return of a function, which is in the middle of whatever it is a part of. "#3" behind it means
the third of them.
"""

import fnmatch
import functools
import importlib
import os
import signal
import subprocess
import sys

from made import ROOT

CHILD = "import sys; from made import killing; killing.arm(sys.argv[1]); exec(sys.argv[2])"


def killed(stage, code, *arguments):
    """Runs Python code, its arguments from sys.argv[3] on, until the stage; fails where that is never met."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "tests")))}
    command = [sys.executable, "-c", CHILD, stage, code, *map(str, arguments)]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, encoding="utf-8", check=False)
    assert result.returncode == -signal.SIGKILL, f"{stage} was not met: {result.stdout}{result.stderr[-2000:]}"


def arm(stage):
    """Makes this process end at a stage."""
    stage, _, number = stage.partition("#")
    left = [int(number or 1)]
    kind, _, what = stage.partition(" ")

    def met():
        left[0] -= 1
        return left[0] == 0

    if kind == "call":
        _arm_call(what, met)
    else:
        _arm_rename(what, kind == "after", met)


def _arm_call(what, met):
    module, _, attribute = what.partition(":")
    *path, name = attribute.split(".")
    owner = functools.reduce(getattr, path, importlib.import_module(module))
    whole = getattr(owner, name)

    @functools.wraps(whole)
    def ending(*arguments, **settings):
        result = whole(*arguments, **settings)
        if met():
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(owner, name, ending)


def _arm_rename(what, after, met):
    def renaming(rename, source, target):
        if fnmatch.fnmatch(os.path.basename(os.fspath(target)), what) and met():
            if after:
                rename(source, target)
            os.kill(os.getpid(), signal.SIGKILL)

    def hook(event, arguments):
        if event == "os.rename":  # of os.replace, and of pathlib, too
            renaming(os.replace, *arguments[:2])

    sys.addaudithook(hook)
    import tensorflow as tf

    by_tensorflow = tf.io.gfile.rename

    def rename(source, target, overwrite=False):
        renaming(lambda *paths: by_tensorflow(*paths, overwrite), source, target)
        by_tensorflow(source, target, overwrite)

    tf.io.gfile.rename = rename
