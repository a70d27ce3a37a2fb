# Every target makes what it needs; `make quickstart` and `make test` are the two that matter first.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PACKAGES := schemas transforms pipelines trainer evals
export OMP_NUM_THREADS ?= 1

.DEFAULT_GOAL := help
.PHONY: help setup links quickstart test fmt lint types imports check smoke docs lock pocket clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | sort

setup: $(STAMP) links ## make .venv with everything, CPU build of vLLM included

$(STAMP): requirements/cpu.txt requirements/install pyproject.toml setup.py
	requirements/install $(PYTHON) $(VENV)
	@touch $(STAMP)

links: ## five links for static tools, which cannot follow the editable install
	@mkdir -p .namespace/butwait
	@for p in $(PACKAGES); do ln -sfn ../../$$p .namespace/butwait/$$p; done

quickstart: setup ## from questions to a verified dataset with the pocket model and real vLLM
	$(BIN)/butwait build recipes/quickstart.yaml

test: setup ## all tests but those that need a GPU
	$(BIN)/python -m pytest -m "not gpu"

fmt: setup ## format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lint: setup ## style
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: setup ## mypy, strict
	$(BIN)/mypy .namespace/butwait

imports: setup ## who may import whom
	PYTHONPATH=.namespace $(BIN)/lint-imports

check: lint types imports test ## everything that CI runs

smoke: setup ## a build of twenty questions, in a minute
	$(BIN)/butwait build recipes/quickstart.yaml --limit 20 --set name=smoke

docs: setup ## write the recipe reference from the recipe models
	$(BIN)/python -m butwait.pipelines.recipe_reference > docs/recipes.md

lock: $(STAMP) ## compile requirements/cpu.in to requirements/cpu.txt
	requirements/compile $(BIN)/uv

clean: ## remove run folders and caches, keep .venv
	rm -rf runs build .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
