"""The deep count autoencoder and its variants."""

from __future__ import annotations

from ..bottlenecks import Deterministic
from ..likelihoods import NB, ZINB, GaussianLikelihood, Poisson
from ..likelihoods.base import Likelihood
from ..model import ModelSpec
from ..networks import MLP
from ..plan import TrainPlan
from ..transforms import Normalized
from .base import Preset, preset


def _dca(likelihood: Likelihood) -> Preset:
    spec = ModelSpec(
        transform=Normalized(target_sum="median", standardize=True),
        network=MLP(hidden=(64,), norm="batch", latent_block=True),
        bottleneck=Deterministic(dim=32),
        likelihood=likelihood,
    )
    # The original's loss is a mean over genes, and TensorFlow adds its eps of 1e-7 below the root: at 2,000 genes that is √1e-7 ·
    # 2,000 here, and its limit on each entry of the gradient (5) is never reached. Waits of 15 and 10 epochs are half an epoch
    # less, so that rounding adds none. Like the original, it keeps the last weights, not the best.
    plan = TrainPlan(
        epochs=300, min_steps=1, max_steps=None, batch_size=32, optimizer="rmsprop", lr=1e-3, eps=0.63, lr_warmup=0.0,
        kl_warmup=0.0, clip=0.0, averaging=0.0, held_out=0.1, keep="last", patience=14.5 / 300, plateau=9.5 / 300, checks=300,
    )  # fmt: skip
    return Preset(spec, plan, "Eraslan 2019, doi:10.1038/s41467-018-07931-2")


@preset("dca")
def dca() -> Preset:
    """Deep count autoencoder (64-32-64): NB with one dispersion per cell and gene."""
    return _dca(NB(link="exp", dispersion="gene-cell"))


@preset("dca-nb")
def dca_nb() -> Preset:
    """Deep count autoencoder: NB with one dispersion per gene."""
    return _dca(NB(link="exp"))


@preset("dca-zinb")
def dca_zinb() -> Preset:
    """Deep count autoencoder: zero-inflated NB with one dispersion per gene."""
    return _dca(ZINB(link="exp"))


@preset("dca-zinb-conddisp")
def dca_zinb_conddisp() -> Preset:
    """Deep count autoencoder: zero-inflated NB with one dispersion per cell and gene."""
    return _dca(ZINB(link="exp", dispersion="gene-cell"))


@preset("dca-poisson")
def dca_poisson() -> Preset:
    """Deep count autoencoder: Poisson counts."""
    return _dca(Poisson(link="exp"))


@preset("dca-normal")
def dca_normal() -> Preset:
    """Deep count autoencoder: squared error on counts."""
    return _dca(GaussianLikelihood(target_scale="counts"))
