"""Vector quantisation: each cell is assigned to one of a few learned codes."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from ..errors import ConfigError
from ..keys import DataSpec
from ..parts import option, part
from ..priors.base import Sample
from ..records import Cells, Encoded, Latent
from .base import Bottleneck

QUANTIZATIONS = ("plain", "product", "residual")
_START_CELLS = 4096  # training cells whose k-means centres initialise the codebooks


class Codebooks(nn.Module):
    """Learned codes, updated without gradients.

    Attributes
    ----------
    codebook
        ``(books, codes, size)``, the codes.
    share
        ``(books, codes)``, running average of the share of cells assigned to each code.
    """

    codebook: Tensor
    share: Tensor

    def __init__(self, codebook: Tensor) -> None:
        super().__init__()
        self.register_buffer("codebook", codebook)
        self.register_buffer("share", torch.full(codebook.shape[:2], 1 / codebook.shape[1], device=codebook.device))


@part("bottleneck", "vq")
class VQ(Bottleneck):
    """VQ-VAE: the latent is replaced by the nearest of a few learned codes (van den Oord 2017, doi:10.48550/arXiv.1711.00937).

    The decoder sees the code; the encoder receives the decoder's gradient unchanged (straight-through). Each cell pays
    ``commitment`` nats per squared distance to its code. This penalty is not a KL term, so the KL warm-up does not affect it.
    Codes start at the k-means centres of encoded cells and then follow the running mean of the cells assigned to them. A code
    to which hardly any cell is assigned is moved to a random cell of the minibatch.

    Several codebooks are possible: ``"product"`` splits the latent into equal pieces and quantises each with its own book (Jégou
    2011, doi:10.1109/TPAMI.2010.57); with ``"residual"`` each book quantises the remainder left by the books before it (Zeghidour
    2021, doi:10.48550/arXiv.2107.03312).

    The embedding is the encoder's output before quantisation, so cells with the same code can still be distinguished.
    :func:`scae.tl.embed` writes the codes as well. The training history has as ``perplexity`` the effective number of codes used
    in a minibatch, averaged over books.

    Raises
    ------
    ConfigError
        If ``"plain"`` quantisation has several books, or ``dim`` cannot be split into ``n_books`` pieces.
    """

    any_value = False
    dim: int = option("size of the latent", default=32, low=1)
    n_codes: int = option("number of codes per book", default=64, low=2)
    quantization: str = option("one book, or how several books divide the latent", default="plain", choices=QUANTIZATIONS)
    n_books: int = option("number of codebooks ('plain' has one)", default=1, low=1)
    commitment: float = option("weight of the squared distance between latent and code", default=0.25, low=0.0)
    decay: float = option("decay of the running averages per step", default=0.97, low=0.0, high=0.9999)
    restart: float = option("fraction of uniform use below which a code is moved (0: never)", default=0.05, low=0.0)

    def __post_init__(self) -> None:
        if self.quantization == "plain" and self.n_books > 1:
            raise ConfigError(f"bottleneck 'vq': n_books is {self.n_books}, but 'plain' has one. Use 'product' or 'residual'.")
        if self.quantization == "product" and self.dim % self.n_books:
            raise ConfigError(f"bottleneck 'vq': dim {self.dim} cannot be split into {self.n_books} (n_books) equal pieces.")

    @property
    def n_stats(self) -> int:
        return self.dim

    def build(self, data: DataSpec, rng: torch.Generator) -> nn.Module:
        size = self.dim // self.n_books if self.quantization == "product" else self.dim
        return Codebooks(torch.randn((self.n_books, self.n_codes, size), generator=rng, device=rng.device))

    def start(self, weights: nn.Module, sample: Sample, rng: torch.Generator) -> None:
        books, encoded = cast(Codebooks, weights), sample(_START_CELLS)[0]
        for b in range(self.n_books):
            # With 'residual', a book starts from the remainders left by the books already started.
            points = self.quantize(books.codebook, encoded.stats)[1][:, b]
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

    def of_point(self, weights: nn.Module, point: Tensor) -> Tensor:
        return self.quantize(cast(Codebooks, weights).codebook, point)[2]

    def sample(self, weights: nn.Module, encoded: Encoded, cells: Cells, rng: torch.Generator) -> Tensor:
        """The codes by the share of training cells of each; several books are taken to be independent."""
        books = cast(Codebooks, weights)
        code = torch.multinomial(books.share, len(cells), replacement=True, generator=rng)  # (books, cells)
        entries = [book[c] for book, c in zip(books.codebook, code, strict=True)]
        return torch.stack(entries).sum(0) if self.quantization == "residual" else torch.cat(entries, 1)

    def quantize(self, codebook: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Quantise a latent.

        Parameters
        ----------
        codebook
            ``(books, codes, size)``.
        y
            ``(cells, dim)``.

        Returns
        -------
        tuple
            Codes ``(cells, books)``, the input of each book ``(cells, books, size)``, and the quantised latent ``(cells, dim)``.
        """
        pieces = y.chunk(self.n_books, dim=1) if self.quantization == "product" else (y,) * self.n_books
        code: list[Tensor] = []
        taken: list[Tensor] = []
        quantized: list[Tensor] = []
        for book, piece in zip(codebook, pieces, strict=True):
            if self.quantization == "residual":
                piece = piece - torch.stack(quantized).sum(0) if quantized else piece
            code.append(nearest_code(piece, book))
            taken.append(piece)
            quantized.append(book[code[-1]])
        result = torch.stack(quantized).sum(0) if self.quantization == "residual" else torch.cat(quantized, 1)
        return torch.stack(code, 1), torch.stack(taken, 1), result

    def after_step(self, weights: nn.Module, latent: Latent, rng: torch.Generator) -> None:
        books, code, taken = cast(Codebooks, weights), cast(Tensor, latent.codes), latent.state
        for b in range(self.n_books):
            mean, seen = means(taken[:, b], code[:, b], books.codebook[b])
            share = self.decay * books.share[b] + (1 - self.decay) * seen
            pull = (1 - self.decay) * seen / share.clamp_min(1e-12)  # codes without cells stay
            moved = books.codebook[b].lerp(mean, pull[:, None])
            dead = share < self.restart / self.n_codes
            rows = torch.randint(len(code), (self.n_codes,), generator=rng, device=code.device)
            books.codebook[b].copy_(torch.where(dead[:, None], taken[rows, b], moved))
            books.share[b].copy_(torch.where(dead, 1 / self.n_codes, share))  # gives cells time to be assigned to it


def nearest_code(points: Tensor, book: Tensor) -> Tensor:
    """Index ``(n,)`` int64 of the code in ``(codes, size)`` nearest to each point ``(n, size)``."""
    return (book.square().sum(1) - 2 * points @ book.T).argmin(1)


def means(points: Tensor, code: Tensor, book: Tensor) -> tuple[Tensor, Tensor]:
    """Mean of the points of each code ``(codes, size)``, or the code itself if it has none; and shares of points ``(codes,)``."""
    assigned = torch.nn.functional.one_hot(code, len(book)).to(points.dtype)  # a matrix product sums in a fixed order
    count = assigned.sum(0)
    mean = assigned.T @ points / count.clamp_min(1)[:, None]
    return torch.where(count[:, None] > 0, mean, book), count / len(points)


def kmeans(points: Tensor, n_codes: int, rng: torch.Generator, steps: int = 20) -> tuple[Tensor, Tensor]:
    """Lloyd's k-means algorithm, started at random points; a centre without points moves to a random point.

    Parameters
    ----------
    points
        ``(n, size)``.
    n_codes
        Number of centres; may exceed the number of points.
    rng
        Source of all random draws.
    steps
        Number of iterations.

    Returns
    -------
    tuple[Tensor, Tensor]
        Centres ``(codes, size)`` and the share of points of each.
    """
    n = len(points)

    def random_points() -> Tensor:
        order = torch.randperm(n, generator=rng, device=points.device)
        return points[order.repeat(-(-n_codes // n))[:n_codes]]

    centers = random_points()
    for _ in range(steps):
        mean, share = means(points, nearest_code(points, centers), centers)
        centers = torch.where(share[:, None] > 0, mean, random_points())
    return means(points, nearest_code(points, centers), centers)
