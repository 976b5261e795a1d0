"""From counts to what the encoder sees, and back."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from .keys import DataSpec
from .records import Cells, Counts, EncoderInput, GeneStatistics
from .transforms import Transform


class InputScale(nn.Module):
    """The encoder's scale: a transform, centring and scaling of each gene, and a learned value for each hidden gene.

    Parameters
    ----------
    transform
        Scale of the values.
    hides
        Whether genes may be hidden; each then has a learned value.
    data
        Genes and batches.
    device
        Where the weights are made.
    """

    mean: Tensor
    sd: Tensor
    hidden_value: nn.Parameter | None

    def __init__(self, transform: Transform, hides: bool, data: DataSpec, device: torch.device) -> None:
        super().__init__()
        self.transform: Transform = transform.of(data)
        self.scaled = transform.standardize
        self.n_groups = data.n_batches if transform.center_batches else 1  # groups of cells that are centred apart
        self.shifted = self.scaled or self.n_groups > 1
        self.register_parameter("hidden_value", nn.Parameter(torch.zeros(data.n_genes, device=device)) if hides else None)
        if self.shifted:
            self.register_buffer("mean", torch.zeros(self.n_groups, data.n_genes, device=device))
            self.register_buffer("sd", torch.ones(data.n_genes, device=device))

    @property
    def takes_missing_genes(self) -> bool:
        """Whether cells may lack some of the genes: they are then hidden."""
        return self.hidden_value is not None

    def start(self, stats: GeneStatistics) -> GeneStatistics:
        """Start at what the training cells say; returns the statistics on the encoder's scale."""
        if self.hidden_value is not None and not self.shifted:
            self.hidden_value.data.copy_(stats.input_mean.mean(0))
        if not self.shifted:
            return stats
        self.mean.copy_(stats.input_mean)
        if self.scaled:
            self.sd.copy_(stats.input_sd)
        return stats._replace(input_mean=torch.zeros_like(stats.input_mean))

    def forward(self, seen: EncoderInput, cells: Cells) -> EncoderInput:
        """The input on the encoder's scale, still sparse."""
        counts, hidden = seen.counts, seen.hidden
        if counts.missing is not None:
            hidden = counts.missing if hidden is None else hidden | counts.missing
        counts = self.transform(counts if hidden is None else counts.without(hidden))
        shift = None
        if self.shifted:
            counts, shift = counts.with_value(counts.value / self.sd[counts.gene]), self.mean / self.sd  # (x − mean) / sd
        if hidden is not None and self.hidden_value is not None:
            shift = torch.where(
                hidden, -self.hidden_value, self.hidden_value.new_zeros(1, counts.n_genes) if shift is None else shift
            )
        return replace(seen, counts=counts, shift=shift, batch=cells.batch, hidden=hidden)

    def observed(self, counts: Counts, cells: Cells) -> EncoderInput:
        """What the encoder sees of counts that are not corrupted."""
        return self(EncoderInput(counts), cells)

    def inverse(self, value: Tensor, cells: Cells) -> Tensor:
        """Expected counts ``(cells, genes)`` from dense values on the encoder's scale."""
        if self.shifted:
            value = value * self.sd + (self.mean if self.n_groups == 1 else cells.of_batch(self.mean))
        return self.transform.inverse(value, cells.library)
