"""The pages of the site's reference: the public names by what they are for, and the help of each verb.

What a name says of itself is read by mkdocstrings, from its docstring. Here stands which name is on which page, and
where its source is: the packages hand out names that live in a module below them.
"""

import ast
import functools
import importlib
import pathlib

import site_pages

PACKAGE = site_pages.ROOT / "keras_i3d"

# {page: (title, what it is for, ((module, its names, or () for all that it makes public), ...))}.
PAGES = {
    "networks": (
        "Networks",
        "for the builders of networks, what they take and what their answers mean",
        (
            (
                "keras_i3d",
                (
                    *("I3D", "I2D", "TopHeavyI3D", "BottomHeavyI3D", "S3D", "S3DG", "R3D18", "R3D34", "MC318"),
                    *("R2Plus1D18", "R2Plus1D34", "I3DResNet50", "I3DResNet101", "C3D", "InceptionV1"),
                    *("ConvNetLSTM", "TwoStreamConvNet", "FusedTwoStream", "TwoStreamI3D"),
                    *("preprocess_input", "decode_predictions", "optimize_for_inference", "compile_for"),
                ),
            ),
        ),
    ),
    "classifying": (
        "Classifying",
        "for turning a video into labels",
        (("keras_i3d", ("classify", "Classifier", "Classification", "Prediction", "LiveClassifier")),),
    ),
    "segments": ("Segments", "for labels along the time of a video", (("keras_i3d.segments", ()),)),
    "explaining": (
        "Explaining",
        "for why a label was given, and what first filters see",
        (("keras_i3d.explaining", ()),),
    ),
    "weights": (
        "Weights",
        "for weights: inflating those of a 2D network, and what a model was trained on",
        (
            ("keras_i3d", ("inflate", "inflate_graph", "boring_video_error")),
            ("keras_i3d.facts", ("Facts", "of", "note")),
        ),
    ),
    "video": (
        "Video and pictures",
        "for reading a video's frames, and for looking at them",
        (("keras_i3d.video", ()), ("keras_i3d.visualize", ("flow_to_color", "own_bound", "sheet", "save"))),
    ),
    "flow": ("Optical flow", "for computing optical flow", (("keras_i3d.flow", ()),)),
    "records": (
        "Records",
        "for making TFRecords of videos",
        (("keras_i3d.records", ()), ("keras_i3d.records.annotations", ())),
    ),
    "data": ("Batches", "for making batches of records", (("keras_i3d.data", ()),)),
    "training": ("Training", "for training a network", (("keras_i3d.training", ()),)),
    "evaluation": ("Evaluation", "for measuring a network", (("keras_i3d.evaluation", ()),)),
    "features": ("Features", "for what a network sees in a video", (("keras_i3d.features", ()),)),
    "frechet": (
        "Frechet distance",
        "for the distance between two sets of videos",
        (("keras_i3d", ("fvd",)), ("keras_i3d.frechet", ())),
    ),
    "export": ("Export", "for files that others run", (("keras_i3d.export", ()),)),
    "errors": (
        "Errors",
        "for what may be raised that is no fault of an argument",
        (
            (
                "keras_i3d",
                (
                    *("KerasI3DError", "VideoError", "BuildError", "WeightsError", "WeightsUnreachableError"),
                    *("WeightsCacheError", "ServerError", "TrainingError", "EvaluationError"),
                    *("FeaturesError", "ExportError"),
                ),
            ),
        ),
    ),
}


def pages():
    """Returns {path in the site: Markdown} of all pages of the reference."""
    made = {f"reference/{page}.md": _page(page, *content) for page, content in PAGES.items()}
    return {"reference/index.md": _index(), **made, "reference/command_line.md": command_line()}


def documented():
    """Returns [(module, name)] of every name that stands on a page."""
    found = []
    for _, _, parts in PAGES.values():
        found += _listed(parts)
    return found


def public(module):
    """Returns what a module's `__all__` lists, from its source."""
    for node in _tree(module).body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__all__":
            return ast.literal_eval(node.value)
    raise ValueError(f"A module whose names are documented has __all__. Received: {module}")


def is_module(module, name):
    """Whether a public name is a module of a package."""
    return _path(f"{module}.{name}") is not None and home(module, name) == f"{module}.{name}"


def home(module, name):
    """Returns the full name of what a public name is, where its source stands.

    Raises:
        ValueError: a module that neither has nor imports that name.
    """
    for node in _tree(module).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == name:
            return f"{module}.{name}"
        if isinstance(node, ast.Assign) and name in [getattr(target, "id", "") for target in node.targets]:
            return f"{module}.{name}"
        if isinstance(node, ast.ImportFrom) and name in [alias.name for alias in node.names]:
            return home(node.module, name)
    for node in ast.walk(_tree(module)):  # {name: module} of what loads at its first use
        if isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values):
                if getattr(key, "value", None) == name and str(getattr(value, "value", "")).startswith("keras_i3d"):
                    return home(value.value, name)
    if _path(f"{module}.{name}"):
        return f"{module}.{name}.{name}" if name in _defined(f"{module}.{name}") else f"{module}.{name}"
    raise ValueError(f"A public name is made or imported by its module. Received: {module}.{name}")


def command_line():
    """Returns the page of `keras-i3d`: its help, and that of each verb."""
    from keras_i3d import cli

    parts = ["# Command line", "This page is for every verb of `keras-i3d` and its flags, as `--help` prints them."]
    for verb in (None, *cli.VERBS):
        module = importlib.import_module(f"keras_i3d.cli.{verb}") if verb else cli
        title = f"keras-i3d {verb}" if verb else "keras-i3d"
        parts += [f"## {title}", f"```text\n{module.__doc__.strip()}\n```"]
    return "\n\n".join(parts) + "\n"


def _listed(parts):
    """(module, name) of the names of a page's parts: no modules, and an exception on the page of errors alone."""
    return [
        (module, name)
        for module, names in parts
        for name in names or public(module)
        if not is_module(module, name) and (names or not home(module, name).startswith("keras_i3d.errors."))
    ]


def _index():
    lines = [f"| [{title}]({page}.md) | {purpose} |" for page, (title, purpose, _) in PAGES.items()]
    return "\n".join(
        [
            *("# Reference", "", "This page is for finding a name: the public ones, by what they are for."),
            *("", "| page | is |", "|---|---|", *lines),
            "| [Command line](command_line.md) | for the verbs of `keras-i3d` and their flags |\n",
        ]
    )


def _page(page, title, purpose, parts):
    blocks = [f"# {title}", f"This page is {purpose}."]
    for module, name in _listed(parts):
        options = f"    options:\n      heading: {module}.{name}\n      toc_label: {name}\n"
        blocks.append(f"::: {home(module, name)}\n{options}")
    return "\n\n".join(blocks) + "\n"


def _defined(module):
    return {getattr(node, "name", None) for node in _tree(module).body}


def _path(module):
    stem = PACKAGE.joinpath(*module.split(".")[1:])
    found = [path for path in (pathlib.Path(f"{stem}.py"), stem / "__init__.py") if path.is_file()]
    return found[0] if found else None


@functools.cache
def _tree(module):
    return ast.parse(_path(module).read_text(encoding="utf-8"))
