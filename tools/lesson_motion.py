"""Figures about motion: what flow keeps and forgets, its 8-bit levels, both streams, and a non-local block's look."""

import numpy as np
from svg_drawing import BLUE, GREEN, ORANGE, Drawing

RECOLOURED = [2, 0, 1]  # each channel in the place of another one


def recoloured(scale=3, seed=8, at=6):
    """A generated video and its copy in other colours: two frames of each, and the flow between them.

    Returns:
        (frames uint8 (2, 2, H, W, 3), fields float32 (2, H, W, 2)), the video first.
    """
    import demo_videos

    from keras_i3d import flow

    video = demo_videos.frames(np.random.default_rng(seed), "disc", "circles", scale=scale)[at : at + 2]
    both = np.stack([video, 255 - video[..., RECOLOURED]])
    return both, np.stack([flow.compute(each)[0] for each in both])


def same_motion():
    """Two videos that look different and move alike, with their flow."""
    from keras_i3d import visualize

    frames, fields = recoloured()
    bound = visualize.own_bound(fields)
    page = Drawing(760, 482, "Two videos of different colours have the same optical flow")
    page.text(20, 28, "One video, and the same in other colours: frames differ, flow does not", bold=True)
    for row, (pair, field) in enumerate(zip(frames, fields)):
        for column, pixels in enumerate((*pair, visualize.flow_to_color(field, bound))):
            page.picture(20 + column * 244, 62 + row * 196, 232, pixels)
    for column, words in enumerate(("frame", "the next frame", "TV-L1 flow from one to the other")):
        page.text(20 + column * 244, 54, words, 12, soft=True)
    apart = abs(frames[0].astype(float) - frames[1]).mean()
    moved = np.hypot(*(fields[0] - fields[1]).reshape(-1, 2).T).mean()
    speed = np.hypot(*fields[0].reshape(-1, 2).T).mean()
    page.text(20, 468, f"The frames are {apart:.0f} of 255 levels apart in the mean. The flow is {moved:.2f} pixels "
              f"apart, at a mean speed of {speed:.1f} pixels a frame.", 12)  # fmt: skip
    return page


def levels(low=-30.0, high=30.0, count=601, scheme="exact"):
    """What flow of low ... high pixels comes back as after its 8-bit levels: (flow, what comes back), float."""
    from keras_i3d import flow

    values = np.linspace(low, high, count)
    pairs = np.stack([values, values], axis=-1)
    return values, flow.dequantize_flow(flow.quantize_flow(pairs, scheme=scheme), scheme=scheme)[:, 0]


def flow_levels():
    """The clamp at 20 pixels on the left, the steps of 8-bit levels near zero on the right."""
    page = Drawing(760, 322, "Flow beyond 20 pixels becomes 20; 8-bit levels make steps of a sixth of a pixel")
    page.text(20, 28, "Flow in a record: clamped at 20 pixels, in steps of 0.157", bold=True)
    panels = ((30, 320, -30, 30, 61, (("exact", BLUE),)), (400, 330, -0.5, 0.5, 401,
              (("exact", BLUE), ("rounded", ORANGE))))  # fmt: skip
    y, tall = 62, 190
    for x, side, low, high, count, schemes in panels:
        page.text(x, y - 10, f"flow from {low:g} to {high:g} pixels, and what is read back", 11, soft=True)
        page.line(x, y + tall / 2, x + side, y + tall / 2)
        page.line(x + side / 2, y, x + side / 2, y + tall)
        for number, (scheme, color) in enumerate(schemes):
            values, back = levels(low, high, count, scheme)
            back = np.clip(back, low, high)
            points = [
                (x + side * (v - low) / (high - low), y + tall * (1 - (b - low) / (high - low)))
                for v, b in zip(values, back)
            ]
            page.curve(points, color)
            if len(schemes) > 1:
                page.box(x + number * 150, 268, 10, 10, color)
                page.text(x + 15 + number * 150, 277, f"{scheme}: 0 is {levels(0, 0, 1, scheme)[1][0]:.3f}", 12)
    page.text(30, 277, "beyond 20 pixels all motion is the same", 12)
    page.text(
        30, 306, "A still background must be exactly 0. By the usual linear map it drifts by 0.078 pixels a frame.", 12
    )
    return page


def fusing():
    """Published accuracies of one stream, the other, and both."""
    from keras_i3d.models import families

    i3d = families.find("I3D").accuracy
    flat = {
        "rgb": families.find("InceptionV1").accuracy["rgb"],
        "flow": families.find("InceptionV1-stack10").accuracy["flow"],
        "both": next(iter(families.find("TwoStreamConvNet").accuracy.values())),
    }
    joined = next(pair for stream, pair in i3d.items() if stream not in ("rgb", "flow"))
    groups = (("two-stream ConvNet", flat), ("two-stream I3D", {**i3d, "both": joined}))
    page = Drawing(760, 280, "Both streams together are above either, for ConvNets and for I3D")
    page.text(
        20, 28, "Top-1 on the Kinetics-400 test set, in percent (arXiv 1705.07750; README of the weights)", bold=True
    )
    for place, (name, pairs) in enumerate(groups):
        page.text(20, 62 + place * 104, name, 13, bold=True)
        for row, (stream, color) in enumerate((("rgb", BLUE), ("flow", ORANGE), ("both", GREEN))):
            y, value = 74 + place * 104 + row * 24, pairs[stream][0]
            page.text(24, y + 13, stream, 12)
            page.box(80, y, value * 7.6, 16, color, 0.85)
            page.text(86 + value * 7.6, y + 13, f"{value:.1f}", 12)
    return page


# A scene whose places are known: a ball that flies, another one that lies still, on a textured ground.
SCENE, PATCH = (64, 96), 4
FLIGHT = ((44, 14), (20, 38), (16, 62), (34, 84))  # of the ball's centre, (y, x), frame by frame
RADIUS = 8


def scene(seed=0):
    """Draws uint8 (4, 64, 96, 3): the frames of the flight."""
    draw = np.random.default_rng(seed)
    ys, xs = np.mgrid[: SCENE[0], : SCENE[1]]
    ground = np.float32([60, 90, 60]) + 25 * np.sin(xs / 7 + np.cos(ys / 9))[..., None]
    frames = []
    for y, x in FLIGHT:
        image = ground + draw.normal(0, 5, (*SCENE, 1))
        for (cy, cx), color in (((50, 70), (70, 110, 220)), ((y, x), (235, 130, 50))):
            inside = np.hypot(ys - cy, xs - cx) < RADIUS
            image[inside] = np.float32(color) + draw.normal(0, 8, (inside.sum(), 1))
        frames.append(np.clip(image, 0, 255).astype(np.uint8))
    return np.stack(frames)


def looks(frames, query=(0, *FLIGHT[0]), sharpness=2.5):
    """How a non-local block of this package weighs all positions of a clip for one of them.

    The features are plain: the mean colour of each 4 x 4 patch, less that of the clip. The layer itself is asked: g is
    1 in a channel of its own for each position, so that the answer is the weights.

    Args:
        frames: uint8 (T, H, W, 3).
        query: the position that looks, (frame, y, x) in pixels.
        sharpness: length of the longest feature.

    Returns:
        float32 (T, H / 4, W / 4), which sums up to 1.
    """
    from keras_i3d.models.nonlocal_block import WeighedMean

    count, height, width, _ = frames.shape
    patches = frames.reshape(count, height // PATCH, PATCH, width // PATCH, PATCH, 3).mean(axis=(2, 4)) / 255
    patches = patches - patches.mean(axis=(0, 1, 2))
    x = np.float32(sharpness * patches / np.linalg.norm(patches, axis=-1).max())[None]
    positions = np.prod(x.shape[1:4])
    g = np.eye(positions, dtype="float32").reshape(1, *x.shape[1:4], positions)
    frame, y, at = query
    found = WeighedMean("gaussian", scale=False)([x, x, g])[0, frame, y // PATCH, at // PATCH].numpy()
    return found.reshape(x.shape[1:4])


def nonlocal_look():
    """The weights of `looks`, over the frames."""
    frames = scene()
    weights = looks(frames)
    page = Drawing(760, 352, "A position on a flying ball takes up what the ball's positions hold in all frames")
    page.text(20, 28, "What one position of the first frame looks at, by a non-local block", bold=True)
    large = np.kron(weights / weights.max(), np.ones((1, PATCH, PATCH)))[..., None]
    for number, (frame, weight) in enumerate(zip(frames, large)):
        x = 20 + number * 184
        seen = np.uint8(frame * 0.25 + 0.75 * (weight * (255, 240, 120) + (1 - weight) * frame * 0.55))
        tall = page.picture(x, 62, 172, frame)
        page.picture(x, 62 + tall + 10, 172, np.kron(seen, np.ones((2, 2, 1), np.uint8)))
        page.text(x, 54, f"frame {number}", 12, soft=True)
    scale = 172 / SCENE[1]
    y, x = FLIGHT[0]
    page.box(20 + (x - 4) * scale, 62 + (y - 4) * scale, 8 * scale, 8 * scale, edge=True, fill="#ffffff", opacity=0.7)
    ball = sum(weights[number][_on_ball(number)].sum() for number in range(len(frames)))
    share = sum(_on_ball(number).sum() for number in range(len(frames))) / weights.size
    words = (
        f"Bright is what counts. The flying ball is {share:.0%} of all positions and has {ball:.0%} of the weight.",
        "The white square is the position that looks.",
    )
    for row, line in enumerate(words):
        page.text(20, 322 + 18 * row, line, 12)
    return page


def _on_ball(number):
    """bool (H / 4, W / 4): which patches of a frame have their middle on the flying ball."""
    ys, xs = np.mgrid[PATCH / 2 : SCENE[0] : PATCH, PATCH / 2 : SCENE[1] : PATCH]
    return np.hypot(ys - FLIGHT[number][0], xs - FLIGHT[number][1]) < RADIUS


FIGURES = {
    "same_motion": same_motion,
    "flow_levels": flow_levels,
    "fusing": fusing,
    "nonlocal_look": nonlocal_look,
}
