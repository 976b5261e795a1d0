"""Tools: fit models to AnnData, write embeddings and denoised layers, and choose between models.

Each public function has a file of the same name.
"""

from ._choose import Choice, choose
from ._classify import classify
from ._cluster import cluster
from ._correlation import correlation
from ._cross_validate import cross_validate
from ._decode import decode
from ._denoise import denoise
from ._differences import differences
from ._differential_expression import differential_expression
from ._dispersion import dispersion
from ._embed import embed
from ._fit import fit
from ._generate import generate
from ._grid import grid
from ._interpolate import interpolate
from ._loadings import loadings
from ._pseudotime import pseudotime
from ._score import score
from ._shift import shift

__all__ = [
    "Choice",
    "choose",
    "classify",
    "cluster",
    "correlation",
    "cross_validate",
    "decode",
    "denoise",
    "differences",
    "differential_expression",
    "dispersion",
    "embed",
    "fit",
    "generate",
    "grid",
    "interpolate",
    "loadings",
    "pseudotime",
    "score",
    "shift",
]


def __dir__() -> list[str]:
    return __all__
