# `make help` lists what there is. Everything sets itself up: Python 3.11 or newer is all that is needed.

PYTHON ?= python3
ARGS ?=

# Two environments, since serving must work, and is tried, without torch.
SERVE := .venv/serve
DEV := .venv/dev
PIP := -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
CODE := splitwire protos edge cloud trainer demo benchmarks tests

.DEFAULT_GOAL := help
.PHONY: help demo test check format protos serve-env dev-env clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(SERVE)/.done ## cloud and edge on loopback, sample images classified; ARGS=--once exits after the table
	@$(SERVE)/bin/python -m demo $(ARGS)

test: $(DEV)/.done ## every test; ARGS is passed to pytest
	$(DEV)/bin/python -m pytest $(ARGS)

check: $(DEV)/.done ## formatting, lint, types, import rules, generated stubs
	$(DEV)/bin/ruff format --check .
	$(DEV)/bin/ruff check .
	$(DEV)/bin/mypy $(CODE)
	$(DEV)/bin/lint-imports
	$(DEV)/bin/python -m protos.generate --check

format: $(DEV)/.done ## format the code and sort imports
	$(DEV)/bin/ruff format .
	$(DEV)/bin/ruff check --fix .

protos: $(DEV)/.done ## generate the stubs from protos/splitwire.proto
	$(DEV)/bin/python -m protos.generate

serve-env: $(SERVE)/.done ## .venv/serve with edge and cloud, without torch

dev-env: $(DEV)/.done ## .venv/dev with everything

clean: ## remove both environments and all caches
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build *.egg-info

$(SERVE)/.done: pyproject.toml constraints.txt splitwire/coder.c
	@echo "setting up $(SERVE) (edge and cloud, no torch)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed")'
	@$(PYTHON) -m venv $(SERVE)
	@$(SERVE)/bin/python $(PIP) --editable '.[edge,cloud]'
	@touch $@

$(DEV)/.done: pyproject.toml constraints.txt splitwire/coder.c
	@echo "setting up $(DEV) (everything, with torch: a few minutes)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed")'
	@$(PYTHON) -m venv $(DEV)
	@$(DEV)/bin/python $(PIP) --editable '.[edge,cloud,otel,trainer,dev]'
	@touch $@
