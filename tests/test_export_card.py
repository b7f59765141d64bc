"""What an export says of the weights that it was made of. Apart from its siblings, which cut I3D short."""

import re

from keras_i3d import networks
from keras_i3d.export import card as cards


def test_published_weights_say_where_they_are_from(repository):
    card = cards.provenance("kinetics", "rgb", networks.load("kinetics", "rgb").model)
    assert card["checkpoint"] == "rgb_imagenet"
    assert re.fullmatch("[0-9a-f]{40}", card["git_blob"])
    assert re.fullmatch("[0-9a-f]{64}", card["sha256_of_arrays"])
