"""Models of open chromatin."""

from __future__ import annotations

from ..bottlenecks import Gaussian
from ..corruptions import Thinning
from ..likelihoods import Bernoulli
from ..model import ModelSpec
from ..networks import MLP, Conv1d, Linear
from ..plan import TrainPlan
from ..transforms import Normalized, Presence
from .base import Preset, preset


@preset("atac")
def atac() -> Preset:
    """Linear Bernoulli VAE of peak presence with library size as exposure and thinning, for scATAC-seq."""
    # On the forebrain data (Preissl 2018; and for presence of genes in the worm data) the held-out loss stops the fit too early
    # for good clusters, and a hidden layer in the encoder makes them worse. Without both, the NMI of Leiden clusters rises from
    # .54 to .67; latent semantic indexing reaches .66.
    spec = ModelSpec(
        corruption=Thinning(low=0.3, high=0.9),
        transform=Normalized(),
        network=Linear(),
        bottleneck=Gaussian(dim=24),
        likelihood=Bernoulli(depth="library"),
    )
    return Preset(spec, TrainPlan(held_out=0.0), "Ashuach 2022, doi:10.1016/j.crmeth.2022.100182; Batson 2019")


@preset("conv")
def conv() -> Preset:
    """Convolutional Bernoulli VAE of peak presence along the genome with library size as exposure and thinning."""
    # A window contains few open peaks of a cell, too few for layer norm to estimate a scale. Without norm, and with an activation
    # that has a slope below zero, the NMI of Leiden clusters on the forebrain data rises from .55 to .64 (with a second
    # convolution: .59).
    spec = ModelSpec(
        corruption=Thinning(low=0.3, high=0.9),
        transform=Normalized(),
        network=Conv1d(channels=(16,), windows=(16,)),
        bottleneck=Gaussian(dim=24),
        likelihood=Bernoulli(depth="library"),
    )
    return Preset(
        spec,
        TrainPlan(held_out=0.0),
        "Masci 2011, doi:10.1007/978-3-642-21735-7_7; peaks along the genome: cf. Yuan & Kelley 2022",
    )


@preset("peakvi")
def peakvi() -> Preset:
    """PeakVI: probability of peak presence = decoder output × cell factor (separate encoder) × peak factor."""
    # Differences from the original: widths are fixed (there: the square root of the number of peaks, and the square root of that
    # for the latent); the factors start at one half and the decoder at the share of cells with the peak; the latent enters only
    # the decoder's first layer.
    spec = ModelSpec(
        transform=Presence(),
        network=MLP(hidden=(256, 256), activation="leaky_relu", dropout=0.1, encode_covariates=False),
        bottleneck=Gaussian(dim=16),
        likelihood=Bernoulli(depth="learned", bias=True),
    )
    plan = TrainPlan(
        epochs=500, min_steps=1, max_steps=None, lr=1e-4, weight_decay=1e-3, lr_warmup=0.0, lr_final=1.0, kl_warmup=0.1,
        clip=0.0, averaging=0.0, held_out=0.1, keep="last", patience=0.1, checks=500,
    )  # fmt: skip
    return Preset(spec, plan, "Ashuach 2022, doi:10.1016/j.crmeth.2022.100182")
