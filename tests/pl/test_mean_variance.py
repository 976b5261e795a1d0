"""Points are the genes' moments, curves those of the fitted model."""

from __future__ import annotations

import numpy as np

import scae

from .artists import points


def test_mean_variance_draws_the_genes_and_the_curves(pbmc, model):
    panel = scae.pl.mean_variance(pbmc, model, show=False)
    dense = pbmc.X.toarray().astype(float)
    seen = dense.var(0) > 0
    np.testing.assert_allclose(points(panel), np.stack([dense.mean(0), dense.var(0)], 1)[seen], rtol=1e-6)
    lines = {line.get_label(): line.get_xydata() for line in panel.lines}
    assert np.array_equal(lines["Poisson"][:, 0], lines["Poisson"][:, 1])
    assert (lines["fitted noise"][:, 1] >= 0.99 * lines["fitted noise"][:, 0]).all()
    assert (lines["fitted noise and differences between cells"][:, 1] >= lines["fitted noise"][:, 1]).all()
    assert panel.get_xscale() == panel.get_yscale() == "log"
    assert [text.get_text() for text in panel.get_legend().get_texts()] == ["genes", *lines]
