"""The Frechet video distance while a generator trains: a streaming metric, and a callback that logs it.

The callback is what most want: it runs every few epochs, outside of the compiled step, with NumPy's float64. The metric
is for loops of one's own, and for `compile`. Both take rows of features, or videos and the network that makes rows of
them. What a network expects of its videos, and so the protocol, is the caller's: I3D takes RGB in [-1, 1].
"""

import keras
import numpy as np
from keras import ops

from keras_i3d.errors import notice


@keras.saving.register_keras_serializable(package="keras_i3d")
class FrechetVideoDistance(keras.metrics.Metric):
    """Frechet distance of all real and all generated videos since the last `reset_state`.

    Never an average over batches: what is kept are count, mean and scatter of both sides, as float64 weights of the
    metric. `update_state` may stand in a compiled step, on one device; `result` is computed by NumPy, between steps.

    In `compile(metrics=...)` y_true are the real and y_pred the generated videos. Keras asks for the result after each
    batch there, in the step itself, so that needs run_eagerly=True. `FrechetCallback` needs no such thing.

    The network is neither trained nor saved with the metric. A metric that was loaded needs it anew, as `network`.

    Args:
        size: features of a row; None to take it from the network's output.
        network: what makes rows (B, size) of videos: a Keras model whose output is that, called with training=False; or
            None, if rows are given.
        ddof: 1 for covariances by N - 1, 0 for N.
        name: of the metric.

    Raises:
        ValueError: a wrong size, or a backend without float64.
    """

    def __init__(self, size=None, network=None, ddof=1, name="fvd"):
        from keras_i3d.frechet.gaussians import check_ddof  # Keras may be half imported when this module is

        if size is None and network is not None:
            size = network.output_shape[-1]
        if not isinstance(size, int | np.integer) or size < 1:
            raise ValueError(
                f"size must be the features of a row, a whole number of at least 1, or a network must be given whose "
                f"output has them. Received: size={size!r}"
            )
        super().__init__(name=name, dtype="float64")
        self.size, self.ddof, self.network = int(size), check_ddof(ddof), network
        self.real, self.generated = (self._side(side) for side in ("real", "generated"))
        if keras.backend.standardize_dtype(ops.convert_to_tensor(self.real[1]).dtype) != "float64":
            raise ValueError(
                f"Statistics need float64, which {keras.backend.backend()} does not have as it is set. "
                "Run with JAX_ENABLE_X64=1, or use FrechetCallback, which needs NumPy alone."
            )

    def _side(self, side):
        shapes = {"count": (), "mean": (self.size,), "scatter": (self.size, self.size)}
        return [self.add_variable(shape, "zeros", "float64", name=f"{side}_{name}") for name, shape in shapes.items()]

    def update_state(self, real, generated, sample_weight=None):
        """Adds a batch of each side; the two may differ in number.

        Args:
            real, generated: rows (B, size); or what the network takes, such as videos (B, T, H, W, 3).
            sample_weight: None; weights are refused.
        """
        if sample_weight is not None:
            raise ValueError("A video counts once in this distance. Received: sample_weight. Leave it out.")
        for variables, batch in ((self.real, real), (self.generated, generated)):
            self._add(variables, self._rows(batch))

    def update_real(self, batch):
        """Adds a batch of the real side alone."""
        self._add(self.real, self._rows(batch))

    def update_generated(self, batch):
        """Adds a batch of the generated side alone."""
        self._add(self.generated, self._rows(batch))

    def _rows(self, batch):
        batch = ops.convert_to_tensor(batch)
        if len(batch.shape) != 2:
            if self.network is None:
                raise ValueError(
                    f"Without a network the metric takes rows (B, {self.size}). Received: {tuple(batch.shape)}. "
                    "Give it network=, which is not saved with the metric: after loading, set metric.network."
                )
            batch = self.network(batch, training=False)
        if len(batch.shape) != 2 or batch.shape[1] != self.size:
            raise ValueError(f"Rows of features are (B, {self.size}). Received: {tuple(batch.shape)}")
        return ops.cast(batch, "float64")

    def _add(self, variables, rows):
        """As `Gaussian.update`: the scatter about the batch's mean, and of that mean about the one so far."""
        count, mean, scatter = (ops.convert_to_tensor(variable) for variable in variables)
        added = ops.cast(ops.shape(rows)[0], "float64")
        # The first batch is centred by its own first row: zero is no place near the mean. Of no rows all sums are zero.
        origin = ops.where(count > 0, mean, ops.sum(rows[:1], axis=0))
        centred = rows - origin
        offset = ops.sum(centred, axis=0) / ops.maximum(added, 1.0)
        centred = centred - offset
        share = added / ops.maximum(count + added, 1.0)
        scatter = scatter + ops.transpose(centred) @ centred + count * share * ops.outer(offset, offset)
        for variable, value in zip(variables, (count + added, origin + share * offset, scatter)):
            variable.assign(value)

    def result(self):
        """Returns float64 (): `distances.frechet_distance` of both sides; NaN if one is empty or not finite.

        Raises:
            ValueError: it is asked for within a compiled step.
        """
        from keras_i3d.frechet.distances import frechet_distance

        real, generated = self.statistics()
        value = float("nan")
        if real.count and generated.count and all(np.isfinite(each.scatter).all() for each in (real, generated)):
            value = frechet_distance(real, generated, self.ddof).value
        return ops.convert_to_tensor(value, "float64")

    def statistics(self):
        """Returns the Gaussian of each side, (real, generated): to be saved, or merged with another process's.

        Raises:
            ValueError: it is asked for within a compiled step.
        """
        from keras_i3d.frechet.gaussians import Gaussian

        made = []
        for side in (self.real, self.generated):
            try:
                count, mean, scatter = (ops.convert_to_numpy(each) for each in side)
            except Exception as error:  # each backend has its own for a value that is not there yet
                raise ValueError(
                    "The distance is computed outside of a compiled step, because XLA takes minutes for a "
                    "decomposition of this size. Received: a call of result within one. Call it between steps, use "
                    "FrechetCallback, or compile with run_eagerly=True."
                ) from error
            found = Gaussian(self.size)
            found.count, found.mean, found.scatter = int(count), mean.copy(), scatter.copy()
            made.append(found)
        return tuple(made)

    def set_statistics(self, real, generated):
        """Continues from the Gaussian of each side, such as those of a file."""
        for side, found in ((self.real, real), (self.generated, generated)):
            for variable, value in zip(side, (found.count, found.mean, found.scatter)):
                variable.assign(value)

    def get_config(self):
        return {"name": self.name, "size": self.size, "ddof": self.ddof}


class FrechetCallback(keras.callbacks.Callback):
    """Measures a generator after the first and every so many epochs, and logs the Frechet distance as `val_fvd`.

    Its statistics are NumPy's float64, outside of any graph. The real side is read once, when training begins. Put it
    before callbacks that look at its figure, such as `ModelCheckpoint(monitor="val_fvd", mode="min")`. Epochs without a
    measurement repeat the last figure, which such callbacks take for no improvement. Of no figure, or of NaN,
    ModelCheckpoint would save that epoch as the best.

    Args:
        real: the real side: a Gaussian; the path of statistics (.npz, or .pkl of raw moments) or of rows (.npy); an
            array of rows (N, d); or a function that returns an iterable of batches, of rows or of videos.
        generate: a function of the model being trained that returns an iterable of batches of what it generates, rows
            or videos. Let it draw from a fixed seed: then epochs differ by the generator alone.
        network: what makes rows (B, d) of a batch of videos: a `fvd.LogitNetwork`, which resizes uint8 videos as the
            protocol does; a Keras model, or any function, which take them as they are; None if batches are rows.
        every: epochs between measurements: 5 measures after epochs 1, 5, 10, 15.
        protocol: name of the protocol. It becomes part of the figure's name, "val_fvd_stylegan-v", because the
            protocols' numbers do not compare. If it is one of the four of `fvd_protocols`, the distance is estimated by
            it, and statistics of another one are refused.
        ddof, form: as for `distances.frechet_distance`; None for what the protocol has, else 1 and "symmetric".

    Attributes:
        name: of the figure in the logs.
        distance: the last Distance; None before the first.
    """

    def __init__(self, real, generate, network=None, every=1, protocol=None, ddof=None, form=None):
        from keras_i3d.frechet import fvd_protocols  # Keras may be half imported when this module is

        super().__init__()
        if not isinstance(every, int) or every < 1:
            raise ValueError(f"every must be a whole number of epochs, at least 1. Received: every={every!r}")
        for what, function in (("generate", generate), ("network", network)):
            if not callable(function) and (what == "generate" or function is not None):
                raise ValueError(f"{what} must be a function. Received: {what}={function!r}")
        self.real, self.generate, self.network, self.every = real, generate, network, every
        self.protocol = protocol
        known = fvd_protocols.PROTOCOLS.get(protocol or "original")  # which has the defaults of all else
        usual = known or fvd_protocols.PROTOCOLS["original"]
        self.ddof = usual.ddof if ddof is None else ddof
        self.form = usual.form if form is None else form
        if hasattr(network, "rows"):
            if known is None:
                raise ValueError(
                    f"A LogitNetwork resizes by one of {', '.join(fvd_protocols.PROTOCOLS)}. "
                    f"Received: protocol={protocol!r}"
                )
            self.network = lambda batch: network.rows(ops.convert_to_numpy(batch), known)
        self.name = f"val_fvd_{protocol}" if protocol else "val_fvd"
        self.distance, self._known, self._said = None, None, False

    def on_train_begin(self, logs=None):
        from keras_i3d.frechet import distances

        self.distance = None
        if self._known is None:
            real = self.real
            self._known = self._gaussian(real(), "real") if callable(real) else distances.gaussian_of(real)
            noted = self._known.notes.get("protocol")
            if noted is not None and self.protocol is not None and noted != self.protocol:
                raise ValueError(
                    f"Both sides are by one protocol. Received: real statistics by {noted!r}, and "
                    f"protocol={self.protocol!r}"
                )

    def on_epoch_end(self, epoch, logs=None):
        from keras_i3d.frechet import distances

        if self.distance is None or (epoch + 1) % self.every == 0:
            made = self._gaussian(self.generate(self.model), "generate")
            self.distance = distances.frechet_distance(self._known, made, self.ddof, self.form)
            if not self._said:
                for note in self.distance.notes:
                    notice(f"{self.name}: {note}")
            self._said = True
        if logs is not None:
            logs[self.name] = self.distance.value

    def _gaussian(self, batches, what):
        """The Gaussian of all batches; memory holds one."""
        from keras_i3d.frechet.gaussians import Gaussian, check_rows

        found = None
        for batch in batches:
            if self.network is not None:
                batch = getattr(self.network, "predict_on_batch", self.network)(batch)
            rows = check_rows(ops.convert_to_numpy(batch))
            found = (found or Gaussian(rows.shape[1])).update(rows)
        if found is None:
            raise ValueError(f"{what} must give a batch at least. Received: none")
        return found
