"""What the package says to its user: its exceptions and its one-line notices."""

import sys


class KerasI3DError(Exception):
    """The base of every error that keras_i3d raises for reasons outside the caller's arguments."""


class VideoError(KerasI3DError):
    """A video that gives no usable frames. `path` and `reason` say which and why."""

    def __init__(self, path, reason):
        super().__init__(f"{path}: {reason}")
        self.path = str(path)
        self.reason = reason


class BuildError(KerasI3DError):
    """A build of records that could not run to its end. What is complete is kept; the same command goes on."""


class WeightsError(KerasI3DError):
    """Weights that cannot be fetched, verified, converted or matched to the model."""


class WeightsUnreachableError(WeightsError):
    """Weights whose host or mirror could not be reached, or does not have the file."""


def notice(message):
    """Prints one line about a choice made on the user's behalf, to standard error."""
    print(f"keras_i3d: {message}", file=sys.stderr, flush=True)


def missing_package(module, install, why):
    """Returns the ImportError to raise where the optional package `module` is needed and absent."""
    return ImportError(f"{why} needs the package {module}, which is not installed. Run: pip install {install}")


def one_line(error, most=200):
    """Returns what a library's exception says as one printable line: Keras tells whole configs, of a stranger's too."""
    reason = "".join(c if c.isprintable() else " " for c in str(error).rpartition("Exception encountered: ")[2])
    reason = " ".join(reason.split())
    return reason if len(reason) <= most else f"{reason[:most]}..."
