"""``sc.external.pp.dca`` on scae's parts: an old script changes one import."""

from __future__ import annotations

import inspect
import logging
import numbers
import warnings
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from numpy.typing import NDArray
from torch import Tensor

from .. import presets
from .. import threads as limit
from ..checks import check
from ..errors import ConfigError, unknown
from ..infer import each_block
from ..likelihoods import NB, ZINB, Likelihood
from ..model import Autoencoder
from ..presets import Preset
from ..records import Cells, Counts
from ..source import CountMatrix
from ..tl import dispersion
from ..tl._fit import fitted
from ..tl._writing import note
from . import _preset
from ._names import settle

log = logging.getLogger("scae")
_MODES = ("denoise", "latent")


def dca(
    adata: AnnData,
    mode: str = "denoise",
    ae_type: str = "nb-conddisp",
    normalize_per_cell: bool = True,
    scale: bool = True,
    log1p: bool = True,
    hidden_size: Sequence[int] = (64, 32, 64),
    hidden_dropout: float | Sequence[float] = 0.0,
    batchnorm: bool = True,
    activation: str = "relu",
    init: str = "glorot_uniform",
    network_kwds: Mapping[str, Any] = MappingProxyType({}),
    epochs: int = 300,
    reduce_lr: int | None = 10,
    early_stop: int | None = 15,
    batch_size: int = 32,
    optimizer: str = "RMSprop",
    random_state: int | None = 0,
    threads: int | None = None,
    learning_rate: float | None = None,
    verbose: bool = False,
    training_kwds: Mapping[str, Any] = MappingProxyType({}),
    return_model: bool = False,
    return_info: bool = False,
    copy: bool = False,
    check_counts: bool = True,
    **command_options: Any,
) -> AnnData | Autoencoder | tuple[AnnData, Autoencoder] | None:
    """Deep count autoencoder (Eraslan 2019, doi:10.1038/s41467-018-07931-2), called as ``sc.external.pp.dca`` is.

    Parameters, defaults and outputs are those of the ``dca`` package and of scanpy's door to it; the fit is scae's. This is the
    one verb of scae that may overwrite ``X``, as its namesake does. Rather than this, new code takes
    ``scae.tl.denoise(adata, "dca")``, which writes a layer.

    Parameters
    ----------
    adata
        Cells × genes, raw counts in ``X`` (sparse or dense). All genes are modelled, whatever ``var["highly_variable"]`` says.
    mode
        ``"denoise"`` overwrites ``X`` with the mean; ``"latent"`` writes ``obsm["X_dca"]`` and leaves ``X`` as it is.
    ae_type
        ``"normal"``, ``"poisson"``, ``"nb"``, ``"nb-conddisp"``, ``"zinb"`` or ``"zinb-conddisp"``; ``conddisp`` gives each cell
        and gene a dispersion. Those ending in ``-shared``, ``-fork`` or ``-elempi`` are refused: no part of scae expresses them.
    normalize_per_cell
        The encoder sees cells scaled to the median total, and means are scaled by each cell's size factor. False: neither.
    scale
        The encoder's input is centred and scaled by gene.
    log1p
        The encoder sees logarithms.
    hidden_size
        Widths of the layers; the middle one is the latent, which here is linear, without norm or activation after it.
    hidden_dropout
        Share of hidden units dropped; one rate for all layers.
    batchnorm
        Batch norm in hidden layers.
    activation
        Of hidden layers: ``"relu"``, ``"elu"``, ``"selu"``, ``"gelu"``, ``"silu"``, ``"swish"``, ``"softplus"``, ``"sigmoid"``,
        ``"tanh"``, ``"leaky_relu"``.
    init
        First weights are drawn as scae draws them, uniform within ±1/√(inputs), and the mean's bias starts at the genes' means.
        Another value than the default changes nothing and gives a warning: to refuse would break a script for no gain.
    network_kwds
        ``input_dropout`` acts, as the share of stored counts hidden from the encoder. ``debug`` asks for checks of every loss
        that scae always does. ``l1_coef``, ``l2_coef``, ``l1_enc_coef``, ``l2_enc_coef``, ``ridge`` and ``file_path`` are refused
        unless they stand at their defaults.
    epochs
        Greatest number of passes over the training cells.
    reduce_lr
        Epochs without a better held-out loss after which the learning rate is cut to a tenth; 0 or None: never.
    early_stop
        Epochs without a better held-out loss that end the fit; 0 or None: never. The best weights are kept, not the last.
    batch_size
        Cells a step.
    optimizer
        ``"RMSprop"`` or ``"Adam"``.
    random_state
        Seed of the fit; None: another one each time. The random states of Python and numpy are untouched.
    threads
        Number of threads; None for those that the scheduler grants (torch takes one).
    learning_rate
        None for 0.001.
    verbose
        Show a progress bar with the losses, and log the architecture.
    training_kwds
        ``clip_grad``, here the greatest norm of the gradient rather than of each of its numbers, and ``validation_split``, here
        a random share of the cells rather than the last ones. Others are refused unless they stand at their defaults.
    return_model
        Return the fitted :class:`scae.Autoencoder` instead of a Keras model. To apply it again, give it counts: they are in
        ``adata.raw.to_adata()``.
    return_info
        Also write the parameters and losses, see below.
    copy
        Work on a copy, and return it.
    check_counts
        Counts are always checked, all cells of them. False gives a warning, since for whole numbers it makes no difference.
    command_options
        Options by the names of the ``dca`` command: ``type``, ``hiddensize="64,32,64"``, ``dropoutrate``, ``batchsize``,
        ``learningrate``, ``nosizefactors=True``, ``l2``, ``ridge``, ``gradclip`` and so on.

    Returns
    -------
    AnnData, Autoencoder, tuple or None
        None; with ``return_model`` the model, with ``copy`` the copy, with both ``(copy, model)``. Written are:

        ``X``, mode ``"denoise"``: ``(cells, genes)`` float32, expected counts at each cell's depth. For ``zinb`` types this is
        the mean of the counts alone, as in the original; E[X], zeros of dropout included, is ``X · (1 − dropout)``.

        ``obsm["X_dca"]``, mode ``"latent"``: ``(cells, width of the middle layer)`` float32.

        ``raw``: the counts. ``obs["size_factors"]``: exposure over its median; ``obs["n_counts"]``: totals, where cells are
        normalised; ``obs["dca_split"]``: ``"train"``.

        With ``return_info``: ``obsm["X_dca_dispersion"]`` ``(cells, genes)`` for ``conddisp`` types or
        ``var["X_dca_dispersion"]`` for ``nb`` and ``zinb``: θ, where the variance is μ + μ²/θ. The original computed the former
        from ``X`` after overwriting it (``nb-conddisp``); here it is computed from the counts. ``obsm["X_dca_dropout"]``
        ``(cells, genes)`` for ``zinb`` types: probability of a zero of another cause. ``uns["dca_loss_history"]``: ``loss``,
        ``val_loss`` and ``lr``, lists of one number an epoch, losses in nats per cell and gene.

    Raises
    ------
    CountsError
        If ``X`` does not hold raw counts.
    ConfigError, MissingKeyError
        If an option is not allowed or not known. ``adata`` is as it was then, and after any other error.

    Notes
    -----
    Genes without counts are allowed (the original refused them), and get a mean of nearly zero. Cells without counts are kept
    with a warning (the original dropped them). Where the original and scae differ otherwise: squared error (``normal``) has a
    standard deviation that is learned, so that its loss is in nats, and gene names must be unique.

    Examples
    --------
    >>> adata = scae.datasets.pbmc68k_reduced()
    >>> scae.external.dca(adata, mode="latent", epochs=1)
    >>> adata.obsm["X_dca"].shape
    (700, 32)
    """
    named = dict(locals())
    command = named.pop("command_options")
    parameters = inspect.signature(dca).parameters.values()
    o = settle(named, command, {p.name: p.default for p in parameters if p.default is not p.empty})
    if o["mode"] not in _MODES:
        raise unknown("mode", o["mode"], _MODES)
    _warn_of_no_effect(o)
    totals = _totals(adata)
    preset = _as_preset(o, totals)
    options: dict[str, Any] = {"mask_var": np.ones(adata.n_vars, bool), "random_state": _seed(o["random_state"])}
    if not o["normalize_per_cell"]:
        options["size_factor"] = "size_factors"
    factors = totals / _median(totals) if o["normalize_per_cell"] else np.ones(adata.n_obs)
    # A frame of its own around the same counts: until the fit is done, nothing is written into adata.
    exposure = pd.DataFrame({"size_factors": factors}, index=adata.obs_names)
    cells = AnnData(adata.X, obs=exposure, var=pd.DataFrame(index=adata.var_names))
    with limit.use(o["threads"]):
        model, source = fitted(cells, preset, options, progress=bool(o["verbose"]))
        found = _read(model, source, o["mode"])
        if o["return_info"] and "dispersion" in preset.spec.likelihood.parameters():
            dispersion(cells, model, key_added="X_dca_dispersion")
    if o["verbose"]:
        log.info("%r: %s", model, model.fitted["history"]["stopped"])
    adata = adata.copy() if o["copy"] else adata
    _write(adata, cells, model, found, o)
    if o["return_model"]:
        return (adata, model) if o["copy"] else model
    return adata if o["copy"] else None


def _totals(adata: AnnData) -> NDArray[np.float64]:
    """Counts of each cell ``(cells,)``, once they are known to be counts."""
    if not isinstance(adata, AnnData):
        raise ConfigError(f"adata is a {type(adata).__name__}; allowed: an AnnData with raw counts in X.")
    check(adata).raise_errors()
    return np.asarray(adata.X.sum(1), np.float64).ravel()


def _median(totals: NDArray[np.float64]) -> float:
    return float(np.median(totals[totals > 0])) if totals.any() else 1.0


def _seed(random_state: int | None) -> int:
    if random_state is None:
        return int(np.random.SeedSequence().generate_state(1)[0])
    if not isinstance(random_state, numbers.Integral):
        raise ConfigError(f"random_state is {random_state!r}; allowed: a whole number, or None for another seed each time.")
    return int(random_state)


def _warn_of_no_effect(o: Mapping[str, Any]) -> None:
    if o["init"] != "glorot_uniform":
        message = f"init is {o['init']!r}: scae draws first weights uniformly within ±1/√(inputs), whatever init says."
        warnings.warn(message, UserWarning, stacklevel=3)
    if not o["check_counts"]:
        warnings.warn("check_counts is False: scae checks counts all the same.", UserWarning, stacklevel=3)


def _as_preset(o: Mapping[str, Any], totals: NDArray[np.float64]) -> Preset:
    base = presets.find(_preset.preset_name(o["ae_type"]))
    seen = _preset.transform(o["normalize_per_cell"], o["scale"], o["log1p"], _median(totals))
    architecture = ("hidden_size", "hidden_dropout", "batchnorm", "activation", "network_kwds")
    training = ("epochs", "reduce_lr", "early_stop", "batch_size", "optimizer", "learning_rate", "training_kwds")
    spec = _preset.spec(o["ae_type"], seen, *(o[name] for name in architecture))
    return Preset(spec, _preset.plan(base.plan, *(o[name] for name in training)), base.paper)


def _counted(likelihood: Likelihood) -> Likelihood:
    """The distribution of the counts alone: of a zero-inflated one, the part that is not inflated."""
    return NB(link=likelihood.link, dispersion=likelihood.dispersion) if isinstance(likelihood, ZINB) else likelihood


def _read(model: Autoencoder, source: CountMatrix, mode: str) -> dict[str, NDArray[np.float32]]:
    """``mean`` or ``latent``, and ``dropout`` where there is one: ``(cells, genes)``, or ``(cells, dim)`` for the latent."""
    likelihood = _counted(model.spec.likelihood)

    def read(counts: Counts, cells: Cells) -> dict[str, Tensor]:
        code = model.encode(counts, cells)
        p = model.decode(code.z, counts, cells)
        out = {"latent": code.point} if mode == "latent" else {"mean": likelihood.mean(p)}
        return out | ({"dropout": p["zero"].sigmoid()} if "zero" in p.raw else {})

    blocks = [block for _, block in each_block(model, source, read)]
    return {name: np.concatenate([block[name].cpu().numpy() for block in blocks]) for name in blocks[0]}


def _write(adata: AnnData, cells: AnnData, model: Autoencoder, found: Mapping[str, NDArray], o: Mapping[str, Any]) -> None:
    """What the original wrote, under its names."""
    adata.obs["dca_split"] = pd.Categorical(["train"] * adata.n_obs)
    adata.obs["size_factors"] = cells.obs["size_factors"].to_numpy(np.float32)
    if o["normalize_per_cell"]:
        adata.obs["n_counts"] = np.asarray(cells.X.sum(1), np.float32).ravel()
    adata.raw = AnnData(cells.X.copy(), obs=cells.obs[[]], var=adata.var.copy())
    if o["return_info"]:
        if "X_dca_dispersion" in cells.obsm:
            adata.obsm["X_dca_dispersion"] = cells.obsm["X_dca_dispersion"]
        if "X_dca_dispersion" in cells.var:
            adata.var["X_dca_dispersion"] = cells.var["X_dca_dispersion"]
        if "dropout" in found:
            adata.obsm["X_dca_dropout"] = found["dropout"]
        adata.uns["dca_loss_history"] = _losses(model)
    place = "X" if o["mode"] == "denoise" else "obsm['X_dca']"
    if o["mode"] == "denoise":
        adata.X = found["mean"]
    else:
        adata.obsm["X_dca"] = found["latent"]
    note(adata, model, place, verb="external.dca", mode=o["mode"], ae_type=o["ae_type"])


def _losses(model: Autoencoder) -> dict[str, list[float]]:
    """Keras's names: one number an epoch, nats per cell and gene."""
    rows, n_genes = model.fitted["history"]["rows"], model.data.n_genes
    names = {"val_loss": ("held_out", n_genes), "loss": ("loss", n_genes), "lr": ("lr", 1)}
    return {name: [row[key] / unit for row in rows] for name, (key, unit) in names.items() if key in rows[0]}
