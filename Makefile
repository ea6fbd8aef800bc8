# Every target is what CI and pre-commit call too. `make` alone prints this help.
PYTHON ?= python3
BIN := .venv/bin
TEST_WORKERS ?= 2

.DEFAULT_GOAL := help
.PHONY: help install install-dev demo check check-fast test bench schemas deflake clean

help: ## Print what can be made
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: ## Make .venv with what the product needs, and .venv/bin/spotopt
	@$(PYTHON) deploy/tools/bootstrap.py

install-dev: ## The same, with what tests and checks need
	@$(PYTHON) deploy/tools/bootstrap.py --dev

demo: install ## Run the whole system in a sandbox and print what it saved
	@$(BIN)/spotopt demo

check: install-dev ## Format, lint, types, import contracts, schema diff; no server
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/python -m deploy.tools.schemas --check

check-fast: install-dev ## Lint, and the tests that need no server
	@$(BIN)/ruff check .
	@$(BIN)/pytest -q -n $(TEST_WORKERS) -m "not nats and not postgres and not sandbox and not e2e and not slow"

test: install-dev ## Run every test, real servers and end to end included, with coverage
	@$(BIN)/pytest -q -n $(TEST_WORKERS) -m "not e2e" --cov --cov-report=term:skip-covered --cov-fail-under=80
	@$(BIN)/pytest -q -m e2e

bench: install-dev ## Measure, as ratios to a baseline in the same process
	@$(BIN)/python -m tests.benchmarks
	@$(BIN)/python -m tests.benchmarks.pricing_ingest
	@$(BIN)/python -m tests.benchmarks.pricing_serving

schemas: install-dev ## Write the JSON Schemas of all messages, and every service's schema.sql, anew
	@$(BIN)/python -m deploy.tools.schemas
	@$(BIN)/python -m deploy.tools.database_schemas

deflake: install-dev ## Run the tests in random order until one fails
	@while $(BIN)/pytest -q -x -m "not e2e"; do :; done

clean: ## Remove .venv and every cache
	@rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage* dist build
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
