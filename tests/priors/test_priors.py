"""Priors: densities against torch.distributions, closed forms against draws, and what they learn."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from helpers import QUICK, counts_like, data_of, matrix_of, real_counts, same_weights
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal

import scae
from scae import parts
from scae.bottlenecks import Gaussian, Hierarchical
from scae.errors import ConfigError, NotFittedError
from scae.likelihoods import GaussianLikelihood
from scae.model import Autoencoder, ModelSpec
from scae.networks import MLP, Linear
from scae.priors import LabelNormal, Mixture, Simplex, StandardNormal, Vamp, normal_kl, posterior
from scae.records import Cells, Encoded, EncoderInput
from scae.tl._inputs import query
from scae.train import TrainPlan, fit
from scae.transforms import Normalized

CELLS, DIM = 7, 3
LABELLED = replace(data_of(5), labels=("a", "b", "c"))
AS_THEY_ARE = Normalized(target_sum=None, log=False)
small = {
    "label_normal": LabelNormal(),
    "mixture": Mixture(4),
    "simplex": Simplex(),
    "standard_normal": StandardNormal(),
    "vamp": Vamp(4),
}


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def encoding(label: torch.Tensor | None = None, n: int = CELLS) -> tuple[Encoded, Cells]:
    """A made-up encoding whose first layer is all of the encoder, and the cells."""
    stats = torch.randn((n, 2 * DIM), generator=generator(1), dtype=torch.float64)
    cells = Cells(torch.ones(n, 1), torch.zeros(n, 0, dtype=torch.int64), torch.zeros(n, 0), label=label)
    return Encoded(stats, stats, None, lambda first, _: first, lambda u: u.square().sum(1)), cells


def made(prior, label: torch.Tensor | None = None):
    """A prior's weights, started and stirred, an encoding, and the cells."""
    weights, (encoded, cells) = prior.build(DIM, LABELLED, generator()).double(), encoding(label)
    prior.start(weights, lambda _: (encoded, cells), generator())
    for p in weights.parameters():
        p.data += 0.3 * torch.randn(p.shape, generator=generator(2), dtype=p.dtype)
    return weights, encoded, cells


def test_every_prior_is_tried_here():
    assert set(small) == set(parts.names("prior"))


@pytest.mark.parametrize(
    "prior", [StandardNormal(), Simplex(0.3), LabelNormal(), Mixture(1), Vamp(1), Mixture(3), Vamp(3)], ids=repr
)
def test_the_kl_is_the_mean_of_log_q_less_log_p(prior):
    """In closed form or at one draw: 10,000 draws of q by torch.distributions agree within four standard errors."""
    weights, encoded, cells = made(prior, torch.arange(CELLS) % 3)
    mean, sd = posterior(encoded.stats)
    q = Independent(Normal(mean, sd), 1)
    n = 10_000
    z = mean + sd * torch.randn((n, CELLS, DIM), generator=generator(3), dtype=mean.dtype)
    flat, many = encoded.repeated(n), cells.repeated(n)
    at_draws = (q.log_prob(z) - prior.log_prob(weights, z.view(-1, DIM), flat, many).view(n, CELLS)).detach()
    error = 4 * at_draws.std(0) / n**0.5
    given = prior.kl(weights, flat.stats[:, :DIM], sd.repeat(n, 1), z.view(-1, DIM), flat, many).view(n, CELLS).detach()
    assert ((given.mean(0) - at_draws.mean(0)).abs() <= error).all()
    if getattr(prior, "n_components", 3) == 1:  # and one component is a normal, of which the closed form is known
        one = posterior(weights.first) if isinstance(prior, Vamp) else (weights.mean, weights.log_sd.exp())
        assert ((given.mean(0) - normal_kl(mean, sd, *one).sum(1)).abs() <= error).all()


def test_densities_are_those_of_torch_distributions():
    z = torch.randn((CELLS, DIM), generator=generator(5), dtype=torch.float64)
    for prior in (Mixture(4), Vamp(4), LabelNormal()):
        weights, encoded, cells = made(prior, torch.full((CELLS,), -1))
        mean, sd = posterior(weights.first) if isinstance(prior, Vamp) else (weights.mean, weights.log_sd.exp())
        logits = {"mixture": lambda w: w.logit, "vamp": lambda _: torch.zeros(4), "label_normal": lambda w: w.share.log()}
        which = Categorical(logits=logits[prior.name](weights).double())
        want = MixtureSameFamily(which, Independent(Normal(mean, sd), 1)).log_prob(z)
        torch.testing.assert_close(prior.log_prob(weights, z, encoded, cells), want)
    torch.testing.assert_close(StandardNormal().log_prob(torch.nn.Module(), z, *encoding()), Normal(0, 1).log_prob(z).sum(1))


def test_a_simplex_latent_is_of_shares_and_its_spread_is_of_first_order():
    weights, encoded, cells = made(Simplex())
    latent = Gaussian(dim=DIM, prior=Simplex())(weights, encoded, cells, generator())
    for shares in (latent.z, latent.point):
        assert (shares > 0).all()
        torch.testing.assert_close(shares.sum(1), torch.ones(CELLS, dtype=shares.dtype))
    mean, sd = posterior(encoded.stats)
    jacobian = torch.stack([torch.autograd.functional.jacobian(lambda y: torch.softmax(y, 0), m) for m in mean])
    torch.testing.assert_close(latent.sd, (jacobian.square() @ sd.square()[:, :, None])[:, :, 0].sqrt())
    with pytest.raises(ConfigError, match="size 1; allowed: at least 2"):
        Autoencoder(ModelSpec(bottleneck=Gaussian(dim=1, prior=Simplex())), data_of(5), generator())


def test_the_simplex_approximates_the_dirichlet():
    """The Laplace approximation in the softmax basis: log shares less their mean have about its spread where α is large."""
    alpha, dim = 50.0, 4
    draws = np.log(np.random.default_rng(0).dirichlet(np.full(dim, alpha), 20_000))
    centred = draws - draws.mean(1, keepdims=True)
    assert float(Simplex(alpha)._sd(torch.zeros(1, dim))) == pytest.approx(centred.std(), rel=0.02)


def test_pseudo_inputs_have_no_covariates_even_where_they_are_as_many_as_the_cells():
    source = matrix_of(counts_like(np.random.default_rng(0), 8, 12), levels=3)
    prior = Vamp(4)
    model = Autoencoder(
        ModelSpec(network=MLP(hidden=(6,)), bottleneck=Gaussian(dim=DIM, prior=prior)), data_of(12, levels=3), generator()
    )
    with pytest.raises(NotFittedError, match="pseudo-inputs"):
        model.eval().encode(*source.take(np.arange(4)))
    model.start_bottleneck(lambda n: source.take(np.arange(n)), generator())
    for layer in model.encoder.deeper:
        layer.design.data.normal_(generator=generator(1))
    z = torch.randn((8, DIM), generator=generator(2))
    density = []
    for n in (4, 8):
        counts, cells = source.take(np.arange(n))
        density.append(prior.log_prob(model.bottleneck, z[:n], model.encoded(EncoderInput(counts), cells, None), cells))
    torch.testing.assert_close(density[0], density[1][:4])
    assert len({tuple(row) for row in model.bottleneck.first.tolist()}) == 4


def test_more_pseudo_inputs_than_cells_differ():
    prior = Vamp(20)
    weights = prior.build(DIM, LABELLED, generator()).double()
    prior.start(weights, lambda _: encoding(n=3), generator())
    assert len({tuple(row) for row in weights.first.tolist()}) == 20


def test_frequencies_of_labels_are_those_of_the_cells():
    label = torch.tensor([0, 0, 0, 2, 2, -1, -1])
    prior = LabelNormal()
    weights = prior.build(DIM, LABELLED, generator())
    prior.start(weights, lambda _: encoding(label), generator())
    torch.testing.assert_close(weights.share, torch.tensor([3.5, 0.5, 2.5]) / 6.5)


def toy(seed: int = 0):
    """Two clusters, 140 and 60 cells, in four numbers."""
    rng = np.random.default_rng(seed)
    kind = np.repeat([0, 1], [140, 60])
    return (rng.normal(0, 0.5, (200, 4)) + np.where(kind, 3, -3)[:, None]).astype(np.float32), kind


def test_a_mixture_learns_two_clusters():
    """Its components are the clusters, and its weights their shares."""
    x, kind = toy()
    prior = Mixture(2)
    spec = ModelSpec(
        transform=AS_THEY_ARE, network=Linear(), bottleneck=Gaussian(dim=2, prior=prior), likelihood=GaussianLikelihood()
    )
    rng = generator(1)
    model, source = Autoencoder(spec, data_of(4), rng), matrix_of(x)
    fit(model, source, TrainPlan(epochs=1, min_steps=500, lr=0.02, held_out=0.0), rng)
    with torch.no_grad():
        z = model.encode(*source.take(np.arange(200))).point
    weights = model.bottleneck
    nearest = Normal(weights.mean[:, None], weights.log_sd.exp()[:, None]).log_prob(z).sum(2).argmax(0).numpy()
    assert max((nearest == kind).mean(), (nearest != kind).mean()) > 0.97
    assert torch.softmax(weights.logit, 0).max().item() == pytest.approx(0.7, abs=0.06)


@pytest.mark.parametrize("true", [True, False])
def test_a_prior_of_labels_parts_their_cells(true):
    """By true labels the centres part, and cells whose label was not told fall to their own; by shuffled ones they do not."""
    x, kind = toy()
    label = kind if true else np.random.default_rng(1).permutation(kind)
    told = np.where(np.arange(200) % 4 == 0, -1, label)
    source, prior, rng = replace(matrix_of(x), label=told), LabelNormal(), generator(1)
    spec = ModelSpec(
        transform=AS_THEY_ARE, network=Linear(), bottleneck=Gaussian(dim=2, prior=prior), likelihood=GaussianLikelihood()
    )
    model = Autoencoder(spec, replace(data_of(4), labels=("a", "b")), rng)
    fit(model, source, TrainPlan(epochs=1, min_steps=400, lr=0.02, held_out=0.0), rng)
    with torch.no_grad():
        z = model.encode(*source.take(np.arange(200))).point
        mean, sd = model.bottleneck.mean.detach(), model.bottleneck.log_sd.exp()
        apart = ((mean[0] - mean[1]) / sd.mean(0)).square().sum().sqrt().item()
        nearest = Normal(mean[:, None], sd[:, None]).log_prob(z).sum(2).argmax(0).numpy()
    if true:
        assert apart > 3
        assert (nearest == kind)[told < 0].mean() > 0.95
        np.testing.assert_allclose(np.stack([z[kind == k].mean(0) for k in (0, 1)]), mean, atol=0.5)
    else:
        assert apart < 1


@pytest.mark.parametrize("bottleneck", [Gaussian, Hierarchical])
@pytest.mark.parametrize("prior", small.values(), ids=list(small))
def test_a_fit_with_each_prior_embeds_and_comes_back(prior, bottleneck, tmp_path):
    adata = real_counts()
    options = {"label_key": "bulk_labels"} if "labels" in prior.needs else {}
    spec = ModelSpec(bottleneck=bottleneck(dim=4, prior=prior))
    model = scae.tl.embed(adata, spec, plan=QUICK, with_sd=True, batch_key="batch", device="cpu", **options)
    assert np.isfinite(adata.obsm["X_scae"]).all()
    assert (adata.obsm["X_scae_sd"] > 0).all()
    start = Autoencoder(spec, model.data, generator())
    moved = [
        k
        for k, v in model.bottleneck.named_parameters()
        if (w := dict(start.bottleneck.named_parameters())[k]).shape != v.shape or (v != w).any()
    ]
    assert moved == [k for k, _ in model.bottleneck.named_parameters()]
    model.save(tmp_path / "m.scae")
    back = scae.load(tmp_path / "m.scae")
    assert same_weights(back, model)
    assert back.data == model.data
    scae.tl.embed(adata, back, key_added="again")
    assert adata.obsm["again"].tobytes() == adata.obsm["X_scae"].tobytes()
    assert np.array_equal(scae.tl.score(adata, back, n_samples=2), scae.tl.score(adata, model, n_samples=2))


def test_cells_without_a_label_get_theirs_by_bayes_rule():
    """Half of the labels are hidden; the commonest label alone would be right in a quarter of these cells."""
    adata = scae.datasets.pbmc68k_reduced()
    hidden = np.arange(adata.n_obs) % 2 == 0
    adata.obs["told"] = adata.obs["bulk_labels"].astype(object).mask(hidden)
    right, rule = {}, LabelNormal().log_posterior
    for weight in (0.0, 10.0):
        spec = ModelSpec(bottleneck=Gaussian(dim=10, prior=LabelNormal(classification=weight)))
        model = scae.tl.embed(adata, spec, label_key="told", plan=TrainPlan(min_steps=300), device="cpu")
        p = rule(model.bottleneck, torch.from_numpy(adata.obsm["X_scae"])).exp().detach().numpy()
        np.testing.assert_allclose(p.sum(1), 1, rtol=1e-5)
        right[weight] = (np.array(model.data.labels)[p.argmax(1)] == adata.obs["bulk_labels"])[hidden].mean()
    assert right[10.0] > max(0.6, right[0.0])


def test_labels_are_read_from_their_column():
    """Missing and new ones are unknown, in a fit and in a query; a query without the column has none that is known."""
    adata, spec = real_counts(), ModelSpec(bottleneck=Gaussian(dim=3, prior=LabelNormal()))
    adata.obs["type"] = pd.Categorical(["b", "a", None, "c"] * 50)
    model = scae.tl.fit(adata, spec, plan=QUICK, label_key="type", device="cpu")
    assert (model.data.keys.label_key, model.data.labels) == ("type", ("a", "b", "c"))
    assert query(adata, adata.X, model.data).label[:4].tolist() == [1, 0, -1, 2]
    some = adata[:4].copy()
    some.obs["type"] = ["b", "new", np.nan, "a"]
    assert query(some, some.X, model.data).label.tolist() == [1, -1, -1, 0]
    del some.obs["type"]
    assert query(some, some.X, model.data).label.tolist() == [-1] * 4
    scae.tl.embed(adata, model)
    scae.tl.embed(some, model)
    np.testing.assert_allclose(some.obsm["X_scae"], adata.obsm["X_scae"][:4], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("prior", "key", "error", "said"),
    [
        (LabelNormal(), None, ConfigError, "needs cell labels.*label_key="),
        (StandardNormal(), "bulk_labels", ConfigError, "no part of this model uses labels"),
        (LabelNormal(), "bulk_label", scae.errors.MissingKeyError, "did you mean 'bulk_labels'"),
        (LabelNormal(), "empty", ConfigError, "has no value"),
    ],
)
def test_labels_that_lack_or_are_of_no_use_are_refused(prior, key, error, said):
    adata = real_counts()
    adata.obs["empty"] = pd.Categorical([None] * adata.n_obs)
    with pytest.raises(error, match=said):
        scae.tl.fit(adata, ModelSpec(bottleneck=Gaussian(prior=prior)), plan=QUICK, label_key=key)
