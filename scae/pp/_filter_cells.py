"""Filter cells by their total count or by the number of genes they express."""

from __future__ import annotations

from typing import Any

from anndata import AnnData
from numpy.typing import NDArray

from ._calls import old_positionals
from ._filters import check_one_limit, filter_axis


@old_positionals("min_counts", "min_genes", "max_counts", "max_genes", "inplace", "copy")
def filter_cells(
    data: AnnData | Any,
    *,
    min_counts: int | None = None,
    min_genes: int | None = None,
    max_counts: int | None = None,
    max_genes: int | None = None,
    inplace: bool = True,
    copy: bool = False,
    layer: str | None = None,
) -> AnnData | tuple[NDArray, NDArray] | None:
    """Keep cells by their total count or by the number of genes they express.

    Drop-in replacement for ``scanpy.pp.filter_cells``. If every cell passes, nothing is copied. Give exactly one of the four
    limits per call.

    Parameters
    ----------
    data : AnnData, or a sparse, dense or dask matrix
        Cells × genes.
    min_counts, max_counts : int, optional
        Smallest and largest total count of a cell that is kept.
    min_genes, max_genes : int, optional
        Smallest and largest number of expressed genes, i.e. genes with a positive value, of a cell that is kept.
    inplace : bool
        If true, subset ``data`` and write ``obs["n_counts"]`` or ``obs["n_genes"]``. If false, return the mask and the
        numbers. A bare matrix is never changed.
    copy : bool
        Work on a copy of the AnnData and return it.
    layer : str, optional
        Layer to count; ``X`` by default.

    Returns
    -------
    None, AnnData, or (mask, number)
        None by default; the filtered copy with ``copy=True``. With ``inplace=False`` and for a bare matrix, two arrays of
        shape ``(cells,)``: a boolean mask of the cells that pass, and the number that was compared with the limit.

    Raises
    ------
    ConfigError
        If not exactly one limit is given, or if it is not a number of at least 0.
    MissingKeyError
        If there is no such layer.
    MatrixError
        If the arrays of a sparse matrix contradict each other, or the matrix is backed (then also a ``NotImplementedError``).
        Use ``scae preprocess`` to filter a file into another file.

    Examples
    --------
    >>> import numpy as np
    >>> filter_cells(np.array([[1.0, 0], [3, 4]]), min_genes=2)
    (array([False,  True]), array([1, 2]))
    """
    limits = (min_counts, max_counts, min_genes, max_genes)
    check_one_limit(limits, ("min_counts", "min_genes", "max_counts", "max_genes"))
    return filter_axis(data, limits, 0, inplace=inplace, copy=copy, layer=layer)
