"""Observed zeros against expected zeros."""

from __future__ import annotations

import numpy as np
import pytest
from anndata import AnnData
from helpers import QUICK, counts_like

import scae
from scae.errors import ConfigError
from scae.infer import expected
from scae.tl._fit import fitted

from .artists import points


def test_zeros_draws_expected_against_observed(pbmc, model):
    panel = scae.pl.zeros(pbmc, model, n_labels=2, show=False)
    says = expected(model, fitted(pbmc, model, {})[1]).zeros
    observed = (pbmc.X.toarray() == 0).mean(0)
    np.testing.assert_allclose(points(panel), np.stack([says, observed], 1), atol=1e-9)
    assert f"{np.abs(says - observed).mean():.4f}" in panel.get_title(loc="left")
    worst = np.argsort(-np.abs(says - observed))[:2]
    assert {text.get_text() for text in panel.texts} == set(pbmc.var_names[worst])
    for name in ("bernoulli", "gaussian", "multinomial"):
        spec = scae.ModelSpec(likelihood=scae.parts.find("likelihood", name)())
        with pytest.raises(ConfigError, match="not one of counts"):
            scae.pl.zeros(pbmc, scae.tl.fit(pbmc, spec, plan=QUICK))


def test_counts_need_not_be_in_x():
    adata = AnnData(counts_like(np.random.default_rng(0), 60, 30))
    small = scae.tl.fit(adata, plan=QUICK)
    moved = AnnData(np.log1p(adata.X), layers={"counts": adata.X})
    one, two = scae.pl.zeros(adata, small, show=False), scae.pl.zeros(moved, small, layer="counts", show=False)
    assert np.array_equal(points(one), points(two))
