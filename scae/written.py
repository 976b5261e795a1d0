"""The record in ``uns["scae"]`` of what scae has written to AnnData. Imports no torch."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from anndata import AnnData

from .errors import ConfigError
from .version import __version__

FORMAT = 1  # of the record; raised when an older scae could not use a newer one


def record_of(adata: AnnData) -> dict[str, Any]:
    """A copy of the record, empty if there is none; a slot of the user's own under that name is refused.

    Raises
    ------
    ConfigError
        If ``uns["scae"]`` is there and is no such record, or one of a newer format.
    """
    earlier = adata.uns.get("scae", {})
    if not isinstance(earlier, dict) or ("written" in earlier and not isinstance(earlier["written"], dict)):
        raise ConfigError(
            f"uns['scae'] is a {type(earlier).__name__} that scae did not write, but scae keeps its record there. Rename it."
        )
    if isinstance(found := earlier.get("format", FORMAT), int | np.integer) and found > FORMAT:
        raise ConfigError(
            f"uns['scae'] was written by a newer scae ({earlier.get('version', '?')!s:.20}), in format {found}; this one "
            f"reads formats up to {FORMAT}. Upgrade scae, or start a new record: del adata.uns['scae']."
        )
    return dict(earlier)


def record(adata: AnnData, place: str, **how: Any) -> None:
    """Add a place, such as ``"obsm['X_scae']"``, to ``written``, with how it was made."""
    earlier = record_of(adata)
    entry = {place: json.dumps(how | {"version": __version__})}
    about = {"format": FORMAT, "version": __version__}
    adata.uns["scae"] = earlier | about | {"written": dict(earlier.get("written", {})) | entry}
