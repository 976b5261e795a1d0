"""A model is a value made of parts; an autoencoder is that value with weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from .batch import CountBatch, DataSpec, Encoded, GeneStatistics, Latent, Loss
from .bottlenecks import Bottleneck, Gaussian
from .corruptions import Corruption, NoCorruption
from .io.modelfile import write_model
from .layers import cell_encoder
from .likelihoods import NB, Likelihood, Parameters
from .likelihoods.base import CELL, CELL_GENE, GENE_BATCH, SHARED
from .networks import MLP, Coder, Network, design_matrix
from .parts import option, record, to_dict
from .transforms import LogNormalized, Transform
from .version import __version__


@record
class ModelSpec:
    """An architecture as a value: what each part of the rail is.

    counts → corruption → transform → network → bottleneck (+ prior) → network → likelihood → loss

    Examples
    --------
    >>> from scae.bottlenecks import Deterministic
    >>> ModelSpec(bottleneck=Deterministic(dim=10)).bottleneck.dim
    10
    """

    corruption: Corruption = option("what the encoder sees of the counts in training", default=NoCorruption(), kind="corruption")
    transform: Transform = option("scale on which the encoder sees them", default=LogNormalized(), kind="transform")
    network: Network = option("encoder, decoder and read-outs", default=MLP(), kind="network")
    bottleneck: Bottleneck = option("what becomes of the code", default=Gaussian(), kind="bottleneck")
    likelihood: Likelihood = option("distribution of the counts", default=NB(), kind="likelihood")


class Autoencoder(nn.Module):
    """A :class:`ModelSpec` with weights, fitted to the genes and covariates of a :class:`DataSpec`.

    Attributes
    ----------
    spec, data
        What the model is, and what it was fitted to.
    fitted
        How it was fitted: plan, history and seed (plain dicts, saved with the model).
    """

    coder: Coder
    input_mean: Tensor
    input_sd: Tensor

    def __init__(self, spec: ModelSpec, data: DataSpec, rng: torch.Generator) -> None:
        super().__init__()
        self.spec, self.data = spec, data
        self.fitted: dict[str, Any] = {}
        axes = spec.likelihood.parameters()
        readouts, self.of_cells = (tuple(n for n, axis in axes.items() if axis == kind) for kind in (CELL_GENE, CELL))
        ends = (spec.bottleneck.n_stats, spec.bottleneck.dim, readouts, data, rng)
        self.coder = spec.network.build(*ends)
        further = [spec.network.build(*ends).borrow_encoder(self.coder) for _ in range(spec.network.n_decoders - 1)]
        self.further = cast(list[Coder], nn.ModuleList(further))
        self.bottleneck = spec.bottleneck.build(data, rng)
        free = {f"p_{n}": self._free(axis, rng) for n, axis in axes.items() if axis not in (CELL_GENE, CELL)}
        self.free = nn.ParameterDict(free)
        if self.of_cells:
            self.cell_coder = cell_encoder(data.n_genes, len(self.of_cells), data.n_design, rng)
        if spec.corruption.hides:
            self.stand_in = nn.Parameter(torch.zeros(data.n_genes, device=rng.device))
        if self.shifted:
            self.register_buffer("input_mean", torch.zeros(self.n_groups, data.n_genes, device=rng.device))
            self.register_buffer("input_sd", torch.ones(data.n_genes, device=rng.device))

    def _free(self, axis: str, rng: torch.Generator) -> Tensor:
        """A parameter that no decoder reads out: ``(1,)``, ``(genes,)`` or ``(batches, genes)``."""
        genes = () if axis == SHARED else (self.data.n_genes,)
        return torch.zeros((self.n_batches, *genes) if axis == GENE_BATCH else genes or (1,), device=rng.device)

    def start(self, stats: GeneStatistics) -> None:
        """Start the likelihood's parameters, and the input's scale, at what the training cells say."""
        if self.spec.corruption.hides and not self.shifted:
            self.stand_in.data.copy_(stats.input_mean.mean(0))
        if self.shifted:
            self.input_mean.copy_(stats.input_mean)
            if self.spec.transform.standardize:
                self.input_sd.copy_(stats.input_sd)
            stats = stats._replace(input_mean=torch.zeros_like(stats.input_mean))
        values = self.spec.likelihood.start(stats)
        for coder in (self.coder, *self.further):
            coder.start({n: v for n, v in values.items() if f"p_{n}" not in self.free})
        for name, value in values.items():
            if f"p_{name}" in self.free:
                self.free[f"p_{name}"].data.copy_(value)

    @torch.no_grad()
    def start_code(self, batch: CountBatch, rng: torch.Generator) -> None:
        """Start what the bottleneck learns from some training cells."""
        self.spec.bottleneck.start(self.bottleneck, self._encoded(batch, rng), rng)

    def seen(self, batch: CountBatch) -> CountBatch:
        """The batch on the encoder's scale; of hidden genes it holds a learned value in place of what was counted."""
        out = self.spec.transform(batch.visible())
        out = out.standardized(self.input_mean, self.input_sd) if self.shifted else out
        return out.with_stand_in(self.stand_in) if self.spec.corruption.hides else out

    def encode(self, batch: CountBatch, rng: torch.Generator | None = None) -> Latent:
        """The latent of some cells; random latents stand at their mean where ``rng`` is None."""
        return self.spec.bottleneck(self.bottleneck, self._encoded(batch, rng), rng)

    def _encoded(self, batch: CountBatch, rng: torch.Generator | None) -> Encoded:
        groups = None if self.data.batch_key is None else batch.covariates[:, 0]
        return self.coder.encode(self.seen(batch), design_matrix(batch, self.data), rng)._replace(
            groups=groups, label=batch.label
        )

    def decode(self, z: Tensor, batch: CountBatch, rng: torch.Generator | None = None, *, decoder: int = 0) -> Parameters:
        """The likelihood's parameters at a latent ``(cells, dim)``, for the exposure and covariates of a batch."""
        coder = (self.coder, *self.further)[decoder]
        if self.spec.bottleneck.unit_columns:
            z = z / coder.code_columns().norm(dim=0).clamp_min(1e-12)
        design = design_matrix(batch, self.data)
        read = coder.decode(z, design, rng)
        free = {name: batch.of_own_group(value) for name, value in self.free_values().items()}
        if self.of_cells:  # an exposure that is learned is, like one that is counted, that of the cell as observed
            stats = self.cell_coder(self.seen(batch), design, None).stats
            free |= dict(zip(self.of_cells, stats.split(1, dim=1), strict=True))
        return Parameters({**read, **free}, batch.library, self.data.median_library)

    def free_values(self) -> dict[str, Tensor]:
        """The raw parameters that no decoder reads out: ``(1,)``, ``(genes,)`` or ``(batches, genes)``."""
        return {name[2:]: value for name, value in self.free.items()}

    def forward(self, batch: CountBatch, rng: torch.Generator, *, warmup: float = 1.0, corrupt: bool = False) -> Loss:
        """The loss of each cell, from what the corruption leaves of it where ``corrupt``; dropout in training mode only."""
        encoded = self._encoded(self.spec.corruption(batch, rng) if corrupt else batch, rng)
        if (n := self.spec.bottleneck.n_samples) > 1:  # encoded once, drawn n times
            encoded, batch = encoded.repeated(n), batch.repeated(n)
        return Loss.mean([self._loss(encoded, batch, rng, warmup, decoder) for decoder in self.decoders])

    def _loss(self, encoded: Encoded, batch: CountBatch, rng: torch.Generator, warmup: float, decoder: int) -> Loss:
        n = self.spec.bottleneck.n_samples
        latent = self.spec.bottleneck(self.bottleneck, encoded, rng)  # (n · cells, dim)
        p = self.decode(latent.z, batch, rng, decoder=decoder)
        nll = self.spec.likelihood.nll(p, self.seen(batch) if self.spec.likelihood.on_input else batch)  # (n · cells,)
        mean, kl, penalty = (part.view(n, -1).mean(0) for part in (nll, latent.kl, latent.penalty))
        return Loss(self.spec.bottleneck.bound(nll, latent, warmup), mean, kl, penalty, latent)

    @torch.no_grad()
    def after_step(self, loss: Loss, rng: torch.Generator) -> None:
        """Let the bottleneck change its buffers after a step of the optimiser."""
        self.spec.bottleneck.after_step(self.bottleneck, loss.latent, rng)

    def counts(self, value: Tensor, batch: CountBatch) -> Tensor:
        """Counts ``(cells, genes)`` from a mean or a draw on the scale of the likelihood's target."""
        if not self.spec.likelihood.on_input:
            return value
        if self.shifted:
            value = value * self.input_sd + batch.by_group(self.input_mean)
        return self.spec.transform.inverse(value, batch.library)

    @property
    def decoders(self) -> range:
        """The decoders by number; all but a few networks have one."""
        return range(1 + len(self.further))

    @property
    def n_groups(self) -> int:
        """Groups of cells whose input is centred apart: the batches, or one."""
        return self.n_batches if self.spec.transform.center_batches else 1

    @property
    def n_batches(self) -> int:
        """Levels of the batch key; one where there is none."""
        return 1 if self.data.batch_key is None else len(self.data.categorical[0][1])

    @property
    def shifted(self) -> bool:
        """Whether the input is centred, or also scaled, by what the training cells say."""
        return self.spec.transform.standardize or self.n_groups > 1

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device

    def save(self, path: str | Path) -> None:
        """Write the model to one file: weights as safetensors, the rest as JSON in its header, with a SHA-256.

        The file is written beside and renamed over, so that a reader never meets half of it.

        Examples
        --------
        >>> model.save("model.scae")  # doctest: +SKIP
        """
        about = {"scae": __version__, "spec": to_dict(self.spec), "data": to_dict(self.data), "fitted": self.fitted}
        write_model(Path(path), {k: v.detach().cpu().contiguous().numpy() for k, v in self.state_dict().items()}, about)

    def __repr__(self) -> str:
        n = sum(p.numel() for p in self.parameters())
        return f"Autoencoder({self.data.n_genes} genes, {n:,} weights, {self.spec})"
