"""From latents to counts, without the cells' own counts."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .errors import ConfigError
from .infer import BLOCK, CP10K, drawn, each_block
from .model import Autoencoder
from .records import Cells, Counts, EncoderInput
from .source import CountMatrix

KINDS = ("rate", "mean", "sample", "log_mean")


def require_decodable(model: Autoencoder) -> None:
    """Refuse a model that needs a cell's counts to decode its latent.

    Raises
    ------
    ConfigError
        If its likelihood has a parameter that comes from the counts.
    """
    if model.heads.of_cell:
        raise ConfigError(
            f"{model.spec.likelihood} takes {', '.join(map(repr, model.heads.of_cell))} of each cell from its counts, which a "
            "latent alone does not have. Use scae.tl.denoise, or fit a model whose likelihood has no such parameter."
        )


def decoded(
    model: Autoencoder, z: NDArray, source: CountMatrix, *, kind: str = "mean", seed: int = 0, point: bool = True
) -> Iterator[tuple[slice, NDArray[np.float32]]]:
    """Counts ``(rows, genes)`` at latents, a block of cells at a time; several decoders are averaged.

    Parameters
    ----------
    model
        A fitted model.
    z
        ``(cells, dim)``, latents as :func:`scae.infer.latent` gives them or, if not ``point``, as the decoder takes them (codes,
        where there are codebooks).
    source
        Library sizes and covariates at which to decode, of cells whose counts are not read.
    kind
        ``"mean"``: expected counts. ``"log_mean"``: E[log1p(CP10k)], for which all library sizes must be equal. ``"sample"``: one
        draw from the likelihood.
    seed
        Seed of the draws.
    """
    rng = torch.Generator(model.device).manual_seed(seed)
    parts = iter(torch.from_numpy(np.ascontiguousarray(z, np.float32)).split(BLOCK))
    likelihood = model.spec.likelihood

    def read(counts: Counts, cells: Cells) -> Tensor:
        at = next(parts).to(model.device)
        at = model.spec.bottleneck.of_point(model.bottleneck, at) if point else at
        if kind == "sample":
            return drawn(model, at, counts, cells, rng)
        each = [model.decode(at, counts, cells, decoder=d) for d in model.decoders]
        if kind == "log_mean":
            scale = CP10K / float(cells.library[0])
            return torch.stack([likelihood.mean_log1p(p, scale) for p in each]).mean(0)
        return torch.stack([model.counts(likelihood.mean(p), cells) for p in each]).mean(0)

    for rows, counts in each_block(model, source, read):
        yield rows, counts.cpu().numpy()


def from_posterior(model: Autoencoder, source: CountMatrix, rows: NDArray[np.int64], seed: int = 0) -> NDArray[np.float32]:
    """A draw of the latent of each of some cells from its posterior, ``(rows, dim)``; the latent itself if it is not random."""
    rng = torch.Generator(model.device).manual_seed(seed)

    def read(counts: Counts, cells: Cells) -> Tensor:
        return model.encode(counts, cells, rng).z

    return _stacked(model, [z for _, z in each_block(model, source, read, rows=rows)])


def from_prior(model: Autoencoder, source: CountMatrix, seed: int = 0) -> NDArray[np.float32]:
    """A draw of the latent from the model's prior for each cell of ``source``, ``(cells, dim)``.

    Raises
    ------
    ConfigError
        If the bottleneck has no prior.
    """
    rng = torch.Generator(model.device).manual_seed(seed)

    def read(counts: Counts, cells: Cells) -> Tensor:
        # A mixture of encoded pseudo-cells is the only prior that needs the encoder, and not what it says of these cells.
        encoded = model.encoded(EncoderInput(counts), cells, None)
        return model.spec.bottleneck.sample(model.bottleneck, encoded, cells, rng)

    return _stacked(model, [z for _, z in each_block(model, source, read)])


def _stacked(model: Autoencoder, blocks: list[Tensor]) -> NDArray[np.float32]:
    if not blocks:
        return np.empty((0, model.spec.bottleneck.dim), np.float32)
    return torch.cat(blocks).cpu().numpy().astype(np.float32)
