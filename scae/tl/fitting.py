"""Fitting a model to AnnData, and taking a model however the user names it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, TypedDict

import numpy as np
import torch
from anndata import AnnData
from numpy.typing import NDArray

from .. import presets
from ..batch import DataSpec
from ..errors import ConfigError
from ..model import Autoencoder, ModelSpec
from ..ops.device import resolve_device
from ..parts import to_dict
from ..plan import TrainPlan
from ..presets import Preset
from ..source import CountMatrix
from ..train import fit as train
from ..train import thread_count
from .inputs import Keys, counts, keys_of, prepare, verify

Model = str | Preset | ModelSpec | Autoencoder


class FitOptions(TypedDict, total=False):
    """The keywords of :func:`scae.tl.fit`, which ``embed`` and ``denoise`` hand on when they fit."""

    layer: str | None
    batch_key: str | None
    categorical_covariates: Sequence[str]
    continuous_covariates: Sequence[str]
    size_factor: str | None
    label_key: str | None
    mask_var: str | NDArray[np.bool_] | None
    plan: TrainPlan | None
    device: str
    random_state: int


def fit(
    adata: AnnData,
    model: str | Preset | ModelSpec = "vae",
    *,
    layer: str | None = None,
    batch_key: str | None = None,
    categorical_covariates: Sequence[str] = (),
    continuous_covariates: Sequence[str] = (),
    size_factor: str | None = None,
    label_key: str | None = None,
    mask_var: str | NDArray[np.bool_] | None = None,
    plan: TrainPlan | None = None,
    device: str = "auto",
    random_state: int = 0,
) -> Autoencoder:
    """Fit a model to raw counts; writes nothing into ``adata``.

    Parameters
    ----------
    adata
        Cells × genes, raw counts (CSR, CSC or dense; integers or floats; a view will do).
    model
        A preset's name (``scae parts`` lists them), a preset, or a specification of your own.
    layer
        The layer that holds the counts; None for ``X``.
    batch_key
        ``obs`` column of the batch that the latent is to be free of.
    categorical_covariates, continuous_covariates
        Further ``obs`` columns told to the encoder and the decoder.
    size_factor
        ``obs`` column of the exposure; None for each cell's total over the modelled genes.
    label_key
        ``obs`` column of the labels that a prior reads (``label_normal``); missing values are unknown labels.
    mask_var
        Genes to model: a ``var`` column, or ``(genes,)`` bool; None for ``var["highly_variable"]`` where present, else all.
    plan
        How to train; None for the preset's plan.
    device
        ``"cpu"``, ``"cuda"``, or ``"auto"`` for CUDA where there is one.
    random_state
        Seed of the fit. The same seed, threads and machine give the same bits; numpy's and torch's own states are untouched.

    Returns
    -------
    Autoencoder
        The fitted model; ``model.fitted["history"]`` holds its losses in nats per cell.

    Raises
    ------
    ScaeError
        Where :func:`scae.check` finds an error, an option is not allowed, or training diverges.

    Examples
    --------
    >>> adata = scae.datasets.pbmc68k_reduced()
    >>> model = scae.tl.fit(adata, plan=scae.TrainPlan(min_steps=20, epochs=1))
    >>> model.data.n_genes
    765
    """
    options = FitOptions(
        layer=layer,
        batch_key=batch_key,
        categorical_covariates=categorical_covariates,
        continuous_covariates=continuous_covariates,
        size_factor=size_factor,
        label_key=label_key,
        mask_var=mask_var,
        plan=plan,
        device=device,
        random_state=random_state,
    )
    return fit_preset(adata, as_preset(model), options)[0]


def keys_from(options: FitOptions) -> Keys:
    """Where the keywords of a fit say that its inputs are."""
    return Keys(
        options.get("layer"),
        options.get("batch_key"),
        _names(options.get("categorical_covariates", ())),
        _names(options.get("continuous_covariates", ())),
        options.get("size_factor"),
        options.get("label_key"),
    )


def fit_preset(
    adata: AnnData, preset: Preset, options: FitOptions, progress: bool | None = None
) -> tuple[Autoencoder, CountMatrix]:
    """The fitted model, and the counts that it was fitted to."""
    keys = keys_from(options)
    if keys.label is not None and not preset.spec.bottleneck.uses_labels:
        raise ConfigError(f"label_key is {keys.label!r}, but no part of this model reads labels; the prior 'label_normal' does.")
    plan, seed = options.get("plan") or preset.plan, int(options.get("random_state", 0))
    rng = torch.Generator(resolve_device(options.get("device", "auto"))).manual_seed(seed)
    verify(adata, keys, fractions=takes_fractions(preset.spec))
    ordered = preset.spec.network.needs_order
    data, source = prepare(adata, keys, options.get("mask_var"), ordered=ordered)
    if preset.genes is not None and data.n_genes > preset.n_genes:
        names = _most_varied(preset.genes, preset.n_genes, data, source, rng, progress)
        data, source = prepare(adata, keys, np.isin(adata.var_names, names), ordered=ordered)
    with thread_count():
        made = Autoencoder(preset.spec, data, rng)
        history = train(made, source, plan, rng, progress=progress)
    made.fitted = {"plan": to_dict(plan), "history": asdict(history), "random_state": seed}
    return made, source


def _most_varied(
    preset: Preset, n: int, data: DataSpec, source: CountMatrix, rng: torch.Generator, progress: bool | None
) -> list[str]:
    """The genes whose loadings vary most over the latents of a model fitted for that, which is then forgotten."""
    with thread_count():
        first = Autoencoder(preset.spec, data, rng)
        train(first, source, preset.plan, rng, progress=progress)
    spread = first.coder.code_columns().detach().var(dim=1)  # (genes,)
    return [data.genes[i] for i in spread.topk(n).indices.tolist()]


def fitted(
    adata: AnnData, model: Model, options: FitOptions, *, may_lack: bool = False, progress: bool | None = None
) -> tuple[Autoencoder, CountMatrix]:
    """A fitted model (fitted now, if it is not yet) and these cells as it takes them; ``progress`` as in training.

    With ``may_lack``, genes that they lack are hidden from a model whose corruption has taught it what that means.
    """
    refuse_unknown(options)
    if not isinstance(model, Autoencoder):
        return fit_preset(adata, as_preset(model), options, progress)
    settled = sorted(set(options) - {"layer"})
    if settled:
        raise ConfigError(
            f"the model is fitted already and remembers its keys: {', '.join(settled)} cannot be given. "
            "Only layer may say where this query's counts are."
        )
    layer = options.get("layer")
    verify(adata, keys_of(model.data, layer), fractions=takes_fractions(model.spec))
    return model, counts(adata, model.data, layer=layer, may_lack=may_lack and model.spec.corruption.hides)


def spec_of(model: Model) -> ModelSpec:
    """The architecture of a model however the user names it."""
    return model.spec if isinstance(model, Autoencoder) else as_preset(model).spec


def takes_fractions(spec: ModelSpec) -> bool:
    """Whether a model takes values that are not whole: by its likelihood's word, or because it models the input as it is."""
    return spec.likelihood.takes_fractions or (spec.likelihood.on_input and not spec.transform.of_counts)


def refuse_unknown(options: FitOptions) -> None:
    """Raise what Python raises for a keyword that there is not."""
    for name in options:
        if name not in FitOptions.__annotations__:
            raise TypeError(f"unexpected keyword argument {name!r}; known: {', '.join(FitOptions.__annotations__)}.")


def _names(given: str | Sequence[str]) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) else tuple(given)


def as_preset(model: Any) -> Preset:
    """The preset that is named or given; a specification alone takes the default plan.

    Raises
    ------
    ConfigError
        If it is none of these.
    """
    if isinstance(model, Preset):
        return model
    if isinstance(model, str):
        return presets.find(model)
    if isinstance(model, ModelSpec):
        return Preset(model, TrainPlan())
    allowed = "a preset's name, a Preset, a ModelSpec or, where nothing is to be fitted, a fitted Autoencoder"
    raise ConfigError(f"model is a {type(model).__name__}; allowed: {allowed}.")
