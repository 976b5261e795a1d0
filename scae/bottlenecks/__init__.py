"""Bottlenecks: how the encoder's output becomes the latent, and what the latent costs in the loss.

One file per bottleneck; importing the package registers them in the catalogue.
"""

from .base import Bottleneck
from .binary import Binary
from .contractive import Contractive
from .deterministic import Deterministic
from .gaussian import Gaussian, discrepancy
from .hierarchical import Hierarchical
from .softmax_variance import SoftmaxVariance
from .sparse import Sparse
from .sparse_kl import SparseKL
from .vq import VQ

__all__ = [
    "VQ",
    "Binary",
    "Bottleneck",
    "Contractive",
    "Deterministic",
    "Gaussian",
    "Hierarchical",
    "SoftmaxVariance",
    "Sparse",
    "SparseKL",
    "discrepancy",
]
