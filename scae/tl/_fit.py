"""Fit a model to AnnData; find the model that a user names."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from anndata import AnnData

from .. import presets
from ..calibration import sd_scale
from ..checkpoint import Checkpoints
from ..checks import batches
from ..dispersions import theta_factor
from ..environment import environment, fingerprint
from ..errors import ConfigError, KindError, OutputError
from ..infer import latent
from ..keys import KEYWORDS, DataKeys, DataSpec, Keyword, read_keys, spelled_out
from ..model import Autoencoder, ModelSpec
from ..ops.device import resolve_device
from ..parts import build, to_dict
from ..plan import TrainPlan
from ..presets import Preset
from ..source import CountMatrix
from ..train import fit as train
from ._inputs import prepare, query, verify
from ._keywords import seed_of, unexpected

Model = str | Preset | ModelSpec | Autoencoder
_HASHED = 4096  # cells, the first of those fitted to, whose latent is hashed: enough to tell two fits apart, and soon done

TRAINING: dict[str, Keyword] = {
    "plan": (None, "TrainPlan, optional", "training plan (:class:`scae.TrainPlan`); None for the preset's"),
    "device": ("auto", "str", "``'cpu'``, ``'cuda'``, or ``'auto'`` for CUDA if available"),
    "random_state": (
        0,
        "int",
        "seed of the fit: the same seed, thread count and machine give the same bits; the global random states of numpy and "
        "torch are not touched",
    ),
    "checkpoint": (
        None,
        "str or Path, optional",
        "folder in which the fit is saved every minute and when a signal ends it; the same call then goes on from there, and "
        "ends with the same bits as a fit that was never interrupted",
    ),
    "progress": (
        None,
        "bool, optional",
        "show a bar (True) or nothing (False); None for a bar on a terminal and in a notebook, and elsewhere a line in the log "
        "``scae`` after every tenth of the steps",
    ),
}


@dataclass(frozen=True)
class FitOptions:
    """The keywords that :func:`fit`, ``embed``, ``denoise`` and ``cross_validate`` share."""

    keys: DataKeys
    plan: TrainPlan | None = None
    device: str = "auto"
    random_state: int = 0
    checkpoint: str | Path | None = None
    progress: bool | None = None

    @classmethod
    def read(cls, keywords: Mapping[str, Any]) -> FitOptions:
        """Read the keywords of :func:`fit`.

        Raises
        ------
        KindError
            If a keyword is unknown (a ``TypeError``), or the plan is of another type.
        ConfigError
            If a value is not allowed.
        """
        for name in keywords:
            if name not in KEYWORDS and name not in TRAINING:
                raise KindError(unexpected(name, keywords[name], [*KEYWORDS, *TRAINING]))
        plan, seed = keywords.get("plan"), keywords.get("random_state", 0)
        if plan is not None and not isinstance(plan, TrainPlan):
            said = ", ".join(f"{k}={v!r}" for k, v in plan.items()) if isinstance(plan, dict) else "epochs=3"
            raise KindError(f"plan is a {type(plan).__name__}; allowed: plan=scae.TrainPlan({said}), or None for the preset's.")
        seed_of(seed)
        folder = keywords.get("checkpoint")
        if folder is not None and not isinstance(folder, str | os.PathLike):
            raise ConfigError(f"checkpoint is {folder!r}; allowed: the path of a folder, or None.")
        if not isinstance(keywords.get("progress"), bool | None):
            raise ConfigError(f"progress is {keywords['progress']!r}; allowed: True, False, None.")
        training = {name: value for name, value in keywords.items() if name in TRAINING}
        return cls(read_keys({name: value for name, value in keywords.items() if name not in TRAINING}), **training)


@spelled_out(KEYWORDS | TRAINING)
def fit(adata: AnnData, model: str | Preset | ModelSpec = "vae", **keywords: Any) -> Autoencoder:
    """Fit a model to raw counts; ``adata`` is not changed.

    Parameters
    ----------
    adata : AnnData
        Cells × genes, raw counts (CSR, CSC or dense; integers or floats; may be a view).
    model : str, Preset or ModelSpec
        The name of a preset (:func:`scae.presets.names` lists them), a preset or a specification.
    %(keywords)s

    Returns
    -------
    Autoencoder
        The fitted model; ``model.history`` holds its losses, nats per cell.

    Raises
    ------
    TypeError
        If a keyword is unknown.
    ScaeError
        If :func:`scae.check` finds an error, an option is not allowed, or training diverges.

    Examples
    --------
    >>> adata = scae.datasets.pbmc68k_reduced()
    >>> model = scae.tl.fit(adata, plan=scae.TrainPlan(min_steps=20, epochs=1))
    >>> model.data.n_genes
    765
    """
    return fit_preset(adata, as_preset(model), FitOptions.read(keywords))[0]


def fit_preset(adata: AnnData, preset: Preset, options: FitOptions) -> tuple[Autoencoder, CountMatrix]:
    """The fitted model, and the counts to which it was fitted."""
    keys, needs = options.keys, preset.spec.needs
    if keys.label_key is not None and "labels" not in needs:
        raise ConfigError(
            f"label_key is {keys.label_key!r}, but no part of this model uses labels. Leave it out, or choose the prior "
            "'label_normal'."
        )
    plan, seed = options.plan or preset.plan, int(options.random_state)
    checkpoints = None if options.checkpoint is None else Checkpoints(_usable(Path(options.checkpoint)))
    rng = torch.Generator(resolve_device(options.device)).manual_seed(seed)
    keys, x = verify(adata, keys, fractions=takes_fractions(preset.spec))
    if _aligns_batches(preset.spec) and not takes_fractions(preset.spec):
        for finding in batches(adata, x, keys):
            warnings.warn(finding.message, UserWarning, stacklevel=3)
    data, source = prepare(adata, x, keys, ordered="order" in needs)
    if preset.genes is not None and data.n_genes > preset.n_genes:
        names = _most_varied(preset.genes, preset.n_genes, data, source, rng, options.progress)
        chosen = replace(keys, mask_var=tuple(np.isin(adata.var_names, names).tolist()))
        data, source = prepare(adata, x, chosen, ordered="order" in needs)
    model = Autoencoder(preset.spec, data, rng)
    history = train(model, source, plan, rng, progress=options.progress, checkpoints=checkpoints)
    model.fitted = {
        "plan": to_dict(plan),
        "history": asdict(history),
        "random_state": seed,
        "environment": environment(rng.device),
        "latent_sha256": fingerprint(latent(model, source, rows=np.arange(min(len(source), _HASHED)))[0]),
        "sd_scale": sd_scale(model, source, seed=seed),
        "theta_factor": theta_factor(model, source, seed=seed),
    }
    return model, source


def _aligns_batches(spec: ModelSpec) -> bool:
    """Whether a model takes differences between batches away, whatever their cause."""
    return spec.transform.center_batches or getattr(spec.bottleneck, "batch_mmd", 0.0) > 0


def _usable(folder: Path) -> Path:
    """A folder for checkpoints, which need not exist yet.

    Raises
    ------
    OutputError
        If it could not be made or written to.
    """
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        fault = "not writable" if there.is_dir() else "not a folder"
        raise OutputError(f"cannot write checkpoints to {folder}: {there} is {fault}. Name another folder.")
    return folder


def _most_varied(
    preset: Preset, n: int, data: DataSpec, source: CountMatrix, rng: torch.Generator, progress: bool | None
) -> list[str]:
    """Fit a first model to all genes, and return the genes whose loadings vary most over its latent dimensions."""
    first = Autoencoder(preset.spec, data, rng)
    train(first, source, preset.plan, rng, progress=progress)
    variance = first.heads.decoders[0].latent_weights().detach().var(dim=1)  # (genes,)
    return [data.genes[i] for i in variance.topk(n).indices.tolist()]


def fitted(
    adata: AnnData, model: Model, keywords: Mapping[str, Any], *, may_lack: bool = False
) -> tuple[Autoencoder, CountMatrix]:
    """A fitted model (fitted here if it is not yet), and the counts of these cells for it.

    Parameters
    ----------
    adata : AnnData
        Cells × genes.
    model : str, Preset, ModelSpec or Autoencoder
        The name of a preset, a preset, a specification or a fitted model.
    keywords : dict
        Those of :func:`fit`; with a fitted model, only ``layer`` and ``progress``.
    may_lack : bool
        Accept cells without some of the model's genes, if the model was trained with hidden genes.
    """
    options = FitOptions.read(keywords)
    if not isinstance(model, Autoencoder):
        return fit_preset(adata, as_preset(model), options)
    refused = sorted(set(keywords) - {"layer", "progress"})
    if refused:
        raise ConfigError(
            f"the model is fitted already and uses the options of its fit: {', '.join(refused)} cannot be changed. "
            "Only layer is allowed, for the layer that holds the counts of these cells."
        )
    keys = replace(model.data.keys, label_key=None)  # new cells need no labels
    if given := options.keys.layer:
        keys = replace(keys, layer=given)
    _, x = verify(adata, keys, fractions=takes_fractions(model.spec), remembered=given is None)
    return model, query(adata, x, model.data, may_lack=may_lack and model.input.takes_missing_genes)


def require_fitted(model: Any) -> None:
    """Refuse anything but a fitted model, where nothing is to be fitted.

    Raises
    ------
    ConfigError
        If it is something else, such as the name of a preset.
    """
    if not isinstance(model, Autoencoder):
        raise ConfigError(f"model is a {type(model).__name__}; allowed: a fitted Autoencoder, from scae.tl.fit or scae.load.")


def preset_of(model: Model) -> Preset:
    """The architecture and training plan of a model, given as in :func:`fitted`, with which it could be fitted again."""
    return Preset(model.spec, build(TrainPlan, model.fitted["plan"])) if isinstance(model, Autoencoder) else as_preset(model)


def spec_of(model: Model) -> ModelSpec:
    """The architecture of a model, given as in :func:`fitted`."""
    return model.spec if isinstance(model, Autoencoder) else as_preset(model).spec


def refuse_gene_selection(preset: Preset, n_genes: int, name: str, why: str) -> None:
    """Refuse a model that chooses its own genes, where all of them are needed.

    Raises
    ------
    ConfigError
        If it would leave some of ``n_genes`` out.
    """
    if preset.genes is not None and n_genes > preset.n_genes:
        raise ConfigError(
            f"{name} chooses {preset.n_genes:,} of the {n_genes:,} genes, {why}. Give it at most {preset.n_genes:,} genes "
            "(mask_var), or name another model."
        )


def takes_fractions(spec: ModelSpec) -> bool:
    """Whether a model accepts values that are not whole numbers."""
    return spec.likelihood.accepts_fractions(spec.transform.of_counts)


def as_preset(model: Any) -> Preset:
    """The preset for a name, a preset or a specification, which gets the default plan.

    Raises
    ------
    ConfigError
        If ``model`` is something else.
    MissingKeyError
        If there is no preset of that name.
    """
    if isinstance(model, Preset):
        return model
    if isinstance(model, str):
        return presets.find(model)
    if isinstance(model, ModelSpec):
        return Preset(model, TrainPlan())
    allowed = "the name of a preset, a Preset, a ModelSpec or, where nothing is to be fitted, a fitted Autoencoder"
    raise KindError(f"model is a {type(model).__name__}; allowed: {allowed}.")
