"""Which devices a run uses, in which precision, and how several machines train together."""

import contextlib
import dataclasses
import json
import os
import pathlib
import re
import time

import keras
import tensorflow as tf


def strategy(devices=None):
    """What a model is built and trained in the scope of; several workers need it before anything else of TensorFlow.

    Where the environment variable TF_CONFIG names several workers, each of them runs the same command, and they train
    together. Otherwise one process trains on its devices.

    Args:
        devices: names, such as ["/gpu:0", "/gpu:1"]; None for all GPUs, or the CPU if there is none.

    Returns:
        A tf.distribute strategy: MultiWorkerMirroredStrategy, MirroredStrategy over several devices, or the default.
    """
    if keras.backend.backend() != "tensorflow":
        raise ValueError(f"Training runs on TensorFlow. Received: KERAS_BACKEND={keras.backend.backend()}")
    if shard()[1] > 1:
        return tf.distribute.MultiWorkerMirroredStrategy()
    if devices is None:
        devices = [device.name for device in tf.config.list_logical_devices("GPU")]
    return tf.distribute.MirroredStrategy(devices) if len(devices) > 1 else tf.distribute.get_strategy()


@dataclasses.dataclass(frozen=True)
class Cluster:
    """The workers that train together.

    Attributes:
        tasks: ("chief" or "worker", its number) of each; a chief comes first, as in TensorFlow's own order.
        addresses: "host:port" of each.
        place: place of this process among them.
    """

    tasks: tuple = ()
    addresses: tuple = ()
    place: int = 0


def cluster():
    """Returns the Cluster of TF_CONFIG, read by TensorFlow's TFConfigClusterResolver; one of nobody if it is not set.

    Raises:
        ValueError: TF_CONFIG is no JSON of that form, or gives this process another part than to train.
    """
    text = os.environ.get("TF_CONFIG", "")
    if not text.strip():
        return Cluster()
    form = '{"cluster": {"worker": ["host:port", ...]}, "task": {"type": "worker", "index": 0}}'
    try:
        if not isinstance(json.loads(text), dict):
            raise ValueError("no JSON object")
        found = tf.distribute.cluster_resolver.TFConfigClusterResolver()
        spec, task = found.cluster_spec(), (found.task_type, found.task_id)
        jobs = {job: spec.job_tasks(job) for job in spec.jobs}
    except Exception as error:  # whatever TensorFlow runs into if the JSON has another form
        raise ValueError(f"TF_CONFIG takes JSON such as {form}. Received: {text} ({error})") from error
    if task[0] == "evaluator":
        raise ValueError(
            "The workers measure the validation themselves, and leave an evaluator nothing to do: start train on the "
            "chief and the workers alone. Received: a task of type evaluator in TF_CONFIG"
        )
    others = sorted({*jobs, *filter(None, task[:1])} - {"chief", "worker", "evaluator"})
    if others:
        raise ValueError(
            "Workers train together without parameter servers: a cluster in TF_CONFIG is made of worker, and at most "
            f"one chief. Received: {', '.join(others)}"
        )
    addresses = {(job, i): address for job in ("chief", "worker") for i, address in enumerate(jobs.get(job, ()))}
    if not addresses:
        return Cluster()
    if len(jobs.get("chief", ())) > 1 or task not in addresses:
        raise ValueError(f"TF_CONFIG names a task of its cluster, and at most one chief: {form}. Received: {text}")
    return Cluster(tuple(addresses), tuple(addresses.values()), list(addresses).index(task))


def shard():
    """(place of this worker, number of workers)."""
    found = cluster()
    return found.place, max(len(found.tasks), 1)


def is_chief():
    """Whether this process is the one that writes files."""
    return shard()[0] == 0


def best_precision():
    """The Keras policy that trains fastest on this machine without loss of accuracy to speak of.

    Returns:
        "mixed_float16" on a GPU, with a scaled loss; "mixed_bfloat16" on a CPU with matrix units for it (AMX); else
        "float32".
    """
    if tf.config.list_physical_devices("GPU"):
        return "mixed_float16"
    info = pathlib.Path("/proc/cpuinfo")
    features = info.read_text(encoding="utf-8", errors="replace") if info.exists() else ""
    return "mixed_bfloat16" if re.search(r"^flags\b.*\bamx_bf16\b", features, re.MULTILINE) else "float32"


@contextlib.contextmanager
def without_remapping():
    """Within it, on CPUs, TensorFlow optimizes graphs without the pass that it calls remapper.

    It fuses a convolution with what follows. In the gradient of a convolution over padded frames, as S3D and
    FusedTwoStream have it, it fails and prints "remapper failed ... missing node". Without it a step of those two takes
    as long, in float32 and bfloat16, and has the same loss. On a GPU, where nobody measured that, it is left alone.
    """
    if tf.config.list_physical_devices("GPU"):
        yield
        return
    before = tf.config.optimizer.get_experimental_options().get("remapping", True)
    tf.config.optimizer.set_experimental_options({"remapping": False})
    try:
        yield
    finally:
        tf.config.optimizer.set_experimental_options({"remapping": before})


def fit(model, clips, callbacks, validation_data=None, **epochs):
    """`model.fit`, and the same for several workers, where Keras's own fails (keras-team/keras issue 20585).

    Args:
        model: compiled, its optimizer built, in the scope of the strategy.
        clips: this worker's share of each batch.
        callbacks: Keras callbacks; they run on every worker, at the same steps.
        validation_data: this worker's share.
        epochs: `steps_per_epoch`, `initial_epoch`, `epochs` of `fit`.

    """
    with without_remapping():
        if shard()[1] == 1:
            _build_metrics(model, clips.element_spec[1])
            model.fit(clips, validation_data=validation_data, callbacks=callbacks, shuffle=False, verbose=0, **epochs)
            return
        _fit_together(model, clips, keras.callbacks.CallbackList(callbacks, model=model), validation_data, **epochs)


def _build_metrics(model, y):
    """Makes the metrics' variables, which `fit` does only in its first step: too late to give them their values.

    Args:
        y: the TensorSpec of a batch of labels.
    """
    if not tf.distribute.has_strategy():  # under a strategy `fit` makes them before
        clip = tf.zeros((1, *y.shape[1:]), y.dtype), tf.zeros((1, *model.output_shape[1:]))
        model.compute_metrics(None, *clip)
        model.reset_metrics()


def for_replicas(dataset, count):
    """Splits each batch of a worker among its `count` devices, each of which takes an element of its own a step."""
    if count == 1:
        return dataset

    def split(*batch):
        size = -(-tf.shape(batch[-1], tf.int64)[0] // count)
        return tf.data.Dataset.from_tensor_slices(batch).batch(size)

    return dataset.flat_map(split)


def distributed(dataset):
    """Returns an iterator over the batches of a data set, each as the replicas of this worker take it."""
    together, count = tf.distribute.get_strategy(), shard()[1]
    if count == 1:
        return iter(together.experimental_distribute_dataset(dataset))
    dataset = for_replicas(dataset, together.num_replicas_in_sync // count)
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    return iter(together.distribute_datasets_from_function(lambda context: dataset.with_options(options)))


def evaluate(model, validation_data):
    """`model.evaluate`, and the same for several workers; returns {metric: float}.

    Args:
        model: as for `fit`.
        validation_data: this worker's share.
    """
    with without_remapping():
        if shard()[1] == 1:
            _build_metrics(model, validation_data.element_spec[1])
            return {
                name: float(value)
                for name, value in model.evaluate(validation_data, verbose=0, return_dict=True).items()
            }
        model._symbolic_build(data_batch=next(iter(validation_data.take(1))))
        return _measured(model, validation_data)


def _measured(model, clips):
    """Returns {metric: float} over the shares of all workers."""
    together = tf.distribute.get_strategy()

    @tf.function(reduce_retracing=True)
    def test(batch):
        together.run(model.test_step, args=(batch,))

    model.reset_metrics()
    for batch in distributed(clips):
        test(batch)
    return {name: float(value) for name, value in model.get_metrics_result().items()}


def _fit_together(model, clips, callbacks, validation_data, steps_per_epoch, initial_epoch, epochs):
    together = tf.distribute.get_strategy()

    @tf.function(reduce_retracing=True)
    def train(batch):
        together.run(model.train_step, args=(batch,))

    # The metrics' variables are made here, in the scope, because what a step makes would not be shared.
    model._symbolic_build(data_batch=next(iter(clips.take(1))))
    batches, model.stop_training = distributed(clips), False
    callbacks.on_train_begin()
    for epoch in range(initial_epoch, epochs):
        model.reset_metrics()
        callbacks.on_epoch_begin(epoch)
        for step in range(steps_per_epoch):
            callbacks.on_train_batch_begin(step)
            batch = next(batches)
            model.batch_arrived = time.time()
            train(batch)
            callbacks.on_train_batch_end(step, model.get_metrics_result())
        logs = {name: float(value) for name, value in model.get_metrics_result().items()}
        if validation_data is not None:
            callbacks.on_test_begin()
            logs |= {f"val_{name}": value for name, value in _measured(model, validation_data).items()}
            callbacks.on_test_end()
        callbacks.on_epoch_end(epoch, logs)
        if model.stop_training:
            break
    callbacks.on_train_end()
