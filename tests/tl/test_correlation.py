"""Correlations of draws, and their p-values from permuted genes."""

from __future__ import annotations

import anndata
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from anndata import AnnData
from helpers import QUICK, SHARED
from scipy import stats

import scae
from scae.errors import ConfigError, CountsError, MissingKeyError
from scae.infer import denoised
from scae.tl._correlation import p_values, pearson
from scae.tl._decoys import permuted

GENES = ["CD3D", "LYZ", "CD3E", "NKG7"]
FEW = {"n_samples": 2, "n_permuted": 4, "plan": QUICK, "device": "cpu"}


def test_pearson_is_numpys(rng):
    x = rng.normal(2, 1, (700, 5)) @ rng.normal(size=(5, 6))
    r = pearson(x[i : i + 256] for i in range(0, 700, 256))
    np.testing.assert_allclose(r, np.corrcoef(x.T), atol=1e-12)
    assert np.array_equal(r, r.T)
    np.testing.assert_allclose(np.diag(r), 1)
    still = pearson([np.hstack([x, np.full((700, 1), 0.3)])])
    np.testing.assert_allclose(still[:6, :6], r, atol=1e-12)
    assert not still[6].any()


def slowly(r: np.ndarray, pairs: list, k: int) -> np.ndarray:
    """The definition: the smaller of the two distances, of the pair and of each pair of a gene and a copy."""
    n = len(r) // k - 1

    def at(i, c):
        return k + n * i + np.asarray(c)

    def distance(value, null):
        return abs(value - np.mean(null)) / (np.std(null, ddof=1) * np.sqrt(1 + 1 / len(null)))

    seen, null, every = [], [], np.arange(n)
    for a, b in pairs:
        seen.append(min(distance(r[a, b], r[a, at(b, every)]), distance(r[a, b], r[b, at(a, every)])))
        for one, two in ((a, b), (b, a)):
            for c in range(n):
                value, others = r[one, at(two, c)], np.delete(every, c)
                null.append(min(distance(value, r[one, at(two, others)]), distance(value, r[at(two, c), at(one, every)])))
    return np.array([(1 + sum(v >= s for v in null)) / (1 + len(null)) for s in seen])


def test_p_is_the_share_of_null_pairs_that_are_as_far_from_the_null(rng):
    x = rng.normal(size=(60, 3 * 6))
    x[:, 1] += x[:, 0]
    pairs = [(0, 1), (2, 0), (1, 2)]
    p = p_values(np.corrcoef(x.T), pairs, 3)
    np.testing.assert_allclose(p, slowly(np.corrcoef(x.T), pairs, 3), rtol=1e-12)
    assert p[0] == 1 / 31
    assert np.array_equal(p, p_values(np.corrcoef(x.T), [(b, a) for a, b in pairs], 3))


def test_p_is_uniform_where_nothing_is_related(rng):
    found = np.concatenate([p_values(np.corrcoef(rng.normal(size=(50, 44)).T), [(0, 1), (2, 3)], 4) for _ in range(400)])
    assert stats.kstest(found, "uniform").statistic < 0.08
    assert np.mean(found <= 0.05) == pytest.approx(0.05, abs=0.03)


def test_one_row_per_pair_whatever_the_order(pbmc):
    before = pbmc.copy()
    table = scae.tl.correlation(pbmc, GENES, random_state=3, **FEW)
    again = scae.tl.correlation(pbmc, GENES[::-1], random_state=3, **FEW)
    assert table.columns.tolist() == ["gene_1", "gene_2", "r", "r_counts", "p", "q"]
    assert list(zip(table["gene_1"], table["gene_2"], strict=True))[:2] == [("CD3D", "LYZ"), ("CD3D", "CD3E")]
    key = [frozenset(pair) for pair in table[["gene_1", "gene_2"]].to_numpy()]
    other = [frozenset(pair) for pair in again[["gene_1", "gene_2"]].to_numpy()]
    again = again.iloc[[other.index(pair) for pair in key]]
    for name in ("r", "r_counts", "p", "q"):
        assert np.array_equal(table[name], again[name]), name
    total = np.asarray(pbmc.X.sum(1))
    logged = np.log1p(pbmc[:, GENES].X.toarray() / total * 1e4)
    np.testing.assert_allclose(table["r_counts"], np.corrcoef(logged.T)[np.triu_indices(4, 1)], atol=1e-5)
    np.testing.assert_allclose(table["q"], stats.false_discovery_control(table["p"]))
    assert table["r"].between(-1, 1).all()
    assert table["p"].between(1 / (1 + 6 * 8), 1).all()
    changed = scae.tl.correlation(pbmc, GENES, random_state=4, **FEW)
    assert (table["r"] != changed["r"]).all()
    assert (pbmc.X != before.X).nnz == 0
    pd.testing.assert_frame_equal(pbmc.obs, before.obs)
    assert (list(pbmc.layers), list(pbmc.uns)) == (list(before.layers), list(before.uns))


def test_a_fitted_model_is_fitted_anew_with_its_settings(pbmc, model):
    expected = scae.tl.correlation(pbmc, GENES, model.spec, batch_key="batch", **FEW)
    options = {name: value for name, value in FEW.items() if name != "plan"}
    pd.testing.assert_frame_equal(scae.tl.correlation(pbmc, GENES, model, **options), expected)
    with pytest.raises(ConfigError, match="batch_key, plan cannot be changed"):
        scae.tl.correlation(pbmc, GENES, model, batch_key="batch", plan=QUICK)


def test_genes_beside_the_mask_are_modelled(pbmc):
    pbmc.var["highly_variable"] = np.arange(pbmc.n_vars) < 50
    assert not pbmc.var["highly_variable"][GENES].all()
    assert scae.tl.correlation(pbmc, GENES, **FEW)["r"].notna().all()


@pytest.mark.parametrize(
    ("genes", "options", "error", "said"),
    [
        (["CD3D"], {}, ConfigError, "at least two genes"),
        (["CD3D", "CD3D"], {}, ConfigError, "repeats 'CD3D'"),
        (["CD3D", "CD3"], {}, MissingKeyError, "unknown gene 'CD3'"),
        (GENES, {"n_samples": 0}, ConfigError, "n_samples is 0"),
        (GENES, {"n_permuted": 2}, ConfigError, "n_permuted 2; allowed"),
        (GENES, {"n_permuted": True}, ConfigError, "n_permuted True"),
        (GENES, {"model": "atac"}, ConfigError, "not a distribution of molecules"),
        (GENES, {"model": "denoizer"}, MissingKeyError, "did you mean 'denoiser'"),
        (GENES, {"layer": "count"}, MissingKeyError, "did you mean 'counts'"),
        (GENES, {"epochs": 3}, TypeError, "belongs to the training plan"),
        (["CD3D", "none"], {}, CountsError, "genes without counts: 'none'"),
    ],
)
def test_what_is_not_allowed(genes, options, error, said, pbmc, monkeypatch):
    monkeypatch.setattr("scae.tl._fit.train", lambda *_, **__: pytest.fail("a fit was started"))
    pbmc.var_names = [*pbmc.var_names[:-1], "none"]
    pbmc.X = pbmc.X.multiply(np.arange(pbmc.n_vars) < pbmc.n_vars - 1).tocsr()
    with pytest.raises(error) as fault:
        scae.tl.correlation(pbmc, genes, **options)
    assert said in str(fault.value)


def blood(genes: list[str], n_top: int = 400) -> AnnData:
    """Every cell of pbmc3k, its most variable genes and the given ones."""
    adata = anndata.read_h5ad(SHARED / "pbmc3k.h5ad")
    table = scae.pp.highly_variable_genes(adata, flavor="seurat_v3", n_top_genes=n_top, lone_spikes="drop", inplace=False)
    return AnnData(adata.X, obs=adata.obs[[]], var=adata.var[[]])[
        :, table["highly_variable"] | adata.var_names.isin(genes)
    ].copy()


@pytest.mark.slow
@pytest.mark.shared
def test_unrelated_genes_have_uniform_p_and_markers_small_ones(rng):
    """The null in earnest: genes that are permuted before the verb sees them, beside pairs that are known to be related."""
    known = [("CD3D", "CD3E"), ("CD79A", "MS4A1"), ("LYZ", "CST3"), ("NKG7", "GNLY")]
    markers = [gene for pair in known for gene in pair]
    adata = blood(markers)
    x = sp.csr_matrix(adata.X)
    places = rng.choice(np.flatnonzero(np.asarray(x.sum(0)).ravel() > 100), 8, replace=False)
    noise = sp.csr_matrix(np.hstack([permuted(x, int(i), 1, rng) for i in places]))
    names = [f"noise {i}" for i in range(8)]
    both = AnnData(sp.hstack([x, noise], format="csr"), var=pd.DataFrame(index=[*adata.var_names, *names]))
    table = scae.tl.correlation(both, [*markers, *names], n_samples=5, n_permuted=10)
    of_noise = table["gene_2"].isin(names)
    related = table.set_index(["gene_1", "gene_2"]).loc[known]
    assert (related["q"] < 0.01).all()
    assert (related["r"] > 0.3).all()
    assert (table["q"][of_noise] < 0.05).mean() < 0.12
    assert stats.kstest(table["p"][of_noise], "uniform").statistic < 0.25
    model = scae.tl.fit(both)  # the same genes in the expected counts are correlated far more than in the draws
    source = scae.tl._fit.fitted(both, model, {})[1]
    log_rate = np.concatenate([np.log1p(block[:, -8:]) for _, block in denoised(model, source, kind="rate")])
    invented = np.abs(np.corrcoef(log_rate.T)[np.triu_indices(8, 1)])
    drawn = np.abs(table["r"][table["gene_1"].isin(names)])
    assert np.median(invented) > 2 * np.median(drawn)
