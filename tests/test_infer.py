"""What a fitted model says of cells, block by block."""

from __future__ import annotations

from contextlib import suppress

import numpy as np
import pytest
import torch
from anndata import AnnData
from helpers import QUICK, counts_like, real_counts

import scae
from scae import threads
from scae.bottlenecks import Deterministic
from scae.infer import each_block, expected, latent
from scae.tl._fit import fitted


@pytest.fixture
def cells(model):
    """The cells to which the model was fitted."""
    return fitted(real_counts(), model, {})[1]


@pytest.fixture
def two_threads():
    """Torch on two threads, which is not what scae takes by itself."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def settings():
    return torch.is_grad_enabled(), torch.get_num_threads(), threads.asked()


@pytest.mark.parametrize(("asked", "inside"), [(None, 1), (3, 3)])
@pytest.mark.parametrize("stop", ["at the end", "early", "with an error"])
@pytest.mark.usefixtures("two_threads")
def test_each_block_leaves_gradients_and_threads_as_they_were(model, cells, asked, inside, stop):
    model.train()
    with threads.use(asked):
        before, seen = settings(), []

        def read(_, block):
            seen.append((model.training, torch.is_grad_enabled(), torch.get_num_threads()))
            if stop == "with an error" and len(seen) == 2:
                raise ZeroDivisionError
            return len(block)

        blocks = each_block(model, cells, read, size=64)
        with suppress(ZeroDivisionError):
            for n, (where, size) in enumerate(blocks):
                assert settings() == before  # the caller's block runs as if there were no loop
                assert where.stop - where.start == size
                if stop == "early" and n == 1:
                    break
        assert settings() == before
    assert settings() == (True, 2, None)
    assert set(seen) == {(False, False, inside)}
    assert len(seen) == (4 if stop == "at the end" else 2)
    model.eval()


def test_each_block_goes_through_the_rows_that_are_named_in_their_order(model, cells):
    rows = np.array([7, 3, 150, 4, 199])
    found = [(where, counts.dense()) for where, counts in each_block(model, cells, lambda counts, _: counts, rows=rows, size=2)]
    assert [where for where, _ in found] == [slice(0, 2), slice(2, 4), slice(4, 5)]
    assert torch.equal(torch.cat([dense for _, dense in found]), cells.take(rows)[0].dense())


def test_a_latent_that_is_a_point_has_a_standard_deviation_of_zero(pbmc):
    point = scae.tl.embed(pbmc, scae.ModelSpec(bottleneck=Deterministic(dim=3)), plan=QUICK, with_sd=True)
    mean, sd, codes = latent(point, fitted(pbmc, point, {})[1])
    assert mean.shape == sd.shape == (pbmc.n_obs, 3)
    assert (sd == 0).all()
    assert mean.std() > 0
    assert codes is None
    assert (pbmc.obsm["X_scae_sd"] == 0).all()


@pytest.mark.parametrize("name", ["nb", "zinb", "poisson"])
def test_what_a_model_expects_is_its_distribution(name, rng):
    adata = AnnData(counts_like(rng, 60, 12))
    model = scae.tl.fit(adata, scae.ModelSpec(likelihood=scae.parts.find("likelihood", name)()), plan=QUICK)
    source = fitted(adata, model, {})[1]
    says, (counts, cells) = expected(model, source), source.take(np.arange(len(source)))
    with torch.no_grad():
        law = model.spec.likelihood.dist(model.decode(model.encode(counts, cells).z, counts, cells)).base_dist
        values = torch.arange(0.0, 400.0)[:, None, None]
        prob = torch.stack([law.log_prob(value.expand(60, 12)).double().exp() for value in values])  # (values, cells, genes)
    mean = (values * prob).sum(0)
    noise = (values**2 * prob).sum(0) - mean**2
    np.testing.assert_allclose(says.mean, mean.mean(0), rtol=1e-4)
    np.testing.assert_allclose(says.noise, noise.mean(0), rtol=1e-3)
    np.testing.assert_allclose(says.variance, noise.mean(0) + mean.var(0, correction=0), rtol=1e-3)
    np.testing.assert_allclose(says.zeros, prob[0].mean(0), rtol=1e-5)
