"""New cells from a fitted model."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from numpy.typing import NDArray

from ..bottlenecks.base import Bottleneck
from ..checks import require_anndata
from ..decoding import from_posterior, from_prior, require_decodable
from ..errors import ConfigError, unknown
from ..infer import latent
from ..model import Autoencoder
from ..parts import inside
from ._density import Density
from ._fit import fitted, require_fitted
from ._inputs import level_codes
from ._keywords import seed_of
from ._latents import check_count
from ._predicted import check_library_size, conditions, covariates_of, predicted
from ._support import support

PRIORS = ("aggregate", "prior")


def generate(
    adata: AnnData,
    model: Autoencoder,
    n: int = 1000,
    *,
    label: str | None = None,
    label_key: str | None = None,
    batch: str | None = None,
    library_size: float | None = None,
    prior: str = "aggregate",
    random_state: int = 0,
) -> AnnData:
    """Draw the counts of new cells.

    A latent is drawn, then counts from the likelihood at it. ``prior="aggregate"`` draws latents like those of the cells given,
    which is far better than the prior of the fit, from which the latents of real cells depart. The model matters too: boosted
    trees told 2,000 drawn cells of blood and of bladder from real ones with an area under the curve of .61 and .57 for the preset
    ``denoiser``, of .68 and .74 for ``vae``, and of .97 or more for the priors of both.

    Parameters
    ----------
    adata : AnnData
        Cells × genes, raw counts, such as the cells of the fit: new cells are drawn like them. A model file holds no cells.
    model : Autoencoder
        A fitted model.
    n : int
        Number of cells to draw.
    label : str, optional
        Draw cells of this level of ``label_key`` only.
    label_key : str, optional
        ``obs`` column with cell labels: latents are then drawn within labels, at their frequencies in ``adata``. None for the
        ``label_key`` of the fit, where it is in ``obs``.
    batch : str, optional
        Draw cells of this level of the model's ``batch_key`` only; None for batches at their frequencies.
    library_size : float, optional
        Library size at which counts are drawn; None for library sizes like those of the cells.
    prior : str
        ``"aggregate"``: from a mixture of normal distributions, fitted to the latents and log library sizes of the cells; where a
        latent may not take any value (codes, bits, sparse units, proportions), those of random cells, which for codebooks is the
        joint frequency of the codes given label and batch. ``"prior"``: from the prior of the model, with library sizes of random
        cells. A prior with labels depends on the label; for several codebooks, their frequencies are taken to be independent.
    random_state : int
        Seed of all draws.

    Returns
    -------
    AnnData
        New cells × genes of the model: ``X``, counts as float32 CSR; in ``obs`` the label (if asked for), the covariates at which
        they were decoded, ``"library_size"`` and ``"support"``, the share of the cells of ``adata`` that are at least as far from
        their tenth neighbour as the new cell is from its tenth; ``obsm["X_scae"]``, the latents; and a record in ``uns["scae"]``.

    Raises
    ------
    MissingKeyError
        If there is no such label or column.
    CategoryError
        If the model was not fitted to such a batch.
    ConfigError
        If an option is not allowed, no cell has the label, or the model has no prior to draw from.
    ScaeError
        If the counts do not fit the model.

    References
    ----------
    Kingma and Welling (2014), arXiv:1312.6114. Tomczak and Welling (2018), VAE with a VampPrior, arXiv:1705.07120 (the aggregated
    posterior). van den Oord et al. (2017), arXiv:1711.00937 (a prior over codes).

    Examples
    --------
    >>> adata = scae.datasets.pbmc68k_reduced()
    >>> model = scae.tl.fit(adata, plan=scae.TrainPlan(min_steps=20, epochs=1))
    >>> new = scae.tl.generate(adata, model, 50, label="Dendritic", label_key="bulk_labels")
    >>> new.shape, set(new.obs["bulk_labels"])
    ((50, 765), {'Dendritic'})
    """
    require_fitted(model)
    require_decodable(model)
    check_count("n", n, low=0)
    size, seed = None if library_size is None else check_library_size(library_size), seed_of(random_state)
    if prior not in PRIORS:
        raise ConfigError(f"prior is {prior!r}; allowed: {', '.join(map(repr, PRIORS))}.")
    require_anndata(adata)
    key = label_key or (model.data.keys.label_key if model.data.keys.label_key in adata.obs else None)
    labels = _labels(adata, model, label, key, prior)
    rows, rng = _rows(adata, model, labels, label, batch), np.random.default_rng(seed)
    like = rng.choice(rows, n) if n else np.empty(0, np.int64)  # the cells whose covariates are used
    of_latents, of_counts = (int(number) for number in rng.integers(2**63, size=2))  # two seeds, so that neither tells the other
    drawn = None
    if prior == "prior":
        drawn = from_prior(model, conditions(model, _obs(adata, model, like, key, labels, batch), 1.0), of_latents)
    source = fitted(adata, model, {})[1]
    z, sizes = latent(model, source)[0], source.library[like, 0]
    if drawn is None and _takes_any_value(model.spec.bottleneck):
        drawn, like, sizes = _from_density(z, source.library[:, 0], labels, rows, like, rng)
    elif drawn is None:
        drawn = from_posterior(model, source, like, of_latents)
    obs = _obs(adata, model, like, key, labels, batch)
    at = conditions(model, obs, sizes if size is None else size)
    obs = obs.assign(library_size=at.library[:, 0], support=support(drawn, z))
    how: dict[str, Any] = {
        "label": label,
        "label_key": key,
        "batch": batch,
        "library_size": size,
        "prior": prior,
        "random_state_of_draw": seed,
    }
    return predicted(model, drawn, at, obs, kind="sample", seed=of_counts, point=False, verb="generate", **how)


def _takes_any_value(bottleneck: Bottleneck) -> bool:
    return all(part.any_value for part in (bottleneck, *inside(bottleneck)))


def _obs(
    adata: AnnData, model: Autoencoder, like: NDArray[np.int64], key: str | None, labels: NDArray[np.object_], batch: str | None
) -> pd.DataFrame:
    """Covariates and labels of new cells, those of given ones apart from the batch asked for."""
    obs = covariates_of(model, like.size, adata.obs.iloc[like].reset_index(drop=True), batch, None)
    obs.index = pd.Index([f"cell{i}" for i in range(like.size)])
    return obs if key is None else obs.assign(**{key: labels[like]})


def _labels(adata: AnnData, model: Autoencoder, label: str | None, key: str | None, prior: str) -> NDArray[np.object_]:
    """Each cell's label ``(cells,)``, None where there is none."""
    if key is None and label is not None:
        raise ConfigError(f"label is {label!r}, but there is no label_key. Name the obs column with the labels.")
    if key is None:
        return np.full(adata.n_obs, "", object)
    if key not in adata.obs:
        raise unknown("obs column", key, adata.obs.columns, hint="label_key names the column with the labels.")
    if label is not None and prior == "prior" and key != model.data.keys.label_key:
        raise ConfigError(
            f"label is {label!r} and prior is 'prior', but the prior of this model knows no labels of obs[{key!r}]: use "
            "prior='aggregate'."
        )
    values = adata.obs[key].astype(str).to_numpy(object)
    values[adata.obs[key].isna().to_numpy()] = None
    known = sorted({value for value in values if value is not None})
    if label is not None and str(label) not in known:
        raise unknown(f"level of {key}", label, known)
    return values


def _rows(
    adata: AnnData, model: Autoencoder, labels: NDArray[np.object_], label: str | None, batch: str | None
) -> NDArray[np.int64]:
    """The cells that new ones should resemble."""
    wanted = np.array([value is not None if label is None else value == str(label) for value in labels], bool)
    key = model.data.keys.batch_key
    if batch is not None and key is None:
        raise ConfigError(f"batch is {batch!r}, but the model was fitted without batch_key. Fit one with batch_key.")
    if batch is not None:
        level_codes([str(batch)], str(key), model.data.batches)
        of_batch = wanted & (adata.obs[key].astype(str) == str(batch)).to_numpy()
        if not of_batch.any():
            warnings.warn(
                f"no cell of adata has {key} {batch!r}{'' if label is None else f' and the label {label!r}'}: latents and "
                "library sizes are like those of its other batches, and only the decoding is at that batch.",
                UserWarning,
                stacklevel=3,
            )
        wanted = of_batch if of_batch.any() else wanted
    if not wanted.any():
        raise ConfigError("adata has no cells that new ones could resemble. Give the cells of the fit, or similar ones.")
    return np.flatnonzero(wanted)


def _from_density(
    z: NDArray[np.float32],
    library: NDArray[np.float32],
    labels: NDArray[np.object_],
    rows: NDArray[np.int64],
    chosen: NDArray[np.int64],
    rng: np.random.Generator,
) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.float32]]:
    """Latents, cells with the covariates to use, and library sizes, drawn within labels as often as ``chosen`` has each."""
    drawn, like, sizes = np.empty((chosen.size, z.shape[1]), np.float32), chosen.copy(), np.empty(chosen.size, np.float32)
    for label in sorted(set(labels[chosen])):
        mine, here = rows[labels[rows] == label], np.flatnonzero(labels[chosen] == label)
        drawn[here], sizes[here], place = Density(z[mine], library[mine], int(rng.integers(2**31))).draw(here.size, rng)
        like[here] = mine[place]
    return drawn, like, sizes
