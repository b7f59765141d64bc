"""Whether the networks say of the published sample what they said when it was published."""

import time

import numpy as np

from keras_i3d import runtimes
from keras_i3d.probabilities import softmax
from keras_i3d.verification import published_values
from keras_i3d.verification.needed_files import FileError, NotPublished
from keras_i3d.verification.outcomes import Check

# Probabilities are compared as logarithms: two logits may each be off by their tolerance.
TWICE = 2


def checks(files):
    """Yields the Outcomes of each stream's answer, and of both: the sum of their logits, then the softmax.

    Args:
        files: NeededFiles.
    """
    logits, why = {}, {}
    for stream in ("rgb", "flow"):
        began = time.monotonic()
        try:
            logits[stream] = _logits(files, stream)
        except FileError as error:
            why[stream] = error.needed()
        yield from _compared(files, stream, logits.get(stream), why.get(stream), time.monotonic() - began)
    both = logits["rgb"] + logits["flow"] if not why else None
    yield from _compared(files, "sum", both, "; ".join(why.values()), 0.0)


def _logits(files, stream):
    """The logits of the whole sample in one pass, float64 (classes,)."""
    network, clip = files.network(published_values.SAMPLE_WEIGHTS, stream), files.sample(stream)
    model = runtimes.compiled(network.to_logits())
    if clip.ndim != 5 or clip.shape[-1] != network.model.input_shape[-1] or clip.dtype.kind != "f":
        wrong = NotPublished(f"a sample of {clip.dtype} {clip.shape}, which the network does not take")
        wrong.file = f"sample_{stream}_values"
        raise wrong
    return np.float64(model.predict_on_batch(np.float32(clip))[0])


def _compared(files, name, logits, why_not, seconds):
    wanted = published_values.ANSWERS[name]
    whose = {"sum": "the sum of both streams' logits"}.get(name, f"the {name} network's logits")
    how = f"{whose}, of all frames of the sample in one pass, float32"
    limit = published_values.SHARE_OF_NORM * wanted.norm
    labels, top, shares = zip(*wanted.top)
    source, why = published_values.README, published_values.LOGIT_WHY
    norm = Check(f"logits.{name}.norm", wanted.norm, source, f"L2 norm of {how}", limit, why)
    highest = Check(f"logits.{name}.top5", top, source, f"the five highest of {how}", limit, why)
    names = Check(f"logits.{name}.labels", labels, source, f"names of the five highest of {how}")
    certain = Check(
        f"logits.{name}.probabilities",
        shares,
        source,
        f"softmax of {how}",
        TWICE * limit,
        "probabilities move by twice what logits may",
        relative=True,
    )
    if logits is None:
        yield from (check.skipped(why_not) for check in (norm, highest, names, certain))
        return
    order = np.argsort(-logits, kind="stable")[: len(top)]
    yield norm.judged(float(np.linalg.norm(logits)), seconds)
    yield highest.judged(tuple(map(float, logits[order])))
    try:
        known = files.labels(published_values.SAMPLE_LABELS)
        yield names.judged(tuple(known[i] if i < len(known) else f"class {i}" for i in order))
    except FileError as error:
        yield names.skipped(error.needed())
    yield certain.judged(tuple(map(float, softmax(logits)[order])))
