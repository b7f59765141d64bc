"""The optional parts: which are there, how to install the others, and packages that overwrite each other."""

import importlib.metadata

from keras_i3d.checkup.findings import fine, note, warning
from keras_i3d.errors import is_installed

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
# Extras of setup.py that no user of the package needs.
FOR_DEVELOPMENT = ("test", "lowest", "compat-io", "compat-official", "docs")
OPENCVS = tuple(f"opencv-{contrib}python{headless}" for contrib in ("", "contrib-") for headless in ("", "-headless"))


def _version(distribution):
    try:
        return f" {importlib.metadata.version(distribution)}"
    except importlib.metadata.PackageNotFoundError:
        return ""


def optional_parts():
    """Which extras are installed, and the line that installs the others."""
    there = [name for name, (module, *_) in PARTS.items() if is_installed(module)]
    absent = [name for name in PARTS if name not in there]
    if there:
        listed = (f"{name} ({PARTS[name][1]}{_version(PARTS[name][1])})" for name in there)
        yield fine("environment.optional", f"optional parts: {', '.join(listed)}")
    if absent:
        yield note(
            "environment.optional",
            f"optional parts that are not installed: {', '.join(f'{name} ({PARTS[name][2]})' for name in absent)}",
            "",
            f"the one that you need, by its name: pip install 'keras-i3d[{absent[0]}]'",
        )


def opencv_packages():
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
