"""Choosing a model by evidence: how much of held-out molecules each candidate explains, beside what costs nothing."""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData

from ..errors import ConfigError
from ..evaluate import split
from ..keys import KEYWORDS, spelled_out
from ..model import ModelSpec
from ..presets import Preset
from ..version import __version__
from ._baselines import BASELINES
from ._choose import choose
from ._fit import TRAINING, FitOptions, as_preset
from ._inputs import gene_mask, prepare, verify
from ._runs import Run, compared, judge_baselines, judge_model

Candidate = str | Preset | ModelSpec


@spelled_out(KEYWORDS | TRAINING)
def cross_validate(
    adata: AnnData,
    specs: Mapping[str, Candidate] | Sequence[str] | str,
    *,
    n_splits: int = 3,
    n_seeds: int = 1,
    train_share: float = 0.9,
    key_added: str | None = None,
    **keywords: Any,
) -> pd.DataFrame:
    """Score models by the molecules that they have not seen, beside three baselines that cost next to nothing.

    Molecular cross-validation: X_train ~ Binomial(X, ``train_share``), X_test = X − X_train. A model is fitted to X_train; its
    expectation times the odds predicts X_test, and the score is the share of X_test's Poisson deviance beyond *gene mean ×
    cell's total* that it explains: 1 is perfect, 0 is no better than the gene mean, below 0 is worse. The baselines are that gene
    mean, the raw counts shrunk towards it, and PCA of log1p(CP10k); the weight and the rank are chosen by thinning X_train again.

    Parameters
    ----------
    adata
        Cells × genes, raw counts. Nothing is written unless ``key_added`` is given.
    specs
        Candidates: presets, specifications or presets' names by a name of yours (:func:`grid` makes such a dict), or a list of
        presets' names.
    n_splits
        Number of times that the molecules are split; every candidate sees the same splits.
    n_seeds
        Number of fits of each candidate to each split, with seeds from ``random_state`` on.
    train_share
        Share of the molecules that are seen, between 0 and 1.
    key_added
        ``uns`` key for the table (an array a column) and the choice (JSON).
    %(keywords)s

    Returns
    -------
    pandas.DataFrame
        One row a candidate (or baseline), split and seed: ``model``, ``kind`` (``"model"`` or ``"baseline"``), ``split``,
        ``seed`` (missing for a baseline), ``deviance_explained`` and its standard error over cells ``se``; ``below_best`` and
        ``above_baseline``, the paired differences to the best candidate and to the best baseline on the same split, each with
        its ``…_se`` over cells; ``n_parameters`` (fitted numbers), ``n_latent``, ``seconds``. :func:`choose` reads it. A
        candidate whose training diverged has NaN.

    Raises
    ------
    ConfigError
        If there is no candidate, or a number is not allowed.
    ScaeError
        As :func:`scae.tl.fit`.

    References
    ----------
    Batson, Royer and Webber (2019), bioRxiv 786269, doi:10.1101/786269.

    Examples
    --------
    >>> adata = scae.datasets.pbmc68k_reduced()
    >>> quick = scae.TrainPlan(min_steps=20, epochs=1)
    >>> table = scae.tl.cross_validate(adata, ["denoiser"], n_splits=1, plan=quick)
    >>> table["model"].tolist()
    ['gene mean', 'shrunk counts', 'PCA', 'denoiser']
    """
    candidates = _candidates(specs)
    if n_splits < 1 or n_seeds < 1 or not 0 < train_share < 1:
        values = f"n_splits is {n_splits}, n_seeds {n_seeds}, train_share {train_share}"
        raise ConfigError(f"{values}; allowed: from 1, from 1, between 0 and 1.")
    options = FitOptions.read(keywords)
    keys, start = options.keys, int(options.random_state)
    data, source = prepare(adata, verify(adata, keys), keys)
    var = adata.var.iloc[np.flatnonzero(gene_mask(adata, keys.mask_var))]
    counts = sp.csr_matrix((source.value, source.gene, source.indptr), (len(source), data.n_genes))
    runs: list[Run] = []
    for number in range(n_splits):
        outer, inner = (int(seed) for seed in np.random.SeedSequence([start, number]).generate_state(2))
        fold = split(counts, train_share, outer)
        seen = AnnData(fold.train, obs=adata.obs.iloc[fold.cells], var=var)
        runs += judge_baselines(fold, number, inner)
        for name, seed in itertools.product(candidates, range(start, start + n_seeds)):
            runs.append(judge_model(fold, number, seen, name, candidates[name], dataclasses.replace(options, random_state=seed)))
    table = compared(runs)
    if key_added is not None:
        columns = {name: table[name].to_numpy(str if name in ("model", "kind") else float, na_value=np.nan) for name in table}
        choice = json.dumps(dataclasses.asdict(choose(table)))
        adata.uns[key_added] = {"table": columns, "choice": choice, "version": __version__}
    return table


def _candidates(specs: Mapping[str, Candidate] | Sequence[str] | str) -> dict[str, Preset]:
    """Presets by name, none of which is a baseline's."""
    if isinstance(specs, str):
        specs = [specs]
    if not isinstance(specs, Mapping):
        wrong = [s for s in specs if not isinstance(s, str)]
        if wrong:
            raise ConfigError(f"specs holds {wrong[0]!r} without a name. Give a dict of names and specifications.")
        specs = {name: name for name in specs}
    if not specs or set(specs) & set(BASELINES):
        raise ConfigError(
            f"specs names {', '.join(map(repr, specs)) or 'nothing'}; allowed: at least one candidate, under "
            f"names other than those of the baselines ({', '.join(map(repr, BASELINES))})."
        )
    return {str(name): as_preset(spec) for name, spec in specs.items()}
