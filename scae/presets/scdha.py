"""Single-cell decomposition using hierarchical autoencoders."""

from __future__ import annotations

from ..bottlenecks import Deterministic, SoftmaxVariance
from ..likelihoods import GaussianLikelihood
from ..model import ModelSpec
from ..networks import MLP, Linear
from ..plan import TrainPlan
from ..transforms import Normalized
from .base import Preset, preset

_PAPER = "Tran 2021, doi:10.1038/s41467-021-21312-2"


@preset("scdha")
def scdha() -> Preset:
    """scDHA: genes selected by a nonnegative linear autoencoder, then a 15-dimensional VAE with two decoders."""
    # As in the original's R code for fewer than 50,000 cells: 5,000 genes; 2,000 cells, in minibatches of 40; log and min–max
    # values; a latent of 15, variances by softmax, draws with a quarter of the standard deviation; two decoders with 64 SELU
    # units; 100 · mean squared error + mean KL; AdamW with learning rate 5e-4, ε 1e-7 and weight decay 1e-3 for 31 epochs.
    # Differences: counts are normalised to CP10k first (k-means NMI .843 instead of .832 over four data sets; the original takes
    # values as they are given). The encoder is one linear layer; there, it is two with batch norm between them, which is linear
    # too (NMI .839 so). Its ten epochs of absolute error without KL are a KL warm-up here. Each cell has its own draw; there, all
    # of a minibatch have the same. Genes are ranked by the decoder's weights from one fit, not by the encoder's from three: with
    # the starting weights of scae, the latter chooses genes that few cells have (NMI .22 on pbmc3k). For the consensus of several
    # fits see scae.tl.cluster.
    weights = ModelSpec(network=Linear(nonnegative=True), bottleneck=Deterministic(dim=50), likelihood=GaussianLikelihood())
    spec = ModelSpec(
        transform=Normalized(unit_max=True),
        network=MLP(hidden=(), decoder_hidden=(64,), activation="selu", norm="none", n_decoders=2),
        bottleneck=SoftmaxVariance(dim=15, beta=1 / 15),  # the mean KL over dimensions, not the sum
        likelihood=GaussianLikelihood(mse_weight=100.0),
    )
    plan = TrainPlan(
        epochs=31, min_steps=31 * 50, batch_size=40, max_cells=2000, lr=5e-4, eps=1e-7, weight_decay=1e-3, lr_warmup=0.0,
        lr_final=1.0, kl_warmup=1 / 3, clip=0.0, averaging=0.0, held_out=0.0,
    )  # fmt: skip
    return Preset(spec, plan, _PAPER, genes=Preset(weights, TrainPlan(epochs=10, max_cells=2000), _PAPER), n_genes=5000)
