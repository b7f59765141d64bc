"""keras-i3d evaluate ...: accuracy of each stream, and of their fusion, on a split of records; of segments, mAP.

  --records=PATH              a folder of one split, or a quoted glob such as 'ucf101/test-*'
  --rgb=RUN --flow=RUN        one or both: a folder of `train`, which stands for its best weights, and for the last
                              where there are no others; RUN/model.keras, its last; or weights as for classify
  --both=RUN                  of a network that takes both in one tensor; alone, or fused with them
  --protocol=NAME             whole videos; views:NxM, N clips of a video and M crops of each, as in views:10x3 and
                              views:25x10; or middle, the middle frame alone; default: whole
  --fusion=sum|mean|weights|svm    default: sum
  --fit_on=SCORES             scores.npz of another split; weights and svm need it
  --output=DIR                takes scores.npz, results.json, per_class.csv, pictures and report.html; of segments, a
                              temporal_map.json; default: nothing is written
  --browse=N                  how many of the videos that were named wrongly are in DIR/wrong.html, playable, the most
                              convinced errors first; 0 for no such page; default: 100
  --parents=FILE.csv          columns label,parent, by which that page groups confusions; default: none
  --neighbours=PATH           training records, whose nearest videos stand next to each of these; every network sees all
                              of them once for it; default: none
  --noreport                  writes the first three alone; default: --report
  --choose_thresholds         of several labels a video: chooses the threshold of the highest F1 for each class on
                              these records, a validation split; written into the runs' folders, for classify, evaluate
                              and export, and into --output; default: off
  --thresholds=NUMBER|FILE    of several labels: what F1 is at, one number for all or a thresholds.json; default: those
                              that were chosen for the run, else 0.5
  --size=N --clip_frames=N    default: those of the training
  --views_at_once=N           views that go through a network at once; default: 4
  --chunk_frames=N            frames of a whole video that do: fewer take less memory, and give the same result;
                              default: 512
  --runtime=auto|tensorflow|openvino    what runs the networks; auto: the one that measures faster here, if OpenVINO is
                              installed; default: auto
  --labels=NAME|FILE          for third-party records, which bring no list; default: the records' own
  --accept_licence            takes weights whose licence forbids commercial use; default: off
  --errors=raise|count        stop at a damaged record, or drop and count it; default: raise
  --scores=SCORES[,SCORES...] fuses and measures again what --output wrote, without the networks
  --segments=JSON             what `segments` found, measured by ActivityNet's temporal mAP, tIoU 0.5:0.05:0.95, against
                              the truth; default: none
  --truth=JSON                ActivityNet's annotations, or others in that form; default: none
  --subset=NAME               of the truth, such as validation; default: its only one

Examples:
  keras-i3d evaluate --records='ucf101/test-*' --rgb=runs/rgb --flow=runs/flow --output=result
  keras-i3d evaluate --scores=result/scores.npz --fusion=mean
  keras-i3d evaluate --records='charades/val-*' --rgb=runs/rgb --choose_thresholds
  keras-i3d evaluate --segments=found.json --truth=activity_net.v1-3.min.json --subset=validation
"""

import os
import sys

from absl import flags

from keras_i3d.cli import UsageError, start

FLAGS = flags.FlagValues()
flags.DEFINE_string("records", None, "", FLAGS)
flags.DEFINE_string("rgb", None, "", FLAGS)
flags.DEFINE_string("flow", None, "", FLAGS)
flags.DEFINE_string("both", None, "", FLAGS)
flags.DEFINE_string("protocol", "whole", "", FLAGS)
flags.DEFINE_enum("fusion", "sum", ["sum", "mean", "weights", "svm"], "", FLAGS)
flags.DEFINE_string("fit_on", None, "", FLAGS)
flags.DEFINE_string("output", None, "", FLAGS)
flags.DEFINE_integer("browse", 100, "", 0, flag_values=FLAGS)
flags.DEFINE_string("parents", None, "", FLAGS)
flags.DEFINE_string("neighbours", None, "", FLAGS)
flags.DEFINE_bool("choose_thresholds", False, "", FLAGS)
flags.DEFINE_string("thresholds", None, "", FLAGS)
flags.DEFINE_bool("report", True, "", FLAGS)
flags.DEFINE_integer("size", None, "", 1, flag_values=FLAGS)
flags.DEFINE_integer("clip_frames", None, "", 1, flag_values=FLAGS)
flags.DEFINE_integer("views_at_once", 4, "", 1, flag_values=FLAGS)
flags.DEFINE_integer("chunk_frames", 512, "", 1, flag_values=FLAGS)
flags.DEFINE_enum("runtime", None, ["auto", "tensorflow", "openvino"], "", FLAGS)
flags.DEFINE_string("labels", None, "", FLAGS)
flags.DEFINE_bool("accept_licence", False, "", FLAGS)
flags.DEFINE_enum("errors", "raise", ["raise", "count"], "", FLAGS)
flags.DEFINE_list("scores", [], "", FLAGS)
flags.DEFINE_string("segments", None, "", FLAGS)
flags.DEFINE_string("truth", None, "", FLAGS)
flags.DEFINE_string("subset", None, "", FLAGS)


def main(arguments):
    """Prints the accuracy of each stream and of their fusion; returns 0."""
    if arguments:
        raise UsageError(f"evaluate takes flags alone. Received: {arguments}")
    if FLAGS.segments or FLAGS.truth or FLAGS.subset:
        return _segments()
    models = [FLAGS[stream].value for stream in ("rgb", "flow", "both") if FLAGS[stream].value]
    if FLAGS.scores and (models or FLAGS.records):
        raise UsageError("evaluate --scores=SCORES takes no --records, --rgb, --flow or --both.")
    if not FLAGS.scores and not (models and FLAGS.records):
        raise UsageError(
            "evaluate takes --records and at least one of --rgb, --flow and --both; or --scores; or --segments and "
            "--truth."
        )
    start()
    from keras_i3d import evaluation

    names = ("fusion", "fit_on", "output", "report", "thresholds", "choose_thresholds", "browse", "parents")
    settings = {name: FLAGS[name].value for name in (*names, "neighbours")} | {"progress": True}
    if FLAGS.scores:
        result = evaluation.rescore(FLAGS.scores, **settings)
    else:
        result = evaluation.evaluate(
            FLAGS.records,
            FLAGS["rgb"].value or None,
            FLAGS["flow"].value or None,
            FLAGS.protocol,
            both=FLAGS["both"].value or None,
            size=FLAGS.size,
            clip_frames=FLAGS.clip_frames,
            labels=FLAGS.labels,
            errors=FLAGS.errors,
            views_at_once=FLAGS.views_at_once,
            chunk_frames=FLAGS.chunk_frames,
            accept_licence=FLAGS.accept_licence,
            runtime=FLAGS.runtime,
            **settings,
        )
    print(result)
    if FLAGS.output:
        print(f"written: {os.path.join(FLAGS.output, 'report.html' if FLAGS.report else '')}", file=sys.stderr)
        if os.path.exists(page := os.path.join(FLAGS.output, "wrong.html")) and FLAGS.report:
            print(f"written: {page}", file=sys.stderr)
    return 0


def _segments():
    """Measures segments; returns 0."""
    own = ("segments", "truth", "subset", "output", "verbose")
    others = [f"--{name}" for name in FLAGS if FLAGS[name].present and name not in own]
    if others or not (FLAGS.segments and FLAGS.truth):
        received = f" Received: {', '.join(others)}, too." if others else ""
        raise UsageError(f"evaluate takes --segments and --truth together, and of other flags --output.{received}")
    start()
    import json

    from keras_i3d import atomic
    from keras_i3d.evaluation.temporal_precision import temporal_map

    found = temporal_map(FLAGS.truth, FLAGS.segments, FLAGS.subset)
    print(found)
    if FLAGS.output:
        os.makedirs(FLAGS.output, exist_ok=True)
        path = os.path.join(FLAGS.output, "temporal_map.json")
        atomic.write_text(path, json.dumps(found.record(), indent=1, ensure_ascii=False) + "\n")
        print(f"written: {path}", file=sys.stderr)
    return 0
