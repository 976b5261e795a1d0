"""Correlations of genes, tested against permuted genes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import combinations
from numbers import Integral
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData
from numpy.typing import NDArray
from scipy.stats import false_discovery_control

from ..checks import gene_mask, require_anndata
from ..errors import ConfigError, CountsError, unknown
from ..infer import CP10K, denoised
from ..keys import KEYWORDS, DataKeys, DataSpec, spelled_out
from ..model import Autoencoder
from ..source import CountMatrix
from ._decoys import with_copies
from ._denoise import listed
from ._fit import TRAINING, FitOptions, Model, preset_of, refuse_gene_selection
from ._inputs import prepare, verify

_REFIT = (
    "layer",
    "device",
    "random_state",
    "checkpoint",
    "progress",
)  # keywords allowed beside a fitted model, which is fitted anew


@spelled_out(KEYWORDS | TRAINING)
def correlation(
    adata: AnnData,
    genes: Sequence[str],
    model: Model = "denoiser",
    *,
    n_samples: int = 20,
    n_permuted: int = 20,
    **keywords: Any,
) -> pd.DataFrame:
    """Correlate genes under a model, and test each pair against permuted genes, whose correlations the model has invented.

    Denoised layers are not for co-expression. A denoiser predicts each gene from few latent dimensions, so that denoised genes
    are correlated even if they are unrelated: on our data r of permuted genes is typically ±0.1, and up to 0.5. Here r is that of
    draws from the posterior predictive distribution, which vary as the counts do: what genes share through the latent is
    correlated, the noise around it is not. It is Pearson's r of log1p(CP10k), averaged over draws.

    For the null distribution the model is fitted to all genes and to ``n_permuted`` copies of each of ``genes``. A copy is
    permuted over the cells (of a batch, with ``batch_key``) and brought to their depths, so it is unrelated to all genes. The
    model has to be fitted anew because a fitted one has no weights for the copies. A pair is compared with the first gene and
    the copies of the second, and with the copies of the first and the second gene; the test statistic is the smaller of the two
    distances from the mean, in standard deviations. Each pair of a gene and a copy gets the same statistic, and p is the share
    of those that are at least as large, over all pairs.

    A small p says that the genes are related, not how: two markers of one cell type are. Leave other cell types out to see more.

    Parameters
    ----------
    adata : AnnData
        Cells × genes, raw counts. Nothing is written.
    genes : sequence of str
        Genes to correlate, at least two; they are modelled even if ``mask_var`` does not choose them.
    model : str, Preset, ModelSpec or Autoencoder
        As in :func:`scae.tl.fit`. A fitted model is fitted anew with its settings, and takes no other keyword below than
        ``layer``, ``device``, ``random_state`` and ``checkpoint``.
    n_samples : int
        Number of draws over which r is averaged.
    n_permuted : int
        Number of permuted copies of each gene, at least 3. The smallest p is 1 / (1 + 2 · ``n_permuted`` · pairs), so few genes
        need many copies.
    %(keywords)s

    Returns
    -------
    pandas.DataFrame
        One row per pair, in the order of ``genes``: ``gene_1``, ``gene_2``; ``r``, from -1 to 1; ``r_counts``, that of the counts
        themselves; ``p``; and ``q``, p adjusted for the number of pairs (false discovery rate).

    Raises
    ------
    ConfigError
        If there are fewer than two genes or one is repeated, an option is not allowed, the likelihood is not one of molecules,
        or the model chooses its own genes.
    MissingKeyError
        If a gene is unknown.
    CountsError
        If a gene has no counts.
    ScaeError
        See :func:`scae.tl.fit`.

    References
    ----------
    Andrews and Hemberg (2018), F1000Research 7:1740, doi:10.12688/f1000research.16613 (correlations that imputation invents).
    Benjamini and Hochberg (1995), Journal of the Royal Statistical Society B 57:289 (q).

    Examples
    --------
    >>> adata = scae.datasets.pbmc68k_reduced()
    >>> plan = scae.TrainPlan(min_steps=20, epochs=1)
    >>> table = scae.tl.correlation(adata, ["CD3D", "CD3E", "LYZ"], n_samples=2, plan=plan)
    >>> table[["gene_1", "gene_2"]].to_numpy().tolist()
    [['CD3D', 'CD3E'], ['CD3D', 'LYZ'], ['CD3E', 'LYZ']]
    """
    names = _checked(adata, genes, n_samples, n_permuted)
    options, preset = _options(model, keywords), preset_of(model)
    preset.spec.likelihood.require_molecules("correlation draws counts")
    data, source, order = _inputs(adata, model, options.keys, names, "order" in preset.spec.needs)
    total = data.n_genes + n_permuted * len(names)
    refuse_gene_selection(preset, total, "the model", "but correlation needs these genes and their permuted copies")
    fitted, both = with_copies(adata, data, source, preset, order, n_permuted, options)
    columns = np.r_[[data.genes.index(gene) for gene in order], data.n_genes : total]
    exposure = both.library / (both.value.sum(dtype=np.float64) / source.value.sum(dtype=np.float64))
    r = _correlations(fitted, both, columns, exposure, n_samples, int(options.random_state))
    counts = sp.csr_matrix((both.value, both.gene, both.indptr), (len(both), both.n_genes))[:, columns[: len(order)]]
    seen = pearson([np.log1p(counts.toarray() / exposure * CP10K)])
    pairs = [(order.index(a), order.index(b)) for a, b in combinations(names, 2)]
    p = p_values(r, pairs, len(order))
    one, two = np.array(pairs).T
    table = {"r": r[one, two], "r_counts": seen[one, two], "p": p, "q": false_discovery_control(p)}
    return pd.DataFrame(combinations(names, 2), columns=["gene_1", "gene_2"]).assign(**table)


def _checked(adata: AnnData, genes: Sequence[str], n_samples: int, n_permuted: int) -> list[str]:
    """The genes as a list, after a check of what needs no fit."""
    whole = all(isinstance(n, Integral) and not isinstance(n, bool) for n in (n_samples, n_permuted))
    if not whole or n_samples < 1 or n_permuted < 3:
        values = f"n_samples is {n_samples!r}, n_permuted {n_permuted!r}"
        raise ConfigError(f"{values}; allowed: whole numbers, n_samples of at least 1 and n_permuted of at least 3.")
    require_anndata(adata)
    names = listed(genes)
    if len(names) < 2:
        raise ConfigError(f"genes is {names[0]!r} alone; allowed: at least two genes to correlate.")
    known = set(adata.var_names.astype(str))
    for name in names:
        if name not in known:
            raise unknown("gene", name, adata.var_names)
    return names


def _options(model: Model, keywords: dict[str, Any]) -> FitOptions:
    """The options of the fit; those of a fitted model, where one is given."""
    options = FitOptions.read(keywords)
    if not isinstance(model, Autoencoder):
        return options
    refused = sorted(set(keywords) - set(_REFIT))
    if refused:
        raise ConfigError(
            f"the model is fitted anew with the options of its fit: {', '.join(refused)} cannot be changed. "
            f"Allowed: {', '.join(_REFIT)}."
        )
    layer = model.data.keys.layer if options.keys.layer is None else options.keys.layer
    return replace(options, keys=replace(model.data.keys, layer=layer))


def _inputs(
    adata: AnnData, model: Model, keys: DataKeys, names: list[str], ordered: bool
) -> tuple[DataSpec, CountMatrix, tuple[str, ...]]:
    """The modelled genes, the given ones among them, and their counts; and the given genes in the order of the model."""
    keys, x = verify(adata, keys, remembered=isinstance(model, Autoencoder) and keys.layer == model.data.keys.layer)
    every = adata.var_names.astype(str)
    mask = every.isin(model.data.genes) if isinstance(model, Autoencoder) else gene_mask(adata, keys.mask_var)
    data, source = prepare(adata, x, replace(keys, mask_var=tuple((mask | every.isin(names)).tolist())), ordered=ordered)
    order = tuple(gene for gene in data.genes if gene in set(names))
    total = np.bincount(source.gene, minlength=data.n_genes)
    empty = [gene for gene in order if total[data.genes.index(gene)] == 0]
    if empty:
        raise CountsError(
            f"genes without counts: {', '.join(map(repr, empty[:5]))}. They correlate with nothing: leave them out."
        )
    return data, source, order


def pearson(blocks: Iterable[NDArray]) -> NDArray[np.float64]:
    """Pearson's r of the columns of a matrix that comes as blocks of rows; 0 for a column that does not vary."""
    n, total, products = 0, np.zeros(()), np.zeros(())
    for block in blocks:
        values = block.astype(np.float64)
        n, total, products = n + len(values), total + values.sum(0), products + values.T @ values
    mean = total / n
    covariance = products / n - np.outer(mean, mean)
    sd = np.sqrt(np.maximum(np.diag(covariance), 0))
    varies = sd > 1e-7 * np.maximum(mean, 1e-7)
    scale = np.where(varies, sd, np.inf)
    r = np.clip(covariance / np.outer(scale, scale), -1, 1)
    np.fill_diagonal(r, varies)
    return r


def _correlations(
    model: Autoencoder, source: CountMatrix, columns: NDArray[np.int64], exposure: NDArray, n_samples: int, seed: int
) -> NDArray[np.float64]:
    """Pearson's r of log1p(CP10k) of some genes, averaged over draws of all cells."""
    total = np.zeros((columns.size, columns.size))
    for one in np.random.SeedSequence(seed).generate_state(n_samples):
        drawn = denoised(model, source, kind="sample", seed=int(one))
        total += pearson(np.log1p(block[:, columns] / exposure[rows] * CP10K) for rows, block in drawn)
    return total / n_samples


def p_values(r: NDArray[np.float64], pairs: Sequence[tuple[int, int]], n_genes: int) -> NDArray[np.float64]:
    """Two-sided p of each pair of genes.

    Parameters
    ----------
    r
        Correlations of ``n_genes`` genes, followed by the same number of permuted copies of each, gene by gene.
    pairs
        Positions of two genes each.
    n_genes
        Number of genes.
    """
    n = r.shape[0] // n_genes - 1
    copies = [n_genes + n * gene + np.arange(n) for gene in range(n_genes)]
    seen, null = [], []
    for a, b in pairs:
        left, right, both = r[a, copies[b]], r[copies[a], b], r[np.ix_(copies[a], copies[b])]
        seen.append(min(abs(_distance(r[a, b], left)), abs(_distance(r[a, b], right))))
        null.append(np.minimum(np.abs(_from_the_others(left)), np.abs(_distance(left, both))))
        null.append(np.minimum(np.abs(_from_the_others(right)), np.abs(_distance(right, both.T))))
    ordered = np.sort(np.concatenate(null))
    least = np.searchsorted(ordered, np.array(seen) * (1 - 1e-12))
    return (1 + ordered.size - least) / (1 + ordered.size)


def _distance(value: Any, null: NDArray[np.float64]) -> Any:
    """Distance from the mean of a null distribution (of each column), in standard deviations of a further value from it."""
    sd = null.std(0, ddof=1) * np.sqrt(1 + 1 / len(null))
    return np.divide(value - null.mean(0), sd, out=np.zeros_like(sd), where=sd > 0)


def _from_the_others(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """:func:`_distance` of each value from all others."""
    off, n = values - values.mean(), values.size
    others = np.maximum((off**2).sum() - off**2 * n / (n - 1), 0)  # sum of squares of the others around their own mean
    sd = np.sqrt(others / (n - 2) * n / (n - 1))
    return np.divide(off * n / (n - 1), sd, out=np.zeros_like(sd), where=sd > 0)
