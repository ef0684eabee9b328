# One file that documents itself: `make help`.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ONCE ?=

.DEFAULT_GOAL := help

.PHONY: help
help: ## Show this help
	@grep -hE '^[a-z-]+:.*?## ' $(MAKEFILE_LIST) | sort | awk -F ':.*?## ' '{printf "  \033[1m%-10s\033[0m %s\n", $$1, $$2}'

$(VENV)/bin/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo 'IncidentFox needs Python 3.11 or newer: make PYTHON=/path/to/python3.11 …'; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.runtime: requirements/all.txt pyproject.toml | $(VENV)/bin/pip
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/all.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.dev: requirements/dev.txt $(VENV)/.runtime
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@touch $@

.PHONY: demo
demo: $(VENV)/.runtime ## A real incident on this machine, from alert to posted root cause (ONCE=1: exit when it is posted)
	$(BIN)/incidentfox demo $(if $(ONCE),--once)

.PHONY: up
up: $(VENV)/.runtime ## Start everything on this machine, without the demo shop
	$(BIN)/incidentfox up

.PHONY: down
down: $(VENV)/.runtime ## Stop what `make up` or `make demo` started
	$(BIN)/incidentfox down

.PHONY: test
test: $(VENV)/.dev check ## Set up, check the code and run the tests
	$(BIN)/pytest -n 3 --dist worksteal

.PHONY: check
check: $(VENV)/.dev ## Lint, types, import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

.PHONY: bench
bench: $(VENV)/.dev ## Measure, in ratios taken in one run
	$(BIN)/python -m tests.bench

.PHONY: fuzz
fuzz: $(VENV)/.dev ## Call every operation of every API with random input (FUZZ_EXAMPLES of each); more examples of every property
	FUZZ_EXAMPLES=$${FUZZ_EXAMPLES:-300} HYPOTHESIS_PROFILE=fuzz $(BIN)/pytest tests/fuzz tests/analysis tests/kernel tests/config_service/configuration

.PHONY: fmt
fmt: $(VENV)/.dev ## Format and fix what can be fixed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: docs
docs: $(VENV)/.dev ## Write the generated reference pages, and the answers of the API's examples
	$(BIN)/python -m tests.house.answers
	$(BIN)/python -m tests.house.reference

.PHONY: lock
lock: ## Renew the hashed locks (needs uv)
	uv pip compile --universal --python-version 3.11 --extra all --extra build --generate-hashes --no-emit-index-url --no-header --no-annotate pyproject.toml -o requirements/all.txt
	uv pip compile --universal --python-version 3.11 --extra dev --generate-hashes --no-emit-index-url --no-header --no-annotate pyproject.toml -o requirements/dev.txt
