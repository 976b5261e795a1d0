"""Expected log counts: E[log(1 + s X)] of dense expected counts, exact to about 1e-7. No gradient."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from .. import threads
from ..kernels import log_mean as kernels

_POISSON = 1e12  # θ beyond which no digit of a double tells a negative binomial from a Poisson


def mean_log1p(mu: Tensor, theta: Tensor | None, scale: float) -> Tensor:
    """E[log(1 + s X)] for negative-binomial, Poisson or binomial X.

    Parameters
    ----------
    mu
        ``(cells, genes)``, expected counts.
    theta
        ``(genes,)`` or ``(cells, genes)``, the inverse dispersion (variance μ + μ²/θ), −n for Binomial(n, μ/n); None for Poisson.
    scale
        What a count is multiplied with, above zero: 10⁴ / L for counts per ten thousand at a depth of L.

    Returns
    -------
    Tensor
        ``(cells, genes)``, in the dtype of ``mu`` and on its device; a GPU's work is done by the CPU, where it is wanted anyway.
    """
    theta = mu.new_full((1, 1), _POISSON).expand(1, mu.shape[1]) if theta is None else torch.atleast_2d(theta)
    given, out = (t.detach().cpu().contiguous() for t in (mu, theta)), torch.empty(mu.shape, dtype=mu.dtype)
    work = 32 * mu.numel()
    threads.run(kernels.log1p_means, len(mu), *(t.numpy() for t in given), scale, *kernels.table(scale), out.numpy(), work=work)
    return out.to(mu.device)


def beta_binomial_mean_log1p(share: Tensor, precision: Tensor, n: int, scale: float) -> Tensor:
    """E[log(1 + s X)] for X ~ BetaBinomial(n, α p, α (1 − p)).

    Parameters
    ----------
    share, precision
        p ``(cells, genes)`` and α ``(cells,)``.
    n
        Trials. The work grows with the spread of the counts, at most as n.
    scale
        As in :func:`mean_log1p`.
    """
    given, out = [t.detach().cpu().contiguous().numpy() for t in (share, precision)], torch.empty(share.shape, dtype=share.dtype)
    work = 256 * share.numel()
    logs = np.log1p(scale * np.arange(n + 1.0))
    threads.run(kernels.beta_binomial_log1p_means, len(share), *given, logs, out.numpy(), work=work)
    return out.to(share.device)
