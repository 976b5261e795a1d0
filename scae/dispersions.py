"""Dispersions that predict held-out molecules: what to multiply each θ of a fitted model by."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline
from scipy.special import logsumexp
from torch import Tensor

from . import threads
from .halves import halves
from .infer import each_block
from .kernels.dispersion import log_predictive
from .likelihoods import GammaRates
from .model import Autoencoder
from .records import Cells, Counts
from .source import CountMatrix

_FACTORS = np.geomspace(5e-4, 2000.0, 18)
_FINE = np.linspace(np.log(_FACTORS[0]), np.log(_FACTORS[-1]), 181)  # log factors
_SPREADS = (0.1, 0.25, 0.5, 1.0, 1.5, 2.0, 3.0)  # of log factors around their trend
_BINS, _PER_BIN = 25, 20  # of the trend, and genes per bin at the least
_LEAST = 1e-9


def theta_factor(model: Autoencoder, source: CountMatrix, *, seed: int = 0) -> list[float] | None:
    """What to multiply each gene's θ by, so that one half of a cell's molecules best predicts the other.

    A fitted θ describes the counts around the decoder's mean in the fit, where cells were corrupted, and where the mean was drawn
    towards the very counts. Here each molecule goes to one of two halves at random. The decoder's mean from one half, at its
    exposure, and that half's counts give a posterior of the rates, and the factor is one with which the other half is probable
    (both ways round).

    Genes with few molecules say little of their dispersion. The log of the factor therefore has a normal prior around its trend
    over the mean, whose spread maximises the marginal likelihood over all genes; the result is the posterior mean.

    Parameters
    ----------
    model, source
        A model and cells of its genes.
    seed
        Seed of the halves.

    Returns
    -------
    list of float or None
        One factor per gene, or one θ where the likelihood has none. None where rates have no gamma distribution, or where counts
        are not whole, so that they cannot be halved.

    References
    ----------
    Shrinkage to a trend over the mean: Robinson and Smyth (2007), Bioinformatics 23:2881, doi:10.1093/bioinformatics/btm453.
    """
    parts = halves(source, seed) if model.spec.likelihood.of_rates else None
    if parts is None or not len(parts[0]):
        return None
    found = np.zeros((source.n_genes, _FACTORS.size))
    total = np.zeros(source.n_genes)
    for seen, held in (parts, parts[::-1]):
        total += _add(model, seen, held, found)
    return np.exp(shrunk(found, total / (2 * len(parts[0])))).tolist()


def _add(model: Autoencoder, seen: CountMatrix, held: CountMatrix, found: NDArray[np.float64]) -> NDArray[np.float64]:
    """Add the log probabilities of held-out counts for all factors, ``(genes, factors)``; return each gene's expected count."""
    total = np.zeros(seen.n_genes)

    def read(counts: Counts, cells: Cells) -> tuple[Tensor, list[GammaRates | None]]:
        z, likelihood = model.encode(counts, cells).z, model.spec.likelihood
        return counts.dense(), [likelihood.rates(model.decode(z, counts, cells, decoder=d)) for d in model.decoders]

    for rows, (counts, decoded) in each_block(model, seen, read):
        other = held.take(np.arange(rows.start, rows.stop))[0].dense()
        for rates in filter(None, decoded):
            one = rates.mean.new_ones(1, 1)
            theta = one.expand(1, seen.n_genes) if rates.theta is None else torch.atleast_2d(rates.theta)
            tensors = (rates.mean, theta, one if rates.on is None else rates.on, counts, other)
            arrays = (tensor.cpu().contiguous().numpy() for tensor in tensors)
            work = other.numel() * _FACTORS.size
            threads.run(log_predictive, seen.n_genes, *arrays, _FACTORS, found, work=work)
            total += rates.mean.sum(0).double().cpu().numpy()
    return total


def shrunk(found: NDArray[np.float64], mean: NDArray[np.float64]) -> NDArray[np.float64]:
    """Log factors ``(genes,)`` from their log likelihoods ``(genes, factors)`` and each gene's mean count."""
    curves = CubicSpline(np.log(_FACTORS), found, axis=1)(_FINE)
    log_mean = np.log(mean.clip(_LEAST))
    bins = np.array_split(np.argsort(log_mean, kind="stable"), max(1, min(_BINS, mean.size // _PER_BIN)))
    middles = [log_mean[genes].mean() for genes in bins]
    trend = np.interp(log_mean, middles, [_FINE[curves[genes].sum(0).argmax()] for genes in bins])
    joint, _ = max((_joint(curves, trend, spread) for spread in _SPREADS), key=lambda both: both[1])
    return (joint * _FINE).sum(1)


def _joint(curves: NDArray[np.float64], trend: NDArray[np.float64], spread: float) -> tuple[NDArray[np.float64], float]:
    """The posterior over log factors ``(genes, fine factors)``, and the log evidence of all genes."""
    prior = -0.5 * ((_FINE - trend[:, None]) / spread) ** 2
    joint = curves + prior - logsumexp(prior, axis=1, keepdims=True)
    evidence = logsumexp(joint, axis=1, keepdims=True)
    return np.exp(joint - evidence), float(evidence.sum())
