"""Two genes before and after denoising, and the null distribution."""

from __future__ import annotations

import numpy as np

import scae

from .artists import points


def test_denoising_draws_the_genes_and_the_null(pbmc, model):
    scae.tl.denoise(pbmc, model)
    axes = scae.pl.denoising(pbmc, "CD3D", "LYZ", model, n_permutations=3, show=False)
    total = pbmc.X.toarray().sum(1, keepdims=True)
    raw = np.log1p(pbmc[:, ["CD3D", "LYZ"]].X.toarray() / total * 1e4)
    np.testing.assert_allclose(points(axes[0]), raw, rtol=1e-5)
    clean = np.log1p(pbmc[:, ["CD3D", "LYZ"]].layers["denoised"] / total * 1e4)
    np.testing.assert_allclose(points(axes[1]), clean, rtol=1e-3)
    for panel in axes[:3]:
        assert f"r = {np.corrcoef(points(panel).T)[0, 1]:.2f}" in panel.get_title(loc="left")
    assert sum(bar.get_height() for bar in axes[3].patches) == 9
    drawn = [line.get_xdata()[0] for line in axes[3].lines]
    np.testing.assert_allclose(drawn, [np.corrcoef(points(axes[i]).T)[0, 1] for i in (0, 1)], rtol=1e-6)
    assert "batch" in pbmc.obs
    assert list(pbmc.layers) == ["counts", "denoised"]
    again = scae.pl.denoising(pbmc, "CD3D", "LYZ", model, n_permutations=3, show=False)
    assert np.array_equal(points(again[2]), points(axes[2]))


def test_permuted_genes_are_denoised_as_the_layer_was(pbmc, model):
    """With the posterior, the copies keep a part of their own counts, so that fewer of their correlations are invented."""
    scae.tl.denoise(pbmc, model)
    scae.tl.denoise(pbmc, model, kind="posterior", key_added="cell")
    mean = scae.pl.denoising(pbmc, "CD3D", "LYZ", model, n_permutations=3, show=False)
    cell = scae.pl.denoising(pbmc, "CD3D", "LYZ", model, layer="cell", n_permutations=3, show=False)
    assert np.array_equal(points(mean[0]), points(cell[0]))
    assert points(cell[2]).var(0).min() > points(mean[2]).var(0).max()
