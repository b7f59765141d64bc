# make demo   videos made on the spot to records, both streams trained, evaluated, one classified; five minutes
# make test   the test suite
# make test-slow  the tests that take long
# make test-compat  the fast tests, and those of s3:// and RandAugment, in .venv-compat: TensorFlow 2.16 with tensorflow-io
#                   and tf-models-official. Takes Python 3.10 to 3.12, 4 GB of disk, a quarter of an hour
# make check  lint, format, import layers
# make bench  every benchmark; the tables in benchmarks/README.md come from here
# make bench-training  a training step beside the same network in torch, which it installs
# make bench-serving   an export beside the plain model, OpenVINO and torch, which it installs
# Each sets up .venv when it is missing or when setup.py changed (test-compat: .venv-compat).

PYTHON ?= python3
BIN := .venv/bin
READY := .venv/ready
COMPAT := .venv-compat/bin
COMPAT_READY := .venv-compat/ready

.PHONY: demo test test-slow test-compat check bench bench-training bench-serving clean

demo: $(READY)
	$(BIN)/python tools/demo.py

test: $(READY)
	$(BIN)/python -m pytest -m "not slow and not compat"

test-slow: $(READY)
	$(BIN)/python -m pytest -m slow

# All of the fast suite runs there. Where OpenCV is the oracle, tests/test_flow_layer.py says what OpenCV 4 cannot judge.
test-compat: $(COMPAT_READY)
	$(COMPAT)/python -m pytest -m "not slow"

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python -m pytest tests/test_layers.py

bench: $(READY)
	$(BIN)/python benchmarks/inference.py
	$(BIN)/python benchmarks/flow.py
	$(BIN)/python benchmarks/records.py
	$(BIN)/python benchmarks/pipeline.py
	$(BIN)/python benchmarks/views.py

# Peers, which nothing else needs.
bench-training: $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check torch==2.13.0
	$(BIN)/python benchmarks/training.py

bench-serving: $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check torch==2.13.0 openvino
	$(BIN)/python benchmarks/serving.py

clean:
	rm -rf .venv .venv-compat build dist *.egg-info

$(READY): setup.py
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' \
		|| { echo "keras-i3d needs Python 3.10 or newer; $(PYTHON) is `$(PYTHON) -V 2>&1`. Try: make PYTHON=python3.12 ..."; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test]'
	touch $(READY)

# tf-models-official brings opencv-python-headless, which writes the same folder as the package with TV-L1: that comes
# last. The imports are tried here, since a test of a stack that is not there would be skipped.
$(COMPAT_READY): setup.py
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 12))' \
		|| { echo "TensorFlow 2.16 has no wheels for `$(PYTHON) -V 2>&1` ($(PYTHON)): test-compat needs Python 3.10, 3.11 or 3.12. Try: make PYTHON=python3.12 test-compat"; exit 1; }
	test -x $(COMPAT)/python || $(PYTHON) -m venv .venv-compat
	$(COMPAT)/python -m pip install --quiet --disable-pip-version-check --editable '.[io,official,compat]'
	$(COMPAT)/python -m pip install --quiet --disable-pip-version-check --no-deps --force-reinstall \
		opencv-contrib-python-headless==4.11.0.86
	$(COMPAT)/python -m pip check
	$(COMPAT)/python -c 'import boto3, moto.server, tensorflow_io, cv2; from official.vision.ops import augment; cv2.optflow'
	touch $(COMPAT_READY)
