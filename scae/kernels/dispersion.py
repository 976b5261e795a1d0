"""How well multiples of a dispersion predict held-out molecules, gene by gene."""

from __future__ import annotations

import math

from .jit import jit

_DIRECT = 16  # counts up to here are summed term by term


@jit
def _log_rising(a, n):
    """Return log Γ(a + n) − log Γ(a)."""
    if n > _DIRECT or n != math.floor(n):
        return math.lgamma(a + n) - math.lgamma(a)
    total, product = 0.0, 1.0
    for k in range(int(n)):
        product *= a + k
        if product > 1e200 or product < 1e-200:
            total += math.log(product)
            product = 1.0
    return total + math.log(product)


@jit
def log_predictive(start, stop, mu, theta, on, seen, held, factors, out):
    """Add up the log probability of held-out counts, given the counts that were seen of the same cells, for several dispersions.

    A cell's rate of a gene is zero, or has a gamma distribution with mean μ and shape f θ, for each factor f. What was seen and
    what was held out are Poisson with this rate. The factorial of the held-out count is left out.

    Parameters
    ----------
    start, stop : int
        Range of genes.
    mu : array, shape (cells, genes)
        Expected counts before any was seen.
    theta : array, shape (1, genes) or (cells, genes)
        Inverse dispersion θ.
    on : array, shape (1, 1) or (cells, genes)
        Probability that the rate is not zero; ``(1, 1)``: it never is.
    seen, held : array, shape (cells, genes)
        Counts, at the same exposure.
    factors : array, shape (n,)
        Factors f.
    out : array, shape (genes, n)
        The sums are added to it, nats.
    """
    shared, never_zero = theta.shape[0] == 1, on.size == 1
    for row in range(mu.shape[0]):
        for j in range(start, stop):
            m, t = float(mu[row, j]), float(theta[0 if shared else row, j])
            if not m > 0.0:
                continue
            x, y = float(seen[row, j]), float(held[row, j])
            for i in range(factors.size):
                shape, rate = factors[i] * t + x, factors[i] * t / m + 1.0
                total = -shape * math.log1p(1.0 / rate)
                if y > 0.0:
                    total += _log_rising(shape, y) - y * math.log(rate + 1.0)
                if not never_zero and x == 0.0:
                    p = float(on[row, j])
                    silent = p * math.exp(-factors[i] * t * math.log1p(m / (factors[i] * t)))
                    p = silent / (1.0 - p + silent)
                    total = math.log(p) + total if y > 0.0 else math.log(1.0 - p + p * math.exp(total))
                out[j, i] += total
