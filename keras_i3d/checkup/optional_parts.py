"""The optional parts: which are there and whole, how to install the others, packages that overwrite each other."""

import importlib.metadata

from keras_i3d.checkup.findings import fine, note, warning
from keras_i3d.checkup.part_imports import LATE, Imports
from keras_i3d.errors import is_installed, one_line, without_credentials

# By extra: the module that is looked for, its distribution, and what it is for.
PARTS = {
    "beam": ("apache_beam", "apache-beam", "records"),
    "report": ("matplotlib", "matplotlib", "pictures of evaluate"),
    "svm": ("sklearn", "scikit-learn", "evaluate --fusion=svm"),
    "tensorboard": ("tensorboard", "tensorboard", "curves of training"),
    "wandb": ("wandb", "wandb", "train --log=wandb"),
    "mlflow": ("mlflow", "mlflow", "train --log=mlflow"),
    "serving": ("grpc", "grpcio", "ask by gRPC"),
    "kserve": ("kserve", "kserve", "serve"),
    "web": ("starlette", "starlette", "web"),
    "openvino": ("openvino", "openvino", "--runtime=openvino"),
    "onnx": ("tf2onnx", "tf2onnx", "export --format=onnx"),
    "litert": ("ai_edge_litert", "ai-edge-litert", "export --format=litert"),
    "opencv": ("cv2", "opencv-contrib-python-headless", "flow_method=opencv and dis"),
    "io": ("tensorflow_io", "tensorflow-io", "s3://, az:// and hdfs://"),
    "official": ("official", "tf-models-official", "RandAugment"),
}
# Modules without which a part is not there, next to the one that is looked for.
NEXT_TO = {"web": ("uvicorn",), "onnx": ("onnx", "onnxruntime")}
# Extras of setup.py that no user of the package needs.
FOR_DEVELOPMENT = ("test", "lowest", "compat-io", "compat-official", "docs")
OPENCVS = tuple(f"opencv-{contrib}python{headless}" for contrib in ("", "contrib-") for headless in ("", "-headless"))


def _version(distribution):
    try:
        return f" {importlib.metadata.version(distribution)}"
    except importlib.metadata.PackageNotFoundError:
        return ""


def modules(part):
    """Returns the names of the modules of a part."""
    return (PARTS[part][0], *NEXT_TO.get(part, ()))


def begin():
    """Returns the Imports of all parts that are installed, which are tried while other checks are made."""
    return Imports(module for part in installed() for module in modules(part))


def installed():
    """Returns the names of the parts that are installed."""
    return [part for part in PARTS if all(map(is_installed, modules(part)))]


def optional_parts(imports=None):
    """Which extras are installed and can be imported, and the line that installs the others.

    Args:
        imports: what `begin` returned; None begins here.
    """
    there = installed()
    found = (imports or begin()).found()
    broken = {part: whys for part in there if (whys := [each for m in modules(part) if (each := found.get(m))])}
    whole = [part for part in there if part not in broken]
    absent = [part for part in PARTS if part not in there]
    if whole:
        listed = (f"{part} ({PARTS[part][1]}{_version(PARTS[part][1])})" for part in whole)
        yield fine("environment.optional", f"optional parts: {', '.join(listed)}")
    for part, whys in broken.items():
        _, distribution, use = PARTS[part]
        if whys[0].startswith(LATE):  # which a busy machine does to what is whole
            yield warning(
                "environment.broken",
                f"{distribution}{_version(distribution)} is installed, and its import was given up: {whys[0]}",
                f"what needs it is slow to start, or hangs: {use}",
                "try again when nothing else runs here; if it is the same then: "
                f"pip uninstall -y {distribution}; pip install 'keras-i3d[{part}]'",
            )
            continue
        yield warning(
            "environment.broken",
            f"{distribution}{_version(distribution)} is installed and cannot be imported: {_shown(whys[0])}",
            f"what needs it fails: {use}",
            f"pip uninstall -y {distribution}; pip install 'keras-i3d[{part}]'",
        )
    if absent:
        yield note(
            "environment.optional",
            f"optional parts that are not installed: {', '.join(f'{part} ({PARTS[part][2]})' for part in absent)}",
            "",
            f"the one that you need, by its name: pip install 'keras-i3d[{absent[0]}]'",
        )


def _shown(why):
    return without_credentials(one_line(why))


def opencv_packages(_imports=None):
    """Packages of OpenCV that overwrite each other, or that have no TV-L1."""
    there = [name for name in OPENCVS if _version(name)]
    if len(there) > 1:
        yield warning(
            "environment.opencv",
            f"{len(there)} packages write the folder cv2: {', '.join(there)}",
            "the one installed last stays, and only those with contrib in their name have TV-L1",
            f"pip uninstall -y {' '.join(there)}; pip install 'keras-i3d[opencv]'",
        )
    elif there and "contrib" not in there[0]:
        yield note(
            "environment.opencv",
            f"{there[0]} has no TV-L1",
            "flow_method=opencv needs it; tvl1, the default, does not",
            f"pip uninstall -y {there[0]}; pip install 'keras-i3d[opencv]'",
        )


CHECKS = (optional_parts, opencv_packages)
