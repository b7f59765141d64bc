"""Short training runs of several seeds: the demo's records, a run that is trained once, and cells of a table.

The scripts that import it have tools/ on their path.
"""

import statistics
import sys
import time

import demo_settings
import demo_videos

TRAIN, TEST = 45, 12  # videos a label, as the demo has them


def demo_records(folder):
    """Makes the demo's videos and records where they are not there; returns the folder of the records."""
    for split, count, seed in (("train", TRAIN, 1), ("test", TEST, 1001)):
        if not (folder / f"records/{split}.json").is_file():
            demo_videos.make(folder / f"videos/{split}", count, seed=seed)
            build(folder / f"videos/{split}", folder / "records", split)
    return folder / "records"


def build(source, output, split, *words):
    """Makes records of videos as small as the demo's, by `keras-i3d records` with these further words."""
    from keras_i3d import cli

    words = [f"--source={source}", f"--split={split}", f"--output={output}", *words]
    if cli.main(["records", *words, f"--short_side={demo_settings.SHORT_SIDE}"]):
        sys.exit("the records could not be made")


def trained(output, records, validation, **settings):
    """Trains, or resumes, or reads a run without weights: (its log, a list of {column: value}, minutes of this call).

    `settings` are further arguments of `training.train`.
    """
    from keras_i3d import runs, training

    began = time.perf_counter()
    if not (output / "model.keras").is_file():
        training.train(records, output, weights=None, validation=validation, **settings)
    return runs.read(output).log(), (time.perf_counter() - began) / 60


def validated(log, figure):
    """The values of a figure, such as "val_top1", at each validation of a log."""
    return [row[figure] for row in log if row.get(figure) is not None]


def spread(values, scale=100, places=1, sign=""):
    """A cell of a table: mean and range of the seeds' values, "54.0 (51.9 to 55.6)"."""
    mean, low, high = (
        f"{scale * each:{sign}.{places}f}" for each in (statistics.mean(values), min(values), max(values))
    )
    return f"{mean} ({low} to {high})"


def table(head, rows):
    """The lines of a table of these cells."""
    cells = [f"| {' | '.join(map(str, row))} |" for row in (head, *rows)]
    return [cells[0], "|---" * len(head) + "|", *cells[1:]]
