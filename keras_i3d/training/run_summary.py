"""What a run says of its validations: a line at each, and at its end the best one, its files and the next command."""

import os
import shlex

from keras_i3d import runs
from keras_i3d.specs import CHANNELS

FILES = ("log.csv", "tensorboard", "pictures", "checkpoints")


def best_row(rows, figure):
    """Returns the first of the rows of a log with the best validation; None if none has the figure."""
    rows = [row for row in rows if row.get(f"val_{figure}") is not None]
    return max(rows, key=lambda row: row[f"val_{figure}"], default=None)


def epoch_line(rows, steps, figure):
    """Returns the line of the last of the rows of a log, {column: float}.

    Args:
        rows: all rows so far.
        steps: updates of the whole run.
        figure: by which its validations are compared, as `Run.measure` gives it.
    """
    row = rows[-1]
    parts = [f"loss {row['loss']:.3g}"] if "loss" in row else []
    parts += [f"{figure} {row[figure]:.2%}"] if figure in row else []
    best = best_row(rows, figure)
    if f"val_{figure}" in row and best is not None:
        stands = "the best so far" if best is row else f"best {best[f'val_{figure}']:.2%} at step {best['step']:,}"
        parts.append(f"validation {figure} {row[f'val_{figure}']:.2%} ({stands})")
    return f"epoch {row['epoch']}, step {row['step']:,} of {steps:,}: {', '.join(parts)}"


def is_out_of_patience(run, since):
    """Whether a run ends early after so many validations without a better one. It may be given more patience later."""
    return run.recipe.patience is not None and since >= run.recipe.patience


def ended_early(output, run, done, since, best):
    """Returns the line of a run that ended early, after `done` updates; `best` is None where no figure was a number."""
    better = "one whose val_{0} is a number" if best is None else f"a better one than val_{{0}} {best:.4f}"
    return (
        f"{output}: ended early, after step {done:,} of {run.recipe.steps:,}: {since} validations without "
        f"{better.format(run.measure)} (patience={run.recipe.patience})"
    )


def ending(output, test=None):
    """Returns the lines of a run that has ended.

    Args:
        output: its folder.
        test: records that the next command evaluates; None for those of the validation. If a user names these as the
            test, that is of the last weights: the best were chosen on them, and would look better than they are.

    Raises:
        ValueError: as `runs.read`.
    """
    heads = {os.path.join(output, name) if name else str(output): run for name, run in runs.read_heads(output).items()}
    lines = []
    for folder, run in heads.items():
        lines += _of(folder, run, f"{run.name}: " if run.shared_with else "")
    there = [name for name in FILES if os.path.exists(os.path.join(output, name))]
    lines.append(f"files: {output} ({', '.join(there)})")
    return [*lines, f"next: {_next(*next(iter(heads.items())), test)}"]


def _of(folder, run, name):
    """The lines of one head."""
    lines = []
    if (run.folder / runs.BEST).is_file():
        lines.append(f"{name}best: {runs.told_of_best(folder)}: {os.path.join(folder, runs.BEST)}")
    return [*lines, f"{name}trained: {os.path.join(folder, runs.MODEL)}"]


def _next(folder, run, test):
    """The command to give next: an evaluation, or without records for it a look at a video."""
    flag = f"--{run.stream if run.stream in CHANNELS else 'both'}={folder}"
    if test is None and run.validation is None:
        return shlex.join(["keras-i3d", "classify", flag]) + " VIDEO"
    if test is not None and test == run.validation:
        flag = os.path.join(flag, runs.MODEL)
    return shlex.join(["keras-i3d", "evaluate", f"--records={test or run.validation}", flag])
