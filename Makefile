# Every target makes what it needs; `make quickstart` and `make test` are the two that matter first.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PACKAGES := schemas transforms pipelines trainer evals
export OMP_NUM_THREADS ?= 1
# Compiled modules are kept: the tests start hundreds of processes, each of which would compile Beam anew.
unexport PYTHONDONTWRITEBYTECODE

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
	@$(MAKE) --no-print-directory --keep-going --jobs=1 test-together test-alone

.PHONY: test-together test-alone
test-together: setup
	$(BIN)/python -m pytest -m "not gpu and not alone" -n 2 --dist loadfile --no-loadscope-reorder

test-alone: setup
	$(BIN)/python -m pytest -m "alone and not gpu"

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

docs: setup ## write the references of recipes and commands and the picture of the flow
	$(BIN)/python -m butwait.pipelines.recipe_reference > docs/recipes.md
	$(BIN)/python -m butwait.pipelines.cli_reference > docs/cli.md
	$(BIN)/python docs/flow.py

.PHONY: site
site: setup ## the documentation as a site in build/site; a broken link fails
	$(BIN)/zensical build --strict

lock: $(STAMP) ## compile requirements/cpu.in to requirements/cpu.txt
	requirements/compile $(BIN)/uv

# One trunk, policy and scorer side by side, then the reward model that is made of both: one thread
# a process.
POCKET_DATA ?= pipelines/pocket/data
POCKET_WORK ?= build/pocket
POCKET_OUT ?= trainer/pocket/checkpoints
POCKET := $(BIN)/python -m butwait.trainer.pocket
POCKET_FROM := --corpus $(POCKET_WORK)/corpus --questions $(POCKET_DATA)/validation.jsonl

pocket: setup ## retrain the pocket models from nothing (policy, scorer, reward model), and measure
	$(BIN)/python -m butwait.pipelines.pocket.questions --out $(POCKET_DATA)
	$(BIN)/python -m butwait.pipelines.pocket.corpus --out $(POCKET_WORK)/corpus
	$(POCKET).train trunk $(POCKET_FROM) --out $(POCKET_WORK)/trunk
	$(MAKE) -j2 pocket-policy pocket-scorer
	$(MAKE) pocket-prm

.PHONY: pocket-policy pocket-scorer pocket-prm
pocket-policy:
	$(POCKET).train policy $(POCKET_FROM) --start $(POCKET_WORK)/trunk --out $(POCKET_OUT)/policy
	$(POCKET).measure $(POCKET_OUT)/policy --questions $(POCKET_DATA)/test.jsonl
	$(POCKET).teach $(POCKET_OUT)/policy --train $(POCKET_DATA)/train.jsonl \
		--test $(POCKET_DATA)/test.jsonl

pocket-scorer:
	$(POCKET).train scorer $(POCKET_FROM) --start $(POCKET_WORK)/trunk --out $(POCKET_OUT)/scorer
	$(POCKET).measure $(POCKET_OUT)/scorer --questions $(POCKET_DATA)/test.jsonl

pocket-prm:
	$(BIN)/python -m butwait.pipelines.pocket.questions --out $(POCKET_WORK)/prm --seed 1 \
		--n-train 12000 --n-validation 0 --n-test 0
	$(POCKET).prm.samples $(POCKET_OUT)/policy --questions $(POCKET_WORK)/prm/train.jsonl \
		--out $(POCKET_WORK)/prm/samples.jsonl
	$(POCKET).prm.train $(POCKET_OUT)/scorer --policy $(POCKET_OUT)/policy \
		--samples $(POCKET_WORK)/prm/samples.jsonl --questions $(POCKET_DATA)/validation.jsonl \
		--work $(POCKET_WORK)/prm --out $(POCKET_OUT)/prm
	$(POCKET).prm.measure $(POCKET_OUT)/prm --policy $(POCKET_OUT)/policy \
		--questions $(POCKET_DATA)/test.jsonl

.PHONY: bench-verify
bench-verify: setup ## the verifier against math-verify: accuracy, speed, memory, to docs/benchmarks.md
	$(BIN)/python benchmarks/verifier/run.py $(BENCH)

# its_hub stays out of the product's lock: it has a Python of its own.
BENCH_VENV := .venv-bench
$(BENCH_VENV)/.installed: requirements/bench.txt
	$(PYTHON) -m venv $(BENCH_VENV)
	$(BENCH_VENV)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps \
		-r requirements/bench.txt
	@touch $@

.PHONY: lab
lab: setup ## the whole experiment with the pocket model: data, SFT, GRPO, examinations, table
	$(BIN)/python -m benchmarks.lab.run $(LAB)

.PHONY: bench-train
bench-train: setup ## our trainer against TRL used directly
	$(BIN)/python -m benchmarks.train.run $(BENCH)

.PHONY: bench-search
bench-search: setup $(BENCH_VENV)/.installed ## search methods: accuracy, speed against its_hub, statistics
	$(BIN)/python -m benchmarks.search.run --peer-python $(BENCH_VENV)/bin/python $(BENCH)

.PHONY: bench-scale
bench-scale: setup ## builds of 10,000 to 1,000,000 questions: memory, time a question (hours)
	$(BIN)/python -m benchmarks.scale.run $(BENCH)

# Libraries that want versions of their own: one environment each, never the product's.
$(BENCH_VENV)/curator/.installed $(BENCH_VENV)/distilabel/.installed: \
		$(BENCH_VENV)/%/.installed: requirements/bench-%.txt
	$(PYTHON) -m venv $(BENCH_VENV)/$*
	$(BENCH_VENV)/$*/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	@touch $@

.PHONY: bench-sampling
bench-sampling: setup $(BENCH_VENV)/curator/.installed $(BENCH_VENV)/distilabel/.installed ## a whole build against a bare loop, curator and distilabel: wall and CPU a request
	$(BIN)/python -m benchmarks.sampling.run --peers $(BENCH_VENV) $(BENCH)

.PHONY: bench-cache
bench-cache: setup ## the completion cache: bytes and microseconds a sample
	$(BIN)/python -m benchmarks.cache $(BENCH)

.PHONY: bench-coverage
bench-coverage: setup ## how often the 95 % intervals hold the truth, to docs/benchmarks.md
	$(BIN)/python -m benchmarks.coverage $(BENCH)

.PHONY: bench-decontaminate
bench-decontaminate: setup ## copies of benchmark problems among 860,000 questions, to docs/benchmarks.md
	$(BIN)/python -m benchmarks.decontaminate $(BENCH)

.PHONY: fuzz-verify
FUZZ ?= --pairs 100000 --threads 4 --seed 1
fuzz-verify: setup ## random answers against the verifier from four threads
	$(BIN)/python -m benchmarks.verify_fuzz $(FUZZ)

clean: ## remove run folders and caches, keep .venv
	rm -rf runs build .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
