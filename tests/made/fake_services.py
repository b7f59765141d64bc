"""What the packages wandb and mlflow are asked to do, in memory: each holds the runs that it was given."""

import types


class Wandb:
    """`wandb` as far as a run uses it: {id: run}; a run that is opened again keeps its rows."""

    def __init__(self):
        self.runs, self.opened = {}, []

    def init(self, id=None, **asked):
        self.opened.append({"id": id, **asked})
        id = id or f"w{len(self.runs)}"
        return self.runs.setdefault(id, WandbRun(id))


class WandbRun:
    def __init__(self, id):
        self.id, self.rows, self.ends = id, [], []

    def log(self, figures, step):
        self.rows.append((step, figures))

    def finish(self, exit_code):
        self.ends.append(exit_code)


class Mlflow:
    """`mlflow` as far as a run uses it; `fails` has the next call that sends figures raise."""

    def __init__(self):
        self.experiments, self.runs, self.fails = {}, {}, False
        self.entities = types.SimpleNamespace(
            Metric=lambda key, value, timestamp, step: (step, key, value, timestamp),
            Param=lambda key, value: (key, value),
        )

    def get_tracking_uri(self):
        return "sqlite:///mlflow.db"

    def MlflowClient(self, tracking_uri):  # noqa: N802
        self.where = tracking_uri
        return self

    def get_experiment_by_name(self, name):
        return self.experiments.get(name)

    def create_experiment(self, name):
        self.experiments[name] = types.SimpleNamespace(experiment_id="e0")
        return "e0"

    def create_run(self, experiment, run_name):
        run = types.SimpleNamespace(experiment=experiment, name=run_name, params={}, metrics=[], states=[])
        run.info = types.SimpleNamespace(run_id=f"m{len(self.runs)}")
        self.runs[run.info.run_id] = run
        return run

    def update_run(self, run_id, status):
        self.runs[run_id].states.append(status)

    def log_batch(self, run_id, metrics=(), params=()):
        if metrics and self.fails:
            raise ConnectionError("no route to host")
        self.runs[run_id].metrics += metrics
        self.runs[run_id].params |= dict(params)

    def set_terminated(self, run_id, status):
        self.runs[run_id].states.append(status)
