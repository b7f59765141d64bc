"""Packaging of keras_i3d. Settings of the tools live in pyproject.toml."""

import pathlib
import re

from setuptools import find_packages, setup

HERE = pathlib.Path(__file__).resolve().parent
VERSION = re.search(r'^__version__ = "(.+)"$', (HERE / "keras_i3d/version.py").read_text(), re.MULTILINE)[1]

setup(
    name="keras-i3d",
    version=VERSION,
    description="I3D video action recognition (Carreira & Zisserman 2017) in Keras 3",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    packages=find_packages(include=["keras_i3d", "keras_i3d.*"]),
    python_requires=">=3.10",
    install_requires=[
        "tensorflow>=2.16",
        "keras>=3.6",
        "absl-py",
        "numpy",
        "h5py",
        "av>=14",
        "numba",
        "pillow>=10.2",
        "filelock",
        "requests",
        "tqdm",
    ],
    extras_require={
        "opencv": ["opencv-contrib-python-headless"],  # flow by method="opencv" and "dis"
        "test": ["pytest", "ruff", "jax", "build", "opencv-contrib-python-headless==5.0.0.93"],
    },
    entry_points={"console_scripts": ["keras-i3d = keras_i3d.cli:run"]},
    classifiers=[
        "License :: OSI Approved :: Apache Software License",
        "Programming Language :: Python :: 3",
        "Topic :: Scientific/Engineering :: Image Recognition",
    ],
)
