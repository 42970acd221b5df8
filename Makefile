# Everything a checkout needs: `make run`, `make test`, `make lint`, `make attack`, `make bench`, `make gpu`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: run test repeat lint attack test-slurm bench gpu viewer quality catalog figures cards screenshot wheel clean

run: $(STAMP)
	@if [ -t 0 ] && [ -t 1 ]; then $(BIN)/tui-gen; else $(BIN)/tui-gen --run vae-digits; fi

# Compiled files are kept, whatever the environment says: the tests start hundreds of processes that import the package.
test: export PYTHONDONTWRITEBYTECODE =
test: $(STAMP)
	$(BIN)/python -m pytest -n auto --dist loadgroup

# The suite ten times: beside busy cores, with a long TMPDIR, in random orders, in bare and in talkative environments.
repeat: export PYTHONDONTWRITEBYTECODE =
repeat: $(STAMP)
	$(BIN)/python -m tests.repeat --runs $(or $(RUNS),10)

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/mypy

attack: $(STAMP)
	$(BIN)/python -m tests.attack

# Jobs of a real Slurm on this machine (root, and the packages slurm-wlm and munge): some minutes.
test-slurm: $(STAMP)
	$(BIN)/python -m tests.slurm

# `make bench viewer`, or `make bench ONLY="viewer first-paint"`, measures only these.
bench: $(STAMP)
	$(BIN)/python -m tests.bench $(or $(ONLY),$(filter viewer,$(MAKECMDGOALS)))

viewer: bench
	@:

# What only a GPU can show, in eight minutes at most; where there is none it says so. The table is for the README.
gpu: $(STAMP)
	$(BIN)/python -m tests.gpu --out $(or $(OUT),gpu.json)

quality: $(STAMP)
	$(BIN)/python -m tests.quality

catalog: $(STAMP)
	$(BIN)/python -m tui_gen.train.discover --write models/catalog.json

figures: $(STAMP)
	$(BIN)/python -m tests.readme_figures .

cards: $(STAMP)
	$(BIN)/python -m tests.recipe_cards $(or $(RUNS),runs)

screenshot: $(STAMP)
	$(BIN)/python -m tests.screenshot docs/workbench.png

wheel: $(STAMP)
	$(BIN)/python -m build --wheel --outdir dist .

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "tui-gen needs Python 3.11 or newer; set PYTHON=python3.12, say")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $(STAMP)

clean:
	rm -rf $(VENV) dist build *.egg-info
