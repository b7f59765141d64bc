"""What a run writes while it goes, and when it stops."""

import contextlib
import csv
import dataclasses
import math
import pathlib
import signal
import time

import keras

from keras_i3d import facts, runs
from keras_i3d.atomic import replacing
from keras_i3d.data.pipeline import dropped_records
from keras_i3d.errors import TrainingError, notice
from keras_i3d.training import confusions, optimizing, workers
from keras_i3d.training.averaging import Averages
from keras_i3d.training.checkpoints import Checkpoints
from keras_i3d.training.optimizing import schedule
from keras_i3d.training.run_pictures import RunPictures
from keras_i3d.training.run_summary import ended_early, epoch_line, is_out_of_patience
from keras_i3d.training.tensorboard import Curves
from keras_i3d.weights import by_name, h5_files

OF_LABELS = ("exact", "map")  # of clips with several labels, where others have "top1" and "top5"
FIGURES = ("loss", "top1", "top5", "mean_class", *OF_LABELS)


class RunWriter(keras.callbacks.Callback):
    """Writes checkpoints, the log and the best weights of a run, and stops it where it no longer makes sense.

    Args:
        model: the model that is trained, compiled.
        heads: the Heads of the run.
        output: pathlib.Path of the run.
        says: whether a line tells what each epoch came to.
        examples: clips on each sheet of pictures; 0 for no pictures.
    """

    def __init__(self, model, heads, output, says=False, examples=0):
        super().__init__()
        self.trained, self.heads, self.says = model, heads, says and workers.is_chief()
        self.run, self.output = heads[0].run, output
        recipe = self.run.recipe
        self.averages = Averages(model, recipe.ema) if recipe.ema else None
        more = self.averages.values if self.averages else ()
        self.checkpoints = Checkpoints(output / "checkpoints", model, workers.is_chief(), more)
        self.step, self.rows, self.best, self.stop, self.curves = 0, [], None, False, None
        self.since, self.ended = 0, False  # validations since the best one, and whether they were too many
        self.pictures = RunPictures(heads, output, examples)
        self._datasets, self._dropped, self._swapped = [], set(), contextlib.ExitStack()
        self.total = recipe.steps * recipe.accumulate
        self.every = recipe.validate_every * recipe.accumulate
        self.save_every = recipe.save_every * recipe.accumulate

    def resume(self, saved):
        """Goes back to a checkpoint, as `state.newest` read it; None begins anew."""
        if saved:
            self.checkpoints.restore(saved)
            self.step, self.rows, self.best = saved.step, saved.facts["rows"], saved.facts["best"]
            self._dropped = set(saved.facts.get("dropped", ()))
            self.since = saved.facts.get("since", 0)
            self.ended = is_out_of_patience(self.run, self.since)
            if self.ended:
                self._say_ended()
        if workers.is_chief():
            with self._writing("the TensorBoard logs"):
                self.pictures.keep({row["step"] for row in self.rows})
                self.curves = Curves(self.output / "tensorboard", self.rows, self.pictures.of)

    def counted(self, dataset):
        """Returns the data set; what it drops from now on is counted."""
        self._datasets.append(dataset)
        return dataset

    @property
    def dropped(self):
        """The damaged records that were dropped since the run began, by file and id."""
        self._dropped |= {record for dataset in self._datasets for record in dropped_records(dataset)}
        return self._dropped

    def close(self):
        """Closes the files that a run keeps open."""
        if self.curves:
            self.curves.close()

    def on_train_batch_end(self, batch, logs=None):
        self.step += 1
        if self.averages and self.step % self.run.recipe.accumulate == 0:
            self.averages.move(self._update())
        loss = float(logs["loss"])
        if not math.isfinite(loss):
            raise TrainingError(f"The loss is {loss} at step {self._update()}. {self._remedy()}")
        ends_epoch = self.step % self.every == 0 or self.step == self.total
        if not ends_epoch and (self.stop or self.step % self.save_every == 0):
            self._save()
        if self.stop and not ends_epoch:
            raise KeyboardInterrupt

    def on_test_begin(self, logs=None):
        self._swapped.enter_context(self.measured())

    def on_test_end(self, logs=None):
        self._swapped.close()

    def measured(self):
        """Within it the model has the weights that are measured and kept: their averages if there are any."""
        return self.averages.in_place() if self.averages else contextlib.nullcontext()

    def on_epoch_end(self, epoch, logs=None):
        if self.step % self.every and self.step != self.total:  # more layers are trained from here on
            return
        logs = {name: value for name, value in (logs or {}).items() if name != "map"}  # of validations alone
        logs = self._complete(logs)
        row = {"epoch": epoch + 1, "step": self._update(), "time": time.time()}
        known = *FIGURES, *(f"val_{figure}" for figure in FIGURES), "clips_per_second", "waiting"
        row |= {name: float(logs[name]) for name in known if name in logs}
        row |= {name: float(value) for name, value in logs.items() if "." in name}
        if self.dropped:
            row["dropped"] = len(self.dropped)
        norm = optimizing.mean_norm(self.trained.optimizer)
        if norm is not None:
            row["gradient_norm"] = norm
        self.rows.append(row | {"learning_rate": float(schedule(self.run.recipe)(self.step - 1))})
        better = self._is_better(logs)
        self.since = 0 if better else self.since + (f"val_{self.run.measure}" in logs)
        self.ended = is_out_of_patience(self.run, self.since)
        draws = "val_loss" in logs and bool(self.pictures.examples)
        if better or draws:
            with self.measured():
                self._update_final()
        matrices = confusions.matrices(self.trained) if draws else {}
        if workers.is_chief():
            pictures = {}
            with self._writing("the pictures"):
                if draws:
                    pictures = self.pictures.draw(matrices, self._update())
            with self._writing("the log"):
                self._write_logs()
                self.curves.write(self.rows[-1], pictures)
        if self.says:
            notice(epoch_line(self.rows, self.run.recipe.steps, self.run.measure))
        if better:
            self._write_best(logs)
        self._save()
        if self.stop:
            raise KeyboardInterrupt
        if self.ended:
            self._say_ended()
            self.model.stop_training = True

    def _is_better(self, logs):
        """Whether a validation is the best one so far; it is the best one from then on."""
        reached = logs.get(f"val_{self.run.measure}", math.nan)
        better = math.isfinite(reached) and (self.best is None or reached > self.best)
        if better:
            self.best = float(reached)
        return better

    def _write_best(self, logs):
        for head in self.heads if workers.is_chief() else ():
            own = float(logs["val_" + head.called(self.run.measure)])
            known = self._facts(head, f"val_{self.run.measure} {own:.4f}")
            h5_files.save_h5(head.model, head.folder(self.output) / "best.weights.h5", **known.record())

    def _say_ended(self):
        notice(ended_early(self.output, self.run, self._update(), self.since, self.best))

    def _complete(self, logs):
        """The figures of an epoch with the means over several heads, without those of a head that had no clip in it."""
        if not self.heads[0].name:
            return logs
        logs = {name: value for name, value in logs.items() if math.isfinite(value) or "." not in name}
        for part in ("", "val_"):
            for figure in ("top1", "top5", "mean_class"):
                values = [logs.get(f"{part}{head.called(figure)}") for head in self.heads]
                if None not in values:
                    logs[part + figure] = sum(values) / len(values)
        return logs

    def _write_logs(self):
        """Writes `log.csv` of the run, and in the folder of each of several heads that of its own figures."""
        _write_log(self.output, self.rows)
        for head in filter(lambda head: head.name, self.heads):
            _write_log(head.folder(self.output), [_own(row, head) for row in self.rows])

    def write_final(self, logs=None):
        """Writes `model.keras`, one for each head, of the weights that the model has.

        Args:
            logs: what a validation of these measured, {"val_top1": ...}, where they differ from those of the last
                epoch; if it is the best one, the best weights are these.
        """
        self._update_final()
        logs = self._complete(logs or {})
        if logs:
            before = "none" if self.best is None else f"{self.best:.4f}"
            better = self._is_better(logs)
            kept = f"written as {runs.BEST}" if better else f"{runs.BEST} stays"
            name = f"val_{self.run.measure}"
            found = f"{name} {logs[name]:.4f}, the best before {before}"
            notice(f"{self.output}: with precise batch norm {found}: {kept}")
            if better:
                self._write_best(logs)
                with self._writing("the checkpoint"):  # whose weights are without; more steps must beat these
                    self.checkpoints.note(best=self.best)
        for head in self.heads:
            facts.note(head.model, self._facts(head))
            if not workers.is_chief():
                continue
            with self._writing("model.keras"), replacing(head.folder(self.output) / "model.keras") as temporary:
                head.model.save(temporary)

    def _update_final(self):
        """Every worker reads the weights here, because some are shared among them; one of them writes."""
        weights = by_name.layer_weights(self.trained)
        for head in self.heads:
            by_name.assign(head.model, head.part_of(weights), str(self.output))

    def _facts(self, head, *more):
        trained = ", ".join([pathlib.Path(head.run.records).name, *(f"with {name}" for name in head.run.shared_with)])
        source = head.run.told(", ".join([f"trained on {trained}", f"step {self._update()}", *more]))
        return dataclasses.replace(head.run.facts, activation=facts.activation(head.model), source=source)

    def _update(self):
        """The number of the update that the last batch belongs to."""
        return math.ceil(self.step / self.run.recipe.accumulate)

    def _save(self):
        try:
            with self._writing(f"the checkpoint of step {self._update()}"):
                self.checkpoints.save(
                    self.step,
                    rows=self.rows,
                    best=self.best,
                    dropped=sorted(self.dropped),
                    since=self.since,
                )
        except FloatingPointError as error:
            raise TrainingError(f"{error}. {self._remedy()}") from error

    @contextlib.contextmanager
    def _writing(self, what):
        try:
            yield
        except OSError as error:
            raise TrainingError(
                f"Cannot write {what} ({error.strerror or error}). The last checkpoint is untouched: free some space "
                f"in {self.output}, and start the same command again."
            ) from error

    def _remedy(self):
        return (
            "Start again with a lower learning_rate, with clip_norm, or with precision=float32, in another output; "
            f"the last checkpoint in {self.checkpoints.folder} is good."
        )

    @contextlib.contextmanager
    def interruptible(self):
        """On one machine, the first Ctrl-C or SIGTERM ends the step with a checkpoint, the second ends at once."""

        def ask(signum, frame):
            del frame
            notice("stopping after this step; once more to stop at once")
            self.stop = True
            signal.signal(signum, before[signum])

        before = {}
        if workers.shard()[1] > 1:  # the others would wait for this one
            yield
            return
        try:
            for number in (signal.SIGINT, signal.SIGTERM):
                before[number] = signal.signal(number, ask)
        except ValueError:  # not the main thread, which alone may do so
            pass
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _own(row, head):
    """A row of the log as the log of one of several heads has it: with its own figures in the place of all heads'."""
    shared = {name: row[name] for name in row if "." not in name and name.removeprefix("val_") not in FIGURES}
    called = {figure: head.called(figure) for figure in FIGURES}
    called |= {f"val_{figure}": f"val_{name}" for figure, name in called.items()}
    return shared | {figure: row[name] for figure, name in called.items() if name in row}


def _write_log(folder, rows):
    with replacing(folder / "log.csv") as log, open(log, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(dict.fromkeys(name for row in rows for name in row)))
        writer.writeheader()
        writer.writerows(rows)
