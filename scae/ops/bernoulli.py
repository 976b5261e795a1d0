"""Bernoulli cost of presence (any count above zero), from the logit or the log of the probability, ``(cells, genes)``."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import softplus

from ..kernels.losses import bernoulli_stored, probability_stored
from .sparse_cost import Pair, SparseCost


def _absent_by_logit(logit: Tensor) -> Pair:
    return softplus(logit, threshold=40.0), logit.sigmoid()


def _present_by_logit(logit: Tensor, x: Tensor) -> Pair:  # noqa: ARG001
    return softplus(-logit), -torch.sigmoid(-logit)


def _absent(log_p: Tensor) -> Pair:
    absent = torch.expm1(log_p).neg_()
    return absent.log().neg_(), absent.reciprocal_().sub_(1.0)  # p / (1 − p)


def _present(log_p: Tensor, x: Tensor) -> Pair:  # noqa: ARG001
    return -log_p, -torch.ones_like(log_p)


bernoulli_nll = SparseCost(_absent_by_logit, bernoulli_stored, _present_by_logit)  # −log Bernoulli(x > 0; σ(logit))
# −log Bernoulli(x > 0; p) from log p < 0, for products of probabilities
probability_nll = SparseCost(_absent, probability_stored, _present)
