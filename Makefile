# make demo | test | lint | trust | workflow | notebooks: on first use, each creates .venv with pinned versions
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test slow lint trust workflow notebooks pages clean

$(BIN)/.installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || python3 -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt torch
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[test,lint]'
	touch $@

demo: $(BIN)/.installed
	$(BIN)/scae demo --out demo_out

test: $(BIN)/.installed
	$(BIN)/python -m pytest

slow: $(BIN)/.installed
	$(BIN)/python -m pytest -m slow --ignore tests/workflows

# count how often scae keeps its promises: bad input, damaged files, kills, full disks; `make trust REDUCED=1` tries a sample
trust: $(BIN)/.installed
	$(BIN)/python -m tests.trust $(if $(REDUCED),--reduced) $(SECTIONS)

# test workflows/scrnaseq on raw files made from the built-in counts: lint, format, dry run, run on two cores, report, killed run
workflow: $(BIN)/.workflow
	$(BIN)/python -m pytest -m slow tests/workflows

$(BIN)/.workflow: $(BIN)/.installed
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[test,lint,workflow]'
	touch $@

# check that the pages in tutorials/ match their scripts and that every page runs; `make pages` stores fresh outputs
notebooks: $(BIN)/.tutorials
	$(BIN)/python -m pytest tests/test_tutorials.py
	$(BIN)/python -m pytest --nbmake --nbmake-timeout=900 tutorials

pages: $(BIN)/.tutorials
	$(BIN)/python tutorials/render.py

$(BIN)/.tutorials: $(BIN)/.installed
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[test,lint,tutorials]'
	touch $@

lint: $(BIN)/.installed
	$(BIN)/ruff check scae tests workflows tutorials
	$(BIN)/ruff format --check scae tests workflows tutorials
	$(BIN)/mypy

clean:
	rm -rf $(VENV) demo_out build dist
