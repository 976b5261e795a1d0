"""What a fitted model says of cells, block by block, so that memory is bounded by the output."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.distributions import Independent, constraints

from .batch import CountBatch
from .errors import ConfigError
from .likelihoods import Parameters
from .model import Autoencoder
from .source import CountMatrix

KINDS = ("mean", "rate", "sample", "log_mean")
CP10K = 1e4
_BLOCK = 512


@torch.no_grad()
def latent(model: Autoencoder, source: CountMatrix) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int64] | None]:
    """The posterior mean and standard deviation of the latent, ``(cells, dim)`` each; a point has none.

    Third, of a bottleneck that chooses from codebooks, the code of each cell in each book ``(cells, books)``; else None.
    """
    model.eval()
    mean, sd = np.empty((2, len(source), model.spec.bottleneck.dim), np.float32)
    codes = []
    for rows, batch in source.blocks(_BLOCK):
        code = model.encode(batch.to(model.device))
        mean[rows], sd[rows] = code.point.cpu().numpy(), code.sd.cpu().numpy()
        if "code" in code.trace:
            codes.append(code.trace["code"].cpu().numpy())
    return mean, sd, np.concatenate(codes) if codes else None


@torch.no_grad()
def denoised(
    model: Autoencoder,
    source: CountMatrix,
    *,
    kind: str = "mean",
    library_size: float = 1e4,
    n_samples: int = 0,
    level: int | None = None,
    seed: int = 0,
) -> Iterator[tuple[slice, NDArray[np.float32]]]:
    """Expected counts ``(rows, genes)`` of all cells, a block at a time.

    Parameters
    ----------
    model, source
        A fitted model and cells of its genes.
    kind
        One of :data:`KINDS`. ``"mean"``: counts at the cell's own exposure; ``"rate"``: counts per ``library_size``;
        ``"sample"``: one draw of the posterior predictive distribution at the cell's own exposure. ``"log_mean"``:
        E[log1p(CP10k)] of counts at an exposure of ``library_size``.
    library_size
        Exposure of ``"rate"`` and ``"log_mean"``, counts.
    n_samples
        Draws of a random latent that a mean is averaged over; 0 decodes the latent's mean.
    level
        Decode every cell at this level of the first categorical covariate; None: at its own.
    seed
        Where draws start.
    """
    model.eval()
    rng = torch.Generator(model.device).manual_seed(seed)
    for rows, batch in source.blocks(_BLOCK):
        batch = batch.to(model.device)
        target = _target(batch, kind, library_size, level)
        if kind == "sample":
            out = _drawn(model, batch, target, rng)
        else:
            scale = CP10K / library_size if kind == "log_mean" else None
            out = _expected(model, batch, target, scale, n_samples, rng)
        yield rows, out.cpu().numpy()


def _target(batch: CountBatch, kind: str, library_size: float, level: int | None) -> CountBatch:
    """The exposure and covariates at which to decode; the encoder keeps the cell's own."""
    if kind in ("rate", "log_mean"):
        batch = replace(batch, library=torch.full_like(batch.library, library_size))
    if level is not None:
        covariates = batch.covariates.clone()
        covariates[:, 0] = level
        batch = replace(batch, covariates=covariates)
    return batch


def _drawn(model: Autoencoder, batch: CountBatch, target: CountBatch, rng: torch.Generator) -> Tensor:
    z = model.encode(batch, rng).z
    drawn = torch.stack([model.spec.likelihood.sample(model.decode(z, target, decoder=d), rng) for d in model.decoders])
    which = torch.randint(len(drawn), (len(batch),), generator=rng, device=rng.device)
    return model.counts(drawn[which, torch.arange(len(batch), device=which.device)], target)


def _expected(
    model: Autoencoder, batch: CountBatch, target: CountBatch, scale: float | None, n_samples: int, rng: torch.Generator
) -> Tensor:
    """E[X], or with a scale E[log1p(scale · X)]."""
    likelihood = model.spec.likelihood
    code = model.encode(batch)
    if not code.sd.any():
        n_samples = 0  # a point: every draw is the mean
    total: Tensor | float = 0.0
    for _ in range(max(n_samples, 1)):
        z = model.encode(batch, rng).z if n_samples else code.z
        for decoder in model.decoders:
            p = model.decode(z, target, decoder=decoder)
            total = total + (model.counts(likelihood.mean(p), target) if scale is None else likelihood.mean_log1p(p, scale))
    return torch.as_tensor(total) / (max(n_samples, 1) * len(model.decoders))


@dataclass(frozen=True)
class Expected:
    """What a fitted model says that each gene's counts look like over these cells, ``(genes,)`` float64 each.

    Attributes
    ----------
    mean
        Mean of the expected counts.
    noise
        Mean over cells of the variance around a cell's own expected count.
    variance
        ``noise`` and the variance of the expected counts between cells.
    zeros
        Expected share of cells without a count.
    """

    mean: NDArray[np.float64]
    noise: NDArray[np.float64]
    variance: NDArray[np.float64]
    zeros: NDArray[np.float64]


@torch.no_grad()
def expected(model: Autoencoder, source: CountMatrix) -> Expected:
    """Each gene's mean, variance and share of zeros under the fitted likelihood, every cell at its latent's mean.

    Raises
    ------
    ConfigError
        If the likelihood is not one of counts, gene by gene.
    """
    model.eval()
    sums = torch.zeros(4, source.n_genes, dtype=torch.float64)
    for _, batch in source.blocks(_BLOCK):
        batch = batch.to(model.device)
        z = model.encode(batch).z
        for decoder in model.decoders:
            sums += _sums(model, model.decode(z, batch, decoder=decoder))
    average, square, noise, empty = (sums / max(len(source) * len(model.decoders), 1)).numpy()
    return Expected(average, noise, noise + np.maximum(square - average**2, 0), empty)


def _sums(model: Autoencoder, p: Parameters) -> Tensor:
    """``(4, genes)`` float64: sums over cells of the mean, its square, the variance and the probability of a zero."""
    dist = model.spec.likelihood.dist(p)
    base = dist.base_dist if isinstance(dist, Independent) else None
    if base is None or model.spec.likelihood.on_input or base.support is not constraints.nonnegative_integer:
        given = f"the likelihood {model.spec.likelihood} is not one of counts, gene by gene"
        raise ConfigError(f"{given}; 'nb', 'zinb' and 'poisson' are.")
    mean, zeros = base.mean.double(), base.log_prob(torch.zeros_like(base.mean)).exp()
    return torch.stack([mean.sum(0), (mean**2).sum(0), base.variance.double().sum(0), zeros.double().sum(0)]).cpu()
