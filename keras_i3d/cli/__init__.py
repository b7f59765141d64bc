"""keras-i3d VERB ...: video action recognition from the shell.

  keras-i3d classify VIDEO...     names what happens in each video
  keras-i3d segments VIDEO...     when it happens: labels along time, as files, subtitles, picture or annotated video
  keras-i3d stream SOURCE         labels while a video comes: from a pipe, a camera or a URL
  keras-i3d features VIDEO...     what a network sees in each video, in files that others' code reads
  keras-i3d learn FOLDER          from a folder of videos to a model: all of the next steps, each printed as it runs
  keras-i3d records ...           videos to TFRecords with both streams, ready for training; checks them too
  keras-i3d show VIDEO|RECORDS    a picture of frames over their flow
  keras-i3d train ...             trains one stream on records, or resumes a run that was stopped
  keras-i3d evaluate ...          accuracy of one or both streams by a named protocol, and a report
  keras-i3d explain VIDEO         where in a video the evidence for a label lies, in a picture whose parts add up
  keras-i3d filters MODEL         the first filters of a network, and what training made of 2D ones
  keras-i3d web                   a page on this machine that shows all of this for a video that is dropped on it
  keras-i3d fvd REAL GENERATED    Frechet video distance of two sets of videos by a named protocol
  keras-i3d export ...            one or both streams as a SavedModel for TensorFlow Serving
  keras-i3d serve DIR...          serves such a model on this machine, without docker
  keras-i3d ask SERVER VIDEO...   labels from a server that has such a model
  keras-i3d models [NAME]         the networks that there are, or all about one
  keras-i3d doctor [PATH...]      what is wrong with this installation, a video, records, a run or an export
  keras-i3d verify                compares what this installation gives with published numbers
  keras-i3d version               prints the version

`keras-i3d VERB --help` says more. An error is one line; `--verbose`, with any verb, also shows its traceback, and what
TensorFlow prints when it starts. --batch-size is --batch_size.

Published weights are fetched at first use and cached in $KERAS_HOME/keras_i3d (~/.keras/keras_i3d).
KERAS_I3D_MIRROR names a URL or a folder to fetch them from instead.
"""

import difflib
import importlib
import os
import shlex
import sys

from absl import flags

from keras_i3d import backend, errors, paths
from keras_i3d.cli import failures, quiet, unneeded_imports
from keras_i3d.version import __version__

# Each a module of this package, with FLAGS, `main(arguments)` and its help as docstring; imported when it is asked for.
# None imports Keras, TensorFlow or NumPy before `main` is called: help and mistakes are answered at once.
VERBS = (
    *("classify", "segments", "stream", "explain", "features", "learn", "records", "show", "train"),
    *("evaluate", "filters", "web", "fvd", "export", "serve", "ask", "models", "doctor", "verify"),
)
TAKE_FILES = (
    *("classify", "segments", "stream", "explain", "features", "filters"),
    *("show", "serve", "ask", "fvd", "doctor"),
)
VERBOSE = "--verbose (default: off) shows the traceback of an error, and what TensorFlow prints when it starts."


class UsageError(Exception):
    """Words or flags that a verb does not take."""


def main(words):
    """Runs a command, without the program's name before it; returns the exit status."""
    first = [word for word in words[:1] if word == "--verbose"]
    verb, *words = words[len(first) :] or [None]
    if verb is None:
        print(__doc__.rstrip(), file=sys.stderr)
        return 2
    if verb == "help" and words:
        verb, words = words[0], ["--help"]
    if verb in ("help", "--help", "-h"):
        print(__doc__.rstrip())
        return 0
    if verb in ("version", "--version"):
        print(f"keras-i3d {__version__}")
        return 0
    if verb not in VERBS:
        print(f"error: {_no_verb(verb, words)}", file=sys.stderr)
        return 2
    try:
        return _run(verb, [*first, *words])
    except (flags.Error, UsageError) as error:
        said = f"{_sentence(error)}{_dash_hint(verb, words)}"
        print(f"error: {said}\n`keras-i3d {verb} --help` says more.", file=sys.stderr)
        return 2
    except BrokenPipeError:  # the reader has seen enough
        _forget_output()
        return 141
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except Exception as error:  # whatever went wrong is one line
        if "--verbose" in [*first, *words]:
            import traceback

            traceback.print_exception(error)
        module = sys.modules.get(f"keras_i3d.cli.{verb}")
        print(f"error: {failures.said(error, verb, getattr(module, 'FLAGS', ()))}", file=sys.stderr)
        return 1


def start():
    """Imports Keras, which takes seconds; says where a GPU is not used. A verb calls it once its words are right.

    Raises:
        ImportError, ValueError: for a backend that is missing, or not supported.
    """
    backend.check()
    unused = backend.unused_gpu()
    if unused:
        errors.notice(unused)


def _no_verb(word, words):
    """What is said of a first word that is no verb."""
    rule = f"the first word must be one of: {', '.join(VERBS)}, version. Received: {word!r}"
    close = difflib.get_close_matches(word.casefold().lstrip("-"), [*VERBS, "version"], 1)
    if close:
        return f"{rule}. Did you mean: keras-i3d {shlex.join([*close, *words])}"
    if os.path.exists(word) and not word.startswith("-"):
        return f"{rule}. Did you mean: keras-i3d classify {shlex.join([word, *words])}"
    return rule


def _run(verb, words):
    module = importlib.import_module(f"keras_i3d.cli.{verb}")
    if "verbose" not in module.FLAGS:
        flags.DEFINE_bool("verbose", False, "", module.FLAGS)
    ours = words[: words.index("--")] if "--" in words else words
    if {"--help", "-h"} & set(ours):
        print(f"{module.__doc__.rstrip()}\n\n{VERBOSE}")
        return 0
    words = [*(_underscored(word, module.FLAGS) for word in ours), *words[len(ours) :]]
    module.FLAGS.unparse_flags()  # a second command in one process begins with the defaults
    arguments = [paths.expand(word) for word in module.FLAGS([verb, *words])[1:]]
    _expand_paths(module.FLAGS)
    if not module.FLAGS.verbose:
        quiet.install()
    unneeded_imports.install()
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


def _underscored(word, values):
    """A word as FLAGS reads it: --batch-size=8 is --batch_size=8, and --no-report is --noreport."""
    name, equals, value = word.partition("=")
    if not name.startswith("--") or "-" not in name[2:]:
        return word
    name = name[2:].replace("-", "_")
    negated = name.removeprefix("no_")
    if negated != name and negated in values and values[negated].boolean:
        name = f"no{negated}"
    elif name not in values and name.removeprefix("no") not in values:
        return word
    return f"--{name}{equals}{value}"


def _sentence(error):
    """What a UsageError, or absl, says, with an end."""
    text = str(error)
    return text if text.endswith((".", "?")) else f"{text}."


def _dash_hint(verb, words):
    """What is said where a file was taken for a flag."""
    before = words[: words.index("--")] if "--" in words else words
    files = [word for word in before if word.startswith("-") and os.path.exists(word)]
    if verb not in TAKE_FILES or not files:
        return ""
    flagged = [word for word in before if word.startswith("-") and word not in files]
    plain = [word for word in words if word not in (*flagged, "--")]
    line = shlex.join(["keras-i3d", verb, *flagged, "--", *plain])
    return f" A file whose name begins with a dash goes after --: {line}"


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


def _fill_descriptors():
    """Opens standard input, output and error where the process was started without them.

    The next file that is opened would get such a number, and with it whatever a library writes to standard error.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # gets the lowest number that is free
    sys.stdout = sys.stdout or os.fdopen(1, "w", encoding="utf-8", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", encoding="utf-8", closefd=False)


def run():
    """The console command."""
    _fill_descriptors()
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
