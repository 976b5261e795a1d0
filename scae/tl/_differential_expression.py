"""Genes whose rates differ between groups of cells."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData
from numpy.typing import NDArray
from scipy.stats import false_discovery_control

from ..checks import gene_mask, require_anndata
from ..errors import ConfigError, unknown
from ..keys import KEYWORDS, DataKeys, read_keys, spelled_out
from ..written import record
from ._contrasts import Contrast, contrast, sums
from ._inputs import verify
from ._shrinkage import shrink
from ._unseen import unseen_groups
from ._writing import check_slots

_KEYS = {name: KEYWORDS[name] for name in ("layer", "batch_key", "categorical_covariates", "size_factor", "mask_var")}
_FIELDS = {"names": "O", "scores": "float32", "logfoldchanges": "float32", "pvals": "float64", "pvals_adj": "float64"}
Codes = NDArray[np.int64]


@spelled_out(_KEYS)
def differential_expression(
    adata: AnnData,
    groupby: str,
    *,
    groups: str | Sequence[str] = "all",
    reference: str = "rest",
    from_counts: bool = True,
    key_added: str = "rank_genes_groups",
    overwrite: bool = False,
    random_state: int = 0,
    **keywords: Any,
) -> pd.DataFrame:
    """Rank the genes whose rates differ between groups of cells, with p-values that also hold for clusters.

    The counts are compared, not denoised values: a denoiser predicts each cell from cells like it, so denoised cells are no
    independent observations and tests on them find differences where there are none. No model is fitted.

    **Test.** A score test of a negative binomial whose mean is proportional to the library size and whose overdispersion is that
    of the gene within groups. Under the null hypothesis, the cells of a batch have one rate; batches (and other categorical
    covariates) are strata. The normal approximation is corrected for skewness, so that it holds for rare genes and small groups.

    **Clusters.** Groups that were made from these counts differ in them even if there is nothing to be found. With
    ``from_counts=True``, a fifth of the genes at a time is tested between groups that are found without them: each cell gets the
    commonest group of its nearest neighbours in the principal components of the other genes. Where the groups are real, the other
    genes tell them as well.

    **Unit of replication.** The cell: p-values are about other cells of the same donors. To generalise to other donors, sum the
    counts of each donor and test those.

    **Fold changes.** The log ratio of the rates is shrunk by a mixture of normal distributions around zero that is fitted to all
    genes (adaptive shrinkage). ``lfsr`` is the posterior probability that the sign is wrong.

    Parameters
    ----------
    adata : AnnData
        Cells × genes, raw counts.
    groupby : str
        ``obs`` column with the groups; cells with a missing value are left out.
    groups : str or sequence of str
        Groups to test, or ``"all"``.
    reference : str
        Group to compare with, or ``"rest"``: all cells of other groups.
    from_counts : bool
        Whether the groups were made from these counts, as clusters and cell types are. False for groups that are known apart from
        them, such as conditions or sorted cells.
    key_added : str
        ``uns`` key to write.
    overwrite : bool
        Replace what is there already under that name, even if scae has no record of having written it.
    random_state : int
        Seed of the fifths of the genes; not used with ``from_counts=False``.
    %(keywords)s

    Returns
    -------
    pandas.DataFrame
        One row per group and gene, by group and falling score: ``group``; ``names``; ``scores``, standard normal under the null
        hypothesis; ``logfoldchanges``, the shrunk log2 fold change, with its posterior standard deviation ``sd`` and ``lfsr``;
        ``estimate`` and ``se``, the log2 fold change before shrinkage and its standard error; ``pvals``, two-sided; and
        ``pvals_adj`` (false discovery rate of a group's genes). NaN where a gene has no counts in the cells compared. Also writes
        ``uns[key_added]`` in the layout of :func:`scanpy.tl.rank_genes_groups`, for the plots of scanpy and
        ``scanpy.get.rank_genes_groups_df``, and a record in ``uns["scae"]``.

    Raises
    ------
    ConfigError
        If an option is not allowed, a group has fewer than two cells, a group and its reference share no batch, or the place is
        taken.
    MissingKeyError
        If a column or a group is unknown.
    ScaeError
        If :func:`scae.check` finds an error.

    References
    ----------
    Robinson and Smyth (2008), Biostatistics 9:321, doi:10.1093/biostatistics/kxm030 (negative binomial tests). Mantel and Haenszel
    (1959), J. Natl. Cancer Inst. 22:719 (strata). Wilson and Hilferty (1931), PNAS 17:684 (skewness). Stephens (2017),
    Biostatistics 18:275, doi:10.1093/biostatistics/kxw041 (shrinkage, lfsr). Gao, Bien and Witten (2024), J. Am. Stat. Assoc.
    119:332, doi:10.1080/01621459.2022.2116331 (tests after clustering).

    Examples
    --------
    >>> adata = scae.datasets.pbmc68k_reduced()
    >>> table = scae.tl.differential_expression(adata, "bulk_labels", groups=["CD19+ B"])
    >>> table["names"].head(3).tolist()
    ['CD79A', 'CD79B', 'CD74']
    """
    require_anndata(adata)
    keys = _keys(groupby, keywords)
    check_slots(adata, ("uns", key_added), overwrite=overwrite)
    levels, code = _levels(adata, groupby)
    tested, against = _contrasted(levels, groups, reference, np.bincount(code[code >= 0], minlength=len(levels)))
    x = sp.csr_matrix(verify(adata, keys), dtype=np.float64)[code >= 0]
    names = adata.var_names.astype(str).to_numpy()
    chosen = np.flatnonzero(gene_mask(adata, keys.mask_var))
    stratum = _strata(adata[code >= 0], keys)
    _check_strata(code[code >= 0], stratum, tested, against, levels)
    size = _sizes(adata, keys, x, code >= 0)
    found = _all(x[:, chosen], size, code[code >= 0], stratum, (tested, against), int(random_state) if from_counts else None)
    tables = [_table(levels[one], names[chosen], result) for one, result in zip(tested, found, strict=True)]
    params = {"groupby": groupby, "reference": reference, "method": "scae", "use_raw": False, "layer": keys.layer}
    adata.uns[key_added] = {"params": params} | _layout(tables)
    how = {"groupby": groupby, "reference": reference, "from_counts": bool(from_counts), "random_state": int(random_state)}
    record(adata, f"uns[{key_added!r}]", verb="differential_expression", **how)
    return pd.concat(tables, ignore_index=True)


def _keys(groupby: str, keywords: dict[str, Any]) -> DataKeys:
    """The data keys, after a check of their names."""
    for name in keywords:
        if name not in _KEYS:
            raise TypeError(f"unexpected keyword argument {name!r}; the data keys here are {', '.join(_KEYS)}.")
    keys = read_keys(keywords)
    if groupby in keys.categorical:
        raise ConfigError(f"groupby is {groupby!r}, which is also a batch or covariate; allowed: a column that is compared within them.")
    return keys


def _levels(adata: AnnData, groupby: str) -> tuple[list[str], Codes]:
    """Names of the groups, and the code of each cell; −1 where there is none."""
    if groupby not in adata.obs:
        raise unknown("obs column", groupby, adata.obs.columns)
    column = adata.obs[groupby].astype("category").cat.remove_unused_categories()
    return [str(level) for level in column.cat.categories], column.cat.codes.to_numpy(np.int64)


def _contrasted(
    levels: list[str], groups: str | Sequence[str], reference: str, n: NDArray[np.int64]
) -> tuple[list[int], list[Codes]]:
    """Codes of the groups to test, and of those with which each is compared."""
    chosen = levels if isinstance(groups, str) and groups == "all" else [groups] if isinstance(groups, str) else [str(g) for g in groups]
    for name in (*chosen, *(() if reference == "rest" else (reference,))):
        if name not in levels:
            raise unknown("group", name, levels)
    tested = [levels.index(name) for name in dict.fromkeys(chosen) if name != reference]
    others = [c for c in range(len(levels))] if reference == "rest" else [levels.index(reference)]
    few = [levels[c] for c in {*tested, *(others if reference != "rest" else ())} if n[c] < 2]
    if not tested or len(levels) < 2 or few:
        said = f"of one cell: {', '.join(map(repr, few[:5]))}" if few else f"{levels}, to be compared with {reference!r}"
        raise ConfigError(f"groups {said}; allowed: two groups or more, of two cells or more each.")
    return tested, [np.array([c for c in others if c != one]) for one in tested]


def _strata(adata: AnnData, keys: DataKeys) -> Codes:
    """Code of each cell's combination of batch and covariates."""
    if not keys.categorical:
        return np.zeros(adata.n_obs, np.int64)
    return adata.obs.groupby(list(keys.categorical), observed=True).ngroup().to_numpy(np.int64)


def _check_strata(code: Codes, stratum: Codes, tested: list[int], against: list[Codes], levels: list[str]) -> None:
    """Refuse groups that share no batch with the cells they are compared with."""
    for one, rest in zip(tested, against, strict=True):
        if not np.intersect1d(stratum[code == one], stratum[np.isin(code, rest)]).size:
            raise ConfigError(
                f"group {levels[one]!r} shares no batch with the cells that it is to be compared with, so that the two cannot be "
                "told apart. Leave out batch_key and covariates, or the group."
            )


def _sizes(adata: AnnData, keys: DataKeys, x: sp.csr_matrix, rows: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Library sizes, in units of their mean."""
    given = adata.obs[keys.size_factor].to_numpy(np.float64)[rows] if keys.size_factor else np.asarray(x.sum(1)).ravel()
    return given / given.mean()


def _all(
    x: sp.csr_matrix, size: NDArray[np.float64], code: Codes, stratum: Codes, pairs: tuple[list[int], list[Codes]], seed: int | None
) -> list[Contrast]:
    """The comparisons of each tested group, for all genes."""
    shape = int(code.max()) + 1, int(stratum.max()) + 1
    out = [np.full((3, x.shape[1]), np.nan) for _ in pairs[0]]
    agreement, columns = [], x.tocsc()
    folds = [(np.arange(x.shape[1]), code)] if seed is None else unseen_groups(x, code, seed)
    for genes, groups in folds:
        found = sums(columns[:, genes], size, groups, stratum, shape)
        agreement.append(float((groups == code).mean()))
        for one, rest, values in zip(*pairs, out, strict=True):
            c = contrast(found, one, rest)
            values[:, genes] = c.score, c.lfc, c.sd
    share = np.bincount(code) / code.size
    if (np.mean(agreement) - (share**2).sum()) / (1 - (share**2).sum()) < 0.5:
        warnings.warn(
            f"the groups of only {np.mean(agreement):.0%} of the cells can be told from the genes that are not tested, so that few "
            "differences can be found. If the groups were not made from these counts, set from_counts=False.",
            UserWarning,
            stacklevel=3,
        )
    return [Contrast(*values) for values in out]


def _table(group: str, names: NDArray, c: Contrast) -> pd.DataFrame:
    """The rows of one group."""
    shrunk = shrink(c.lfc, c.sd)
    adjusted = np.full(c.p.size, np.nan)
    known = np.isfinite(c.p)
    adjusted[known] = false_discovery_control(c.p[known])
    columns = {"scores": c.score, "logfoldchanges": shrunk.mean / np.log(2), "sd": shrunk.sd / np.log(2), "lfsr": shrunk.lfsr}
    columns |= {"estimate": c.lfc / np.log(2), "se": c.sd / np.log(2), "pvals": c.p, "pvals_adj": adjusted}
    return pd.DataFrame({"group": group, "names": names} | columns).sort_values("scores", ascending=False, kind="stable")


def _layout(tables: list[pd.DataFrame]) -> dict[str, NDArray]:
    """Structured arrays with a field per group, as scanpy keeps them; a gene without counts has p 1."""
    filled = [t.fillna({"scores": 0.0, "logfoldchanges": 0.0, "pvals": 1.0, "pvals_adj": 1.0}) for t in tables]
    return {
        field: np.rec.fromarrays(
            [t[field].to_numpy().astype(kind) for t in filled], dtype=[(t["group"].iloc[0], kind) for t in tables]
        )
        for field, kind in _FIELDS.items()
    }
