"""DeepMind's published checkpoints and label lists, and what is asked of all published weights by name."""

import dataclasses
import os

from keras_i3d.errors import WeightsError
from keras_i3d.facts import forbids_commerce
from keras_i3d.models import families
from keras_i3d.specs import LABEL_LISTS
from keras_i3d.weights import tensorflow_files
from keras_i3d.weights.download import git_blob
from keras_i3d.weights.published import PUBLISHED, Published
from keras_i3d.weights.remote import RemoteFile

COMMIT = "0667e889a5904b4dc122e0ded4c332f49f8df42c"
HOST = f"https://raw.githubusercontent.com/google-deepmind/kinetics-i3d/{COMMIT}"
SLIM_HOST = "http://download.tensorflow.org"
KINETICS_TEST = "Kinetics-400 test set, whole videos at 25 fps, centre 224 crop (DeepMind's README)"


@dataclasses.dataclass(frozen=True)
class Labels:
    """A list of class names, one a line, the line's index being the class."""

    name: str
    classes: int
    file: RemoteFile


def _checkpoint(
    name, weights, stream, index, data, *, classes=400, labels="kinetics400", accuracy=(None, None), **facts
):
    folder = f"data/checkpoints/{name}/model.ckpt"
    return Published(
        name=name,
        weights=weights,
        stream=stream,
        family="I3D",
        file=RemoteFile(f"{folder}.data-00000-of-00001", *data, host=HOST),
        index=RemoteFile(f"{folder}.index", *index, host=HOST),
        classes=classes,
        labels=labels,
        top1=accuracy[0],
        top5=accuracy[1],
        protocol=KINETICS_TEST if accuracy[0] else None,
        **facts,
    )


CHECKPOINTS = {
    (entry.weights, entry.stream): entry
    for entry in (
        _checkpoint(
            "rgb_imagenet",
            "kinetics",
            "rgb",
            (10_953, "5ab1058b8f4f89a896c01f67c0a4c96a31548af7"),
            (50_818_176, "2958652e0c9c48a65010c0ebda5c9cfd4edc7c18"),
            crc_digest="1303a716313a8f6a56b144fc7ec0819b36c78ddfd2a954415d69c200d03b8dd5",
            trained_on="ImageNet, then Kinetics-400",
            accuracy=(71.1, 89.3),
        ),
        _checkpoint(
            "flow_imagenet",
            "kinetics",
            "flow",
            (10_968, "8217f9450d851d24782aaf1af01c5c3b35b81a35"),
            (50_730_368, "bf56831f663abc3de0d35f193030b73a3df7fb61"),
            crc_digest="5d0c2f57f01ffe84d48851bc3c7b1d08a4e58c9c02b6691af6f00f6d2f2aad5b",
            trained_on="ImageNet, then Kinetics-400",
            accuracy=(63.4, 84.9),
        ),
        _checkpoint(
            "rgb_scratch",
            "kinetics-scratch",
            "rgb",
            (10_953, "84dd4518e982d9ca6ce1ff02e95fca2e8cbb1f73"),
            (50_818_176, "fa7df95674dbf3579e7fccd954e51e706b4734c1"),
            crc_digest="6727546691ed268724d330fe7522b5c7d0a38c933b7481ea4a5eb3b4bef285f3",
            trained_on="Kinetics-400",
            accuracy=(68.4, 88.0),
        ),
        _checkpoint(
            "flow_scratch",
            "kinetics-scratch",
            "flow",
            (10_968, "193bc425100f3978c793da66bd9eb54baea8dc6a"),
            (50_730_368, "1d6a0b68f32544af11111342857e47e30d13afa9"),
            crc_digest="d376d2505b8d96c33cb5560d9cba0974813600c37708b0df79e8a6226cc837bf",
            trained_on="Kinetics-400",
            accuracy=(61.5, 83.4),
        ),
        _checkpoint(
            "rgb_scratch_kin600",
            "kinetics600",
            "rgb",
            (19_632, "d378d8f01215fe92a29cd170f040c284070e9cd5"),
            (103_218_112, "6392a74c3180e706cabada39d8f40a50a48642e5"),
            classes=600,
            labels="kinetics600",
            crc_digest="a23cf0fa07eadc856bc372c1b15b86f2d1cface0b13a4effe2f0b24048e97eb5",
            trained_on="Kinetics-600",
        ),
    )
}

LABELS = {
    name: Labels(name, LABEL_LISTS[name], RemoteFile(path, size, git_blob, host=HOST))
    for name, path, size, git_blob in (
        ("kinetics400", "data/label_map.txt", 5_956, "cdaafcb1415eee46483561e78cb4747cce76a933"),
        ("kinetics600", "data/label_map_600.txt", 9_209, "639e9c91fa8a941ea57942872fae55628d590b42"),
    )
}

# DeepMind's sample, a video of UCF101 as their networks take it. Sizes are not published, and git blob ids prove more.
SAMPLE = {
    stream: RemoteFile(f"data/v_CricketShot_g04_c01_{stream}.npy", git_blob=git_blob, host=HOST)
    for stream, git_blob in (
        ("rgb", "d756c5020a6e0fb56a99b210e32f5865da712bba"),
        ("flow", "ee00e78e6f380caa5463de878d7c85ad7a01e668"),
    )
}

# ImageNet weights of the 2D network; its hash is not published, so it is recorded at first use.
INCEPTION_V1 = RemoteFile("models/inception_v1_2016_08_28.tar.gz", host=SLIM_HOST)
INCEPTION_V1_MEMBER = "inception_v1.ckpt"

DEFAULT = "kinetics"
ACCEPTED = "KERAS_I3D_ACCEPT_LICENCE"  # names of licences, with spaces between them
IMAGENET = "imagenet"  # weights that are inflated from those of a 2D network
WEIGHTS = (*dict.fromkeys(weights for weights, _ in CHECKPOINTS), IMAGENET)  # the names without a network's


def is_name(weights):
    """Whether `weights` is the name of published weights, not a path."""
    return isinstance(weights, str) and (weights in WEIGHTS or any(weights == name for name, _ in PUBLISHED))


def names(networks):
    """Returns the names of the published weights of some networks, as their builder's `weights=` takes them."""
    own = [entry.weights.rpartition(":")[2] for name in networks for entry in of_network(name)]
    return tuple(dict.fromkeys((*own, *[IMAGENET] * any(map(has_imagenet, networks)))))


def has_imagenet(network):
    """Whether `weights="imagenet"` is for a network."""
    flat = families.find(network).inflated_from
    return flat is not None and flat.fetched


def of_network(family):
    """Returns every Published of a network, by its row's name."""
    return [entry for entry in (*CHECKPOINTS.values(), *PUBLISHED.values()) if entry.family == family]


def whole_name(weights, networks):
    """Returns what a builder's `weights=` is called everywhere else: "S3D:kinetics" for S3D's "kinetics".

    Args:
        weights: a published name, or anything else, which is returned as it is.
        networks: names of the networks that are built, the likeliest first. The names of those whose weights they
            share count too, after their own.

    Raises:
        ValueError: a published name that is of none of them.
    """
    networks = [*networks, *(row.shares for row in map(families.find, networks) if row.shares)]
    if not isinstance(weights, str):
        return weights
    there = {name for name, _ in PUBLISHED}
    found = next((name for name in (f"{network}:{weights}" for network in networks) if name in there), weights)
    if found in WEIGHTS and found not in names(networks):
        raise ValueError(f'{networks[0]} has no weights "{weights}". {choices(networks)}')
    return found


def find(weights, stream):
    """Returns the Published named `weights` for `stream`, or raises ValueError with those that exist."""
    for known in (CHECKPOINTS, PUBLISHED):
        if (weights, stream) in known:
            return known[weights, stream]
    streams = [s for w, s in (*CHECKPOINTS, *PUBLISHED) if w == weights]
    if streams:
        remedy = (
            'Use weights="kinetics" for both streams.'
            if weights in WEIGHTS and (DEFAULT, stream) in CHECKPOINTS
            else "Pass a path, or None."
        )
        raise ValueError(
            f'weights="{weights}" were published for stream {" and ".join(streams)} only. Received: stream="{stream}". '
            f"{remedy}"
        )
    raise ValueError(f"Unknown weights {weights!r}. {choices()}")


def check_licence(entry, accepted=None):
    """Raises WeightsError if a licence forbids commerce, unless the user accepts it.

    Args:
        entry: a Published.
        accepted: True, or the licence's name, as a caller gives it; the environment variable counts as well.
    """
    asked = forbids_commerce(entry.licence) and accepted is not True
    if asked and entry.licence not in (accepted, *os.environ.get(ACCEPTED, "").split()):
        raise WeightsError(
            f'The weights "{entry.weights}" are under {entry.licence}, which forbids commercial use. Accept it by '
            f"accept_licence=True, or by the environment variable {ACCEPTED}={entry.licence}."
        )


def choices(networks=()):
    """The sentence that ends an error about `weights`: those of some networks, or of all."""
    listed = [f'"{name}"' for name in (names(networks) if networks else WEIGHTS)]
    listed[:1] = [f"one of {name}" if len(listed) > 1 else name for name in listed[:1]]
    if not networks:
        listed.append('the name of another network\'s as in "S3D:kinetics" (`keras-i3d models` lists them)')
    return (
        f"Pass {', '.join(['None', *listed])}, or the path of a .weights.h5 file, a .keras file, the original code's "
        "own file (PyTorch's .pth, .pt or .pyth, Caffe2's .pkl, MXNet's .params, .safetensors or .npz of the same "
        "names), a TensorFlow checkpoint (its prefix, without .index) or the folder of a training run."
    )


def identify(index_path):
    """Returns the Published of DeepMind's of which a `.index` file is a copy, or None.

    The file as it was published is known by its git blob id. A copy that TensorFlow has saved again has other bytes and
    the same tensors: it is known by their CRCs.
    """
    blob = git_blob(index_path)
    digest = tensorflow_files.crc_digest(index_path)
    return next((e for e in CHECKPOINTS.values() if blob == e.index.git_blob or digest == e.crc_digest), None)
