"""What the networks score on a set that the user has, next to the accuracy that was published of them."""

import time

from keras_i3d import runs
from keras_i3d.errors import KerasI3DError, WeightsCacheError, WeightsUnreachableError
from keras_i3d.evaluation import evaluate
from keras_i3d.evaluation.metrics import interval
from keras_i3d.models import families
from keras_i3d.plurals import counted
from keras_i3d.verification import published_values
from keras_i3d.verification.outcomes import Check
from keras_i3d.weights import registry, sources

FIGURES = {"top1": "top-1", "top5": "top-5"}


def checks(asked, offline_says, unreachable, progress=False):
    """Yields two Outcomes of each stream, top-1 and top-5 in percent, and two of both streams fused.

    A network or a fusion of which nothing was published is skipped, and what was measured is in the reason.

    Args:
        asked: a `verifying.Asked`.
        offline_says: {stream: why its weights are not to be fetched}; these are skipped.
        unreachable: a list; why weights could not be fetched is added to it, and the checks are skipped.
        progress: whether bars show how far they are.
    """
    streams = {stream: weights for stream, weights in (("rgb", asked.rgb), ("flow", asked.flow)) if weights is not None}
    names = [*streams, *(["fused"] if len(streams) > 1 else [])]
    published = {stream: accuracy(weights, stream) for stream, weights in streams.items()}
    published["fused"] = both(streams)
    if offline_says:
        why = "; ".join(f"{stream}: {said}" for stream, said in offline_says.items())
        for name in names:
            yield from (check.skipped(why) for check in _checks(name, published[name], asked.protocol, {}).values())
        return
    began = time.monotonic()
    try:
        settings = {"protocol": asked.protocol, "accept_licence": asked.accept_licence, "progress": progress}
        result = evaluate(asked.records, **streams, **settings)
    except (WeightsUnreachableError, WeightsCacheError) as error:
        unreachable.append(str(error))
        for name in names:
            every = _checks(name, published[name], asked.protocol, {}).values()
            yield from (check.skipped(f"not fetched: {error}") for check in every)
        return
    except (KerasI3DError, ValueError, OSError) as error:
        for name in names:
            every = _checks(name, published[name], asked.protocol, {}).values()
            yield from (check.failed(str(error)) for check in every)
        return
    seconds = time.monotonic() - began
    for name in names:
        found = result.metrics[name]
        measured = {figure: 100 * getattr(found, figure) for figure in FIGURES}
        half = {figure: _half(measured[figure], found.videos) for figure in FIGURES}
        split = result.scores.split or "the set"
        said = f"{counted(found.videos, 'video')} of {split}, {result.scores.not_scored} not scored"
        for figure, check in _checks(name, published[name], asked.protocol, half).items():
            if published[name] is None:
                yield check.skipped(f"measured {measured[figure]:.2f}; of this nothing was published; {said}")
            else:
                yield check.judged(measured[figure], seconds, said)
            seconds = 0.0


def _checks(name, published, protocol, half):
    """{figure: Check} of a stream or of both."""
    values, source = published or ((0.0, 0.0), "not published")
    return {
        figure: Check(
            f"accuracy.{name}.{figure}",
            value,
            source,
            f"{title} of {name} on the given records, percent, protocol {protocol}",
            half.get(figure, 0.0) + published_values.SPARE_POINTS,
            published_values.ACCURACY_WHY,
        )
        for (figure, title), value in zip(FIGURES.items(), values)
    }


def _half(percent, videos):
    """Half of the 95 % interval of a share, in points."""
    low, high = interval(percent / 100, videos)
    return 50 * (high - low)


def accuracy(weights, stream):
    """Returns ((top-1, top-5) in percent, protocol and source) that was published of weights; None if nothing was.

    Of weights that have no published name it is that of their network, if they have as many classes.
    """
    if registry.is_name(weights) and weights != registry.IMAGENET:
        entry = registry.find(weights, stream)
        return None if entry.top1 is None else ((entry.top1, entry.top5), entry.protocol)
    known = runs.read(weights).facts if runs.is_run(weights) else sources.find(weights, stream).facts
    row = families.find(known.family)
    if stream not in row.accuracy or known.classes != row.classes:
        return None
    return row.accuracy[stream], f"{row.protocol} ({row.name})"


def both(streams):
    """The same of two streams' summed logits."""
    found = {weights for weights in streams.values() if isinstance(weights, str)}
    pair = published_values.TWO_STREAM.get(found.pop()) if len(found) == 1 and len(streams) == 2 else None
    return pair and (pair, registry.KINETICS_TEST)
