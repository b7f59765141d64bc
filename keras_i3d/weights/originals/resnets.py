"""The codes that people have I3D-ResNets of, and how each names its weights.

Some files are of two networks by all their names and shapes, and their own name tells which: mmaction2's embedded
gaussian and dot product, of which the former is taken where nothing is said; and the Caffe2 files of PySlowFast and of
video-nonlocal-net, whose pools differ. In those, "riv" is the running variance, not its inverse.
video-nonlocal-net's files of 8 x 8 frames have the same names again, and a first pool that no row has: 1 x 3 x 3, not
padded. They are refused by their own name, UNLIKE.
"""

import dataclasses
import functools
import re

from keras_i3d.models import resnet
from keras_i3d.weights.originals.original import Original


@dataclasses.dataclass(frozen=True)
class Names:
    """How a code names its weights: {regular expression: unit of ours}, with what is not said in our words.

    Groups of the expression fill the unit's name: `stage`, `block` and `unit`. Where the group `norm` has something,
    the weight is of the unit's batch norm; `leaf` is the weight.

    Attributes:
        patterns: the dictionary.
        stages: {the code's number of a stage: ours}; empty where they are alike.
        units: {the code's name of a unit: ours}, where they differ.
        beside: as `Original` has it.
    """

    patterns: dict
    stages: dict = dataclasses.field(default_factory=dict)
    units: dict = dataclasses.field(default_factory=dict)
    beside: str = Original.beside

    def place(self, depth, non_local, name):
        """Returns (layer, weight) of ours; None if the network of that depth and non-local blocks has no such one."""
        matches = ((re.fullmatch(pattern, name), unit) for pattern, unit in self.patterns.items())
        match, unit = next((each for each in matches if each[0]), (None, None))
        if match is None:
            return None
        groups = match.groupdict()
        norm, leaf = bool(groups.pop("norm", None)), groups.pop("leaf")
        if "stage" in groups and self.stages:
            groups["stage"] = self.stages.get(groups["stage"])
        groups["unit"] = self.units.get(groups.get("unit"), groups.get("unit"))
        unit = unit.format_map(groups)
        layer = unit if unit == resnet.HEAD else f"{unit}_{'batch_norm' if norm else 'conv_3d'}"
        weight = LEAVES.get(leaf, (None, None))[norm]
        return (layer, weight) if weight and layer in layers_of(depth, non_local) else None


# The weight of a convolution, and of a batch norm.
LEAVES = {
    "weight": ("kernel", "gamma"),
    "bias": ("bias", "beta"),
    "gamma": (None, "gamma"),
    "beta": (None, "beta"),
    "running_mean": (None, "moving_mean"),
    "running_var": (None, "moving_variance"),
    "w": ("kernel", None),
    "b": ("bias", "beta"),
    "s": (None, "gamma"),
    "rm": (None, "moving_mean"),
    "riv": (None, "moving_variance"),
}


@functools.cache
def layers_of(depth, non_local):
    """Returns the names of all layers with weights, by the tables, without building a network."""
    normed, plain = ["conv1"], []
    places = resnet.check_places(depth, non_local)
    for stage, kind, *numbers in resnet.TABLES[depth]:
        for block in range(len(numbers[2]) if kind == resnet.STAGE else 0):
            normed += [f"{stage}_{block}_branch2{letter}" for letter in "abc"]
            normed += [f"{stage}_{block}_branch1"] * (block == 0)
            if block in places.get(stage, ()):
                normed.append(f"{stage}_{block}_nonlocal_out")
                plain += [f"{stage}_{block}_nonlocal_{part}" for part in ("theta", "phi", "g")]
    return {resnet.HEAD, *(f"{unit}_conv_3d" for unit in normed + plain), *(f"{unit}_batch_norm" for unit in normed)}


STEM, FIRST, SECOND = "conv1", "res{stage}_{block}_branch1", "res{stage}_{block}_branch2{unit}"
NON_LOCAL, AFTER = "res{stage}_{block}_nonlocal_{unit}", "res{stage}_{block}_nonlocal_out"
LETTERS = {"1": "a", "2": "b", "3": "c"}
NEXT = {"1": "2", "2": "3", "3": "4", "4": "5"}

SLOWFAST = Names(
    {
        r"s1\.pathway0_stem\.(?:conv|(?P<norm>bn))\.(?P<leaf>\w+)": STEM,
        r"s(?P<stage>\d)\.pathway0_res(?P<block>\d+)\.branch1(?P<norm>_bn)?\.(?P<leaf>\w+)": FIRST,
        r"s(?P<stage>\d)\.pathway0_res(?P<block>\d+)\.branch2\.(?P<unit>[abc])(?P<norm>_bn)?\.(?P<leaf>\w+)": SECOND,
        r"s(?P<stage>\d)\.pathway0_nonlocal(?P<block>\d+)\.conv_(?P<unit>theta|phi|g|out)\.(?P<leaf>\w+)": NON_LOCAL,
        r"s(?P<stage>\d)\.pathway0_nonlocal(?P<block>\d+)\.(?P<norm>bn|norm)\.(?P<leaf>\w+)": AFTER,
        r"head\.projection\.(?P<leaf>\w+)": resnet.HEAD,
    }
)
PYTORCHVIDEO = Names(
    {
        r"blocks\.0\.(?:conv|(?P<norm>norm))\.(?P<leaf>\w+)": STEM,
        r"blocks\.(?P<stage>\d)\.res_blocks\.(?P<block>\d+)\.branch1_(?:conv|(?P<norm>norm))\.(?P<leaf>\w+)": FIRST,
        r"blocks\.(?P<stage>\d)\.res_blocks\.(?P<block>\d+)\.branch2"
        r"\.(?:conv|(?P<norm>norm))_(?P<unit>[abc])\.(?P<leaf>\w+)": SECOND,
        r"blocks\.6\.proj\.(?P<leaf>\w+)": resnet.HEAD,
    },
    stages={"1": "2", "3": "3", "4": "4", "5": "5"},  # blocks.2 is a pool
)
# PySlowFast's and video-nonlocal-net's .pkl, with the optimizer's state next to the weights.
CAFFE2 = Names(
    {
        r"(?:conv1|(?P<norm>res_conv1_bn))_(?P<leaf>\w+)": STEM,
        r"res(?P<stage>\d)_(?P<block>\d+)_branch1(?P<norm>_bn)?_(?P<leaf>\w+)": FIRST,
        r"res(?P<stage>\d)_(?P<block>\d+)_branch2(?P<unit>[abc])(?P<norm>_bn)?_(?P<leaf>\w+)": SECOND,
        r"nonlocal_conv(?P<stage>\d)_(?P<block>\d+)_(?P<unit>theta|phi|g|out)_(?P<leaf>\w+)": NON_LOCAL,
        r"nonlocal_conv(?P<stage>\d)_(?P<block>\d+)_(?P<norm>bn)_(?P<leaf>\w+)": AFTER,
        r"pred_(?P<leaf>\w+)": resnet.HEAD,
    },
    beside=r".*_momentum|model_iter|lr",
)
TUSHAR_N = Names(
    {
        r"(?:conv|(?P<norm>bn))1\.(?P<leaf>\w+)": STEM,
        r"layer(?P<stage>\d)\.(?P<block>\d+)\.downsample\.(?:0|(?P<norm>1))\.(?P<leaf>\w+)": FIRST,
        r"layer(?P<stage>\d)\.(?P<block>\d+)\.(?:conv|(?P<norm>bn))(?P<unit>[123])\.(?P<leaf>\w+)": SECOND,
        r"layer(?P<stage>\d)\.(?P<block>\d+)\.nl\.(?P<unit>theta|phi|g|out)\.(?P<leaf>\w+)": NON_LOCAL,
        r"layer(?P<stage>\d)\.(?P<block>\d+)\.nl\.(?P<norm>bn)\.(?P<leaf>\w+)": AFTER,
        r"fc\.(?P<leaf>\w+)": resnet.HEAD,
    },
    stages=NEXT,
    units=LETTERS,
)
# A .params file holds each array under the name of the layer that has it, and again under those of what it is part of.
GLUON = Names(
    {
        r"first_stage\.(?:0|(?P<norm>1))\.(?P<leaf>\w+)": STEM,
        r"res_layers\.(?P<stage>\d)\.(?P<block>\d+)\.downsample\.(?:0|(?P<norm>1))\.(?P<leaf>\w+)": FIRST,
        r"res_layers\.(?P<stage>\d)\.(?P<block>\d+)\.(?:conv|(?P<norm>bn))(?P<unit>[123])\.(?P<leaf>\w+)": SECOND,
        r"res_layers\.(?P<stage>\d)\.(?P<block>\d+)\.nonlocal_block\.(?P<unit>theta|phi|g|W)\.(?P<leaf>\w+)": NON_LOCAL,
        r"res_layers\.(?P<stage>\d)\.(?P<block>\d+)\.nonlocal_block\.(?P<norm>bn)\.(?P<leaf>\w+)": AFTER,
        r"fc\.(?P<leaf>\w+)": resnet.HEAD,
    },
    stages={"0": "2", "1": "3", "2": "4", "3": "5"},
    units=LETTERS | {"W": "out"},
    beside=r".*\.bottleneck\.\d+\..*|.*\.W_bn\.\d+\..*|head\.1\..*",
)
MMACTION2 = Names(
    {
        r"backbone\.conv1\.(?:conv|(?P<norm>bn))\.(?P<leaf>\w+)": STEM,
        r"backbone\.layer(?P<stage>\d)\.(?P<block>\d+)\.downsample\.(?:conv|(?P<norm>bn))\.(?P<leaf>\w+)": FIRST,
        r"backbone\.layer(?P<stage>\d)\.(?P<block>\d+)\.conv(?P<unit>[123])\.(?:conv|(?P<norm>bn))\.(?P<leaf>\w+)": (
            SECOND
        ),
        r"backbone\.layer(?P<stage>\d)\.(?P<block>\d+)\.non_local_block\.(?P<unit>theta|phi|g|conv_out)"
        r"(?:\.0)?\.(?:conv|(?P<norm>bn))\.(?P<leaf>\w+)": NON_LOCAL,
        r"cls_head\.fc_cls\.(?P<leaf>\w+)": resnet.HEAD,
    },
    stages=NEXT,
    units=LETTERS | {"conv_out": "out"},
)


UNLIKE = r"i3d_(baseline|nonlocal)_8x8"  # video-nonlocal-net's
# Nothing in a file tells the weights that a code publishes from those that a user trained with it.
LICENCE = "CC-BY-NC-4.0, if video-nonlocal-net published it"
PORTED = "CC-BY-NC-4.0, if it was converted from what video-nonlocal-net published"


def _original(code, names, named="", licence=None, **row):
    """The Original of one row, of R50 with embedded gaussian blocks where nothing else is said."""
    row = {"depth": 50, "mode": resnet.EMBEDDED, **row}
    return Original(
        name=code,
        family=resnet.row_name(**row),
        place=functools.partial(names.place, row["depth"], row["non_local"]),
        beside=names.beside,
        named=named,
        unlike=UNLIKE if names is CAFFE2 else "",
        licence=licence,
    )


ORIGINALS = (
    _original("pytorchvideo", PYTORCHVIDEO, variant="slowfast", non_local=0),
    *(
        _original("PySlowFast", names, depth=depth, variant="slowfast", non_local=number)
        for names in (SLOWFAST, CAFFE2)
        for depth, number in ((50, 0), (50, 5), (101, 0))  # of R101 PySlowFast has the five blocks at other places
    ),
    *(
        _original("video-nonlocal-net", CAFFE2, "32x2", LICENCE, depth=depth, variant="nonlocal", non_local=number)
        for depth in (50, 101)
        for number in (0, 5)
    ),
    *(_original("Tushar-N", TUSHAR_N, "", PORTED, variant="nonlocal", non_local=number) for number in (0, 5)),
    *(
        _original("gluon-cv", GLUON, depth=depth, variant="gluon", non_local=number)
        for depth in (50, 101)
        for number in (0, 5, 10)
    ),
    _original("mmaction2", MMACTION2, variant="mmaction2", non_local=0),
    _original("mmaction2", MMACTION2, variant="mmaction2-heavy", non_local=0),
    _original("mmaction2", MMACTION2, "embedded", variant="mmaction2", non_local=5),
    _original("mmaction2", MMACTION2, "dot.product", variant="mmaction2", non_local=5, mode=resnet.DOT),
    _original("mmaction2", MMACTION2, variant="mmaction2", non_local=5, mode=resnet.GAUSSIAN),
)
