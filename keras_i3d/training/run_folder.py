"""The folder of a run: held by one process, begun, continued, or left as it is because the run has ended."""

import contextlib
import json
import math
import shutil

from keras_i3d import atomic, locks, runs
from keras_i3d.errors import TrainingError, notice
from keras_i3d.training.checkpoints import KEPT
from keras_i3d.training.run_start import has_begun
from keras_i3d.training.run_summary import ended_early, is_out_of_patience

LOCK = ".lock"


@contextlib.contextmanager
def prepared(output, trained):
    """Makes the folder, which no other run may write in, and finds out now whether hours of work will find place."""
    sizes = [4 * sum(math.prod(weight.shape) for weight in head.model.weights) for head in trained]
    recipe = trained[0].run.recipe  # of weights, a checkpoint has their momenta, averages and gradients too
    copies = 2 + (recipe.optimizer == "adamw") + (recipe.ema is not None) + (recipe.accumulate > 1)
    needed = max(sizes) * copies * (KEPT + 1) + 2 * sum(sizes)  # and next to the checkpoints the best, and the last
    busy = TrainingError(f"Another run writes in {output}. Wait for it, stop it, or choose another output.")
    folders = [head.folder(output) for head in trained]
    with contextlib.ExitStack() as held:
        try:
            for folder in (output / "checkpoints", *folders):
                folder.mkdir(parents=True, exist_ok=True)
            held.enter_context(locks.hold(output / LOCK, busy))
            for folder in dict.fromkeys((output, output / "checkpoints", *folders)):
                atomic.clean(folder, alone=True)
            free = shutil.disk_usage(output).free
            for folder, head in zip(folders, trained):
                _note(folder, head.run, has_begun(output))
            if trained[0].name and not has_begun(output):
                atomic.write_text(output / runs.FACTS, runs.text_of_heads([head.name for head in trained]))
        except OSError as error:
            raise TrainingError(f"Cannot write in {output} ({error.strerror}). Choose another output.") from error
        if free < needed:
            raise TrainingError(
                f"A run of this model keeps up to {needed / 1e6:.0f} MB; {free / 1e6:.0f} MB are free in {output}. "
                "Free some space, or choose another output."
            )
        yield


def _note(folder, head_run, begun):
    """Writes what a head's folder says of itself; of a run that has begun it is what it was."""
    if begun:
        content = json.loads((folder / runs.FACTS).read_text(encoding="utf-8"))
        recipe = json.loads(head_run.text())["recipe"]
        if content["recipe"] == recipe:
            return
        text = json.dumps(content | {"recipe": recipe}, indent=1) + "\n"  # more steps
    else:
        atomic.write_text(folder / "labels.txt", "".join(f"{label}\n" for label in head_run.labels))
        text = head_run.text()
    atomic.write_text(folder / runs.FACTS, text)


def has_ended(run, saved, trained, output):
    """Whether nothing is left to do: all steps are done, and the models of all heads are written."""
    if saved is None:
        return False
    if saved.step < run.recipe.steps * run.recipe.accumulate and not is_out_of_patience(
        run, saved.facts.get("since", 0)
    ):
        return False
    return all((head.folder(output) / runs.MODEL).is_file() for head in trained)


def ended(run, saved, trained, output):
    """The models of a run that has ended, as `train` returns them; a line says so."""
    dropped = saved.facts.get("dropped", ())
    if dropped:
        notice(f"{output}: {len(dropped)} damaged records were dropped since the run began")
    done, steps = saved.step // run.recipe.accumulate, run.recipe.steps
    if done < steps:
        notice(
            f"{ended_early(output, run, done, saved.facts['since'], saved.facts['best'])}, and nothing was written. "
            'More patience continues it: --set=patience=none (settings={"patience": None})'
        )
    else:
        notice(
            f"{output}: this run has ended: {done:,} of {steps:,} steps are done, and nothing was written. More steps "
            f'continue it: --set=steps={2 * steps} (settings={{"steps": ...}})'
        )
    models = {head.name: runs.load_model(head.folder(output), best=False) for head in trained}
    return models.get("", models)
