"""Networks: encoder, decoder and read-outs of one architecture.

One file a network; importing the package enters them in the catalogue.
"""

from .additive import Additive
from .base import Coder, Ends, Network, design_matrix
from .conv1d import Conv1d
from .linear import Linear
from .mlp import MLP
from .tied import Tied

__all__ = ["MLP", "Additive", "Coder", "Conv1d", "Ends", "Linear", "Network", "Tied", "design_matrix"]
