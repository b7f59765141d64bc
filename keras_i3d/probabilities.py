"""From logits to probabilities, and back, by the activation that a network was trained with."""

import numpy as np

TINY = np.finfo(np.float64).tiny


def softmax(logits):
    """Returns the softmax over the last axis, float64."""
    exponentials = np.exp(np.float64(logits) - np.max(logits, axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


def sigmoid(logits):
    """Returns the logistic function of each value, float64, without overflow."""
    decay = np.exp(-np.abs(np.float64(logits)))
    return np.where(np.asarray(logits) >= 0, 1 / (1 + decay), decay / (1 + decay))


# By name: the activation, and its inverse, which need not give the logits back that it was applied to.
KNOWN = {
    "softmax": (softmax, lambda p: np.log(p + TINY)),
    "sigmoid": (sigmoid, lambda p: np.log(p + TINY) - np.log(1 - p + TINY)),
}


def check(activation):
    """Returns the name of an activation, or raises ValueError if it is none whose answers this package knows."""
    if activation not in KNOWN:
        raise ValueError(
            f"A network ends in {' or '.join(KNOWN)}, or in its logits. Received: one that ends in {activation!r}. "
            "Build it with classifier_activation=None, and apply your own to its logits."
        )
    return activation


def check_logits(logits, name):
    """Raises ValueError for logits of a video, called `name`, that are NaN or infinite."""
    wrong = np.size(logits) - np.count_nonzero(np.isfinite(logits))
    if wrong:
        raise ValueError(
            f"{name}: logits must be finite. Received: {wrong} of {np.size(logits)} that are not. Check the weights, "
            'or use precision="float32".'
        )


def probabilities(logits, activation):
    """Applies a network's own activation.

    Args:
        logits: float (..., classes).
        activation: "softmax" or "sigmoid".

    Returns:
        float64 (..., classes), in [0, 1].
    """
    return KNOWN[check(activation)][0](logits)


def averaged(logits, activation):
    """Averages the probabilities of several views, or of several streams.

    Args:
        logits: float (views, ..., classes).
        activation: "softmax" or "sigmoid".

    Returns:
        float64 (..., classes): logits whose probabilities are the mean of the views' probabilities.
    """
    apply, invert = KNOWN[check(activation)]
    return invert(apply(logits).mean(axis=0))
