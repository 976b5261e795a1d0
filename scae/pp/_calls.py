"""Manners of calling that scanpy's users rely on: old positional and renamed arguments, views, masks."""

from __future__ import annotations

import functools
import logging
import warnings
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import pandas as pd
from anndata import AnnData
from legacy_api_wrap import legacy_api
from numpy.typing import NDArray

F = TypeVar("F", bound=Callable[..., Any])
log = logging.getLogger("scae")
old_positionals = functools.partial(legacy_api, category=FutureWarning)


def renamed(old: str, new: str) -> Callable[[F], F]:
    """Accept the first argument by its old name too, with a ``FutureWarning``."""

    def decorate(function: F) -> F:
        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            if old in kwargs:
                message = f"In function `{function.__name__}`, argument `{old}` was renamed to `{new}`."
                warnings.warn(message, FutureWarning, stacklevel=2)
                kwargs[new] = kwargs.pop(old)
            return function(*args, **kwargs)

        return call  # type: ignore[return-value]

    return decorate


def own(adata: AnnData) -> None:
    """Turn a view into an object of its own before it is written to."""
    if adata.is_view:
        warnings.warn("Received a view of an AnnData. Making a copy.", stacklevel=3)
        adata._init_as_actual(adata.copy())


def only_with_anndata(**given: object) -> None:
    """Refuse arguments that mean nothing when a bare array is passed."""
    names = [name for name, value in given.items() if value is not None]
    if names:
        raise TypeError(f"Arguments {names} are only valid if an AnnData object is passed.")


def check_mask(data: Any, mask: Any) -> NDArray[np.bool_] | None:
    """A boolean mask of cells from an array or the name of a column of ``obs``."""
    if mask is None:
        return None
    if isinstance(mask, str):
        if not isinstance(data, AnnData):
            raise ValueError("Cannot refer to mask with string without providing anndata object as argument")
        if mask not in data.obs.columns:
            raise ValueError(f"Did not find `adata.obs[{mask!r}]`. Add the column first, or pass the mask as an array.")
        mask = data.obs[mask].to_numpy()
    elif len(mask) != data.shape[0]:
        raise ValueError("The shape of the mask do not match the data.")
    mask = np.asarray(mask)
    if not pd.api.types.is_bool_dtype(mask.dtype):
        raise ValueError("Mask array must be boolean.")
    return mask.astype(bool)
