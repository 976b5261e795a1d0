"""Training: the same bits from the same seed, odd batches, schedules, and what is kept."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from helpers import counts_like, data_of, matrix_of, run_python, same_weights, variants
from hypothesis import given
from hypothesis import strategies as st

from scae import threads
from scae.bottlenecks import Deterministic, Gaussian
from scae.corruptions import Thinning
from scae.errors import CountsError, DivergenceError
from scae.infer import losses
from scae.likelihoods import NB, Poisson
from scae.model import Autoencoder, ModelSpec
from scae.networks import MLP
from scae.ops.device import thread_count
from scae.plan import TrainPlan
from scae.train import fit

SPEC = ModelSpec(corruption=Thinning(), network=MLP(hidden=(8,), dropout=0.1), bottleneck=Gaussian(dim=3))
PLAN = TrainPlan(epochs=2, min_steps=30, batch_size=16)


def fitted(x=None, spec: ModelSpec = SPEC, plan: TrainPlan = PLAN, seed: int = 0):
    """A model fitted to dense counts, its history and its cells."""
    source = matrix_of(counts_like(np.random.default_rng(0), 60, 25) if x is None else x)
    rng = torch.Generator().manual_seed(seed)
    model = Autoencoder(spec, data_of(source.n_genes), rng)
    return model, fit(model, source, plan, rng), source


def test_refit_is_fit():
    (a, one, _), (b, two, _), (c, _, _) = fitted(), fitted(), fitted(seed=1)
    assert same_weights(a, b)
    assert [{**row, "seconds": 0} for row in one.rows] == [{**row, "seconds": 0} for row in two.rows]
    assert not same_weights(a, c)


def test_two_processes_get_the_same_bits():
    code = "from test_train import fitted\nfrom scae.io.modelfile import digest\nm, _, _ = fitted()\n"
    code += "print(digest({k: v.numpy() for k, v in m.state_dict().items()}, ''))"
    assert run_python(code, PYTHONHASHSEED="1") == run_python(code, PYTHONHASHSEED="2")


def test_the_users_random_state_and_threads_are_untouched():
    torch_before, numpy_before, n = torch.get_rng_state(), np.random.get_state()[1].copy(), torch.get_num_threads()  # noqa: NPY002
    model, _, source = fitted()
    losses(model, source)
    with threads.use(3), thread_count():
        pass
    assert torch.equal(torch.get_rng_state(), torch_before)
    assert np.array_equal(np.random.get_state()[1], numpy_before)  # noqa: NPY002
    assert torch.get_num_threads() == n


@pytest.mark.parametrize("norm", ["layer", "batch", "none"])
@pytest.mark.parametrize(("cells", "batch_size"), [(1, 16), (2, 16), (3, 2), (5, 16), (17, 16), (33, 16), (4, 1)])
def test_any_number_of_cells_is_fitted(norm, cells, batch_size):
    spec = ModelSpec(network=MLP(hidden=(8,), norm=norm), bottleneck=Deterministic(dim=2))
    x = counts_like(np.random.default_rng(0), cells, 12)
    model, history, _ = fitted(x, spec, TrainPlan(epochs=1, min_steps=5, batch_size=batch_size))
    assert all(bool(v.isfinite().all()) for v in model.state_dict().values())
    assert math.isfinite(history.rows[-1]["loss"])


@pytest.mark.parametrize("where", [0, 30, 60])
def test_cells_without_counts_are_not_trained_on(where):
    """With them or without them: the same bits."""
    x = counts_like(np.random.default_rng(0), 60, 25)
    with_empty = np.insert(x, [where] * 3, 0, axis=0)
    assert same_weights(fitted(x)[0], fitted(with_empty)[0])


def test_without_any_count_there_is_nothing_to_fit():
    with pytest.raises(CountsError, match="no cell has a count"):
        fitted(np.zeros((5, 4)))


def test_the_best_weights_are_kept():
    """The held-out loss of the weights that come back is the least of the history's, at the row that it names."""
    plan = TrainPlan(epochs=150, batch_size=16, min_steps=1, lr=0.05, held_out=0.3, patience=1.0)
    spec = ModelSpec(network=MLP(hidden=(32,)), bottleneck=Gaussian(dim=8, beta=0.0))
    model, history, source = fitted(spec=spec, plan=plan)
    held = history.column("held_out")
    assert history.best == int(np.argmin(held))
    assert history.best < len(held) - 1, "this plan overfits, so that the last weights are not the best"
    rng = torch.Generator().manual_seed(0)
    again = Autoencoder(spec, data_of(source.n_genes), rng)
    assert again.data == model.data
    order = torch.randperm(len(source), generator=rng).numpy()  # the fit's first draw after the weights is the split
    rows = np.sort(order[: int(plan.held_out * len(source))])
    assert float(losses(model, source, rows=rows, seed=0).mean()) == held[history.best]


def test_early_stopping_waits_for_the_warm_up():
    plan = TrainPlan(epochs=60, batch_size=16, min_steps=1, lr=0.05, held_out=0.3, patience=0.05, kl_warmup=0.5)
    _, history, _ = fitted(plan=plan)
    planned = plan.planned_steps(3)
    assert "no better held-out loss" in history.stopped
    assert plan.kl_warmup * planned < history.rows[-1]["step"] < planned


def test_plateaus_cut_the_rate_to_a_tenth():
    plan = TrainPlan(
        epochs=40, batch_size=16, min_steps=1, lr=0.05, lr_warmup=0.0, held_out=0.3, patience=1.0, plateau=0.1, checks=40
    )
    _, history, _ = fitted(plan=plan)
    lr, held, planned = history.column("lr"), history.column("held_out"), plan.planned_steps(3)
    assert (len(lr), lr[0]) == (40, plan.lr)
    turn, low = 0, math.inf
    for i in range(39):
        better, low = held[i] < low, min(held[i], low)
        late = 3 * (i + 1) - turn > plan.plateau * planned  # three steps an epoch
        turn = 3 * (i + 1) if better or late else turn
        assert lr[i + 1] == pytest.approx(lr[i] if better or not late else lr[i] / 10)
    assert lr[-1] < lr[0]


def test_without_held_out_cells_the_last_weights_are_kept():
    _, history, _ = fitted(plan=TrainPlan(epochs=3, batch_size=16, min_steps=1, held_out=0.0))
    assert history.best == len(history.rows) - 1
    assert history.column("held_out") == []


@pytest.mark.parametrize("held", [{}, {"held_out": 0.3}, {"held_out_molecules": 0.3, "lr_decay": 0.3}], ids=repr)
@pytest.mark.parametrize(
    ("likelihood", "lr"), [(Poisson(link="exp"), 1e38), (NB(link="exp"), 1e38), (NB(), 1e38), (NB(), 1e20)], ids=repr
)
def test_divergence_says_where_and_leaves_finite_weights(likelihood, lr, held):
    spec = ModelSpec(network=MLP(hidden=(8,)), bottleneck=Gaussian(dim=2), likelihood=likelihood)
    source = matrix_of(counts_like(np.random.default_rng(0), 60, 25, mean=20.0))
    rng = torch.Generator().manual_seed(0)
    model = Autoencoder(spec, data_of(25), rng)
    plan = TrainPlan(epochs=9, batch_size=60, min_steps=40, lr=lr, lr_warmup=0.0, clip=0.0, **{"held_out": 0.0} | held)
    with pytest.raises(DivergenceError, match=r"(not finite|far above).* at step \d+ of 40 \(epoch \d+\).*lower learning rate"):
        fit(model, source, plan, rng)
    assert all(bool(v.isfinite().all()) for v in model.state_dict().values())
    assert not model.training


@pytest.mark.parametrize("likelihood", variants("likelihood"), ids=repr)
def test_training_beats_the_start(likelihood):
    """Held-out cells are explained better than by the gene means that a fit starts from."""
    rng = np.random.default_rng(0)
    rate = np.kron(np.eye(2), np.ones((60, 12))) * 6 + 0.2  # two kinds of cells, two sets of genes
    spec = ModelSpec(network=MLP(hidden=(8,)), bottleneck=Deterministic(dim=2), likelihood=likelihood)
    plan = TrainPlan(epochs=1, min_steps=200, batch_size=32, lr=0.01)
    _, history, _ = fitted(rng.poisson(rate).astype(np.float32), spec, plan)
    held = history.column("held_out")
    assert min(held) < held[0]


def test_score_is_deterministic_and_of_each_cell():
    model, _, source = fitted()
    assert losses(model, source).tobytes() == losses(model, source).tobytes()
    assert losses(model, source).tobytes() != losses(model, source, seed=1).tobytes()
    point = fitted(spec=ModelSpec(network=MLP(hidden=(8,)), bottleneck=Deterministic(dim=3)))[0]
    some = np.array([5, 2, 40])
    np.testing.assert_allclose(losses(point, source, rows=some), losses(point, source)[some], rtol=1e-5, atol=1e-4)


SHARE = st.floats(0, 1)
plans = st.builds(
    TrainPlan, epochs=st.integers(1, 50), min_steps=st.integers(1, 3000), max_steps=st.integers(1, 30_000),
    lr_warmup=SHARE, lr_final=SHARE, lr_decay=SHARE, kl_warmup=SHARE, plateau=SHARE,
)  # fmt: skip


@given(plans, st.integers(1, 1000))
def test_planned_steps(plan, n_batches):
    steps = plan.planned_steps(n_batches)
    assert 1 <= steps <= plan.max_steps
    assert steps >= min(plan.epochs * n_batches, plan.max_steps)
    assert steps >= min(plan.min_steps, plan.max_steps)


@given(plans, st.integers(1, 20_000))
def test_schedules_are_shares_of_the_plan(plan, planned):
    """Whatever the number of steps: the KL weight rises to one by its share, the rate peaks at its own and ends at its last."""
    steps = sorted({0, planned - 1, *np.linspace(0, planned - 1, 40).astype(int).tolist()})
    kl, lr = [plan.kl_weight(s, planned) for s in steps], [plan.lr_factor(s, planned) for s in steps]
    assert kl == sorted(kl)
    assert all(0 < w <= 1 for w in kl)
    assert all(w == 1 for s, w in zip(steps, kl, strict=True) if s + 1 >= plan.kl_warmup * planned)
    assert all(0 <= f <= 1 for f in lr)
    rise = plan.lr_warmup * planned
    up, down = [f for s, f in zip(steps, lr, strict=True) if s < rise], [f for s, f in zip(steps, lr, strict=True) if s >= rise]
    assert up == sorted(up)
    assert down == sorted(down, reverse=True)
    assert all(f >= plan.lr_final - 1e-12 for f in down)


def test_planned_steps_of_few_and_many_cells():
    plan = TrainPlan(epochs=20, min_steps=1500, max_epochs=75, max_steps=5000)
    assert [plan.planned_steps(n) for n in (1, 6, 20, 50, 100, 1000)] == [75, 450, 1500, 1500, 2000, 5000]
    assert TrainPlan(epochs=20, min_steps=1500).planned_steps(1) == 1500
