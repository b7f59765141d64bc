"""Packaging of keras_i3d. Settings of the tools live in pyproject.toml."""

import pathlib
import re

from setuptools import find_packages, setup

HERE = pathlib.Path(__file__).resolve().parent
VERSION = re.search(
    r'^__version__ = "(.+)"$', (HERE / "keras_i3d/version.py").read_text(encoding="utf-8"), re.MULTILINE
)[1]

# tensorflow-io 0.37.1, its last release, is a plug-in that loads only into the TensorFlow that it was built with: 2.16.
# That one brings numpy < 2, protobuf < 5 and ml-dtypes 0.3 by itself, has wheels for Python 3.9 to 3.12, and runs with
# today's Keras 3.
IO = ["tensorflow>=2.16.2,<2.17", "tensorflow-io==0.37.1"]  # 2.16.2: the last of 2.16
# tf-models-official 2.20.0 asks for TensorFlow 2.20 and its tensorflow-text. It also brings opencv-python-headless,
# which has no TV-L1 and writes the same folder, cv2, as opencv-contrib-python-headless: the one installed last stays.
# Who wants method="opencv" next to RandAugment installs that one last:
# pip install --no-deps --force-reinstall opencv-contrib-python-headless
OFFICIAL = ["tensorflow>=2.20.0,<2.21", "tf-models-official==2.20.0"]

# From the lowest version that the tests ran on (tests/lowest.txt, `make test-lowest`) to below the next major version,
# since majors break; CONTRIBUTING.md has the table. Keras: what a stranger's .keras or .h5 file could do was closed
# step by step in 2025 and 2026. All of that is in 3.12.4, the last for Python 3.10, and from 3.15.1 on.
CORE = [
    "tensorflow>=2.16.1,<3",
    "keras>=3.12.4,!=3.13.*,!=3.14.*,!=3.15.0,<4",
    "absl-py>=1.0.0,<3",
    "numpy>=1.23.5,<3",
    "h5py>=3.10.0,<4",
    "av>=15.0.0,<20",
    "numba>=0.57.0,<1",
    "pillow>=10.2.0,<14",
    "filelock>=3.8.0,<5",
    "requests>=2.32.4,<3",
    "tqdm>=4.60.0,<5",
]
# Beam has the extra from 2.70 on and takes numpy 2.4 from 2.71 on. It refuses protobuf 7 and numpy 2.5, which
# TensorFlow takes: with Beam, pip resolves to protobuf 6.33 and numpy 2.4, which suit both.
BEAM = "apache-beam[tfrecord]>=2.71.0,<3"
OPENCV = "opencv-contrib-python-headless>=4.8.0.74,<6"
REPORT = "matplotlib>=3.6.0,<4"
SVM = "scikit-learn>=1.2.0,<2"
SERVING = "tensorflow-serving-api>=2.16.1,<3"
# 0.21 asks for protobuf 6.33: with it pip resolves to TensorFlow 2.20 or newer. It also holds pandas below 3 and psutil
# below 6.
KSERVE = "kserve>=0.21.0,<1"
# 0.49.1: the first whose answers to ranges, by which players seek, take bounded time. KServe brings both.
WEB = ["starlette>=0.49.1,<2", "uvicorn>=0.30.0,<1"]
WANDB = "wandb>=0.20.1,<1"
MLFLOW = "mlflow>=3.9.0,<4"
# OpenVINO's major version is the year. tf2onnx 1.16 asks for a protobuf that TensorFlow does not go with.
OPENVINO = "openvino>=2025.0.0,<2027"
ONNX = ["onnx>=1.17.0,<2", "tf2onnx>=1.17.0,<2", "onnxruntime>=1.20.1,<2"]
LITERT = "ai-edge-litert>=1.2.0,<3"
# The site, of `make docs`. Material for MkDocs gets no new features, and mends until May 2027; its successor, Zensical,
# reads the same mkdocs.yml. MkDocs 2 takes neither its theme nor its plugins. griffelib is what mkdocstrings reads
# docstrings with, and tools/griffe_builders.py extends.
DOCS = ["mkdocs>=1.6.1,<2", "mkdocs-material>=9.7.0,<10", "mkdocstrings[python]>=1.0.8,<2", "griffelib>=2.4.0,<3"]

setup(
    name="keras-i3d",
    version=VERSION,
    description="I3D video action recognition (Carreira & Zisserman 2017) in Keras 3",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    packages=find_packages(include=["keras_i3d", "keras_i3d.*"]),
    package_data={"": ["*.html", "*.css", "*.js"]},  # reports, a notebook's tables, the page of `web`
    python_requires=">=3.10",  # 3.10 to 3.13 are tested
    install_requires=CORE,
    extras_require={
        "opencv": [OPENCV],  # flow by method="opencv" and "dis"
        "io": IO,  # s3://, az:// and hdfs://
        "official": OFFICIAL,  # RandAugment; not in one environment with `io`
        "beam": [BEAM],  # records and features at scale
        "tensorboard": ["tensorboard>=2.16.2,<3"],  # to look at the logs of training, which are written without it
        "wandb": [WANDB],  # `train --log=wandb`
        "mlflow": [MLFLOW],  # `train --log=mlflow`
        "report": [REPORT],  # pictures and report.html of `evaluate` and `segments`, and of confusions in training
        "svm": [SVM],  # `evaluate --fusion=svm`
        "openvino": [OPENVINO],  # networks by `--runtime=openvino`, and `export --format=openvino`
        "onnx": ONNX,  # `export --format=onnx`
        "litert": [LITERT],  # `export --format=litert`
        "serving": [SERVING],  # `ask` by gRPC; its messages, and grpcio
        "kserve": [KSERVE],  # `serve`
        "web": WEB,  # `web`
        "docs": DOCS,  # `make docs`
        "test": [
            *("pytest", "pytest-xdist", "ruff", "jax", "build", "opencv-contrib-python-headless==5.0.0.93"),
            *(BEAM, REPORT, SVM, SERVING, KSERVE, *WEB, OPENVINO, "tensorflow-hub", "ovmsclient", "playwright"),
        ],
        # What `make test-lowest` adds, with the versions of tests/lowest.txt. OpenCV 5 needs numpy 2.
        "lowest": [
            *("pytest", "pytest-xdist", "jax", "build", "tensorflow-hub"),
            *(BEAM, OPENCV, REPORT, SVM, SERVING, OPENVINO),
        ],
        # What `make test-compat` adds to `io`: an S3 service; the last jax for TensorFlow 2.16's ml-dtypes 0.3; the
        # last OpenCV for numpy < 2.
        "compat-io": [
            *(
                "pytest",
                "pytest-xdist",
                "moto[server]",
                "boto3",
                "jax==0.4.30",
                "opencv-contrib-python-headless==4.11.0.86",
            ),
            *(SERVING, OPENVINO),
        ],
        # What it adds to `official`.
        "compat-official": [
            "pytest",
            "pytest-xdist",
            "jax",
            "opencv-contrib-python-headless==5.0.0.93",
            SERVING,
            OPENVINO,
        ],
    },
    entry_points={"console_scripts": ["keras-i3d = keras_i3d.cli:run"]},
    classifiers=[
        "License :: OSI Approved :: Apache Software License",
        "Programming Language :: Python :: 3",
        "Topic :: Scientific/Engineering :: Image Recognition",
    ],
)
