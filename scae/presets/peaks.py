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
    """Presence of peaks: a linear Bernoulli VAE whose exposure is the cell's depth, under thinning."""
    # On the forebrain set (Preissl 2018; and on presence of genes in the worm set) held-out nats choose weights too early for the
    # clusters, and a hidden layer in the encoder costs some: with neither, Leiden's NMI goes from .54 to .67; latent semantic
    # indexing gets .66.
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
    """Presence of peaks along the genome: a convolutional Bernoulli VAE whose exposure is the cell's depth, under thinning."""
    # A window holds few open peaks of a cell, which layer norm takes for the scale of all: without norm and with units that have
    # a slope below zero Leiden's NMI on the forebrain set goes from .55 to .64 (a second convolution: .59).
    spec = ModelSpec(
        corruption=Thinning(low=0.3, high=0.9),
        transform=Normalized(),
        network=Conv1d(channels=(16,), windows=(16,), norm="none", activation="elu"),
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
    """PeakVI: presence of peaks as decoder × a cell's factor, which has an encoder of its own × a peak's factor."""
    # Departures: widths are fixed (there the square root of the number of peaks, and its root for the latent), the factors start
    # at one half with the decoder at what is detected, and the latent enters the decoder's first layer only.
    spec = ModelSpec(
        transform=Presence(),
        network=MLP(hidden=(256, 256), activation="leaky_relu", dropout=0.1, encode_covariates=False),
        bottleneck=Gaussian(dim=16),
        likelihood=Bernoulli(depth="learned", bias=True),
    )
    plan = TrainPlan(
        epochs=500, min_steps=1, max_steps=100_000, lr=1e-4, eps=0.1, weight_decay=1e-3, lr_warmup=0.0, lr_final=1.0,
        kl_warmup=0.1, clip=0.0, averaging=0.0,
    )  # fmt: skip
    return Preset(spec, plan, "Ashuach 2022, doi:10.1016/j.crmeth.2022.100182")
