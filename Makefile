# Every target sets up what it needs in $(VENV); a changed pyproject.toml sets it up anew.
#
#   make run                              start a server; ARGUMENTS are those of `doorkeep serve`
#   make test                             check style and types, run all tests; PYTEST_ARGUMENTS='-m "not slow"' runs fewer
#   make lint, types, pytest              one of the three
#   make format                           bring the code into the style that lint wants
#   make bench, docs                      measure; build the documentation site
#   make clean                            remove what the others made
#   make test PYTHON=python3.12 VENV=.venv-3.12   with another Python, in an environment of its own

VENV ?= .venv
PYTHON ?= $(shell for name in python3 python3.13 python3.12 python3.11; do \
	$$name -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$name && break; done)
ARGUMENTS ?=
PYTEST_ARGUMENTS ?=

# What is compiled is tested once more in Python.
PURE_TESTS := tests -k 'green or Green or responses'
CODE := $(wildcard src tests bench examples)
RUNTIME := $(VENV)/.installed
TEST := $(VENV)/.installed-test
DOCS := $(VENV)/.installed-docs
BENCH := $(VENV)/.installed-bench

.PHONY: run test lint types pytest format bench docs clean

run: $(RUNTIME)
	$(VENV)/bin/doorkeep serve $(ARGUMENTS)

test: lint types pytest

lint: $(TEST)
	$(VENV)/bin/ruff check $(CODE)
	$(VENV)/bin/ruff format --check $(CODE)

types: $(TEST)
	$(VENV)/bin/mypy $(CODE)

pytest: $(TEST)
	$(VENV)/bin/python -m pytest --numprocesses auto $(PYTEST_ARGUMENTS)
	DOORKEEP_PURE=1 $(VENV)/bin/python -m pytest --numprocesses auto $(PURE_TESTS) $(PYTEST_ARGUMENTS)

format: $(TEST)
	$(VENV)/bin/ruff check --fix $(CODE)
	$(VENV)/bin/ruff format $(CODE)

bench: $(BENCH)
	$(VENV)/bin/python -m bench $(ARGUMENTS)

docs: $(DOCS)
	$(VENV)/bin/mkdocs build --strict

clean:
	rm -rf .venv .venv-* build dist site src/*.egg-info .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find $(CODE) -name __pycache__ -prune -exec rm -rf {} +

$(RUNTIME): pyproject.toml setup.py $(wildcard src/doorkeep/*/compiled/*.p*)
	@test -n "$(PYTHON)" || { echo "No Python 3.11 or later with venv was found; name one: make PYTHON=..." >&2; exit 1; }
	$(PYTHON) -m venv --clear $(VENV)
	$(VENV)/bin/python -m pip install --quiet --editable '.[green]'
	touch $@

$(VENV)/.installed-%: $(RUNTIME)
	$(VENV)/bin/python -m pip install --quiet --editable '.[$*]'
	touch $@
