"""Counts that a model predicts at latents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any

import numpy as np
from anndata import AnnData
from numpy.typing import ArrayLike, NDArray

from ..decoding import require_decodable
from ..errors import ConfigError, unknown
from ..infer import CP10K, latent
from ..model import Autoencoder
from ._denoise import listed
from ._fit import fitted, require_fitted
from ._keywords import seed_of
from ._predicted import check_kind, check_library_size, conditions, covariates_of, predicted
from ._support import support


def decode(
    latents: AnnData | ArrayLike,
    model: Autoencoder,
    *,
    key: str = "X_scae",
    kind: str = "rate",
    library_size: float | ArrayLike | None = None,
    at_batch: str | None = None,
    covariates: Mapping[str, Any] | None = None,
    genes: str | Sequence[str] | None = None,
    reference: AnnData | None = None,
    random_state: int = 0,
) -> AnnData:
    """Decode latents, of cells or of any other points of the latent space, to counts.

    :func:`scae.tl.denoise` does the same for cells whose counts are at hand. Here only the latent is used.

    Parameters
    ----------
    latents : AnnData or array
        Cells with latents in ``obsm[key]``, whose ``obs`` also has the covariates of the fit; or latents ``(n, dim)``.
    model : Autoencoder
        A fitted model.
    key : str
        ``obsm`` key of the latents, as :func:`scae.tl.embed` wrote it.
    kind : str
        ``"rate"`` and ``"mean"``: expected counts. ``"sample"``: one draw from the likelihood. ``"log_mean"``:
        E[log1p(X · 10⁴ / library_size)] of counts X, for likelihoods of molecules, at one library size for all.
    library_size : float or array, optional
        Library size, counts, one for all or one per latent. None for that of each cell of an AnnData if ``kind`` is ``"mean"`` or
        ``"sample"``, which takes the counts, and for 10,000 otherwise.
    at_batch : str, optional
        Level of ``batch_key`` at which to decode; None: that of each cell. An array needs one if the model has a batch key.
    covariates : mapping, optional
        Values of further covariates of the fit by name, one for all or one per latent, instead of those in ``obs``.
    genes : str or sequence of str, optional
        Predict only these genes; None for all genes of the model.
    reference : AnnData, optional
        Cells × genes, raw counts, such as the cells of the fit: ``obs["support"]`` then says how near each latent is to theirs.
    random_state : int
        Seed of ``kind="sample"``.

    Returns
    -------
    AnnData
        Latents × genes: float32 ``X``, dense, or CSR if drawn; ``obs`` of the cells with the covariates at which they were
        decoded; ``obsm["X_scae"]``, the latents; and a record in ``uns["scae"]``. With ``reference``, ``obs["support"]`` is the
        share of its cells that are at least as far from their tenth neighbour as the latent is from its tenth: 0.01 means farther
        than 99 % of them.

    Raises
    ------
    MissingKeyError
        If there is no such ``obsm`` key, gene or covariate.
    CategoryError
        If a covariate has a level to which the model was not fitted.
    ConfigError
        If an option is not allowed, the latents are not ``(n, dim)`` finite numbers, a covariate is neither in ``obs`` nor given,
        or the model takes a parameter of its likelihood from each cell's counts.
    ScaeError
        If the counts of the reference do not fit the model.

    References
    ----------
    Lopez et al. (2018), Nat. Methods 15:1053, doi:10.1038/s41592-018-0229-2.

    Examples
    --------
    >>> adata = scae.datasets.pbmc68k_reduced()
    >>> model = scae.tl.embed(adata, plan=scae.TrainPlan(min_steps=20, epochs=1))
    >>> center = adata.obsm["X_scae"].mean(0, keepdims=True)
    >>> rates = scae.tl.decode(center, model, reference=adata)
    >>> rates.shape, round(float(rates.X.sum()))
    ((1, 765), 10000)
    """
    require_fitted(model)
    require_decodable(model)
    check_kind(model, kind)
    seed, z = seed_of(random_state), latents_of(latents, key, model)
    sizes = None if library_size is None else _sizes(library_size, len(z), kind)
    cells = latents if isinstance(latents, AnnData) else None
    chosen = None if genes is None else positions(model, genes)
    frame = covariates_of(model, len(z), None if cells is None else cells.obs, at_batch, covariates)
    if sizes is None:
        own = cells is not None and kind in ("mean", "sample")
        sizes = fitted(cells, model, {})[1].library if own else np.full(len(z), CP10K)
    at = conditions(model, frame, sizes)
    obs = frame if cells is None else cells.obs.copy().assign(**frame)
    if reference is not None:
        obs["support"] = support(z, latent(model, fitted(reference, model, {})[1])[0])
    one = {"library_size": float(sizes.flat[0])} if len(z) and (sizes == sizes.flat[0]).all() else {}
    how: dict[str, Any] = one | ({"random_state_of_draw": seed} if kind == "sample" else {})
    return predicted(model, z, at, obs, kind=kind, seed=seed, genes=chosen, verb="decode", **how)


def _sizes(library_size: float | ArrayLike, n: int, kind: str) -> NDArray[np.float64]:
    """A library size per latent, ``(n,)``."""
    if isinstance(library_size, Real):
        return np.full(n, check_library_size(library_size))
    try:
        sizes = np.asarray(library_size, np.float64)
    except (TypeError, ValueError):
        sizes = np.empty((0, 0))
    if kind == "log_mean" or sizes.shape != (n,) or not (np.isfinite(sizes) & (sizes > 0)).all():
        per = "" if kind == "log_mean" else f", or {n} of them, one per latent"
        raise ConfigError(f"library_size is {library_size!r}; allowed: a finite number above 0{per}.")
    return sizes


def latents_of(latents: AnnData | ArrayLike, key: str, model: Autoencoder) -> NDArray[np.float32]:
    """Latents ``(n, dim)`` float32 of an AnnData or an array.

    Raises
    ------
    MissingKeyError, ConfigError
        If there is no such key, or these are not finite numbers of the model's dimensions.
    """
    if isinstance(latents, AnnData):
        if key not in latents.obsm:
            raise unknown("obsm key", key, latents.obsm.keys(), hint="scae.tl.embed writes the latents.")
        latents = latents.obsm[key]
    dim = model.spec.bottleneck.dim
    try:
        z: NDArray[np.float32] = np.asarray(latents, np.float32)
    except (TypeError, ValueError):
        z = np.empty((), np.float32)
    if z.ndim != 2 or z.shape[1] != dim or not np.isfinite(z).all():
        found = f"have shape {z.shape}" if z.ndim != 2 or z.shape[1] != dim else "are not all finite"
        raise ConfigError(f"the latents {found}; allowed: finite numbers (n, {dim}), the dimensions of this model's latent.")
    return z


def positions(model: Autoencoder, genes: str | Sequence[str]) -> list[int]:
    """Positions of genes among those of a model.

    Raises
    ------
    MissingKeyError
        If the model does not have one.
    """
    place = {name: i for i, name in enumerate(model.data.genes)}
    names = listed(genes)
    for name in names:
        if name not in place:
            raise unknown("gene", name, model.data.genes, hint="Only genes that the model was fitted to can be predicted.")
    return [place[name] for name in names]
