"""scae check of files."""

from __future__ import annotations

from scae.cli import main


def test_truncated_file(h5ad, tmp_path, capsys):
    half = tmp_path / "half.h5ad"
    half.write_bytes(h5ad.read_bytes()[:3000])
    assert main(["check", str(half)]) == 5
    assert "whole h5ad" in capsys.readouterr().err
