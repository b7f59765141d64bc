"""What the numbers of a verification may depend on: versions, processor, backend. No names, no paths."""

import importlib.metadata
import os
import platform

import keras

from keras_i3d.flow.pairs import cores
from keras_i3d.models.blocks import has_gpu
from keras_i3d.plurals import counted
from keras_i3d.runtimes.faster_runtime import processor
from keras_i3d.version import __version__

PACKAGES = ("tensorflow", "jax", "keras", "numpy", "h5py")
# What changes how a processor or a GPU rounds.
SETTINGS = ("TF_ENABLE_ONEDNN_OPTS", "NVIDIA_TF32_OVERRIDE", "ONEDNN_DEFAULT_FPMATH_MODE")


def machine_facts():
    """Returns {what: text}: versions, backend, system, processor, and settings that change how numbers are rounded."""
    versions = {name: _version(name) for name in PACKAGES}
    gpu = "GPU, which may round products to TF32: NVIDIA_TF32_OVERRIDE=0 forbids it" if has_gpu() else "no GPU in use"
    return {
        "keras_i3d": __version__,
        "Python": platform.python_version(),
        **{name: version for name, version in versions.items() if version},
        "backend": f"{keras.backend.backend()}, {gpu}",
        "system": f"{platform.system()} {platform.machine()}",
        "processor": f"{processor()}, {counted(cores(), 'core')}",
        **{name: os.environ[name] for name in SETTINGS if name in os.environ},
    }


def _version(distribution):
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None
