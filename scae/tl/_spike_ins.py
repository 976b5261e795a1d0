"""Technical overdispersion, from spike-ins."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from anndata import AnnData
from numpy.typing import NDArray

from ..checks import gene_mask, matrix
from ..errors import ConfigError, CountsError, unknown

_ROUNDS = 20
_LEAST = 1e-12


def spike_in_cv2(adata: AnnData, name: str, layer: str | None = None) -> float:
    """Estimate the squared coefficient of variation of technical noise beyond Poisson, from spike-ins.

    Every cell got the same mixture of spike-ins, so given a cell's total of them, each should have its share. The squared
    deviations are fitted by their expectation, that of a multinomial plus what independent noise of each spike-in adds to it (to
    first order), by iteratively reweighted least squares.

    Parameters
    ----------
    adata : AnnData
        Cells × genes.
    name : str
        A boolean column of ``var`` that marks spike-ins among the genes, or counts of spike-ins in ``obsm``.
    layer : str, optional
        Layer with raw counts; None: ``X``.

    Returns
    -------
    float
        At least 0; 0 where the counts vary no more than Poisson counts do.

    Raises
    ------
    MissingKeyError
        If there is neither such a column nor such counts.
    ConfigError
        If fewer than two spike-ins have counts.
    CountsError
        If the values are not counts.

    References
    ----------
    Brennecke et al. (2013), Nature Methods 10:1093, doi:10.1038/nmeth.2645.
    """
    counts = sp.csr_matrix(_counts(adata, name, layer))
    if counts.nnz and (counts.data.min() < 0 or np.any(counts.data != np.rint(counts.data))):
        raise CountsError(f"the spike-ins {name!r} have values that are not counts. Give raw counts.")
    counts = counts[:, np.asarray(counts.sum(0)).ravel() > 0].toarray()
    if counts.shape[1] < 2:
        raise ConfigError(
            f"{counts.shape[1]} of the spike-ins {name!r} have counts; at least two are needed, to tell noise from depth."
        )
    total = counts.sum(1, keepdims=True)
    share = counts.sum(0) / counts.sum()
    square = (counts - total * share) ** 2
    poisson = total * share * (1 - share)
    noise = total * np.maximum(total - 1, 0) * share**2 * (1 - 2 * share + (share**2).sum())  # per unit of the result
    cv2 = 0.1
    for _ in range(_ROUNDS):
        weight = 1 / np.maximum(poisson + cv2 * noise, _LEAST) ** 2  # the variance of a squared deviation grows as its square
        cv2 = max(float((weight * noise * (square - poisson)).sum() / (weight * noise**2).sum()), 0.0)
    return cv2


def _counts(adata: AnnData, name: str, layer: str | None) -> NDArray | sp.spmatrix:
    if name in adata.obsm:
        table = adata.obsm[name]
        return table if sp.issparse(table) else np.asarray(table, np.float64)
    if name not in adata.var:
        raise unknown("spike-ins", name, [*adata.var.columns, *adata.obsm])
    return matrix(adata, layer)[:, gene_mask(adata, name)]
