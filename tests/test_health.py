"""What a fit does when it goes wrong: back to good weights, at half the rate, and at last an error with those weights."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers import counts_like, data_of, matrix_of

import scae
from scae.bottlenecks import Gaussian
from scae.errors import DivergenceError
from scae.health import Health
from scae.history import History
from scae.model import Autoencoder, ModelSpec
from scae.networks import MLP
from scae.plan import TrainPlan
from scae.train import fit

SPEC = ModelSpec(network=MLP(hidden=(8,)), bottleneck=Gaussian(dim=2))


@pytest.mark.parametrize("held_out", [0.0, 0.05])
def test_a_rate_that_is_too_high_is_halved_and_the_fit_goes_on(held_out, pbmc, caplog):
    plan = TrainPlan(epochs=30, min_steps=1, lr=0.2, lr_warmup=0.0, held_out=held_out)
    model = scae.tl.embed(pbmc, "vae", plan=plan)
    history = History(**model.fitted["history"])
    times = len(history.rolled_back)
    assert 1 <= times <= 3
    assert sum("Going back to step" in record.message for record in caplog.records) == times
    assert history.column("step") == sorted(set(history.column("step"))), "what was undone is not in the history"
    last = history.rows[-1]
    assert last["lr"] == pytest.approx(plan.lr * plan.lr_factor(int(last["step"]) - 1, 60) / 2**times)
    assert last["loss"] < 0.9 * history.rows[0]["loss"]
    assert pbmc.obsm["X_scae"].std(0).max() > 0.1


@pytest.mark.parametrize("lr", [0.1, 1.0, 10.0, 100.0, 1000.0])
@pytest.mark.parametrize("preset", ["vae", "denoiser", "scvi", "dca", "pca"])
def test_a_fit_either_learns_or_says_that_it_did_not(preset, lr, pbmc):
    plan = replace(scae.presets.find(preset).plan, lr=lr, epochs=9, min_steps=1)
    fault = None
    try:
        model = scae.tl.fit(pbmc, preset, plan=plan)
    except DivergenceError as error:
        fault, model = str(error), error.model
    assert all(bool(v.isfinite().all()) for v in model.state_dict().values())
    if fault is not None:
        assert "after 3 returns" in fault
        return
    scae.tl.embed(pbmc, model)
    assert pbmc.obsm["X_scae"].std(0).max() > 1e-3
    assert model.fitted["history"]["rows"][-1]["loss"] < 3000


def test_a_loss_far_above_the_start_is_a_fault():
    loss, latent = np.array([90.0, 110.0], np.float32), np.array([[0.0], [1.0]], np.float32)
    health = Health.at_start(loss, latent)
    assert health.limit == 100 + 10 + 50
    assert health.fault(159.9, latent) is None
    assert "far above that of the untrained model (limit 160)" in health.fault(160.1, latent)
    assert Health.at_start(-loss, latent).limit == -100 + 10 + 50, "a density may be above one, and its loss below zero"


def test_a_latent_that_is_the_same_in_all_cells_is_a_fault_unless_it_was_so_from_the_start():
    loss, apart, same = np.ones(2, np.float32), np.array([[0, 0], [0, 1]], np.float32), np.array([[5, 5], [5, 5.001]], np.float32)
    assert Health.at_start(loss, apart).fault(1.0, apart) is None
    assert "the same in all cells" in Health.at_start(loss, apart).fault(1.0, same)
    assert Health.at_start(loss, same).fault(1.0, same) is None


@pytest.mark.parametrize("cells", [1, 2, 60])
def test_cells_that_do_not_differ_can_be_fitted(cells):
    source = matrix_of(np.tile(counts_like(np.random.default_rng(0), 1, 25), (cells, 1)))
    rng = torch.Generator().manual_seed(0)
    history = fit(Autoencoder(SPEC, data_of(25), rng), source, TrainPlan(epochs=20, min_steps=1, batch_size=16), rng)
    assert history.rolled_back == []


def test_health_survives_json():
    for health in (Health(3.25, True), Health(np.inf, False)):
        assert Health.read(health.plain()) == health
