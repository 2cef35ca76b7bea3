# Needs Python >= 3.10 and make, nothing else: `make demo` and `make test` set themselves up.
PYTHON ?= python3
VENV ?= .venv
INSTALLED := $(VENV)/.installed
RUN := $(VENV)/bin/python

.PHONY: help install demo test stress fuzz lint format clean
.DEFAULT_GOAL := help

help:  ## List the targets
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12
	@echo
	@echo 'PYTHON=python3.12 chooses the Python (>= 3.10), VENV=DIR the environment (.venv).'

install: $(INSTALLED)  ## Make .venv with everything in requirements/, once

$(INSTALLED): setup.py pyproject.toml requirements/runtime.txt requirements/dev.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { \
	  echo 'mmexact needs Python >= 3.10, and $(PYTHON) is' \
	    "$$($(PYTHON) --version 2>&1): choose another with make PYTHON=python3.12" >&2; exit 2; }
	@$(PYTHON) -c 'import ensurepip, venv' || { \
	  echo '$(PYTHON) comes without its venv module: install it (on Debian and Ubuntu, the' \
	    'package python3-venv)' >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --disable-pip-version-check -r requirements/dev.txt
	$(RUN) -m pip install --disable-pip-version-check --no-deps --editable .
	@touch $@

demo: $(INSTALLED)  ## From synthetic data to a crop map and a report, work_dirs/demo/report.html
	$(RUN) tools/dataset_converters/make_synthetic_pastis.py --out data/synthetic_pastis
	$(RUN) tools/run_stages.py configs/exact/cls_demo.py configs/exact/seg_tsvit_demo.py --compare

test: lint  ## Check style and types, and run the tests
	$(RUN) -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile --durations=10

stress: $(INSTALLED)  ## Kill each tool a hundred times and compare what comes out
	OMP_NUM_THREADS=1 $(RUN) -m tests.stress --kills 100

fuzz: $(INSTALLED)  ## Read 20,000 damaged files
	$(RUN) -m tests.fuzz --mutations 20000

lint: $(INSTALLED)  ## Check style and types
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy

format: $(INSTALLED)  ## Format the code
	$(RUN) -m ruff format .
	$(RUN) -m ruff check --fix .

clean:  ## Remove the environment and caches; work_dirs and data stay
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
