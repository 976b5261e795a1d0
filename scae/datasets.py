"""Real count data that need no download."""

from __future__ import annotations

import warnings

import numpy as np
import scipy.sparse as sp
from anndata import AnnData

from .errors import CountsError

__all__ = ["pbmc68k_reduced"]


def __dir__() -> list[str]:
    return __all__


def pbmc68k_reduced() -> AnnData:
    """Load 10x counts of 700 peripheral blood mononuclear cells × 765 genes.

    The counts are recovered from a file that comes with scanpy. This file has log1p(counts · 10⁴ / n_counts), rounded to three
    decimals, in ``raw`` and the total count of each cell in ``obs["n_counts"]``. Every count can be recovered exactly.

    Returns
    -------
    AnnData
        Counts as CSR, float32, in ``X`` and ``layers["counts"]``; cell types in ``obs["bulk_labels"]``; the PCA and UMAP
        coordinates of scanpy in ``obsm["X_pca"]`` and ``obsm["X_umap"]``.

    Raises
    ------
    CountsError
        If the file of the installed scanpy version does not give whole numbers.

    References
    ----------
    Zheng et al. (2017), Massively parallel digital transcriptional profiling of single cells, Nature Communications 8:14049.

    Examples
    --------
    >>> adata = scae.datasets.pbmc68k_reduced()
    >>> adata.shape, float(adata.X.max())
    ((700, 765), 259.0)
    """
    import scanpy as sc

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # anndata warns about the old file format
        shipped = sc.datasets.pbmc68k_reduced()
    recovered = sp.csr_matrix(shipped.raw.X, dtype=np.float64)
    total = shipped.obs["n_counts"].to_numpy(np.float64)
    recovered.data = np.expm1(recovered.data) * np.repeat(total / 1e4, np.diff(recovered.indptr))
    whole = np.rint(recovered.data)
    if np.abs(recovered.data - whole).max() > 0.25:
        raise CountsError(
            f"the file pbmc68k_reduced of scanpy {sc.__version__} does not hold log1p of counts per 10⁴. "
            "Install another version of scanpy."
        )
    recovered.data = whole.astype(np.float32)
    counts = sp.csr_matrix(recovered, dtype=np.float32)
    counts.eliminate_zeros()
    out = AnnData(counts, obs=shipped.obs.copy(), var=shipped.raw.var.copy())
    out.layers["counts"] = counts.copy()
    for key in ("X_pca", "X_umap"):
        out.obsm[key] = np.asarray(shipped.obsm[key])
    out.uns["source"] = "Zheng 2017, doi:10.1038/ncomms14049, as shipped by scanpy"
    return out
