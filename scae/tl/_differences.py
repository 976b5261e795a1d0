"""Whether two results are the same and, if not, what differs in how they were made."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from anndata import AnnData

from ..checks import require_anndata
from ..errors import ConfigError, unknown
from ..model import Autoencoder
from ..parts import to_dict
from ..written import record_of
from ._writing import weights_sha256

Difference = tuple[Any, Any]


def differences(
    one: AnnData | Autoencoder, other: AnnData | Autoencoder, *, place: str = "obsm['X_scae']"
) -> dict[str, Difference]:
    """Compare two results, or two models, and how they were made: versions, processor, device, threads, model, plan and seed.

    The same data, model, plan and seed give the same bits on the same processor, with the same libraries and as many threads of
    torch. Elsewhere they give nearly the same numbers.

    Parameters
    ----------
    one, other : AnnData or Autoencoder
        Two AnnData with results of scae, or two fitted models.
    place : str
        The result to compare in AnnData, as ``uns["scae"]["written"]`` names it.

    Returns
    -------
    dict of str to tuple
        What differs, with the value in each: ``"sha256"`` for the numbers of an embedding as it was written, ``"library_sha256"``
        for the library sizes of the cells, ``"model_sha256"`` for the weights, ``"latent_sha256"`` for the latent of the first
        4,096 cells that a model was fitted to, ``"environment.torch"`` for the version of torch, ``"fitted_in.torch"`` for that
        with which the model was fitted, and so on. Empty if nothing differs.

    Raises
    ------
    ConfigError
        If the two are neither both AnnData nor both models, or the record is not one that scae wrote.
    MissingKeyError
        If scae has no record of the place.

    Examples
    --------
    >>> plan = scae.TrainPlan(min_steps=20, epochs=1)
    >>> here, there = scae.datasets.pbmc68k_reduced(), scae.datasets.pbmc68k_reduced()
    >>> model = scae.tl.embed(here, plan=plan, device="cpu")
    >>> again = scae.tl.embed(there, plan=plan, device="cpu")
    >>> scae.tl.differences(here, there)
    {}
    >>> another = scae.tl.fit(there, plan=plan, device="cpu", random_state=1)
    >>> list(scae.tl.differences(model, another))
    ['model_sha256', 'random_state', 'latent_sha256']
    """
    if isinstance(one, Autoencoder) and isinstance(other, Autoencoder):
        a, b = _of_model(one), _of_model(other)
    elif isinstance(one, Autoencoder) or isinstance(other, Autoencoder):
        raise ConfigError("one is a model and the other is not; allowed: two AnnData, or two models.")
    else:
        a, b = _of_place(one, place), _of_place(other, place)
    return {name: (a.get(name), b.get(name)) for name in {**a, **b} if a.get(name) != b.get(name)}


def _of_model(model: Autoencoder) -> dict[str, Any]:
    fitted = {name: model.fitted.get(name) for name in ("random_state", "plan", "environment", "latent_sha256")}
    return _flat({"model_sha256": weights_sha256(model), "spec": to_dict(model.spec), "data": to_dict(model.data), **fitted})


def _of_place(adata: AnnData, place: str) -> dict[str, Any]:
    require_anndata(adata)
    written = record_of(adata).get("written", {})
    if place not in written:
        raise unknown("place", place, written, hint="Name a result that scae has written to both.")
    try:
        return _flat(json.loads(written[place]))
    except (ValueError, TypeError, AttributeError) as fault:
        raise ConfigError(f"the record of {place} is {written[place]!r:.40}; allowed: what scae wrote. Write it anew.") from fault


def _flat(nested: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """Values by names such as ``spec.bottleneck.dim``."""
    flat: dict[str, Any] = {}
    for name, value in nested.items():
        flat |= _flat(value, f"{before}{name}.") if isinstance(value, Mapping) else {f"{before}{name}": value}
    return flat
