"""Sparse codes: the soft threshold, unit-norm columns, a target rate that is met."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers import counts_like, data_of, matrix_of, real_counts
from torch.distributions import Bernoulli, kl_divergence
from toys import latent_of, normal, sample_of

import scae
from scae.bottlenecks import Sparse, SparseKL
from scae.bottlenecks.sparse_kl import bernoulli_kl
from scae.errors import ConfigError, DivergenceError
from scae.model import Autoencoder, ModelSpec
from scae.networks import MLP, Decoder, Linear, Tied
from scae.records import Latent

LINEAR_DECODER = MLP((8,), decoder_hidden=())


def test_zero_units_are_those_of_the_soft_threshold():
    """A linear toy: an encoder is trained from a random start against orthonormal columns D and squared error.

    The best one-sided code of x is max(Dᵀx − λ, 0), and an encoder max(Wᵀx + b, 0) can give it to every cell.
    """
    columns, _ = torch.linalg.qr(normal(7, 5))
    x = 2 * normal(100, 7, seed=1)
    want = (x @ columns - 0.7).relu()
    assert 0.2 < (want == 0).double().mean() < 0.8
    bottleneck = Sparse(dim=5, weight=0.7)
    weight = normal(7, 5, seed=2).requires_grad_()
    bias = torch.ones(5, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=500, tolerance_grad=1e-10, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        latent = latent_of(bottleneck, torch.nn.Module(), x @ weight + bias)
        total = (0.5 * (x - latent.z @ columns.T).square().sum(1) + latent.penalty).sum()
        total.backward()
        return total

    optimizer.step(loss)
    z = latent_of(bottleneck, torch.nn.Module(), x @ weight + bias).z.detach()
    torch.testing.assert_close(z, want, atol=1e-4, rtol=0)
    assert torch.equal(z == 0, want == 0)


@pytest.mark.parametrize("network", [Linear(), Tied(()), Tied((8,)), MLP((8,)), LINEAR_DECODER])
def test_the_size_of_the_decoders_columns_means_nothing(network):
    """Without that the cost of a code could be evaded by a small code and large columns."""
    model = Autoencoder(ModelSpec(network=network, bottleneck=Sparse(dim=3)), data_of(16), torch.Generator().manual_seed(0))
    counts, cells = matrix_of(counts_like(np.random.default_rng(0), 6, 16)).take(np.arange(6))
    z = model.encode(counts, cells).z.detach()

    def rates() -> torch.Tensor:
        return model.spec.likelihood.mean(model.decode(z, counts, cells))

    with torch.no_grad():
        before = rates()
        model.heads.decoders[0].latent_weights().mul_(torch.tensor([10.0, 0.1, 3.0]))
        after = rates()
        assert not torch.allclose(before[0], before[1])
    torch.testing.assert_close(after, before)


def test_linear_decoder_reads_the_code_through_unit_columns():
    spec = ModelSpec(network=Linear(), bottleneck=Sparse(dim=3))
    model = Autoencoder(spec, data_of(16), torch.Generator().manual_seed(0))
    counts, cells = matrix_of(counts_like(np.random.default_rng(0), 3, 16)).take(np.arange(3))
    read = model.decode(torch.eye(3), counts, cells)["mean"]
    torch.testing.assert_close((read - model.heads.decoders[0].readouts["mean"].bias).norm(dim=1), torch.ones(3))


def test_a_network_without_such_columns_says_so():
    with pytest.raises(ConfigError, match="norm one"):
        Decoder.latent_weights(torch.nn.Module())


def test_more_weight_is_fewer_units():
    adata = real_counts()
    plan = scae.TrainPlan(epochs=1, min_steps=40, lr=1e-2)
    active = []
    for weight in (0.0, 0.3, 1.0):
        model = scae.tl.embed(adata, ModelSpec(network=LINEAR_DECODER, bottleneck=Sparse(dim=8, weight=weight)), plan=plan)
        active.append((adata.obsm["X_scae"] > 0).mean())
        assert model.fitted["history"]["rows"][-1]["active"] == pytest.approx(active[-1], abs=0.2)
    assert active[0] > active[1] > active[2]
    with pytest.raises(DivergenceError, match=r"the same in all cells.*smaller weight"):
        scae.tl.fit(adata, ModelSpec(network=LINEAR_DECODER, bottleneck=Sparse(dim=8, weight=30.0)), plan=plan)


def test_the_k_greatest_are_kept_as_they_are():
    stats = normal(50, 12) + 0.3
    bottleneck = Sparse(dim=12, k=3, weight=0.5)
    weights = bottleneck.build(data_of(3), torch.Generator()).eval()
    latent = latent_of(bottleneck, weights, stats)
    rectified = np.maximum(stats.numpy(), 0)
    third = np.sort(rectified, 1)[:, -3:][:, :1]
    want = np.where(rectified >= third, rectified, 0)
    assert 2 < (want > 0).sum(1).mean() <= 3, "some cells have fewer units above zero"
    np.testing.assert_array_equal(latent.z, want)
    np.testing.assert_allclose(latent.penalty, 0.5 * want.sum(1))
    assert torch.equal(latent_of(Sparse(dim=12), weights, stats).z, stats.relu())


def test_the_number_of_units_falls_by_the_same_factor_a_step_and_only_in_training():
    stats, bottleneck = normal(9, 64).abs(), Sparse(dim=64, k=4, anneal=40)
    weights, kept = bottleneck.build(data_of(3), torch.Generator()), []
    for _ in range(60):
        kept.append(int((latent_of(bottleneck, weights.train(), stats).z > 0).sum(1).unique()))
        assert (latent_of(bottleneck, weights.eval(), stats).z > 0).sum(1).unique().tolist() == [4]
        bottleneck.after_step(weights, latent_of(bottleneck, weights, stats), torch.Generator())
    assert kept == [round(64 / 16 ** (min(step, 40) / 40)) for step in range(60)]


def test_more_units_than_there_are_are_refused():
    with pytest.raises(ConfigError, match=r"k is 9 and dim 8.*k ≤ dim"):
        Sparse(dim=8, k=9)


def test_the_preset_is_sparse(pbmc):
    """At most 15 % of the units are active in a cell, also in cells that the model has not seen."""
    model = scae.tl.embed(pbmc[:150].copy(), "sparse", plan=scae.TrainPlan(epochs=1, min_steps=20))
    scae.tl.embed(pbmc, model)
    share = (pbmc.obsm["X_scae"] > 0).mean(1)
    assert 0 < share.min() <= share.max() <= 0.15


def test_cost_of_a_rate_is_the_divergence_of_two_bernoullis():
    rates = torch.linspace(0.01, 0.99, 9, dtype=torch.float64)
    one, two = Bernoulli(torch.tensor(0.2, dtype=torch.float64)), Bernoulli(rates)
    torch.testing.assert_close(bernoulli_kl(0.2, rates), kl_divergence(one, two))
    assert bernoulli_kl(0.2, torch.tensor([0.0, 1.0])).isfinite().all()


def rates_after(weight: float) -> torch.Tensor:
    """Of a linear toy at its optimum: sigmoid units that are to explain Gaussian data."""
    x, bottleneck = normal(60, 7, seed=1), SparseKL(dim=5, weight=weight, rate=0.1, decay=0.0)
    learned = [(0.3 * normal(7, 5, seed=2)).requires_grad_(), torch.zeros(5, dtype=torch.float64, requires_grad=True)]
    learned += [normal(5, 7, seed=3).requires_grad_()]
    optimizer = torch.optim.LBFGS(learned, max_iter=150, line_search_fn="strong_wolfe")
    weights = bottleneck.build(data_of(3), torch.Generator()).double()

    def latent() -> Latent:
        return latent_of(bottleneck, weights, x @ learned[0] + learned[1])

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        total = (0.5 * (x - latent().z @ learned[2]).square().sum(1) + latent().penalty).mean()
        total.backward()
        return total

    optimizer.step(loss)
    return latent().z.mean(0).detach()


def test_the_rate_meets_its_target_as_the_weight_grows():
    off = [float((rates_after(weight) - 0.1).abs().max()) for weight in (0.1, 10.0, 1000.0)]
    assert off[0] > 5 * off[1] > 25 * off[2]
    assert off[2] < 0.001


def test_the_running_rate_is_blended_and_changed_after_the_step_only():
    bottleneck = SparseKL(dim=4, weight=2.0, rate=0.1, decay=0.75)
    weights = bottleneck.build(data_of(3), torch.Generator()).double()
    stats = normal(10, 4).requires_grad_()
    bottleneck.start(weights, sample_of(normal(50, 4, seed=1)), None)
    before = weights.rate.clone()
    torch.testing.assert_close(before, normal(50, 4, seed=1).sigmoid().mean(0))
    mean = stats.sigmoid().mean(0)
    latent = latent_of(bottleneck, weights, stats)
    want = 2.0 * bernoulli_kl(0.1, 0.75 * before + 0.25 * mean).sum()
    torch.testing.assert_close(latent.penalty, want.expand(10))
    assert torch.equal(weights.rate, before)
    latent.penalty.mean().backward()  # the slope at the blend, by the minibatch's own mean
    blend = (0.75 * before + 0.25 * mean).detach()
    slope = 2.0 * ((1 - 0.1) / (1 - blend) - 0.1 / blend) / 10
    torch.testing.assert_close(stats.grad, slope * stats.sigmoid() * (1 - stats.sigmoid()))
    bottleneck.after_step(weights, latent, None)
    torch.testing.assert_close(weights.rate, blend)


def test_a_scored_cell_does_not_depend_on_its_batch_mates():
    bottleneck = SparseKL(dim=4)
    weights = bottleneck.build(data_of(3), torch.Generator()).double().eval()
    stats = normal(10, 4)
    all_of_them, one = (latent_of(bottleneck, weights, s).penalty for s in (stats, stats[:1]))
    assert torch.equal(all_of_them[:1], one)


def test_no_part_of_the_cost_is_warmed_up():
    stats = normal(5, 4)
    for bottleneck in (Sparse(dim=4), SparseKL(dim=4)):
        latent = latent_of(bottleneck, bottleneck.build(data_of(3), torch.Generator()).double(), stats)
        nll = torch.zeros(5, dtype=torch.float64)
        assert torch.equal(bottleneck.bound(nll, latent, 0.0), latent.penalty)
        assert (latent.penalty > 0).all()
