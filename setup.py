"""Packaging of keras_i3d. Settings of the tools live in pyproject.toml."""

import pathlib
import re

from setuptools import find_packages, setup

HERE = pathlib.Path(__file__).resolve().parent
VERSION = re.search(
    r'^__version__ = "(.+)"$', (HERE / "keras_i3d/version.py").read_text(encoding="utf-8"), re.MULTILINE
)[1]

# The last releases of tensorflow-io (0.37.1, a plug-in that loads into the TensorFlow of its build alone) and of
# tf-models-official that is no nightly (2.16) go with TensorFlow 2.16. It brings numpy < 2, protobuf < 5 and
# ml-dtypes 0.3 by itself, has wheels for Python 3.9 to 3.12, and runs with today's Keras 3. tensorflow-text 2.16, which
# tf-models-official asks for, has none for Python 3.12.
TF_216 = ["tensorflow>=2.16.2,<2.17"]  # 2.16.2: the last of 2.16

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

setup(
    name="keras-i3d",
    version=VERSION,
    description="I3D video action recognition (Carreira & Zisserman 2017) in Keras 3",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    packages=find_packages(include=["keras_i3d", "keras_i3d.*"]),
    package_data={"": ["*.html", "*.css"]},  # what a report and a notebook's tables are made of
    python_requires=">=3.10",  # 3.10 to 3.13 are tested
    install_requires=CORE,
    extras_require={
        "opencv": [OPENCV],  # flow by method="opencv" and "dis"
        # s3://, az:// and hdfs://.
        "io": [*TF_216, "tensorflow-io==0.37.1"],
        # RandAugment. tensorflow-datasets, which it imports, asks for any tensorflow-metadata; from 1.21 on its
        # modules import google.protobuf.runtime_version, which is in protobuf 5 and not in TensorFlow 2.16's 4.25.
        "official": [*TF_216, "tf-models-official==2.16.0", "tensorflow-metadata<1.18"],
        "beam": [BEAM],  # records at scale
        "tensorboard": ["tensorboard>=2.16.2,<3"],  # to look at the logs of training, which are written without it
        "report": [REPORT],  # pictures and report.html of `evaluate`
        "svm": [SVM],  # `evaluate --fusion=svm`
        "serving": [SERVING],  # tools/serving_client.py by gRPC; its messages, and grpcio
        "test": [
            *("pytest", "ruff", "jax", "build", "opencv-contrib-python-headless==5.0.0.93"),
            *(BEAM, REPORT, SVM, SERVING, "openvino", "tensorflow-hub"),
        ],
        # What `make test-lowest` adds, with the versions of tests/lowest.txt. OpenCV 5 needs numpy 2.
        "lowest": ["pytest", "jax", "build", BEAM, OPENCV, REPORT, SVM, SERVING, "openvino", "tensorflow-hub"],
        # What `make test-compat` adds to `io` and `official`: an S3 service; the last jax for TensorFlow 2.16's
        # ml-dtypes 0.3; the last OpenCV for numpy < 2.
        "compat": [
            *("pytest", "moto[server]", "boto3", "jax==0.4.30", "opencv-contrib-python-headless==4.11.0.86"),
            *(SERVING, "openvino"),
        ],
    },
    entry_points={"console_scripts": ["keras-i3d = keras_i3d.cli:run"]},
    classifiers=[
        "License :: OSI Approved :: Apache Software License",
        "Programming Language :: Python :: 3",
        "Topic :: Scientific/Engineering :: Image Recognition",
    ],
)
