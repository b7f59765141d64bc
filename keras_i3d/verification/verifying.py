"""All checks one after the other, as the user chose them."""

import dataclasses
import time

from keras_i3d.data import record_files
from keras_i3d.evaluation import protocols
from keras_i3d.verification import accuracy_checks, distance_checks, file_checks, machine_facts, sample_answers
from keras_i3d.verification.needed_files import NeededFiles
from keras_i3d.verification.verification_report import Verification, check_name
from keras_i3d.weights import cache, download, registry

GROUPS = ("files", "logits", "fvd", "accuracy")
PUBLISHED = GROUPS[:3]  # which need nothing of the user


@dataclasses.dataclass(frozen=True)
class Asked:
    """The set whose accuracy is measured: as for `evaluation.evaluate`."""

    records: object
    rgb: object
    flow: object
    protocol: str
    accept_licence: object


def verify(
    only=None,
    *,
    offline=False,
    records=None,
    rgb=None,
    flow=None,
    protocol="whole",
    output=None,
    accept_licence=None,
    attempts=download.ATTEMPTS,
    told=None,
    progress=False,
):
    """Compares what this installation gives with what was published: files, logits, distances, accuracies.

    Published weights and the sample of DeepMind's repository are fetched, some 250 MB, and kept in the cache. The
    expected values and their sources are in `keras_i3d.verification.published_values`.

    Args:
        only: names of GROUPS; None for all that can be run with what is given. "logits" and "fvd" bring the checks of
            the files that they need.
        offline: whether the cache alone counts; what it lacks is skipped.
        records, rgb, flow, protocol, accept_licence: as for `evaluation.evaluate`, for "accuracy".
        output: a `.md` or `.json` to write the report to; None for none.
        attempts: connections to try for a file.
        told: called with each Outcome as it comes.
        progress: whether bars show how far long checks are.

    Returns:
        A Verification; `print` it. Its `passed` says whether all that was asked for is as expected.

    Raises:
        ValueError: a group that is none, records without weights or the other way round, an output of another name.
        FileNotFoundError: there are no such records.
    """
    groups = _groups(only, records, rgb, flow)
    if records is not None:
        record_files.find(records)  # else that would be found out after all other groups
    protocols.parse(protocol)
    if output is not None:
        output = check_name(output)
    files = NeededFiles(offline, attempts)
    began, outcomes = time.monotonic(), []
    for outcome in _outcomes(groups, files, Asked(records, rgb, flow, protocol, accept_licence), progress):
        outcomes.append(outcome)
        if told:
            told(outcome)
    found = Verification(
        outcomes=tuple(outcomes),
        machine=machine_facts.machine_facts(),
        digests=dict(files.digests),
        unreachable=tuple(files.unreachable),
        offline=offline,
        seconds=time.monotonic() - began,
    )
    if output is not None:
        found.write(output)
    return found


def _groups(only, records, rgb, flow):
    """The groups to run, in their order."""
    chosen = None if only is None else [only] if isinstance(only, str) else list(only)
    unknown = [name for name in chosen or () if name not in GROUPS]
    if unknown or chosen == []:
        raise ValueError(
            f"A group of checks is one of {', '.join(GROUPS)}. Received: only={','.join(unknown)!r}. "
            "Leave only= out for all."
        )
    models = [weights for weights in (rgb, flow) if weights is not None]
    if (records is None) != (not models):
        raise ValueError(
            "An accuracy takes records= and rgb= or flow=. Received: "
            + ("weights alone" if models else "records= alone")
        )
    if chosen is None:
        return [*PUBLISHED, *(["accuracy"] if models else [])]
    if models and "accuracy" not in chosen:
        raise ValueError(f"records= is for the group accuracy. Received: only={','.join(chosen)}")
    if not models and "accuracy" in chosen:
        raise ValueError("The group accuracy takes records= and rgb= or flow=. Received: neither")
    return [name for name in GROUPS if name in chosen]


def _outcomes(groups, files, asked, progress):
    wanted = PUBLISHED if "files" in groups else groups
    if {*groups} & {*PUBLISHED}:
        yield from file_checks.checks(files, wanted)
    if "logits" in groups:
        yield from sample_answers.checks(files)
    if "fvd" in groups:
        yield from distance_checks.checks(files, progress)
    if "accuracy" in groups:
        not_cached = _not_cached(asked) if files.offline else {}
        yield from accuracy_checks.checks(asked, not_cached, files.unreachable, progress)


def _not_cached(asked):
    """{stream: why its weights cannot be used offline}."""
    streams = {"rgb": asked.rgb, "flow": asked.flow}
    entries = {
        stream: registry.find(weights, stream)
        for stream, weights in streams.items()
        if registry.is_name(weights) and weights != registry.IMAGENET
    }
    return {
        stream: f"{entry.name} is not in the cache (--offline)"
        for stream, entry in entries.items()
        if not cache.is_whole(entry.name)
    }
