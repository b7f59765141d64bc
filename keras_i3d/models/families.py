"""One row a network: all that the floors above may ask of it. They name no network, and know none by its layers.

To add a network: a function in this package that builds it, and a row in `FAMILIES`. Its first layer is a
`blocks.ClipCheck`; it takes float32 (B, T, H, W, C); its head gives rows of logits, whose mean over all axes but the
first and the last are its logits.
"""

import functools
import math

from keras_i3d.models import inception, s3d
from keras_i3d.models.family import Family, clip_check


def i3d_row(table=inception.LAYERS):
    """The row of the Inception I3D; with a shorter or narrower table, that of a small one for tests."""
    return Family(
        name="I3D",
        title="Inception-V1 I3D (Carreira and Zisserman 2017, arXiv 1705.07750)",
        builder=functools.partial(inception.inception_i3d, table=table),
        first=f"{table[0][0]}_conv_3d",
        head=inception.HEAD,
        logits="Logits",
        predictions="Predictions",
        endpoints=(*(row[0] for row in table), "Logits", "Predictions"),
        cuts=inception.cuts(table),
        min_frames=9,
        min_size=32,
        step=8,
        steps=lambda frames: math.ceil(frames / 8),
        halo=7,  # 99 frames
        window=2,
        parameters={"rgb": 12_689_984, "flow": 12_668_032},
        macs=111.15,
        accuracy={"rgb": (71.1, 89.3), "flow": (63.4, 84.9), "both": (74.2, 91.3)},
        protocol="Kinetics-400 test set, whole videos, ImageNet and Kinetics (arXiv 1705.07750, table 5)",
    )


def s3d_row(table=inception.LAYERS):
    """The row of S3D in the form that torchvision has weights of; `table` is as for `i3d_row`."""
    return Family(
        name="S3D",
        title="S3D (Xie et al. 2018, arXiv 1712.04851), as in torchvision",
        builder=functools.partial(s3d.s3d, table=table),
        first=f"{table[0][0]}_spatial_conv_3d",
        head=inception.HEAD,
        logits="Logits",
        predictions="Predictions",
        endpoints=(*(row[0] for row in table), "Logits", "Predictions"),
        cuts=inception.cuts(table),
        min_frames=s3d.fewest_frames(),
        min_size=32,
        step=s3d.STEP,
        steps=s3d.time_steps,
        halo=s3d.HALO,
        window=s3d.VARIANTS["torchvision"].window_steps,
        parameters={"rgb": 8_320_048},
        macs=71.92,
        accuracy={"rgb": (68.4, 88.1)},
        protocol="Kinetics-400 validation, one clip of 128 frames at 15 fps (torchvision's S3D_Weights.KINETICS400_V1)",
    )


FAMILIES = {row.name: row for row in (i3d_row(), s3d_row())}
DEFAULT = next(iter(FAMILIES))  # of files and runs that were written before there were several


def find(name):
    """Returns the Family of a name, or raises ValueError with those there are."""
    if name not in FAMILIES:
        raise ValueError(f"A network is one of {', '.join(FAMILIES)}. Received: {name!r}")
    return FAMILIES[name]


def of(model):
    """Returns the Family of a model of one stream that this package made; None for any other model, or name."""
    check = clip_check(model)
    name = check and (check.family or DEFAULT)
    return FAMILIES.get(name) if isinstance(name, str) else None  # a file may name anything


def of_layers(names):
    """Returns the first Family to which layers of these names can belong, with or without a head; else the default.

    Args:
        names: of the layers with weights in a file.
    """
    names = set(names)
    fitting = (row for row in FAMILIES.values() if row.first in names and set(row.layout(include_top=False)) <= names)
    return next(fitting, FAMILIES[DEFAULT])
