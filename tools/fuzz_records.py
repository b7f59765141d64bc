"""Damaged files of records and manifests: each is read, or refused by an error that names it, in bounded memory.

  python tools/fuzz_records.py --seconds=60 --seed=0
  python tools/fuzz_records.py --seed=0 --case=1234 --output=x     writes the folder of one case

A case is a folder of one split, its file of records or its manifest damaged, and one of the ways to read it: `load`,
which raises or counts, `check`, or one record decoded. It is answered when what is given is what the pipeline promises:
frames in [-1, 1] of the size that was asked for, and classes that there are.
"""

import functools
import json
import pathlib
import random
import shutil
import struct
import sys
import tempfile

import fuzz_process

KINDS = ("record files", "manifests of records")
EXTREME = (0, 1, 15, 16, 17, 21, 1 << 31, 1 << 32, 1 << 40, (1 << 63) - 1, 1 << 63, (1 << 64) - 1)
NUMBERS = (-1, 0, 1, 2**31, 2**63, 1e308, float("nan"), float("inf"))
VALUES = (*NUMBERS, None, True, "", "x", "../x", "/x", "\u2028", [], {}, [1])
WAYS = ("raise", "count", "check", "one")
SIZE = 24


def run(seconds, seed):
    """Reads damaged records for so many seconds; returns what `fuzz_process.counted` does."""
    return fuzz_process.counted("records", __file__, seconds, seed, KINDS, lambda *which: drawn(*which)[1])


def drawn(seed, case):
    """Returns (the generator of a case, what it damages, how it is read)."""
    rng = random.Random(f"{seed}/{case}")
    return rng, rng.choice(KINDS), rng.choice(WAYS)


@functools.cache
def whole():
    """Returns (name of the file of records, its records, the manifest's content) of a split that is sound."""
    import tensorflow as tf
    from made import small_records

    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        small_records.split(folder, "test", 3, shards=1)
        manifest = json.loads((folder / "test.json").read_text(encoding="utf-8"))
        name = manifest["shards"][0]["name"]
        return name, [raw.numpy() for raw in tf.data.TFRecordDataset(str(folder / name))], manifest


def write(seed, case, folder):
    """Writes the folder of a case."""
    name, records, manifest = whole()
    rng, kind, _ = drawn(seed, case)
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(manifest)
    if kind == KINDS[1]:
        text = _manifest(rng, json.loads(text))
        content = b"".join(map(framed, records))
    else:
        content = _records(rng, list(records))
        if rng.random() < 0.3:
            text = None  # a third-party file
    (folder / name).write_bytes(content)
    if text is not None:
        (folder / "test.json").write_text(text, encoding="utf-8", errors="surrogatepass")


def framed(record, length=None):
    """Returns a record as it lies in a file, with right checksums; `length` is what it claims in place of its own."""
    from made.checksums import crc32c

    header = struct.pack("<Q", len(record) if length is None else length)
    return header + struct.pack("<I", crc32c(header)) + record + struct.pack("<I", crc32c(record))


def _records(rng, records):
    """The bytes of a file whose framing, or whose records under right checksums, are damaged."""
    which = rng.randrange(len(records))
    way = rng.randrange(4)
    if way == 0:
        return bytes(_damaged(rng, bytearray(b"".join(map(framed, records)))))
    if way == 1:
        lengths = [None] * len(records)
        lengths[which] = rng.choice((*EXTREME, len(records[which]) + rng.choice((-1, 1, 16, 1000))))
        return b"".join(map(framed, records, lengths))
    if way == 2:
        records[which] = bytes(_damaged(rng, bytearray(records[which])))
    else:
        records[which] = _otherwise(rng, records[which])
    return b"".join(map(framed, records))


def _damaged(rng, data):
    for _ in range(rng.choice((1, 1, 2, 8))):
        at = rng.randrange(max(len(data), 1))
        if rng.random() < 0.5:
            at = min(at, rng.choice((12, 60, 400)))
        size = rng.choice((1, 1, 2, 8, 200))
        kind = rng.randrange(5)
        if kind == 0:
            data[at : at + size] = rng.randbytes(size)
        elif kind == 1 and at < len(data):
            data[at] ^= 1 << rng.randrange(8)
        elif kind == 2:
            data[at : at + 8] = struct.pack("<Q", rng.choice(EXTREME))
        elif kind == 3:
            del data[at : at + size]
        else:
            data[at:at] = data[at : at + size]
    if rng.random() < 0.2:
        del data[rng.randrange(len(data) + 1) :]
    return data


def _otherwise(rng, record):
    """A record that parses, with another value, kind or number of values somewhere."""
    import tensorflow as tf

    example = tf.train.SequenceExample.FromString(record)
    if rng.random() < 0.5:
        name = rng.choice(sorted(example.context.feature))
        feature = example.context.feature[name]
    else:
        name = rng.choice(sorted(example.feature_lists.feature_list))
        features = example.feature_lists.feature_list[name].feature
        if rng.random() < 0.3:
            del features[rng.randrange(len(features)) :]
            return example.SerializeToString()
        feature = rng.choice(features)
    kind = rng.randrange(5)
    if kind == 0:
        feature.Clear()
    elif kind == 1:
        feature.int64_list.value[:] = [rng.choice((-1, 0, 3, 2**31, 2**63 - 1, -(2**63)))]
    elif kind == 2:
        feature.float_list.value[:] = [rng.choice((float("nan"), float("inf"), -1.0, 0.0, 3e38))]
    elif kind == 3:
        feature.bytes_list.value[:] = [rng.choice((b"", b"\xff\xfe", b"x" * 1000, "\u2028".encode()))]
    else:
        old = feature.bytes_list.value[0] if feature.bytes_list.value else b"x" * 40
        feature.bytes_list.value[:] = [bytes(_damaged(rng, bytearray(old)))]
    return example.SerializeToString()


def _manifest(rng, content):
    """The text of a manifest that says something else, or is no JSON any more."""
    if rng.random() < 0.2:
        text = _damaged(rng, bytearray(json.dumps(content).encode()))
        return text.decode("utf-8", "surrogateescape").encode("utf-8", "replace").decode()
    for _ in range(rng.choice((1, 1, 2))):
        at = content
        while True:
            keys = list(at) if isinstance(at, dict) else range(len(at))
            if not keys:
                break
            key = rng.choice(keys)
            if isinstance(at[key], dict | list) and at[key] and rng.random() < 0.8:
                at = at[key]
                continue
            way = rng.random()
            if way < 0.2:
                del at[key]
            elif way < 0.3 and isinstance(at, list):
                at.append(at[key])
            else:
                at[key] = rng.choice(VALUES)
            break
    return json.dumps(content)


def attempt(seed, case):
    """Returns (outcome, detail) of one case."""
    import tensorflow as tf

    from keras_i3d.errors import KerasI3DError

    way = drawn(seed, case)[2]
    folder = pathlib.Path(tempfile.mkdtemp())
    try:
        write(seed, case, folder)
        outcome, detail = _read(folder, way)
        if large := fuzz_process.too_much():
            return "else", f"{way}: {large}"
        return outcome, detail
    except (ValueError, FileNotFoundError, KerasI3DError, tf.errors.OpError) as error:
        if str(folder) in str(error):
            return "refused", ""
        return "else", f"{way}: an error that names no file: {type(error).__name__}: {error}"
    except Exception as error:
        return "else", f"{way}: {type(error).__name__}: {error}"
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _read(folder, way):
    import numpy as np

    from keras_i3d.data import find, load, record_files
    from keras_i3d.records import check

    if way == "check":
        return ("refused" if check(folder).problems else "answered"), ""
    if way == "one":
        record_files.read_one(folder, "1")
        return "answered", ""
    found = find(str(folder))
    count = 0
    for batch in load(found, "both", clip_frames=4, size=SIZE, errors=way):
        clips = batch[0] if isinstance(batch[0], tuple | list | dict) else (batch[0],)
        clips = clips.values() if isinstance(clips, dict) else clips
        for clip in map(np.asarray, clips):
            if clip.shape[1:4] != (4, SIZE, SIZE) or not (np.abs(clip) <= 1).all():
                return "else", f"{way}: a clip of {clip.shape}, {clip.min()} to {clip.max()}"
        if found.labels and not -1 <= int(batch[1][0]) < len(found.labels):
            return "else", f"{way}: class {int(batch[1][0])} of {len(found.labels)}"
        count += 1
    return "answered", str(count)


def prepare():
    """What is made, imported and traced once is no case's memory."""
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        name, records, manifest = whole()
        (folder / name).write_bytes(b"".join(map(framed, records)))
        (folder / "test.json").write_text(json.dumps(manifest), encoding="utf-8")
        for way in WAYS:
            assert _read(folder, way)[0] == "answered", way
    fuzz_process.baseline()


def one(seed, case, output):
    """Returns what is said of one case; writes its folder."""
    if output:
        write(seed, case, output)
    return *drawn(seed, case)[1:], *attempt(seed, case)


if __name__ == "__main__":
    sys.exit(fuzz_process.command(__doc__, attempt, prepare, one, run))
