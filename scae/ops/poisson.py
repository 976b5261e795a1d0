"""Costs of molecules that are Poisson, whether they are counted or only seen to be there; a zero costs μ nats."""

from __future__ import annotations

import torch
from torch import Tensor

from ..batch import CountBatch
from ..kernels.losses import poisson_stored, presence_stored
from .overwritten import Cost, Pair


def poisson_nll(log_mu: Tensor, batch: CountBatch) -> Tensor:
    """−log Poisson(x; μ), summed over genes.

    Parameters
    ----------
    log_mu
        ``(cells, genes)``, log of the expected counts.
    batch
        The observed counts.

    Returns
    -------
    Tensor
        ``(cells,)``, nats.
    """
    return COUNT(log_mu, batch)


def presence_nll(log_mu: Tensor, batch: CountBatch) -> Tensor:
    """−log P(Poisson(μ) > 0) where a count is stored, μ where none is, summed over genes: the complementary log-log link.

    Parameters
    ----------
    log_mu
        ``(cells, genes)``, log of the expected molecules.
    batch
        The observed counts; any count above zero is a presence.

    Returns
    -------
    Tensor
        ``(cells,)``, nats.
    """
    return PRESENCE(log_mu, batch)


def _none(log_mu: Tensor) -> Pair:
    mu = log_mu.exp()
    return mu, mu.clone()


def _counted(log_mu: Tensor, x: Tensor) -> Pair:
    mu = log_mu.exp()
    return mu - x * log_mu + torch.lgamma(x + 1), mu - x


def _present(log_mu: Tensor, x: Tensor) -> Pair:  # noqa: ARG001
    mu = log_mu.exp()
    return -torch.log(-torch.expm1(-mu)), -mu / torch.expm1(mu)


COUNT, PRESENCE = Cost(_none, poisson_stored, _counted), Cost(_none, presence_stored, _present)
