# Two targets do everything on a fresh machine that has python3 (3.11 or newer) with venv, and make:
#   make demo    mirror a small dataset from the built-in stand-in server
#   make test    lint, types and the whole test suite
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

.PHONY: demo test lint types unit bench test-fresh test-kill test-writers test-sdk test-remo test-systemd test-boot soak lock clean

demo: $(STAMP)
	$(BIN)/labelmirror demo

test: lint types unit

lint: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(STAMP)
	$(BIN)/mypy

unit: $(STAMP)
	$(BIN)/python -m pytest -n 3 --dist worksteal -m "not sdk and not remo and not systemd and not boot"

# The figures of docs/figures.md, measured here and now.
bench: $(STAMP)
	$(BIN)/python -m bench

# The same suite on seeds that nobody has seen; what it finds is replayed with: pytest --seed N.
test-fresh: $(STAMP)
	$(BIN)/python -m pytest --fresh -n 3 --dist worksteal -m "not sdk and not remo and not systemd and not boot"

# Death at every single write, and every fault on every single request; make test draws some of them.
test-kill: $(STAMP)
	EXHAUSTIVE=1 $(BIN)/python -m pytest -s tests/resilience

# 5 000 interleavings of two to five writers, and twenty months of two people and a script; make test draws some of them.
test-writers: $(STAMP)
	EXHAUSTIVE=1 $(BIN)/python -m pytest -s tests/sim/test_writers.py

# The official Pictograph SDKs against the stand-in, each in an environment of its own below .cache/.
test-sdk: $(STAMP)
	$(BIN)/python -m pytest -m sdk tests/sdk

# A real Remo: needs Debian or Ubuntu with PostgreSQL (root installs it), and a Python from 3.8 to 3.11.
test-remo: $(STAMP)
	$(BIN)/python -m pytest -m remo tests/servers/remo

# The shipped units as systemd-analyze sees them.
test-systemd: $(STAMP)
	$(BIN)/python -m pytest -m systemd tests/systemd

# The shipped units under a booted systemd: as root, with systemd-nspawn, over a copy of this machine's root.
test-boot: $(STAMP)
	$(BIN)/python -m pytest -m boot tests/systemd

# The daemon under a steady load; 72 hours: make soak MINUTES=4320.
MINUTES ?= 20
soak: $(STAMP)
	$(BIN)/python -m bench.soak $(MINUTES)

# Versions and hashes are pinned in requirements-dev.txt; the project itself is installed from the checkout.
$(STAMP): requirements-dev.txt pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "labelmirror needs Python 3.11 or newer; choose one with: make PYTHON=python3.12 ...")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

# Renew the pins after a change of dependencies (needs pip-tools).
lock:
	pip-compile -q --generate-hashes --no-emit-index-url --no-emit-trusted-host --no-emit-find-links --strip-extras --allow-unsafe --no-header --extra dev -o requirements-dev.txt pyproject.toml

clean:
	rm -rf $(VENV) .cache .mypy_cache .pytest_cache .ruff_cache
