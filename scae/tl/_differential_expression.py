"""Genes whose rates differ between groups of cells."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
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
from ..parts import to_dict
from ..written import record
from ._contrasts import Contrast, contrast, sums
from ._inputs import verify
from ._latents import check_count
from ._replicates import free, replicated_contrast
from ._shrinkage import shrink
from ._unseen import unseen_groups
from ._writing import check_slots

_KEYS = {name: KEYWORDS[name] for name in ("layer", "batch_key", "categorical_covariates", "size_factor", "mask_var")}
_FIELDS = {"names": "O", "scores": "float32", "logfoldchanges": "float32", "pvals": "float64", "pvals_adj": "float64"}
_FEWEST = 10  # genes
Codes = NDArray[np.int64]


@dataclass(frozen=True)
class _Cells:
    """The cells of the groups: counts ``(cells, genes)``; library sizes, on average 1, and codes, ``(cells,)`` each."""

    counts: sp.csr_matrix
    size: NDArray[np.float64]
    group: Codes
    stratum: Codes
    replicate: Codes | None


@spelled_out(_KEYS)
def differential_expression(
    adata: AnnData,
    groupby: str,
    *,
    groups: str | Sequence[str] = "all",
    reference: str = "rest",
    from_counts: bool = True,
    replicate_key: str | None = None,
    key_added: str = "rank_genes_groups",
    overwrite: bool = False,
    random_state: int = 0,
    **keywords: Any,
) -> pd.DataFrame:
    """Rank the genes whose rates differ between groups of cells, with p-values that also hold for clusters.

    The counts are compared, and no model is fitted. Denoised values are not for tests: each is predicted from cells like it, so
    that they are no independent observations, and tests of them find differences where there are none.

    **Test.** A score test of a negative binomial with a mean proportional to the library size, and with the gene's overdispersion
    within groups. Under the null hypothesis, all cells of a batch have one rate; combinations of batch and covariates are
    strata. To compare conditions at the same cell state, pass clusters as ``categorical_covariates``. P-values are corrected for
    skewness, so that they hold for rare genes and small groups.

    **Clusters.** Groups that were made from the counts differ in them even if the cells do not. With ``from_counts=True``, a
    fifth of the genes at a time is tested between groups that are found without it: those of a linear discriminant analysis of
    the principal components of the other genes. Where groups are real, the other genes tell them as well.

    **Replicates.** Without ``replicate_key``, cells are the unit of replication, so that p-values are about other cells of the
    same donors. With it, donors (or samples, or animals) are: the counts of each donor's cells of a group are summed, and a
    moderated t-test compares the log rates, paired for donors that have cells on both sides.

    **Fold changes.** The log ratio of the rates is shrunk by a prior that is fitted to all genes, a mixture of normal
    distributions around zero. The local false sign rate ``lfsr`` is the posterior probability that the sign is wrong.

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
    replicate_key : str, optional
        ``obs`` column with the donor, if the test is to be about donors.
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
        If an option is not allowed, a group has fewer than two cells, it shares no batch with its reference, there are too few
        replicates, or the place is taken.
    MissingKeyError
        If a column or a group is unknown.
    ScaeError
        If :func:`scae.check` finds an error.

    References
    ----------
    Robinson and Smyth (2008), Biostatistics 9:321, doi:10.1093/biostatistics/kxm030 (negative binomial tests). Mantel and
    Haenszel (1959), J. Natl. Cancer Inst. 22:719 (strata). Wilson and Hilferty (1931), PNAS 17:684 (skewness). Stephens (2017),
    Biostatistics 18:275, doi:10.1093/biostatistics/kxw041 (shrinkage, lfsr). Smyth (2004), Stat. Appl. Genet. Mol. Biol. 3:3,
    doi:10.2202/1544-6115.1027 (moderated t-test). Squair et al. (2021), Nat. Commun. 12:5692, doi:10.1038/s41467-021-25960-2
    (replicates). Gao, Bien and Witten (2024), J. Am. Stat. Assoc. 119:332, doi:10.1080/01621459.2022.2116331 (clusters).

    Examples
    --------
    >>> adata = scae.datasets.pbmc68k_reduced()
    >>> table = scae.tl.differential_expression(adata, "bulk_labels", groups=["CD19+ B"])
    >>> {"CD79A", "MS4A1"} <= set(table["names"].head(5))
    True
    """
    require_anndata(adata)
    check_count("random_state", random_state, low=0)
    keys = _keys(adata, groupby, replicate_key, keywords)
    check_slots(adata, ("uns", key_added), overwrite=overwrite)
    levels, code = _codes(adata, groupby)
    pairs = _pairs(levels, groups, reference)
    cells = _cells(adata, keys, code, replicate_key)
    names, chosen = adata.var_names.astype(str).to_numpy(), np.flatnonzero(gene_mask(adata, keys.mask_var))
    _check_genes(chosen.size, from_counts)
    for one, rest in pairs:
        _check_pair(cells, one, rest, levels)
    found = _compare(cells, chosen, pairs, int(random_state) if from_counts else None)
    tables = [_table(levels[one], names[chosen], result) for (one, _), result in zip(pairs, found, strict=True)]
    how = {"groupby": groupby, "reference": reference, "from_counts": bool(from_counts), "replicate_key": replicate_key}
    how |= to_dict(replace(keys, mask_var=None))
    # the plots show X, which is log-normalised where the counts are in a layer
    params = {"groupby": groupby, "reference": reference, "method": "scae", "use_raw": False, "layer": None}
    adata.uns[key_added] = {"params": params} | _layout(tables)
    record(adata, f"uns[{key_added!r}]", verb="differential_expression", random_state=int(random_state), **how)
    return pd.concat(tables, ignore_index=True)


def _keys(adata: AnnData, groupby: str, replicate_key: str | None, keywords: dict[str, Any]) -> DataKeys:
    """The data keys, after a check of all names of columns."""
    for name in keywords:
        if name not in _KEYS:
            raise TypeError(f"unexpected keyword argument {name!r}; the data keys here are {', '.join(_KEYS)}.")
    keys = read_keys(keywords)
    for name, column in (("groupby", groupby), ("replicate_key", replicate_key)):
        if column is not None and column not in adata.obs:
            raise unknown("obs column", column, adata.obs.columns, hint=f"{name} is a column of obs.")
    if groupby in (*keys.categorical, replicate_key):
        raise ConfigError(f"groupby is {groupby!r}, which is also a batch, covariate or replicate; allowed: another column.")
    if replicate_key is not None and adata.obs[replicate_key][adata.obs[groupby].notna()].isna().any():
        raise ConfigError(f"obs[{replicate_key!r}] has missing values; allowed: a replicate for each cell that has a group.")
    return keys


def _codes(adata: AnnData, groupby: str) -> tuple[list[str], Codes]:
    """Names of the groups, and the code of each cell; −1 where it has none."""
    column = adata.obs[groupby].astype("category").cat.remove_unused_categories()
    return [str(level) for level in column.cat.categories], column.cat.codes.to_numpy(np.int64)


def _pairs(levels: list[str], groups: str | Sequence[str], reference: str) -> list[tuple[int, Codes]]:
    """Codes of each group to test, and of those with which it is compared."""
    named = [groups] if isinstance(groups, str) else [str(group) for group in groups]
    chosen = levels if named == ["all"] else list(dict.fromkeys(named))
    for name in (*chosen, *([] if reference == "rest" else [reference])):
        if name not in levels:
            raise unknown("group", name, levels)
    tested = [levels.index(name) for name in chosen if name != reference]
    if not tested or len(levels) < 2:
        raise ConfigError(f"groups {chosen} cannot be compared with {reference!r}; allowed: two groups or more.")
    others = np.arange(len(levels)) if reference == "rest" else np.array([levels.index(reference)])
    return [(one, others[others != one]) for one in tested]


def _cells(adata: AnnData, keys: DataKeys, code: Codes, replicate_key: str | None) -> _Cells:
    """The cells that have a group."""
    counts = sp.csr_matrix(verify(adata, keys)[1])
    obs, counts = adata.obs[code >= 0], counts[code >= 0].astype(np.float64)
    size = obs[keys.size_factor].to_numpy(np.float64) if keys.size_factor else np.asarray(counts.sum(1)).ravel()
    stratum = np.zeros(len(obs), np.int64)
    if keys.categorical:
        stratum = obs.groupby(list(keys.categorical), observed=True).ngroup().to_numpy(np.int64)
    replicate = None if replicate_key is None else pd.factorize(obs[replicate_key])[0].astype(np.int64)
    return _Cells(counts, size / size.mean(), code[code >= 0], stratum, replicate)


def _check_genes(n: int, from_counts: bool) -> None:
    """Refuse too few genes to tell the groups without those that are tested."""
    if not isinstance(from_counts, bool | np.bool_):
        raise ConfigError(f"from_counts is {from_counts!r}; allowed: True or False.")
    if from_counts and n < _FEWEST:
        raise ConfigError(
            f"there are {n} genes; allowed with from_counts=True: {_FEWEST} or more, as groups are found from the genes that are "
            "not tested. For groups that were not made from these counts, set from_counts=False."
        )


def _sides(group: Codes, one: int, rest: Codes) -> Codes:
    """0 for cells of the group, 1 for those with which it is compared, −1 for others."""
    return np.where(group == one, 0, np.where(np.isin(group, rest), 1, -1))


def _check_pair(cells: _Cells, one: int, rest: Codes, levels: list[str]) -> None:
    """Refuse what cannot be compared."""
    side = _sides(cells.group, one, rest)
    n, name = np.bincount(side[side >= 0], minlength=2), repr(levels[one])
    if n.min() < 2:
        raise ConfigError(f"group {name} has {n[0]} cells, and {n[1]} to compare it with; allowed: two or more each.")
    if not np.intersect1d(*(cells.stratum[side == i] for i in (0, 1))).size:
        raise ConfigError(
            f"group {name} shares no batch or covariates with the cells to compare it with, so that the two cannot be told "
            "apart. Leave out batch_key and categorical_covariates, or the group."
        )
    if cells.replicate is not None and free(side, cells.replicate, cells.stratum) < 1:
        raise ConfigError(
            f"group {name} has too few replicates for a test; allowed: two with cells of the group and two to compare it with, "
            "in the same batches. Without replicate_key, cells are compared."
        )


def _compare(cells: _Cells, genes: Codes, pairs: list[tuple[int, Codes]], seed: int | None) -> list[Contrast]:
    """The comparisons of each tested group, for all genes; with a seed, in groups that are found without the genes tested."""
    shape = int(cells.group.max()) + 1, int(cells.stratum.max()) + 1
    counts = cells.counts[:, genes]
    out, agreement = np.full((len(pairs), 3, genes.size), np.nan), []
    for some, group in [(np.arange(genes.size), cells.group)] if seed is None else unseen_groups(counts, cells.group, seed):
        here = counts[:, some]
        found = sums(here.tocsc(), cells.size, group, cells.stratum, shape)
        for values, (one, rest) in zip(out, pairs, strict=True):
            if cells.replicate is not None:
                result = replicated_contrast(here, cells.size, _sides(group, one, rest), cells.replicate, cells.stratum)
            else:
                result = contrast(found, one, rest)
            values[:, some] = result.score, result.lfc, result.sd
        agreement.append(float((group == cells.group).mean()))
    _warn_of_untold(float(np.mean(agreement)), np.bincount(cells.group) / cells.group.size)
    return [Contrast(*values) for values in out]


def _warn_of_untold(agreement: float, share: NDArray[np.float64]) -> None:
    """Warn where the genes do not tell the groups (Cohen's κ below a half)."""
    chance = float((share**2).sum())
    if agreement - chance < 0.5 * (1 - chance):
        warnings.warn(
            f"only {agreement:.0%} of the cells are in the group that the other genes tell, so that few differences can be "
            "found. If the groups were not made from these counts, set from_counts=False.",
            UserWarning,
            stacklevel=4,
        )


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
