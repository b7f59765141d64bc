"""Uneven classes: training with balance, with class weights and with neither, on a skewed part of the demo's data.

  python benchmarks/balance.py --output=FOLDER [--records=FOLDER] [--seeds=3] [--steps=190] [--stream=rgb]

Of the demo's records the class with the most keeps 45 clips and the one with the fewest 3, with equal factors in
between; which class gets how many is drawn by the seed. They are copied, not decoded again. The test set stays even.
Runs of one seed have the same clips and begin with the same weights. They are trained with the settings of the demo.

The table has what `keras-i3d evaluate` measures of the last weights: accuracy of the third of the classes with the
fewest clips, of the middle third and of that with the most, and the mean over all classes, which is the top-1 of an
even test set. Then by how much the mean differs from that of "none" of the same seed.

A run that was stopped resumes when the same command is given again, and one that has ended is read, not repeated.
--records is a folder with train-* and test-*, as the demo leaves it; without it the demo's videos are made first, which
needs a few minutes. FOLDER/results.json has the figures.
"""

import argparse
import dataclasses
import json
import os
import pathlib
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "tools"))

import demo_settings  # noqa: E402
import numpy as np  # noqa: E402
import short_runs  # noqa: E402

MOST, FEWEST = 45, 3  # clips of a class
ROWS = {
    "none": {},
    "balance=sqrt": {"balance": "sqrt"},
    "balance=equal": {"balance": "equal"},
    "class_weights=equal": {"class_weights": "equal"},
}
THIRDS = ("rare", "middle", "frequent")


def counts(classes, seed):
    """How many clips each class keeps, int (classes,): falling geometrically, in an order drawn by the seed."""
    falling = np.rint(np.geomspace(MOST, FEWEST, classes)).astype(int)
    return np.random.default_rng((seed, 0)).permutation(falling)


def skewed(listing, seed):
    """The Listing with so many examples of each class, drawn by the seed; their order stays."""
    kept = set()
    for index, count in enumerate(counts(len(listing.labels), seed)):
        ids = sorted(example.id for example in listing.examples if example.index == index)
        kept |= set(np.random.default_rng((seed, 1, index)).permutation(ids)[:count].tolist())
    return dataclasses.replace(listing, examples=tuple(each for each in listing.examples if each.id in kept))


def thirds(accuracy, kept):
    """{third: mean accuracy of its classes} of accuracies (classes,), by how many clips each class kept."""
    parts = np.array_split(np.argsort(kept, kind="stable"), len(THIRDS))
    return {name: float(accuracy[part].mean()) for name, part in zip(THIRDS, parts)}


def made_records(records, output, seed):
    """Copies the clips that are trained on; nothing if they are there."""
    from keras_i3d.records import building, stored_records

    if not (output / "train.json").is_file():
        building.build(skewed(stored_records.records(f"{records}/train-*"), seed), output, progress=False)


def run(records, test, output, name, seed, steps, stream):
    """Trains, or resumes, or reads a run, and evaluates it: the figures of the table."""
    from keras_i3d import evaluation
    from keras_i3d.evaluation import metrics

    settings = demo_settings.of_steps(steps) | ROWS[name]
    settings |= {"reference_batch": None, "validate_every": steps, "save_every": 100}
    words = {"stream": stream, "recipe": "original", "seed": seed, "settings": settings, "pictures": 0}
    log, minutes = short_runs.trained(output, f"{records}/train-*", f"{test}/test-*", **words)
    found = evaluation.evaluate(f"{test}/test-*", protocol="views:1x1", **{stream: output / "model.keras"}).scores
    logits = found.logits[stream]
    each = metrics.class_accuracy(logits, found.y)
    validated = short_runs.validated(log, "val_top1")[-1]
    measured = metrics.measure(logits, found.y)
    if abs(validated - measured.top1) > 0.02:  # clips near a tie may differ by the precision
        raise AssertionError(f"{output}: top-1 {validated} in training, {measured.top1} by evaluate")
    own = thirds(each, counts(len(each), seed))
    return {**own, "mean": measured.mean_class, "top1": measured.top1, "validated": validated, "minutes": minutes}


def table(found):
    """The lines of a table of {row: [the figures of each seed]}."""
    head = ("", "runs", *(f"{third} third" for third in THIRDS), "all classes", "than none, same seed")
    rows = []
    for name, results in found.items():
        cells = [short_runs.spread([each[figure] for each in results]) for figure in (*THIRDS, "mean")]
        changes = [each["mean"] - none["mean"] for each, none in zip(results, found["none"])]
        rows.append((f"`{name}`", len(results), *cells, "" if name == "none" else short_runs.spread(changes, sign="+")))
    return short_runs.table(head, rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", required=True, help="folder of the runs")
    parser.add_argument("--records", help="folder of records; made in the output by default")
    parser.add_argument("--seeds", type=int, default=3, help="runs of each row")
    parser.add_argument("--steps", type=int, default=190, help="updates of each run")
    parser.add_argument("--stream", default="rgb", choices=("rgb", "flow"), help="what is trained")
    asked = parser.parse_args()
    folder = pathlib.Path(asked.output).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    from keras_i3d import atomic

    records = pathlib.Path(asked.records).resolve() if asked.records else short_runs.demo_records(folder)
    found = {}
    for seed in range(asked.seeds):  # a seed of each row in turn, so that a part of the table is a table
        own = folder / f"records-{seed}"
        made_records(records, own, seed)
        for name in ROWS:
            output = folder / f"{name.replace('=', '-')}-{asked.stream}-{asked.steps}-{seed}"
            result = run(own, records, output, name, seed, asked.steps, asked.stream)
            found.setdefault(name, []).append(result)
            print(f"{output.name}: {json.dumps({key: round(value, 4) for key, value in result.items()})}", flush=True)
        made = {"steps": asked.steps, "stream": asked.stream, "runs": found}
        atomic.write_text(folder / "results.json", json.dumps(made, indent=1) + "\n")
    print("\n".join(["", *table(found)]))


if __name__ == "__main__":
    main()
