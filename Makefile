# make demo     set everything up and show the daemon at work, with MODEL (embedded)
# make test     set everything up and run the tests
# make soak     random load, kills and restarts for MINUTES (3), from SEED
# make scale    measure with a million photos (an hour, 5 GB)
# make lint     format, lint and types
# make help     this list
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help setup setup-test demo test soak scale lint format constraints clean

help:
	@sed -n 's/^# make /make /p' Makefile

# Programs that pip cannot bring are installed where this user may, else named.
setup:
	@PYTHON=$(PYTHON) contrib/system-packages.sh demo
	@$(MAKE) --no-print-directory $(STAMP)

setup-test: setup
	@PYTHON=$(PYTHON) contrib/system-packages.sh test

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "photoramd needs Python 3.11 or newer; set PYTHON=python3.11, say" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check \
	  -c constraints.txt -e '.[dev]'
	@touch $@

MODEL ?= embedded
demo: setup
	@$(BIN)/python contrib/demo.py --model '$(MODEL)'

test: setup-test
	$(BIN)/python -m pytest

MINUTES ?= 3
soak: setup-test
	$(BIN)/python -m tests.soak --minutes $(MINUTES) $(if $(SEED),--seed $(SEED))

scale: setup
	$(BIN)/python -m benchmarks.scale

lint: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: setup
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# Pin what a fresh installation of everything brings.
constraints:
	@contrib/constraints.sh

clean:
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache
