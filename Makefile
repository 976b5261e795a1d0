# make demo | test | lint | notebooks: each makes .venv on first use, from pinned versions
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test slow notebooks pages lint clean

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

# tutorials/: pages and scripts say the same, and every page runs; `make pages` writes the outputs anew
notebooks: $(BIN)/.tutorials
	$(BIN)/python -m pytest tests/test_tutorials.py
	$(BIN)/python -m pytest --nbmake --nbmake-timeout=900 tutorials

pages: $(BIN)/.tutorials
	$(BIN)/python tutorials/render.py

$(BIN)/.tutorials: $(BIN)/.installed
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[test,lint,tutorials]'
	touch $@

lint: $(BIN)/.installed
	$(BIN)/ruff check scae tests tutorials/render.py
	$(BIN)/ruff format --check scae tests tutorials/render.py
	$(BIN)/mypy

clean:
	rm -rf $(VENV) demo_out build dist
