"""Dirichlet-multinomial: a multinomial with random shares, for overdispersed counts."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import Distribution
from torch.nn.functional import log_softmax

from ..ops.log_mean import beta_binomial_mean_log1p
from ..ops.multinomial import multinomial
from ..parts import part
from ..records import Counts, GeneStatistics
from .base import CELL_GENE, LINKS, SHARED, GivenTotal, Likelihood, Parameters, by_cell, whole
from .posterior import Posterior, Seen

_START = 7.0  # initial log α, α ≈ 1,000: like θ = 1 for a gene with a thousandth of all molecules


def _log_alpha(p: Parameters) -> Tensor:
    return p["precision"].clamp(-5.0, 16.0)


@part("likelihood", "dirichlet_multinomial")
class DirichletMultinomial(Likelihood):
    """Dirichlet-multinomial counts given each cell's total, with one precision α for all genes (Mosimann 1962).

    Expression shares are drawn from Dirichlet(α p) with p from the decoder. As α grows, the distribution approaches the
    multinomial (doi:10.1093/biomet/49.1-2.65). Totals and means are as for ``multinomial``.
    """

    of_molecules = True

    def parameters(self) -> dict[str, str]:
        return {"mean": CELL_GENE, "precision": SHARED}

    def start(self, stats: GeneStatistics) -> dict[str, Tensor]:
        return {"mean": LINKS["softmax"].start(stats), "precision": stats.share.new_tensor([_START])}

    def dist(self, p: Parameters) -> Distribution:
        alpha = _log_alpha(p).exp()

        def log_prob_given(value: Tensor, log_share: Tensor) -> Tensor:
            each = log_share.exp() * alpha
            gain = torch.lgamma(value + each) - torch.lgamma(each)
            return torch.lgamma(alpha) - torch.lgamma(value.sum(1) + alpha) + gain.sum(1)

        return GivenTotal(p.library, p["mean"], log_prob_given)

    def sample(self, p: Parameters, rng: torch.Generator) -> Tensor:
        each = (log_softmax(p["mean"], 1) + _log_alpha(p)).detach().double().exp().clamp_min(1e-300)
        # Gamma(a) = Gamma(a + 1) · U^(1/a), whose log does not underflow for small a
        uniform = torch.rand(each.shape, generator=rng, device=each.device, dtype=each.dtype).clamp_min(1e-300)
        log_gamma = torch._standard_gamma(each + 1, generator=rng).log() + uniform.log() / each
        return multinomial(whole(p.library[:, 0], rng), torch.softmax(log_gamma, 1), rng).to(p.library.dtype)

    def mean_log1p(self, p: Parameters, scale: float) -> Tensor:
        """E[log(1 + scale · X)] ``(cells, genes)``; all cells must have the same library size, as in :func:`scae.tl.denoise`."""
        share, alpha = log_softmax(p["mean"], 1).exp(), _log_alpha(p).exp()
        return beta_binomial_mean_log1p(share, alpha.expand(len(share)), int(p.library[0, 0].round()), scale)

    def posterior(self, p: Parameters, seen: Seen) -> Posterior:
        """Shares have the posterior Dirichlet(α p + x); genes that were not measured share what is left as the decoder says."""
        share, alpha, measured = log_softmax(p["mean"], 1).exp(), _log_alpha(p).exp(), seen.measured
        there = (share * measured).sum(1, keepdim=True)  # prior share of the measured genes; the others say nothing of them
        n = (seen.counts * measured).sum(1, keepdim=True)
        within = (alpha * share + seen.counts) / (alpha * there + n)
        mean = torch.where(measured > 0, within * there, share)
        precision = torch.where(measured > 0, alpha + n / there, alpha)
        sd = (mean * (1 - mean) / (precision + 1)).sqrt()

        def log_mean(ratio: Tensor, scale: float) -> Tensor:
            total = int((p.library * ratio)[0, 0].round())  # one for all cells, as in mean_log1p
            return beta_binomial_mean_log1p(mean, precision[:, 0], total, scale)

        return Posterior(mean * p.library, sd * p.library, log_mean)

    def nll(self, p: Parameters, target: Counts) -> Tensor:
        logits, log_alpha = p["mean"], _log_alpha(p).double()  # float64: lgamma(x + α) − lgamma(α) cancels for large α
        total, x = target.totals()[:, 0].double(), target.value.double()
        log_share = logits[target.cell, target.gene].double() - torch.logsumexp(logits, 1).double()[target.cell]
        alpha, each = log_alpha.exp(), (log_share + log_alpha).exp()
        gain = by_cell(torch.lgamma(x + each) - torch.lgamma(each) - torch.lgamma(x + 1), target)
        normaliser = torch.lgamma(total + 1) + torch.lgamma(alpha) - torch.lgamma(total + alpha)
        return -(gain + normaliser).to(logits.dtype)
