"""Compare models by how well they predict held-out molecules, beside cheap baselines."""

from __future__ import annotations

import itertools
import json
import logging
import time
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from numbers import Integral, Real
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData
from numpy.typing import NDArray

from ..checks import gene_mask
from ..errors import ConfigError, DivergenceError
from ..evaluate import Split, deviance, explained, null, ratio, split
from ..infer import denoised
from ..keys import KEYWORDS, spelled_out
from ..model import ModelSpec
from ..posterior import corrected
from ..presets import Preset
from ..version import __version__
from ..written import record
from ._baselines import BASELINES
from ._choose import choose
from ._fit import TRAINING, FitOptions, as_preset, fit_preset
from ._inputs import prepare, verify
from ._judgeable import require_judgeable
from ._kinds import check_kind
from ._writing import check_slots

Candidate = str | Preset | ModelSpec
SCORED = ("mean", "posterior")
log = logging.getLogger("scae")
NAN = float("nan")


@spelled_out(KEYWORDS | TRAINING)
def cross_validate(
    adata: AnnData,
    specs: Mapping[str, Candidate] | Sequence[str] | str,
    *,
    kind: str = "mean",
    n_splits: int = 3,
    n_seeds: int = 1,
    train_share: float = 0.9,
    key_added: str | None = None,
    overwrite: bool = False,
    **keywords: Any,
) -> pd.DataFrame:
    """Score models by how well they predict held-out molecules, beside three cheap baselines.

    Molecular cross-validation splits the counts molecule by molecule: X_train ~ Binomial(X, ``train_share``) and
    X_test = X − X_train. A model is fitted to X_train, and its expected counts times (1 − ``train_share``) / ``train_share``
    predict X_test. The score is the share of the Poisson deviance of X_test that this explains: 1 is a perfect prediction, 0 is
    no better than the null prediction (gene mean × cell total), and below 0 is worse.

    What this cannot judge is refused before any fit: models of presence or absence, whose mean is a probability; models that
    choose their own genes; counts that are only 0 and 1, or fractions; and size factors that are the total counts, because these
    include the held-out molecules. Whatever else was computed from the same counts, such as clusters used as labels, knows of the
    held-out molecules too, which scae cannot see. Reads without UMIs are not independent, so that their scores are too high.

    The baselines are the gene mean (which is the null prediction), raw counts shrunk towards it, and PCA of log1p(CP10k). The
    shrinkage weight and the PCA rank are chosen on a second split, of X_train.

    Parameters
    ----------
    adata : AnnData
        Cells × genes, raw counts. Nothing is written unless ``key_added`` is given.
    specs : dict, or sequence of str
        Candidates: a dict from names of your choice to presets, specifications or names of presets (:func:`grid` makes one),
        or a list of names of presets.
    kind : str
        What predicts the held-out molecules: the ``"mean"`` of cells with this latent, or the ``"posterior"`` of this cell, given
        its training counts; see :func:`scae.tl.denoise`.
    n_splits : int
        Number of random splits of the molecules; all candidates use the same splits.
    n_seeds : int
        Number of fits per candidate and split, with seeds ``random_state``, ``random_state + 1``, ….
    train_share : float
        Share of the molecules used for training, between 0 and 1.
    key_added : str, optional
        ``uns`` key in which to store the table (one array per column) and the choice (JSON); None: store nothing.
    overwrite : bool
        Replace what is there already under that name, even if scae has no record of having written it.
    %(keywords)s

    Returns
    -------
    pandas.DataFrame
        One row per candidate (or baseline), split and seed, for :func:`choose`. Columns: ``model``; ``kind``, ``"model"`` or
        ``"baseline"``; ``split``; ``seed``, missing for baselines; ``deviance_explained``, and ``se``, its standard error over
        cells; ``below_best`` and ``above_baseline``, the paired differences from the best candidate and from the best baseline
        on the same split, with standard errors ``below_best_se`` and ``above_baseline_se``; ``n_parameters``; ``n_latent``;
        ``seconds``. Scores are NaN where training diverged.

    Raises
    ------
    ConfigError
        If there is no candidate, one cannot be judged, an option is not allowed, or ``key_added`` is taken.
    CountsError
        If the counts are fractions, or only 0 and 1.
    TypeError
        If a keyword is unknown.
    ScaeError
        See :func:`scae.tl.fit`.

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
    whole = all(isinstance(n, Integral) and n >= 1 for n in (n_splits, n_seeds))
    if kind not in SCORED or not whole or not isinstance(train_share, Real) or not 0 < train_share < 1:
        values = f"n_splits is {n_splits!r}, n_seeds {n_seeds!r}, train_share {train_share!r}, kind {kind!r}"
        kinds = " or ".join(map(repr, SCORED))
        raise ConfigError(f"{values}; allowed: whole n_splits and n_seeds from 1, train_share between 0 and 1, kind {kinds}.")
    if key_added is not None:
        check_slots(adata, ("uns", key_added), overwrite=overwrite)
    options = FitOptions.read(keywords)
    if options.checkpoint is not None:
        raise ConfigError("checkpoint is for one fit, and cross-validation makes many. Leave it out.")
    keys, start = options.keys, int(options.random_state)
    keys, x = verify(adata, keys)
    data, source = prepare(adata, x, keys)
    var = adata.var.iloc[np.flatnonzero(gene_mask(adata, keys.mask_var))]
    counts = sp.csr_matrix((source.value, source.gene, source.indptr), (len(source), data.n_genes))
    factors = None if keys.size_factor is None else (keys.size_factor, adata.obs[keys.size_factor].to_numpy(float))
    require_judgeable(candidates, counts, factors, np.asarray(x.sum(1), np.float64).ravel())
    for preset in candidates.values():
        check_kind(preset.spec.likelihood, kind)
    runs: list[Run] = []
    for number in range(n_splits):
        outer, inner = (int(seed) for seed in np.random.SeedSequence([start, number]).generate_state(2))
        fold = split(counts, train_share, outer)
        seen = AnnData(fold.train, obs=adata.obs.iloc[fold.cells], var=var)
        runs += judge_baselines(fold, number, inner)
        for name, seed in itertools.product(candidates, range(start, start + n_seeds)):
            runs.append(judge_model(fold, number, seen, name, candidates[name], kind, replace(options, random_state=seed)))
    table = compared(runs)
    if key_added is not None:
        columns = {name: table[name].to_numpy(str if name in ("model", "kind") else float, na_value=np.nan) for name in table}
        choice = json.dumps(asdict(choose(table)))
        adata.uns[key_added] = {"table": columns, "choice": choice, "version": __version__}
        record(adata, f"uns[{key_added!r}]", verb="cross_validate", random_state=start)
    return table


def _candidates(specs: Mapping[str, Candidate] | Sequence[str] | str) -> dict[str, Preset]:
    """The candidates as presets by name; names of baselines are refused."""
    if isinstance(specs, str):
        specs = [specs]
    if not isinstance(specs, Iterable):
        raise ConfigError(f"specs is a {type(specs).__name__}; allowed: names of presets, or a dict of names and specifications.")
    if not isinstance(specs, Mapping):
        wrong = [s for s in specs if not isinstance(s, str)]
        if wrong:
            raise ConfigError(f"specs holds {wrong[0]!r} without a name. Pass a dict of names and specifications.")
        specs = {name: name for name in specs}
    if not specs or set(specs) & set(BASELINES):
        raise ConfigError(
            f"specs names {', '.join(map(repr, specs)) or 'nothing'}; allowed: at least one candidate, with "
            f"names other than those of the baselines ({', '.join(map(repr, BASELINES))})."
        )
    return {str(name): as_preset(spec) for name, spec in specs.items()}


@dataclass
class Run:
    """One candidate or baseline on one split.

    Attributes
    ----------
    row
        Its row of the table.
    left, null
        ``(cells,)`` Poisson deviance of the held-out molecules from this prediction (None if training diverged), and from the
        null prediction.
    """

    row: dict[str, Any]
    left: NDArray[np.float64] | None
    null: NDArray[np.float64]

    def __post_init__(self) -> None:
        score, se = (NAN, NAN) if self.left is None else explained(self.left, self.null)
        self.row |= {"deviance_explained": score, "se": se}
        where = (self.row["split"], self.row["model"], score, self.row["seconds"])
        log.info("split %d, %s: %.4f of the held-out deviance explained (%.1f s)", *where)


def judge_baselines(fold: Split, number: int, seed: int) -> list[Run]:
    """Score every baseline on one split; ``seed`` is that of the second split, of its training molecules."""
    of_null = deviance(fold.test, null(fold.train), fold.odds)
    if not of_null.sum() > 0:
        raise ConfigError("a split leaves no molecules to predict. Use more cells or genes, or a lower train_share.")
    runs = []
    for name, baseline in BASELINES.items():
        began = time.perf_counter()
        blocks, n_parameters = baseline(fold, 1 / (1 + fold.odds), seed)
        left = deviance(fold.test, blocks, fold.odds)
        row = {"model": name, "kind": "baseline", "split": number, "seed": pd.NA, "n_parameters": n_parameters, "n_latent": 0}
        runs.append(Run(row | {"seconds": time.perf_counter() - began}, left, of_null))
    return runs


def judge_model(fold: Split, number: int, seen: AnnData, name: str, preset: Preset, kind: str, options: FitOptions) -> Run:
    """Score one candidate, fitted to the training molecules ``seen`` with the options of a fit to all molecules."""
    here = replace(options, keys=replace(options.keys, layer=None, mask_var=(True,) * seen.n_vars))
    row: dict[str, Any] = {"model": name, "kind": "model", "split": number, "seed": options.random_state}
    row |= {"n_parameters": 0, "n_latent": preset.spec.bottleneck.dim}
    began, left = time.perf_counter(), None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # the whole matrix was checked and warned about once
            model, source = fit_preset(seen, preset, here)
        row["n_parameters"] = sum(p.numel() for p in model.parameters())
        posterior = ((rows, mean) for rows, (mean, _) in corrected(model, source))
        left = deviance(fold.test, posterior if kind == "posterior" else denoised(model, source), fold.odds)
    except DivergenceError as fault:
        log.warning("split %d, %s: %s", number, name, fault)
    return Run(row | {"seconds": time.perf_counter() - began}, left, deviance(fold.test, null(fold.train), fold.odds))


def compared(runs: list[Run]) -> pd.DataFrame:
    """The table of all runs, with paired differences from the best candidate and from the best baseline on the same split."""
    table = pd.DataFrame([run.row for run in runs])
    for column, kind, sign in (("below_best", "model", 1), ("above_baseline", "baseline", -1)):
        name = leader(table, kind)
        for run in runs:
            same = [r for r in runs if (r.row["model"], r.row["split"]) == (name, run.row["split"])]
            reference = [r.left for r in same if r.left is not None]
            value, se = NAN, NAN
            if run.left is not None and reference:
                value, se = ratio(sign * (run.left - np.mean(reference, axis=0)), run.null)
            run.row |= {column: value, f"{column}_se": se}
    return pd.DataFrame([run.row for run in runs]).astype({"seed": "Int64"})


def leader(table: pd.DataFrame, kind: str) -> str | None:
    """The candidate or baseline with the highest mean score, ignoring those with a diverged run; None if there is none."""
    scores = table[table["kind"] == kind].groupby("model", sort=False)["deviance_explained"]
    means = scores.mean()[~scores.agg(lambda s: s.isna().any()).astype(bool)]
    return str(means.idxmax()) if len(means) else None
