"""Bits: their divergence by enumeration, draws of the right rate, neighbours by Hamming distance."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from helpers import real_counts
from scipy.spatial.distance import cdist
from toys import latent_of, normal

import scae
from scae.bottlenecks import Binary
from scae.bottlenecks.binary import ESTIMATORS, binary_kl
from scae.model import ModelSpec
from scae.networks import MLP

IN_TRAINING, FITTED = torch.nn.Module().train(), torch.nn.Module().eval()
each_estimator = pytest.mark.parametrize("estimator", ESTIMATORS)


def test_divergence_is_that_of_all_bit_strings():
    logit, rate = normal(6, 4), 0.3
    on = logit.sigmoid()
    want = torch.zeros(6, dtype=torch.float64)
    for bits in itertools.product((0.0, 1.0), repeat=4):
        b = torch.tensor(bits, dtype=torch.float64)
        q = torch.where(b > 0, on, 1 - on).prod(1)
        p = rate ** b.sum() * (1 - rate) ** (1 - b).sum()
        want += q * (q / p).log()
    torch.testing.assert_close(binary_kl(logit, rate).sum(1), want)
    latent = latent_of(Binary(dim=4, beta=0.5, rate=rate), FITTED, logit)
    torch.testing.assert_close(latent.kl, want)


def test_divergence_of_certain_bits_is_finite():
    sure = torch.tensor([-400.0, 400.0], requires_grad=True)
    kl = binary_kl(sure, 0.2)
    torch.testing.assert_close(kl, -torch.tensor([0.8, 0.2]).log())
    kl.sum().backward()
    assert sure.grad.isfinite().all()


@each_estimator
def test_draws_are_bits_of_the_posteriors_rate(estimator):
    logit = normal(1, 5).expand(40_000, 5)
    z = latent_of(Binary(dim=5, estimator=estimator), FITTED, logit, torch.Generator().manual_seed(0)).z
    assert set(z.unique().tolist()) == {0.0, 1.0}
    torch.testing.assert_close(z.mean(0), logit[0].sigmoid(), atol=0.01, rtol=0)


def test_a_relaxed_bit_is_one_where_the_bit_is():
    """Rounding the relaxed draw gives the straight-through one; its gradient is the relaxed one's."""
    logit = normal(200, 3)
    drawn = {}
    for estimator in ESTIMATORS:
        leaf = logit.clone().requires_grad_()
        z = latent_of(Binary(dim=3, estimator=estimator), IN_TRAINING, leaf, torch.Generator().manual_seed(0)).z
        z.sum().backward()
        drawn[estimator] = z.detach(), leaf.grad
    hard, soft = drawn["straight_through"], drawn["relaxed"]
    assert ((soft[0] > 0) & (soft[0] < 1)).any()
    torch.testing.assert_close(soft[0].round(), hard[0])
    assert torch.equal(soft[1], hard[1])
    torch.testing.assert_close(soft[1], soft[0] * (1 - soft[0]) / 0.5)  # temperature


@each_estimator
def test_without_a_generator_bits_are_the_more_probable_ones(estimator):
    logit = normal(50, 3)
    latent = latent_of(Binary(dim=3, estimator=estimator), FITTED, logit)
    assert torch.equal(latent.point, (logit > 0).double())
    torch.testing.assert_close(latent.z, latent.point)
    torch.testing.assert_close(latent.sd, (logit.sigmoid() * (-logit).sigmoid()).sqrt())


def test_hamming_neighbours_have_the_cells_label():
    adata = real_counts()
    spec = ModelSpec(network=MLP((64,)), bottleneck=Binary(dim=24, beta=0.1))
    scae.tl.embed(adata, spec, plan=scae.TrainPlan(epochs=1, min_steps=60, lr=1e-2))
    bits = adata.obsm["X_scae"]
    assert set(np.unique(bits)) == {0.0, 1.0}
    distance = cdist(bits, bits, "hamming")
    np.testing.assert_allclose(24 * distance, cdist(bits, bits, "sqeuclidean"))
    np.fill_diagonal(distance, np.inf)
    labels = adata.obs["bulk_labels"].to_numpy()
    purity = (labels[distance.argsort(1)[:, :10]] == labels[:, None]).mean()
    assert purity > 1.5 * (adata.obs["bulk_labels"].value_counts(normalize=True) ** 2).sum()


@each_estimator
def test_both_estimators_learn(estimator):
    adata = real_counts()
    plan = scae.TrainPlan(epochs=1, min_steps=80, lr=5e-3, held_out=0.0)
    spec = ModelSpec(bottleneck=Binary(dim=16, beta=0.1, estimator=estimator))
    loss = [row["loss"] for row in scae.tl.fit(adata, spec, plan=plan).fitted["history"]["rows"]]
    assert loss[-1] < loss[0] - 5
