"""A linear encoder and a linear decoder."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from ..errors import ConfigError
from ..kernels.pca import components
from ..layers import NormActDrop
from ..parts import option, part
from ..records import Counts, EncoderInput
from .base import Decoder, Encoder, Ends, FeedForwardDecoder, FeedForwardEncoder, Network

STARTS = ("random", "pca")


@part("network", "linear")
class Linear(Network):
    """Linear encoder and decoder: PCA with a Gaussian likelihood (Baldi & Hornik 1989), generalised PCA with counts.

    With ``start="pca"``, the weights before the first step are the principal components of the encoder's input, from a truncated
    singular value decomposition of the sparse matrix: the latent is the scores, and the decoder's weights are the axes. With
    covariates, they are those of the residuals of a linear regression on the covariates, whose coefficients become the
    covariates' weights. No weights have a smaller squared error, so the plan may have ``epochs=0``.

    Examples
    --------
    >>> Linear(start="pca").solves
    True
    """

    nonnegative: bool = option("nonnegative gene loadings: a factor can only increase expression (Seninge 2021)", default=False)
    start: str = option("weights before the first step: random, or principal components", default="random", choices=STARTS)

    @property
    def solves(self) -> bool:  # type: ignore[override]
        return self.start == "pca"

    def check(self, likelihood: Any, bottleneck: Any) -> None:
        if not self.solves:
            return
        fault = None
        if self.nonnegative:
            fault = "nonnegative is True; allowed: False"
        elif not likelihood.on_input:
            fault = f"the likelihood is {likelihood}; allowed: one of the encoder's input, such as 'gaussian' or 'student'"
        elif not bottleneck.is_identity:
            fault = f"the bottleneck is {bottleneck}; allowed: one that hands on the encoder's output, such as 'deterministic'"
        if fault:
            raise ConfigError(f"network 'linear': start is 'pca', but {fault}. Change it, or use start 'random'.")

    def encoder(self, ends: Ends) -> Encoder:
        return FeedForwardEncoder(ends.data.n_genes, ends.n_stats, ends.n_design, (), _no_hidden, ends.rng)

    def decoder(self, ends: Ends, encoder: Encoder) -> Decoder:
        return FeedForwardDecoder(ends, (), _no_hidden, nonnegative=self.nonnegative)

    def solve(self, encoder: Encoder, decoder: Decoder, seen: EncoderInput, design: Tensor | None, seed: int) -> Tensor:
        first, decoder = cast(FeedForwardEncoder, encoder).first, cast(FeedForwardDecoder, decoder)
        readout = decoder.readouts[decoder.mean]
        given = np.ones((len(seen.counts), 1 if design is None else 1 + design.shape[1]))
        if design is not None:
            given[:, 1:] = design.cpu()
        centre = given[:, 1:].mean(0)
        given[:, 1:] -= centre
        found = components(_matrix(seen.counts), given, readout.weight.shape[1], seed=seed)
        effects = found.effects.copy()  # (1 + n_design, genes)
        effects[0] -= centre @ effects[1:]
        if seen.shift is not None:  # of all cells, or of each batch, whose columns come first among the covariates
            effects[slice(1) if len(seen.shift) == 1 else slice(1, 1 + len(seen.shift))] -= seen.shift.cpu().numpy()
        offset = -effects @ found.axes  # (1 + n_design, dim)
        start = [(readout.weight, found.axes), (readout.bias, effects[0]), (first.weight, found.axes), (first.bias, offset[0])]
        if design is not None:
            start += [(readout.design, effects[1:].T), (first.design, offset[1:])]
        for weight, value in start:
            weight.data.copy_(torch.from_numpy(value))
        return torch.from_numpy(found.residual)


def _matrix(counts: Counts) -> sp.csr_matrix:
    value, gene, indptr = (a.cpu().numpy() for a in (counts.value, counts.gene, counts.indptr))
    return sp.csr_matrix((value, gene, indptr), (len(counts), counts.n_genes))


def _no_hidden(width: int) -> NormActDrop:
    raise AssertionError(f"a linear network has no hidden layer, but one of width {width} was requested")
