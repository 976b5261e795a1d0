"""From a latent to the likelihood's parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import torch
from torch import Tensor, nn

from .layers import Named, NormActDrop
from .likelihoods.base import CELL, CELL_GENE, GENE_BATCH, SHARED, Likelihood
from .networks.base import Decoder, Encoder, Ends, FeedForwardEncoder, Network
from .records import Affine, Cells, EncoderInput


class Heads(nn.Module):
    """Decoders for parameters per cell and gene, free parameters, and an encoder of their own for parameters per cell.

    Parameters
    ----------
    network, likelihood
        The architecture of the decoders, and the parameters that it is to give.
    ends
        What the decoders connect.
    encoder
        The model's encoder, whose weights a decoder may share.
    """

    def __init__(self, network: Network, likelihood: Likelihood, ends: Ends, encoder: Encoder) -> None:
        super().__init__()
        axes, data, rng = likelihood.parameters(), ends.data, ends.rng
        self.decoders = cast(list[Decoder], nn.ModuleList(network.decoder(ends, encoder) for _ in range(network.n_decoders)))
        sizes = {SHARED: (1,), GENE_BATCH: (data.n_batches, data.n_genes)}
        free = {name: sizes.get(axis, (data.n_genes,)) for name, axis in axes.items() if axis not in (CELL_GENE, CELL)}
        self.free = Named({name: nn.Parameter(torch.zeros(size, device=rng.device)) for name, size in free.items()})
        self.of_cell = likelihood.named(CELL)
        if self.of_cell:  # one hidden layer of 64
            n_out = len(self.of_cell)
            self.cell_encoder = FeedForwardEncoder(data.n_genes, n_out, ends.n_design, (64,), _cell_block, rng)

    def start(self, values: Mapping[str, Tensor]) -> None:
        """Set starting values ``(genes,)`` or ``(1,)`` of parameters by name."""
        for decoder in self.decoders:
            decoder.start({name: value for name, value in values.items() if name not in self.free})
        for name, value in values.items():
            if name in self.free:
                self.free[name].data.copy_(value)

    def free_values(self, cells: Cells | None = None) -> dict[str, Tensor]:
        """Raw free parameters: ``(1,)``, ``(genes,)`` or ``(batches, genes)``; of cells, each the row of its batch."""
        return {name: value if cells is None else _rows(value, cells) for name, value in self.free.items()}

    def forward(
        self, z: Tensor, design: Tensor | None, observed: EncoderInput, cells: Cells, rng: torch.Generator | None, decoder: int
    ) -> dict[str, Tensor | Affine]:
        """Raw parameters by name: ``(cells, genes)``, ``(genes,)``, ``(cells, 1)`` or ``(1,)``."""
        raw = {**self.decoders[decoder].readouts_of(z, design, rng), **self.free_values(cells)}
        if self.of_cell:  # like an exposure that is counted, one that is learned is that of the cell as observed
            stats = self.cell_encoder(observed, design, None).stats  # (cells, parameters)
            raw |= dict(zip(self.of_cell, stats.split(1, dim=1), strict=True))
        return raw


def _rows(value: Tensor, cells: Cells) -> Tensor:
    if value.dim() < 2:
        return value
    return value[0] if len(value) == 1 else cells.of_batch(value)


def _cell_block(width: int) -> NormActDrop:
    return NormActDrop(width, "layer", "leaky_relu", 0.0)
