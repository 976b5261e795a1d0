"""The latent that is written, and what can be done with it."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from helpers import QUICK, ROOT, same_weights

import scae


def test_embed_fits_then_applies(pbmc):
    fitted = scae.tl.fit(pbmc, plan=QUICK, random_state=3)
    embedded = scae.tl.embed(pbmc, plan=QUICK, random_state=3)
    assert same_weights(fitted, embedded)
    first = pbmc.obsm["X_scae"]
    scae.tl.embed(pbmc, fitted, key_added="again", with_sd=True)
    assert pbmc.obsm["again"].tobytes() == first.tobytes()
    assert (pbmc.obsm["again_sd"] > 0).all()
    assert fitted.fitted["random_state"] == 3


def test_cells_without_counts_are_warned_of_and_finite(pbmc, model):
    pbmc.X[3] = 0
    with pytest.warns(UserWarning, match="cells without counts: 1"):
        scae.tl.embed(pbmc, model)
    assert np.isfinite(pbmc.obsm["X_scae"]).all()


def test_scanpy_goes_on_from_here(pbmc, model):
    import scanpy as sc

    scae.tl.embed(pbmc, model)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        sc.pp.neighbors(pbmc, use_rep="X_scae", n_neighbors=10)
        sc.tl.leiden(pbmc, flavor="igraph", n_iterations=2, directed=False)
        sc.tl.umap(pbmc, maxiter=20)
    assert [str(w.message) for w in caught if str(ROOT / "scae") in str(w.filename) or "X_scae" in str(w.message)] == []
    assert pbmc.obsm["X_umap"].shape == (pbmc.n_obs, 2)
    assert pbmc.obs["leiden"].nunique() > 1
