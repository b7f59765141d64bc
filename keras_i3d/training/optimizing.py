"""How training minimises: the optimizer of a Recipe, its schedule, and what each layer has of the learning rate."""

import math

import keras
import numpy as np
from keras import ops

from keras_i3d.models import families, stages


def optimizer(recipe, model=None, update=0):
    """The optimizer of a Recipe, not built.

    Args:
        recipe: the Recipe.
        model: what it trains; it tells the layers apart. None for one learning rate.
        update: the number of updates before, by which `unfreeze` tells what is trained.
    """
    own = {
        "sgd": (SGD, {"momentum": recipe.momentum}),
        "adamw": (AdamW, {"beta_1": recipe.momentum, "beta_2": recipe.beta_2, "kernel_decay": recipe.weight_decay}),
    }
    kind, settings = own[recipe.optimizer]
    return kind(
        schedule(recipe),
        factors={} if model is None else layer_factors(model, recipe),
        begun={} if model is None else starts(model, recipe, update),
        global_clipnorm=recipe.clip_norm,
        gradient_accumulation_steps=recipe.accumulate if (recipe.accumulate or 1) > 1 else None,
        name=recipe.optimizer,  # always the same, because the paths of its variables have it
        **settings,
    )


def layer_factors(model, recipe):
    """Returns {path of a weight: its factor of the learning rate} by `layer_decay`; {} if all have the same."""
    if recipe.layer_decay == 1:
        return {}
    found = stages.factors(model, families.of(model), recipe.layer_decay)
    return {weight.path: found[layer.name] for layer in model.layers for weight in layer.weights}


def starts(model, recipe, update):
    """Returns {path of a weight: updates before its training began} at an update, of those that began after the first.

    Its momentum is as old as its training: Adam's correction counts from there.
    """
    begun = [(first, endpoint) for first, endpoint in recipe.unfreeze if first <= update]
    if not begun:
        return {}
    family = families.of(model)
    deep, found, before = stages.depths(model, family), {}, reach(recipe.train_from, model, family)
    for first, endpoint in begun:
        now = reach(endpoint, model, family)
        new = [layer for layer in model.layers if before < deep[layer.name] <= now]
        found |= {weight.path: first for layer in new for weight in layer.weights}
        before = now
    return found


def reach(endpoint, model, family):
    """The depth of the deepest stage that is trained from an endpoint on; "all" or None for all of them."""
    return math.inf if endpoint in (None, "all") else stages.depth_of(endpoint, model, family)


def trained_from(recipe, update):
    """The endpoint that is trained from at an update, by the number of updates before it; None or "all" for all."""
    return next((endpoint for first, endpoint in reversed(recipe.unfreeze) if first <= update), recipe.train_from)


def set_trainable(model, recipe, update=0):
    """Freezes the layers that a Recipe leaves as they are at an update, and no others.

    Raises:
        ValueError: an endpoint that the network does not have, or one of `unfreeze` that trains no more than before.
    """
    family = families.of(model)
    named = [] if recipe.train_from is None else [recipe.train_from, *(endpoint for _, endpoint in recipe.unfreeze)]
    reached = [reach(endpoint, model, family) for endpoint in named]
    if any(low >= high for low, high in zip(reached, reached[1:])):
        raise ValueError(
            "Each endpoint of unfreeze lies below the one before it, train_from being the first, so that more is "
            f"trained each time. Received: {', '.join(named)}"
        )
    limit = reach(trained_from(recipe, update), model, family)
    deep = stages.depths(model, family) if limit < math.inf else {}
    for layer in model.layers:
        frozen = layer.name != family.head if recipe.part == "head" else deep.get(layer.name, 0) > limit
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.trainable = not (frozen or recipe.freeze_bn)
        elif layer.weights:
            layer.trainable = not frozen


def keep_state(before, after):
    """Gives an optimizer the variables of another one that it has too: one of the same kind for fewer weights."""
    values = {variable.path: variable for variable in before.variables}
    for variable in after.variables:
        if variable.path in values:
            variable.assign(np.asarray(values[variable.path]))


class Measured:
    """What an optimizer of Keras gains: the global norms of its updates' gradients, added up in one more variable."""

    def build(self, variables):
        super().build(variables)
        first = "only_first_replica"  # all devices have the same sum of gradients
        self.norms = self.add_variable((2,), "zeros", "float32", aggregation=first, name="gradient_norms")

    def note_norm(self, grads):
        """Adds the norm of an update's gradient, a list of tensors or None: whole, and before it is clipped."""
        norm = ops.sqrt(sum(_squares(grad) for grad in grads if grad is not None))
        self.norms.assign_add(ops.stack([norm, ops.ones_like(norm)]))


class Penalty(keras.regularizers.L2):
    """Keras's L2 penalty of a weight in fewer passes over it, its gradient equal to the bit."""

    def __call__(self, x):
        return self.l2 * _squares(x)


def _squares(tensor):
    """The sum of a tensor's squares, in float32."""
    tensor = ops.cast(tensor, "float32")
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return 2 * tf.nn.l2_loss(tensor)  # in one pass, where two would write all squares and read them again
    return ops.sum(ops.square(tensor))


class OfLayers(Measured):
    """What is added to an optimizer of Keras: factors of layers, and a bound on the norm that holds on all devices.

    Args:
        *arguments, **settings: of the optimizer of Keras.
        factors: {path of a weight: factor of its learning rate}; 1 for all others.
        begun: {path of a weight: updates before its training began}; 0 for all others.
    """

    def __init__(self, *arguments, factors=None, begun=None, **settings):
        super().__init__(*arguments, **settings)
        self.factors, self.begun = factors or {}, begun or {}

    def get_config(self):
        return {**super().get_config(), "factors": dict(self.factors), "begun": dict(self.begun)}

    def build(self, variables):
        super().build(variables)
        self.factor_of = tuple(self.factors.get(variable.path, 1.0) for variable in variables)
        self.begun_of = tuple(self.begun.get(variable.path, 0) for variable in variables)

    def update_step(self, gradient, variable, learning_rate):
        factor = self.factor_of[self._get_variable_index(variable)]
        super().update_step(gradient, variable, learning_rate if factor == 1 else learning_rate * factor)

    def _clip_gradients(self, grads):
        """Nothing: Keras clips what each device has before it adds them up, which depends on their number."""
        return grads

    def _all_reduce_sum_gradients(self, grads_and_vars):
        summed = super()._all_reduce_sum_gradients(grads_and_vars)
        self.note_norm([gradient for gradient, _ in summed])
        clipped = super()._clip_gradients([gradient for gradient, _ in summed])
        return [(gradient, variable) for gradient, (_, variable) in zip(clipped, summed)]


class InOnePass(keras.optimizers.SGD):
    """Keras's SGD, whose step with momentum is one operation of TensorFlow instead of five.

    It goes over a weight, its gradient and its momentum once, and computes what Keras writes to the bit. (If the norm
    is clipped, TensorFlow's optimizer of graphs may multiply Keras's factors in another order. That changes last bits.)
    Whatever else is done to gradients and weights (clipping, weight decay, accumulation, averages) comes before or
    after it.
    """

    def update_step(self, gradient, variable, learning_rate):
        is_float32 = keras.backend.standardize_dtype(variable.dtype) == "float32"  # bfloat16 would round otherwise
        is_sparse = hasattr(gradient, "indices")  # IndexedSlices, of some rows alone
        if keras.backend.backend() != "tensorflow" or not self.momentum or not is_float32 or is_sparse:
            super().update_step(gradient, variable, learning_rate)
            return
        import tensorflow as tf

        weight = variable.value if isinstance(variable, keras.Variable) else variable
        momentum = self.momentums[self._get_variable_index(variable)].value
        tf.raw_ops.ResourceApplyKerasMomentum(
            var=weight.handle,
            accum=momentum.handle,  # on several devices, that of the one whose weight this is
            lr=tf.cast(learning_rate, "float32"),
            grad=tf.cast(gradient, "float32"),
            momentum=self.momentum,
            use_nesterov=self.nesterov,
        )


@keras.saving.register_keras_serializable(package="keras_i3d")
class SGD(OfLayers, InOnePass):
    """Keras's SGD with `OfLayers`. Its weight decay is an L2 penalty, a part of the gradient."""


@keras.saving.register_keras_serializable(package="keras_i3d")
class AdamW(OfLayers, keras.optimizers.Adam):
    """Keras's Adam with `OfLayers` and decoupled weight decay (arXiv 1711.05101), of kernels alone.

    A weight w of several dimensions first becomes w - rate * kernel_decay * w, the rate being that of its layer.
    """

    def __init__(self, *arguments, kernel_decay=0.0, **settings):
        super().__init__(*arguments, **settings)
        self.kernel_decay = kernel_decay

    def get_config(self):
        return {**super().get_config(), "kernel_decay": self.kernel_decay}

    def update_step(self, gradient, variable, learning_rate):
        index = self._get_variable_index(variable)
        if self.kernel_decay and len(variable.shape) > 1:
            rate = ops.cast(learning_rate * self.factor_of[index] * self.kernel_decay, variable.dtype)
            self.assign_sub(variable, rate * variable)
        if self.begun_of[index]:
            # Keras corrects all momenta for the zeros that they began with by one count of updates. This turns it into
            # the correction by the updates that this weight has had.
            learning_rate = learning_rate * self._corrected(self.begun_of[index]) / self._corrected(0)
        super().update_step(gradient, variable, learning_rate)

    def _corrected(self, begun):
        updates = ops.cast(self.iterations + 1 - begun, "float32")
        return ops.sqrt(1 - ops.power(self.beta_2, updates)) / (1 - ops.power(self.beta_1, updates))


def schedule(recipe):
    """The learning rate of a Recipe, as a function of the batches before."""
    cosine = {"final": recipe.final_rate, "steps": recipe.steps} if recipe.schedule == "cosine" else {}
    steps = recipe.boundaries, recipe.rates
    return Schedule(recipe.learning_rate, *steps, recipe.warmup_steps, recipe.accumulate or 1, **cosine)


@keras.saving.register_keras_serializable(package="keras_i3d")
class Schedule(keras.optimizers.schedules.LearningRateSchedule):
    """A learning rate after a linear rise from nothing: constant but for changes at given updates, or half a cosine.

    Keras's CosineDecay counts batches where this counts updates, and begins its rise with an update of rate 0.

    Args:
        first: the rate of the first updates after the rise.
        boundaries, rates: after `boundaries[i]` updates the rate is `rates[i]`.
        warmup_steps: updates of the rise.
        accumulate: batches an update, because an optimizer of Keras counts batches here.
        final: the rate of the last update, for half a cosine from `first` to it that begins after the rise.
        steps: updates until then; None for no cosine.
    """

    def __init__(self, first, boundaries=(), rates=(), warmup_steps=0, accumulate=1, final=0.0, steps=None):
        self.first, self.boundaries, self.rates = first, boundaries, rates
        self.warmup_steps, self.accumulate = warmup_steps, accumulate
        self.final, self.steps = final, steps

    def __call__(self, step):
        step = ops.cast(ops.floor_divide(step, self.accumulate), "float32")
        rate = ops.convert_to_tensor(self.first, "float32")
        for boundary, after in zip(self.boundaries, self.rates):
            rate = ops.where(step >= boundary, after, rate)
        if self.steps is not None:
            share = (step - self.warmup_steps) / max(self.steps - 1 - self.warmup_steps, 1)
            share = ops.clip(share, 0.0, 1.0)
            rate = self.final + (self.first - self.final) * 0.5 * (1 + ops.cos(math.pi * share))
        return rate * ops.minimum((step + 1) / (self.warmup_steps + 1), 1.0)

    def get_config(self):
        names = ("first", "boundaries", "rates", "warmup_steps", "accumulate", "final", "steps")
        return {name: getattr(self, name) for name in names}


@keras.saving.register_keras_serializable(package="keras_i3d")
class HeldRate(keras.optimizers.schedules.LearningRateSchedule):
    """A learning rate that is set from outside, between two steps: `rate` is a variable."""

    def __init__(self, first=0.0):
        self.rate = keras.Variable(first, trainable=False, dtype="float32", name="held_rate")

    def __call__(self, step):
        return self.rate.value

    def get_config(self):
        return {"first": float(self.rate)}


def mean_norm(optimizer):
    """Returns the mean norm of the gradients since it was last taken, and begins anew; None without an update.

    An update that the loss scale of mixed_float16 left out is not counted.

    Args:
        optimizer: a `Measured` one, or a LossScaleOptimizer around it.
    """
    variable = getattr(optimizer, "inner_optimizer", optimizer).norms
    total, updates = np.asarray(variable)
    variable.assign(np.zeros(2, "float32"))
    return float(total / updates) if updates else None
