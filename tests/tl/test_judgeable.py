"""Cross-validation refuses, before any fit, what held-out molecules cannot judge."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import scae
from scae.cli import main
from scae.errors import ConfigError, CountsError
from scae.tl._judgeable import are_totals


@pytest.fixture(autouse=True)
def _no_fit(monkeypatch):
    monkeypatch.setattr("scae.tl._fit.train", lambda *_, **__: pytest.fail("a fit was started"))


@pytest.mark.parametrize("name", ["atac", "conv", "peakvi"])
def test_models_of_presence(pbmc, name):
    pbmc.var["chromosome"], pbmc.var["start"] = "chr1", np.arange(pbmc.n_vars)
    with pytest.raises(ConfigError, match=rf"candidate '{name}' has the likelihood.*whether there are counts, not how many"):
        scae.tl.cross_validate(pbmc, ["denoiser", name])


def test_models_that_choose_their_own_genes(pbmc):
    few = replace(scae.presets.find("scdha"), n_genes=100)
    with pytest.raises(ConfigError, match="candidate 'few' chooses 100 of the 765 genes, but the counts of all of them"):
        scae.tl.cross_validate(pbmc, {"few": few})


def test_presence_and_fractions(pbmc):
    pbmc.layers["present"] = (pbmc.X > 0).astype(np.float32)
    with pytest.raises(CountsError, match="0 or 1, which is presence"):
        scae.tl.cross_validate(pbmc, ["denoiser"], layer="present")
    pbmc.layers["corrected"] = pbmc.X * 0.7
    with pytest.raises(CountsError, match=r"not whole.*except in cross_validate"):
        scae.tl.cross_validate(pbmc, scae.tl.grid("denoiser", likelihood=["quasi_nb"]), layer="corrected")


@pytest.mark.parametrize("scale", [1.0, 1e-4])
@pytest.mark.parametrize("of", ["modelled", "all"])
def test_size_factors_that_are_totals(pbmc, scale, of):
    few = np.arange(pbmc.n_vars) < 300
    total = np.asarray(pbmc.X[:, few if of == "modelled" else slice(None)].sum(1)).ravel()
    pbmc.obs["total"] = np.maximum(total, 1) * scale
    with pytest.raises(ConfigError, match="size_factor is 'total', which is each cell's total count"):
        scae.tl.cross_validate(pbmc, ["denoiser"], size_factor="total", mask_var=few)


def test_size_factors_measured_otherwise_are_not_totals(rng):
    """Also where the measure is perfect, or all cells have the same total."""
    depth = rng.lognormal(7, 0.4, 500)
    totals = rng.poisson(depth).astype(float)
    assert are_totals(totals, totals)
    assert are_totals(3 * totals, totals)
    assert not are_totals(depth, totals)
    assert not are_totals(rng.poisson(depth / 10).astype(float) + 1, totals)
    assert not are_totals(np.ones(500), np.full(500, 1000.0))
    assert not are_totals(np.ones(2), np.ones(2))


def test_the_command_line_says_the_same(pbmc, tmp_path, capsys):
    pbmc.obs["total"] = np.asarray(pbmc.X.sum(1)).ravel()
    pbmc.write_h5ad(tmp_path / "a.h5ad")
    assert main(["select", str(tmp_path / "a.h5ad"), "--presets", "atac"]) == 2
    assert "candidate 'atac'" in capsys.readouterr().err
    assert main(["select", str(tmp_path / "a.h5ad"), "--size-factor", "total"]) == 2
    assert "size_factor is 'total'" in capsys.readouterr().err
