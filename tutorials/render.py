"""Run the tutorials and store their outputs: each ``.py`` (jupytext py:percent) becomes the ``.ipynb`` next to it.

``python tutorials/render.py [01 …]``; without arguments, all of them. A page is not written if it fails, warns or shows a path of
this machine.
"""

from __future__ import annotations

import re
import sys
import time
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient

HERE = Path(__file__).parent
MOST = 1_000_000  # largest size of a page, in bytes
PRIVATE = re.compile(r"/(?:home|root|tmp|work|usr|opt|Users)/\S*")


def rendered(script: Path) -> nbformat.NotebookNode:
    """The executed page, with numbered cells and without timings."""
    page = jupytext.read(script)
    page.metadata = {"jupytext": {"formats": "ipynb,py:percent"}, "kernelspec": page.metadata["kernelspec"]}
    NotebookClient(page, timeout=900, record_timing=False, resources={"metadata": {"path": str(HERE)}}).execute()
    page.metadata.pop("language_info", None)
    for number, cell in enumerate(page.cells):
        cell.id, cell.metadata = f"cell-{number:02}", {}
        for output in cell.get("outputs", ()):
            output.get("metadata", {}).clear()
    return page


def faults(page: nbformat.NotebookNode) -> list[str]:
    """Problems in the outputs: warnings, paths of this machine, a file that is too large."""
    found = []
    for cell in page.cells:
        for output in cell.get("outputs", ()):
            text = str(output.get("text", "")) + str(output.get("data", {}).get("text/plain", ""))
            if output.get("name") == "stderr" or PRIVATE.search(text):
                found.append(f"{cell.id}: {text[:500]}")
    if len(nbformat.writes(page)) > MOST:
        found.append(f"{len(nbformat.writes(page)):,} bytes; allowed: {MOST:,}")
    return found


def main() -> int:
    """Render the named pages; the exit code is the number of pages that were not written."""
    wrong = 0
    for script in sorted(HERE.glob("[0-9]*.py")):
        if len(sys.argv) > 1 and script.name[:2] not in sys.argv[1:]:
            continue
        start = time.perf_counter()
        page = rendered(script)
        bad = faults(page)
        wrong += bool(bad)
        if not bad:
            nbformat.write(page, script.with_suffix(".ipynb"))
        print(f"{script.stem}: {time.perf_counter() - start:.0f} s", *bad, sep="\n  ")
    return wrong


if __name__ == "__main__":
    sys.exit(main())
