"""Which devices a run uses, in which precision, and how several machines train together."""

import json
import os
import pathlib
import re
import time

import keras

from keras_i3d.messages import KerasI3DError


class TrainingError(KerasI3DError):
    """A run that cannot start or go on."""


def strategy(devices=None):
    """What a model is built and trained in the scope of; several workers need it before anything else of TensorFlow.

    Where the environment variable TF_CONFIG names several workers, each of them runs the same command, and they train
    together. Otherwise one process trains on its devices.

    Args:
        devices: names, such as ["/gpu:0", "/gpu:1"]; None for all GPUs, or the CPU where there is none.

    Returns:
        A tf.distribute strategy: MultiWorkerMirroredStrategy, MirroredStrategy over several devices, or the default.
    """
    import tensorflow as tf

    if keras.backend.backend() != "tensorflow":
        raise ValueError(f"Training runs on TensorFlow. Received: KERAS_BACKEND={keras.backend.backend()}")
    if len(peers()) > 1:
        return tf.distribute.MultiWorkerMirroredStrategy()
    if devices is None:
        devices = [device.name for device in tf.config.list_logical_devices("GPU")]
    return tf.distribute.MirroredStrategy(devices) if len(devices) > 1 else tf.distribute.get_strategy()


def peers():
    """The addresses of all workers by TF_CONFIG, this one among them; [] where it is not set."""
    return json.loads(os.environ.get("TF_CONFIG", "{}")).get("cluster", {}).get("worker", [])


def shard():
    """(index of this worker, number of workers)."""
    if len(peers()) < 2:
        return 0, 1
    return json.loads(os.environ["TF_CONFIG"])["task"]["index"], len(peers())


def is_chief():
    """Whether this process is the one that writes files."""
    return shard()[0] == 0


def best_precision():
    """The Keras policy that trains fastest on this machine without loss of accuracy to speak of.

    Returns:
        "mixed_float16" on a GPU, with a scaled loss; "mixed_bfloat16" on a CPU with matrix units for it (AMX); else
        "float32".
    """
    import tensorflow as tf

    if tf.config.list_physical_devices("GPU"):
        return "mixed_float16"
    info = pathlib.Path("/proc/cpuinfo")
    features = info.read_text(encoding="utf-8", errors="replace") if info.exists() else ""
    return "mixed_bfloat16" if re.search(r"^flags\b.*\bamx_bf16\b", features, re.MULTILINE) else "float32"


def fit(model, clips, callbacks, validation_data=None, **epochs):
    """`model.fit`, and the same for several workers, where Keras's own fails (keras-team/keras issue 20585).

    Args:
        model: compiled, its optimizer built, in the scope of the strategy.
        clips: this worker's share of each batch.
        callbacks: Keras callbacks; they run on every worker, at the same steps.
        validation_data: this worker's share.
        epochs: `steps_per_epoch`, `initial_epoch`, `epochs` of `fit`.

    Raises:
        TrainingError: another worker was lost.
    """
    if shard()[1] == 1:
        _build_metrics(model)
        model.fit(clips, validation_data=validation_data, callbacks=callbacks, shuffle=False, verbose=0, **epochs)
        return
    import tensorflow as tf

    lost = (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.InternalError, tf.errors.CancelledError)
    try:
        _fit_together(model, clips, keras.callbacks.CallbackList(callbacks, model=model), validation_data, **epochs)
    except lost as error:
        names = sorted({peers()[int(task)] for task in re.findall(r"/task:(\d+)", str(error))} - {peers()[shard()[0]]})
        raise TrainingError(
            f"Lost the worker {' and '.join(names) or 'of another machine'}. Start the same command again on all "
            f"workers: it goes on from the last checkpoint. ({str(error).splitlines()[0]})"
        ) from error


def _build_metrics(model):
    """Makes the metrics' variables, which `fit` does only in its first step: too late to give them their values."""
    import tensorflow as tf

    if not tf.distribute.has_strategy():  # under a strategy `fit` makes them before
        model.compute_metrics(None, tf.zeros((1,), tf.int64), tf.zeros((1, model.output_shape[-1])))
        model.reset_metrics()


def _fit_together(model, clips, callbacks, validation_data, steps_per_epoch, initial_epoch, epochs):
    import tensorflow as tf

    together = tf.distribute.get_strategy()

    @tf.function(reduce_retracing=True)
    def train(batch):
        together.run(model.train_step, args=(batch,))

    @tf.function(reduce_retracing=True)
    def test(batch):
        together.run(model.test_step, args=(batch,))

    def each(dataset):
        options = tf.data.Options()
        options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
        return iter(together.distribute_datasets_from_function(lambda context: dataset.with_options(options)))

    # The metrics' variables are made here, in the scope, for what a step makes would not be shared.
    model._symbolic_build(data_batch=next(iter(clips.take(1))))
    batches = each(clips)
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
            model.reset_metrics()
            for batch in each(validation_data):
                test(batch)
            logs |= {f"val_{name}": float(value) for name, value in model.get_metrics_result().items()}
        callbacks.on_epoch_end(epoch, logs)
    callbacks.on_train_end()
