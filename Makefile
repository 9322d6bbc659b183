# Each target starts from a bare clone: python3 with venv and pip is all it needs. On Linux the default torch brings CUDA;
# PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu before make takes the smaller one.
PYTHON ?= python3
RUN := .venv/bin/python
# The cores that this process may run on, four at most: so many processes share the fast tests, each with one thread of
# torch (tests/conftest.py). On one core there are none beside pytest itself.
WORKERS ?= $(shell $(PYTHON) -c 'import os; n = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(); print(min(n, 4) if n > 1 else 0)')
# pip's editable install is asked last, after a folder called pontryagin that happens to lie in the current one; a link on
# sys.path is not. An editable install points at the folder it was made in, so a copied folder installs anew.
INSTALLED := .venv/installed-$(shell pwd | cksum | cut -d' ' -f1)

# Pins what builds the package, too: pip reads the first of the two up to 25.2, the second from then on.
export PIP_CONSTRAINT := constraints.txt
export PIP_BUILD_CONSTRAINT := constraints.txt
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help install demo test test-slow test-min torture lint format docs docs-links figures reproduce clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-10s %s\n", $$1, $$2}' Makefile

install: $(INSTALLED) ## make .venv with the package, editable, and all it needs

$(INSTALLED): setup.cfg pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "pontryagin needs Python 3.10 or newer: make PYTHON=...")'
	$(PYTHON) -m venv .venv
	$(RUN) -m pip install --quiet --upgrade pip
	$(RUN) -m pip install --quiet --editable '.[test,docs]'
	mkdir -p .venv/link && ln -sfn ../.. .venv/link/pontryagin
	$(RUN) -c 'import pathlib, sysconfig; pathlib.Path(sysconfig.get_path("purelib"), "pontryagin-link.pth").write_text(str(pathlib.Path(".venv/link").absolute()))'
	rm -f .venv/installed-* && touch $@

demo: $(INSTALLED) ## train for a few minutes; pictures and a table go to results/demo
	$(RUN) demos/quickstart.py

test: lint ## lint, fast tests, and the wheel in an environment of its own
	.ci/timed tests $(RUN) -m pytest -n $(WORKERS) --dist worksteal
	.ci/timed wheel .ci/check_wheel

test-slow: $(INSTALLED) ## the tests that train
	.ci/timed slow $(RUN) -m pytest -m slow -n $(WORKERS) --dist worksteal || [ $$? -eq 5 ]  # 5: there are none

test-min: ## the fast tests with the oldest dependencies that setup.cfg allows, in .venv-min
	$(PYTHON) -m venv --clear .venv-min
	PIP_CONSTRAINT=constraints-min.txt .venv-min/bin/python -m pip install --quiet --editable '.[test,docs]'
	.ci/timed oldest .venv-min/bin/python -m pytest -n $(WORKERS) --dist worksteal

torture: $(INSTALLED) ## hostile input, damaged files, killed writers and a full disk, about a quarter of an hour
	PYTHONPATH=.venv/link OMP_NUM_THREADS=1 $(RUN) .ci/torture.py

lint: $(INSTALLED) ## ruff and mypy
	.ci/timed lint sh -c '$(RUN) -m ruff check . && $(RUN) -m ruff format --check . && $(RUN) -m mypy'

format: $(INSTALLED) ## let ruff rewrite the sources
	$(RUN) -m ruff check --fix .
	$(RUN) -m ruff format .

docs: $(INSTALLED) ## build the site, docs/_build/index.html; warnings are errors, no network is asked
	.ci/timed docs $(RUN) -m sphinx -q -W --keep-going -b html docs docs/_build

docs-links: $(INSTALLED) ## ask every address that the site links to
	$(RUN) -m sphinx -q -b linkcheck docs docs/_build/links

figures: $(INSTALLED) ## draw the figures of results/ again from the numbers beside them
	$(RUN) demos/figures.py

reproduce: $(INSTALLED) ## make figures again and compare: make reproduce NAME=quadrotor; all names without NAME
	$(RUN) demos/reproduce.py $(if $(NAME),--name $(NAME))

clean: ## remove environments, caches, builds and the output of the demo
	rm -rf .venv .venv-wheel .venv-min build dist docs/_build docs/generated *.egg-info .hypothesis .mypy_cache .pytest_cache .ruff_cache results/demo
	find . -name __pycache__ -prune -exec rm -rf {} +
