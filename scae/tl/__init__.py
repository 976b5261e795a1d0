"""Tools: fit a model to AnnData, write embeddings and denoised layers back, choose a model by evidence."""

from .choosing import Choice, choose
from .denoising import denoise
from .embedding import embed
from .fitting import fit
from .judging import dispersion, loadings, score
from .selecting import cross_validate, grid

__all__ = ["Choice", "choose", "cross_validate", "denoise", "dispersion", "embed", "fit", "grid", "loadings", "score"]
