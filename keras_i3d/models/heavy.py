"""I3D with a part of its convolutions flat: I2D, Top-Heavy I3D, Bottom-Heavy I3D (Xie et al. 2018, arXiv 1712.04851).

A flat convolution is 1 x k x k. The table, layers and names are Inception I3D's; kernels differ. The paper leaves open
what becomes of strides and pools: they stay, as in TF-Slim (`temporal_conv_startat`), so all have I3D's steps of 8
frames. The first convolution is flat where the convolutions next to it are: TF-Slim sets it by itself, to 3 by default.

I2D mixes frames in its pools, and takes every second frame. It equals the 2D Inception-V1 exactly, at every step, on a
video of one repeated image. With `per_frame=True` it keeps all frames and its pools are flat too: it equals the 2D
network on each frame of any video, and its logits are the mean of those of the frames.
"""

import functools

from keras_i3d.models.family import Family
from keras_i3d.models.inception import (
    CONV,
    INCEPTION_V1,
    LAYERS,
    MIXED,
    TEMPORAL_STRIDES,
    fewest_frames,
    inception_i3d,
    kernels,
    layer_names,
    strided,
    timing,
)

PER_FRAME = (1, 1, 1)  # temporal strides that keep all frames
SOURCE = "(Xie et al. 2018, arXiv 1712.04851)"

# Where Top-Heavy I3D may begin to be 3D, and Bottom-Heavy I3D end; the first of each by default.
# Trainable parameters at 400 classes for rgb and flow; multiply-adds, in 1e9.
STARTS = {
    "Mixed_4b": (11_684_288, 11_681_152, 48.03),
    "Mixed_3b": (12_412_352, 12_409_216, 66.3),
    "Mixed_5b": (8_435_648, 8_432_512, 37.84),
}
ENDS = {
    "Mixed_3c": (7_008_320, 6_986_368, 100.01),
    "Conv3d_2c_3x3": (6_280_256, 6_258_304, 81.75),
    "Mixed_4f": (10_256_960, 10_235_008, 110.2),
}


def flat(table, endpoints, pools=False):
    """Returns the table with convolutions of these endpoints, and pools too if so asked, that reach over no time."""

    def changed(row):
        name, kind, *settings = row
        if name not in endpoints:
            return row
        if kind == CONV:
            filters, kernel, strides = settings
            return name, kind, filters, (1, *kernel[1:]), strides
        if kind == MIXED:
            return (*row[:8], 1, 1 if pools else 3)
        window, strides = settings
        return name, kind, (1, *window[1:]) if pools else window, strides

    return tuple(map(changed, table))


def below(endpoint):
    """Returns the names of the endpoints before one of LAYERS."""
    all_names = [row[0] for row in LAYERS]
    return all_names[: all_names.index(endpoint)]


def above(endpoint):
    """Returns the names of the endpoints after one of LAYERS."""
    all_names = [row[0] for row in LAYERS]
    return all_names[all_names.index(endpoint) + 1 :]


def rows(table=LAYERS):
    """The rows of I2D, Top-Heavy and Bottom-Heavy I3D; with a shorter or narrower table, those of small ones."""
    everything = [row[0] for row in LAYERS]
    i2d = {"of": "I2D", "parameters": (6_002_624, 5_999_488)}
    apart = {"temporal_strides": PER_FRAME, "window": 1, "shares": "I2D"}
    found = [
        _row(
            f"I3D with 1 x k x k convolutions {SOURCE}",
            flat(table, everything),
            macs=36.89,
            options={"per_frame": False},
            **i2d,
        ),
        _row(
            "Inception-V1 on each frame, its logits averaged",
            flat(table, everything, pools=True),
            suffix="-per-frame",
            macs=95.86,
            options={"per_frame": True},
            **apart,
            **i2d,
        ),
    ]
    for of, option, published, is_flat, words in (
        ("TopHeavyI3D", "start", STARTS, below, "before"),
        ("BottomHeavyI3D", "end", ENDS, above, "after"),
    ):
        for endpoint, (*parameters, macs) in published.items():
            found.append(
                _row(
                    f"I3D with 1 x k x k convolutions {words} {endpoint} {SOURCE}",
                    flat(table, is_flat(endpoint)),
                    of=of,
                    suffix="" if endpoint == next(iter(published)) else f"-{endpoint}",
                    parameters=parameters,
                    macs=macs,
                    options={option: endpoint},
                )
            )
    return tuple(found)


def _row(
    title, table, *, of, suffix="", parameters, macs, options, temporal_strides=TEMPORAL_STRIDES, window=2, shares=""
):
    settings = {"temporal_strides": temporal_strides, "network": of + suffix, "window": window}
    return Family(
        name=of + suffix,
        title=title,
        builder=functools.partial(inception_i3d, table=table, **settings),
        min_frames=fewest_frames(temporal_strides, window),
        window=window,
        parameters=dict(zip(("rgb", "flow"), parameters)),
        macs=macs,
        of=of,
        options=options,
        inflated_from=INCEPTION_V1,
        shares=shares,
        kernels=kernels(table),
        **timing(strided(table, temporal_strides)),
        **layer_names(table),
    )
