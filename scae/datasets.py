"""Real counts that need no download."""

from __future__ import annotations

import warnings

import numpy as np
import scipy.sparse as sp
from anndata import AnnData

from .errors import CountsError


def pbmc68k_reduced() -> AnnData:
    """700 peripheral blood mononuclear cells × 765 genes, 10x counts (Zheng 2017), recovered from what scanpy ships.

    Scanpy's file keeps log1p(counts · 10⁴ / n_counts) rounded to three decimals in ``.raw`` and the total in
    ``obs["n_counts"]``; that is enough to recover every count exactly.

    Returns
    -------
    AnnData
        Counts as CSR float32 in ``X`` and ``layers["counts"]``; labels in ``obs["bulk_labels"]``; scanpy's own PCA and UMAP
        in ``obsm``.

    Raises
    ------
    CountsError
        If scanpy's file is not what it was, and its values are no longer counts.

    Examples
    --------
    >>> adata = scae.datasets.pbmc68k_reduced()
    >>> adata.shape, float(adata.X.max())
    ((700, 765), 259.0)
    """
    import scanpy as sc

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the file is old; anndata says so
        shipped = sc.datasets.pbmc68k_reduced()
    raw = sp.csr_matrix(shipped.raw.X, dtype=np.float64)
    total = shipped.obs["n_counts"].to_numpy(np.float64)
    raw.data = np.expm1(raw.data) * np.repeat(total / 1e4, np.diff(raw.indptr))
    whole = np.rint(raw.data)
    if np.abs(raw.data - whole).max() > 0.25:
        raise CountsError("the pbmc68k_reduced that this scanpy ships no longer holds log1p of counts per 10⁴.")
    raw.data = whole.astype(np.float32)
    counts = sp.csr_matrix(raw, dtype=np.float32)
    counts.eliminate_zeros()
    out = AnnData(counts, obs=shipped.obs.copy(), var=shipped.raw.var.copy())
    out.layers["counts"] = counts.copy()
    for key in ("X_pca", "X_umap"):
        out.obsm[key] = np.asarray(shipped.obsm[key])
    out.uns["source"] = "Zheng 2017, doi:10.1038/ncomms14049, as shipped by scanpy"
    return out
