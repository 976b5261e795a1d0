"""Fitting a model to AnnData, and taking a model however the user names it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
from anndata import AnnData

from .. import presets
from ..errors import ConfigError
from ..keys import KEYWORDS, DataKeys, read_keys, spelled_out
from ..model import Autoencoder, ModelSpec
from ..ops.device import resolve_device
from ..parts import to_dict
from ..plan import TrainPlan
from ..presets import Preset
from ..records import DataSpec
from ..source import CountMatrix
from ..train import fit as train
from ._inputs import prepare, query, verify

Model = str | Preset | ModelSpec | Autoencoder

TRAINING: dict[str, tuple[Any, str]] = {
    "plan": (None, "how to train; None for the preset's plan"),
    "device": ("auto", "``'cpu'``, ``'cuda'``, or ``'auto'`` for CUDA where there is one"),
    "random_state": (
        0,
        "seed of the fit; same seed, threads and machine give the same bits, and numpy's and torch's own states are untouched",
    ),
}


@dataclass(frozen=True)
class FitOptions:
    """The keywords of :func:`fit`, which ``embed``, ``denoise`` and ``cross_validate`` take too."""

    keys: DataKeys
    plan: TrainPlan | None = None
    device: str = "auto"
    random_state: int = 0

    @classmethod
    def read(cls, keywords: Mapping[str, Any]) -> FitOptions:
        """From the keywords of a verb.

        Raises
        ------
        TypeError
            If there is no such keyword.
        ConfigError
            If a value is not allowed.
        """
        training = {name: value for name, value in keywords.items() if name in TRAINING}
        return cls(read_keys({name: value for name, value in keywords.items() if name not in TRAINING}), **training)


@spelled_out(KEYWORDS | TRAINING)
def fit(adata: AnnData, model: str | Preset | ModelSpec = "vae", **keywords: Any) -> Autoencoder:
    """Fit a model to raw counts; writes nothing into ``adata``.

    Parameters
    ----------
    adata
        Cells × genes, raw counts (CSR, CSC or dense; integers or floats; views too).
    model
        A preset's name (``scae parts`` lists them), a preset, or a specification of your own.
    %(keywords)s

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
    return fit_preset(adata, as_preset(model), FitOptions.read(keywords))[0]


def fit_preset(
    adata: AnnData, preset: Preset, options: FitOptions, progress: bool | None = None
) -> tuple[Autoencoder, CountMatrix]:
    """The fitted model, and the counts to which it was fitted; ``progress`` as in training."""
    keys, needs = options.keys, preset.spec.needs
    if keys.label_key is not None and "labels" not in needs:
        raise ConfigError(
            f"label_key is {keys.label_key!r}, but no part of this model uses labels; the prior 'label_normal' does."
        )
    plan, seed = options.plan or preset.plan, int(options.random_state)
    rng = torch.Generator(resolve_device(options.device)).manual_seed(seed)
    x = verify(adata, keys, fractions=takes_fractions(preset.spec))
    data, source = prepare(adata, x, keys, ordered="order" in needs)
    if preset.genes is not None and data.n_genes > preset.n_genes:
        names = _most_varied(preset.genes, preset.n_genes, data, source, rng, progress)
        chosen = replace(keys, mask_var=tuple(np.isin(adata.var_names, names).tolist()))
        data, source = prepare(adata, x, chosen, ordered="order" in needs)
    model = Autoencoder(preset.spec, data, rng)
    history = train(model, source, plan, rng, progress=progress)
    model.fitted = {"plan": to_dict(plan), "history": asdict(history), "random_state": seed}
    return model, source


def _most_varied(
    preset: Preset, n: int, data: DataSpec, source: CountMatrix, rng: torch.Generator, progress: bool | None
) -> list[str]:
    """The genes whose loadings vary most over the latent dimensions of a model that is fitted to find them."""
    first = Autoencoder(preset.spec, data, rng)
    train(first, source, preset.plan, rng, progress=progress)
    variance = first.heads.decoders[0].latent_weights().detach().var(dim=1)  # (genes,)
    return [data.genes[i] for i in variance.topk(n).indices.tolist()]


def fitted(
    adata: AnnData, model: Model, keywords: Mapping[str, Any], *, may_lack: bool = False, progress: bool | None = None
) -> tuple[Autoencoder, CountMatrix]:
    """A fitted model (fitted now, if it is not yet) and these cells as it takes them.

    Parameters
    ----------
    adata
        Cells × genes.
    model
        A model however the user names it.
    keywords
        Those of :func:`fit`; for a fitted model ``layer`` alone.
    may_lack
        The cells may lack genes, if the model's corruption has taught it what that means: they are then hidden.
    progress
        As in training.
    """
    options = FitOptions.read(keywords)
    if not isinstance(model, Autoencoder):
        return fit_preset(adata, as_preset(model), options, progress)
    settled = sorted(set(keywords) - {"layer"})
    if settled:
        raise ConfigError(
            f"the model is fitted already and remembers its keys: {', '.join(settled)} cannot be given. "
            "Only layer may say where this query's counts are."
        )
    layer = model.data.keys.layer if options.keys.layer is None else options.keys.layer
    keys = replace(model.data.keys, layer=layer, label_key=None)  # a query may be without labels
    x = verify(adata, keys, fractions=takes_fractions(model.spec))
    return model, query(adata, x, model.data, may_lack=may_lack and model.input.takes_missing_genes)


def spec_of(model: Model) -> ModelSpec:
    """The architecture of a model however the user names it."""
    return model.spec if isinstance(model, Autoencoder) else as_preset(model).spec


def takes_fractions(spec: ModelSpec) -> bool:
    """Whether a model takes values that are not whole: its likelihood does, or it models its input, whatever that is."""
    return spec.likelihood.takes_fractions or (spec.likelihood.on_input and not spec.transform.of_counts)


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
