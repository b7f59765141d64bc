"""The values that others published, with where, and how far a right installation may be from them.

Only what was read in its source, or counted from what was, stands here. What is known from memory, from somebody
else's table or from a picture is not asserted: the receptive fields in figure 3 of the paper, for one, the hashes of
torchvision's files, of which only the first digits stand in their names, and torchvision's accuracies on clips.

No reference output exists for the networks that were trained from scratch: the files of that name in the original
repository are copies of those of the ImageNet networks, by their git blob ids.
"""

import dataclasses

README = "DeepMind's kinetics-i3d, README.md and out/*.txt (commit 0667e88)"
SHAPES = {"rgb": (1, 79, 224, 224, 3), "flow": (1, 79, 224, 224, 2)}  # of the sample's arrays, in [-1, 1]
SAMPLE_WEIGHTS, SAMPLE_LABELS = "kinetics", "kinetics400"
FVD_WEIGHTS = "kinetics-scratch"

# Of the L2 norm of the logits. The same graph with the same weights differs by 7e-7 of it here, from sum to sum in
# another order; GPUs that round to TF32 by 1e-3. A wrong file, stream, range or order of labels is off by far more.
SHARE_OF_NORM = 1e-4
LOGIT_WHY = "1e-4 of the norm: float32 sums in another order are 1e-6 off, a network that is 1 % off is 1e-2"


@dataclasses.dataclass(frozen=True)
class Answer:
    """What the networks say of the sample.

    Attributes:
        norm: L2 norm of all logits.
        top: (label, logit, probability) of the five highest.
    """

    norm: float
    top: tuple


ANSWERS = {
    "rgb": Answer(
        87.108871,
        (
            ("playing cricket", 25.856646, 0.9999968),
            ("playing kickball", 12.330335, 1.335e-6),
            ("catching or throwing baseball", 11.254371, 4.553e-7),
            ("shooting goal (soccer)", 10.883866, 3.143e-7),
            ("catching or throwing softball", 10.393131, 1.924e-7),
        ),
    ),
    "flow": Answer(
        63.252754,
        (
            ("playing cricket", 15.957031, 0.9477566),
            ("hurling (sport)", 12.808723, 0.0406822),
            ("playing tennis", 10.527044, 0.0041542),
            ("playing squash or racquetball", 10.0088, 0.0024741),
            ("hitting baseball", 9.425033, 0.0013800),
        ),
    ),
    "sum": Answer(
        138.468658,
        (
            ("playing cricket", 41.813675, 1.0),
            ("hurling (sport)", 21.493977, 1.497e-9),
            ("catching or throwing baseball", 20.134108, 3.843e-10),
            ("catching or throwing softball", 19.225584, 1.549e-10),
            ("hitting baseball", 18.915352, 1.136e-10),
        ),
    ),
}


@dataclasses.dataclass(frozen=True)
class Distance:
    """A published Frechet video distance.

    Attributes:
        name: of the check.
        value: as published.
        tolerance: as a share of it.
        why: why so far.
        source: whose.
        frames: of a clip.
        clips: of each side.
        size: pixels of a side of the frames.
        protocol: of `frechet.fvd_protocols`; None for clips that go into the network as they are.
        seeds: of NumPy's RandomState, one a side, for clips of random numbers in [0, 1]; None for black against white.
    """

    name: str
    value: float
    tolerance: float
    why: str
    source: str
    frames: int
    clips: int
    size: int = 64
    protocol: str | None = None
    seeds: tuple | None = None


COMMON_METRICS = "JunyaoHu/common_metrics_on_video_quality@5f75173, by a network in PyTorch"
MEANS_ALONE = "no covariance is in it; at 30 frames PyTorch's number and TensorFlow 1's are 9e-4 apart"
DISTANCES = (
    Distance(
        "fvd.noise",
        10.13808536529541,
        1e-4,
        "TensorFlow's number and PyTorch's (10.138084766713924) are 6e-8 apart; a covariance of 128 clips has no full "
        "rank, and its root is up to 1e-5 off",
        "universome/fvd-comparison@33a5552",
        frames=16,
        clips=128,
        size=224,
        seeds=(1, 2),
    ),
    Distance(
        "fvd.original",
        131.0,
        1 / 131,
        'the source says "about 131" and no more',
        "google-research, frechet_video_distance, example.py",
        frames=15,
        clips=16,
        protocol="original",
    ),
    Distance(
        "fvd.tensorflow1_30",
        151.39244,
        5e-4,
        "TensorFlow 1 computed it in float32",
        "JunyaoHu/common_metrics_on_video_quality@5f75173, by the graph of TensorFlow Hub",
        frames=30,
        clips=8,
        protocol="common-metrics",
    ),
    *(
        Distance(
            f"fvd.common_metrics_{frames}",
            value,
            2e-3,
            MEANS_ALONE,
            COMMON_METRICS,
            frames=frames,
            clips=8,
            protocol="common-metrics",
        )
        for frames, value in enumerate(
            (
                *(569.2296, 486.3584, 551.9611, 146.3664, 172.8545, 133.7031, 152.9175, 357.7403, 382.4669, 306.7384),
                *(338.4152, 78.1726, 82.3345, 64.5886, 66.0628, 314.4804, 316.6871, 288.9720, 287.7805, 152.1525),
                151.2565,
            ),
            10,
        )
    ),
)

# Top-1 and top-5 of both streams, the sum of their logits; each stream's are with its weights in `weights.registry`.
TWO_STREAM = {"kinetics": (74.2, 91.3), "kinetics-scratch": (71.6, 90.0)}
SPARE_POINTS = 1.0  # of accuracy, next to the interval of the videos that there are
ACCURACY_WHY = "the 95 % interval of so many videos, and a point for videos that are gone and for other decoders"
