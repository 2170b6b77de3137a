# Needs Python 3.11 or later and make, nothing else. Another Python: make test PYTHON=python3.12
PYTHON ?= python3
JOBS ?= 2
VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt

.PHONY: demo test check docs format bench tables soak

demo: $(VENV)/.base
	$(BIN)/framecast demo

# One thread for each worker: two of torch's thread pools on the same cores slow each other down.
test: $(VENV)/.dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS)

check: $(VENV)/.dev docs
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

# build/site/index.html; a link that leads nowhere is an error.
docs: $(VENV)/.dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict

format: $(VENV)/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# An hour on an idle machine. The tables are made from what results/speed.csv holds then.
bench: $(VENV)/.dev
	for name in layer gates tutorial stream zoo memory metrics; do $(BIN)/python -m benchmarks.$$name || exit 1; done
	$(BIN)/python -m benchmarks.table

# The tables of README.md and docs/, from results/ and MODELS.
tables: $(VENV)/.dev
	$(BIN)/python -m benchmarks.table
	$(BIN)/python -m benchmarks.models_table
	$(BIN)/python -m benchmarks.models_compared

# Half an hour on two cores: every test that shows a promise, in full; docs/reliability.md is made of it.
soak: $(VENV)/.dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) -m "" --record

# A stamp is written last, so that an install that broke off is done again.
$(VENV)/.base: pyproject.toml constraints.txt | $(VENV)/.made
	@echo "Installing framecast into $(VENV); the first time this takes minutes."
	$(INSTALL) -e .
	@touch $@

$(VENV)/.dev: pyproject.toml constraints.txt | $(VENV)/.made
	@echo "Installing framecast and its tools into $(VENV); the first time this takes minutes."
	$(INSTALL) -e ".[dev]"
	@touch $(VENV)/.base $@

$(VENV)/.made:
	@command -v "$(PYTHON)" >/dev/null || { \
		echo "$(PYTHON) is not found: install Python 3.11 or later, or name one: make PYTHON=python3.12"; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "$(PYTHON) is $$("$(PYTHON)" -V 2>&1), framecast needs 3.11 or later: name one: make PYTHON=python3.12"; exit 1; }
	"$(PYTHON)" -m venv --clear $(VENV)
	@touch $@
