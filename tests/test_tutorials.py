"""Each tutorial's script and page say the same, and the page keeps its outputs; `make notebooks` also runs them."""

from __future__ import annotations

import json
import re

import pytest
from helpers import ROOT

SCRIPTS = sorted((ROOT / "tutorials").glob("[0-9]*.py"))
PAGES = [path.with_suffix(".ipynb") for path in SCRIPTS]
PRIVATE = re.compile(r"/(?:home|root|tmp|work|usr|opt|private|Users)/|[A-Z]:\\")
each_script = pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
each_page = pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)


def cells_of_script(text: str) -> list[tuple[str, str]]:
    """Kind and source of each cell of a py:percent file, without its header."""
    parts = re.split(r"^# %%(.*)\n", text.split("\n# ---\n", 1)[1], flags=re.MULTILINE)
    found = []
    for mark, source in zip(parts[1::2], parts[2::2], strict=True):
        assert mark.strip() in ("", "[markdown]"), mark
        lines = source.strip("\n").split("\n")
        if mark.strip():
            assert all(line.startswith("#") for line in lines), lines
            lines = [line[1:].removeprefix(" ") for line in lines]
        found.append(("markdown" if mark.strip() else "code", "\n".join(lines)))
    return found


def read(page) -> dict:
    return json.loads(page.read_text("utf-8"))


def joined(value: str | list[str]) -> str:
    return value if isinstance(value, str) else "".join(value)


def outputs(page) -> list[dict]:
    return [output for cell in read(page)["cells"] for output in cell.get("outputs", ())]


def test_every_script_has_a_page_and_the_other_way_round():
    assert len(SCRIPTS) >= 3
    assert sorted((ROOT / "tutorials").glob("*.ipynb")) == PAGES


@each_script
def test_script_and_page_say_the_same(script):
    cells = [(cell["cell_type"], joined(cell["source"])) for cell in read(script.with_suffix(".ipynb"))["cells"]]
    assert cells == cells_of_script(script.read_text("utf-8"))


@each_page
def test_page_was_run_in_order_to_the_end(page):
    code = [cell for cell in read(page)["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))


@each_page
def test_page_shows_pictures_and_neither_errors_nor_warnings(page):
    shown = outputs(page)
    assert sum("image/png" in output.get("data", {}) for output in shown) >= 3
    assert {output["output_type"] for output in shown} <= {"stream", "display_data", "execute_result"}
    assert not any(output.get("name") == "stderr" for output in shown)


@each_page
def test_page_is_small_and_names_no_machine(page):
    whole = read(page)
    assert len(page.read_bytes()) < 1_000_000
    assert set(whole["metadata"]) == {"jupytext", "kernelspec"}
    assert whole["metadata"]["kernelspec"] == {"display_name": "Python 3", "language": "python", "name": "python3"}
    words = [joined(cell["source"]) for cell in whole["cells"]]
    for output in outputs(page):
        data = output.get("data", {})
        words += [joined(output.get("text", "")), *(joined(data[kind]) for kind in data if kind.startswith("text/"))]
    assert not [found.group() for text in words if (found := PRIVATE.search(text))]
