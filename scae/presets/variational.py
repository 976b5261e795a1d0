"""Variational autoencoders of counts."""

from __future__ import annotations

from ..bottlenecks import Gaussian, Hierarchical
from ..corruptions import Thinning
from ..likelihoods import NB, ZINB
from ..model import ModelSpec
from ..networks import MLP
from ..plan import TrainPlan
from ..priors import Vamp
from ..transforms import Normalized
from .base import Preset, preset


def _vae(beta: float, decoder: tuple[int, ...], plan: TrainPlan) -> Preset:
    """A β-VAE that reconstructs counts from thinned ones; with a batch key, it centres inputs and matches latents of batches."""
    # Batches of the Kang data mix to .76 at a weight of 300, to .80 and .79 at 700 (two seeds) and to .82 at 1,000, at the same
    # NMI of Leiden clusters. Where batches are confounded with cell type, more weight costs more, and a fit warns.
    spec = ModelSpec(
        corruption=Thinning(low=0.3, high=0.9),
        transform=Normalized(center_batches=True),
        network=MLP(hidden=(128,), decoder_hidden=decoder, dropout=0.1, encode_covariates=False),
        bottleneck=Gaussian(dim=32, beta=beta, batch_mmd=700.0),
        likelihood=NB(),
    )
    return Preset(spec, plan, "Higgins 2017; Svensson 2020, doi:10.1093/bioinformatics/btaa169; Batson 2019; Gretton 2012")


@preset("vae")
def vae() -> Preset:
    """VAE with binomial thinning and a linear decoder, whose weights are gene loadings; the default of embed."""
    return _vae(beta=1.0, decoder=(), plan=TrainPlan())


@preset("denoiser")
def denoiser() -> Preset:
    """As vae, with a hidden layer in the decoder and a smaller KL weight (β 0.1); the default of denoise."""
    # The cells to be denoised are the cells of the fit, and thinning already prevents a cell from merely reproducing itself.
    # Holding out cells stops the fit too early (.163 instead of .186 of the deviance explained on pbmc3k). Small data sets still
    # overfit if passed too often, hence max_epochs. Hidden molecules (held_out_molecules) choose more steps for deep libraries,
    # which explain more of their molecules (scmix_3cl .338 instead of .298) and less of their replicates, whose technical noise
    # both parts of a library share: .47 and .33 instead of .80 and .82 of the log fold changes of scmix_rnamix.
    return _vae(beta=0.1, decoder=(128,), plan=TrainPlan(held_out=0.0, max_epochs=75))


_SCVI_PLAN = TrainPlan(
    epochs=400, min_steps=1, max_steps=56_250, lr=1e-3, eps=0.01, weight_decay=1e-6, lr_warmup=0.0, lr_final=1.0,
    kl_warmup=1.0, clip=0.0, averaging=0.0, held_out=0.0,
)  # fmt: skip


@preset("scvi")
def scvi() -> Preset:
    """scVI 1.x: a 10-dimensional VAE with batch norm and ZINB counts, with its published training plan."""
    spec = ModelSpec(
        transform=Normalized(target_sum=None),
        network=MLP(norm="batch", dropout=0.1, encode_covariates=False, readout_covariates=False),
        bottleneck=Gaussian(dim=10),
        likelihood=ZINB(),
    )
    return Preset(spec, _SCVI_PLAN, "Lopez 2018, doi:10.1038/s41592-018-0229-2")


@preset("ldvae")
def ldvae() -> Preset:
    """Linearly decoded VAE (LDVAE): scVI's encoder and training plan with a linear decoder of gene loadings."""
    network = MLP(decoder_hidden=(), norm="batch", dropout=0.1, encode_covariates=False)
    spec = ModelSpec(transform=Normalized(target_sum=None), network=network, bottleneck=Gaussian(dim=10), likelihood=NB())
    return Preset(spec, _SCVI_PLAN, "Svensson 2020, doi:10.1093/bioinformatics/btaa169")


@preset("beta_vae")
def beta_vae() -> Preset:
    """β-VAE: KL weight 4, for few, independent latent dimensions."""
    spec = ModelSpec(bottleneck=Gaussian(dim=10, beta=4.0))
    return Preset(spec, TrainPlan(kl_warmup=0.3), "Higgins 2017 (ICLR); Burgess 2018, doi:10.48550/arXiv.1804.03599")


@preset("cvae")
def cvae() -> Preset:
    """Conditional VAE: every layer of encoder and decoder sees the covariates, so the latent need not encode them."""
    network = MLP(hidden=(128, 128), dropout=0.1, encode_covariates=True, readout_covariates=True)
    spec = ModelSpec(network=network, bottleneck=Gaussian(dim=10))
    return Preset(spec, TrainPlan(), "Sohn 2015 (NeurIPS); Kingma 2014, doi:10.48550/arXiv.1406.5298")


@preset("hierarchical")
def hierarchical() -> Preset:
    """Ladder VAE: three latents, each the learned prior of the one below; long KL warm-up and free bits, so that all are used."""
    # Without free bits, the upper two latents have 2.0 of 27.7 nats of KL on pbmc3k, and with them 6.2. See docs/originals.md.
    spec = ModelSpec(bottleneck=Hierarchical(dim=32, top_dims=(16, 8), free_bits=0.25))
    return Preset(spec, TrainPlan(kl_warmup=0.5), "Sønderby 2016, doi:10.48550/arXiv.1602.02282; Kingma 2016")


@preset("vamp")
def vamp() -> Preset:
    """VAE with a VampPrior: a mixture of the posteriors of learned pseudo-cells."""
    spec = ModelSpec(bottleneck=Gaussian(dim=10, prior=Vamp()))
    return Preset(spec, TrainPlan(kl_warmup=0.3), "Tomczak & Welling 2018, doi:10.48550/arXiv.1705.07120")
