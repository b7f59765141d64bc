"""Weights that show a fault."""

import numpy as np


def seeded(model, seed=0):
    """Gives a network values that show a fault: no bias is 0, no variance 1, and no layer saturates."""
    draw = np.random.default_rng(seed)
    for weight in model.weights:
        if "variance" in weight.name:
            value = 0.5 + draw.random(weight.shape)
        elif len(weight.shape) > 1:
            value = draw.standard_normal(weight.shape) * np.sqrt(2 / np.prod(weight.shape[:-1]))
        else:
            value = 0.1 * draw.standard_normal(weight.shape) + (weight.name == "gamma")
        weight.assign(value)
    return model
