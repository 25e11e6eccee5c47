# make demo         set everything up and show the daemon at work, with MODEL (embedded)
# make test         set everything up and run the tests
# make test-fast    run the unit tests and the check of the architecture (two minutes)
# make test-systemd install the service in a machine of its own and test it (as root)
# make test-cluster  kill and cut off workers on machines of their own (as root, ten minutes)
# make test-container build the container's image and run it (as root, a few minutes)
# make soak         random load, kills and restarts for MINUTES (3), from SEED
# make fuzz         damage photos, sidecars and names for MINUTES (5), from SEED; CORPUS has more
# make fuzz-parsers the same for the parsers in Python, by what they cover, MINUTES (3) for each
# make bench        measure speed and memory of everything (6 to 20 minutes; QUICK=1: two)
# make bench-check  fail if something became worse than its baseline (two minutes)
# make scale        measure with a million photos (an hour, 5 GB)
# make lint         format, lint, types, spelling and bandit, as continuous integration runs them
# make security     bandit, the workflows, and known weaknesses of what we depend on
# make format       format, and mend what ruff can mend
# make docs         write the parts of docs/ that are made from the code
# make constraints  write all pins again; UPGRADE=all or UPGRADE="pillow lxml" renews versions
# make dist         build the release twice, compare, and leave it in dist/
# make sbom         install dist/'s wheel with hashes, try it, list its parts (5 GB, minutes)
# make clean        delete what the others made
# make help         this list
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# pip shows how far it is to whoever looks.
PIP_INSTALL = $(BIN)/python -m pip install $(if $(shell test -t 2 || echo no),--quiet) --disable-pip-version-check
STAMP := $(VENV)/.installed
STAMP_TEST := $(VENV)/.installed-test
# The tools of a release have an environment of their own, so that they do not judge themselves.
TOOLS := .venv-release
TOOLS_STAMP := $(TOOLS)/.installed

.DEFAULT_GOAL := help
.PHONY: help setup setup-test setup-bench demo test test-fast test-systemd test-cluster test-container soak fuzz fuzz-parsers \
  bench bench-check scale lint security format docs constraints dist sbom clean

help:
	@sed -n 's/^# make /make /p' Makefile

# Programs that pip cannot bring are installed where this user may, else named.
setup:
	@PYTHON=$(PYTHON) contrib/system-packages.sh demo
	@$(MAKE) --no-print-directory --silent $(STAMP)

setup-test: setup
	@PYTHON=$(PYTHON) contrib/system-packages.sh test
	@$(MAKE) --no-print-directory --silent $(STAMP_TEST)

# What the program needs, and two packages for the photos in them, which are not imported.
$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "photoramd needs Python 3.11 or newer; set PYTHON=python3.11, say" >&2; exit 1; }
	@echo "Installing photoramd and what it needs into $(VENV): about 90 MB to download"
	$(PYTHON) -m venv $(VENV)
	$(PIP_INSTALL) -c constraints.txt -e .
	$(PIP_INSTALL) -c constraints.txt \
	  --no-deps foolbox scikit-image
	@touch $@

$(TOOLS_STAMP): contrib/release-tools.txt
	$(PYTHON) -m venv --clear $(TOOLS)
	$(TOOLS)/bin/python -m pip install --quiet --disable-pip-version-check \
	  --require-hashes -r contrib/release-tools.txt
	@touch $@

# systemd-python is compiled, against packages that not every machine has: the demo, which
# runs without systemd, must not need them.
$(STAMP_TEST): $(STAMP)
	@echo "Installing what the tests need into $(VENV): a few GB, most of it PyTorch"
	$(PIP_INSTALL) -c constraints.txt -e '.[dev,systemd]'
	@touch $@

MODEL ?= embedded
demo: setup
	@$(BIN)/python contrib/demo.py --model '$(MODEL)'

# Three on two cores: half of the time tests wait for daemons and files. The order is tests/conftest.py's.
test: setup-test
	$(BIN)/python -m pytest --numprocesses 3 --dist loadfile --no-loadscope-reorder \
	  tests tests/cluster/test_short.py

test-fast: setup-test
	$(BIN)/python -m pytest --numprocesses 3 --dist loadfile tests/unit tests/test_architecture.py

test-systemd: setup-test
	@PYTHON=$(PYTHON) contrib/system-packages.sh test-systemd
	$(BIN)/python -m pytest -x -s tests/service

test-cluster: setup-test
	$(BIN)/python -m pytest tests/cluster

# podman-compose is not a dependency, as only some machines have podman.
test-container: setup-test
	@PYTHON=$(PYTHON) contrib/system-packages.sh test-container
	$(BIN)/python -m pip install --quiet --disable-pip-version-check podman-compose==1.6.0
	$(BIN)/python -m pytest -x -s tests/container

MINUTES ?= 3
soak: setup-test
	$(BIN)/python -m tests.system.soak --minutes $(MINUTES) $(if $(SEED),--seed $(SEED))

fuzz: MINUTES = 5
fuzz: setup-test
	$(BIN)/python -m tests.fuzz --minutes $(MINUTES) $(if $(SEED),--seed $(SEED)) \
	  $(if $(CORPUS),--corpus $(CORPUS)) $(if $(KEEP),--keep $(KEEP))

# Not a dependency, as only some machines have it. PARSER: see tests/fuzz/parsers.py.
PARSERS := packet layout boxes raw exif claims iptc pointers delta
fuzz-parsers: setup-test
	$(BIN)/python -m pip install --quiet --disable-pip-version-check atheris==3.0.0
	@for parser in $(PARSERS); do echo "$$parser:"; \
	  $(BIN)/python -m tests.fuzz.parsers $$parser -max_total_time=$$((60 * $(MINUTES))) \
	  -max_len=20000 -verbosity=0 || exit 1; done

setup-bench: setup-test
	@PYTHON=$(PYTHON) contrib/system-packages.sh bench

bench: setup-bench
	$(BIN)/python -m benchmarks suite $(if $(QUICK),--quick) $(if $(JSON),--json $(JSON))

bench-check: setup-bench
	$(BIN)/python -m benchmarks check $(if $(AGAINST),--against $(AGAINST)) $(if $(JSON),--json $(JSON))

scale: setup-test
	$(BIN)/python -m benchmarks.scale

lint: setup-test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/codespell *.md docs photoramd benchmarks contrib
	$(BIN)/bandit --quiet --configfile pyproject.toml --recursive photoramd benchmarks contrib

security: setup-test $(TOOLS_STAMP)
	$(BIN)/bandit --quiet --configfile pyproject.toml --recursive photoramd benchmarks contrib
	$(BIN)/zizmor --offline --no-progress --quiet .github
	$(BIN)/python contrib/audit.py $(TOOLS)/bin/pip-audit

format: setup-test
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: setup-test
	$(BIN)/python contrib/reference.py
	$(BIN)/python -m benchmarks table --write

# Pin what a fresh installation of everything brings.
constraints: $(TOOLS_STAMP)
	@contrib/constraints.sh $(TOOLS)/bin/uv $(UPGRADE)

dist: $(TOOLS_STAMP)
	$(TOOLS)/bin/python contrib/dist.py

sbom: $(TOOLS_STAMP)
	PYTHON=$(PYTHON) contrib/sbom.sh $(TOOLS)/bin/cyclonedx-py

clean:
	rm -rf $(VENV) $(TOOLS) build dist .mypy_cache .pytest_cache .ruff_cache
