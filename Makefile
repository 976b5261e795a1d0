# make demo | test | lint: each makes .venv on first use, from pinned versions
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test slow lint clean

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
	$(BIN)/python -m pytest -m slow

lint: $(BIN)/.installed
	$(BIN)/ruff check scae tests
	$(BIN)/ruff format --check scae tests
	$(BIN)/mypy

clean:
	rm -rf $(VENV) demo_out build dist
