"""What a run writes while it goes, and when it stops."""

import contextlib
import csv
import dataclasses
import math
import pathlib
import signal
import time

import keras

from keras_i3d import facts
from keras_i3d.atomic import replacing
from keras_i3d.data.pipeline import dropped_records
from keras_i3d.errors import TrainingError, notice
from keras_i3d.training import workers
from keras_i3d.training.checkpoints import Checkpoints
from keras_i3d.training.objective import schedule
from keras_i3d.training.tensorboard import Curves
from keras_i3d.weights import by_name, h5_files

FIGURES = ("loss", "top1", "top5", "val_loss", "val_top1", "val_top5")


class RunWriter(keras.callbacks.Callback):
    """Writes checkpoints, the log and the best weights of a run, and stops it where it no longer makes sense."""

    def __init__(self, model, heads, output):
        super().__init__()
        self.trained, self.heads = model, heads
        self.run, self.output = heads[0].run, output
        self.checkpoints = Checkpoints(output / "checkpoints", model, workers.is_chief())
        self.step, self.rows, self.best, self.stop, self.curves = 0, [], None, False, None
        self._datasets, self._dropped = [], set()
        recipe = self.run.recipe
        self.total = recipe.steps * recipe.accumulate
        self.every = recipe.validate_every * recipe.accumulate
        self.save_every = recipe.save_every * recipe.accumulate

    def resume(self, saved):
        """Goes back to a checkpoint, as `state.newest` read it; None begins anew."""
        if saved:
            self.checkpoints.restore(saved)
            self.step, self.rows, self.best = saved.step, saved.facts["rows"], saved.facts["best"]
            self._dropped = set(saved.facts.get("dropped", ()))
        if workers.is_chief():
            with self._writing("the TensorBoard logs"):
                self.curves = Curves(self.output / "tensorboard", self.rows)

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
        loss = float(logs["loss"])
        if not math.isfinite(loss):
            raise TrainingError(f"The loss is {loss} at step {self._update()}. {self._remedy()}")
        ends_epoch = self.step % self.every == 0 or self.step == self.total
        if not ends_epoch and (self.stop or self.step % self.save_every == 0):
            self._save()
        if self.stop and not ends_epoch:
            raise KeyboardInterrupt

    def on_epoch_end(self, epoch, logs=None):
        logs = self._complete(logs or {})
        row = {"epoch": epoch + 1, "step": self._update(), "time": time.time()}
        row |= {name: float(logs[name]) for name in (*FIGURES, "clips_per_second", "waiting") if name in logs}
        row |= {name: float(value) for name, value in logs.items() if "." in name}
        if self.dropped:
            row["dropped"] = len(self.dropped)
        self.rows.append(row | {"learning_rate": float(schedule(self.run.recipe)(self.step - 1))})
        better = "val_top1" in logs and (self.best is None or logs["val_top1"] > self.best)
        if better:
            self.best = float(logs["val_top1"])
        if workers.is_chief():
            with self._writing("the log"):
                self._write_logs()
                self.curves.write(self.rows[-1])
        if better:
            self._update_final()
            for head in self.heads if workers.is_chief() else ():
                own = float(logs["val_" + head.called("top1")])
                known = self._facts(head, f"val_top1 {own:.4f}")
                h5_files.save_h5(head.model, head.folder(self.output) / "best.weights.h5", **known.record())
        self._save()
        if self.stop:
            raise KeyboardInterrupt

    def _complete(self, logs):
        """The figures of an epoch with the means over several heads, without those of a head that had no clip in it."""
        if not self.heads[0].name:
            return logs
        logs = {name: value for name, value in logs.items() if math.isfinite(value) or "." not in name}
        for part in ("", "val_"):
            for figure in ("top1", "top5"):
                values = [logs.get(f"{part}{head.called(figure)}") for head in self.heads]
                if None not in values:
                    logs[part + figure] = sum(values) / len(values)
        return logs

    def _write_logs(self):
        """Writes `log.csv` of the run, and in the folder of each of several heads that of its own figures."""
        _write_log(self.output, self.rows)
        for head in filter(lambda head: head.name, self.heads):
            _write_log(head.folder(self.output), [_own(row, head) for row in self.rows])

    def write_final(self):
        """Writes `model.keras`, one for each head."""
        self._update_final()
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
                self.checkpoints.save(self.step, rows=self.rows, best=self.best, dropped=sorted(self.dropped))
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
    shared = {name: row[name] for name in row if "." not in name and name not in FIGURES}
    called = {figure: head.called(figure) for figure in FIGURES[:3]}
    called |= {f"val_{figure}": f"val_{name}" for figure, name in called.items()}
    return shared | {figure: row[name] for figure, name in called.items() if name in row}


def _write_log(folder, rows):
    with replacing(folder / "log.csv") as log, open(log, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(dict.fromkeys(name for row in rows for name in row)))
        writer.writeheader()
        writer.writerows(rows)
