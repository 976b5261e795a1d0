"""Checkpoints: whatever ends a fit, the same call goes on and ends with the same bits."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers import ROOT, counts_like, data_of, matrix_of, same_weights

from scae.bottlenecks import VQ, Gaussian, Hierarchical, Sparse, SparseKL
from scae.checkpoint import Checkpoints
from scae.corruptions import Thinning
from scae.errors import CheckpointError, Interrupted
from scae.model import Autoencoder, ModelSpec
from scae.networks import MLP
from scae.plan import TrainPlan
from scae.priors import Vamp
from scae.run import Run
from scae.train import fit

MLP8 = MLP(hidden=(8,), dropout=0.1)
SPECS = {
    "gaussian": ModelSpec(corruption=Thinning(), network=MLP8, bottleneck=Gaussian(dim=3)),
    "batch norm": ModelSpec(network=replace(MLP8, norm="batch"), bottleneck=Gaussian(dim=3)),
    "vq": ModelSpec(network=MLP8, bottleneck=VQ(dim=3, n_codes=5)),
    "vamp": ModelSpec(network=MLP8, bottleneck=Gaussian(dim=3, prior=Vamp(n_components=4))),
    "k-sparse": ModelSpec(network=MLP8, bottleneck=Sparse(dim=8, weight=0.0, k=4, anneal=20)),
    "sparse_kl": ModelSpec(network=MLP8, bottleneck=SparseKL(dim=3)),
    "hierarchical": ModelSpec(network=MLP8, bottleneck=Hierarchical(dim=3, top_dims=(2,))),
}
PLANS = {
    "default": TrainPlan(epochs=3, min_steps=31, batch_size=16, held_out=0.2, checks=9),
    "rmsprop": TrainPlan(epochs=9, min_steps=31, batch_size=16, optimizer="rmsprop", averaging=0.0, held_out=0.2, plateau=0.1),
    "last weights": TrainPlan(epochs=3, min_steps=31, batch_size=16, held_out=0.0),
    "stopped early": TrainPlan(epochs=60, min_steps=1, batch_size=16, lr=0.05, held_out=0.3, patience=0.05, kl_warmup=0.1),
    "held-out molecules": TrainPlan(
        epochs=60, min_steps=1, batch_size=16, lr=0.05, held_out=0.0, held_out_molecules=0.3, lr_decay=0.3, patience=0.05
    ),
    "rolled back": TrainPlan(epochs=9, min_steps=1, batch_size=16, lr=0.5, lr_warmup=0.0, held_out=0.2),
}


def source_of(seed: int = 0):
    return matrix_of(counts_like(np.random.default_rng(seed), 60, 25), levels=2)


def run(spec: ModelSpec, plan: TrainPlan, checkpoints: Checkpoints | None = None, seed: int = 0, source=None):
    rng = torch.Generator().manual_seed(seed)
    model = Autoencoder(spec, data_of(25, levels=2), rng)
    return model, fit(model, source_of() if source is None else source, plan, rng, checkpoints=checkpoints)


def same(one, two) -> bool:
    rows = [[{**row, "seconds": 0} for row in history.rows] for _, history in (one, two)]
    return (
        same_weights(one[0], two[0])
        and rows[0] == rows[1]
        and all(getattr(one[1], name) == getattr(two[1], name) for name in ("best", "stopped", "rolled_back"))
    )


def interrupt_at(monkeypatch, *steps: int) -> None:
    """A signal to this very process after some steps, counted over all runs."""
    step, taken = Run._step, iter(range(1, 10_000))

    def counted(self):
        step(self)
        if next(taken) in steps:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(Run, "_step", counted)


@pytest.mark.parametrize(("spec", "plan"), [*((spec, "default") for spec in SPECS), *(("gaussian", plan) for plan in PLANS)])
def test_interrupted_and_resumed_is_uninterrupted(spec, plan, tmp_path, monkeypatch):
    whole = run(SPECS[spec], PLANS[plan])
    interrupt_at(monkeypatch, 1, 7, 17, 18)
    for _ in range(4):
        with pytest.raises(Interrupted) as stopped:
            run(SPECS[spec], PLANS[plan], Checkpoints(tmp_path))
        assert stopped.value.signal == signal.SIGTERM
        assert not stopped.value.model.training
    assert same(run(SPECS[spec], PLANS[plan], Checkpoints(tmp_path)), whole)
    assert same(run(SPECS[spec], PLANS[plan], Checkpoints(tmp_path)), whole), "a fit that is done is read, not repeated"
    assert len(list(tmp_path.iterdir())) == 2


def test_checkpoints_change_nothing(tmp_path):
    whole, saved = (run(SPECS["gaussian"], PLANS["default"], c) for c in (None, Checkpoints(tmp_path, seconds=0)))
    assert same(whole, saved)


def test_checkpoints_beyond_the_step_that_a_fit_goes_back_to_are_deleted(tmp_path):
    saved = Checkpoints(tmp_path)
    for step, left in ((1, [1]), (5, [1, 5]), (9, [5, 9]), (7, [5, 7]), (3, [3])):
        saved.save(step, ({"weight": np.full(1, step)}, {"fit": {}}))
        assert sorted(tmp_path.iterdir()) == [tmp_path / f"step-{step:09d}.checkpoint" for step in left]
        assert saved.load({})[0]["weight"] == step


def test_a_damaged_checkpoint_falls_back_to_the_one_before(tmp_path, monkeypatch, caplog):
    whole = run(SPECS["gaussian"], PLANS["default"])
    interrupt_at(monkeypatch, 20)
    with pytest.raises(Interrupted):
        run(SPECS["gaussian"], PLANS["default"], Checkpoints(tmp_path, seconds=0))
    _, newest = sorted(tmp_path.iterdir())
    newest.write_bytes(newest.read_bytes()[:-9])
    assert same(run(SPECS["gaussian"], PLANS["default"], Checkpoints(tmp_path)), whole)
    assert "checkpoint passed over" in caplog.text
    for file in tmp_path.iterdir():
        file.write_bytes(b"nothing")
    with pytest.raises(CheckpointError, match=r"none of the 2 checkpoints .* can be read\. Delete it"):
        run(SPECS["gaussian"], PLANS["default"], Checkpoints(tmp_path))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"plan": replace(PLANS["default"], lr=0.1)}, r"plan\.lr is 0\.002 there and 0\.1 here"),
        (
            {"spec": replace(SPECS["gaussian"], bottleneck=Gaussian(dim=3, beta=2))},
            r"model\.bottleneck\.beta is 1\.0 there and 2\.0",
        ),
        ({"seed": 1}, r"random_state is 0 there and 1 here"),
        ({"source": source_of(1)}, "counts is"),
    ],
)
def test_checkpoints_of_another_fit_are_refused(change, said, tmp_path):
    run(SPECS["gaussian"], PLANS["default"], Checkpoints(tmp_path))
    before = {file: file.read_bytes() for file in tmp_path.iterdir()}
    with pytest.raises(CheckpointError, match=f"are of another fit: {said}"):
        run(**{"spec": SPECS["gaussian"], "plan": PLANS["default"], "checkpoints": Checkpoints(tmp_path)} | change)
    assert {file: file.read_bytes() for file in tmp_path.iterdir()} == before


@pytest.mark.usefixtures("python_handlers")
def test_the_second_signal_stops_at_once(monkeypatch):
    step = Run._step

    def twice(self):
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        step(self)

    monkeypatch.setattr(Run, "_step", twice)
    with pytest.raises(KeyboardInterrupt):
        run(SPECS["gaussian"], PLANS["default"])
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_the_users_own_handler_is_left_alone(monkeypatch):
    seen = []
    monkeypatch.setattr(Run, "_check", lambda self, check=Run._check: (os.kill(os.getpid(), signal.SIGTERM), check(self))[1])
    before = signal.signal(signal.SIGTERM, lambda number, _: seen.append(number))
    try:
        run(SPECS["gaussian"], PLANS["default"])
    finally:
        signal.signal(signal.SIGTERM, before)
    assert set(seen) == {signal.SIGTERM}


KILLED = """
import sys
from pathlib import Path
from test_checkpoint import PLANS, SPECS, Checkpoints, run
from scae.io.modelfile import digest
model, _ = run(SPECS["gaussian"], PLANS["default"], Checkpoints(Path(sys.argv[1]), seconds=0))
print(digest({k: v.numpy() for k, v in model.state_dict().items()}, ""))
"""


def killed_and_resumed(folder, delays: list[float]) -> str:
    """The digest of a fit whose process is killed after each delay and begun again."""
    env = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])}
    for delay in [*delays, None]:
        process = subprocess.Popen([sys.executable, "-c", KILLED, str(folder)], env=env, stdout=subprocess.PIPE, text=True)
        if delay is None:
            out, _ = process.communicate()
            assert process.returncode == 0
            return out.strip()
        time.sleep(delay)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    raise AssertionError


@pytest.mark.slow
def test_after_sigkill_at_any_moment_the_bits_are_the_same(tmp_path):
    """Reduced; ``make trust`` does it a hundred times."""
    times = random.Random(0)
    whole = killed_and_resumed(tmp_path / "whole", [])
    for i in range(2):
        assert killed_and_resumed(tmp_path / str(i), [times.uniform(2.0, 3.5) for _ in range(2)]) == whole
