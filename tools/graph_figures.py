"""Figures of networks as SVG, drawn from their graphs: the boxes of a block, and the endpoints with their sizes.

They take the colour of the text around them, so that they are read on a light and on a dark page alike.
"""

import html

TIME, SPACE, POOL, JOIN = "#d9480f", "#1c7ed6", "#868e96", "none"  # reaches over time; over space alone; a pool; others
WIDTH, HEIGHT, GAP, RISE = 150, 40, 36, 24  # of a box; between columns; between rows
LEFT = 50  # of the first bar, for its name
MERGED = {"BatchNormalization": "batch norm", "ReLU": "ReLU", "Activation": ""}  # become words of the box before them
PASSED = {"Dropout", "Reshape", "ZeroPadding3D"}  # are not drawn
LEGEND = " ".join(
    f'<span style="white-space:nowrap"><span style="color:{color}">&#9632;</span> {words}</span>'
    for color, words in ((TIME, "reaches over time"), (SPACE, "over space alone"), (POOL, "a pool"))
)


class Box:
    """A box of a figure: its two lines of words, its colour, what leads into it, and where it stands."""

    def __init__(self, name, title, words, color, before):
        self.name, self.title, self.words, self.color, self.before = name, title, words, color, before
        self.row, self.x = 0, 0.0


def block(model, begin, end):
    """Returns a figure of what a model does from some layers to another one.

    Args:
        model: a functional keras.Model.
        begin: names of the layers whose outputs it begins with.
        end: name of the layer that it ends with.
    """
    boxes = _boxes(model, begin, end)
    _place(boxes)
    return _drawn(boxes, f"From {' and '.join(begin)} to {end}")


def strip(model, endpoints):
    """Returns a figure of the endpoints: each a bar as high as its output, with its steps in time and its channels."""
    bars = [(name, tuple(model.get_layer(name).output.shape[1:]), _reach(model, name, endpoints)) for name in endpoints]
    bars = [bar for bar in bars if len(bar[1]) == 4]
    step = min(40.0, 660 / len(bars))
    tallest = max(shape[1] for _, shape, _ in bars)
    parts = []
    for place, (name, (steps, height, _, channels), color) in enumerate(bars):
        tall = 8 + 100 * height / tallest
        x, y = LEFT + place * step, 125 - tall
        parts.append(
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{step * 0.62:.1f}" height="{tall:.1f}" rx="2" fill="{color}" '
            f'fill-opacity="0.55" stroke="currentColor" stroke-width="0.7"><title>{html.escape(name)}: '
            f"{steps} x {height} x {height} x {channels}</title></rect>"
        )
        middle = x + step * 0.31
        if step > 24 or place % 2 == 0:
            parts.append(_text(middle, y - 5, steps, 9, "middle"))
        parts.append(
            f'<text transform="translate({middle + 3:.1f} 135) rotate(-55)" text-anchor="end" font-size="9" '
            f'fill="currentColor">{html.escape(name)}</text>'
        )
    words = "The endpoints, each as high as its output, under its steps in time"
    return _svg(LEFT + len(bars) * step + 10, 145 + 4.6 * max(len(name) for name, *_ in bars), parts, words)


def figure(svg, words, legend=True):
    """Returns an SVG with its caption as a block of HTML within Markdown."""
    caption = f"{words} {LEGEND}" if legend else words
    return f"<figure>\n{svg}\n<figcaption>{caption}</figcaption>\n</figure>"


def _reach(model, endpoint, endpoints):
    """The colour of an endpoint: whether a kernel of its layers reaches over time."""
    longer = [name for name in endpoints if name != endpoint and name.startswith(f"{endpoint}_")]
    kernels = []
    for layer in model.layers:
        ours = layer.name == endpoint or layer.name.startswith(f"{endpoint}_")
        if ours and not any(layer.name == name or layer.name.startswith(f"{name}_") for name in longer):
            kernels += [layer.kernel_size] if "Conv3D" in type(layer).__name__ else []
            kernels += [None] if type(layer).__name__ == "WeighedMean" else []
    if not kernels:
        return POOL
    return TIME if any(kernel is None or kernel[0] > 1 for kernel in kernels) else SPACE


def _boxes(model, begin, end):
    """[Box] in the order of the graph, batch norms and activations within the box before them."""
    graph = _graph(model, begin, end)
    after = {name: [other for other, (_, before) in graph.items() if name in before] for name in graph}
    owner, boxes = {}, {}
    for name, (operation, before) in graph.items():
        kind = type(operation).__name__
        before = list(dict.fromkeys(owner[each] for each in before))
        alone = len(before) == 1 and before[0] not in begin
        own = name not in begin and alone and all(len(after[each]) == 1 for each in graph[name][1])
        if name not in begin and kind in PASSED:
            owner[name] = before[0]
        elif own and kind in MERGED and (kind != "Activation" or boxes[before[0]].title):
            words = MERGED[kind] or operation.activation.__name__
            box = boxes[before[0]]
            box.words = ", ".join(filter(None, [box.words, words]))
            owner[name] = before[0]
        else:
            title, words, color = _said(name, operation, begin)
            boxes[name] = Box(name, title, words, color, before)
            owner[name] = name
    return list(boxes.values())


def _graph(model, begin, end):
    """{name: (operation, names of those before it)} from `begin` to `end`, each after what it needs."""
    found = {}

    def visit(operation):
        if operation.name in found:
            return
        before = []
        if operation.name not in begin:
            node = operation._inbound_nodes[0]
            before = [tensor._keras_history.operation for tensor in node.input_tensors]
        for each in before:
            visit(each)
        found[operation.name] = (operation, [each.name for each in before])

    visit(model.get_layer(end))
    return found


def _said(name, operation, begin):
    """(title, words, colour) of an operation."""
    kind, shape = type(operation).__name__, operation.output.shape[1:]
    if name in begin:
        return name, _times(shape), JOIN
    if kind == "Conv3D":
        stride = "" if set(operation.strides) == {1} else f" / {_times(operation.strides)}"
        activation = operation.activation.__name__
        words = "" if activation == "linear" else activation
        role = name.removesuffix("_conv_3d").rpartition("_")[2]
        words = role if role in ("theta", "phi", "g") else words
        color = TIME if operation.kernel_size[0] > 1 else SPACE
        return f"{_times(operation.kernel_size)}{stride}, {operation.filters}", words, color
    if kind == "MaxPool3D" or kind == "MaxPooling3D":
        return f"max pool {_times(operation.pool_size)}", _times(shape), POOL
    said = {
        "Concatenate": ("side by side", f"{shape[-1]} channels"),
        "Add": ("add", ""),
        "Multiply": ("multiply", "each channel"),
        "HeadPool": ("average pool", _times(shape)),
        "MeanOfHeads": ("a class layer each", "their mean"),
        "BatchNormLSTM": (f"LSTM, {shape[-1]}", "a state from step to step"),
        "LastStep": ("last step", ""),
        "WeighedMean": ("mean of g", "weighed by theta . phi"),
    }
    if kind == "GlobalAveragePooling3D":
        return "mean", "over the steps" if len(shape) == 1 else "over the whole clip", POOL
    if kind == "Activation":
        return operation.activation.__name__, "", JOIN
    return (*said.get(kind, (kind, _times(shape))), TIME if kind in ("BatchNormLSTM", "WeighedMean") else JOIN)


def _place(boxes):
    """Gives each box its row, the longest way to it, and its column."""
    by_name = {box.name: box for box in boxes}
    roots = [box for box in boxes if not box.before]
    for box in boxes:
        box.row = max((by_name[name].row + 1 for name in box.before), default=0)
    only = {box.name: [each for each in boxes if each.before == [box.name]] for box in boxes}

    def wide(box):
        """How many columns stand under a box."""
        return max(1, sum(wide(each) for each in only[box.name]))

    def spread(box, left):
        own = only[box.name]
        box.x = left + (wide(box) - 1) / 2
        for each in own:
            spread(each, left)
            left += wide(each)

    left = 0
    for box in roots:
        spread(box, left)
        left += wide(box)
    for box in boxes:
        if len(box.before) > 1:
            before = [by_name[name] for name in box.before]
            near = [each for each in before if each.row == box.row - 1] if _is_sum(box, before) else before
            spread(box, sum(each.x for each in near) / len(near) - (wide(box) - 1) / 2)


def _is_sum(box, before):
    """Whether one of the boxes before it is what it goes round, as a shortcut."""
    return box.title in ("add", "multiply")


def _drawn(boxes, words):
    by_name = {box.name: box for box in boxes}
    columns = max(box.x for box in boxes) + 1
    right = columns * (WIDTH + GAP)

    def middle(box):
        return GAP / 2 + box.x * (WIDTH + GAP) + WIDTH / 2

    def top(box):
        return 4 + box.row * (HEIGHT + RISE)

    parts = []
    for box in boxes:
        for name in box.before:
            before = by_name[name]
            x, y, to, end = middle(before), top(before) + HEIGHT, middle(box), top(box)
            between = [each for each in boxes if before.row < each.row < box.row]
            if any(abs(middle(each) - x) < WIDTH for each in between) or any(
                abs(middle(each) - to) < WIDTH and abs(x - to) < 1 for each in between
            ):
                side = max(x, to) + WIDTH / 2 + GAP * 0.36
                for each in sorted(between, key=middle):  # past every box that it would cross
                    if abs(middle(each) - side) < WIDTH / 2 + 4:
                        side = middle(each) + WIDTH / 2 + GAP * 0.36
                parts.append(
                    f'<path d="M{x + WIDTH / 2:.0f} {y - HEIGHT / 2:.0f} H{side:.0f} V{end + HEIGHT / 2:.0f} '
                    f'H{to + WIDTH / 2 + 5:.0f}" fill="none" stroke="currentColor" stroke-width="1.1"/>'
                    + _arrow(to + WIDTH / 2, end + HEIGHT / 2, "left")
                )
            else:
                bend = end - RISE * 0.6
                parts.append(
                    f'<path d="M{x:.0f} {y:.0f} V{bend:.0f} L{to:.0f} {end - 6:.0f} V{end - 5:.0f}" fill="none" '
                    'stroke="currentColor" stroke-width="1.1"/>' + _arrow(to, end, "down")
                )
    for box in boxes:
        fill = f'fill="{box.color}" fill-opacity="0.2"' if box.color != JOIN else 'fill="none"'
        x, y = middle(box), top(box)
        parts.append(
            f'<rect x="{x - WIDTH / 2:.0f}" y="{y:.0f}" width="{WIDTH}" height="{HEIGHT}" rx="5" {fill} '
            'stroke="currentColor" stroke-width="1"/>'
        )
        parts.append(_text(x, y + (17 if box.words else 24), box.title, 12, "middle"))
        if box.words:
            parts.append(_text(x, y + 32, box.words, 10, "middle", 0.75))
    return _svg(right, 8 + (max(box.row for box in boxes) + 1) * (HEIGHT + RISE) - RISE, parts, words)


def _arrow(x, y, way):
    tips = {
        "down": f"{x - 4:.0f},{y - 6:.0f} {x + 4:.0f},{y - 6:.0f}",
        "left": f"{x + 6:.0f},{y - 4:.0f} {x + 6:.0f},{y + 4:.0f}",
    }
    return f'<polygon points="{x:.0f},{y:.0f} {tips[way]}" fill="currentColor"/>'


def _text(x, y, words, size, anchor, opacity=1.0):
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" fill="currentColor" '
        f'fill-opacity="{opacity}">{html.escape(str(words))}</text>'
    )


def _svg(width, height, parts, words):
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" '
        f'font-family="sans-serif" role="img" aria-label="{html.escape(words)}">\n' + "\n".join(parts) + "\n</svg>"
    )


def _times(sizes):
    return " x ".join(map(str, sizes))
