"""TF-Slim's 2D Inception V1, whose checkpoint a 2D network of ours reads as it is, class layer included."""

from keras_i3d.models import families
from keras_i3d.weights.originals.deepmind import slim_place
from keras_i3d.weights.originals.original import Original

NETWORK = "InceptionV1"
WEIGHTS = {"w": "kernel", "b": "bias"}


def slim(name):
    """Of research/slim/nets/inception_v1.py."""
    layer, weight = slim_place(name) or (None, None)
    return (layer, WEIGHTS.get(weight, weight)) if layer in families.find(NETWORK).layout() else None


ORIGINALS = (Original("TF-Slim", NETWORK, slim, torch=False, beside="global_step"),)
