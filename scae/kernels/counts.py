"""Tell whether values are counts: finite whole numbers from 0 to 2⁵³."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .. import threads
from .jit import jit

LARGEST = 2.0**53  # above it, a float64 does not hold every whole number
_SEGMENT = 1 << 16  # values per answer


@jit
def _counts(start, stop, values, largest, good):
    """Write for each segment of the values whether all of them are counts; NaN differs from its own floor."""
    for i in range(start, stop):
        part = values[i * _SEGMENT : (i + 1) * _SEGMENT]
        bad = np.uint32(0)
        for k in range(part.size):
            bad += np.uint32((part[k] < 0) | (part[k] != np.floor(part[k])) | (part[k] > largest))
        good[i] = bad == 0


def are_counts(values: NDArray) -> bool:
    """Tell whether every value is a finite whole number from 0 to 2⁵³.

    Parameters
    ----------
    values : array
        Integers, booleans or floats, of any shape.

    Returns
    -------
    bool

    Examples
    --------
    >>> are_counts(np.array([0.0, 3.0])), are_counts(np.array([0.5])), are_counts(np.array([1e30]))
    (True, False, False)
    """
    if values.dtype.kind in "biu":
        if values.size == 0 or values.dtype.kind == "b":
            return True
        return bool(values.min() >= 0 and (values.itemsize < 8 or values.max() <= LARGEST))
    flat = values.reshape(-1, order="A")
    if flat.dtype not in (np.float32, np.float64) or not flat.dtype.isnative:
        return all(are_counts(flat[a : a + (1 << 20)].astype(np.float64)) for a in range(0, flat.size, 1 << 20))
    good = np.ones(-(-flat.size // _SEGMENT), bool)
    threads.run(_counts, good.size, flat, flat.dtype.type(LARGEST), good, work=flat.size)
    return bool(good.all())
