"""Expected counts of each cell."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from numpy.typing import NDArray

from ..checks import gene_mask, located
from ..errors import ConfigError, MissingKeyError, unknown
from ..infer import denoised
from ..io.room import require_memory
from ..keys import KEYWORDS, DataKeys, DataSpec, spelled_out
from ..model import Autoencoder
from ..posterior import corrected
from ..source import CountMatrix
from ._fit import TRAINING, FitOptions, Model, fitted, spec_of
from ._inputs import level_codes
from ._kinds import AT_10K, POSTERIORS, check_kind, check_numbers
from ._spike_ins import spike_in_cv2
from ._writing import check_slots, note

_TO_MODEL_MORE = (
    "To model further genes, set them to True in adata.var['highly_variable'] (or pass keep_genes=[...] to scae.pp.recipe or "
    "scae.pp.highly_variable_genes, --keep-genes to scae preprocess), and fit again."
)


@spelled_out(KEYWORDS | TRAINING)
def denoise(
    adata: AnnData,
    model: Model = "denoiser",
    *,
    kind: str = "mean",
    key_added: str = "denoised",
    library_size: float | None = None,
    n_samples: int = 0,
    with_sd: bool = False,
    technical_cv2: float | str = 0.0,
    genes: Sequence[str] | None = None,
    at_batch: str | None = None,
    overwrite: bool = False,
    **keywords: Any,
) -> Autoencoder:
    """Write each cell's expected counts to a layer, after fitting the model if it is not fitted; ``X`` stays as it is.

    Which ``kind``? ``"mean"`` is the state: what cells with this latent express, without the noise of their counting; take it to
    compare states, and for data whose overdispersion is mostly technical, such as amplified libraries without UMIs.
    ``"posterior"`` is the cell: the mean corrected by the cell's own count, which predicts its unseen molecules better and keeps
    differences between cells of the same state. ``"sample"`` is for checks and for statistics that need the variation of counts.

    Denoised genes are correlated even if they are unrelated. For co-expression, use :func:`scae.tl.correlation`.

    Parameters
    ----------
    adata : AnnData
        Cells × genes, raw counts.
    model : str, Preset, ModelSpec or Autoencoder
        As in :func:`scae.tl.embed`. The default differs from that of ``embed``: a smaller KL weight and a deeper decoder predict
        held-out molecules better, but do not give the best clusters.
    kind : str
        ``"mean"``: expected counts μ of cells with this latent. ``"posterior"``: expected counts of this cell, given its own
        count x; for a negative binomial with dispersion θ this is μ (θ + x) / (θ + μ). ``"rate"``: as ``"mean"``, at a library
        size of 10⁴ unless another is given. ``"log_mean"`` and ``"posterior_log_mean"``: E[log1p(X · 10⁴ / library_size)] of
        new counts X of cells with this latent or of this cell, at a library size of 10⁴ unless another is given (log1p of the
        expected count is larger); exact to about 1e-7. ``"sample"``: one draw from the posterior predictive distribution, to
        check the model against the data.
        The posterior uses the dispersions that best predict one half of each cell's molecules from the other, which the fit
        found (``model.fitted["theta_factor"]``). For presence (Bernoulli) it is the probability of presence given whether the
        feature was present.
    key_added : str
        Layer to write; with ``genes``, the ``obsm`` key.
    library_size : float, optional
        Library size at which counts are expected; None: each cell's own, or 10⁴ where ``kind`` says so.
    n_samples : int
        Number of draws of a random latent over which the mean is averaged, with the seed ``random_state``; 0 decodes the mean of
        the latent (no worse in our benchmarks). With ``with_sd`` the spread of the draws is part of the standard deviation.
    with_sd : bool
        For ``kind="posterior"``: also write the posterior standard deviation, in counts, under ``f"{key_added}_sd"``.
    technical_cv2 : float or str
        For the posteriors: the part of the overdispersion that is technical, as a squared coefficient of variation, which is
        shrunk away. 0 is right for UMI counts of droplets. The name of spike-ins, a boolean column of ``var`` or counts in
        ``obsm``, estimates it from them.
    genes : str or sequence of str, optional
        Write only these genes, as a DataFrame in ``obsm[key_added]`` instead of a layer. A model fitted with the corruption
        ``gene_dropout`` can also predict genes that ``adata`` lacks.
    at_batch : str, optional
        Decode every cell as if it came from this level of ``batch_key``; None: from its own batch. This is a counterfactual: the
        cell's own count was seen in its own batch, so there is no posterior.
    overwrite : bool
        Replace what is there already under that name, even if scae has no record of having written it.
    %(keywords)s

    Returns
    -------
    Autoencoder
        The fitted model. Also writes ``layers[key_added]``, ``(cells, genes)`` float32 with NaN for genes that are not modelled
        (or ``obsm[key_added]``), and a record in ``uns["scae"]``.

    Raises
    ------
    ConfigError
        If an option is not allowed or does not go with ``kind``, the place is taken by something that scae has no record of, the
        likelihood does not have the ``kind``, the layer would be larger than the memory available, or the model is fitted
        already and nothing is drawn with ``random_state``.
    MissingKeyError
        If a gene or a batch is unknown, or a gene is not modelled.
    ScaeError
        See :func:`scae.tl.embed`.

    Warns
    -----
    UserWarning
        If the layer has genes that are not modelled.

    References
    ----------
    The posterior of a negative binomial's rate: Huang et al. (2018), Nature Methods 15:539, doi:10.1038/s41592-018-0033-z.

    Examples
    --------
    >>> adata = scae.datasets.pbmc68k_reduced()
    >>> model = scae.tl.denoise(adata, genes=["CD3D"], plan=scae.TrainPlan(min_steps=20, epochs=1))
    >>> model = scae.tl.denoise(adata, model, genes=["CD3D"], kind="posterior", with_sd=True, key_added="cell")
    >>> adata.obsm["cell_sd"].columns.tolist()
    ['CD3D']
    """
    check_kind(
        spec_of(model).likelihood,
        kind,
        with_sd=with_sd,
        technical_cv2=technical_cv2,
        library_size=library_size,
        at_batch=at_batch,
    )
    check_numbers(library_size, n_samples, technical_cv2)
    names = {False: key_added} | ({True: f"{key_added}_sd"} if with_sd else {})
    attribute = "layers" if genes is None else "obsm"
    for name in names.values():
        check_slots(adata, (attribute, name), overwrite=overwrite)
    if genes is None:
        _check_memory(adata, len(names))
    genes = None if genes is None else listed(genes)
    options = FitOptions.read(keywords)
    _check_names(adata, model, genes, at_batch, options.keys)
    keys = model.data.keys if isinstance(model, Autoencoder) and "layer" not in keywords else options.keys
    if isinstance(technical_cv2, str):
        technical_cv2 = spike_in_cv2(adata, technical_cv2, located(adata, keys)[0].layer)
    drawn = kind == "sample" or n_samples > 0
    of_draw = {"random_state"} if drawn and isinstance(model, Autoencoder) else set()  # otherwise it is that of the fit, too
    of_fit = {name: value for name, value in keywords.items() if name not in of_draw}
    fitted_model, source = fitted(adata, model, of_fit, may_lack=True)
    batch = None if at_batch is None else _batch_code(fitted_model.data, at_batch)
    seed = int(options.random_state if "random_state" in keywords else fitted_model.fitted.get("random_state", 0))
    size = 1e4 if library_size is None and kind in AT_10K else library_size
    how: dict[str, Any] = {"library_size": size, "n_samples": n_samples, "seed": seed}
    blocks = _blocks(fitted_model, source, kind, float(technical_cv2), batch, how)
    tables = _filled(adata, fitted_model.data, genes, blocks, with_sd)
    about = {"kind": kind, "library_size": None if size is None else float(size), "n_samples": int(n_samples)}  # plain, for JSON
    about |= {"random_state_of_draw": seed} if drawn else {}
    about |= {"technical_cv2": float(technical_cv2)} if kind in POSTERIORS else {}
    for table, name in zip(tables, names.values(), strict=True):
        getattr(adata, attribute)[name] = table
        batch_name = None if at_batch is None else str(at_batch)
        note(adata, fitted_model, f"{attribute}[{name!r}]", verb="denoise", **about, at_batch=batch_name)
    if genes is None:
        modelled = adata.var_names.astype(str).isin(fitted_model.data.genes)
        _warn_of_others(int((~modelled).sum()), adata.n_vars, f"layers[{key_added!r}]")
    return fitted_model


def _blocks(
    model: Autoencoder, source: CountMatrix, kind: str, technical_cv2: float, batch: int | None, how: dict[str, Any]
) -> Iterator[tuple[slice, tuple[NDArray[np.float32], NDArray[np.float32] | None]]]:
    """Values of a kind and, for a posterior, their standard deviation, some cells at a time."""
    if kind in POSTERIORS:
        yield from corrected(model, source, logged=kind != "posterior", technical_cv2=technical_cv2, **how)
        return
    of_kind = "mean" if kind == "rate" else kind
    for rows, block in denoised(model, source, kind=of_kind, batch=batch, **how):
        yield rows, (block, None)


def _filled(
    adata: AnnData,
    data: DataSpec,
    genes: list[str] | None,
    blocks: Iterable[tuple[slice, tuple[NDArray[np.float32], NDArray[np.float32] | None]]],
    with_sd: bool,
) -> list[NDArray[np.float32]] | list[pd.DataFrame]:
    """The blocks as one layer, or as one table of the genes asked for; and a second one for the standard deviation."""
    n = 2 if with_sd else 1
    if genes is not None:
        chosen = _positions(data.genes, genes)
        parts = [[block[:, chosen] for block in both[:n] if block is not None] for _, both in blocks]
        tables = (np.concatenate(part) for part in zip(*parts, strict=True))
        return [pd.DataFrame(table, index=adata.obs_names, columns=genes) for table in tables]
    layers = [np.full(adata.shape, np.nan, np.float32) for _ in range(n)]
    columns = adata.var_names.astype(str).get_indexer(list(data.genes))
    present = np.flatnonzero(columns >= 0)
    for rows, both in blocks:
        for layer, block in zip(layers, both, strict=False):
            if block is not None:
                layer[rows, columns[present]] = block[:, present]
    return layers


def _check_memory(adata: AnnData, n_layers: int) -> None:
    """Refuse, before the fit, layers that do not fit into memory."""
    require_memory(
        4 * n_layers * adata.n_obs * adata.n_vars,
        f"what denoise writes for {adata.n_obs:,} cells × {adata.n_vars:,} genes",
        "Name the genes that you need (genes, or --genes), or first subset the data to fewer genes or cells, such as "
        "adata[:, adata.var['highly_variable']].copy().",
    )


def listed(genes: str | Sequence[str]) -> list[str]:
    """Names of genes from any sequence; a lone string is one gene.

    Raises
    ------
    ConfigError
        If there is none, one is repeated, or this is no sequence.
    """
    if not isinstance(genes, Iterable):
        raise ConfigError(f"genes is {genes!r}; allowed: names of genes, or None for a layer.")
    names = [genes] if isinstance(genes, str) else [str(name) for name in genes]
    repeated = sorted(name for name, times in Counter(names).items() if times > 1)
    if repeated or not names:
        said = f"repeats {', '.join(map(repr, repeated[:3]))}" if repeated else "is empty"
        raise ConfigError(f"genes {said}; allowed: names of genes, each once.")
    return names


def _check_names(adata: AnnData, model: Model, genes: Sequence[str] | None, at_batch: str | None, keys: DataKeys) -> None:
    """Refuse unknown names before the fit, which may take long."""
    known = model.data.genes if isinstance(model, Autoencoder) and model.input.takes_missing_genes else ()
    for name in genes or ():
        if name not in adata.var_names and name not in known:
            raise unknown("gene", name, adata.var_names)
    if genes is not None and isinstance(model, Autoencoder):
        _positions(model.data.genes, genes)
    elif genes is not None:
        _positions(adata.var_names[gene_mask(adata, keys.mask_var)], genes)
    if at_batch is not None and not isinstance(model, Autoencoder):
        batch_key = keys.batch_key
        if batch_key is None:
            raise ConfigError(f"at_batch is {at_batch!r}, but there is no batch_key. Name the column of the batch.")
        if batch_key in adata.obs and str(at_batch) not in set(adata.obs[batch_key].astype(str)):
            raise unknown("level of " + batch_key, at_batch, sorted(set(adata.obs[batch_key].astype(str))))


def _warn_of_others(n: int, n_vars: int, place: str) -> None:
    """Warn that genes are NaN because they are not modelled: plots of them stay empty."""
    if n:
        said = f"{n:,} of the {n_vars:,} genes are not modelled and are NaN in {place}"
        warnings.warn(f"{said}. {_TO_MODEL_MORE}", UserWarning, stacklevel=3)


def _batch_code(data: DataSpec, at_batch: str) -> int:
    if data.keys.batch_key is None:
        raise ConfigError(f"at_batch is {at_batch!r}, but the model was fitted without batch_key. Fit one with batch_key.")
    return int(level_codes([str(at_batch)], "at_batch", data.batches)[0])


def _positions(modelled: Sequence[str], genes: Sequence[str]) -> list[int]:
    """Where genes, all of which are in ``adata``, are among those modelled."""
    place = {name: i for i, name in enumerate(modelled)}
    others = [name for name in genes if name not in place]
    if others:
        named = ", ".join(others[:20]) + (f" and {len(others) - 20} more" if len(others) > 20 else "")
        said = f"{named} {'is' if len(others) == 1 else 'are'} in adata but not among the {len(place):,} genes that are modelled"
        raise MissingKeyError(f"{said}. {_TO_MODEL_MORE}")
    return [place[name] for name in genes]
