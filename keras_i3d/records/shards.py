"""One shard of a build: its videos read, written as records, read back, and put in place."""

import contextlib
import json
import os

import tensorflow as tf

from keras_i3d import atomic
from keras_i3d.records import manifest, sequence_example
from keras_i3d.records.build_state import counted, sidecar
from keras_i3d.records.stored_records import Frames, check_copied
from keras_i3d.records.video_files import is_text, printable
from keras_i3d.specs import RecordSpec
from keras_i3d.video import Reader


def write_shard(folder, offset):
    """Writes the shard whose line of `folder`/plan.jsonl begins at byte `offset`: what the workers do.

    The shard is complete once its NNNNN.json is there. A video that cannot be used is noted there, with the reason.
    """
    with tf.io.gfile.GFile(os.path.join(folder, "plan.jsonl"), "rb") as file:
        head = json.loads(file.readline())
        file.seek(offset)
        line = json.loads(file.readline())
    spec, number = RecordSpec(**head["spec"]), line["shard"]
    name = manifest.shard_name(head["split"], number, head["shards"])
    path = os.path.join(os.path.dirname(folder), name)
    done = {"name": name, "ids": [], "classes": [], "bytes": 0, "failed": [], "damaged": []}
    with atomic.replacing_by(tf.io.gfile, path, folder) as temporary:
        videos = counted(folder, number, line["videos"])
        if head["copied"]:
            _copy_records(temporary, videos, done)
            check_copied(temporary, line["videos"])
        else:
            _write_records(temporary, videos, spec, head["max_seconds"], done)
            written = [sequence_example.record_id(raw.numpy()) for raw in tf.data.TFRecordDataset(temporary)]
            if written != done["ids"]:
                raise OSError(f"{path} reads back as {len(written)} records, of {len(done['ids'])} that were written")
        done["bytes"] = tf.io.gfile.stat(temporary).length
    manifest.write_json(sidecar(folder, number), done)


def _write_records(path, examples, spec, max_seconds, done):
    """Writes the records of a shard; notes in `done` what became of each video."""
    with tf.io.TFRecordWriter(path) as writer:
        for example in examples:
            video = {"id": printable(example["id"]), "path": printable(example["path"])}
            if not is_text(example["id"] + example["path"]):
                done["failed"].append({**video, "reason": "its name is not UTF-8: rename the file or its folder"})
                continue
            try:
                record, reader = _encode(example, spec, max_seconds)
            except (ImportError, MemoryError):
                raise  # not the video's fault
            except Exception as error:
                reason = getattr(error, "reason", None) or f"{type(error).__name__}: {error}"
                done["failed"].append({**video, "reason": reason})
                continue
            writer.write(record)
            done["ids"].append(example["id"])
            done["classes"].append(_indices(example["index"]))
            if reader.damaged or reader.cut_short:
                done["damaged"].append({**video, "packets": reader.damaged, "cut_short": reader.cut_short})


def _copy_records(path, examples, done):
    """Writes a shard of records that are there, as their bytes; notes them in `done`."""
    frames = Frames()
    with tf.io.gfile.GFile(path, "wb") as file:
        for example in examples:
            file.write(frames.read(example))
            done["ids"].append(example["id"])
            done["classes"].append(_indices(example["index"]))
            if example["damaged"]:
                done["damaged"].append(example["damaged"])


def _indices(index):
    """The class indices of a video as a list; in JSON those of several classes are one already."""
    return index if isinstance(index, list) else [] if index is None else [index]


def _encode(example, spec, max_seconds):
    """Returns (a video's record, the Reader that has read it)."""
    path = example["path"]
    with tf.io.gfile.GFile(path, "rb") if "://" in path else contextlib.nullcontext(path) as video:
        reader = Reader(video, spec.fps, spec.short_side, example["start"], example["end"], max_seconds)
        facts = {key: example[key] for key in ("id", "label", "index", "split", "start", "end", "segments")}
        facts |= {key: tuple(facts[key]) for key in ("label", "index") if isinstance(facts[key], list)}
        return sequence_example.encode(reader, spec, source=os.path.basename(path), workers=1, **facts), reader
