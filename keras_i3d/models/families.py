"""One row a network: all that the floors above may ask of it. They name no network, and know none by its layers.

To add a network: a function in this package that builds it, and a row in `FAMILIES`. A module gives the rows of its
networks by `rows()`; the first of several of one builder is the one that it makes by default. A network's first layer
is a `blocks.ClipCheck`; it takes float32 (B, T, H, W, C); its head gives rows of logits, whose mean over all axes but
the first and the last are its logits.
"""

import difflib

from keras_i3d.models import baselines, c3d, heavy, inception, recurrent, residual, resnet, s3d
from keras_i3d.models.family import clip_check

MODULES = (inception, s3d, heavy, residual, resnet, c3d, baselines, recurrent)
FAMILIES = {row.name: row for module in MODULES for row in module.rows()}
DEFAULT = next(iter(FAMILIES))  # of files and runs that were written before there were several


def find(name):
    """Returns the Family of a name, or raises ValueError with those there are."""
    if not isinstance(name, str) or name not in FAMILIES:
        near = difflib.get_close_matches(name, FAMILIES, 3, 0.5) if isinstance(name, str) else []
        hint = f"; near are {', '.join(near)}" if near else ""
        raise ValueError(
            f"A network is one of the {len(FAMILIES)} that `keras-i3d models` lists{hint}. Received: {name!r}"
        )
    return FAMILIES[name]


def of_builder(name, options, stream=None):
    """Returns the Families that a public builder makes with these options, its default first, or raises ValueError.

    Args:
        name: of the builder.
        options: {its argument: value}; None leaves one open.
        stream: that they take; None for any.
    """
    rows = [row for row in FAMILIES.values() if row.of == name and stream in (None, *row.clips)]
    given = {option: value for option, value in options.items() if value is not None}
    given |= {option: tuple(value) for option, value in given.items() if isinstance(value, list)}
    fitting = tuple(row for row in rows if all(row.options.get(option) == value for option, value in given.items()))
    if not rows:
        takes = " and ".join(dict.fromkeys(each for row in FAMILIES.values() if row.of == name for each in row.clips))
        raise ValueError(f"{name} takes the stream {takes or 'of no network'}. Received: stream={stream!r}")
    if not fitting:
        there = "; ".join(", ".join(f"{option}={value!r}" for option, value in row.options.items()) for row in rows)
        received = ", ".join(f"{option}={value!r}" for option, value in given.items())
        raise ValueError(f"{name} is made with {there}. Received: {received}")
    return fitting


def of(model):
    """Returns the Family of a model of one stream that this package made; None for any other model, or name."""
    check = clip_check(model)
    name = check and (check.family or DEFAULT)
    return FAMILIES.get(name) if isinstance(name, str) else None  # a file may name anything


def of_layers(shapes):
    """Returns the first of `all_of_layers`."""
    return all_of_layers(shapes)[0]


def all_of_layers(shapes):
    """Returns the Families to which layers of these names and shapes can belong alike, with or without a head.

    Those with the most layers of them, and of those all whose kernels and widths they have; where there are none, the
    one with the most layers, or the default.

    Args:
        shapes: {layer: [shapes]} of what a file holds, at any width.
    """
    there = [row for row in FAMILIES.values() if _may_be_there(row, shapes)]
    fitting = _fitting([row for row in there if _may_be_alike(row, shapes)], shapes)
    return _alike(fitting, shapes) or list(_fitting(there, shapes))[:1] or [FAMILIES[DEFAULT]]


def _may_be_there(row, shapes):
    """False only of a network that has layers which are not in `shapes`; without building it."""
    with_weights = [f"{endpoint}_" for endpoint in row.endpoints[:-2] if not _is_pool(endpoint)]
    return {row.first, *row.kernels} <= shapes.keys() and all(
        any(f"{layer}_".startswith(name) for layer in shapes) for name in with_weights
    )


def _is_pool(endpoint):
    """Whether an endpoint is a pool, by its name: it has no weights."""
    return "pool" in endpoint.lower()


def _may_be_alike(row, shapes):
    """False only of a network that has kernels of other sizes than those in `shapes`; without building it."""
    return all(not shapes[name] or tuple(shapes[name][0])[:-2] == kernel for name, kernel in row.kernels.items())


def _fitting(rows, shapes):
    """Returns {row: its body's layout} of those all of whose layers are in `shapes`, those with the most first."""
    bodies = {row: row.layout(include_top=False) for row in rows}
    bodies = {row: body for row, body in bodies.items() if body.keys() <= shapes.keys()}
    return dict(sorted(bodies.items(), key=lambda each: -len(each[1])))


def _alike(bodies, shapes):
    """Returns the first of these rows whose kernels and widths are those in `shapes`, and all with as many layers."""
    alike = []
    for row in bodies:
        if alike and len(bodies[row]) < len(bodies[alike[0]]):
            break
        if _same_kernels(row, bodies[row], shapes) and row.depth_multiplier_of(shapes):
            alike.append(row)
    return alike


def _same_kernels(row, body, shapes):
    """Whether layers of a body have as many weights as those in `shapes`, kernels as large, and a clip as deep."""
    if not shapes[row.first] or len(shapes[row.first][0]) < 2 or not row.stream_of(shapes[row.first][0][-2]):
        return False
    held = {name: each for name, each in body.items() if shapes[name]}
    return all(
        len(each) == len(shapes[name]) and each[0][:-2] == tuple(shapes[name][0])[:-2] for name, each in held.items()
    )
