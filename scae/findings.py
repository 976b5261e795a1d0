"""What a matrix holds: sound arrays, raw counts, empty rows. No AnnData, no torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from .errors import CountsError, MatrixError, ScaeError
from .kernels import csr
from .kernels.counts import LARGEST
from .kernels.greatest import FACTOR, LEAST, is_lone_spike, merged, two_greatest
from .kernels.pca import components
from .kernels.rows import over_blocks

_CHUNK = 1 << 22  # values examined at a time, to bound temporary memory
# Share that pairing leaves where batches are confounded with cell type. It is up to 0.17 between controls and stimulated cells
# (Kang 2018) and less between techniques, real or simulated; above 0.25 where each cell type is in one batch only.
_UNMATCHED = 0.22
_HALF = 200  # cells of each half of a batch that are paired
_LEAST = 50  # cells that a batch must have to be compared
_BATCHES = 12  # batches compared, the largest
_COMPONENTS = 20
_ROUNDING = 1e-6  # relative distance from a whole number that arithmetic on counts may leave


@dataclass(frozen=True)
class Finding:
    """One finding: an ``"error"`` (a fit raises ``error``), a ``"warning"`` (a fit warns) or a ``"note"`` (it does not)."""

    level: str
    message: str
    error: type[ScaeError] = CountsError


def structure(x: Any, name: str) -> Iterator[Finding]:
    """Findings on shape, dtype and, of a sparse matrix, the soundness of the arrays."""
    if 0 in x.shape:
        shape = f"{name} has shape {x.shape[0]} × {x.shape[1]}"
        yield Finding("error", f"{shape}: there is nothing to fit. Pass at least one cell and one gene.")
    if x.dtype.kind not in "iufb":
        yield Finding("error", f"{name} holds {x.dtype} values. Counts must be whole numbers, stored as integers or floats.")
    if sp.issparse(x):
        try:
            csr.sound(x)
        except MatrixError as fault:
            yield Finding("error", f"{name}: {fault}", MatrixError)


def chunks(x: Any) -> Iterator[NDArray]:
    """The stored values of a matrix, some at a time."""
    data = x.data if sp.issparse(x) else x.reshape(-1)
    for start in range(0, data.size, _CHUNK):
        yield data[start : start + _CHUNK]


def is_counts(x: Any) -> bool:
    """Whether every value is a finite, non-negative whole number."""
    if x.dtype.kind not in "if":
        return x.dtype.kind in "ub"
    return all(bool(((c >= 0) & (c == np.rint(c)) & (c < np.inf)).all()) for c in chunks(x))


@dataclass
class _Values:
    """Numbers of values of each kind."""

    size: int = 0
    not_finite: int = 0
    negative: int = 0
    fractional: int = 0
    example: float = 0.0  # of a value that is not whole
    largest: float = 0.0
    off: float = 0.0  # largest relative distance from a whole number

    def add(self, c: NDArray) -> None:
        if c.dtype.kind != "f":
            self.size, self.negative = self.size + c.size, self.negative + int((c < 0).sum())
            self.largest = max(self.largest, float(np.max(c, initial=0)))
            return
        finite = np.isfinite(c)
        part = (c != np.rint(c)) & finite
        self.size, self.not_finite = self.size + c.size, self.not_finite + int((~finite).sum())
        self.negative, self.fractional = self.negative + int((c < 0).sum()), self.fractional + int(part.sum())
        self.largest = max(self.largest, float(np.max(c, initial=0, where=finite)))
        if part.any():
            odd = c[part].astype(np.float64)
            self.example = self.example or float(odd[0])
            self.off = max(self.off, float((np.abs(odd - np.rint(odd)) / np.maximum(np.abs(odd), 1)).max()))


def values(x: Any, name: str, fractions: bool, advice: Callable[[], str]) -> Iterator[Finding]:
    """Findings on the values.

    Parameters
    ----------
    x
        A sound matrix.
    name
        What messages call it.
    fractions
        Values need not be whole numbers.
    advice
        A sentence that says where counts are; asked for only where these are none.
    """
    v = _Values()
    for c in chunks(x):
        v.add(c)
    if v.not_finite:
        text = f"{name} has {v.not_finite} NaN or infinite values. Remove those cells or genes. {advice()}"
        yield Finding("error", text)
    elif v.negative:
        scaled = "; it looks scaled" if v.fractional else ""
        yield Finding("error", f"{name} has {v.negative} negative values{scaled}. Pass raw counts. {advice()}")
    elif v.fractional:
        yield from _fractions(x, name, v, fractions, advice)
    elif v.largest > LARGEST:
        text = f"{name} has values up to {v.largest:.4g}, too large for counts: above 2^53, float64 skips whole numbers."
        yield Finding("error", f"{text} Pass raw counts. {advice()}")
    elif v.largest > 2**24:
        text = f"{name} has counts up to {v.largest:.0f}; above 2^24, float32 does not hold every whole number."
        yield Finding("warning", text)


def _fractions(x: Any, name: str, v: _Values, fractions: bool, advice: Callable[[], str]) -> Iterator[Finding]:
    logs = v.largest < 20 and v.off > _ROUNDING and _log_normalized(x)
    if fractions:
        if logs:
            text = "looks log-normalised. Do not fit a likelihood of counts to it; 'gaussian' and 'student' fit such values."
            yield Finding("warning", f"{name} {text}")
        return
    share = f"{100 * v.fractional / max(v.size, 1):.1f} % of its values are not whole"
    if v.off <= _ROUNDING:
        place = f"adata.{name}.data" if sp.issparse(x) else f"adata.{name}"
        near = f"but each is a whole number to within a relative {v.off:.0e}"
        text = f"{share} (e.g. {v.example!r}), {near}. Round them: {place} = np.rint({place})."
        yield Finding("error", f"{name} does not hold raw counts: {text}")
        return
    looks = f", and {name} looks log-normalised" if logs else ""
    corrected = "" if logs else " If these are corrected counts, use the likelihood 'quasi_nb' (except in cross_validate)."
    text = f"{share} (e.g. {v.example:.4g}){looks}. Pass raw counts. {advice()}{corrected}"
    yield Finding("error", f"{name} does not hold raw counts: {text}")


def _log_normalized(x: Any) -> bool:
    """Whether rows look like log1p of scaled counts: expm1 gives all the same total, or whole multiples of one number per row."""
    rows = sp.csr_matrix(x[: min(200, x.shape[0])]).astype(np.float64)
    rows.data = np.expm1(rows.data)
    totals = np.asarray(rows.sum(1)).ravel()
    totals = totals[totals > 0]
    if totals.size > 1 and totals.std() < 0.01 * totals.mean():
        return True
    parts = [r[r > 0] for r in np.split(rows.data, rows.indptr[1:-1])]
    off = [np.abs(p / p.min() - np.rint(p / p.min())).mean() for p in parts if p.size > 1]
    return bool(off) and float(np.median(off)) < 0.05


def emptiness(x: Any) -> Iterator[Finding]:
    """Findings on cells and genes without counts."""
    for axis, what, effect in (
        (1, "cells", "they are not trained on, and their latent carries no information. Remove them with sc.pp.filter_cells"),
        (0, "genes", "they carry no information. Remove them with sc.pp.filter_genes"),
    ):
        empty = int((np.asarray(x.sum(axis=axis)).ravel() == 0).sum())
        if empty:
            yield Finding("warning" if axis else "note", f"{what} without counts: {empty}; {effect}.")


def lone_spikes(x: Any, names: Sequence[str]) -> Iterator[Finding]:
    """Findings on genes whose greatest count stands alone.

    Parameters
    ----------
    x
        A sound matrix of counts.
    names
        Names of the genes.
    """
    lone = np.flatnonzero(is_lone_spike(reduce(merged, over_blocks(x, lambda block, _: two_greatest(block)))))
    if lone.size:
        said = f"{lone.size} ({100 * lone.size / len(names):.1f} %), e.g. {', '.join(names[i] for i in lone[:3])}"
        text = (
            f"genes with a lone spike, a count of at least {LEAST} in one cell that is more than {FACTOR} times the second "
            f"greatest of the gene: {said}. They rank high among variable genes, and their variance is that of one cell, which "
            "may be of a rare type. scae.pp.recipe and scae.pp.highly_variable_genes leave them out with lone_spikes='drop'."
        )
        yield Finding("note", text)


def confounding(x: Any, batches: Sequence[str], name: str) -> Iterator[Finding]:
    """A finding if a batch seems to hold other kinds of cells than the other batches.

    Parameters
    ----------
    x
        A sound matrix of counts, with the genes to model.
    batches
        Batch of each cell.
    name
        What messages call the column.
    """
    unmatched = unmatched_share(x, batches)
    worst = max(unmatched, key=lambda batch: unmatched[batch], default="")
    if unmatched.get(worst, 0.0) > _UNMATCHED:
        text = (
            f"{name} may be confounded with cell type: paired one to one with similar cells of other batches, cells of {worst!r} "
            f"still differ from them by {100 * unmatched[worst]:.0f} % of what random pairs differ by (at most "
            f"{100 * _UNMATCHED:.0f} % is usual where batches share their cell types). A model that aligns batches may then "
            "merge cell types: compare with a fit without batch_key, or with batch_mmd 0."
        )
        yield Finding("warning", text)


def unmatched_share(x: Any, batches: Sequence[str]) -> dict[str, float]:
    """The share of the distance between batches that is left where their cells are paired as well as can be, at most 1.

    The cells of two batches are paired one to one so that their mean squared distance is least (the squared Wasserstein distance;
    Villani 2009, doi:10.1007/978-3-540-71050-9). The share is of that of random pairs; from both, that of paired halves of one
    batch is taken. Distances are those of principal components of log-normalised counts, centred within each batch, so that an
    effect of the batch that is the same in all cells does not count.

    Parameters
    ----------
    x
        ``(cells, genes)``, counts.
    batches
        ``(cells,)``, batch of each cell.

    Returns
    -------
    dict
        Of each batch the mean over the others; empty with fewer than two batches of at least 50 cells. Of many cells, a random
        sample is taken, and of many batches the largest.
    """
    levels, codes = np.unique(np.asarray(batches), return_inverse=True)
    order = np.random.default_rng(0).permutation(codes.size)
    each = [order[codes[order] == code][: 2 * _HALF] for code in range(levels.size)]
    kept = [code for code in np.argsort([-rows.size for rows in each], kind="stable")[:_BATCHES] if each[code].size >= _LEAST]
    if len(kept) < 2:
        return {}
    rows = np.concatenate([each[code] for code in kept])
    logs = sp.csr_matrix(x[rows], dtype=np.float64)
    totals = np.maximum(np.asarray(logs.sum(1)).ravel(), 1)
    logs.data = np.log1p(logs.data * np.repeat(1e4 / totals, np.diff(logs.indptr)))
    sizes = [each[code].size for code in kept]
    design = np.repeat(np.eye(len(kept)), sizes, axis=0)
    found = components(logs, design, min(_COMPONENTS, *logs.shape))
    scores = logs @ found.axes - design @ (found.effects @ found.axes)
    return _against_others(dict(zip(levels[kept].tolist(), np.split(scores, np.cumsum(sizes)[:-1]), strict=True)))


def _against_others(scores: dict[str, NDArray]) -> dict[str, float]:
    """Mean over the other batches of the share that pairing leaves, from the scores ``(cells, components)`` of each batch."""
    pairs = {(a, b): _left(scores[a], scores[b]) for i, a in enumerate(scores) for b in list(scores)[:i]}
    return {batch: float(np.mean([left for pair, left in pairs.items() if batch in pair])) for batch in scores}


def _left(a: NDArray, b: NDArray) -> float:
    """Squared distance between paired cells of two batches over that between random pairs, each less that within batches."""
    half = min(len(a), len(b)) // 2
    (a, a2), (b, b2) = ((z[:half], z[half : 2 * half]) for z in (a, b))
    across, within = [_paired(a, b), _paired(a2, b2)], [_paired(a, a2), _paired(b, b2)]
    paired, chance = np.mean(across, axis=0)
    floor = np.mean(within, axis=0)[0]
    return float((paired - floor) / max(chance - floor, 1e-12))


def _paired(a: NDArray, b: NDArray) -> tuple[float, float]:
    """Mean squared distance between cells, optimally paired and at random."""
    from scipy.optimize import linear_sum_assignment
    from scipy.spatial.distance import cdist

    distance = cdist(a, b, "sqeuclidean")
    return float(distance[linear_sum_assignment(distance)].mean()), float(distance.mean())
