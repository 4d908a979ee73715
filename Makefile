# Needs make and Python 3.11, 3.12 or 3.13. Everything is installed into .venv, nothing outside this folder.
#   make demo ARGS="--http-port 9000"      arguments of the command behind the target
#   make test ARGS="-k tts tests/unit"     also of pytest
#   make PYTHON=/opt/python3.12/bin/python3 demo

VENV   := .venv
BIN    := $(VENV)/bin
ARGS   ?=
PYTHON ?=
# How many test files run at once: two, as real servers share the machine with them.
JOBS   ?= 2
# Messages of each kill test of `make soak`; `make test` sends 50,000.
KILL_MESSAGES ?= 1000000
# Mutated messages of `make soak`; `make test` has 20,000.
FUZZ_MESSAGES ?= 2000000

RUNTIME := $(VENV)/.installed
DEV     := $(VENV)/.installed-dev
NODE    := tests/node/node_modules/.package-lock.json
PIP     := $(BIN)/python -m pip --disable-pip-version-check install --quiet
LOCK    := UV_CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/uv pip compile --quiet --universal --generate-hashes \
           --no-emit-index-url --no-emit-find-links --no-config --python-version 3.11 pyproject.toml --group build

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test coverage docs lint format bench soak lock clean

help: ## show this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1|\2/p' Makefile | while IFS='|' read -r name what; do \
	  printf '%-14s %s\n' "$$name" "$$what"; done

demo: $(RUNTIME) ## install what running needs and start the demo city (Ctrl-C stops it)
	@$(BIN)/citybroker demo $(ARGS)

test: $(DEV) node ## every test, against real servers (missing ones are skipped; with CI=true they fail)
	$(BIN)/pytest -n $(JOBS) --dist loadfile $(ARGS)
	@test -n "$(ARGS)" || $(MAKE) --no-print-directory coverage

coverage: $(DEV) ## every branch of anpr and of disclosure is tested, or this fails
	$(BIN)/pytest -q -n $(JOBS) --cov=anpr --cov=opendata.disclosure --cov-branch --cov-fail-under=100 \
	  --cov-report=term-missing:skip-covered tests/unit/anpr tests/integration/test_flows.py \
	  tests/unit/opendata/test_disclosure.py

lint: $(DEV) ## style, formatting, types, direction of imports, lock files
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest -q -p no:cacheprovider tests/docs/test_locks.py
	$(BIN)/python -m pip --disable-pip-version-check check

format: $(DEV) ## let ruff rewrite what it can
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

bench: $(DEV) ## speed of ingest, export and each format beside raw paho, a plain loop, COPY and json.loads
	$(BIN)/python tests/bench/run.py $(ARGS)

soak: $(DEV) ## FUZZ_MESSAGES mutated messages (2,000,000), and kill tests with KILL_MESSAGES each (1,000,000)
	$(BIN)/python tests/soak/fuzz.py --count $(FUZZ_MESSAGES)
	KILL_MESSAGES=$(KILL_MESSAGES) $(BIN)/pytest --timeout 0 -v tests/acceptance -k kill $(ARGS)

docs: $(DEV) ## write the pages of formats and cameras from their docstrings and samples
	$(BIN)/python tests/docs/plug_in_pages.py

lock: $(DEV) ## renew requirements.txt and requirements-dev.txt (ARGS=--upgrade: newest versions)
	$(LOCK) --output-file requirements.txt $(ARGS)
	$(LOCK) --group dev --constraint requirements.txt --output-file requirements-dev.txt $(ARGS)

clean: ## remove .venv, caches and test packages; data of the demo (.citybroker*) stay
	rm -rf $(VENV) build dist tests/node/node_modules .mypy_cache .ruff_cache .pytest_cache .hypothesis \
	  .import_linter_cache .coverage htmlcov
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: node
node: ## packages of tests/node (TimescaleDB in WebAssembly), where npm is
	@if command -v npm >/dev/null; then $(MAKE) --no-print-directory $(NODE); \
	 else echo "npm not found: tests on TimescaleDB cannot run"; fi

$(NODE): tests/node/package-lock.json
	cd tests/node && npm ci --ignore-scripts --no-audit --no-fund --no-update-notifier --loglevel=error
	@touch $@

# A missing or unsuitable Python is one line; a venv without pip (Debian without python3-venv) counts as one.
$(BIN)/python:
	@for python in $(or $(PYTHON),python3 python3.13 python3.12 python3.11); do \
	  if "$$python" -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null; then \
	    echo "Making $(VENV) with $$("$$python" -V)"; exec "$$python" -m venv $(VENV); fi; \
	done; \
	echo "citybroker needs Python 3.11, 3.12 or 3.13 with venv (Debian: apt install python3-venv); \
	found none as: $(or $(PYTHON),python3 python3.13 python3.12 python3.11). Name one: make PYTHON=/path/to/python3" >&2; exit 1

$(RUNTIME): $(BIN)/python requirements.txt pyproject.toml
	@echo "Installing requirements.txt (about 70 MB)"
	@$(PIP) --require-hashes -r requirements.txt
	@$(PIP) --no-deps --no-build-isolation -e .
	@touch $@

$(DEV): $(RUNTIME) requirements-dev.txt
	@echo "Installing requirements-dev.txt"
	@$(PIP) --require-hashes -r requirements-dev.txt
	@touch $@
