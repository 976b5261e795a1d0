"""Networks: an encoder and a decoder of one architecture.

One file per network or close family; importing the package registers them in the catalogue.
"""

from .additive import Additive
from .base import Covariates, Decoder, Encoder, Ends, Network
from .conv1d import Conv1d
from .linear import Linear
from .mlp import MLP
from .tied import Tied

__all__ = ["MLP", "Additive", "Conv1d", "Covariates", "Decoder", "Encoder", "Ends", "Linear", "Network", "Tied"]
