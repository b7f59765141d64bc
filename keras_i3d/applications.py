"""The networks by name, with weights, as keras.applications offers its own.

Each docstring says what the paper says, what it leaves open and how that is settled here, and what was published.
Numbers of parameters are of trainable ones at 400 classes; multiply-adds are of one clip."""

from keras_i3d import builders, facts
from keras_i3d.builders import builder
from keras_i3d.models import families
from keras_i3d.models.two_stream import fuse
from keras_i3d.specs import CHANNELS
from keras_i3d.weights import registry, sources


@builder("I3D", weights="kinetics", temporal_strides=None)
def I3D():
    """Inception-V1 I3D (Carreira & Zisserman 2017, arXiv 1705.07750), for RGB or optical flow.

    The graph is DeepMind's: SAME padding, batch norm without scale, a 2 x 7 x 7 average pool, logits averaged over
    time, softmax after the average. Each published endpoint, `Conv3d_1a_7x7` to `Logits` and `Predictions`, is a layer
    of that name: `model.get_layer("Mixed_4f").output`. Under a mixed precision policy the head, from the average pool
    on, stays in float32.

    12,689,984 parameters, 111.15 G multiply-adds at 64 x 224 x 224. Trained on 64 frames at 25 fps (2.56 s), tested on
    whole videos of 250 (10 s). Kinetics-400 test set: RGB 71.1 / 89.3 %, flow 63.4 / 84.9 %, both 74.2 / 91.3 %. Of the
    published weights "kinetics" is ImageNet, then Kinetics-400; "kinetics600" is RGB only; "charades" ends in a
    sigmoid; "imagenet" is Inception V1 inflated to 3D, the head new. The paper drops a share of 0.5 in training.

    Args:
        temporal_strides: of Conv3d_1a_7x7, MaxPool3d_4a_3x3 and MaxPool3d_5a_2x2. (2, 2, 2) is I3D; (2, 2, 1), (2, 1,
            1) and (1, 1, 1) give a step each 4, 2 or 1 frames, with I3D's own weights.
    """


@builder("I2D", per_frame=None)
def I2D():
    """I2D: I3D with 1 x k x k convolutions (Xie et al. 2018, arXiv 1712.04851).

    6,002,624 parameters, 36.89 G multiply-adds at 64 x 224 x 224. Strides and pools are I3D's, as in TF-Slim; the paper
    says that pooling is kept. So its pools still mix frames, and of a still video it makes what the 2D network does.
    `weights="imagenet"` is TF-Slim's 2D Inception V1 as it is.

    Args:
        per_frame: True for the 2D network on each frame by itself, the logits averaged (95.86 G); weights are the same.
    """


@builder("TopHeavyI3D", start=None)
def TopHeavyI3D():
    """Top-heavy I3D: 2D below an endpoint, 3D from it on (Xie et al. 2018, arXiv 1712.04851, figure 1).

    Strides and pools are I3D's, as in TF-Slim; the paper leaves them open. The first convolution is flat. 11,684,288
    parameters, 48.03 G multiply-adds at 64 x 224 x 224 by default.

    Args:
        start: the first endpoint with 3D kernels: "Mixed_4b", "Mixed_3b" or "Mixed_5b".
    """


@builder("BottomHeavyI3D", end=None)
def BottomHeavyI3D():
    """Bottom-heavy I3D: 3D up to an endpoint, 2D above it (Xie et al. 2018, arXiv 1712.04851, figure 1).

    7,008,320 parameters, 100.01 G multiply-adds at 64 x 224 x 224 by default. All else is as for `TopHeavyI3D`.

    Args:
        end: the last endpoint with 3D kernels: "Mixed_3c", "Conv3d_2c_3x3" or "Mixed_4f".
    """


@builder("S3D", variant=None)
def S3D():
    """S3D: I3D with convolutions parted into space and time (Xie et al. 2018, arXiv 1712.04851).

    A 3 x 3 x 3 convolution becomes 1 x 3 x 3 in space and 3 x 1 x 1 in time. The paper leaves open where batch norm and
    biases stand, how the first convolution is parted and how sizes are padded; `variant` says whose answer is taken.
    Endpoints have the names of I3D's.

    "torchvision": 8,320,048 parameters, 71.92 G multiply-adds at 64 x 224 x 224; 68.4 / 88.1 % on Kinetics-400
    validation, one clip of 128 frames at 15 fps. torchvision scales frames to 256 x 256 whatever their shape; here they
    keep it. "kylemin": the same network with another pool in its head, 72.1 / 90.4 %. "slim": TF-Slim's, without gates,
    8,299,520 parameters, 64.18 G; the paper's S3D has 72.2 / 90.6 %. The originals drop 0.2 in training, kylemin's
    none.

    Args:
        variant: "torchvision", "kylemin" or "slim".
    """


@builder("S3DG", variant=None)
def S3DG():
    """S3D-G: S3D with gates that weigh channels by their mean over the clip (Xie et al. 2018, arXiv 1712.04851).

    The paper leaves open where the gates are and whether they have a bias. "slim": TF-Slim's, after each branch,
    9,518,848 parameters, 64.18 G multiply-adds at 64 x 224 x 224; the paper's has 74.7 / 93.4 % on Kinetics-400, as
    others cite it. "garden": TF Model Garden's, after each block, 12,136,240 parameters, 64.19 G. "milnce": MIL-NCE's
    (Miech et al. 2020, arXiv 1912.06430), whose first convolution sees 2 x 2 x 2 neighbours as channels. It ends in an
    embedding of 512 values, of 32 frames in [0, 1], taken at 10 a second, which was not checked; 9,670,800 parameters,
    36.29 G at 32 frames; weights "howto100m".

    A gate sees the whole clip, so that a long video is not scored in chunks.

    Args:
        variant: "slim", "garden" or "milnce".
    """


@builder("I3DResNet50", variant=None, non_local=None, mode=None)
def I3DResNet50():
    """I3D-ResNet-50: a 2D ResNet inflated over time, with or without non-local blocks (Wang et al. 2018).

    arXiv 1711.07971. The first 1 x 1 convolution of a bottleneck becomes 3 x 1 x 1: in all blocks of res2, every second
    one of res3 and res4, the middle one of res5. The paper leaves open how pools are padded and where non-local blocks
    thin their positions; published code settles it, and strides time, in several ways: `variant`.

    28,043,472 parameters, 28.41 G multiply-adds at 8 x 224 x 224; with five non-local blocks 35,401,936 and 36.54 G,
    with ten 42,760,400. A clip is 8 frames, every 8th at 30 fps, or 32, every 2nd: 64 frames of video either way, in
    training as in each of the 10 x 3 views of the test. Kinetics-400 validation, 30 views, by the codes' model zoos:
    73.5 / 90.8 % (slowfast), 74.0 / 91.1 % (its five blocks), 76.2 % (mmaction2-heavy, top-1). That frames come at 30 a
    second was not checked. PySlowFast averages softmaxes over positions; here logits are averaged. The originals drop
    0.5 in training. A non-local block sees the whole clip, so that such a network is not scored in chunks.
    `weights="imagenet"` inflates keras.applications' ResNet50 into "keras".

    Args:
        variant: "slowfast" (PySlowFast, pytorchvideo), "nonlocal" (video-nonlocal-net's 32 x 2, Tushar-N's), "gluon",
            "mmaction2", "mmaction2-heavy" (each block inflated), or "keras" (strided as keras.applications' ResNets).
        non_local: number of non-local blocks: 0, 5 or 10.
        mode: of these: "embedded_gaussian", "gaussian" or "dot_product".
    """


@builder("I3DResNet101", variant=None, non_local=None, mode=None)
def I3DResNet101():
    """I3D-ResNet-101 (Wang et al. 2018, arXiv 1711.07971): `I3DResNet50` with 23 blocks in res4, every second inflated.

    51,754,192 parameters, 46.96 G multiply-adds at 8 x 224 x 224; with five non-local blocks 59,112,656 and 55.08 G,
    with ten 66,471,120. Kinetics-400 validation: 74.4 / 91.1 % without, 76.0 / 92.1 % with five (paper, 32 frames).

    Args:
        variant: "slowfast", "nonlocal", "gluon" or "keras", as for `I3DResNet50`.
        non_local: number of non-local blocks: 0, 5 or 10.
        mode: of these: "embedded_gaussian".
    """


@builder("R3D18")
def R3D18():
    """R3D-18: a residual network of 3 x 3 x 3 convolutions (Tran et al. 2018, arXiv 1711.11248), as in torchvision.

    The paper says the basic blocks, 2 for each of four widths, the 3 x 7 x 7 stem and where strides are. It leaves the
    batch norm's settings open; here they are torchvision's, epsilon 1e-5. Convolutions are padded by half the kernel on
    both sides. torchvision drops nothing in training.

    33,371,472 parameters, 40.70 G multiply-adds at 16 x 112 x 112, the paper's input. Trained on clips of 16 frames, at
    torchvision's 15 fps 1.07 s; tested on 5 such clips. A step of the last endpoint is 8 frames and sees 109.
    torchvision's weights: 63.2 / 83.5 % on Kinetics-400 validation, 5 clips a video, as torchvision says. It resizes
    frames to 128 x 171 whatever their shape; here they keep their shape, and the short side is 128.
    """


@builder("MC318")
def MC318():
    """MC3-18, mixed convolutions: R3D-18 with 1 x 3 x 3 kernels above conv2_x (arXiv 1711.11248), as in torchvision.

    The paper strides time above conv2_x as R3D does; torchvision, whose weights people have, leaves time as long as it
    is. So a step of the last endpoint is one frame, and sees 11. All else is as for `R3D18`.

    11,695,440 parameters, 43.35 G multiply-adds at 16 x 112 x 112. torchvision's weights: 53.9 / 76.3 % on single clips
    of Kinetics-400 validation, as torchvision says.
    """


@builder("R2Plus1D18", midplanes=None)
def R2Plus1D18():
    """R(2+1)D-18: R3D-18, each convolution parted into space and time (Tran et al. 2018, arXiv 1711.11248).

    A 3 x 3 x 3 convolution becomes 1 x 3 x 3 and 3 x 1 x 1 with batch norm and ReLU between them. The width between
    them is such that the parameters are as many; the stem's is 45 in all codes, where the formula gives 83.

    "torchvision": 31,505,325 parameters, 40.52 G multiply-adds at 16 x 112 x 112; 57.5 / 78.8 % on single clips of
    Kinetics-400 validation, as torchvision says. "paper": 33,370,839 parameters, 41.50 G; 68.5 / 87.5 % on 10 clips of
    16 frames (VMZ). Trained on 16 frames. A step is 8 frames and sees 109.

    Args:
        midplanes: "torchvision", where the width between is computed once a block, as its weights have it, or "paper",
            by the formula for each convolution.
    """


@builder("R3D34")
def R3D34():
    """R3D-34: R3D with 3, 4, 6 and 3 blocks, settings as in VMZ (arXiv 1711.11248).

    63,681,104 parameters, 150.76 G multiply-adds at 32 x 112 x 112. A step is 8 frames and sees 225. No weights are
    published by name.
    """


@builder("R2Plus1D34")
def R2Plus1D34():
    """R(2+1)D-34 with the paper's widths (arXiv 1711.11248), as in VMZ and ig65m-pytorch; batch norm's epsilon is 1e-3.

    63,697,175 parameters at 400 classes, 152.36 G multiply-adds at 32 x 112 x 112. A step is 8 frames and sees 225.
    Weights after 65 million videos of IG-65M, then Kinetics-400: by ig65m-pytorch 80.0 / 94.2 % with clips of 32 frames
    ("ig65m-kinetics"), 74.9 / 91.8 % with clips of 8 ("ig65m-kinetics-8"); "ig65m" and "ig65m-8" are those before
    Kinetics, of 359 and 487 hashtags.
    """


@builder("C3D", variant=None)
def C3D():
    """C3D (Tran et al. 2015, arXiv 1412.0767): eight 3 x 3 x 3 convolutions, five pools, two layers of 4,096.

    The layers of 4,096 are convolutions here, so that any clip passes from 16 frames of 96 pixels on; each row of
    logits is of 16 frames. The classic form, which has weights, is the default. "bn" is baseline (b) of the I3D paper
    (arXiv 1705.07750, section 2.2): batch norm after every layer, and the first pool strides time too. That paper
    leaves the pools' padding open. Its 79 million parameters ask for 8,192 features after the last pool, so pools round
    up here.

    79,634,576 parameters at 400 classes, for either. Classic: 38.55 G multiply-adds at 16 x 112 x 112; 82.3 % on
    UCF101, mean of 3 splits, as the I3D paper cites it (table 5). Its weights "ucf101" are mmaction2's, after
    Sports-1M. "bn": 19.82 G; 56.1 % on the Kinetics-400 test set, trained on 16 frames (0.64 s), tested on 240 (9.6 s),
    15 clips.

    Args:
        variant: "classic" or "bn".
    """


@builder("InceptionV1", order=None, trajectories=None, subtract_mean=None)
def InceptionV1():
    """Inception-V1 with batch norm, frame by frame (Ioffe and Szegedy 2015, arXiv 1502.03167), as in TF-Slim.

    The 2D network under the I3D paper's baselines: I3D's layers with kernels that reach over no time. It gives a row of
    logits a frame, whose mean is the answer. With stream="flow" it takes plain fields, and stacks each 10 neighbours in
    the graph (Simonyan and Zisserman 2014, arXiv 1406.2199).

    6,002,624 parameters, with 20 channels 6,055,936; 1.50 and 2.17 G multiply-adds a row. As the streams of (c), from
    ImageNet: 62.2 and 52.4 % on the Kinetics-400 test set. `weights="imagenet"` is TF-Slim's Inception V1 as it is.

    Args:
        order: of a stack of flow: "planes" [x1, ..., xL, y1, ..., yL] or "pairs" [x1, y1, ...].
        trajectories: whether each field is read where those before it have carried the point.
        subtract_mean: whether each field loses its mean vector. A bi-directional stack is a matter of the fields: see
            `keras_i3d.flow.bidirectional`.
    """


@builder("TwoStreamConvNet", order=None, trajectories=None, subtract_mean=None)
def TwoStreamConvNet():
    """Two-Stream ConvNet, (c) of the I3D paper (arXiv 1705.07750, section 2.3): one RGB frame and a stack of 10 fields.

    The paper: two ImageNet ConvNets whose predictions are averaged, trained end to end with the averaging. It leaves
    open what is averaged (here logits, as the released code of (e) does), the frame's place (here the middle of the
    stack) and the layout of a stack (`order`). It takes one tensor (B, T, H, W, 5): the RGB of each frame and the field
    to the next.

    12,058,560 parameters, 3.66 G multiply-adds a row. Trained on 1 frame and 10 fields (0.4 s), tested on 25 and 250
    (10 s): 65.6 % on the Kinetics-400 test set. `weights="imagenet"` is TF-Slim's Inception V1 as it is, twice.

    Args:
        order, trajectories, subtract_mean: as for `InceptionV1`.
    """


@builder("FusedTwoStream")
def FusedTwoStream():
    """3D-fused Two-Stream, (d) of the I3D paper (arXiv 1705.07750, section 2.3): streams joined by a 3D convolution.

    The paper: 5 RGB frames 10 apart with 10 fields each; the features before the last average pool go through a 3 x 3 x
    3 convolution of 512 and a 3 x 3 x 3 max pool. It leaves open how they are joined (here side by side), the padding
    (here none in time, so that 5 steps become 3, then 1), the pool's stride (2 in space), what the last layer sees (512
    means, which gives the paper's 39 M), the frame's place (the middle of its fields), and the noise of new layers
    (0.01). It takes one tensor (B, T, H, W, 5), as `TwoStreamConvNet`.

    39,755,824 parameters, 22.48 G multiply-adds at 50 frames. Trained on 5 frames and 50 fields (2 s), tested on 25 and
    250 (10 s): 67.2 % on the Kinetics-400 test set. `weights="imagenet"` fills both bodies.
    """


@builder("ConvNetLSTM", learned_scale=None)
def ConvNetLSTM():
    """ConvNet+LSTM, (a) of the I3D paper (arXiv 1705.07750, section 2.1): Inception-V1 by frame, then an LSTM of 512.

    The LSTM has batch norm (Cooijmans et al. 2016, arXiv 1603.09025). It is trained on the outputs of all steps, and
    answers by the last one; a long video in chunks gives what the single pass gives. The paper leaves open which parts
    are normalised (here the hidden state, Sonnet's default), whether scales are learned (fixed at 0.1) and whether each
    step has its statistics (one set for all). A training batch of one clip is normalised to nothing.

    8,945,600 parameters, 37.52 G multiply-adds at 25 frames. Frames are every 5th of 25 a second: 25 in training (5 s),
    50 in test (10 s). 63.3 % on the Kinetics-400 test set by the paper's table 3; its table 2 may have 63.6, which was
    not checked. `weights="imagenet"` fills the ConvNet.

    Args:
        learned_scale: whether the norms' scales are trained too; 2,048 parameters more.
    """


def TwoStreamI3D(
    weights="kinetics",
    classes=None,
    input_shape=None,
    classifier_activation=builders.OWN,
    dropout=0.0,
    depth_multiplier=None,
    bn_momentum=None,
    name=None,
    rgb="I3D",
    flow="I3D",
    accept_licence=None,
):
    """Two-Stream I3D, (e) of the I3D paper: two streams in one model, their logits summed before the softmax.

    Any two networks may be the streams; by default both are I3D, 25,358,016 parameters.

    Args:
        weights: a name as for `I3D`, published for both streams; None; the path of a saved two-stream model; or
            `{"rgb": ..., "flow": ...}` with a name, a path or None each.
        input_shape: (T, H, W), the same for both streams; by default any length, and the pixels that each network
            takes by default, 224 x 224 for I3D.
        classes, classifier_activation, dropout, depth_multiplier, bn_momentum, name: as for `I3D`.
        rgb, flow: names of the streams' networks, as `keras-i3d models` lists them; each takes its stream.
        accept_licence: as for the builders of one stream.

    Returns:
        A functional model from `{"rgb": (B, T, H, W, 3), "flow": (B, T, H, W, 2)}`, float32 as `preprocess_input`
        scales them for each network, to float32 (B, classes). The two streams may have different T.
        `get_layer("rgb_stream")` and `get_layer("flow_stream")` are the streams, each ending in its logits.

    Raises:
        ValueError: an argument out of its range, an unknown network, or one that does not take the stream.
        keras_i3d.WeightsError: as for the builders of one stream.
    """
    networks = {stream: families.find(name) for stream, name in (("rgb", rgb), ("flow", flow))}
    for stream, row in networks.items():
        if stream not in row.clips:
            raise ValueError(
                f"{stream}= names a network that takes the {stream} stream. Received: {row.name}, which takes "
                f"{' or '.join(row.clips)}. `keras-i3d models NAME` says what a network takes."
            )
    if input_shape is not None and len(input_shape) != 3:
        raise ValueError(
            f"TwoStreamI3D takes input_shape=(time, height, width), without channels. Received: {tuple(input_shape)}"
        )
    shapes = {s: None if input_shape is None else (*input_shape, c) for s, c in CHANNELS.items()}
    by_stream = dict.fromkeys(CHANNELS, weights)
    whole = None
    if isinstance(weights, dict):
        if set(weights) != set(CHANNELS):
            raise ValueError(
                f'weights={{"rgb": ..., "flow": ...}} names both streams. Received keys: {sorted(weights)}'
            )
        by_stream = weights
    elif weights is not None and not registry.is_name(weights):
        whole = sources.find(weights, "rgb")
        by_stream = dict.fromkeys(CHANNELS)
        classes = builders.size(classes, whole, networks["rgb"])
        depth_multiplier = builders.width(depth_multiplier, whole)
    settings = {"dropout": dropout, "depth_multiplier": depth_multiplier, "bn_momentum": bn_momentum}
    settings |= {"accept_licence": accept_licence}
    by_stream = {s: registry.whole_name(each, [networks[s].name]) for s, each in by_stream.items()}
    for stream, asked in by_stream.items():  # every name is checked before the first download
        if registry.is_name(asked):
            by_stream[stream] = builders.found(asked, stream, depth_multiplier, [networks[stream]], accept_licence)
    rgb, flow = (
        builders.build(row.name, True, by_stream[s], shapes[s], s, classes=classes, **settings)
        for s, row in networks.items()
    )
    if classifier_activation == builders.OWN:
        own = {facts.activation(stream) for stream in (rgb, flow)}
        own = {builders.activation(builders.OWN, whole)} if whole else own
        if len(own) > 1:
            raise ValueError(f"Both streams must end in one activation. Received: {' and '.join(sorted(own))}")
        (classifier_activation,) = own
    model = fuse(rgb, flow, classifier_activation, name)
    if whole is not None:
        sources.load(model, whole)
    return model
