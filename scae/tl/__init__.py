"""Tools: fit a model to AnnData, write embeddings and denoised layers back."""

from .denoising import denoise
from .embedding import embed
from .fitting import fit
from .judging import dispersion, score

__all__ = ["denoise", "dispersion", "embed", "fit", "score"]
