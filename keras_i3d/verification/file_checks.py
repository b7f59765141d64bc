"""Whether the files are those that were published: weights, labels, and the sample's arrays."""

import time

import numpy as np

from keras_i3d.verification import published_values
from keras_i3d.verification.needed_files import FileError, NotHere, NotPublished
from keras_i3d.verification.outcomes import Check
from keras_i3d.weights import registry


def checks(files, groups):
    """Yields an Outcome for each file that groups of checks need.

    Args:
        files: NeededFiles.
        groups: names of `verifying.GROUPS`.
    """
    for entry in _entries(groups):
        proofs = "; ".join(_proof(file) for file in entry.files)
        how = "size and git blob id when it is fetched, names, shapes and CRCs of its arrays; the cached copy's sha256"
        check = Check(f"files.{entry.name}", "verified", f"weights.registry: {proofs}", how)
        yield _outcome(check, lambda entry=entry: files.weights(entry) and "verified")
    if "logits" not in groups:
        return
    labels = registry.LABELS[published_values.SAMPLE_LABELS]
    check = Check(f"files.{labels.name}", "verified", f"weights.registry: {_proof(labels.file)}", "size, git blob id")
    yield _outcome(check, lambda: files.labels(labels.name) and "verified")
    for stream, file in registry.SAMPLE.items():
        yield _outcome(
            Check(f"files.sample_{stream}", "verified", f"weights.registry: {_proof(file)}", "git blob id"),
            lambda stream=stream: files.sample(stream) is not None and "verified",
        )
        shape = published_values.SHAPES[stream]
        check = Check(
            f"files.sample_{stream}_values",
            f"{shape} of floats in [-1, 1]",
            published_values.README,
            "shape, dtype, least and greatest value",
        )
        try:
            array = files.sample(stream)
        except FileError as error:
            yield check.skipped(error.needed())
            continue
        yield check.judged(described(array))


def described(array):
    """Returns what an array is, in the words of the check: equal to those if it is what a network takes."""
    if array.dtype.kind != "f":
        return f"{array.shape} of {array.dtype}"
    lowest, highest = float(np.min(array)), float(np.max(array))
    inside = lowest >= -1 - 1e-6 and highest <= 1 + 1e-6
    # Flow of a still, or frames of one colour, would be inside as well.
    varied = highest - lowest > 0.5
    return f"{array.shape} of floats in {'[-1, 1]' if inside and varied else f'[{lowest:.4g}, {highest:.4g}]'}"


def _entries(groups):
    """The Published that groups need, in the order of their use."""
    wanted = [(published_values.SAMPLE_WEIGHTS, stream) for stream in ("rgb", "flow") if "logits" in groups]
    wanted += [(published_values.FVD_WEIGHTS, "rgb")] if "fvd" in groups else []
    return [registry.find(*each) for each in wanted]


def _proof(file):
    size = f"{file.bytes:,} bytes, " if file.bytes else ""
    return f"{file.path} {size}git blob {file.git_blob}"


def _outcome(check, measure):
    began = time.monotonic()
    try:
        return check.judged(measure(), time.monotonic() - began)
    except NotHere as error:
        return check.skipped(str(error))
    except NotPublished as error:
        return check.failed(str(error), time.monotonic() - began)
