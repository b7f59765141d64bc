"""How often each record is drawn in an epoch, where classes with few and with many clips are balanced.

A record is drawn as often as its weight says, on the average over epochs. The weights sum to the number of records, so
that an epoch has as many clips as without balance. In each epoch a record is drawn its weight rounded down or up times,
by systematic sampling: the weights are laid end to end, class by class and within a class in random order, and a record
is drawn once for each whole number that falls on its weight, from a random beginning on. So the clips of a class in an
epoch differ from what is asked for by less than one. All of this is whole numbers, so that every machine draws alike.
"""

import numpy as np
import tensorflow as tf

from keras_i3d.data import augment

BITS = 32  # of a weight after the binary point
SHARES = {"equal": np.ones_like, "sqrt": np.sqrt}  # how many clips classes have, from how many records they have


def factors(counts, how):
    """Returns how much a record of each class counts, if they are balanced, but for a common factor.

    Args:
        counts: float (classes,), how many records each class has.
        how: "equal" or "sqrt", as of `data.load`.

    Returns:
        float64 (classes,), 0 for a class without records.
    """
    return SHARES[how](counts) / np.maximum(counts, 1) * (counts > 0)


def clips_of(counts, how):
    """Returns float64 (classes,): how many clips of each class an epoch has, of as many records, by `how`; see `load`.

    Of records with several classes it is an approximation.
    """
    counts = np.asarray(counts, float)
    drawn = counts if how == "none" else counts * factors(counts, how)
    return drawn * (counts.sum() / max(drawn.sum(), 1))


class Balance:
    """How often each record of a data set is drawn.

    Of records with several classes the weight is that of the class that asks for the most (repeat-factor sampling, as
    of LVIS, arXiv 1908.03195, section 5.2), so that classes are as even as their company allows. A record without a
    class is drawn like those of the class that asks for the least.

    Args:
        classes: for each record the indices of its classes.
        how: "equal" or "sqrt", as of `data.load`.
        keeps: for each record, whether it takes part; None for all.

    Attributes:
        weights: int64 (N,): how often each record is drawn, in units of 2 ** -BITS.
        clips: how many clips an epoch has: the records that take part.
    """

    def __init__(self, classes, how, keeps=None):
        keeps = np.ones(len(classes), bool) if keeps is None else np.asarray(keeps, bool)
        kept = [each if keep else () for each, keep in zip(classes, keeps)]
        counts = np.bincount(np.array([index for each in kept for index in each], np.int64)).astype(float)
        asked = factors(counts, how)
        least = asked[counts > 0].min(initial=np.inf)
        asking = [max(each, key=lambda index: asked[index], default=-1) for each in kept]
        asked = np.append(asked, least if np.isfinite(least) else 1.0)  # at -1, of records without a class
        weights = asked[asking] * keeps if asking else np.zeros(0)
        self.clips = int(keeps.sum())
        self.weights = np.rint(weights / max(weights.sum(), 1e-300) * self.clips * 2.0**BITS).astype(np.int64)
        self._groups = np.array(asking, np.int64)

    def times(self, seed):
        """Draws how often each record is drawn in an epoch: int64 (N,), of the sum `clips`; in a graph too.

        Args:
            seed: stateless, int64 (2,), of the epoch.
        """
        if not self.clips:
            return tf.zeros(len(self.weights), tf.int64)
        mixed = tf.random.experimental.stateless_shuffle(tf.range(len(self.weights)), seed)
        order = tf.gather(mixed, tf.argsort(tf.gather(self._groups, mixed), stable=True))
        ends = tf.cumsum(tf.gather(self.weights, order))
        # Rounding may have left their sum a little above or below.
        ends = tf.minimum(tf.concat([ends[:-1], [self.clips << BITS]], 0), self.clips << BITS)
        one = tf.constant(1 << BITS, tf.int64)
        beginning = tf.random.stateless_uniform([], augment.seed_of(*tf.unstack(seed)), 0, one, tf.int64)
        whole = (tf.concat([[0], ends], 0) + beginning) // one
        return tf.scatter_nd(order[:, None], whole[1:] - whole[:-1], tf.shape(order))


def of_source(source, how, wanted=None):
    """Returns the Balance of a `data.Source`.

    Args:
        source: the Source.
        how: "equal" or "sqrt".
        wanted: indices of the classes to use, each of which counts; None for all.

    Raises:
        ValueError: a file without a manifest.
    """
    if None in source.ids:
        raise ValueError(
            "Balance needs manifests, as `keras-i3d records` writes them. Received: "
            f'balance="{how}" and {source.files[source.ids.index(None)]}. Build the records, or pass balance="none".'
        )
    classes = [each for file in source.record_classes for each in file]
    if wanted is None:
        return Balance(classes, how)
    chosen = [tuple(index for index in each if index in wanted) for each in classes]
    return Balance(chosen, how, [bool(each) for each in chosen] if source.labelling == "single" else None)
