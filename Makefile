# Everything a user or a contributor does, in one word each. `make help` lists them.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
DATA   ?= data
ARGS   ?=
# Tests wait more than they compute (servers that start, peers, kills): two files at once on each processor.
JOBS   ?= $(shell expr 2 '*' $$(nproc 2>/dev/null || echo 1))
# Real servers, browsers and kills on a busy machine: what fails is tried once more by itself, and named as a rerun.
PARALLEL := -n $(JOBS) --dist loadfile --timeout 300 --durations 20 --durations-min 10 --reruns 1 --reruns-delay 3 -rfEsR
PIP    := $(BIN)/pip --disable-pip-version-check --quiet

.DEFAULT_GOAL := help
.PHONY: help install install-dev assets assets-dev run demo check lint format types imports docs test test-all test-faults bench bench-quick image clean

help:            ## this list
	@grep -hE '^[a-z-]+: .*##|^[a-z-]+: +##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

# The stamps hold the locks' contents: a changed lock installs again, anything else costs nothing.
$(VENV)/base.stamp: requirements/base.txt requirements/build.txt pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { echo "python3 -m venv failed: on Debian, apt-get install python3-venv" >&2; exit 1; }
	@echo "Installing Vesalius into $(VENV) ..."
	@$(PIP) install --require-hashes -r requirements/build.txt
	@$(PIP) install --require-hashes -r requirements/base.txt
	@$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/dev.stamp: requirements/dev.txt $(VENV)/base.stamp
	@$(PIP) install --require-hashes -r requirements/dev.txt
	@touch $@

install: $(VENV)/base.stamp assets      ## install what the product needs into .venv and web-assets

install-dev: $(VENV)/dev.stamp assets-dev    ## and what its tests need

# Costs nothing where it is current; says so and goes on where npm or its registry is out of reach.
assets: $(VENV)/base.stamp        ## the viewer, from npm into web-assets
	@$(BIN)/python tools/viewer.py

assets-dev: $(VENV)/base.stamp
	@$(BIN)/python tools/viewer.py --dev

run: install     ## start the archive on its embedded defaults (DATA=folder ARGS="...")
	@$(BIN)/vesalius serve --data $(DATA) $(ARGS)

demo: install    ## load demo studies into the archive that runs on DATA
	@$(BIN)/vesalius demo --data $(DATA)

lint: install-dev    ## ruff: lint and format
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .

format: install-dev  ## let ruff rewrite what it can
	@$(BIN)/ruff check --fix . ; $(BIN)/ruff format .

types: install-dev   ## mypy --strict
	@$(BIN)/mypy

imports: install-dev ## the floors: imports point down only
	@$(BIN)/lint-imports

docs: install-dev    ## write the generated pages of docs/reference again
	@$(BIN)/python -m tools.generate_docs && $(BIN)/python tools/tree.py

check: lint types imports  ## all that needs no server: lint, types, imports, docs and unit tests
	@$(BIN)/pytest tests/unit tests/docs tests/architecture

test: lint types imports   ## the whole quick suite
	@$(BIN)/pytest -m "not slow and not faults" $(PARALLEL)

test-all: lint types imports  ## the quick suite and the slow tests
	@$(BIN)/pytest -m "not faults" --timeout 900

test-faults: install-dev   ## power cuts, kills, full disks, bit rot (root for some; says what it skips)
	@$(BIN)/pytest tests/faults --timeout 1800 -v

bench: install-dev   ## every workload against Orthanc and DCMTK where installed; writes the table and the plot
	@$(BIN)/python -m benchmarks $(ARGS)

bench-quick: install-dev   ## the same with fewer rounds and without the million
	@$(BIN)/python -m benchmarks --quick $(ARGS)

image:           ## build the container image
	docker build -t vesalius -f deploy/Containerfile .

clean:           ## remove the environment and the caches (never the data)
	rm -rf $(VENV) web-assets .mypy_cache .ruff_cache .pytest_cache .hypothesis dist build
