"""The score of each cell."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers import QUICK, small
from torch.distributions import Normal, kl_divergence

import scae
from scae.bottlenecks import Binary, Gaussian
from scae.errors import ConfigError
from scae.fields import fields
from scae.keys import DataKeys
from scae.tl._fit import fitted
from scae.tl._inputs import prepare

ONE_BY_ONE = {"rtol": 1e-4, "atol": 1e-3}  # sums of a block in another order


def test_scores_are_nats_of_each_cell(pbmc, model):
    nats = scae.tl.score(pbmc, model)
    assert np.array_equal(pbmc.obs["scae_score"], nats)
    assert np.array_equal(scae.tl.score(pbmc, model), nats)
    shuffled = pbmc.copy()
    shuffled.X = pbmc.X[:, np.random.default_rng(0).permutation(pbmc.n_vars)]
    assert scae.tl.score(shuffled, model).mean() > nats.mean()


def terms(adata, model):
    """−log p(x | z) at the latent's mean and the KL of each cell, by torch's distributions."""
    source = fitted(adata, model, {})[1]
    counts, cells = source.take(np.arange(len(source)))
    with torch.no_grad():
        latent = model.encode(counts, cells)
        nll = -model.spec.likelihood.dist(model.decode(latent.z, counts, cells)).log_prob(counts.dense())
        kl = None if latent.sd is None else kl_divergence(Normal(latent.point, latent.sd), Normal(0.0, 1.0)).sum(1)
    return nll.numpy(), None if kl is None else kl.numpy()


@pytest.mark.parametrize("beta", [0.1, 1.0, 4.0])
def test_the_kl_has_weight_one_whatever_it_was_in_the_fit(pbmc, beta):
    """A decoder that ignores the latent makes the ELBO exact: −log p(x) + KL."""
    spec = scae.ModelSpec(bottleneck=Gaussian(dim=5, beta=beta, batch_mmd=300.0))
    model = scae.tl.fit(pbmc, spec, plan=QUICK, batch_key="batch")
    with torch.no_grad():
        model.heads.decoders[0].up[0].weight.zero_()
    nll, kl = terms(pbmc, model)
    assert kl.mean() > 0.1
    np.testing.assert_allclose(scae.tl.score(pbmc, model, n_samples=2), nll + kl, rtol=1e-5)


@pytest.mark.parametrize(
    "name", [n for n in scae.parts.names("bottleneck") if "beta" in fields(scae.parts.find("bottleneck", n))]
)
def test_no_latent_weights_its_own_kl(pbmc, name):
    """β is applied once, in the loss."""
    data, source = prepare(pbmc, pbmc.X, DataKeys())
    counts, cells = source.take(np.arange(200))
    kl = {}
    for beta in (0.1, 4.0):
        spec = scae.ModelSpec(bottleneck=replace(small("bottleneck", name), dim=8, beta=beta))
        model = scae.Autoencoder(spec, data, torch.Generator().manual_seed(0))
        loss = model(counts, cells, torch.Generator().manual_seed(1))
        torch.testing.assert_close(loss.total, loss.nll + beta * loss.kl + loss.penalty)
        kl[beta] = loss.kl
    assert torch.equal(kl[0.1], kl[4.0])
    assert kl[4.0].mean() > 0


def test_the_score_of_a_point_is_its_likelihood(pbmc):
    model = scae.tl.fit(pbmc, "dca-nb", plan=QUICK)
    np.testing.assert_allclose(scae.tl.score(pbmc, model, n_samples=1), terms(pbmc, model)[0], rtol=1e-5)


@pytest.mark.parametrize("name", scae.parts.names("bottleneck"))
def test_a_cell_scores_the_same_in_any_company(pbmc, name):
    bottleneck = replace(small("bottleneck", name), dim=16)  # of fewer rectified units, all may fall silent
    spec = scae.ModelSpec(bottleneck=bottleneck)
    model = scae.tl.fit(pbmc, spec, plan=QUICK, batch_key="batch")
    nats = scae.tl.score(pbmc, model, n_samples=2)
    for order in (np.arange(200)[::-1], [17], np.random.default_rng(1).choice(200, 50, replace=False)):
        np.testing.assert_allclose(scae.tl.score(pbmc[order].copy(), model, n_samples=2), nats[order], **ONE_BY_ONE)


@pytest.mark.parametrize("prior", scae.parts.names("prior"))
def test_so_it_does_with_every_prior(pbmc, prior):
    keys = {"label_key": "bulk_labels"} if prior == "label_normal" else {}
    spec = scae.ModelSpec(bottleneck=Gaussian(dim=4, prior=scae.parts.find("prior", prior)(), batch_mmd=300.0))
    model = scae.tl.fit(pbmc, spec, plan=QUICK, batch_key="batch", **keys)
    nats = scae.tl.score(pbmc, model, n_samples=2)
    np.testing.assert_allclose(scae.tl.score(pbmc[[3, 150]].copy(), model, n_samples=2), nats[[3, 150]], **ONE_BY_ONE)


def test_importance_weights_tighten_the_bound(pbmc, model):
    elbo = scae.tl.score(pbmc, model, n_samples=60).astype(float)
    weighted = [scae.tl.score(pbmc, model, n_samples=k, bound="iwae").astype(float).mean() for k in (1, 10, 60)]
    assert weighted[0] > weighted[1] > weighted[2]
    assert weighted[0] == pytest.approx(elbo.mean(), abs=1.0)  # one draw is an unbiased estimate of the ELBO
    assert weighted[2] < elbo.mean() - 0.5


@pytest.mark.parametrize("n_samples", [0, -1, 2.0, True, "10"])
def test_other_numbers_of_draws_are_refused(pbmc, model, n_samples):
    with pytest.raises(ConfigError, match=r"n_samples is .*; allowed: a whole number from 1\."):
        scae.tl.score(pbmc, model, n_samples=n_samples)
    assert "scae_score" not in pbmc.obs


def test_bounds_that_are_not_defined_are_refused(pbmc, model):
    with pytest.raises(ConfigError, match=r"bound is 'aic'; allowed: 'elbo', 'iwae'\."):
        scae.tl.score(pbmc, model, bound="aic")
    bits = scae.tl.fit(pbmc, scae.ModelSpec(bottleneck=Binary(dim=4)), plan=QUICK)
    with pytest.raises(ConfigError, match=r"Binary\(dim=4, .*\) is not defined; allowed: gaussian\. Use the ELBO\."):
        scae.tl.score(pbmc, bits, bound="iwae")
