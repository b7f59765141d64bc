"""keras-i3d segments VIDEO...: labels along the time of each video: files, folders or quoted globs, of any length.

  --output=PATH[,PATH...]     files, whose endings say what they are; default: the segments are printed alone
                                x.json  ActivityNet's form of detections, which its evaluation code reads
                                x.csv   a row for each segment: video, label, score, start and end in seconds
                                x.srt   x.vtt  subtitles
                                x.png   a picture of the labels along time; needs matplotlib
                                x.mp4   the video with its labels, its flow if that was used, and the time line
                              A .json and a .csv hold all videos. Others are files of one video each: of several videos
                              with a * in the name, which stands for that of each. What was written before an
                              interruption is whole
  --threshold=NUMBER|FILE     the probability from which on a label is there; for several labels a video one number for
                              all or a thresholds.json; default: 0.3, for several labels those chosen by evaluate, else
                              0.5
  --smooth=S                  seconds over which the logits are averaged, as for the label of a video; default: 1
  --shortest=S                shorter segments are left out; default: 0.5
  --top=N                     how many labels a picture and an annotated video show; default: 5
  --rgb=WEIGHTS --flow=WEIGHTS --both=WEIGHTS    weights of each stream, as for classify; default: kinetics
  --streams=both|rgb|flow     which streams vote; default: those whose weights are given, else both
  --labels=NAME|FILE|none     kinetics400, kinetics600, or a file with a name a line; default: the weights' own
  --flow_method=tvl1|opencv|dis    default: what the weights were trained on
  --precision=float32|bfloat16|float16    default: that of a run, else float32
  --runtime=auto|tensorflow|openvino    what runs the networks, as for classify; default: auto
  --chunk_frames=N            frames that go through a network at once: fewer take less memory; default: 512
  --max_seconds=S             how long a video may last, because a small file may claim any length; default: 14400
  --accept_licence            takes weights whose licence forbids commercial use; default: off

Of a network for one label a video, each moment has the label of the highest probability, if that is high enough. Of one
for several labels, segments overlap. A score is the mean probability over the segment. `keras-i3d evaluate --segments=`
measures a .json.

Examples:
  keras-i3d segments match.mp4
  keras-i3d segments match.mp4 --output=match.json,match.srt,match.png
  keras-i3d segments videos/ --rgb=runs/rgb --flow=runs/flow --output=found.json,'found/*.mp4'
"""

import itertools
import os
import sys

from absl import flags

from keras_i3d.cli import UsageError, failures, network_flags, start, videos

FLAGS = flags.FlagValues()
network_flags.define(FLAGS)
flags.DEFINE_list("output", [], "", FLAGS)
flags.DEFINE_string("threshold", None, "", FLAGS)
flags.DEFINE_float("smooth", 1, "", 0, flag_values=FLAGS)
flags.DEFINE_float("shortest", 0.5, "", 0, flag_values=FLAGS)
flags.DEFINE_integer("top", 5, "", 1, flag_values=FLAGS)
flags.DEFINE_float("max_seconds", 4 * 3600, "", 1, flag_values=FLAGS)

ENDINGS = (".json", ".csv", ".srt", ".vtt", ".png", ".mp4")  # of `segments.segment_files`, which imports NumPy
OF_ALL = ENDINGS[:2]


def main(arguments):
    """Prints the segments of each video and writes them; returns 0, or 1 if any of them failed."""
    if not arguments:
        raise UsageError("segments takes at least one video: a file, a folder or a quoted glob.")
    for path in FLAGS.output:
        if os.path.splitext(path)[1] not in ENDINGS:
            raise UsageError(f"A file of segments ends in {', '.join(ENDINGS)}. Received: --output={path}")
    found = dict(videos.expand(arguments))
    own = {source: [] for source in found}  # the files of one video alone
    together = []
    for path in dict.fromkeys(FLAGS.output):
        if path.endswith(OF_ALL) and videos.EACH not in os.path.basename(path):
            together.append(path)
        else:
            for source, each in videos.outputs("segments", path, list(found)).items():
                own[source].append(each)
    if all(found.values()):  # weights need not be fetched
        for source, problem in found.items():
            print(f"error: {source}: {problem}", file=sys.stderr)
        return 1
    return _each(found, own, together)


def _each(found, own, together):
    """Takes one video after the other, of which a bad one does not stop the rest."""
    start()
    from keras_i3d import charts, segments
    from keras_i3d.segments import finding, pictures_of_time, segment_files

    good = [source for source, problem in found.items() if not problem]
    ids = segment_files.video_ids(good) if any(path.endswith(".json") for path in together) else {}
    if any(path.endswith(".png") for path in FLAGS.output):
        charts.matplotlib(pictures_of_time.NEEDED)
    for path in (*together, *itertools.chain.from_iterable(own.values())):  # before what may take hours
        os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    classifier = _classifier()
    finding.checked(FLAGS.threshold, classifier)
    of_all, details, failed = {}, "", 0
    for source, problem in found.items():
        try:
            if problem:
                raise ValueError(f"{source}: {problem}")
            timeline = segments.find(classifier.in_time(source), FLAGS.threshold, FLAGS.smooth, FLAGS.shortest)
            print(timeline, flush=True)
            for path in own[source]:
                segments.save(path, timeline, top=FLAGS.top, progress=True)
                print(f"-> {path}", flush=True)
            of_all[source], details = timeline.segments, segment_files.described(timeline)
        except Exception as error:
            failed += 1
            if FLAGS.verbose:
                import traceback

                traceback.print_exception(error)
            message = failures.said(error, "segments", FLAGS)
            message = message if source in message else f"{source}: {message}"
            print(f"error: {message}", file=sys.stderr, flush=True)
            continue
        _write(together, of_all, ids, details)
    for path in together if of_all else ():
        print(f"-> {path}")
    if len(found) > 1:
        print(f"{len(found) - failed} done, {failed} failed", file=sys.stderr)
    return 1 if failed else 0


def _write(outputs, of_all, ids, details):
    """Writes the files of all videos, with those that are done: an interruption loses the one that it comes in."""
    from keras_i3d.segments import segment_files

    for path in outputs:
        if path.endswith(".json"):
            segment_files.write_json(path, {ids[source]: each for source, each in of_all.items()}, details)
        else:
            segment_files.write_csv(path, of_all)


def _classifier():
    """The Classifier that the flags describe."""
    from keras_i3d.inference import Classifier

    thresholds = None if FLAGS.threshold is None else False
    return Classifier(thresholds=thresholds, progress=True, **network_flags.settings(FLAGS, "max_seconds"))
