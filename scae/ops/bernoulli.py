"""Bernoulli cost of presence, from a logit or from the logarithm of the probability."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import softplus

from ..batch import CountBatch
from ..kernels.losses import bernoulli_stored, probability_stored
from .overwritten import Cost, Pair


def bernoulli_nll(logit: Tensor, batch: CountBatch) -> Tensor:
    """−log Bernoulli(x > 0; σ(logit)), summed over genes.

    Parameters
    ----------
    logit
        ``(cells, genes)``.
    batch
        The observed counts; any count above zero is a presence.

    Returns
    -------
    Tensor
        ``(cells,)``, nats.
    """
    return LOGIT(logit, batch)


def probability_nll(log_p: Tensor, batch: CountBatch) -> Tensor:
    """−log Bernoulli(x > 0; p), summed over genes, for probabilities that are products: their logarithm is at hand.

    Parameters
    ----------
    log_p
        ``(cells, genes)``, below zero.
    batch
        The observed counts; any count above zero is a presence.

    Returns
    -------
    Tensor
        ``(cells,)``, nats.
    """
    return PROBABILITY(log_p, batch)


def _absent_by_logit(logit: Tensor) -> Pair:
    return softplus(logit, threshold=40.0), logit.sigmoid()


def _present_by_logit(logit: Tensor, x: Tensor) -> Pair:  # noqa: ARG001
    return softplus(-logit), -torch.sigmoid(-logit)


def _absent(log_p: Tensor) -> Pair:
    absent = torch.expm1(log_p).neg_()
    return absent.log().neg_(), absent.reciprocal_().sub_(1.0)  # p / (1 − p)


def _present(log_p: Tensor, x: Tensor) -> Pair:  # noqa: ARG001
    return -log_p, -torch.ones_like(log_p)


LOGIT = Cost(_absent_by_logit, bernoulli_stored, _present_by_logit)
PROBABILITY = Cost(_absent, probability_stored, _present)
