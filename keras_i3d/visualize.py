"""Pictures of what the models see."""

import contextlib
import functools
import importlib.util
import io
import math
import pathlib
import textwrap

import numpy as np

from keras_i3d import atomic, lacking_characters, paths
from keras_i3d.errors import missing_package
from keras_i3d.specs import FPS

QUANTILE = 0.999  # of the speeds of a clip, that is painted in full colour
SLOWEST_BOUND = 0.5  # pixels per frame: what is slower may be noise, and stays pale
WHEEL_SIDE = 44  # pixels of the legend's wheel
FONTS = ("DejaVuSans.ttf", "Arial Unicode.ttf", "arial.ttf", "NotoSansCJK-Regular.ttc", "msgothic.ttc")
FONT_SIZE = 9  # of these, about as wide as the built-in one
NO_CHARACTER = "\uffff"  # what no font has

# Steps of each colour range of the wheel: red to yellow, green, cyan, blue, magenta, red
# (Baker et al., "A Database and Evaluation Methodology for Optical Flow", IJCV 2011).
_WHEEL_STEPS = (15, 6, 4, 11, 13, 6)


def flow_to_color(flow, bound=None):
    """Paints flow in the colour-wheel code: hue is direction, saturation is speed, white is still.

    Args:
        flow: float (..., H, W, 2), dx and dy in pixels per frame.
        bound: the speed in pixels per frame of full colour; faster motion is darkened. None for `own_bound` of this
            flow: pass it for the whole clip where fields are painted one by one.

    Returns:
        uint8 (..., H, W, 3), RGB. Motion to the right is red.
    """
    flow = _checked_flow(flow)
    bound = own_bound(flow) if bound is None else bound
    if not bound > 0:
        raise ValueError(f"bound must be positive, in pixels per frame, or None. Received: bound={bound!r}")
    flow = flow / bound
    wheel = _wheel()
    speed = np.hypot(flow[..., 0], flow[..., 1])[..., None]
    turn = (np.arctan2(flow[..., 1], flow[..., 0]) / (2 * np.pi) % 1) * len(wheel)
    first = np.floor(turn).astype(int) % len(wheel)
    part = (turn - np.floor(turn))[..., None]
    hue = wheel[first] * (1 - part) + wheel[(first + 1) % len(wheel)] * part
    color = np.where(speed <= 1, 1 - speed * (1 - hue), hue * 0.75)
    return np.rint(color * 255).astype(np.uint8)


def own_bound(flow):
    """Returns the speed at which a clip's flow is painted in full colour by default.

    It is the 99.9th percentile of the speeds, rounded up to two digits: a small fast object counts, a few wrong vectors
    do not. It is at least 0.5 pixels per frame: of a still clip the noise would be painted.

    Args:
        flow: float (..., H, W, 2), dx and dy in pixels per frame.

    Returns:
        float, in pixels per frame.
    """
    flow = _checked_flow(flow)
    fastest = max(float(np.quantile(np.hypot(flow[..., 0], flow[..., 1]), QUANTILE)), SLOWEST_BOUND)
    step = 10.0 ** (math.floor(math.log10(fastest)) - 1)
    return round(math.ceil(round(fastest / step, 3)) * step, 6)


def _checked_flow(flow):
    flow = np.asarray(flow, np.float32)
    if flow.shape[-1:] != (2,) or not flow.size:
        raise ValueError(f"Flow has dx and dy on the last axis. Received: shape {flow.shape}")
    if not np.isfinite(flow).all():
        raise ValueError("Flow to paint must be finite. Received: NaN or infinity.")
    return flow


def sheet(frames, flow=None, title="", fps=FPS, columns=6, count=12, width=160, bound=None, legend=True):
    """Lays out pictures of a clip, each frame over the flow that leads to the next one, with their times.

    Args:
        frames: uint8 (T, H, W, 3), RGB.
        flow: float (T - 1, H, W, 2) or (T, H, W, 2) in pixels per frame, or None for frames alone.
        title: a line above.
        fps: frames per second, for the times.
        columns: pictures in a row.
        count: pictures at most, spread evenly over the clip.
        width: pixels of a picture.
        bound: pixels per frame of full colour; None for `own_bound` of the whole clip.
        legend: whether the colour wheel stands below the pictures, with the bound.

    Returns:
        uint8 (H, W, 3), RGB.
    """
    frames, flow = _checked(frames, flow)
    scale = _scale(flow, bound)
    chosen = np.unique(np.linspace(0, len(frames) - 1, min(count, len(frames))).round().astype(int))
    if flow is not None:
        chosen = np.unique(np.minimum(chosen, len(flow) - 1))
    cells = [
        _cell(frames[i], None if flow is None else flow[i], f"{i / fps:.2f} s", width, scale) for i in chosen.tolist()
    ]
    blank = np.full_like(cells[0], 255)
    columns = min(columns, len(cells))
    cells += [blank] * (-len(cells) % columns)
    rows = [np.concatenate(cells[at : at + columns], axis=1) for at in range(0, len(cells), columns)]
    below = [] if flow is None or not legend else [_legend(rows[0].shape[1], scale, bound is None)]
    return np.concatenate([text_line(title, rows[0].shape[1]), *rows, *below])


def save(path, frames, flow=None, title="", fps=FPS, bound=None, width=256):
    """Writes a sheet of a clip as `.png`, or the clip itself over its flow as an animated `.gif`.

    Args:
        path: ends in .png or .gif.
        frames, flow, title, fps, bound: as for `sheet`. Pictures with flow have its legend.
        width: pixels of an animated clip.

    Raises:
        ValueError: another name, frames that are not uint8 (T, H, W, 3), or flow of another size or not finite.
    """
    path = check_name(path)
    if path.suffix == ".png":
        image, settings = _pillow("Image").fromarray(sheet(frames, flow, title, fps, bound=bound)), {}
    else:
        image, settings = _animated(frames, flow, title, fps, bound, width, True)
    with atomic.replacing(path) as temporary:
        image.save(temporary, **settings)


def check_name(path):
    """Returns a path that `save` can write to, or raises ValueError."""
    path = pathlib.Path(paths.expand(path))
    if path.suffix not in (".png", ".gif"):
        raise ValueError(f"A picture's name ends in .png or .gif. Received: {path.name}")
    return path


def gif(frames, flow=None, title="", fps=FPS, bound=None, width=256, legend=True):
    """Returns as bytes the animated GIF that `save` writes; arguments as there, `legend` as for `sheet`."""
    image, settings = _animated(frames, flow, title, fps, bound, width, legend)
    content = io.BytesIO()
    image.save(content, "GIF", **settings)
    return content.getvalue()


def _animated(frames, flow, title, fps, bound, width, legend):
    """Returns (the first image of an animated GIF, how Pillow is to save it)."""
    frames, flow = _checked(frames, flow)
    scale = _scale(flow, bound)
    length = len(frames) if flow is None else min(len(frames), len(flow))
    cells = (
        _cell(frames[i], None if flow is None else flow[i], f"{i / fps:.2f} s", width, scale) for i in range(length)
    )
    above = text_line(title, width + 2)
    below = [] if flow is None or not legend else [_legend(width + 2, scale, bound is None)]
    pictures = [np.concatenate([above, cell, *below]) for cell in cells]
    first, *rest = _in_one_palette(pictures, flow)
    return first, {"save_all": True, "append_images": rest, "duration": 1000 / fps, "loop": 0} if rest else {}


def _in_one_palette(pictures, flow):
    """Images of 256 colours that are the same for all, so that the wheel means the same in each.

    With flow a third of the colours are the wheel's, however small it is.
    """
    image_module = _pillow("Image")
    some = np.concatenate([pictures[i] for i in np.unique(np.linspace(0, len(pictures) - 1, 8).round().astype(int))])
    parts = [(some, 256)] if flow is None else [(some, 172), (_painted_wheel(32), 84)]
    colours = [image_module.fromarray(part).quantize(count).getpalette()[: 3 * count] for part, count in parts]
    palette = image_module.new("P", (1, 1))
    palette.putpalette(sum(colours, []))
    # Without dithering, by which what is above would spread into the wheel.
    return [image_module.fromarray(picture).quantize(palette=palette, dither=0) for picture in pictures]


def _checked(frames, flow):
    frames = np.asarray(frames)
    if frames.ndim != 4 or frames.shape[-1] != 3 or frames.dtype != np.uint8 or not len(frames):
        raise ValueError(f"Frames are uint8 (T, H, W, 3). Received: {frames.dtype} {frames.shape}")
    if flow is not None and (len(flow) == 0 or np.shape(flow)[1:3] != frames.shape[1:3]):
        raise ValueError(f"Flow belongs to frames of {frames.shape[1:3]}. Received: {np.shape(flow)}")
    return frames, flow


def _scale(flow, bound):
    """The speed of full colour of a whole clip; None without flow."""
    return own_bound(flow) if bound is None and flow is not None else bound


def _legend(width, bound, own):
    """The colour wheel next to what its rim means, uint8 (h, width, 3)."""
    wheel = _painted_wheel(min(WHEEL_SIDE, width) / 2)
    darker = f"; {1 - QUANTILE:.1%} of this clip is faster, and darker" if own else ""
    said = f"full colour: {bound:.3g} pixels per frame{darker}"
    text = text_line(f"the wheel: where a point moves to; {said}", max(width - len(wheel) - 12, 1))
    height = max(len(wheel), len(text)) + 8
    strip = np.full((height, width, 3), 255, np.uint8)
    for part, left in ((wheel, min(6, width - len(wheel))), (text, len(wheel) + 12)):
        top = (height - len(part)) // 2
        strip[top : top + len(part), left : left + part.shape[1]] = part[:, : max(width - left, 0)]
    return strip


def _painted_wheel(radius):
    """The colour wheel on white, uint8 (2 radius, 2 radius, 3): the rim is full colour."""
    at = (np.arange(math.floor(2 * radius)) + 0.5) / radius - 1
    x, y = np.meshgrid(at, at)
    wheel = flow_to_color(np.stack([x, y], axis=-1), 1)
    wheel[np.hypot(x, y) > 1] = 255
    return wheel


def png(picture):
    """Returns a picture, uint8 (H, W, 3), as the bytes of a PNG."""
    content = io.BytesIO()
    _pillow("Image").fromarray(picture).save(content, "PNG")
    return content.getvalue()


def beside(frame, field=None, width=160, bound=None):
    """Returns a frame with its flow at its right, scaled: uint8 (h, 2 width, 3), or (h, width, 3) without flow.

    Args:
        frame: uint8 (H, W, 3), RGB.
        field: float (H, W, 2), in pixels per frame, or None.
        width: pixels of each.
        bound: as for `flow_to_color`; for a video, that of the whole of it.
    """
    pictures = [frame] if field is None else [frame, flow_to_color(field, bound)]
    return np.concatenate(_scaled(pictures, width), axis=1)


def _scaled(pictures, width):
    """Pictures of one size, at a width."""
    height = max(round(width * pictures[0].shape[0] / pictures[0].shape[1]), 1)
    return [np.asarray(_pillow("Image").fromarray(picture).resize((width, height))) for picture in pictures]


def _cell(frame, field, time, width, bound):
    """A frame with its time, over its flow, uint8; white lines at the right and below."""
    pictures = [frame] if field is None else [frame, flow_to_color(field, bound)]
    cell = np.concatenate([*_scaled(pictures, width), text_line(time, width)])
    return np.pad(cell, ((0, 2), (0, 2), (0, 0)), constant_values=255)


def text_line(text, width):
    """Black on white, uint8 (h, width, 3); text that does not fit continues in further lines.

    The built-in font has the characters of ASCII. For others one of `FONTS` is taken, if this machine has it; what it
    lacks too are boxes, and a notice says so once of each character.
    """
    image_module, draw_module = _pillow("Image"), _pillow("ImageDraw")
    font, lacking = _font(frozenset(each for each in text if not each.isascii()))
    lacking_characters.tell(lacking, "the fonts of pictures lack {}, where they have boxes")
    size = max((width - 4) // 6, 1)  # characters of the built-in font in a line
    lines = textwrap.wrap(text, size) or [""]
    image = image_module.new("RGB", (width, 14 * len(lines)), "white")
    draw_module.Draw(image).multiline_text((3, 1), "\n".join(lines), fill="black", spacing=3, font=font)
    return np.asarray(image)


@functools.cache
def _font(characters):
    """Returns (the font that has the most of some characters, the frozenset of those that it lacks)."""
    fonts = [(font, frozenset(each for each in characters if _is_lacking(font, each))) for font in _fonts()]
    return min(fonts, key=lambda each: len(each[1]))  # of equal ones the first


@functools.cache
def _fonts():
    """The fonts that there are, the built-in one first."""
    fonts = _pillow("ImageFont")
    matplotlib = importlib.util.find_spec("matplotlib")  # which brings DejaVu Sans
    folders = matplotlib.submodule_search_locations if matplotlib else ()
    found = [fonts.load_default()]
    for name in (*FONTS, *(str(pathlib.Path(folder, "mpl-data/fonts/ttf", FONTS[0])) for folder in folders)):
        with contextlib.suppress(OSError, ImportError):  # not here, or a Pillow without FreeType
            found.append(fonts.truetype(name, FONT_SIZE))
    return tuple(found)


def _is_lacking(font, character):
    """Whether a font draws a character as it draws one that is none."""
    return bytes(font.getmask(character)) == bytes(font.getmask(NO_CHARACTER))


def _pillow(module):
    try:
        import PIL.Image
        import PIL.ImageDraw
        import PIL.ImageFont
    except ImportError as error:
        raise missing_package("PIL", "pillow", "Making a picture") from error
    return getattr(PIL, module)


def _wheel():
    """The colours of the wheel in [0, 1], (55, 3), in the order of the angle from +x towards +y (down)."""
    corners = np.array([[1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 1, 1], [0, 0, 1], [1, 0, 1], [1, 0, 0]], float)
    ranges = [
        start + (end - start) * (np.arange(steps) / steps)[:, None]
        for start, end, steps in zip(corners, corners[1:], _WHEEL_STEPS)
    ]
    return np.concatenate(ranges)
