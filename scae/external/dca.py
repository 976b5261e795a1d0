"""A replacement for ``sc.external.pp.dca``: old scripts change one import."""

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
from ..checks import examine, require_anndata
from ..errors import ConfigError, unknown
from ..infer import each_block
from ..keys import DataKeys
from ..likelihoods import NB, ZINB, Likelihood
from ..model import Autoencoder
from ..presets import Preset
from ..records import Cells, Counts
from ..source import CountMatrix
from ..tl._dispersion import dispersion
from ..tl._fit import fitted
from ..tl._writing import check_slots, note
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
    """Deep count autoencoder (Eraslan 2019), with the interface of ``sc.external.pp.dca``.

    Parameters, defaults and outputs are those of the ``dca`` package and of scanpy's wrapper; the model is fitted by scae. Like
    the original, and unlike all other functions of scae, it may overwrite ``X``. In new code, use
    ``scae.tl.denoise(adata, "dca")``, which writes a layer.

    Parameters
    ----------
    adata
        Cells × genes, raw counts in ``X`` (sparse or dense). All genes are modelled, whatever ``var["highly_variable"]`` says.
    mode
        ``"denoise"`` overwrites ``X`` with the mean; ``"latent"`` writes ``obsm["X_dca"]`` and leaves ``X`` as it is.
    ae_type
        ``"normal"``, ``"poisson"``, ``"nb"``, ``"nb-conddisp"``, ``"zinb"`` or ``"zinb-conddisp"``; with ``conddisp``, every
        cell and gene has its own dispersion. Types that end in ``-shared``, ``-fork`` or ``-elempi`` are not available in scae.
    normalize_per_cell
        Scale the encoder's input to the median total per cell, and scale the means by each cell's size factor.
    scale
        Centre and scale the encoder's input per gene.
    log1p
        Log-transform the encoder's input.
    hidden_size
        Widths of the hidden layers. The middle layer, before its norm and activation, is the latent.
    hidden_dropout
        Share of hidden units to drop; one rate for all layers.
    batchnorm
        Use batch norm in hidden layers.
    activation
        Activation of hidden layers: ``"relu"``, ``"elu"``, ``"selu"``, ``"gelu"``, ``"silu"``, ``"swish"``, ``"softplus"``,
        ``"sigmoid"``, ``"tanh"`` or ``"leaky_relu"``.
    init
        Has no effect; any value other than the default gives a warning. Initial weights are uniform within ±1/√(inputs), and
        the bias of the mean starts at the mean of each gene.
    network_kwds
        ``input_dropout``: share of stored counts to hide from the encoder. ``debug`` has no effect, since scae always checks
        the losses. ``l1_coef``, ``l2_coef``, ``l1_enc_coef``, ``l2_enc_coef``, ``ridge`` and ``file_path`` must have their
        defaults.
    epochs
        Maximum number of passes over the training cells.
    reduce_lr
        Number of epochs without a better held-out loss after which the learning rate is divided by ten; 0 or None: never.
    early_stop
        Number of epochs without a better held-out loss after which training ends; 0 or None: never. The last weights stay.
    batch_size
        Cells per step.
    optimizer
        ``"RMSprop"`` or ``"Adam"``.
    random_state
        Seed of the fit; None: a new seed for each call. The global random states of Python and numpy are not touched.
    threads
        Number of threads; None: all that the scheduler grants for kernels, and one for torch.
    learning_rate
        Learning rate; None for 0.001.
    verbose
        Show a progress bar with the losses, and log the architecture.
    training_kwds
        ``clip_grad``: maximum norm of the gradient per gene (in the original, of each entry). ``validation_split``: share of
        cells held out, chosen at random (in the original, the last cells). Other options must have their defaults.
    return_model
        Return the fitted :class:`scae.Autoencoder` (in the original, a Keras model). It must be applied to counts, such as
        ``adata.raw.to_adata()``.
    return_info
        Also write parameters and losses, see below.
    copy
        Work on a copy and return it.
    check_counts
        Has no effect: scae always checks the counts of all cells. False gives a warning.
    command_options
        Options by the names of the ``dca`` command: ``type``, ``hiddensize="64,32,64"``, ``dropoutrate``, ``batchsize``,
        ``learningrate``, ``nosizefactors=True``, ``l2``, ``ridge``, ``gradclip`` and so on.

    Returns
    -------
    AnnData, Autoencoder, tuple or None
        None; with ``return_model`` the model, with ``copy`` the copy, with both ``(copy, model)``. The function writes:

        ``X``, with mode ``"denoise"``: ``(cells, genes)`` float32, expected counts at each cell's depth. For ``zinb`` types this
        is the mean of the negative binomial, as in the original; with dropout included, E[X] is ``X · (1 − dropout)``.

        ``obsm["X_dca"]``, with mode ``"latent"``: ``(cells, width of the middle layer)`` float32.

        ``raw``: the counts. ``obs["size_factors"]``: totals divided by their median, or 1. ``obs["n_counts"]``: totals, if cells
        are normalised. ``obs["dca_split"]``: ``"train"``.

        With ``return_info``: the dispersion θ (the variance is μ + μ²/θ), in ``obsm["X_dca_dispersion"]`` ``(cells, genes)`` for
        ``conddisp`` types and in ``var["X_dca_dispersion"]`` for ``nb`` and ``zinb``; it is computed from the counts (the
        original computed that of ``nb-conddisp`` from the overwritten ``X``). ``obsm["X_dca_dropout"]`` ``(cells, genes)`` for
        ``zinb`` types: the probability of a dropout zero. ``uns["dca_loss_history"]``: lists ``loss``, ``val_loss`` and ``lr``
        with one number per epoch; losses are in nats per cell and gene.

    Raises
    ------
    CountsError
        If ``X`` does not hold raw counts.
    ConfigError, MissingKeyError
        If an option is not allowed or not known. ``adata`` is unchanged after any error.

    Notes
    -----
    Further differences from the original: genes without counts are allowed, and get a mean of almost zero (the original refused
    them); cells without counts are kept with a warning (the original removed them); the squared error of ``normal`` has a learned
    standard deviation, so that its loss is in nats; gene names must be unique.

    References
    ----------
    Eraslan, Simon, Mircea, Mueller and Theis (2019), Nature Communications 10:390, doi:10.1038/s41467-018-07931-2.

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
    x = _counts(adata)
    check_slots(adata)
    totals = np.asarray(x.sum(1), np.float64).ravel()
    preset = _as_preset(o, adata.n_vars)
    options: dict[str, Any] = {"mask_var": np.ones(adata.n_vars, bool), "random_state": _seed(o["random_state"])}
    if not o["normalize_per_cell"]:
        options["size_factor"] = "size_factors"
    factors = totals / _median(totals) if o["normalize_per_cell"] else np.ones(adata.n_obs)
    # A second AnnData around the same counts, so that adata is unchanged until the fit is done.
    exposure = pd.DataFrame({"size_factors": factors}, index=adata.obs_names)
    cells = AnnData(x, obs=exposure, var=pd.DataFrame(index=adata.var_names))
    with limit.use(o["threads"]):
        model, source = fitted(cells, preset, options | {"progress": bool(o["verbose"])})
        outputs = _read(model, source, o["mode"])
        if o["return_info"] and "dispersion" in preset.spec.likelihood.parameters():
            dispersion(cells, model, key_added="X_dca_dispersion")
    if o["verbose"]:
        log.info("%r: %s", model, model.fitted["history"]["stopped"])
    adata = adata.copy() if o["copy"] else adata
    _write(adata, cells, model, outputs, o)
    if o["return_model"]:
        return (adata, model) if o["copy"] else model
    return adata if o["copy"] else None


def _counts(adata: AnnData) -> Any:
    """The matrix of counts, checked and in memory."""
    require_anndata(adata)
    if adata.isbacked:
        raise ConfigError("adata is backed by a file, and dca would overwrite its X. Load it first: adata.to_memory().")
    report, x = examine(adata, DataKeys())
    report.raise_errors()
    return x


def _median(totals: NDArray[np.float64]) -> float:
    return float(np.median(totals[totals > 0])) if totals.any() else 1.0


def _seed(random_state: int | None) -> int:
    if random_state is None:
        return int(np.random.SeedSequence().generate_state(1)[0])
    if not isinstance(random_state, numbers.Integral):
        raise ConfigError(f"random_state is {random_state!r}; allowed: a whole number, or None for a new seed each time.")
    return int(random_state)


def _warn_of_no_effect(o: Mapping[str, Any]) -> None:
    if o["init"] != "glorot_uniform":
        message = f"init is {o['init']!r} but has no effect: scae draws initial weights uniformly within ±1/√(inputs)."
        warnings.warn(message, UserWarning, stacklevel=3)
    if not o["check_counts"]:
        warnings.warn("check_counts is False but has no effect: scae always checks counts.", UserWarning, stacklevel=3)


def _as_preset(o: Mapping[str, Any], n_genes: int) -> Preset:
    base = presets.find(_preset.preset_name(o["ae_type"]))
    seen = _preset.transform(o["normalize_per_cell"], o["scale"], o["log1p"])
    architecture = ("hidden_size", "hidden_dropout", "batchnorm", "activation", "network_kwds")
    training = ("epochs", "reduce_lr", "early_stop", "batch_size", "optimizer", "learning_rate", "training_kwds")
    spec = _preset.spec(o["ae_type"], seen, *(o[name] for name in architecture))
    return Preset(spec, _preset.plan(base.plan, n_genes=n_genes, **{name: o[name] for name in training}), base.paper)


def _counted(likelihood: Likelihood) -> Likelihood:
    """The likelihood without zero inflation."""
    return NB(link=likelihood.link, dispersion=likelihood.dispersion) if isinstance(likelihood, ZINB) else likelihood


def _read(model: Autoencoder, source: CountMatrix, mode: str) -> dict[str, NDArray[np.float32]]:
    """``mean`` ``(cells, genes)`` or ``latent`` ``(cells, dim)``, and ``dropout`` ``(cells, genes)`` if the model has it."""
    likelihood = _counted(model.spec.likelihood)

    def read(counts: Counts, cells: Cells) -> dict[str, Tensor]:
        latent = model.encode(counts, cells)
        p = model.decode(latent.z, counts, cells)
        out = {"latent": latent.point} if mode == "latent" else {"mean": likelihood.mean(p)}
        return out | ({"dropout": p["zero"].sigmoid()} if "zero" in p.raw else {})

    blocks = [block for _, block in each_block(model, source, read)]
    return {name: np.concatenate([block[name].cpu().numpy() for block in blocks]) for name in blocks[0]}


def _write(adata: AnnData, cells: AnnData, model: Autoencoder, outputs: Mapping[str, NDArray], o: Mapping[str, Any]) -> None:
    """Write what the original writes, under the same names."""
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
        if "dropout" in outputs:
            adata.obsm["X_dca_dropout"] = outputs["dropout"]
        adata.uns["dca_loss_history"] = _losses(model)
    place = "X" if o["mode"] == "denoise" else "obsm['X_dca']"
    if o["mode"] == "denoise":
        adata.X = outputs["mean"]
    else:
        adata.obsm["X_dca"] = outputs["latent"]
    note(adata, model, place, verb="external.dca", mode=o["mode"], ae_type=o["ae_type"])


def _losses(model: Autoencoder) -> dict[str, list[float]]:
    """Losses by the names of Keras, one number per epoch, nats per cell and gene."""
    rows, n_genes = model.fitted["history"]["rows"], model.data.n_genes
    names = {"val_loss": ("held_out", n_genes), "loss": ("loss", n_genes), "lr": ("lr", 1)}
    return {name: [row[key] / unit for row in rows] for name, (key, unit) in names.items() if key in rows[0]}
