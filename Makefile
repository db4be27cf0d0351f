# make run    train, benchmark and report, from a fresh checkout
# make test   the tests, from a fresh checkout
# make extras an environment beside, with Ray, Lightning, JAX and rival optimizers: make test then runs their tests too
# make check  format, lint, types, order of the rooms
# make docs   the site, in build/docs; a link that leads nowhere is an error

PYTHON ?= python3
VENV := .venv
EXTRAS := .venv-extras
OUT ?= runs/quickstart
PIP_INSTALL := $(VENV)/bin/python -m pip install --quiet -c constraints/ci.txt
# Builds the native engine where it is missing or out of date, and tells in one line. Without a compiler torch trains.
ENGINE := @$(VENV)/bin/python -m metagan_rl.engine.build || true
CACHES := .coverage .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache

# One thread a process: small tensors, and processes use the cores better than threads do.
export OMP_NUM_THREADS := 1

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help run test extras check docs format clean

help:
	@sed -n 's/^# \(make .*\)/\1/p' Makefile

run: $(VENV)/.installed-run
	$(ENGINE)
	$(VENV)/bin/metagan-rl quickstart --out $(OUT)
	@echo "The report is in $(abspath $(OUT)):" && find $(OUT) -maxdepth 1 -name '*.html'

# Where the extras have been asked for once, they are kept up to date.
test: $(VENV)/.installed-dev $(wildcard $(EXTRAS)/.installed)
	$(ENGINE)
	$(VENV)/bin/pytest -n 2

extras: $(EXTRAS)/.installed

check: $(VENV)/.installed-dev
	$(VENV)/bin/ruff format --check
	$(VENV)/bin/ruff check
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

docs: $(VENV)/.installed-dev
	$(VENV)/bin/sphinx-build --quiet --fail-on-warning --keep-going -d build/doctrees -c docs . build/docs
	$(VENV)/bin/python docs/check_links.py build/docs
	@echo "The site is in build/docs/index.html"

format: $(VENV)/.installed-dev
	$(VENV)/bin/ruff format
	$(VENV)/bin/ruff check --fix

clean:
	rm -rf build dist *.egg-info metagan_rl/engine/objects $(CACHES)
	find . -name __pycache__ -type d -not -path './$(VENV)*/*' -prune -exec rm -rf {} +

$(VENV)/bin/python $(EXTRAS)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed: make PYTHON=...")'
	$(PYTHON) -m venv $(@:/bin/python=)

# A stamp is written only after its installation has gone through, so an interrupted one is done again.
$(VENV)/.installed-run: pyproject.toml setup.py $(wildcard constraints/*.txt) | $(VENV)/bin/python
	$(PIP_INSTALL) -e ".[data,report]"
	@touch $@

$(VENV)/.installed-dev: pyproject.toml setup.py $(wildcard constraints/*.txt) | $(VENV)/bin/python
	$(PIP_INSTALL) -e ".[dev]"
	@touch $@

$(EXTRAS)/.installed: pyproject.toml setup.py $(wildcard constraints/*.txt) | $(EXTRAS)/bin/python
	$(EXTRAS)/bin/python -m pip install --quiet -c constraints/extras.txt -e ".[data,rllib,lightning,peers,rivals]" pytest pytest-timeout
	@touch $@
