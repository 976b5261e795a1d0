"""Expected log counts E[log(1 + s X)] of count distributions, with an error of about 1e-7. No gradients."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from .. import threads
from ..kernels import log_mean as kernels

_POISSON = 1e12  # θ above which a negative binomial equals a Poisson in float64


def mean_log1p(mu: Tensor, theta: Tensor | None, scale: float) -> Tensor:
    """E[log(1 + s X)] for negative-binomial, Poisson or binomial X.

    Parameters
    ----------
    mu
        ``(cells, genes)``, expected counts.
    theta
        ``(genes,)`` or ``(cells, genes)``, inverse dispersion (variance μ + μ²/θ); −n for Binomial(n, μ/n); None for Poisson.
    scale
        The factor s > 0: 10⁴ / L for counts per ten thousand at a library size of L.

    Returns
    -------
    Tensor
        ``(cells, genes)``, in the dtype of ``mu`` and on its device; computed on the CPU.
    """
    theta = mu.new_full((1, 1), _POISSON).expand(1, mu.shape[1]) if theta is None else torch.atleast_2d(theta)
    inputs, out = (t.detach().cpu().contiguous() for t in (mu, theta)), torch.empty(mu.shape, dtype=mu.dtype)
    work = 32 * mu.numel()
    threads.run(kernels.log1p_means, len(mu), *(t.numpy() for t in inputs), scale, *kernels.table(scale), out.numpy(), work=work)
    return out.to(mu.device)


def beta_binomial_mean_log1p(share: Tensor, precision: Tensor, n: int, scale: float) -> Tensor:
    """E[log(1 + s X)] for X ~ BetaBinomial(n, α p, α (1 − p)).

    Parameters
    ----------
    share, precision
        p ``(cells, genes)`` and α ``(cells,)``.
    n
        Number of trials. Run time grows with the spread of the counts, at most linearly in n.
    scale
        As in :func:`mean_log1p`.
    """
    inputs, out = [t.detach().cpu().contiguous().numpy() for t in (share, precision)], torch.empty(share.shape, dtype=share.dtype)
    work = 256 * share.numel()
    logs = np.log1p(scale * np.arange(n + 1.0))
    threads.run(kernels.beta_binomial_log1p_means, len(share), *inputs, logs, out.numpy(), work=work)
    return out.to(share.device)
