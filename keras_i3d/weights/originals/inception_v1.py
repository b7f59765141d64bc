"""TF-Slim's 2D Inception V1, whose checkpoint a 2D network of ours reads as it is, class layer included."""

import re

from keras_i3d.models import families
from keras_i3d.weights.originals.deepmind import SLIM_SUFFIXES
from keras_i3d.weights.originals.original import Original

NETWORK = "InceptionV1"
WEIGHTS = {"w": "kernel", "b": "bias"}


def slim(name):
    """Of research/slim/nets/inception_v1.py."""
    match = re.fullmatch(rf"InceptionV1/(.+?)/({'|'.join(SLIM_SUFFIXES)})", name)
    if match is None:
        return None
    unit = match[1].replace("Conv2d", "Conv3d").replace("/", "_")
    kind, weight = SLIM_SUFFIXES[match[2]].split("/")
    layer = f"{unit}_{kind}"
    return (layer, WEIGHTS.get(weight, weight)) if layer in families.find(NETWORK).layout() else None


ORIGINALS = (Original("TF-Slim", NETWORK, slim, torch=False, beside="global_step"),)
