"""The folder of an export's version: written as a temporary one, then moved into place; how far that is."""

import contextlib
import re
import shutil

import tensorflow as tf

from keras_i3d import locks
from keras_i3d.errors import ExportError, notice, system_error, system_line
from keras_i3d.progress import Bar

UNFINISHED, REPLACED, LOCK = ".part-", ".replaced-", ".lock"  # TensorFlow Serving reads folders whose name is a number


class Steps:
    """How far an export is, in `count` steps; loading and tracing take most of a minute, and say nothing."""

    def __init__(self, shown, count):
        self.shown, self.count, self.bar, self.begun = shown, count, None, False

    def __enter__(self):
        self.bar = Bar("export", self.count, "steps", shown=self.shown)
        return self

    def __exit__(self, kind, *exception):
        if kind is None:
            self.bar.update()  # the last one has ended
            self.bar.describe("export")
        self.bar.close()

    def left(self, number):
        """Says how many signatures there will be to try."""
        self.bar.expect(self.bar.total + number)

    def begin(self, what):
        """Begins a step, which ends the one before."""
        if self.begun:
            self.bar.update()
        self.begun = True
        self.bar.describe(f"export, {what}")


def check_free(output, version, force):
    """Raises ValueError if the version could not be written in the end, before anything is loaded."""
    if not re.fullmatch(r"[\w.-]+", output.name, re.ASCII):
        raise ValueError(
            "The name of the output folder is that of the model: letters, digits, '_', '-' and '.'. Received: "
            f"{output.name!r}"
        )
    if output.exists() and not output.is_dir():
        raise ValueError(f"The output must be a folder, new or not. Received: {output}, a file.")
    if (output / str(version)).exists() and not force:
        raise ValueError(
            f"{output / str(version)} is there, and a version does not change. Pass the next version, or --force to "
            "replace it."
        )


def say_other_formats(output, version, file):
    """Says in a line if other versions of a model lack the file that a server of this one reads."""
    others = [path.name for path in output.glob("*") if path.name.isdecimal() and not (path / file).is_file()]
    others = sorted(set(others) - {str(version)}, key=int)
    if others:
        notice(
            f"{output} has version {', '.join(others)} in another format than version {version}, and a server takes "
            "the latest, whatever it is. Pass a folder for each format: --output="
        )


@contextlib.contextmanager
def told(folder):
    """Says in a line what the file system or TensorFlow could not do."""
    try:
        yield
    except (OSError, tf.errors.OpError) as error:
        known = system_error(error)
        reason = known and system_line(known)
        if not reason:
            reason = getattr(error, "strerror", None) or getattr(error, "message", None) or str(error)
        raise ExportError(f"Writing or trying the export in {folder} failed: {reason.splitlines()[0]}") from error


@contextlib.contextmanager
def unfinished(output, version, force):
    """Gives an empty folder to write in; what is in it becomes OUTPUT/VERSION unless an exception ends the block."""
    output.mkdir(parents=True, exist_ok=True)
    with locks.hold(output / LOCK, ExportError(f"Another export writes in {output}. Wait for it.")):
        clean(output)
        temporary, final = output / f"{UNFINISHED}{version}", output / str(version)
        temporary.mkdir()
        try:
            yield temporary
            check_free(output, version, force)
            if final.exists():
                final.rename(output / f"{REPLACED}{version}")
            temporary.rename(final)
        finally:
            clean(output)


def clean(output):
    """Removes what an export that was stopped left, and puts back a version that it was about to replace."""
    for old in output.glob(f"{REPLACED}*"):
        final = output / old.name.removeprefix(REPLACED)
        if final.exists():
            shutil.rmtree(old)
        else:
            old.rename(final)
    for part in output.glob(f"{UNFINISHED}*"):
        shutil.rmtree(part)
