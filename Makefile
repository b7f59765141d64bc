# make demo   the main job, end to end, on a video made on the spot
# make test   the test suite
# make test-slow  the tests that take long
# make check  lint, format, import layers
# make bench  every benchmark; the tables in benchmarks/README.md come from here
# Each sets up .venv when it is missing or when setup.py changed.

PYTHON ?= python3
BIN := .venv/bin
READY := .venv/ready

.PHONY: demo test test-slow check bench clean

demo: $(READY)
	$(BIN)/python tools/demo.py

test: $(READY)
	$(BIN)/python -m pytest -m "not slow"

test-slow: $(READY)
	$(BIN)/python -m pytest -m slow

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python -m pytest tests/test_layers.py

bench: $(READY)
	$(BIN)/python benchmarks/inference.py
	$(BIN)/python benchmarks/flow.py

clean:
	rm -rf .venv build dist *.egg-info

$(READY): setup.py
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' \
		|| { echo "keras-i3d needs Python 3.10 or newer; $(PYTHON) is `$(PYTHON) -V 2>&1`. Try: make PYTHON=python3.12 ..."; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test]'
	touch $(READY)
