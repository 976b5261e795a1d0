"""Places on the genome, from columns or from names; what has none is refused by name."""

from __future__ import annotations

import anndata
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from helpers import QUICK, SHARED, counts_like

import scae
from scae.errors import MissingKeyError
from scae.networks import Conv1d
from scae.tl._coordinates import genome_order

PLACES = [("chr10", 900), ("chr2", 50), ("chrX", 7), ("chr2", 9), ("chr10", 1000), ("GL000194.1", 3), ("chrM", 1)]
ORDER, BREAKS = (5, 3, 1, 0, 4, 6, 2), (1, 3, 5, 6)


@pytest.mark.parametrize("mark", [":", "-"])
def test_order_from_names(mark):
    names = [f"{chromosome}{mark}{start}-{start + 5}" for chromosome, start in PLACES]
    assert genome_order(pd.DataFrame(index=names)) == (ORDER, BREAKS)


@pytest.mark.parametrize("form", [list, pd.Categorical])
@pytest.mark.parametrize("number", [int, float, str])
def test_order_from_columns(form, number):
    columns = {"chromosome": form([c for c, _ in PLACES]), "start": [number(s) for _, s in PLACES]}
    assert genome_order(pd.DataFrame(columns, index=[f"peak_{i}" for i in range(7)])) == (ORDER, BREAKS)


def test_columns_come_before_names():
    var = pd.DataFrame({"chromosome": ["chr1", "chr1"], "start": [5, 2]}, index=["chr1:1-2", "chr1:3-4"])
    assert genome_order(var) == ((1, 0), ())


def test_features_without_a_place_are_refused():
    with pytest.raises(MissingKeyError) as fault:
        genome_order(pd.DataFrame({"start": [1, 2]}, index=["chr1:1-2", "HES4"]))
    for words in ("'chromosome' and 'start'", "there are: 'start'", "chr1:100-200", "chr1-100-200", "1 of 2", "'HES4'"):
        assert words in str(fault.value)
    with pytest.raises(MissingKeyError, match=r"1 of 2 features have no place.*'b'.*mask_var"):
        genome_order(pd.DataFrame({"chromosome": ["1", "1"], "start": [4, np.nan]}, index=["a", "b"]))


def peaks(cells: int = 60, n: int = 50) -> anndata.AnnData:
    """Made-up peaks, not in order, on three chromosomes."""
    rng = np.random.default_rng(0)
    names = [f"chr{rng.integers(1, 4)}:{start}-{start + 500}" for start in rng.permutation(n) * 1000]
    return anndata.AnnData(sp.csr_matrix(counts_like(rng, cells, n)), var=pd.DataFrame(index=names))


def test_a_fit_orders_what_it_models(tmp_path):
    """Masked features have no place on the axis; a file keeps the order; a query in another order gets the same code."""
    adata = peaks()
    mask = np.arange(adata.n_vars) % 5 > 0
    model = scae.tl.embed(adata, "conv", plan=QUICK, mask_var=mask)
    names = adata.var_names[mask]
    assert (model.data.order, model.data.breaks) == genome_order(adata.var[mask])
    assert sorted(model.data.order) == list(range(len(names)))
    model.save(tmp_path / "model.scae")
    back, shuffled = scae.load(tmp_path / "model.scae"), adata[:, np.random.default_rng(1).permutation(adata.n_vars)].copy()
    del shuffled.obsm["X_scae"]
    scae.tl.embed(shuffled, back)
    assert np.array_equal(shuffled.obsm["X_scae"], adata.obsm["X_scae"])


def test_only_a_network_that_goes_along_the_genome_asks(pbmc):
    assert scae.tl.fit(pbmc, plan=QUICK).data.order == ()
    with pytest.raises(MissingKeyError, match="'chromosome' and 'start'"):
        scae.tl.fit(pbmc, scae.ModelSpec(network=Conv1d()), plan=QUICK)


@pytest.mark.shared
def test_conv_is_trained_on_real_peaks_and_writes_back():
    """Real peaks of scATAC; the file has no coordinates, so that the test makes some up."""
    adata = anndata.read_h5ad(SHARED / "atac_forebrain.h5ad")[:300].copy()
    adata.var["chromosome"], adata.var["start"] = [f"chr{1 + i * 19 // 7674}" for i in range(7674)], np.arange(7674)
    model = scae.tl.embed(adata, "conv", plan=QUICK)
    assert adata.obsm["X_scae"].shape == (300, 24)
    assert np.isfinite(adata.obsm["X_scae"]).all()
    history = model.fitted["history"]["rows"]
    assert len(model.data.breaks) == 18
    assert all(np.isfinite(row["loss"]) for row in history)
    scae.tl.denoise(adata, model, genes=list(adata.var_names[:5]))
