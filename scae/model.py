"""A model is a value made of parts; an autoencoder is that value with weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

from .bottlenecks.base import Bottleneck
from .bottlenecks.gaussian import Gaussian
from .corruptions import Corruption, NoCorruption
from .errors import NotFittedError
from .fields import fields
from .heads import Heads
from .input import InputScale
from .io.modelfile import write_model
from .keys import DataSpec
from .likelihoods.base import CELL_GENE, Likelihood, Parameters
from .likelihoods.nb import NB
from .networks.base import Covariates, Ends, Network
from .networks.mlp import MLP
from .parts import inside, option, record, to_dict
from .records import Cells, Counts, Encoded, EncoderInput, GeneStatistics, Latent, Loss
from .transforms import Normalized, Transform
from .version import __version__

FORMAT = 1  # of model files: raised when an older scae could not read a new file; each has its golden file in tests/golden


@record
class ModelSpec:
    """An architecture as a value: which part stands at each place.

    counts → corruption → transform → network (encoder) → bottleneck (+ prior) → network (decoder) → likelihood → loss

    Examples
    --------
    >>> from scae.bottlenecks import Deterministic
    >>> ModelSpec(bottleneck=Deterministic(dim=10)).bottleneck.dim
    10
    """

    corruption: Corruption = option("what the encoder sees of the counts in training", default=NoCorruption(), kind="corruption")
    transform: Transform = option("scale on which the encoder sees them", default=Normalized(), kind="transform")
    network: Network = option("encoder and decoder", default=MLP(), kind="network")
    bottleneck: Bottleneck = option("what the latent is", default=Gaussian(), kind="bottleneck")
    likelihood: Likelihood = option("distribution of the counts", default=NB(), kind="likelihood")

    def __post_init__(self) -> None:
        self.network.check(self.likelihood, self.bottleneck)

    @property
    def needs(self) -> set[str]:
        """What the parts must know beside counts and covariates, see :func:`scae.parts.part`."""
        return {need for part in inside(self) for need in part.needs}


class Autoencoder(nn.Module):
    """A :class:`ModelSpec` with weights, for the genes and covariates of a :class:`~scae.records.DataSpec`.

    Attributes
    ----------
    spec, data
        What the model is, and what it was fitted to.
    fitted
        How it was fitted: plan, history, seed, environment, hash and calibration of the latent (plain values, also saved).
    """

    def __init__(self, spec: ModelSpec, data: DataSpec, rng: torch.Generator) -> None:
        super().__init__()
        self.spec, self.data = spec, data
        self.fitted: dict[str, Any] = {}
        self.covariates = Covariates(data, spec.network.covariate_embedding, rng)
        readouts = spec.likelihood.named(CELL_GENE)
        ends = Ends(spec.bottleneck.n_stats, spec.bottleneck.dim, readouts, data, self.covariates.width, rng)
        self.input = InputScale(spec.transform, spec.corruption.hides, data, rng.device)
        self.encoder = spec.network.encoder(ends)
        self.heads = Heads(spec.network, spec.likelihood, ends, self.encoder)
        self.bottleneck = spec.bottleneck.build(data, rng)

    def start(self, stats: GeneStatistics) -> None:
        """Start the input's scale and the likelihood's parameters at what the training cells say."""
        self.heads.start(self.spec.likelihood.start(self.input.start(stats)))

    @torch.no_grad()
    def solve_network(self, counts: Counts, cells: Cells, seed: int) -> None:
        """Solve for the weights of a network with ``solves`` on all training cells, as they are without corruption."""
        seen, design = self.input.observed(counts, cells), self.covariates(cells)
        residual = self.spec.network.solve(self.encoder, self.heads.decoders[0], seen, design, seed)
        self.heads.start(self.spec.likelihood.start_spread(residual))

    @torch.no_grad()
    def start_bottleneck(self, some: Callable[[int], tuple[Counts, Cells]], rng: torch.Generator) -> None:
        """Start what the bottleneck learns from training cells; ``some(n)`` gives at most ``n`` of them at random."""

        def encoded(n: int) -> tuple[Encoded, Cells]:
            counts, cells = some(n)
            return self.encoded(EncoderInput(counts), cells, rng), cells

        self.spec.bottleneck.start(self.bottleneck, encoded, rng)

    def encoded(self, seen: EncoderInput, cells: Cells, rng: torch.Generator | None) -> Encoded:
        """What the encoder gives to the bottleneck."""
        return self.encoder(self.input(seen, cells), self.covariates(cells), rng)

    def encode(self, counts: Counts, cells: Cells, rng: torch.Generator | None = None) -> Latent:
        """The latent of some cells; a random latent is drawn from ``rng``, and is at its mean without."""
        return self.spec.bottleneck(self.bottleneck, self.encoded(EncoderInput(counts), cells, rng), cells, rng)

    def decode(
        self, z: Tensor, counts: Counts, cells: Cells, rng: torch.Generator | None = None, *, decoder: int = 0
    ) -> Parameters:
        """The likelihood's parameters at a latent ``(cells, dim)``, for the exposure and covariates of ``cells``."""
        z = self.spec.bottleneck.to_decoder(z, self.heads.decoders[decoder])
        observed = self.input.observed(counts, cells) if self.heads.of_cell else EncoderInput(counts)
        raw = self.heads(z, self.covariates(cells), observed, cells, rng, decoder)
        return Parameters(raw, cells.library, self.data.median_library)

    def forward(self, counts: Counts, cells: Cells, rng: torch.Generator, *, warmup: float = 1.0, corrupt: bool = False) -> Loss:
        """The loss of each cell, from a corrupted copy where ``corrupt``; dropout in training mode only."""
        seen = self.spec.corruption(counts, rng) if corrupt else EncoderInput(counts)
        n = self.spec.bottleneck.n_samples  # draws of the latent per cell, from one pass of the encoder
        encoded = self.encoded(seen, cells, rng).repeated(n)  # stats (n · cells, n_stats)
        counts, cells = counts.repeated(n), cells.repeated(n)
        losses = []
        for decoder in self.decoders:
            latent = self.spec.bottleneck(self.bottleneck, encoded, cells, rng)  # z (n · cells, dim)
            p = self.decode(latent.z, counts, cells, rng, decoder=decoder)
            nll = self.spec.likelihood.nll(p, self.target(counts, cells))  # (n · cells,)
            total = self.spec.bottleneck.bound(nll, latent, warmup)  # (cells,)
            mean, kl, penalty = (part.view(n, -1).mean(0) for part in (nll, latent.kl, latent.penalty))
            losses.append(Loss(total, mean, kl, penalty, latent))
        return Loss.mean(losses)

    @torch.no_grad()
    def after_step(self, loss: Loss, rng: torch.Generator) -> None:
        """Let the bottleneck change its buffers after a step of the optimiser."""
        self.spec.bottleneck.after_step(self.bottleneck, loss.latent, rng)

    def target(self, counts: Counts, cells: Cells) -> Counts | EncoderInput:
        """What the likelihood scores: the counts, or the encoder's input."""
        return self.input.observed(counts, cells) if self.spec.likelihood.on_input else counts

    def counts(self, value: Tensor, cells: Cells) -> Tensor:
        """Counts ``(cells, genes)`` from a mean or a draw on the scale of the likelihood's target."""
        return self.input.inverse(value, cells) if self.spec.likelihood.on_input else value

    @property
    def decoders(self) -> range:
        """The decoders by number; most networks have one."""
        return range(len(self.heads.decoders))

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device

    def save(self, path: str | Path) -> None:
        """Write the model to one file: weights as safetensors, the rest as JSON in its header, with a SHA-256.

        The file is written beside its target and then renamed, so nobody ever reads half of it.

        Examples
        --------
        >>> model.save("model.scae")  # doctest: +SKIP
        """
        written_by = {"format": FORMAT, "scae": __version__}
        about = written_by | {"spec": to_dict(self.spec), "data": to_dict(self.data), "fitted": self.fitted}
        write_model(Path(path), {k: v.detach().cpu().contiguous().numpy() for k, v in self.state_dict().items()}, about)

    @property
    def history(self) -> pd.DataFrame:
        """The course of the fit, one row per check: steps, epochs, losses (nats per cell) and seconds; ``kept`` marks the row
        whose weights the model has.

        Raises
        ------
        NotFittedError
            If the model has not been fitted.

        Examples
        --------
        >>> model = scae.tl.fit(scae.datasets.pbmc68k_reduced(), plan=scae.TrainPlan(min_steps=20, epochs=1))
        >>> bool(model.history["kept"].any())
        True
        """
        record = self.fitted.get("history", {})
        if not record.get("rows"):
            raise NotFittedError("the model has no history: fit one first, e.g. scae.tl.fit(adata).")
        table = pd.DataFrame(record["rows"])
        return table.assign(kept=table.index == record["best"] % len(table))

    def __repr__(self) -> str:
        """What the model is and how it was fitted, in five lines."""
        n = sum(p.numel() for p in self.parameters())
        spec, keys = self.spec, self.data.keys
        source = "X" if keys.layer is None else f"layers[{keys.layer!r}]"
        named = [f"{name} {value!r}" for name, value in to_dict(keys).items() if value and name != "layer"]
        rows = self.fitted.get("history", {}).get("rows", [])
        fit = "not fitted"
        if rows:
            best = rows[self.fitted["history"]["best"]]
            losses = ", ".join(f"{name.replace('_', '-')} {best[name]:.1f}" for name in ("loss", "held_out") if name in best)
            fit = f"{rows[-1]['step']:,} steps in {rows[-1]['seconds']:.0f} s, {losses} nats per cell"
        return "\n".join(
            [
                f"Autoencoder: {self.data.n_genes:,} genes, {spec.bottleneck.dim} latent dimensions, {n:,} weights",
                f"  latent      {_brief(spec.bottleneck)}",
                f"  other parts {', '.join(map(_brief, (spec.corruption, spec.transform, spec.network, spec.likelihood)))}",
                f"  data        counts in {', '.join([source, *named])}",
                f"  fit         {fit}",
            ]
        )


def _brief(part: Any) -> str:
    """A part with the fields that are not at their defaults."""
    values = ((name, getattr(part, name), field.default) for name, field in fields(type(part)).items())
    return f"{type(part).__name__}({', '.join(f'{name}={value!r}' for name, value, default in values if value != default)})"
