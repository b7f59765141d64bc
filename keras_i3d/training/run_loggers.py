"""Services that draw the curves of runs: Weights & Biases and MLflow get the rows of `log.csv`, each by its update.

Which rows a service has stands in RUN/loggers.json, with the id of the service's run. So a run that resumes continues
in the same one, sends what a killed process had not sent, and sends nothing twice.
"""

import contextlib
import dataclasses
import json
import math
import os

import keras

from keras_i3d import atomic
from keras_i3d.errors import TrainingError, missing_package, notice, one_line
from keras_i3d.training import workers

NOTES = "loggers.json"
PROJECT = "keras_i3d"  # unless the service's own variables name another
LEFT_OUT = ("step", "time")  # of a row: what the service is told apart from its figures


def find(names):
    """Returns the services of these names, each a class of `SERVICES`.

    Args:
        names: a name, several, or none (None, ()).

    Raises:
        ValueError: an unknown name.
        ImportError: the package of one is not installed; the message has the install line.
    """
    names = (names,) if isinstance(names, str) else tuple(names or ())
    unknown = [name for name in names if name not in SERVICES]
    if unknown:
        raise ValueError(f"log must be of {', '.join(SERVICES)}. Received: log={unknown[0]!r}")
    for name in names:
        SERVICES[name].package()
    return [SERVICES[name] for name in dict.fromkeys(names)]


@contextlib.contextmanager
def started(services, writer):
    """Gives a callback that sends the rows of a RunWriter to services; it comes after the writer in `fit`.

    Raises:
        TrainingError: a service takes no run, or no longer has the one that it took.
    """
    with contextlib.ExitStack() as held:
        yield RunLogger([held.enter_context(_open(service, writer)) for service in services if workers.is_chief()])


@contextlib.contextmanager
def _open(service, writer):
    """Gives the Sent of a service, whose run is ended afterwards: well if all updates were made."""
    path = writer.output / NOTES
    notes = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    known = notes.get(service.name, {})
    if not writer.step and known.get("step"):  # a run that begins anew, where another one was
        known = {}
    try:
        opened = service(writer.output, _settings(writer.run), known.get("run"))
    except Exception as error:  # whatever the service raises: an unknown run, no key, no network
        again = f" Remove {path} to begin another run there." if known else ""
        raise TrainingError(f"{service.name} took no run: {one_line(error)}. {service.remedy}{again}") from error
    sent = Sent(opened, writer, known.get("step", 0))
    sent.note()
    try:
        sent.send()
        yield sent
    finally:
        sent.send()
        with contextlib.suppress(Exception):  # the run has its own end to tell of
            opened.close(writer.step == writer.total)


def _settings(run):
    """What a service is told of a run: settings under the names of `run.json`, as text, numbers or None."""
    recipe = {f"recipe.{name}": value for name, value in dataclasses.asdict(run.recipe).items()}
    named = {name: getattr(run, name) for name in ("stream", "family", "records", "validation", "weights", "seed")}
    plain = str | int | float | None
    return {name: value if isinstance(value, plain) else str(value) for name, value in (named | recipe).items()}


class RunLogger(keras.callbacks.Callback):
    """Sends the rows of a run after each epoch."""

    def __init__(self, services):
        super().__init__()
        self.services = services

    def on_epoch_end(self, epoch, logs=None):
        for each in self.services:
            each.send()


class Sent:
    """A service's run and the last update whose row it has."""

    def __init__(self, opened, writer, step):
        self.opened, self.writer, self.step, self.failed = opened, writer, step, False

    def send(self):
        """Sends the rows that the service lacks. What fails is said once, and tried again the next time."""
        for row in self.writer.rows:
            if row["step"] <= self.step:
                continue
            figures = {name: value for name, value in row.items() if name not in LEFT_OUT and math.isfinite(value)}
            try:
                self.opened.log(row["step"], row["time"], figures)
            except Exception as error:  # the network is gone, say: no reason to end a run
                if not self.failed:
                    notice(
                        f"{self.opened.name} did not take the figures of update {row['step']} ({one_line(error)}). "
                        "They are in log.csv, and sent with the next ones."
                    )
                self.failed = True
                return
            self.step, self.failed = row["step"], False
            self.note()

    def note(self):
        """Writes down which run it is, and how far it is."""
        path = self.writer.output / NOTES
        notes = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        notes[self.opened.name] = {"run": self.opened.run, "step": self.step}
        atomic.write_text(path, json.dumps(notes, indent=1) + "\n")


class WandbRun:
    """A run of Weights & Biases; its files are in RUN/wandb, which `wandb sync` sends if WANDB_MODE=offline kept them.

    Args:
        output: pathlib.Path of the run.
        settings: what is shown as its config.
        run: what `run` was before; None begins another.
    """

    name = "wandb"
    remedy = "Log in with `wandb login`, or set WANDB_MODE=offline."

    def __init__(self, output, settings, run):
        project = None if os.environ.get("WANDB_PROJECT") else PROJECT
        place = {"name": output.resolve().name, "dir": str(output), "project": project}
        self._run = self.package().init(**place, config=settings, id=run, resume="allow", reinit="create_new")
        self.run = self._run.id

    @staticmethod
    def package():
        try:
            import wandb
        except ImportError as error:
            raise missing_package("wandb", "'keras-i3d[wandb]'", 'log="wandb"') from error
        return wandb

    def log(self, update, seconds, figures):
        """Adds the figures of an update, which ended so many seconds after 1970."""
        del seconds  # it takes its own time
        self._run.log(figures, step=update)

    def close(self, whole):
        """Ends the run, as one that came to its end or one that did not."""
        self._run.finish(exit_code=0 if whole else 1)


class MlflowRun:
    """A run of MLflow, where MLFLOW_TRACKING_URI says; arguments as for `WandbRun`."""

    name = "mlflow"
    remedy = "Set MLFLOW_TRACKING_URI to where the runs are kept."

    def __init__(self, output, settings, run):
        mlflow = self.package()
        given = os.environ.get("MLFLOW_TRACKING_URI") or (run and run["where"]) or mlflow.get_tracking_uri()
        where = _absolute(given)
        self._client = mlflow.MlflowClient(tracking_uri=where)
        if run:
            self._client.update_run(run["id"], status="RUNNING")
            self.run = {"id": run["id"], "where": where}
            return
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or PROJECT
        found = self._client.get_experiment_by_name(name)
        experiment = found.experiment_id if found else self._client.create_experiment(name)
        made = self._client.create_run(experiment, run_name=output.resolve().name)
        self.run = {"id": made.info.run_id, "where": where}
        params = [mlflow.entities.Param(key, str(value)) for key, value in settings.items()]
        self._client.log_batch(self.run["id"], params=params)

    @staticmethod
    def package():
        try:
            import mlflow
        except ImportError as error:
            raise missing_package("mlflow", "'keras-i3d[mlflow]'", 'log="mlflow"') from error
        return mlflow

    def log(self, update, seconds, figures):
        """As of `WandbRun`."""
        metric = self.package().entities.Metric
        metrics = [metric(name, value, int(1000 * seconds), update) for name, value in figures.items()]
        self._client.log_batch(self.run["id"], metrics=metrics)

    def close(self, whole):
        """As of `WandbRun`."""
        self._client.set_terminated(self.run["id"], "FINISHED" if whole else "KILLED")


def _absolute(uri):
    """The address of a store that means the same in every working directory."""
    for scheme in ("sqlite:///", "file:"):
        if uri.startswith(scheme):
            path = uri.removeprefix(scheme)
            return uri if path.startswith("/") else scheme + os.path.abspath(path)
    return uri if "://" in uri or uri.startswith("databricks") else os.path.abspath(uri)


SERVICES = {each.name: each for each in (WandbRun, MlflowRun)}
