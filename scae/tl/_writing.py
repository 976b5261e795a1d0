"""Where results go in AnnData, and the record of how they were made."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from anndata import AnnData

from ..checks import require_anndata
from ..environment import environment
from ..errors import ConfigError
from ..io.modelfile import digest
from ..model import Autoencoder
from ..parts import to_dict
from ..written import record, record_of

RESERVED = (("obs", "_index"), ("var", "_index"), ("uns", "scae"))  # by anndata, and for the record


def check_slots(adata: AnnData, *slots: tuple[str, str], overwrite: bool = False) -> None:
    """Refuse places that a verb must not write to, before any work.

    Parameters
    ----------
    adata
        Where results are to go.
    slots
        Pairs such as ``("obsm", "X_scae")``.
    overwrite
        Whether something that scae has no record of may be replaced.

    Raises
    ------
    ConfigError
        If ``adata`` is a view of a file, a key is not a name that a file can hold, or something else is there, also where scae
        keeps its record.
    """
    require_anndata(adata)
    if adata.isbacked and adata.is_view:
        raise ConfigError("adata is a view of a backed AnnData, which nothing can be written to. Load it: adata.to_memory().")
    written = record_of(adata).get("written", {})
    for slot, key in slots:
        if not isinstance(key, str) or not key.strip(".") or "/" in key or (slot, key) in RESERVED:
            raise ConfigError(
                f"the key {key!r} cannot be used for {slot}; allowed: a name without '/', which h5ad takes for a path within the "
                "file, and none of '.', '..', '_index' for a column and 'scae' for uns. Name another key_added."
            )
        if key in getattr(adata, slot) and not overwrite and f"{slot}[{key!r}]" not in written:
            raise ConfigError(
                f"{slot}[{key!r}] is there already, and uns['scae'] does not list it as a result of scae. Name another "
                f"key_added, delete it (del adata.{slot}[{key!r}]), or allow overwrite=True."
            )


def weights_sha256(model: Autoencoder) -> str:
    """SHA-256 of a model's weights and specification, which identifies it."""
    weights = {name: value.detach().cpu().numpy() for name, value in model.state_dict().items()}
    return digest(weights, json.dumps(to_dict(model.spec)))


def note(adata: AnnData, model: Autoencoder, place: str, **how: Any) -> None:
    """Record in ``uns["scae"]`` what was written, where and by which model, as JSON strings and arrays.

    ``spec``, ``plan``, ``random_state``, ``model_sha256`` and ``history`` are those of the last model. Each entry of
    ``written`` has the spec, plan, seed and hash of its own, ``fitted_in`` (where the model was fitted) and ``environment``
    (where it was applied).
    """
    history = model.fitted.get("history", {})
    rows = history.get("rows", [])
    spec, seed = json.dumps(to_dict(model.spec)), int(model.fitted.get("random_state", 0))
    sha256 = weights_sha256(model)
    adata.uns["scae"] = record_of(adata) | {
        "spec": spec,
        "plan": json.dumps(model.fitted.get("plan", {})),
        "random_state": seed,
        "model_sha256": sha256,
        "history": {name: np.array([row.get(name, np.nan) for row in rows]) for name in (rows[0] if rows else {})},
        "history_best": int(history.get("best", -1)),
    }
    fit = {name: model.fitted.get(origin, {}) for name, origin in (("plan", "plan"), ("fitted_in", "environment"))}
    own = {"spec": json.loads(spec), "random_state": seed, "model_sha256": sha256, "environment": environment(model.device)}
    record(adata, place, **how, **own, **fit)
