# Two commands on a fresh machine with Python >= 3.11: `make run` and `make test`.
PYTHON ?= python3
ARGS ?=
EXTRAS ?=
WORKDIR ?= runs/mig_gt
# A file of tests goes to one process whole, in order: the last ones are short. WORKERS= runs all in
# one process.
WORKERS ?= -n logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder

VENV := .venv
PY := $(VENV)/bin/python
COLAB := .venv-colab
# Where versions of JAX differ most; a folder that is not there is left out.
SHORT := $(wildcard $(addprefix tests/training/test_, step.py parallel.py fit.py optim.py))

# $(call need,VENV,CONSTRAINTS,EXTRAS): fast and silent when all of it is installed
define need
	@command -v "$(PYTHON)" >/dev/null || { \
	  echo "There is no $(PYTHON); mmjax needs Python >= 3.11: make PYTHON=/path/to/python3 ..."; \
	  exit 1; }
	@"$(PYTHON)" .ci/install.py $(1) $(2) $(3) $(EXTRAS)
endef
need_here = $(call need,$(VENV),constraints.txt,$(1))

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help run test test-slow test-colab test-colab-short test-gpu parity lint format docs notebooks \
  bench bench-gpu clean

help: ## This list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' Makefile | \
	  while IFS='|' read -r name text; do printf '  make %-16s %s\n' "$$name" "$$text"; done
	@echo "Variables: PYTHON=python3.12 EXTRAS=cuda12 ARGS='more arguments' WORKDIR=runs/mine"

run: ## Train MIG-GT on the bundled data set, print its table, write report.html; resumes
	$(call need_here)
	$(PY) -m experiments.mig_gt --workdir "$(WORKDIR)" --baselines light_gcn mgdcf bpr_mf $(ARGS)

test: ## All tests but the slow ones
	$(call need_here,test)
	$(PY) -m pytest -m "not slow" $(WORKERS) $(ARGS)

test-slow: ## The slow tests alone
	$(call need_here,test)
	$(PY) -m pytest -m slow $(ARGS)

test-colab: ## The tests on Colab's versions (jax 0.7.2), in .venv-colab
	$(call need,$(COLAB),constraints-colab.txt,test)
	$(COLAB)/bin/python -m pytest -m "not slow" $(WORKERS) $(ARGS)

test-colab-short: ## Of these only the tests of training, some minutes
	$(call need,$(COLAB),constraints-colab.txt,test)
	$(COLAB)/bin/python -m pytest -m "not slow" $(WORKERS) $(SHORT) $(ARGS)

test-gpu: ## The GPU tests: make test-gpu EXTRAS=cuda12
	$(call need_here,test)
	JAX_PLATFORMS=cuda $(PY) -m pytest -m gpu $(ARGS)

parity: ## Comparisons with PyTorch; installs torch, which is large
	$(call need_here,test parity)
	$(PY) -m pytest -m parity $(ARGS)

lint: ## ruff and pyright
	$(call need_here,test lint)
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m pyright

format: ## Let ruff lay out and mend what it can
	$(call need_here,lint)
	$(PY) -m ruff format .
	$(PY) -m ruff check --fix .

docs: ## The site, strictly, into site/; looks at nothing outside
	$(call need_here,docs)
	NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build --strict --quiet $(ARGS)
	@echo "site/index.html"

notebooks: ## Execute every notebook; ARGS=--save keeps the last picture of each
	$(call need_here,notebooks)
	$(PY) notebooks/execute.py $(ARGS)

bench: ## Speed and memory beside jraph and, where installed, PyTorch
	$(call need_here)
	$(PY) -m experiments.benchmarks $(ARGS)

bench-gpu: ## Every benchmark on one GPU in under 8 minutes: make bench-gpu EXTRAS=cuda12
	$(call need_here,test)
	JAX_PLATFORMS=cuda,cpu $(PY) -m experiments.benchmarks.gpu $(ARGS)

clean: ## Remove environments and caches; runs/ stays
	rm -rf $(VENV) $(COLAB) .pytest_cache .hypothesis .ruff_cache build dist site
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
