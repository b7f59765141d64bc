"""keras-i3d VERB ...: video action recognition from the shell.

  keras-i3d classify VIDEO...     names what happens in each video
  keras-i3d records ...           videos to TFRecords with both streams, ready for training; checks them too
  keras-i3d show VIDEO|RECORDS    a picture of frames over their flow
  keras-i3d train ...             trains one stream on records, or goes on with a run that was stopped
  keras-i3d evaluate ...          accuracy of one or both streams by a named protocol, and a report
  keras-i3d export ...            one or both streams as a SavedModel for TensorFlow Serving
  keras-i3d version               prints the version

`keras-i3d VERB --help` says more. An error is one line; `--verbose`, with any verb, also shows its traceback.

Published weights are fetched at first use and cached in $KERAS_HOME/keras_i3d (~/.keras/keras_i3d).
KERAS_I3D_MIRROR names a URL or a folder to fetch them from instead.
"""

import importlib
import os
import sys
import traceback

from absl import flags

from keras_i3d import errors, paths
from keras_i3d.cli import failures
from keras_i3d.version import __version__

# Each a module of this package, with FLAGS, `main(arguments)` and its help as docstring; imported when it is asked for.
VERBS = ("classify", "records", "show", "train", "evaluate", "export")


class UsageError(Exception):
    """Words or flags that a verb does not take."""


def main(words):
    """Runs a command, without the program's name before it; returns the exit status."""
    first = [word for word in words[:1] if word == "--verbose"]
    verb, *words = words[len(first) :] or [None]
    if verb in ("help", "--help", "-h"):
        print(__doc__.rstrip())
        return 0
    if verb in ("version", "--version"):
        print(f"keras-i3d {__version__}")
        return 0
    if verb not in VERBS:
        given = "no verb" if verb is None else repr(verb)
        print(f"error: the first word must be one of: {', '.join(VERBS)}, version. Received: {given}", file=sys.stderr)
        return 2
    try:
        return _run(verb, [*first, *words])
    except (flags.Error, UsageError) as error:
        print(f"error: {error}\n`keras-i3d {verb} --help` says more.", file=sys.stderr)
        return 2
    except BrokenPipeError:  # the reader has seen enough
        _forget_output()
        return 141
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except Exception as error:  # whatever went wrong is one line
        if "--verbose" in [*first, *words]:
            traceback.print_exception(error)
        module = sys.modules.get(f"keras_i3d.cli.{verb}")
        print(f"error: {failures.said(error, verb, getattr(module, 'FLAGS', ()))}", file=sys.stderr)
        return 1


def _run(verb, words):
    module = importlib.import_module(f"keras_i3d.cli.{verb}")
    if "verbose" not in module.FLAGS:
        flags.DEFINE_bool("verbose", False, "", module.FLAGS)
    if {"--help", "-h"} & set(words):
        print(f"{module.__doc__.rstrip()}\n\nWith --verbose an error shows its traceback.")
        return 0
    module.FLAGS.unparse_flags()  # a second command in one process begins with the defaults
    arguments = [paths.expand(word) for word in module.FLAGS([verb, *words])[1:]]
    _expand_paths(module.FLAGS)
    from keras_i3d import backend

    backend.check()
    with errors.worded(lambda text: failures.as_flags(text, verb, module.FLAGS)):
        status = module.main(arguments)
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        _forget_output()
        raise OSError(error.errno, error.strerror, "standard output") from error
    return status


def _expand_paths(values):
    """Replaces a leading `~` in every flag: a shell leaves that of `--output=~/x`."""
    for name in values:
        value = values[name].value
        if isinstance(value, str):
            kind, colon, path = value.partition(":")  # --source=KIND:PATH
            values[name].value = f"{kind}:{paths.expand(path)}" if colon and path[:1] == "~" else paths.expand(value)
        elif isinstance(value, list):
            values[name].value = [paths.expand(part) for part in value]


def _forget_output():
    """Leaves nothing for the end of the process to write where nothing can be written."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def run():
    """The console command."""
    for output in (sys.stdout, sys.stderr):
        output.reconfigure(errors="backslashreplace")  # a file name need not be text
    status = main(sys.argv[1:])
    if (
        "tensorflow_io" in sys.modules
    ):  # its s3:// aborts a process that ends in the usual way (tensorflow/io issue 2039)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    sys.exit(status)
