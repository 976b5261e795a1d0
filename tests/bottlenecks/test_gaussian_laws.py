"""The laws of Gaussian posteriors: bounds, gradients, the price of the KL, and probabilistic PCA."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers import counts_like, data_of, matrix_of, real_counts
from torch.distributions import MultivariateNormal, Normal, kl_divergence
from toys import cells_of, encoded, latent_of

import scae
from scae.bottlenecks import Gaussian, Hierarchical
from scae.bottlenecks.hierarchical import _merged
from scae.errors import ConfigError
from scae.likelihoods import NB, GaussianLikelihood
from scae.model import Autoencoder, ModelSpec
from scae.networks import MLP, Linear
from scae.priors import LabelNormal, Mixture, Simplex, StandardNormal, Vamp, posterior
from scae.records import Encoded
from scae.tl._inputs import query
from scae.train import TrainPlan, fit
from scae.transforms import Normalized

AS_THEY_ARE = Normalized(target_sum=None, log=False)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def linear_model(bottleneck: Gaussian, genes: int) -> Autoencoder:
    """A linear VAE with one σ, whose marginal likelihood is a normal density."""
    spec = ModelSpec(transform=AS_THEY_ARE, network=Linear(), bottleneck=bottleneck, likelihood=GaussianLikelihood())
    return Autoencoder(spec, data_of(genes), generator()).double()


def exact(model: Autoencoder, x: torch.Tensor) -> torch.Tensor:
    """log p(x), ``(cells,)``: N(b, WWᵀ + σ²)."""
    out = model.heads.decoders[0].readouts["mean"]
    covariance = out.weight @ out.weight.T + (2 * model.heads.free["log_sd"]).exp() * torch.eye(len(out.bias), dtype=x.dtype)
    return MultivariateNormal(out.bias, covariance).log_prob(x)


def test_bounds_tighten_to_the_exact_likelihood():
    """In expectation ELBO < IWAE₅ < IWAE₅₀ < log p(x), and the mean of the weights themselves is p(x)."""
    x = np.random.default_rng(0).normal(0, 1, (4, 5))
    counts, cells = matrix_of(x, dtype=np.float64).take(np.arange(4))
    bounds, spread = {}, {}
    for k, repeats in ((1, 4000), (5, 4000), (50, 800)):
        objective = "iwae" if k > 1 else "elbo"
        model = linear_model(Gaussian(dim=2, n_samples=k, objective=objective), 5).eval()
        with torch.no_grad():
            loss = model(counts.repeated(repeats), cells.repeated(repeats), generator(k))
            bound = -loss.total.view(repeats, 4)
            want = exact(model, torch.from_numpy(x))
        assert loss.nll.shape == loss.kl.shape == loss.penalty.shape == (4 * repeats,)
        bounds[k], spread[k] = bound.mean(0), 4 * bound.std(0) / repeats**0.5
        if k > 1:
            weight = (bound - want).exp()
            assert ((weight.mean(0) - 1).abs() < 4 * weight.std(0) / repeats**0.5).all()
    assert (bounds[1] + spread[1] < bounds[5] - spread[5]).all()
    assert (bounds[5] + spread[5] < bounds[50] - spread[50]).all()
    assert (bounds[50] < want + spread[50]).all()
    assert ((want - bounds[50]) < 0.2 * (want - bounds[1])).all()


@pytest.mark.parametrize("k", [1, 3])
def test_several_draws_are_the_mean_of_single_ones(k):
    counts, cells = matrix_of(counts_like(np.random.default_rng(0), 6, 9)).take(np.arange(6))
    spec = ModelSpec(network=MLP(hidden=(8,)), bottleneck=Gaussian(dim=3, n_samples=k))
    several = Autoencoder(spec, data_of(9), generator()).eval()
    single = Autoencoder(replace(spec, bottleneck=Gaussian(dim=3)), data_of(9), generator()).eval()
    one, two = several(counts, cells, generator(1)), single(counts.repeated(k), cells.repeated(k), generator(1))
    for a, b in zip(one.parts().values(), two.parts().values(), strict=True):
        torch.testing.assert_close(a, b.view(k, -1).mean(0))
    assert len(one.latent.z) == 6 * k
    assert len(several.encode(counts, cells, generator()).z) == 6


PRIORS = [StandardNormal(), Mixture(3), Vamp(4), Simplex(), LabelNormal()]
BOTTLENECKS = [
    *(Gaussian(dim=3, prior=prior, n_samples=2) for prior in PRIORS),
    *(Gaussian(dim=3, prior=prior, n_samples=3, objective="iwae") for prior in PRIORS),
    Gaussian(dim=3, beta=2.0, n_samples=3, objective="iwae"),
    *(Hierarchical(dim=3, top_dims=(4, 2), hidden=(5,), prior=prior) for prior in PRIORS),
    Hierarchical(dim=3, hidden=()),
    Hierarchical(dim=3, top_dims=(2,), hidden=(5,), free_bits=0.2),
]


@pytest.mark.parametrize("bottleneck", BOTTLENECKS, ids=repr)
def test_the_gradient_is_the_finite_difference_under_the_same_draws(bottleneck):
    source = matrix_of(counts_like(np.random.default_rng(0), 6, 9), dtype=np.float64)
    data = replace(data_of(9), labels=("a", "b", "c"))
    network = MLP(hidden=(8,), activation="silu")
    spec = ModelSpec(network=network, bottleneck=bottleneck, likelihood=GaussianLikelihood())
    model = Autoencoder(spec, data, generator()).double()
    source = replace(source, label=np.arange(6) % 4 - 1)
    counts, cells = source.take(np.arange(6))
    model.start_bottleneck(lambda n: source.take(np.arange(min(n, 6))), generator())
    weights = list(model.parameters())
    towards = [torch.randn(w.shape, generator=generator(2), dtype=w.dtype) for w in weights]
    loss = model(counts, cells, generator(3), warmup=0.7).total.sum()
    slope = sum((g * t).sum() for g, t in zip(torch.autograd.grad(loss, weights), towards, strict=True)).item()

    @torch.no_grad()
    def moved(step: float) -> float:
        for w, t in zip(weights, towards, strict=True):
            w += step * t
        value = model(counts, cells, generator(3), warmup=0.7).total.sum().item()
        for w, t in zip(weights, towards, strict=True):
            w -= step * t
        return value

    step = 1e-5
    assert slope == pytest.approx((moved(step) - moved(-step)) / (2 * step), rel=1e-5)


def test_a_linear_vae_reaches_probabilistic_pca():
    """The optimum of a linear VAE with one σ is PPCA's, whose likelihood is known (Tipping & Bishop 1999; Lucas 2019)."""
    rng = np.random.default_rng(0)
    n, d, k = 150, 6, 2
    x = rng.normal(size=(n, k)) @ rng.normal(size=(k, d)) * [3, 1, 2, 1, 2, 1] / 2 + 0.5 * rng.normal(size=(n, d)) + 1
    source = matrix_of(x, dtype=np.float64)
    model = linear_model(Gaussian(dim=k), d)
    plan = TrainPlan(
        epochs=1000, min_steps=1, batch_size=n, lr=0.05, lr_warmup=0.0, kl_warmup=0.0, held_out=0.0, averaging=0.98, clip=0.0
    )
    fit(model, source, plan, generator(1))
    values = np.linalg.eigvalsh(np.cov(x.T, bias=True))[::-1]
    noise = values[k:].mean()
    ppca = -0.5 * (d * np.log(2 * np.pi) + np.log(values[:k]).sum() + (d - k) * np.log(noise) + d)
    with torch.no_grad():
        counts, cells = source.take(np.arange(n))
        code, dense = model.encode(counts, cells), counts.dense()
        out, sd = model.heads.decoders[0].readouts["mean"], model.heads.free["log_sd"].exp()
        residual = (dense - code.point @ out.weight.T - out.bias).square() + code.sd.square() @ out.weight.T.square()
        nll = (0.5 * residual / sd**2 + sd.log() + 0.5 * np.log(2 * np.pi)).sum(1)  # E over the posterior, in closed form
        elbo = -(nll + code.kl).mean().item()
        marginal = exact(model, dense).mean().item()
    assert elbo <= marginal + 1e-9 <= ppca + 2e-9, "no bound is above the likelihood, and none above the greatest"
    assert elbo == pytest.approx(ppca, abs=0.003)
    assert float(sd) ** 2 == pytest.approx(noise, rel=0.05)


def kl_alone(model: Autoencoder, source) -> float:
    with torch.no_grad():
        return model.encode(*source.take(np.arange(len(source)))).kl.mean().item()


@pytest.mark.parametrize("make", [Gaussian, Hierarchical])
def test_the_dearer_the_kl_the_less_of_it(make):
    """β ↑ ⇒ KL ↓ on 200 real cells."""
    adata, found = real_counts(), []
    plan = TrainPlan(epochs=1, min_steps=60, lr=0.01, batch_size=64, kl_warmup=0.0, held_out=0.0)
    for beta in (0.1, 1.0, 10.0):
        spec = ModelSpec(network=MLP(hidden=(32,)), bottleneck=make(dim=5, beta=beta))
        model = scae.tl.fit(adata, spec, plan=plan, device="cpu")
        found.append(kl_alone(model, query(adata, adata.X, model.data)))
    assert found[0] > 1.2 * found[1] > 1.44 * found[2] > 0


def encoding(scale: tuple[float, ...]) -> Encoded:
    """Posteriors whose means spread by ``scale`` in each dimension, with unit variance."""
    mean = torch.randn((50, len(scale)), generator=generator(), dtype=torch.float64) * torch.tensor(scale)
    stats = torch.cat([mean, torch.zeros_like(mean)], 1).requires_grad_()
    return encoded(stats)


@pytest.mark.parametrize("floor", [0.1, 0.5, 3.0])
def test_no_dimension_pays_below_its_free_bits(floor):
    some = encoding((0.01, 0.5, 2.0))
    weights = StandardNormal().build(3, data_of(4), generator())
    mean, sd = posterior(some.stats)
    each = kl_divergence(Normal(mean, sd), Normal(0.0, 1.0)).mean(0)
    kl = Gaussian(dim=3, free_bits=floor)(weights.train(), some, cells_of(50), None).kl
    torch.testing.assert_close(kl.mean(), each.clamp_min(floor).sum())
    pulled = torch.autograd.grad(kl.sum(), some.stats)[0][:, :3].abs().sum(0) if (each > floor).any() else torch.zeros(3)
    assert ((pulled > 0) == (each > floor)).all(), "what is free is not pulled"
    torch.testing.assert_close(Gaussian(dim=3, free_bits=floor)(weights.eval(), some, cells_of(50), None).kl.mean(), each.sum())


def test_free_bits_of_a_prior_that_is_no_product_have_one_floor():
    some, prior = encoding((0.01, 0.5, 2.0)), Mixture(2)
    weights = prior.build(3, data_of(4), generator()).double()
    plain = Gaussian(dim=3, prior=prior)(weights, some, cells_of(50), generator(1)).kl.mean()
    floored = [
        Gaussian(dim=3, prior=prior, free_bits=f)(weights, some, cells_of(50), generator(1)).kl.mean() for f in (1e-3, 10.0)
    ]
    torch.testing.assert_close(torch.stack(floored), torch.stack([plain, torch.tensor(30.0).to(plain)]))


def test_free_bits_and_importance_weights_exclude_each_other():
    with pytest.raises(ConfigError, match=r"free_bits is 0\.5 and objective is 'iwae'; allowed: one of the two"):
        Gaussian(free_bits=0.5, objective="iwae")


def test_free_bits_keep_a_latent_alive():
    """Where the KL is so dear that the latent would collapse, each dimension keeps about what is free."""
    adata, plan = real_counts(), TrainPlan(epochs=1, min_steps=60, lr=0.02, kl_warmup=0.0, held_out=0.0)
    kl = {}
    for free in (0.0, 0.5):
        spec = ModelSpec(network=MLP(hidden=(32,)), bottleneck=Gaussian(dim=4, beta=100.0, free_bits=free), likelihood=NB())
        model = scae.tl.fit(adata, spec, plan=plan, device="cpu")
        kl[free] = kl_alone(model, query(adata, adata.X, model.data))
    assert kl[0.0] < 0.2 < 1.0 < kl[0.5]


def test_the_product_of_two_normals():
    """log N₁ + log N₂ − log of the merged normal is constant in z."""
    mean, other = torch.randn(2, 5, dtype=torch.float64, generator=generator())
    sd, other_sd = 0.2 + torch.rand(2, 5, dtype=torch.float64, generator=generator(1))
    merged = Normal(*_merged(mean, sd, other, other_sd))
    z = torch.linspace(-3, 3, 7, dtype=torch.float64)[:, None]
    constant = Normal(mean, sd).log_prob(z) + Normal(other, other_sd).log_prob(z) - merged.log_prob(z)
    torch.testing.assert_close(constant, constant[:1].expand_as(constant))


def test_a_ladders_kl_is_the_mean_of_log_q_less_log_p_over_all_its_layers():
    bottleneck = Hierarchical(dim=2, top_dims=(3,), hidden=(4,))
    weights = bottleneck.build(data_of(4), generator()).double()
    n = 60_000
    stats = torch.randn((1, 10), generator=generator(1), dtype=torch.float64)
    with torch.no_grad():
        latent = latent_of(bottleneck, weights, stats.repeat(n, 1), generator(2))
        mean, sd = posterior(stats[:, 4:])
        top = mean + sd * torch.randn((n, 3), generator=generator(2), dtype=torch.float64)  # the draw that was made
        expected, width = weights.conditionals[0](top)
        q = Normal(*_merged(*posterior(stats[:, :4]), expected, width))
        ratio = [
            Normal(mean, sd).log_prob(top) - Normal(0.0, 1.0).log_prob(top),
            q.log_prob(latent.z) - Normal(expected, width).log_prob(latent.z),
        ]
        at_draws = sum(r.sum(1) for r in ratio)
    assert latent.kl.mean().item() == pytest.approx(at_draws.mean().item(), abs=4 * at_draws.std().item() / n**0.5)
    torch.testing.assert_close(latent.history["kl_z1"] + latent.history["kl_z2"], latent.kl.mean())


def test_each_layer_of_a_ladder_is_in_the_history():
    adata = real_counts()
    plan = TrainPlan(epochs=1, min_steps=5, kl_warmup=0.0)
    model = scae.tl.fit(adata, ModelSpec(bottleneck=Hierarchical(dim=4, top_dims=(3, 2))), plan=plan, device="cpu")
    row = model.fitted["history"]["rows"][0]
    assert sum(row[f"kl_z{i}"] for i in (1, 2, 3)) == pytest.approx(row["kl"], rel=1e-5)


def test_a_ladder_pays_for_free_bits_in_the_loss_of_training_only():
    """The latent and its KL are those of a ladder without them."""
    stats, nll = torch.randn((20, 14), generator=generator(1), dtype=torch.float64), torch.zeros(20, dtype=torch.float64)
    plain = Hierarchical(dim=2, top_dims=(3, 2), hidden=(4,))
    weights = plain.build(data_of(4), generator()).double()
    want = latent_of(plain, weights, stats, generator(2))
    layers = torch.stack([want.history[f"kl_z{i}"] for i in (1, 2, 3)])
    for bits in (1e-3, 0.3, 10.0):
        ladder = replace(plain, free_bits=bits)
        given, floor = stats.clone().requires_grad_(), bits * torch.tensor([2.0, 3.0, 2.0], dtype=torch.float64)
        got = latent_of(ladder, weights.train(), given, generator(2))
        torch.testing.assert_close((got.z, got.kl, got.history), (want.z, want.kl, want.history))
        loss = ladder.bound(nll, got, 1.0).mean()
        torch.testing.assert_close(loss, layers.maximum(floor).sum())
        torch.testing.assert_close(ladder.bound(nll, got, 0.5).mean(), loss / 2)
        assert bool(torch.autograd.grad(loss, given)[0].any()) == bool((layers > floor).any()), "what is free is not pulled"
        with torch.no_grad():
            judged = latent_of(ladder, weights.eval(), stats, generator(2))
            torch.testing.assert_close(ladder.bound(nll, judged, 1.0), want.kl)


def test_free_bits_keep_every_layer_of_a_ladder_alive():
    """Where the KL is so dear that all layers would collapse, each keeps about what is free."""
    adata, plan = real_counts(), TrainPlan(epochs=1, min_steps=60, lr=0.02, kl_warmup=0.0, held_out=0.0)
    kl = {}
    for free in (0.0, 0.5):
        ladder = Hierarchical(dim=4, top_dims=(4, 4), beta=100.0, free_bits=free)
        spec = ModelSpec(network=MLP(hidden=(32,)), bottleneck=ladder, likelihood=NB())
        row = scae.tl.fit(adata, spec, plan=plan, device="cpu").fitted["history"]["rows"][-1]
        kl[free] = [row[f"kl_z{i}"] for i in (1, 2, 3)]
        assert sum(kl[free]) == pytest.approx(row["kl"], rel=1e-5)
    assert max(kl[0.0]) < 0.3, kl
    assert min(kl[0.5]) > 1.0, kl
