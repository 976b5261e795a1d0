"""Corruptions against their definitions."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers import QUICK, cells_of, counts_of, data_of, matrix_of, real_counts, same_bits
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

import scae
from scae.bottlenecks import Deterministic
from scae.corruptions import GaussianNoise, GeneDropout, Thinning, thinned
from scae.errors import ConfigError, GenesError
from scae.layers import FirstLayer
from scae.likelihoods import GaussianLikelihood
from scae.model import Autoencoder, ModelSpec
from scae.networks import MLP
from scae.records import EncoderInput
from scae.tl._inputs import query
from scae.train import TrainPlan, fit
from scae.transforms import Normalized


@pytest.mark.parametrize("share", [0.02, 0.3, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("count", [1, 2, 7, 60, 200, 201, 5000])
def test_binomial_draws_follow_their_law(count, share):
    n = 20_000
    rng = torch.Generator().manual_seed(0)
    drawn = thinned(counts_of(np.full((n // 100, 100), count)), torch.full((n // 100,), share), rng).numpy()
    law = stats.binom(count, share)
    assert drawn.min() >= 0
    assert drawn.max() <= count
    assert abs(drawn.mean() - law.mean()) < 5 * law.std() / np.sqrt(n)
    values, seen = np.unique(drawn, return_counts=True)
    expected = n * law.pmf(values)
    common = expected > 20
    assert ((seen - expected)[common] ** 2 / expected[common]).sum() < stats.chi2.isf(1e-6, common.sum())


@given(st.lists(st.integers(0, 300), min_size=1), st.floats(0, 1))
def test_thinning_never_invents_molecules(counts, share):
    one = counts_of([counts])
    count, kept = one.value, thinned(one, torch.tensor([share]), torch.Generator().manual_seed(1))
    assert ((kept >= 0) & (kept <= count) & (kept == kept.round())).all()
    if share in (0.0, 1.0):
        assert torch.equal(kept, count * share)


def test_shares_that_cross_are_refused():
    with pytest.raises(ConfigError, match="low ≤ high"):
        Thinning(low=0.9, high=0.1)


@pytest.mark.parametrize("width", [3, 5, 40], ids="width {}".format)
def test_noise_in_the_first_layer_has_the_covariance_of_noise_on_every_gene(width):
    layer = FirstLayer(5, width, 0, torch.Generator().manual_seed(0)).double()
    n, sd = 20_000, 0.7
    seen = EncoderInput(counts_of(np.zeros((n, 5)), dtype="float64"), noise_sd=sd)
    drawn = layer(seen, None, torch.Generator().manual_seed(1)).detach()
    want = sd**2 * (layer.weight.T @ layer.weight).detach()
    spread = (want.diagonal()[:, None] * want.diagonal() + want**2).sqrt()  # of a product of two such numbers
    assert ((drawn.T @ drawn / n - want).abs() < 5 * spread / n**0.5).all()
    assert (drawn.mean(0).abs() < 5 * (want.diagonal() / n).sqrt()).all()
    assert torch.equal(layer(seen, None), layer(replace(seen, noise_sd=0.0), None))


@pytest.mark.parametrize("width", [3, 8])
def test_noise_carries_the_gradient_of_the_weight(width):
    """d E‖εW‖² / dW = 2W a cell."""
    layer, n = FirstLayer(5, width, 0, torch.Generator().manual_seed(0)).double(), 40_000
    layer.noise(n, torch.Generator().manual_seed(1)).square().sum().div(n).backward()
    torch.testing.assert_close(layer.weight.grad, 2 * layer.weight.detach(), rtol=0.05, atol=0.01)


CENTRES = np.array([[3.0, 3.0, 3.0], [5.0, 4.0, 3.0], [3.5, 5.5, 4.0]])


def test_denoising_gaussian_noise_points_up_the_noisy_density():
    """(r(x̃) − x̃)/σ² is the score of the data convolved with the noise (Vincent 2011, Alain & Bengio 2014)."""
    rng, sd, noise = np.random.default_rng(0), 0.4, 0.5

    def draw(n: int) -> np.ndarray:
        return CENTRES[rng.integers(3, size=n)] + sd * rng.normal(size=(n, 3))

    spec = ModelSpec(
        corruption=GaussianNoise(sd=noise),
        transform=Normalized(target_sum=None, log=False),
        network=MLP(hidden=(64,), norm="none"),
        bottleneck=Deterministic(8),
        likelihood=GaussianLikelihood(),
    )
    model = Autoencoder(spec, data_of(3), torch.Generator().manual_seed(0))
    plan = TrainPlan(epochs=1, min_steps=800, max_steps=800, batch_size=256, lr=5e-3, held_out=0.0)
    fit(model, matrix_of(draw(20_000)), plan, torch.Generator().manual_seed(1))
    corrupted = draw(2000) + noise * rng.normal(size=(2000, 3))
    counts, cells = cells_of(corrupted)
    with torch.no_grad():
        restored = model.decode(model.encode(counts, cells).z, counts, cells)["mean"].numpy()
    got = (restored - corrupted) / noise**2
    variance = sd**2 + noise**2
    step = CENTRES - corrupted[:, None]  # (points, components, genes)
    weight = np.exp(-(step**2).sum(2) / (2 * variance))
    want = (weight[:, :, None] * step).sum(1) / weight.sum(1)[:, None] / variance
    assert (got * want).sum() / np.linalg.norm(got) / np.linalg.norm(want) > 0.95
    assert np.linalg.norm(got) == pytest.approx(np.linalg.norm(want), rel=0.1)


def test_thinned_quasi_counts_shrink_and_stay_above_zero():
    x = torch.linspace(0, 9, 5000)[:, None].expand(-1, 40).reshape(200, -1).numpy()
    kept = Thinning(low=0.4, high=0.4)(counts_of(x), torch.Generator().manual_seed(0)).counts.value
    assert (kept >= 0).all()
    assert float(kept.sum()) == pytest.approx(0.4 * x.sum(), rel=0.01)


@pytest.fixture(scope="module")
def told() -> scae.Autoencoder:
    """Fitted to real counts while genes were hidden, batches centred apart."""
    spec = ModelSpec(corruption=GeneDropout(share=0.3), transform=Normalized(center_batches=True))
    return scae.tl.fit(real_counts(), spec, plan=QUICK, batch_key="batch", device="cpu")


def test_hidden_genes_have_a_value_that_is_learned(told):
    assert (told.input.hidden_value != 0).float().mean() > 0.9
    assert "input.hidden_value" not in scae.tl.fit(real_counts(), plan=TrainPlan(epochs=1, min_steps=1, max_steps=1)).state_dict()


def test_counts_of_hidden_genes_never_change_the_latent(told):
    adata = real_counts()
    counts, cells = query(adata, adata.X, told.data).take(np.arange(200))
    hidden = torch.arange(counts.n_genes) % 4 == 0
    lacking = replace(counts, missing=hidden)
    other = lacking.with_value(torch.where(hidden[counts.gene], 77.0, counts.value))
    assert same_bits(told.encode(lacking, cells).point, told.encode(other, cells).point)
    assert not torch.equal(told.encode(lacking, cells).point, told.encode(counts, cells).point)
    first, seen = told.encoder.first, told.input.observed(lacking, cells)
    dense = seen.dense()
    assert torch.equal(dense[:, hidden], told.input.hidden_value[hidden].expand(200, -1))
    torch.testing.assert_close(first(seen, torch.zeros(200, 2)), dense @ first.weight + first.bias, atol=1e-4, rtol=1e-4)


def test_a_query_that_lacks_genes_is_one_in_which_they_are_hidden(told, model):
    adata = real_counts()
    lacking = np.arange(adata.n_vars) % 3 == 0
    counts, cells = query(adata, adata.X, told.data).take(np.arange(200))
    with torch.no_grad():
        hidden = EncoderInput(counts, hidden=torch.from_numpy(lacking))
        want = told.spec.bottleneck(told.bottleneck, told.encoded(hidden, cells, None), cells, None).point.numpy()
    some = adata[:, ~lacking].copy()
    with pytest.warns(UserWarning, match=f"{lacking.sum()} of the model's {adata.n_vars} genes .* hidden"):
        scae.tl.embed(some, told)
    assert some.obsm["X_scae"].tobytes() == want.tobytes()
    strangers = some.copy()
    strangers.var_names = [f"other{i}" for i in range(some.n_vars)]
    with pytest.raises(GenesError, match="gene_dropout"):
        scae.tl.embed(some, model)
    with pytest.raises(GenesError):
        scae.tl.score(some, told)
    with pytest.raises(GenesError):
        scae.tl.embed(strangers, told)


@pytest.mark.filterwarnings("ignore:255 of")
def test_the_measured_genes_keep_their_total_beside_those_that_a_query_lacks(told):
    """What is expected of all genes at the total of some of them would be too small."""
    adata = real_counts()
    lacking = np.arange(adata.n_vars) % 3 == 0
    some = adata[:, ~lacking].copy()
    scae.tl.denoise(some, told, key_added="mean")
    np.testing.assert_allclose(some.layers["mean"].sum(1), np.asarray(some.X.sum(1)).ravel(), rtol=1e-4)
    scae.tl.denoise(some, told, genes=list(adata.var_names), key_added="all")
    of_hidden = some.obsm["all"].to_numpy()[:, lacking].sum() / adata.X[:, lacking].sum()
    assert of_hidden == pytest.approx(1.0, abs=0.15)


@pytest.mark.filterwarnings("ignore:255 of")
def test_genes_that_a_query_lacks_are_denoised_too(told):
    adata = real_counts()
    lacking = np.arange(adata.n_vars) % 3 == 0
    some = adata[:, ~lacking].copy()
    gone, there = adata.var_names[0], some.var_names[5]
    scae.tl.denoise(some, told)
    assert np.isfinite(some.layers["denoised"]).all()
    scae.tl.denoise(some, told, genes=[gone, there], key_added="some")
    assert np.isfinite(some.obsm["some"][gone]).all()
    assert np.array_equal(some.obsm["some"][there], some[:, there].layers["denoised"][:, 0])
