"""Named models from the literature, each a value: an architecture and how to train it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .bottlenecks import VQ, Binary, Contractive, Deterministic, Gaussian, Hierarchical, Sparse, SparseKL
from .bottlenecks.base import Bottleneck
from .corruptions import Corruption, Masking, NoCorruption, Thinning
from .errors import unknown
from .likelihoods import NB, ZINB, Bernoulli, GaussianLikelihood, Poisson
from .likelihoods.base import Likelihood
from .model import ModelSpec
from .networks import MLP, Conv1d, Linear, Network, Tied
from .plan import TrainPlan
from .priors import Vamp
from .transforms import Log1p, LogNormalized, Presence


@dataclass(frozen=True)
class Preset:
    """An architecture and a plan to train it with."""

    spec: ModelSpec
    plan: TrainPlan
    paper: str = ""


_PRESETS: dict[str, tuple[Callable[[], Preset], str]] = {}


def _preset(name: str) -> Callable[[Callable[[], Preset]], Callable[[], Preset]]:
    def enter(make: Callable[[], Preset]) -> Callable[[], Preset]:
        _PRESETS[name] = make, (make.__doc__ or "").strip().split("\n")[0]
        return make

    return enter


def names() -> dict[str, str]:
    """Every preset's name with its one line."""
    return {name: line for name, (_, line) in _PRESETS.items()}


def find(name: str) -> Preset:
    """A preset by name.

    Raises
    ------
    MissingKeyError
        If there is none of that name.

    Examples
    --------
    >>> find("scvi").spec.bottleneck.dim
    10
    """
    if name not in _PRESETS:
        raise unknown("preset", name, _PRESETS)
    return _PRESETS[name][0]()


def _vae(beta: float, decoder: tuple[int, ...], plan: TrainPlan) -> Preset:
    """A β-VAE that sees thinned counts and explains the full ones; where there are batches, centred and matched."""
    spec = ModelSpec(
        corruption=Thinning(low=0.3, high=0.9),
        transform=LogNormalized(center_batches=True),
        network=MLP(hidden=(128,), decoder_hidden=decoder, dropout=0.1, encode_covariates=False),
        bottleneck=Gaussian(dim=32, beta=beta, batch_mmd=300.0),
        likelihood=NB(),
    )
    return Preset(spec, plan, "Higgins 2017; Svensson 2020, doi:10.1093/bioinformatics/btaa169; Batson 2019; Gretton 2012")


@_preset("vae")
def vae() -> Preset:
    """The default of embed: a VAE under binomial thinning with a linear decoder, whose weights are gene loadings."""
    return _vae(beta=1.0, decoder=(), plan=TrainPlan())


@_preset("denoiser")
def denoiser() -> Preset:
    """The default of denoise: the same with a hidden layer in the decoder and a looser code (β 0.1)."""
    # The cells to be denoised are the cells of the fit: a loss on cells held out stops too early for them (.163 of the deviance
    # explained on pbmc3k instead of .186), and thinning already keeps a cell from explaining itself.
    return _vae(beta=0.1, decoder=(128,), plan=TrainPlan(held_out=0.0))


_THINNED = Thinning(low=0.3, high=0.9)


def _coded(bottleneck: Bottleneck, paper: str, network: Network, corruption: Corruption = _THINNED) -> Preset:
    """NB counts of thinned cells through a bottleneck of another kind; no part of its cost is warmed up but a KL term."""
    return Preset(ModelSpec(corruption=corruption, network=network, bottleneck=bottleneck), TrainPlan(), paper)


@_preset("vqvae")
def vqvae() -> Preset:
    """Vector quantisation: each cell is one of 64 learned codes, which embed also writes to obs."""
    network = MLP(dropout=0.1, encode_covariates=False)
    return _coded(VQ(dim=32, n_codes=64), "van den Oord 2017, doi:10.48550/arXiv.1711.00937", network)


@_preset("sparse")
def sparse() -> Preset:
    """Sparse by an L1 cost: 64 gene programmes (a linear decoder with unit-norm columns), of which a cell uses few."""
    network = MLP(decoder_hidden=(), dropout=0.1, encode_covariates=False)
    return _coded(Sparse(dim=64, weight=0.1), "Olshausen & Field 1996, doi:10.1038/381607a0", network)


@_preset("sparse_kl")
def sparse_kl() -> Preset:
    """Sparse by a target rate: 64 sigmoid units, each on in one cell of twenty."""
    network = MLP(dropout=0.1, encode_covariates=False)
    return _coded(SparseKL(dim=64, weight=10.0), "Lee, Ekanadham & Ng 2007, NIPS 20, 873–880", network)


@_preset("contractive")
def contractive() -> Preset:
    """Contractive: the code's Jacobian is a cost, on tied weights so that it cannot be evaded; no other corruption."""
    return _coded(Contractive(dim=32, weight=1.0), "Rifai 2011, doi:10.5555/3104482.3104587", Tied(norm="none"), NoCorruption())


@_preset("binary")
def binary() -> Preset:
    """Semantic hashing: 64 bits a cell, whose Hamming distance tells cells apart."""
    network = MLP(dropout=0.1, encode_covariates=False)
    return _coded(Binary(dim=64, beta=0.2), "Salakhutdinov & Hinton 2009, doi:10.1016/j.ijar.2008.11.006", network)


@_preset("tied")
def tied() -> Preset:
    """Denoising autoencoder with tied weights: counts masked at random, the decoder is the encoder transposed."""
    return _coded(Deterministic(dim=32), "Vincent 2010, doi:10.5555/1756006.1953039", Tied(), Masking(0.3))


def _dca(likelihood: Likelihood) -> Preset:
    spec = ModelSpec(
        transform=LogNormalized(standardize=True),
        network=MLP(hidden=(64,), norm="batch"),
        bottleneck=Deterministic(dim=32),
        likelihood=likelihood,
    )
    plan = TrainPlan(
        epochs=300, min_steps=1, max_steps=30_000, batch_size=32, optimizer="rmsprop", lr=1e-3, eps=1e-7, lr_warmup=0.0,
        kl_warmup=0.0, clip=5.0, averaging=0.0, held_out=0.1, patience=0.05, plateau=10 / 300, checks=300,
    )  # fmt: skip
    return Preset(spec, plan, "Eraslan 2019, doi:10.1038/s41467-018-07931-2")


@_preset("dca")
def dca() -> Preset:
    """Deep count autoencoder: NB with a dispersion a cell and gene, 64-32-64."""
    return _dca(NB(link="exp", dispersion="gene-cell"))


@_preset("dca-nb")
def dca_nb() -> Preset:
    """Deep count autoencoder with one dispersion a gene."""
    return _dca(NB(link="exp"))


@_preset("dca-zinb")
def dca_zinb() -> Preset:
    """Deep count autoencoder with zero inflation and one dispersion a gene."""
    return _dca(ZINB(link="exp"))


@_preset("dca-zinb-conddisp")
def dca_zinb_conddisp() -> Preset:
    """Deep count autoencoder with zero inflation and a dispersion a cell and gene."""
    return _dca(ZINB(link="exp", dispersion="gene-cell"))


@_preset("dca-poisson")
def dca_poisson() -> Preset:
    """Deep count autoencoder with Poisson counts."""
    return _dca(Poisson(link="exp"))


@_preset("dca-normal")
def dca_normal() -> Preset:
    """Deep count autoencoder with squared error on counts."""
    return _dca(GaussianLikelihood(target_scale="counts"))


_SCVI_PLAN = TrainPlan(
    epochs=400, min_steps=1, max_steps=56_250, lr=1e-3, eps=0.01, weight_decay=1e-6, lr_warmup=0.0, lr_final=1.0,
    kl_warmup=1.0, clip=0.0, averaging=0.0, held_out=0.0,
)  # fmt: skip


@_preset("scvi")
def scvi() -> Preset:
    """scVI 1.x: a VAE of ten dimensions with batch norm and ZINB counts, as published and planned there."""
    spec = ModelSpec(
        transform=Log1p(),
        network=MLP(norm="batch", dropout=0.1, encode_covariates=False, readout_covariates=False),
        bottleneck=Gaussian(dim=10),
        likelihood=ZINB(),
    )
    return Preset(spec, _SCVI_PLAN, "Lopez 2018, doi:10.1038/s41592-018-0229-2")


@_preset("pca")
def pca() -> Preset:
    """Linear autoencoder of log-normalised values: the subspace of PCA."""
    spec = ModelSpec(network=Linear(), bottleneck=Deterministic(dim=30), likelihood=GaussianLikelihood())
    return Preset(spec, TrainPlan(kl_warmup=0.0), "Baldi & Hornik 1989, doi:10.1016/0893-6080(89)90014-2")


@_preset("atac")
def atac() -> Preset:
    """Presence of peaks: a Bernoulli VAE for scATAC."""
    network = MLP(dropout=0.1)
    spec = ModelSpec(transform=Presence(), network=network, bottleneck=Gaussian(dim=20), likelihood=Bernoulli())
    return Preset(spec, TrainPlan(), "Ashuach 2022, doi:10.1016/j.crmeth.2022.100182")


@_preset("conv")
def conv() -> Preset:
    """Presence of peaks along the genome: a convolutional Bernoulli VAE for scATAC."""
    network = Conv1d(dropout=0.1)
    spec = ModelSpec(transform=Presence(), network=network, bottleneck=Gaussian(dim=20), likelihood=Bernoulli())
    return Preset(
        spec, TrainPlan(), "Masci 2011, doi:10.1007/978-3-642-21735-7_7; peaks along the genome: cf. Yuan & Kelley 2022"
    )


@_preset("ldvae")
def ldvae() -> Preset:
    """Linearly decoded VAE: scVI's encoder and plan, and a decoder whose weights are gene loadings."""
    network = MLP(decoder_hidden=(), norm="batch", dropout=0.1, encode_covariates=False)
    spec = ModelSpec(transform=Log1p(), network=network, bottleneck=Gaussian(dim=10), likelihood=NB())
    return Preset(spec, _SCVI_PLAN, "Svensson 2020, doi:10.1093/bioinformatics/btaa169")


@_preset("beta_vae")
def beta_vae() -> Preset:
    """β-VAE: a KL term of fourfold weight, for few and independent directions."""
    spec = ModelSpec(bottleneck=Gaussian(dim=10, beta=4.0))
    return Preset(spec, TrainPlan(kl_warmup=0.3), "Higgins 2017 (ICLR); Burgess 2018, doi:10.48550/arXiv.1804.03599")


@_preset("cvae")
def cvae() -> Preset:
    """Conditional VAE: covariates are told to every layer of encoder and decoder, so that the latent need not hold them."""
    network = MLP(hidden=(128, 128), dropout=0.1, encode_covariates=True, readout_covariates=True)
    spec = ModelSpec(network=network, bottleneck=Gaussian(dim=10))
    return Preset(spec, TrainPlan(), "Sohn 2015 (NeurIPS); Kingma 2014, doi:10.48550/arXiv.1406.5298")


@_preset("hierarchical")
def hierarchical() -> Preset:
    """Ladder VAE: three latents, each the learned prior of the one below; the KL enters slowly, or upper ones stay unused."""
    spec = ModelSpec(bottleneck=Hierarchical(dim=32, top_dims=(16, 8)))
    return Preset(spec, TrainPlan(kl_warmup=0.5), "Sønderby 2016, doi:10.48550/arXiv.1602.02282")


@_preset("vamp")
def vamp() -> Preset:
    """VAE whose prior is the mixture of the posteriors of learned pseudo-cells."""
    spec = ModelSpec(bottleneck=Gaussian(dim=10, prior=Vamp()))
    return Preset(spec, TrainPlan(kl_warmup=0.3), "Tomczak & Welling 2018, doi:10.48550/arXiv.1705.07120")


@_preset("peakvi")
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
