"""Guard layers against overwriting, and record in AnnData how results were made."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from anndata import AnnData

from ..errors import ConfigError
from ..io.modelfile import digest
from ..model import Autoencoder
from ..parts import to_dict
from ..version import __version__


def guard_layer(adata: AnnData, key: str) -> None:
    """Refuse to overwrite a layer that scae did not write, such as the counts.

    Raises
    ------
    ConfigError
        If there is such a layer.
    """
    written = adata.uns.get("scae", {}).get("written", {})
    if key in adata.layers and f"layers[{key!r}]" not in written:
        raise ConfigError(f"layers[{key!r}] exists, and scae did not write it. Choose another key_added.")


def note(adata: AnnData, model: Autoencoder, place: str, **how: Any) -> None:
    """Record in ``uns["scae"]`` what was written, where and by which model, as JSON strings and arrays."""
    history = model.fitted.get("history", {})
    rows = history.get("rows", [])
    about = dict(adata.uns.get("scae", {}))
    weights = {k: v.detach().cpu().numpy() for k, v in model.state_dict().items()}
    about |= {
        "version": __version__,
        "spec": json.dumps(to_dict(model.spec)),
        "plan": json.dumps(model.fitted.get("plan", {})),
        "random_state": int(model.fitted.get("random_state", 0)),
        "model_sha256": digest(weights, json.dumps(to_dict(model.spec))),
        "history": {name: np.array([row[name] for row in rows]) for name in (rows[0] if rows else {})},
        "history_best": int(history.get("best", -1)),
        "written": dict(about.get("written", {})) | {place: json.dumps(how)},
    }
    adata.uns["scae"] = about
