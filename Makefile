# One word per habit. `make help` lists them.
SHELL := /bin/sh
VENV := .venv
BIN := $(VENV)/bin
# The first Python that is new enough; name another with: make PYTHON=/path/to/python3.12 ...
PYTHON ?= $(shell for name in python3 python3.13 python3.12 python3.11; do \
	$$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$name && break; done)
PIP := $(BIN)/python -m pip --disable-pip-version-check -qq install -c constraints.txt
PACKAGES := -p postwerk -p workflows -p activities -p api -m worker

.PHONY: help demo dev test test-slow bench check fix clean
.DEFAULT_GOAL := help

help: ## list the commands
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' Makefile | awk -F'|' '{ printf "%-18s %s\n", $$1, $$2 }'

demo: $(VENV)/.with-dev-server ## start everything and watch 1,000 mails go through
	@$(BIN)/python -m postwerk demo

dev: $(VENV)/.with-dev-server ## start everything and keep it running
	@$(BIN)/python -m postwerk dev

test: check ## all checks, then every test that takes seconds
	@$(BIN)/python -m pytest -m "not slow" -n 4 --dist loadfile --no-loadscope-reorder

test-slow: $(VENV)/.with-tests ## the proofs that take minutes
	@$(BIN)/python -m pytest -m slow -n 2 --dist loadfile --no-loadscope-reorder

bench: $(VENV)/.with-tests ## measure messages a second; the last line is JSON
	@$(BIN)/python -m bench

check: $(VENV)/.with-tests ## style, types and import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy $(PACKAGES)
	$(BIN)/lint-imports

fix: $(VENV)/.with-tests ## repair what ruff can repair
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: ## remove what the other commands made, the mail of dev and demo included
	rm -rf $(VENV) data build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

# Stamps, so that the second run starts at once. The tests bring the dev server along.
$(VENV)/.with-dev-server: $(VENV)/.python pyproject.toml constraints.txt
	@test $(VENV)/.with-tests -nt pyproject.toml -a $(VENV)/.with-tests -nt constraints.txt || { \
		echo "Installing into $(VENV) ..." && $(PIP) -e '.[dev-server]'; }
	@touch $@

$(VENV)/.with-tests: $(VENV)/.python pyproject.toml constraints.txt
	@echo "Installing into $(VENV) ..."
	@$(PIP) -e '.[test]'
	@touch $@

$(VENV)/.python:
	@test -n "$(PYTHON)" || { \
		echo "Postwerk needs Python 3.11 or newer, and found none; try: make PYTHON=/path/to/python3.12 demo"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { \
		echo "$(PYTHON) cannot make a virtual environment; on Debian: apt-get install python3-venv"; exit 1; }
	@touch $@
