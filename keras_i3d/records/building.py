"""Videos to sharded TFRecords, distributed by Apache Beam, safe to interrupt at any point.

A plan fixes which video goes to which shard and in which order, whatever the number of workers. One element of work is
one shard; a shard that is there already is not written again.
"""

import dataclasses
import os
import time

from keras_i3d import paths
from keras_i3d.flow.engine import TVL1Params
from keras_i3d.flow.pairs import METHODS, cores
from keras_i3d.records import distribute
from keras_i3d.records.build_state import Work, plan
from keras_i3d.records.manifest import check_same
from keras_i3d.specs import RecordSpec
from keras_i3d.video import MAX_SECONDS


@dataclasses.dataclass(frozen=True)
class Report:
    """What became of the videos of a split.

    Attributes:
        split: its name.
        written, failed, missing: numbers of videos; failed ones are in OUTPUT/failed.jsonl with their reasons.
        damaged: how many of those written have packets that could not be decoded, or are cut short; the manifest lists
            them.
        shards: number of files.
        bytes: size of all shards.
        seconds: this call took.
        built: how many shards this call wrote; 0 if the split was complete.
    """

    split: str
    written: int
    failed: int
    missing: int
    damaged: int
    shards: int
    bytes: int
    seconds: float
    built: int

    def __str__(self):
        done = f"{self.built} of {self.shards} shards in {self.seconds:.1f} s" if self.built else "was complete"
        return (
            f"{self.split}: {self.written} written ({self.damaged} of them damaged), {self.failed} failed, "
            f"{self.missing} missing; {self.bytes} bytes; {done}"
        )


def build(
    listing,
    output,
    spec=None,
    shards=None,
    workers=None,
    runner=None,
    beam_args=(),
    progress=True,
    max_seconds=MAX_SECONDS,
):
    """Builds a split of a data set, or what is missing of it.

    Args:
        listing: an `annotations.Listing`, of videos, or of records that are copied as they are. Several splits may
            go to one output; their labels and specs must agree.
        output: a folder, local or whatever `tf.io.gfile` takes. Two builds of one split at once are refused only
            if the folder is local; elsewhere they would write the same shards twice.
        spec: a RecordSpec; None for `RecordSpec()`, or for that of the records.
        shards: how many files; by default as `build_state.default_shards` says.
        workers: local processes; by default one a core. Records are copied by this process, without Beam.
        runner: a Beam runner's name; None for local processes. Another runner's workers need this package, and see
            the videos and the output under the same paths.
        beam_args: further flags for Beam, such as "--project=x".
        progress: whether to show how many videos are done.
        max_seconds: seconds that a video, or its part, may last, as for `video.Reader`.

    Returns:
        A Report.

    Raises:
        ValueError: the output holds something else: another plan, other labels, another spec.
        BuildError: a worker was lost, another build of this split runs, or the output cannot be written: the disk is
            full, for example.
        ImportError: a package is not installed; the message has the install line.
    """
    if workers is not None and workers < 1:
        raise ValueError(f"workers must be at least 1. Received: workers={workers!r}")
    began = time.monotonic()
    if spec is None:
        spec = listing.spec or RecordSpec()
    elif listing.spec is not None:
        check_same("The specs", spec, listing.spec, "this build", f"the records of {listing.name}")
    spec = dataclasses.replace(spec, fps=float(spec.fps), flow_bound=float(spec.flow_bound))  # one way to write 25
    folders = {os.path.realpath(os.path.dirname(example.path)) for example in listing.examples if listing.spec}
    if os.path.realpath(paths.expand(output)) in folders:
        raise ValueError(f"Records are copied into another folder. Received: output={os.fspath(output)!r}, their own")
    work = Work(listing, os.fspath(paths.expand(output)), spec, plan(listing, shards), float(max_seconds))
    complete = work.complete()
    if complete:
        work.remove()  # of a build that was stopped after its last step
        return _report(complete, 0, began)
    with work.begun() as pending:
        offsets = [work.offsets[number] for number in pending]
        if pending and listing.spec is not None:
            with work.progress(progress):
                distribute.here(work.folder, offsets)
        elif pending:
            distribute.check_installed()
            if spec.flow_method is not None:
                METHODS[spec.flow_method](TVL1Params())  # compiled, or its package found missing, before work starts
            with work.progress(progress):
                if runner is None:
                    distribute.local(work.folder, offsets, workers or cores())
                else:
                    distribute.remote(work.folder, offsets, runner, beam_args)
        return _report(work.merge(), len(pending), began)


def _report(built, shards, began):
    return Report(
        split=built.split,
        written=built.records,
        failed=len(built.failed),
        missing=len(built.missing),
        damaged=len(built.damaged),
        shards=len(built.shards),
        bytes=sum(shard.bytes for shard in built.shards),
        seconds=time.monotonic() - began,
        built=shards,
    )
