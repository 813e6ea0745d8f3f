# One target per habit; `make` alone says which.
SHELL := /bin/bash
PYTHON_IN_VENV := .venv/bin/python
CODE := gateway tests tools examples bench deploy
# Tests that start processes, or run for minutes.
WITH_PROCESSES := scenarios security soak examples bench supervision state test_control.py test_supervisor.py
export MAKECMDGOALS

.DEFAULT_GOAL := help
.PHONY: help run certs test test-quick test-long check format lint types docs docs-check bench lock clean setup setup-dev setup-bench

help: ## what can be made (this)
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: setup certs ## start the demo app and the gateway before it; Ctrl-C stops both
	@$(PYTHON_IN_VENV) tools/run.py

certs: setup ## a development certificate in certs/, unless there is a good one
	@$(PYTHON_IN_VENV) -m gateway.development certs

test: setup-dev ## all tests but the long ones; each skipped test says what mends it
	@$(PYTHON_IN_VENV) -m pytest -m "not long" -n auto --dist loadfile $(PYTEST_ARGS)

test-quick: setup-dev ## unit and wire tests only: seconds
	@timeout 120 $(PYTHON_IN_VENV) -m pytest -m "not long and not e2e" $(addprefix --ignore=tests/,$(WITH_PROCESSES)) \
		--hypothesis-profile quick --timeout 0 -p no:randomly -n auto --dist worksteal -q $(PYTEST_ARGS)

test-long: setup-dev ## soaks, under ten minutes; SOAK_SECONDS=5 make test-long is a short form
	@$(PYTHON_IN_VENV) -m pytest -m long --timeout 1800 $(PYTEST_ARGS)

check: lint types docs-check test ## all that CI runs: format, lint, types, generated documents, tests

format: setup-dev ## rewrite the code in the house's format
	@$(PYTHON_IN_VENV) -m ruff format --quiet $(CODE)
	@$(PYTHON_IN_VENV) -m ruff check --fix $(CODE)

lint: setup-dev
	@$(PYTHON_IN_VENV) -m ruff format --check --quiet $(CODE) || { echo "not in the house's format: make format"; exit 1; }
	@$(PYTHON_IN_VENV) -m ruff check --quiet $(CODE)

types: setup-dev
	@$(PYTHON_IN_VENV) -m mypy

docs: setup-dev ## rewrite the generated pages of docs/reference
	@for page in tools/reference_*.py; do $(PYTHON_IN_VENV) $$page || exit 1; done
	@$(PYTHON_IN_VENV) -m gateway.admin.reference

docs-check: setup-dev
	@for page in tools/reference_*.py; do $(PYTHON_IN_VENV) $$page --check || exit 1; done
	@$(PYTHON_IN_VENV) -m gateway.admin.reference --check

bench: setup-bench ## CPU per request beside nginx, HAProxy, Envoy, Traefik and Caddy
	@$(PYTHON_IN_VENV) -m bench $(BENCH_ARGS)

lock: setup-dev ## pin dependencies anew: make lock, or make lock UPGRADE=--upgrade
	@tools/lock.sh $(UPGRADE)

clean: ## remove what make made, certificates too
	@rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist *.egg-info bench/results
	@find . -name __pycache__ -prune -exec rm -rf {} +
	@find certs -type f ! -name README.md -delete 2>/dev/null || true

setup:
	@tools/setup.sh

setup-dev:
	@tools/setup.sh dev

setup-bench:
	@tools/setup.sh bench
