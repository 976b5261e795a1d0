"""What held-out molecules cannot judge; it is refused before any fit, because a score would be a number all the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ConfigError, CountsError
from ..presets import Preset
from ._fit import refuse_gene_selection


def require_judgeable(
    candidates: Mapping[str, Preset], counts: Any, size_factor: tuple[str, NDArray] | None, totals: NDArray[np.float64]
) -> None:
    """Refuse candidates and data for which the deviance of held-out molecules says nothing.

    Parameters
    ----------
    candidates
        Models by name.
    counts
        Counts of the modelled genes, CSR.
    size_factor
        Name and values of the column with the size factors, if there is one.
    totals
        ``(cells,)``, total counts over all genes, whether modelled or not.

    Raises
    ------
    ConfigError
        If a candidate predicts presence rather than counts or chooses its own genes, or the size factors are the total counts.
    CountsError
        If the data are presence or absence.
    """
    for name, preset in candidates.items():
        if preset.spec.likelihood.of_presence:
            raise ConfigError(
                f"candidate {name!r} has the likelihood {preset.spec.likelihood}, which predicts whether there are counts, not "
                "how many, but the score is the deviance of counts; allowed: likelihoods of counts, such as 'nb' and 'poisson'. "
                "Compare models of presence by their latent, or by scae.tl.score of cells that were left out."
            )
        refuse_gene_selection(preset, counts.shape[1], f"candidate {name!r}", "but the counts of all of them are to be predicted")
    if counts.nnz and counts.data.max() <= 1:
        raise CountsError(
            "all counts are 0 or 1, which is presence or absence: no molecules can be held out of it. Pass counts that are not "
            "binarised."
        )
    modelled = np.asarray(counts.sum(1), np.float64).ravel()
    if size_factor is not None and any(are_totals(size_factor[1], of_genes) for of_genes in (modelled, totals)):
        raise ConfigError(
            f"size_factor is {size_factor[0]!r}, which is each cell's total count, and includes the molecules to be held out. "
            "Leave it out: each cell's total of the training molecules is then used. Allowed: size factors measured otherwise, "
            "such as from spike-ins."
        )


def are_totals(factors: NDArray, totals: NDArray[np.float64]) -> bool:
    """Whether size factors were computed from the totals of these counts.

    A total is a Poisson count given the cell's true depth, so its logarithm has a variance of about 1 / total around anything
    that was measured independently. Factors that are closer to the totals than that were computed from them.
    """
    some = (totals > 0) & (factors > 0)
    if some.sum() < 3:
        return False
    total = np.log(totals[some])
    off = np.log(np.asarray(factors, np.float64)[some]) - total
    return bool(off.var() < 0.5 * min((1 / totals[some]).mean(), total.var()))
