"""The latent of each cell."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from numpy.typing import NDArray

from ..environment import fingerprint
from ..errors import ConfigError
from ..infer import latent
from ..keys import KEYWORDS, spelled_out
from ..model import Autoencoder
from ._fit import TRAINING, Model, fitted
from ._writing import check_slots, note


@spelled_out(KEYWORDS | TRAINING)
def embed(
    adata: AnnData, model: Model = "vae", *, key_added: str = "X_scae", with_sd: bool | str = False,
    overwrite: bool = False, **keywords: Any,
) -> Autoencoder:  # fmt: skip
    """Write each cell's latent to ``obsm``, after fitting the model if it is not fitted.

    Parameters
    ----------
    adata : AnnData
        Cells × genes, raw counts.
    model : str, Preset, ModelSpec or Autoencoder
        The name of a preset, a preset or a specification, which is fitted and then applied; or a fitted model, which is applied.
        A fitted model matches genes by name (if it was fitted with the corruption ``gene_dropout``, some may be missing), and
        takes no other keyword below than ``layer``.
    key_added : str
        ``obsm`` key to write.
    with_sd : bool or "calibrated"
        Also write the posterior standard deviation to ``obsm[f"{key_added}_sd"]``, zero for a latent without one. Most models
        misjudge it. ``"calibrated"`` multiplies that of each dimension by what the fit found when it compared the latents of two
        random halves of each cell's molecules, ``model.fitted["sd_scale"]``.
    overwrite : bool
        Replace what is there already under that name, even if scae has no record of having written it.
    %(keywords)s

    Returns
    -------
    Autoencoder
        The fitted model. Also writes ``obsm[key_added]``, ``(cells, dim)`` float32 in C order, and a record in ``uns["scae"]``
        with the SHA-256 of what was written (:func:`scae.tl.differences` compares two).
        A model with one codebook also writes the categorical ``obs[f"{key_added}_code"]``; one with several codebooks writes
        ``obsm[f"{key_added}_codes"]``, ``(cells, books)`` int64.

    Raises
    ------
    GenesError
        If ``adata`` lacks genes of a fitted model, unless it was fitted with the corruption ``gene_dropout``.
    CategoryError
        If a covariate has a level to which the model was not fitted.
    TypeError
        If a keyword is unknown.
    ScaeError
        If :func:`scae.check` finds an error, an option is not allowed, or training diverges.

    Examples
    --------
    >>> adata = scae.datasets.pbmc68k_reduced()
    >>> model = scae.tl.embed(adata, plan=scae.TrainPlan(min_steps=20, epochs=1))
    >>> adata.obsm["X_scae"].shape[0]
    700
    """
    if not isinstance(with_sd, bool) and with_sd != "calibrated":
        raise ConfigError(f"with_sd is {with_sd!r}; allowed: True, False, 'calibrated'.")
    further = [("obsm", f"{key_added}_sd")] if with_sd else []
    codes_go_to = [("obs", f"{key_added}_code"), ("obsm", f"{key_added}_codes")]
    check_slots(adata, ("obsm", key_added), *further, *codes_go_to, overwrite=overwrite)
    fitted_model, source = fitted(adata, model, keywords, may_lack=True)
    scale = _scale(fitted_model) if with_sd == "calibrated" else 1.0
    mean, sd, codes = latent(fitted_model, source)
    sd = sd * scale
    adata.obsm[key_added] = mean
    how = {"verb": "embed", "library_sha256": fingerprint(source.library)}  # the counts themselves may take seconds to hash
    if with_sd:
        adata.obsm[f"{key_added}_sd"] = sd
        calibrated = {"calibrated": with_sd == "calibrated"}
        note(adata, fitted_model, f"obsm[{key_added + '_sd'!r}]", **how, **calibrated, sha256=fingerprint(sd))
    note(adata, fitted_model, f"obsm[{key_added!r}]", **how, sha256=fingerprint(mean))
    if codes is not None:
        note(adata, fitted_model, _write_codes(adata, key_added, codes), **how, sha256=fingerprint(codes))
    return fitted_model


def _scale(model: Autoencoder) -> NDArray[np.float32]:
    """What each dimension's standard deviation is multiplied by, ``(dim,)``."""
    if model.fitted.get("sd_scale") is None:
        raise ConfigError(
            "with_sd is 'calibrated', but the model has no calibration: its latent has no standard deviation, its counts were "
            "not whole, or an older scae fitted it. Use with_sd=True, or fit the model again."
        )
    return np.asarray(model.fitted["sd_scale"], np.float32)


def _write_codes(adata: AnnData, key_added: str, codes: NDArray[np.int64]) -> str:
    """Write each cell's codes ``(cells, books)``; return where they were written."""
    if codes.shape[1] > 1:
        adata.obsm[f"{key_added}_codes"] = codes
        return f"obsm[{key_added + '_codes'!r}]"
    levels = [str(code) for code in np.unique(codes)]  # in numeric order
    adata.obs[f"{key_added}_code"] = pd.Categorical(codes[:, 0].astype(str), categories=levels)
    return f"obs[{key_added + '_code'!r}]"
