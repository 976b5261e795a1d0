"""Hidden molecules: what is hidden, what it costs, and a fit that is planned by it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers import counts_like, data_of, matrix_of, same_weights
from scipy import stats

from scae.bottlenecks import Gaussian
from scae.errors import ConfigError
from scae.likelihoods import NB, Bernoulli, Poisson
from scae.model import Autoencoder, ModelSpec
from scae.molecules import Hidden, Rest
from scae.networks import MLP
from scae.plan import TrainPlan
from scae.run import Run, hidden_loss
from scae.source import CountMatrix
from scae.train import fit

SPEC = ModelSpec(network=MLP(hidden=(16,)), bottleneck=Gaussian(dim=4, beta=0.0))
PLAN = TrainPlan(
    epochs=100, batch_size=32, min_steps=1, lr=0.05, held_out=0.0, held_out_molecules=0.3, lr_decay=0.25, patience=0.1
)


def rng_of(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def counts(cells: int = 60, genes: int = 25, mean: float = 2.0):
    return counts_like(np.random.default_rng(0), cells, genes, mean=mean)


def dense(source: CountMatrix, rows=None):
    taken, cells = source.take(np.arange(len(source)) if rows is None else rows)
    assert (taken.value > 0).all(), "no zeros are stored"
    return taken.dense().numpy(), cells.library.numpy()


def test_each_molecule_of_a_fifth_of_the_cells_is_hidden_with_the_given_probability():
    x = counts(1000, 40)
    x[7] = 0
    train = np.setdiff1d(np.arange(1000), [7, 8])
    hidden = Hidden.draw(matrix_of(x), train, 0.3, rng_of())
    rest, library = dense(hidden.rest)
    others = np.setdiff1d(np.arange(1000), hidden.rows)
    assert 190 <= hidden.rows.size <= 200
    assert np.isin(hidden.rows, train).all()
    np.testing.assert_array_equal(rest[others], x[others])
    gone = x[hidden.rows] - rest[hidden.rows]
    assert gone.min() >= 0
    assert stats.binomtest(int(gone.sum()), int(x[hidden.rows].sum()), 0.3).pvalue > 1e-3
    assert (rest.sum(1)[train] > 0).all()
    assert (gone.sum(1) > 0).all()
    np.testing.assert_allclose(library[:, 0], rest.sum(1), rtol=1e-6)  # here the exposure is a cell's total
    again, other = (Hidden.draw(matrix_of(x), train, 0.3, rng_of(seed)) for seed in (0, 1))
    np.testing.assert_array_equal(dense(again.rest)[0], rest)
    assert not np.array_equal(again.rows, other.rows)


@pytest.mark.parametrize("given", ["latent", "counts"])
def test_the_loss_is_that_of_scipy(given):
    """NB thinned molecule by molecule: p(all) Binomial(rest | all) = p(rest) p(hidden | rest), gene by gene."""
    x, rng = counts(), rng_of()
    model = Autoencoder(SPEC, data_of(25), rng)
    hidden = Hidden.draw(matrix_of(x), np.arange(60), 0.3, rng)
    (all_, exposure), (rest, left) = dense(hidden.source, hidden.rows), dense(hidden.rest, hidden.rows)
    model.eval()
    with torch.no_grad():
        seen, cells = hidden.rest.take(hidden.rows)
        p = model.decode(model.encode(seen, cells).z, seen, replace(cells, library=torch.ones_like(cells.library)))
        share, theta = model.spec.likelihood.mean(p).double().numpy(), p["dispersion"].double().exp().numpy()
    gone, mu = all_ - rest, share * (exposure - left)
    if given == "latent":
        nats = -stats.nbinom.logpmf(gone, theta, theta / (theta + mu))
    else:
        nats = -stats.nbinom.logpmf(gone, theta + rest, (theta + share * left) / (theta + share * exposure))
        nats += stats.binom.logpmf(rest, all_, np.broadcast_to(left / exposure, rest.shape))
    assert hidden_loss(model, hidden, given) == pytest.approx(nats.sum(1).mean(), rel=1e-4)


def test_a_poisson_cell_has_no_rate_of_its_own():
    """Given the latent, the rest of a cell says nothing about its hidden molecules; what is left is which they are."""
    x, rng = counts(), rng_of()
    model = Autoencoder(replace(SPEC, likelihood=Poisson()), data_of(25), rng)
    hidden = Hidden.draw(matrix_of(x), np.arange(60), 0.3, rng)
    (all_, exposure), (rest, left) = dense(hidden.source, hidden.rows), dense(hidden.rest, hidden.rows)
    which = stats.binom.logpmf(rest, all_, np.broadcast_to(left / exposure, rest.shape)).sum(1).mean()
    assert hidden_loss(model, hidden, "counts") == pytest.approx(hidden_loss(model, hidden, "latent") + which, rel=1e-4)


def test_the_fit_goes_back_to_the_least_loss_and_ends_from_there_on_all_molecules(monkeypatch):
    rests, taken = [], []  # what is taken of the rest, and of each step its number and whether it saw whole cells
    step, take = Run._step, Rest.take

    def watched(run):
        at, before = run.step, len(rests)
        step(run)
        taken.append((at, len(rests) == before))

    monkeypatch.setattr(Rest, "take", lambda rest, rows: rests.append(rows) or take(rest, rows))
    monkeypatch.setattr(Run, "_step", watched)
    rng = rng_of()
    model = Autoencoder(SPEC, data_of(25), rng)
    history = fit(model, matrix_of(counts()), PLAN, rng)
    judged, lr, at = history.column("held_out_molecules"), history.column("lr"), [int(row["step"]) for row in history.rows]
    found = at[len(judged) - 1]
    assert judged[-1] == min(judged)
    tried = max(step for step, whole in taken if not whole) + 1
    assert found < tried < PLAN.stays * PLAN.planned_steps(2), "this plan overfits"
    assert [step for step, whole in taken if whole] == list(range(found, at[-1]))
    assert at[-1] == round(found / PLAN.stays)
    assert lr[len(judged) - 1] == PLAN.lr
    assert lr[-1] < 0.05 * PLAN.lr
    assert history.best == len(history.rows) - 1
    assert f"least at step {found} of {tried}" in history.stopped


@pytest.mark.parametrize("cells", [1, 2, 6])
def test_few_cells_or_molecules_are_fitted(cells):
    for x in (counts(cells), np.eye(cells, 25, dtype=np.float32)):  # of one molecule, none can be hidden
        rng = rng_of()
        model = Autoencoder(SPEC, data_of(25), rng)
        assert len(fit(model, matrix_of(x), replace(PLAN, epochs=12), rng).rows)


def test_refit_is_fit():
    models = []
    for seed in (0, 0, 1):
        rng = rng_of(seed)
        models.append(Autoencoder(replace(SPEC, likelihood=NB()), data_of(25), rng))
        fit(models[-1], matrix_of(counts()), replace(PLAN, epochs=20), rng)
    assert same_weights(models[0], models[1])
    assert not same_weights(models[0], models[2])


def test_what_cannot_be_is_refused_before_the_work():
    for wrong in ({"held_out": 0.1}, {"plateau": 0.1}, {"lr_decay": 1.0}):
        with pytest.raises(ConfigError, match=r"held_out_molecules is 0\.3.*allowed: held_out_molecules 0, or"):
            replace(PLAN, **wrong)
    rng = rng_of()
    model = Autoencoder(replace(SPEC, likelihood=Bernoulli()), data_of(25), rng)
    before = [p.clone() for p in model.parameters()]
    with pytest.raises(ConfigError, match=r"held_out_molecules.*not a distribution of molecules; allowed: .*nb.*set it to 0"):
        fit(model, matrix_of(counts()), PLAN, rng)
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
