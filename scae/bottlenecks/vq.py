"""Vector quantisation: a cell is one of a few learned points."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from ..errors import ConfigError
from ..parts import option, part
from ..priors.base import Sample
from ..records import Cells, DataSpec, Encoded, Latent
from .base import Bottleneck

QUANTIZATIONS = ("plain", "product", "residual")
_START_CELLS = 4096  # training cells whose k-means the codebooks start from


class Codebooks(nn.Module):
    """What quantisation learns, outside the gradient's reach.

    Attributes
    ----------
    codebook
        ``(books, codes, size)``.
    share
        ``(books, codes)``, the running share of cells that fall to each code.
    """

    codebook: Tensor
    share: Tensor

    def __init__(self, codebook: Tensor) -> None:
        super().__init__()
        self.register_buffer("codebook", codebook)
        self.register_buffer("share", torch.full(codebook.shape[:2], 1 / codebook.shape[1], device=codebook.device))


@part("bottleneck", "vq")
class VQ(Bottleneck):
    """The nearest of some learned codes: the vector-quantised autoencoder (van den Oord 2017).

    The decoder gets the code, the encoder the decoder's gradient as if nothing had been rounded (straight-through), and a cell
    pays ``commitment`` nats per squared distance to its code. That cost is a penalty and no KL term, so that a warm-up never
    silences it. Codes move as running means of the cells that fall to them (running k-means), start at k-means of encoded
    cells, and a code that hardly any cell falls to is moved to a random cell of the minibatch.

    With several books ``"product"`` splits the latent into as many pieces, each with its own codes (Jégou 2011), and
    ``"residual"`` lets each book quantise what the books before it left over (Zeghidour 2021).

    The embedding is the encoder's point before it is rounded: neighbours among cells of one code remain told apart.
    :func:`scae.tl.embed` writes the codes beside it. The history's ``perplexity`` is the effective number of codes in use in a
    minibatch, the mean over books.
    """

    dim: int = option("size of the latent", default=32, low=1)
    n_codes: int = option("codes of a book", default=64, low=2)
    quantization: str = option("how several books share the latent", default="plain", choices=QUANTIZATIONS)
    n_books: int = option("number of books ('plain' has one)", default=1, low=1)
    commitment: float = option("weight of the squared distance to the code", default=0.25, low=0.0)
    decay: float = option("share of a running average that a step keeps", default=0.97, low=0.0, high=0.9999)
    restart: float = option("share of an even use below which a code is moved (0: never)", default=0.05, low=0.0)

    def __post_init__(self) -> None:
        if self.quantization == "plain" and self.n_books > 1:
            raise ConfigError(f"bottleneck 'vq': n_books is {self.n_books}; 'plain' has one. Choose 'product' or 'residual'.")
        if self.quantization == "product" and self.dim % self.n_books:
            raise ConfigError(f"bottleneck 'vq': dim {self.dim} does not fall into n_books {self.n_books} equal pieces.")

    @property
    def n_stats(self) -> int:
        return self.dim

    def build(self, data: DataSpec, rng: torch.Generator) -> nn.Module:
        size = self.dim // self.n_books if self.quantization == "product" else self.dim
        return Codebooks(torch.randn((self.n_books, self.n_codes, size), generator=rng, device=rng.device))

    def start(self, weights: nn.Module, sample: Sample, rng: torch.Generator) -> None:
        books, encoded = cast(Codebooks, weights), sample(_START_CELLS)[0]
        for b in range(self.n_books):
            points = self.quantize(books.codebook, encoded.stats)[1][:, b]  # what earlier books, started already, leave over
            centers, share = kmeans(points, self.n_codes, rng)
            books.codebook[b].copy_(centers)
            books.share[b].copy_(share)

    def __call__(
        self,
        weights: nn.Module,
        encoded: Encoded,
        cells: Cells,
        rng: torch.Generator | None,
    ) -> Latent:
        y = encoded.stats  # (cells, dim)
        code, taken, nearest = self.quantize(cast(Codebooks, weights).codebook, y.detach())
        distance = (y - nearest).square().sum(1)
        use = torch.nn.functional.one_hot(code, self.n_codes).to(y.dtype).mean(0)  # (books, codes)
        perplexity = torch.special.entr(use).sum(1).exp().mean()
        return Latent(
            nearest + (y - y.detach()), y, torch.zeros_like(distance), self.commitment * distance, codes=code,
            history={"perplexity": perplexity}, state=taken,
        )  # fmt: skip

    def quantize(self, codebook: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Codes ``(cells, books)``, what each book quantised ``(cells, books, size)``, and the result ``(cells, dim)``."""
        pieces = y.chunk(self.n_books, dim=1) if self.quantization == "product" else (y,) * self.n_books
        code: list[Tensor] = []
        taken: list[Tensor] = []
        found: list[Tensor] = []
        for book, piece in zip(codebook, pieces, strict=True):
            if self.quantization == "residual":
                piece = piece - torch.stack(found).sum(0) if found else piece
            code.append(nearest_code(piece, book))
            taken.append(piece)
            found.append(book[code[-1]])
        result = torch.stack(found).sum(0) if self.quantization == "residual" else torch.cat(found, 1)
        return torch.stack(code, 1), torch.stack(taken, 1), result

    def after_step(self, weights: nn.Module, latent: Latent, rng: torch.Generator) -> None:
        books, code, taken = cast(Codebooks, weights), cast(Tensor, latent.codes), latent.state
        for b in range(self.n_books):
            mean, seen = means(taken[:, b], code[:, b], books.codebook[b])
            share = self.decay * books.share[b] + (1 - self.decay) * seen
            pull = (1 - self.decay) * seen / share.clamp_min(1e-12)  # codes that no cell fell to stay
            moved = books.codebook[b].lerp(mean, pull[:, None])
            dead = share < self.restart / self.n_codes
            some = torch.randint(len(code), (self.n_codes,), generator=rng, device=code.device)
            books.codebook[b].copy_(torch.where(dead[:, None], taken[some, b], moved))
            books.share[b].copy_(torch.where(dead, 1 / self.n_codes, share))  # time to be found by cells


def nearest_code(points: Tensor, book: Tensor) -> Tensor:
    """``(n,)`` int64, the nearest of the codes ``(codes, size)`` to each point ``(n, size)``."""
    return (book.square().sum(1) - 2 * points @ book.T).argmin(1)


def means(points: Tensor, code: Tensor, book: Tensor) -> tuple[Tensor, Tensor]:
    """Mean of the points of each code ``(codes, size)``, the code itself where it has none; and shares of points ``(codes,)``."""
    mine = torch.nn.functional.one_hot(code, len(book)).to(points.dtype)  # a product: the order of its sums is fixed
    count = mine.sum(0)
    mean = mine.T @ points / count.clamp_min(1)[:, None]
    return torch.where(count[:, None] > 0, mean, book), count / len(points)


def kmeans(points: Tensor, n_codes: int, rng: torch.Generator, steps: int = 20) -> tuple[Tensor, Tensor]:
    """Lloyd's algorithm from random points ``(n, size)``; a centre without points moves to a random point.

    Returns
    -------
    tuple[Tensor, Tensor]
        Centres ``(codes, size)`` and the share of points of each.
    """
    n = len(points)

    def some() -> Tensor:
        order = torch.randperm(n, generator=rng, device=points.device)
        return points[order.repeat(-(-n_codes // n))[:n_codes]]

    centers = some()
    for _ in range(steps):
        mean, share = means(points, nearest_code(points, centers), centers)
        centers = torch.where(share[:, None] > 0, mean, some())
    return means(points, nearest_code(points, centers), centers)
