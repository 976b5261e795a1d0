"""The README tells the truth: its first Python block runs, and its table of parts is the catalogue's."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from scae import model, parts, presets  # noqa: F401 (enter the parts in the catalogue)

README = (Path(__file__).parents[1] / "README.md").read_text()
KINDS = ("corruption", "transform", "network", "bottleneck", "prior", "likelihood")


def test_first_block_runs(tmp_path, monkeypatch):
    block = re.search(r"```python\n(.*?)```", README, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    seen: dict = {}
    exec(compile(block[1], "README.md", "exec"), seen)
    adata = seen["adata"]
    assert adata.obsm["X_scae"].shape[0] == adata.layers["denoised"].shape[0] == 700
    assert (tmp_path / "model.scae").is_file()


@pytest.mark.parametrize("kind", KINDS)
def test_table_lists_every_part(kind):
    row = re.search(rf"^\| {kind} \| (.*?) \|$", README, re.MULTILINE)
    assert set(re.findall(r"`(\w+)`", row[1])) == set(parts.names(kind))


def test_every_preset_is_named():
    assert all(f"`{name}`" in README for name in presets.names())
