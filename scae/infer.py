"""What a fitted model says of cells, block by block, so that memory is bounded by the output."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.distributions import Independent, constraints

from .draws import PerCell
from .errors import ConfigError
from .likelihoods import Parameters
from .model import Autoencoder
from .ops.device import thread_count
from .records import Cells, Counts, EncoderInput
from .source import CountMatrix

T = TypeVar("T")
CP10K = 1e4
BLOCK = 512  # cells whose dense output is in memory at one time


def each_block(
    model: Autoencoder,
    source: CountMatrix,
    read: Callable[[Counts, Cells], T],
    *,
    rows: NDArray[np.int64] | None = None,
    size: int = BLOCK,
) -> Iterator[tuple[slice, T]]:
    """The one evaluation loop: ``read(counts, cells)`` of each block of cells, on the model's device.

    The model is in evaluation mode, without gradients and with one thread count for torch and kernels, while ``read`` runs;
    between blocks nothing is changed, so a caller may stop at any block.

    Parameters
    ----------
    model, source
        A model and cells of its genes.
    read
        What to ask of a block.
    rows
        Only these cells, in this order.
    size
        Cells per block.

    Yields
    ------
    tuple
        The block's positions (in ``rows`` where given), and what ``read`` returned.
    """
    for where, counts, cells in source.blocks(size, rows):
        model.eval()
        with torch.no_grad(), thread_count():
            result = read(counts.to(model.device), cells.to(model.device))
        yield where, result


def latent(
    model: Autoencoder, source: CountMatrix, *, rows: NDArray[np.int64] | None = None
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int64] | None]:
    """The latent of all cells, or only those of ``rows``.

    Returns
    -------
    tuple
        Posterior mean and standard deviation, ``(cells, dim)`` each, zero where the latent is a point; and the codes
        ``(cells, books)`` of a bottleneck with codebooks, otherwise None.
    """
    mean, sd = np.zeros((2, len(source) if rows is None else len(rows), model.spec.bottleneck.dim), np.float32)
    codes = []
    for where, found in each_block(model, source, model.encode, rows=rows):
        mean[where] = found.point.cpu().numpy()
        if found.sd is not None:
            sd[where] = found.sd.cpu().numpy()
        if found.codes is not None:
            codes.append(found.codes.cpu().numpy())
    return mean, sd, np.concatenate(codes) if codes else None


def denoised(
    model: Autoencoder,
    source: CountMatrix,
    *,
    kind: str = "mean",
    library_size: float | None = None,
    n_samples: int = 0,
    batch: int | None = None,
    seed: int = 0,
) -> Iterator[tuple[slice, NDArray[np.float32]]]:
    """Expected counts ``(rows, genes)`` of all cells, a block at a time.

    Parameters
    ----------
    model, source
        A fitted model and cells of its genes.
    kind
        ``"mean"``: expected counts. ``"sample"``: one draw of the posterior predictive distribution. ``"log_mean"``:
        E[log1p(CP10k)], with a ``library_size``.
    library_size
        Exposure, counts; None: each cell's own.
    n_samples
        Draws of a random latent over which a mean is averaged; 0 decodes the latent's mean.
    batch
        Decode every cell at this batch code; None: at its own.
    seed
        Seed of all draws.
    """
    rng = torch.Generator(model.device).manual_seed(seed)
    scale = CP10K / library_size if kind == "log_mean" and library_size else None

    def read(counts: Counts, cells: Cells) -> Tensor:
        target = whole(model, counts, cells, _target(cells, library_size, batch), to_scale=library_size is None)
        if kind == "sample":
            return drawn(model, model.encode(counts, cells, rng).z, counts, target, rng)
        return _expected(model, counts, cells, target, scale, n_samples, rng)

    for rows, expected in each_block(model, source, read):
        yield rows, expected.cpu().numpy()


def _target(cells: Cells, library_size: float | None, batch: int | None) -> Cells:
    """The exposure and batch at which to decode; the encoder keeps the cell's own."""
    if library_size is not None:
        cells = replace(cells, library=torch.full_like(cells.library, library_size))
    if batch is not None:
        cells = replace(cells, batch=cells.covariates.new_full((len(cells),), batch))
    return cells


def whole(model: Autoencoder, counts: Counts, cells: Cells, target: Cells, *, to_scale: bool = True) -> Cells:
    """At the exposure with the missing genes, if the measured ones have the share of all molecules that the model predicts."""
    if counts.missing is None or not to_scale:
        return target
    mean = _expected(model, counts, cells, target, None, 0, torch.Generator(model.device))
    share = mean[:, ~counts.missing].sum(1, keepdim=True) / mean.sum(1, keepdim=True)
    return replace(target, library=target.library / share.clamp_min(torch.finfo(share.dtype).tiny))


def drawn(model: Autoencoder, z: Tensor, counts: Counts, target: Cells, rng: torch.Generator) -> Tensor:
    """A draw ``(cells, genes)`` from the likelihood at latents ``(cells, dim)``, each cell's by one of the decoders."""
    parameters = [model.decode(z, counts, target, decoder=d) for d in model.decoders]
    each = torch.stack([model.spec.likelihood.sample(p, rng) for p in parameters])
    which = torch.randint(len(each), (len(target),), generator=rng, device=rng.device)
    return model.counts(each[which, torch.arange(len(target), device=which.device)], target)


def _expected(
    model: Autoencoder, counts: Counts, cells: Cells, target: Cells, scale: float | None, n_samples: int, rng: torch.Generator
) -> Tensor:
    """E[X], or with a scale E[log1p(scale · X)]."""
    likelihood, total, n = model.spec.likelihood, torch.zeros(()), 0
    for p in decoded(model, counts, cells, target, n_samples, rng):
        total = total + (model.counts(likelihood.mean(p), target) if scale is None else likelihood.mean_log1p(p, scale))
        n += 1
    return total / n


def decoded(
    model: Autoencoder, counts: Counts, cells: Cells, target: Cells, n_samples: int, rng: torch.Generator
) -> Iterator[Parameters]:
    """The parameters from each decoder, for the mean of the latent or for ``n_samples`` draws of it, at another exposure."""
    code = model.encode(counts, cells)
    n_draws = n_samples if code.sd is not None else 0  # every draw of a point is that point
    for _ in range(max(n_draws, 1)):
        z = model.encode(counts, cells, rng).z if n_draws else code.z
        for decoder in model.decoders:
            yield model.decode(z, counts, target, decoder=decoder)


def losses(
    model: Autoencoder, source: CountMatrix, *, rows: NDArray[np.int64] | None = None, seed: int = 0, corrupt: bool = False
) -> NDArray[np.float32]:
    """The loss of each cell as in training, at full KL weight, ``(cells,)`` nats.

    Parameters
    ----------
    model, source
        A model and cells of its genes.
    rows
        Only these cells.
    seed
        Seed of random latents and corruptions, so that two calls agree.
    corrupt
        Judge what the model makes of corrupted cells, for which it was trained, rather than of whole ones.
    """
    rng = torch.Generator(model.device).manual_seed(seed)

    def read(counts: Counts, cells: Cells) -> Tensor:
        return model(counts, cells, rng, corrupt=corrupt).total

    size = max(2 * BLOCK // model.spec.bottleneck.n_samples, 1)
    return _joined(each_block(model, source, read, rows=rows, size=size))


def bound(
    model: Autoencoder, source: CountMatrix, *, n_samples: int = 1, importance: bool = False, seed: int = 0
) -> NDArray[np.float32]:
    """The bound on −log p(x) of each cell, ``(cells,)`` nats: the negative ELBO, or the importance-weighted bound.

    Whatever the loss of the fit was, the KL has weight one and there are no penalties. A cell's draws depend on its own counts
    only, so its bound does not depend on the other cells.

    Parameters
    ----------
    model, source
        A model and cells of its genes.
    n_samples
        Number of draws of a random latent.
    importance
        −log 1/K Σₖ p(x, zₖ) / q(zₖ|x) over the K draws, instead of the mean of their negative ELBO.
    seed
        Seed of the draws.

    Raises
    ------
    ConfigError
        If the importance-weighted bound of such a latent is not defined.
    """
    latents = model.spec.bottleneck.at_draws() if importance else model.spec.bottleneck

    def read(counts: Counts, cells: Cells) -> Tensor:
        rng = PerCell(counts, seed)
        encoded, target = model.encoded(EncoderInput(counts), cells, None), model.target(counts, cells)
        each = torch.zeros(len(model.decoders), n_samples, len(counts), device=model.device)
        for decoder, draw in itertools.product(model.decoders, range(n_samples)):
            latent = latents(model.bottleneck, encoded, cells, rng)
            p = model.decode(latent.z, counts, cells, decoder=decoder)
            each[decoder, draw] = model.spec.likelihood.nll(p, target) + latent.kl
        return (math.log(n_samples) - torch.logsumexp(-each, 1) if importance else each.mean(1)).mean(0)

    return _joined(each_block(model, source, read))


def _joined(blocks: Iterator[tuple[slice, Tensor]]) -> NDArray[np.float32]:
    nats = [found.cpu().numpy() for _, found in blocks]
    return np.concatenate(nats) if nats else np.empty(0, np.float32)


@dataclass(frozen=True)
class Expected:
    """What a fitted model expects of each gene's counts over some cells, ``(genes,)`` float64 each.

    Attributes
    ----------
    mean
        Mean of the expected counts.
    noise
        Mean over cells of the variance around a cell's own expected count.
    variance
        ``noise`` plus the variance of the expected counts between cells.
    zeros
        Expected share of cells without a count.
    """

    mean: NDArray[np.float64]
    noise: NDArray[np.float64]
    variance: NDArray[np.float64]
    zeros: NDArray[np.float64]


def expected(model: Autoencoder, source: CountMatrix) -> Expected:
    """Each gene's mean, variance and share of zeros under the fitted likelihood, every cell at its latent's mean.

    Raises
    ------
    ConfigError
        If the likelihood is not one of counts, gene by gene.
    """

    def read(counts: Counts, cells: Cells) -> Tensor:
        z = model.encode(counts, cells).z
        return torch.stack([_moments(model, model.decode(z, counts, cells, decoder=d)) for d in model.decoders]).sum(0)

    sums = np.zeros((4, source.n_genes))
    for _, moments in each_block(model, source, read):
        sums += moments.cpu().numpy()
    mean, square, noise, zeros = sums / max(len(source) * len(model.decoders), 1)
    return Expected(mean, noise, noise + np.maximum(square - mean**2, 0), zeros)


def _moments(model: Autoencoder, p: Parameters) -> Tensor:
    """``(4, genes)`` float64: sums over cells of the mean, its square, the variance and the probability of a zero."""
    dist = model.spec.likelihood.dist(p)
    base = dist.base_dist if isinstance(dist, Independent) else None
    if base is None or base.support is not constraints.nonnegative_integer:
        raise ConfigError(
            f"the likelihood {model.spec.likelihood} is not one of counts, gene by gene; 'nb', 'zinb', 'poisson' are."
        )
    mean, zeros = base.mean.double(), base.log_prob(torch.zeros_like(base.mean)).exp()
    return torch.stack([mean.sum(0), (mean**2).sum(0), base.variance.double().sum(0), zeros.double().sum(0)])
