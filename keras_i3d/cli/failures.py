"""What the command line says of an error: one line with the reason and, where there is one, the remedy."""

import os
import pathlib
import re

from keras_i3d.errors import (
    KerasI3DError,
    is_out_of_memory,
    system_error,
    system_line,
    tensorflow_message,
    without_credentials,
)

PACKAGE = str(pathlib.Path(__file__).resolve().parents[1]) + os.sep
LONGEST = 400  # characters of a message that another package wrote
WHERE = "--verbose shows where"
FAULT = "This looks like a fault of keras_i3d: --verbose shows the traceback, which a report of it needs"

# What takes less memory, by verb.
LESS_MEMORY = {
    "classify": "Lower --chunk_frames=, take one stream (--streams=rgb), or --precision=bfloat16.",
    "segments": "Lower --chunk_frames=, take one stream (--streams=rgb), or --precision=bfloat16.",
    "stream": "Lower --window= or --chunk_frames=, take one stream (--streams=rgb), or --precision=bfloat16.",
    "explain": "Lower --seconds= or --chunk_frames=, or take one stream (--streams=rgb).",
    "web": "Start the server with a lower --chunk_frames= or --max_seconds=, one stream, or --precision=bfloat16.",
    "features": "Lower --batch_size=, --chunk_frames= or --workers=, or take one stream (--streams=rgb).",
    "records": "Lower --workers= or --short_side=.",
    "serve": "Serve one version of one model, or export with fewer --frames=.",
    "ask": "Lower --short_side=, or ask about a shorter video.",
    "show": "Lower --seconds=, or show another record.",
    "train": "Lower --set=batch_size=, or raise --set=accumulate= to split a batch; --set=remat=true keeps less; "
    "or lower --set=clip_frames= or --set=size=.",
    "evaluate": "Lower --views_at_once= (by views), --chunk_frames= (whole videos), --size= or --clip_frames=.",
    "fvd": "Lower --batch_size=, --frames=, or the size of the videos.",
    "export": "Lower --frames=, or export one stream.",
    "verify": "Choose parts: --only=logits, then --only=fvd. The sample takes 2 GB.",
}
# Flags that are not called like the argument that a message speaks of.
OTHERWISE = {
    "classify": {"weights": "rgb= or --flow"},
    "segments": {"weights": "rgb= or --flow"},
    "web": {"weights": "rgb= or --flow"},
    "evaluate": {"weights": "rgb= or --flow"},
    "explain": {"weights": "rgb= or --flow", "steps": "faithfulness", "end": "seconds"},
    "export": {"weights": "rgb= or --flow", "version": "version"},
    "records": {"number": "split_number"},
    "stream": {"weights": "rgb= or --flow"},
    "show": {"method": "flow_method"},
    "verify": {"weights": "rgb= or --flow"},
}


def line(error, verb=None):
    """Returns one line about an exception, for a user.

    Args:
        error: the exception.
        verb: what was being done, for the remedy.
    """
    return " ".join(without_credentials(_said(error, verb)).split())


def said(error, verb, names):
    """Returns `line` of an exception, with flags in the place of arguments."""
    return as_flags(line(error, verb), verb, names)


def as_flags(text, verb, names):
    """Returns a text that speaks of a verb's arguments, `labels=`, so that it speaks of its flags, `--labels=`."""
    called = {name: name for name in names} | OTHERWISE.get(verb, {})
    names = "|".join(sorted(map(re.escape, called), key=len, reverse=True))
    # Not `==`, nor a part of a path or URL: /data/split=train/x.mp4
    text = re.sub(rf"(?<![\w\-=./?&])({names})=(?!=|[^\s'\"]*/)", lambda found: f"--{called[found[1]]}=", text)
    return re.sub(r"(--\w+)= \(\1=?\)", r"\1=", text)  # where a message names both


def _said(error, verb):
    if is_out_of_memory(error):
        return f"The memory is too small for this. {LESS_MEMORY.get(verb, '')} ({_short(str(error)) or 'MemoryError'})"
    if isinstance(error, UnicodeEncodeError | UnicodeDecodeError):
        shown = error.object[max(error.start - 40, 0) : error.end + 40]
        return f"Names and text files are UTF-8. Received: {shown!r}, which is not. Rename it, or save it as UTF-8."
    if isinstance(error, OSError) and error.errno is not None:
        return _of_the_system(error)
    if isinstance(error, KerasI3DError) or (_is_ours(error) and isinstance(error, ValueError | ImportError | OSError)):
        return str(error)
    if hasattr(error, "message") and hasattr(error, "error_code"):  # tf.errors.OpError
        return _of_tensorflow(error)
    if isinstance(error, ImportError):
        return f"{_short(str(error))}. A package is missing or broken; {WHERE}."
    if isinstance(error, OSError | ValueError | EOFError) or _package(error) not in (None, "keras_i3d"):
        return f"{_short(str(error)) or type(error).__name__} ({_named(error)}; {WHERE})"
    return f"{type(error).__name__}: {_short(str(error))}. {FAULT}."


def _of_the_system(error):
    reason = error.strerror or os.strerror(error.errno)
    return system_line(error) or system_line(error, (reason, f"{WHERE[0].upper()}{WHERE[1:]}."))


def _of_tensorflow(error):
    text = tensorflow_message(error)
    of_the_system = system_error(error)
    if of_the_system is not None:
        return _of_the_system(of_the_system)
    if type(error).__name__ == "DataLossError":
        return (
            f"{_short(text)}. The file is damaged: make it again; `keras-i3d records --check=DIR` finds all that are."
        )
    if "assertion failed" in str(error.message):  # a rule of this package
        return text
    return f"{_short(text)} (TensorFlow, {type(error).__name__}; {WHERE})"


def _short(text):
    text = " ".join(text.split())
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} ..."


def _named(error):
    package = _package(error)
    return f"{type(error).__name__} of {package}" if package else type(error).__name__


def _is_ours(error):
    return _package(error) == "keras_i3d"


def _package(error):
    """The package whose code raised an exception; None where that is not known."""
    trace, file = error.__traceback__, None
    while trace is not None:
        found = trace.tb_frame.f_code.co_filename
        file = found if os.path.isabs(found) else file  # Cython's are "h5py/h5f.pyx", the interpreter's "<frozen ...>"
        trace = trace.tb_next
    if file is None:
        return None
    if file.startswith(PACKAGE):
        return "keras_i3d"
    parts = pathlib.PurePath(file).parts
    if "site-packages" in parts[:-1]:
        return parts[parts.index("site-packages") + 1].removesuffix(".py")
    return "Python"
