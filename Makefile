# make demo   videos made on the spot, learnt in both streams by `keras-i3d learn`, one classified; five minutes
# make compare  the I3D paper's Table 2 in small: thirteen networks trained on the demo's data; half an hour on two cores
# make test   the test suite
# make test-slow  the tests that take long
# make test-python PYTHON=python3.13  the fast tests on that Python, a name or a path, in .venv-python3.13. Takes Python
#                   3.10 to 3.13, 3 GB of disk, a quarter of an hour
# make test-lowest  the fast tests in .venv-lowest, on the lowest versions that setup.py admits, tests/lowest.txt. Takes
#                   Python 3.10: PYTHON=python3.10
# make test-compat  the fast tests in two more environments. .venv-compat-io: TensorFlow 2.16 with tensorflow-io, and the
#                   tests of s3://. .venv-compat-official: TensorFlow 2.20 with tf-models-official, and the tests of
#                   RandAugment. Takes Python 3.11 or 3.12, 8 GB of disk, half an hour
# make test-compat-io, make test-compat-official  one of the two; Python 3.10 to 3.12, and 3.11 to 3.13
# make fuzz   damaged input of every kind for ten minutes; SEED=0 by default, the table goes to fuzz.md
# make docs   the tables of networks, presets and benchmarks in README.md and docs/ made again, then the site, in site/: a
#             page a task, a network and a part of the reference. A warning is an error; nothing is loaded from elsewhere
# make docs-serve  the site at http://127.0.0.1:8000, until Ctrl-C
# make check  lint, format, import layers
# make bench  every benchmark of speed and memory and one table of all, benchmarks/results.json, from which `make docs`
#             makes docs/performance.md; installs torch and OpenVINO, the peers; about an hour on two quiet cores
# make bench-NAME  one of them, as in bench-training: benchmarks/NAME.py; what the others measured stays in the table
# make bench-learning  what is learnt by recipes, by balance of uneven classes and from several labels, three seeds each,
#                   in the folder bench-learning; half an hour on two cores, and it resumes where it was stopped
# Each sets up .venv, or the environment that it names, when that is missing or when setup.py changed.

PYTHON ?= python3
SEED ?= 0
BIN := .venv/bin
READY := .venv/ready
VERSION := $(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])')
OTHER := .venv-python$(lastword $(VERSION))
PIP := python -m pip install --quiet --disable-pip-version-check
# Two processes, each with whole files, so that what a file makes once is made once; in the order of tests/conftest.py.
SHARED := python -m pytest -n 2 --dist loadfile --no-loadscope-reorder
FAST := $(SHARED) -m "not slow and not compat"

.PHONY: demo compare test test-slow test-python test-lowest test-compat test-compat-io test-compat-official fuzz docs
.PHONY: docs-serve check bench bench-learning clean

demo: $(READY)
	$(BIN)/python tools/demo.py

compare: $(READY)
	$(BIN)/python tools/compare_architectures.py

test: $(READY)
	$(BIN)/$(FAST)

test-slow: $(READY)
	$(BIN)/$(SHARED) -m slow

test-python: $(OTHER)/ready
	$(OTHER)/bin/$(FAST)

test-lowest: .venv-lowest/ready
	.venv-lowest/bin/$(FAST)

# All of the fast suite runs there. Where OpenCV is the oracle, tests/flow/test_layer.py says what OpenCV 4 cannot
# judge.
test-compat: test-compat-io test-compat-official

test-compat-io test-compat-official: test-%: .venv-%/ready
	.venv-$*/bin/$(SHARED) -m "not slow"

fuzz: $(READY)
	$(BIN)/python tools/fuzz.py --seconds=600 --seed=$(SEED) --output=fuzz.md

docs: .venv/docs
	$(BIN)/python tools/refresh_docs.py
	$(BIN)/python tools/build_site.py

docs-serve: .venv/docs
	$(BIN)/python tools/build_site.py --serve

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python -m pytest tests/test_layers.py

# Peers, which nothing else needs.
PEERS := $(BIN)/$(PIP) torch==2.13.0 openvino

bench: $(READY)
	$(PEERS)
	$(BIN)/python benchmarks/summary.py
	$(BIN)/python benchmarks/inference.py --layers
	$(BIN)/python benchmarks/first_call.py

bench-%: $(READY)
	$(PEERS)
	$(BIN)/python benchmarks/summary.py --only=$*

bench-learning: $(READY)
	$(BIN)/python benchmarks/recipes.py --output=bench-learning/recipes
	$(BIN)/python benchmarks/balance.py --output=bench-learning/balance --records=bench-learning/recipes/records
	$(BIN)/python benchmarks/several_labels.py --output=bench-learning/labels

clean:
	rm -rf .venv .venv-* build dist site *.egg-info

# Makes the target's environment if PYTHON is one of the versions $(1); $(2) is what takes no other.
define environment
$(if $(filter $(VERSION),$(1)),,$(error $(2) takes Python $(1). Received: PYTHON=$(PYTHON), $(VERSION). Try: make \
	PYTHON=python$(lastword $(1)) ...))
test -x $(@D)/bin/python || $(PYTHON) -m venv $(@D)
endef

$(READY) $(OTHER)/ready: setup.py
	$(call environment,3.10 3.11 3.12 3.13,keras-i3d)
	$(@D)/bin/$(PIP) --editable '.[test]'
	touch $@

# What makes the site, which nothing else needs.
.venv/docs: $(READY)
	$(BIN)/$(PIP) --editable '.[docs]'
	touch $@

.venv-lowest/ready: setup.py tests/lowest.txt
	$(call environment,3.10,test-lowest)
	$(@D)/bin/$(PIP) --editable '.[lowest]' --constraint tests/lowest.txt
	touch $@

# The imports are tried here, since a test of a stack that is not there would be skipped.
.venv-compat-io/ready: setup.py
	$(call environment,3.10 3.11 3.12,test-compat-io)
	$(@D)/bin/$(PIP) --editable '.[io,compat-io]'
	$(@D)/bin/python -m pip check
	$(@D)/bin/python -c 'import boto3, moto.server, tensorflow_io, cv2; cv2.optflow'
	touch $@

# tf-models-official brings opencv-python-headless, which writes the same folder as the package with TV-L1: that comes
# last.
.venv-compat-official/ready: setup.py
	$(call environment,3.11 3.12 3.13,test-compat-official)
	$(@D)/bin/$(PIP) --editable '.[official,compat-official]'
	$(@D)/bin/$(PIP) --no-deps --force-reinstall opencv-contrib-python-headless==5.0.0.93
	$(@D)/bin/python -m pip check
	$(@D)/bin/python -c 'import cv2; from official.vision.ops import augment; cv2.optflow'
	touch $@
