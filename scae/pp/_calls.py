"""Calling conventions that scanpy users rely on: legacy positional arguments, renamed arguments, views and masks."""

from __future__ import annotations

import functools
import logging
import warnings
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from anndata import AnnData
from legacy_api_wrap import legacy_api
from numpy.typing import NDArray

from ..errors import ConfigError, KindError
from ._arguments import truth
from ._slots import check_slots

F = TypeVar("F", bound=Callable[..., Any])
log = logging.getLogger("scae")
old_positionals = functools.partial(legacy_api, category=FutureWarning)


def renamed(old: str, new: str) -> Callable[[F], F]:
    """Make a decorator that also accepts an argument by its old name, with a ``FutureWarning``."""

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


def copy_if_view(adata: AnnData) -> None:
    """Replace a view by a copy of its data, in place and with a warning, so that it can be written to."""
    if adata.is_view:
        check_slots(adata._adata_ref)
        warnings.warn("Received a view of an AnnData. Making a copy.", stacklevel=3)
        adata._init_as_actual(adata.copy())


def refuse_without_anndata(**options: object) -> None:
    """Raise :class:`KindError` if an option is set that has no meaning for a bare matrix."""
    names = [name for name, value in options.items() if value is not None]
    if names:
        raise KindError(f"The arguments {names} need an AnnData object, but a bare matrix was passed. Leave them out.")


def check_mask(data: Any, mask: Any) -> NDArray[np.bool_] | None:
    """Return a boolean mask of cells, ``(cells,)``, from an array or the name of a column of ``obs``; None stays None.

    Raises
    ------
    ConfigError
        If there is no such column, or the mask is not boolean, has the wrong length or selects no cell.
    """
    if mask is None:
        return None
    place = "mask_obs"
    if isinstance(mask, str):
        place = f"obs[{mask!r}]"
        if not isinstance(data, AnnData):
            raise ConfigError(
                f"The mask is the column name {mask!r}, but no AnnData object was passed. Pass a boolean array instead."
            )
        if mask not in data.obs.columns:
            raise ConfigError(f"Did not find `adata.obs[{mask!r}]`. Add the column first, or pass the mask as an array.")
        mask = data.obs[mask]
    elif len(mask) != data.shape[0]:
        raise ConfigError(f"The mask has {len(mask)} entries for {data.shape[0]} cells. Pass one boolean per cell.")
    chosen = truth(mask, place)
    if not chosen.any():
        raise ConfigError(f"{place} selects no cell. Select at least one.")
    return chosen
