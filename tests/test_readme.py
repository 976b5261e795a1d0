"""The README tells the truth: its first Python block runs, and its table of parts is the catalogue's."""

from __future__ import annotations

import re
import shlex

import pytest
from helpers import ROOT, real_counts

from scae import model, parts, presets  # noqa: F401 (enter the parts in the catalogue)
from scae.cli import main

README = (ROOT / "README.md").read_text()
KINDS = ("corruption", "transform", "network", "bottleneck", "prior", "likelihood")


BLOCKS = {language: re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL) for language in ("python", "sh")}
SHORT = {"fit": ("--max-steps", "12"), "select": ("--max-steps", "12", "--splits", "2")}


def test_python_blocks_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(parts, "_catalogue", {kind: dict(known) for kind, known in parts._catalogue.items()})
    seen: dict = {}
    for block in BLOCKS["python"]:
        exec(compile(block, "README.md", "exec"), seen)
    adata = seen["adata"]
    assert adata.obsm["X_scae"].shape[0] == adata.layers["denoised"].shape[0] == 700
    assert adata.obsm["X_mine"].shape == (700, 10)
    assert (tmp_path / "model.scae").is_file()


def test_shell_block_runs(tmp_path, monkeypatch):
    """Every line as it stands; fits are cut short."""
    monkeypatch.chdir(tmp_path)
    cells = real_counts()
    cells.write_h5ad("counts.h5ad")
    block = next(b for b in BLOCKS["sh"] if "scae fit" in b)
    for line in block.splitlines():
        words = shlex.split(line, comments=True)
        assert words[0] == "scae"
        assert main([*words[1:], *SHORT.get(words[1], ())]) == 0, line
    assert {"ready.h5ad", "model.scae", "chosen.json", "out.h5ad"} <= {path.name for path in tmp_path.iterdir()}


def test_links_lead_somewhere():
    targets = re.findall(r"\]\(([^)#]+)\)", README)
    assert targets
    assert [t for t in targets if "://" not in t and not (ROOT / t).exists()] == []


@pytest.mark.parametrize("kind", KINDS)
def test_table_lists_every_part(kind):
    row = re.search(rf"^\| {kind} \| (.*?) \|$", README, re.MULTILINE)
    assert set(re.findall(r"`(\w+)`", row[1])) == set(parts.names(kind))


def test_every_preset_is_named():
    assert all(f"`{name}`" in README for name in presets.names())
