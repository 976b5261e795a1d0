"""Tools: fit models to AnnData, write embeddings and denoised layers, and choose between models.

Each public function has a file of the same name.
"""

from ._choose import Choice, choose
from ._classify import classify
from ._cluster import cluster
from ._correlation import correlation
from ._cross_validate import cross_validate
from ._denoise import denoise
from ._differences import differences
from ._dispersion import dispersion
from ._embed import embed
from ._fit import fit
from ._grid import grid
from ._loadings import loadings
from ._pseudotime import pseudotime
from ._score import score

__all__ = [
    "Choice",
    "choose",
    "classify",
    "cluster",
    "correlation",
    "cross_validate",
    "denoise",
    "differences",
    "dispersion",
    "embed",
    "fit",
    "grid",
    "loadings",
    "pseudotime",
    "score",
]


def __dir__() -> list[str]:
    return __all__
