"""Figures about time: the boring video, receptive fields, and which frames a protocol looks at. Each is measured."""

import functools

import numpy as np
from svg_drawing import BLUE, GREEN, GREY, ORANGE, PURPLE, Drawing

FRAMES = 24  # of the boring video
SHOWN = ("conv1", "conv3", "conv5")


def boring_differences(frames=FRAMES, depth=5, side=12, seed=0):
    """How far an inflated network is, at each frame of a video of one repeated image, from the 2D one on the image.

    Returns:
        {layer: float (frames,)}, relative L2, of a network of `depth` convolutions with drawn weights.
    """
    import keras

    import keras_i3d

    keras.utils.set_random_seed(seed)
    image = x = keras.Input((side, side, 3))
    for number in range(1, depth + 1):
        x = keras.layers.Conv2D(8, 3, padding="same", activation="relu", name=f"conv{number}")(x)
    flat = keras.Model(image, x)
    deep = keras_i3d.inflate_graph(flat)
    picture = np.random.default_rng(seed).uniform(0, 1, (side, side, 3)).astype("float32")
    found = {}
    for name in (f"conv{number}" for number in range(1, depth + 1)):
        still = keras.Model(flat.input, flat.get_layer(name).output)(picture[None])[0].numpy()
        video = keras.Model(deep.input, deep.get_layer(name).output)(np.stack([picture] * frames)[None])[0].numpy()
        found[name] = np.linalg.norm((video - still).reshape(frames, -1), axis=1) / np.linalg.norm(still)
    return found


def boring_video():
    """The differences of `boring_differences`, frame by frame."""
    found = boring_differences()
    page = Drawing(760, 312, "At the middle frames the inflated network answers as the 2D one; at the ends it does not")
    page.text(20, 28, "How far the inflated network is from the 2D one, at each frame of a still video", bold=True)
    left, step = 190, 22
    for row, name in enumerate(SHOWN):
        base = 105 + row * 78
        page.text(20, base - 22, name, bold=True)
        page.text(20, base - 5, f"sees {2 * int(name[4:]) + 1} frames", 12, soft=True)
        for frame, value in enumerate(found[name]):
            tall = 110 * value
            equal = value < 1e-5
            page.box(left + frame * step, base - (3 if equal else tall), step - 4, 3 if equal else tall,
                     GREEN if equal else ORANGE)  # fmt: skip
        page.line(left - 6, base, left + FRAMES * step, base)
        page.text(left - 12, base + 4, f"up to {max(found[name]):.0%}", 11, "end", soft=True)
    page.text(left, 285, "first frame", 11, soft=True)
    page.text(left + FRAMES * step - 4, 285, "last frame", 11, "end", soft=True)
    page.box(left + 150, 276, 12, 10, GREEN)
    page.text(left + 167, 285, "equal", 11, soft=True)
    page.box(left + 220, 276, 12, 10, ORANGE)
    page.text(left + 237, 285, "sees zeros beyond the ends", 11, soft=True)
    return page


@functools.cache
def fields():
    """{endpoint: (frames it sees, frames to the next, where its first begins, steps)} of I3D and a clip of 64."""
    from keras_i3d.models import families, receptive_fields
    from keras_i3d.models.family import without_memory

    row = families.find("I3D")

    def read():
        model = row.build(input_shape=(64, 224, 224, 3))
        found = receptive_fields.of_layers(model)
        names = [name for name in row.endpoints if name not in (row.logits, row.predictions)]
        return {
            name: (*(part[0] for part in (found[name].size, found[name].stride, found[name].start)), steps)
            for name, steps in ((name, model.get_layer(name).output.shape[1]) for name in names)
        }

    return without_memory(read)


def receptive_field():
    """What the middle step of each endpoint sees of a clip of 64 frames."""
    page = Drawing(760, 440, "From endpoint to endpoint a step sees more frames, and the last one more than the clip")
    page.text(20, 28, "What one step in the middle of each endpoint of I3D sees of a clip of 64 frames", bold=True)
    zero, scale = 410, 3.0
    page.box(zero, 46, 64 * scale, 350, GREY, 0.14)
    page.text(zero + 32 * scale, 412, "the 64 frames of the clip", 12, "middle", soft=True)
    for place, (name, (size, stride, start, steps)) in enumerate(fields().items()):
        y = 62 + place * 21
        begin = start + (steps // 2 - (steps > 1 and steps % 2 == 0)) * stride
        page.text(20, y + 4, name, 12)
        page.text(312, y + 4, f"{size} frames, every {stride}", 12, "end", soft=True)
        page.box(zero + begin * scale, y - 5, size * scale, 10, BLUE if "Pool" not in name else GREY, 0.85)
    page.text(zero - 4, 432, "zeros", 11, "end", soft=True)
    page.text(zero + 64 * scale + 4, 432, "zeros", 11, soft=True)
    return page


def row_sensitivity(frames=160, size=32, width=0.125, clips=4, seed=0):
    """How much each row of logits of a small I3D with drawn weights changes with each frame.

    Returns:
        float (rows, frames): the norm of the gradient over all clips, each row's summing up to 1.
    """
    import keras
    import tensorflow as tf

    import keras_i3d

    keras.utils.set_random_seed(seed)
    model = keras_i3d.I3D(
        weights=None, input_shape=(frames, size, size, 3), classes=8, depth_multiplier=width, classifier_activation=None
    )
    rows = keras.Model(model.input, model.get_layer("Logits_Conv3d_0c_1x1_conv_3d").output)
    draw = np.random.default_rng(seed)
    clip = tf.constant(draw.uniform(-1, 1, (clips, frames, size, size, 3)).astype("float32"))
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(clip)
        each = tf.unstack(tf.reduce_sum(rows(clip)[:, :, 0, 0] ** 2, axis=(0, 2)))
    norms = [
        np.linalg.norm(np.moveaxis(tape.gradient(one, clip).numpy(), 1, 0).reshape(frames, -1), axis=1) for one in each
    ]
    return np.stack([norm / norm.sum() for norm in norms])


def own_frames(row):
    """The first frame of the two steps of 8 frames that a row of I3D's logits averages, and the one after the last."""
    return 8 * row, 8 * row + 16


def logits_rows():
    """`row_sensitivity` of a row near the begin, of one in the middle and of one near the end."""
    found = row_sensitivity()
    frames = found.shape[1]
    page = Drawing(760, 316, "A row of logits depends on many more frames than those that it averages")
    page.text(
        20, 28, f"How much three of the {len(found)} rows of logits change with each of {frames} frames", bold=True
    )
    left, scale, base = 50, 660 / frames, 240
    rows = ((2, BLUE), (9, ORANGE), (16, PURPLE))
    top = max(found[number].max() for number, _ in rows)
    for number, color in rows:
        points = [(left + (i + 0.5) * scale, base - 170 * value / top) for i, value in enumerate(found[number])]
        page.curve([(points[0][0], base), *points, (points[-1][0], base)], color, 1.5, fill=True)
        first, last = own_frames(number)
        page.line(left + first * scale, base + 5, left + last * scale, base + 5, color, 5)
        page.text(left + (first + last) / 2 * scale, base + 24, f"row {number}", 12, "middle")
    page.line(left, base, left + frames * scale, base)
    page.text(left, 284, "frame 0", 11, soft=True)
    page.text(left + frames * scale, 284, f"frame {frames - 1}", 11, "end", soft=True)
    first, last = own_frames(9)
    inside = found[9, first:last].sum()
    page.text(left, 305, f"The bar below a curve: the two steps of 8 frames that the row averages. Of row 9's gradient "
              f"{inside:.0%} is there.", 12)  # fmt: skip
    return page


VIDEO = 250  # frames of 10 s at 25 a second
TESTS = (  # name, clips, frames of each, their distance, and who tests so
    ("whole", None, 250, 1, "I3D: all frames, one pass"),
    ("views:1x1", 1, 64, 1, "one clip"),
    ("views:10x3", 10, 64, 1, "non-local networks: 10 clips, 3 crops of each"),
    ("views:5x1", 5, 16, 1, "torchvision's R3D-18: 5 short clips"),
    ("views:25x10", 25, 1, 1, "two-stream ConvNets: 25 frames, 10 crops of each"),
)


def clip_starts(clips, frames, stride=1, video=VIDEO):
    """Where the clips of a protocol start, as `data.load` places them."""
    from keras_i3d.data import augment

    return [0] if clips is None else augment.starts(video, frames, stride, clips=clips).numpy().tolist()


def protocols():
    """Which frames of a video of 10 s each protocol looks at, and the crops of a frame."""
    import demo_videos

    from keras_i3d.data import augment

    page = Drawing(760, 496, "Five protocols on one video of 10 seconds: which frames, and which crops")
    page.text(20, 28, "Which frames of a video of 10 s (250 frames) a protocol looks at", bold=True)
    left, scale = 150, 2.3
    for row, (name, clips, frames, stride, words) in enumerate(TESTS):
        y = 62 + row * 44
        page.text(20, y + 5, name, 13)
        page.text(left, y - 9, words, 11, soft=True)
        page.line(left, y + 4, left + VIDEO * scale, y + 4)
        for number, start in enumerate(clip_starts(clips, frames, stride)):
            high = 7 if clips and clips > 1 and number % 2 else 0
            page.box(left + start * scale, y - 3 + high, max(frames * scale, 2), 7, BLUE, 0.75)
    frame = demo_videos.frames(np.random.default_rng(3), "cross", "slides", scale=2)[4]
    height, width = frame.shape[:2]
    for number, crops in enumerate((1, 3, 10)):
        x, y, wide = 20 + number * 246, 304, 226
        tall = page.picture(x, y, wide, frame)
        side = height if crops == 3 else round(0.8 * height)
        for top, start, rows, columns in augment.windows(height, width, side, crops).numpy().tolist():
            ratio = wide / width
            page.parts.append(
                f'<rect x="{x + start * ratio:.1f}" y="{y + top * ratio:.1f}" width="{columns * ratio:.1f}" '
                f'height="{rows * ratio:.1f}" fill="none" stroke="#ffffff" stroke-width="2"/>'
            )
        said = {1: "1 crop: the centre", 3: "3 crops along the long side", 10: "5 crops, and mirrored: 10"}[crops]
        page.text(x, y - 10, said, 12)
        assert y + tall <= page.height - 4
    return page


FIGURES = {
    "boring_video": boring_video,
    "receptive_field": receptive_field,
    "logits_rows": logits_rows,
    "protocols": protocols,
}
