"""The installation: versions, backend, devices, processor, memory, settings that reach everything."""

import importlib.metadata
import os
import pathlib
import re
import sys

from keras_i3d import backend
from keras_i3d.checkup.findings import fault, fine, note, some, warning
from keras_i3d.checkup.optional_parts import FOR_DEVELOPMENT
from keras_i3d.errors import without_credentials
from keras_i3d.plurals import counted
from keras_i3d.version import __version__

NAMED = ("tensorflow", "keras", "numpy", "h5py", "av", "numba")
FLAGS = {"avx2": "AVX2", "avx512f": "AVX-512", "avx512_bf16": "AVX-512 bfloat16", "amx_tile": "AMX"}
DECODERS = ("h264", "hevc", "av1", "vp9")
LITTLE = 4e9  # bytes of memory that inference of I3D with both streams and TensorFlow itself take, with room to spare


def version_of(distribution):
    """Returns the version of an installed distribution; None if it is not there."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def versions():
    """Versions of Python and of the packages that results depend on."""
    there = {name: version_of(name) for name in NAMED}
    python = ".".join(map(str, sys.version_info[:3]))
    yield fine(
        "environment.versions",
        f"Python {python}, keras_i3d {__version__}, "
        + ", ".join(f"{name} {version}" for name, version in there.items() if version),
    )


def keras_backend():
    """Whether Keras is there, on a backend that this package works with."""
    problem = backend.problem()
    if problem:
        yield fault("environment.backend", problem, "nothing can be computed", "export KERAS_BACKEND=tensorflow")
        return
    import keras

    name = keras.backend.backend()
    if name not in backend.SUPPORTED:
        yield fault(
            "environment.backend", f"Keras runs on {name}", f"{backend.RULE}", "export KERAS_BACKEND=tensorflow"
        )
    elif name != "tensorflow":
        yield note(
            "environment.backend",
            f"Keras runs on {name}",
            "training and export need TensorFlow",
            "export KERAS_BACKEND=tensorflow, for these",
        )
    else:
        yield fine("environment.backend", "Keras runs on TensorFlow")


def bounds(distribution="keras-i3d"):
    """Whether versions are within what the installed package asks for."""
    from packaging.requirements import Requirement

    try:
        requirements = list(map(Requirement, importlib.metadata.requires(distribution) or ()))
    except importlib.metadata.PackageNotFoundError:
        yield note(
            "environment.bounds",
            f"{distribution} is not installed: it is imported from a folder",
            "so which versions it asks for is not known here",
            "pip install . in its folder",
        )
        return
    outside, missing = [], []
    for requirement in requirements:
        optional = requirement.marker is not None and not requirement.marker.evaluate({"extra": ""})
        there = version_of(requirement.name)
        if there is None:
            missing += [] if optional else [requirement]
        elif not requirement.specifier.contains(there, prereleases=True) and _stated_by_users(requirement):
            outside.append((requirement, there))
    for requirement in missing:
        yield fault(
            "environment.missing",
            f"{requirement.name} is not installed",
            "the package does not work without it",
            f"pip install '{requirement.name}{requirement.specifier}'",
        )
    for requirement, there in {each[0].name: each for each in outside}.values():
        yield warning(
            "environment.bounds",
            f"{requirement.name} {there} is outside of {requirement.specifier}",
            "no test of this package ran with it",
            f"pip install '{requirement.name}{requirement.specifier}'",
        )
    if not outside and not missing:
        yield fine("environment.bounds", "every version is within the bounds of the package")


def _stated_by_users(requirement):
    """Whether a requirement is for users: environments of tests pin versions, and `io` brings a TensorFlow of its own.

    An extra that is pinned to one version, or that bounds what the package bounds itself, is not in use where another
    version is installed.
    """
    marker = str(requirement.marker or "")
    extra = re.search(r"extra == ['\"]([\w-]+)['\"]", marker)
    return extra is None or extra[1] not in (*FOR_DEVELOPMENT, "io", "official")


def accelerator():
    """Whether the GPU of this machine is used, and why not."""
    import keras

    unused = backend.unused_gpu()
    if unused:
        yield warning(
            "environment.gpu",
            unused.partition(", so the CPU")[0],
            "the CPU does all of the work, which takes ten to a hundred times as long",
            "pip install 'tensorflow[and-cuda]'; then --verbose shows what TensorFlow says of the GPU",
        )
        return
    if keras.backend.backend() != "tensorflow":
        return
    import tensorflow as tf

    cards = tf.config.list_physical_devices("GPU")
    names = [tf.config.experimental.get_device_details(card).get("device_name", card.name) for card in cards]
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1")
    why = "hidden by CUDA_VISIBLE_DEVICES" if hidden else "none here"
    yield fine("environment.gpu", f"GPU: {', '.join(names)}" if names else f"GPU: {why}, the CPU computes")


def processor(cpuinfo="/proc/cpuinfo"):
    """What the processor has, and whether TensorFlow uses oneDNN on it."""
    try:
        content = pathlib.Path(cpuinfo).read_text(encoding="utf-8")
    except OSError:
        content = ""
    there = set((re.search(r"^flags\s*:(.*)$", content, re.MULTILINE) or ["", ""])[1].split())
    named = [name for flag, name in FLAGS.items() if flag in there]
    off = os.environ.get("TF_ENABLE_ONEDNN_OPTS") == "0"
    found = (
        f"processor: {', '.join(named) or 'no AVX2, or not known'}; oneDNN {'off' if off else 'as TensorFlow ships'}"
    )
    if off:
        yield note(
            "environment.processor",
            found,
            "TF_ENABLE_ONEDNN_OPTS=0 makes convolutions on a CPU slower",
            "unset TF_ENABLE_ONEDNN_OPTS",
        )
    elif there and "avx2" not in there:
        yield note("environment.processor", found, "convolutions and flow take several times as long without AVX2")
    else:
        yield fine("environment.processor", found)


def memory():
    """Cores and memory that this process may take, with the limits of its container."""
    from keras_i3d.flow.pairs import cores
    from keras_i3d.training import step_memory

    free = step_memory.available()
    memory = "memory not known" if free is None else f"{step_memory.gigabytes(free)} free"
    found = f"{counted(cores(), 'core')}, {memory}"
    if free is not None and free < LITTLE:
        yield warning(
            "environment.memory",
            found,
            "a classification with both streams may be ended by the system",
            "close other programs, or lower --chunk_frames= and take --streams=rgb",
        )
    else:
        yield fine("environment.memory", found)


def variables():
    """Environment variables that change what the package does."""
    found = {
        name: value
        for name, value in sorted(os.environ.items())
        if name in ("KERAS_BACKEND", "KERAS_HOME") or name.startswith("KERAS_I3D_")
    }
    if found:
        said = ", ".join(f"{name}={without_credentials(value)}" for name, value in found.items())
        yield note("environment.variables", f"set: {said}", "they change what is computed, or from where")
    mirror = found.get("KERAS_I3D_MIRROR", "")
    if mirror and "://" not in mirror and not pathlib.Path(mirror).expanduser().is_dir():
        yield fault(
            "environment.mirror",
            f"KERAS_I3D_MIRROR names {mirror}, which is no folder",
            "published weights cannot be fetched",
            "unset KERAS_I3D_MIRROR, or name a folder that is there",
        )


def policy():
    """Settings of Keras that reach every model: precision and layout."""
    import keras

    name, layout = keras.config.dtype_policy().name, keras.config.image_data_format()
    floatx = keras.config.floatx()
    if (name, floatx) != ("float32", "float32"):
        yield warning(
            "environment.policy",
            f"Keras's global policy is {name}, its floatx {floatx}",
            "models that you build or load yourself compute in it, and their logits differ from the published ones",
            'set "floatx": "float32" in keras.json, or keras.config.set_dtype_policy("float32"); a run or --precision= '
            "takes its own",
        )
    if layout != "channels_last":
        yield note(
            "environment.layout",
            f"Keras's image_data_format is {layout}",
            "this package's networks take channels last in any case; other layers in your models would not",
            'set "image_data_format": "channels_last" in keras.json',
        )
    if (name, floatx, layout) == ("float32", "float32", "channels_last"):
        yield fine("environment.policy", "Keras computes in float32, channels last")


def numba_cache():
    """Whether compiled flow kernels can be kept."""
    from keras_i3d import flow

    own = os.environ.get("NUMBA_CACHE_DIR")
    places = [pathlib.Path(own)] if own else [pathlib.Path(flow.__file__).parent, pathlib.Path.home() / ".cache"]
    if any(_is_writable(place) for place in places):
        yield fine("environment.numba_cache", "compiled flow kernels are kept")
    else:
        yield warning(
            "environment.numba_cache",
            f"no folder for compiled flow kernels can be written: {some(places)}",
            "each process compiles them again, which takes seconds",
            "export NUMBA_CACHE_DIR=FOLDER, one that can be written",
        )


def _is_writable(place):
    while not place.exists() and place != place.parent:
        place = place.parent
    return os.access(place, os.W_OK)


def codecs():
    """Which video codecs FFmpeg decodes here."""
    from keras_i3d.video.codec_names import decoders

    missing = [name for name in DECODERS if name not in decoders()]
    if missing:
        yield warning(
            "environment.codecs",
            f"this FFmpeg has no decoder for {', '.join(missing)}",
            "videos of these codecs cannot be read",
            "pip install --force-reinstall --no-deps av, whose own FFmpeg has them",
        )
    else:
        yield fine("environment.codecs", f"FFmpeg decodes {', '.join(DECODERS)}")


CHECKS = (versions, keras_backend, bounds, accelerator, processor, variables, policy, numba_cache, codecs)
LAST = (memory,)  # once no other process takes any of it
