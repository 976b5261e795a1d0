"""What a code can hold: one number memorises fifty cells, and noise on a code makes the paths through it smooth."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

import scae
from scae.bottlenecks import VQ, Binary, Bottleneck, Contractive, Deterministic, Gaussian, Sparse, SparseKL
from scae.infer import denoised
from scae.likelihoods import Poisson
from scae.model import Autoencoder, ModelSpec
from scae.networks import MLP
from scae.tl.inputs import counts


def test_one_number_memorises_fifty_cells_and_the_held_out_loss_says_so():
    cells = scae.datasets.pbmc68k_reduced()[:100].copy()
    spec = ModelSpec(network=MLP((256,), norm="none"), bottleneck=Deterministic(dim=1), likelihood=Poisson())
    plan = scae.TrainPlan(
        epochs=1, min_steps=300, held_out=0.5, batch_size=50, lr=5e-3, lr_final=1.0, averaging=0.0, patience=1.0
    )
    model = scae.tl.fit(cells, spec, plan=plan)
    rows, best = model.fitted["history"]["rows"], model.fitted["history"]["best"]
    chosen, last = rows[best], rows[-1]
    assert chosen["held_out"] == min(row["held_out"] for row in rows)
    assert best < len(rows) / 2
    assert last["nll"] < chosen["nll"] - 30  # what was gained on the cells of the fit
    assert last["held_out"] > chosen["held_out"] + 15  # was lost on others


def curvature(model: Autoencoder, cells: object, n_paths: int = 80, n_points: int = 11) -> float:
    """Median over straight paths between cells' codes: the turns of log counts on the way, over the distance of the ends."""
    source = counts(cells, model.data)
    batch, order = source.take(np.arange(len(source))), np.random.default_rng(0).permutation(len(source))[: 2 * n_paths]
    ends = replace(source.take(order[:n_paths]), library=torch.full((n_paths, 1), 1e4))
    t = torch.linspace(0, 1, n_points)[:, None, None]
    with torch.no_grad():
        z = model.encode(batch).point
        path = torch.lerp(z[order[:n_paths]], z[order[n_paths:]], t)
        y = torch.stack([model.spec.likelihood.mean(model.decode(p, ends)).log1p() for p in path])  # (points, paths, genes)
    turns = y.diff(dim=0).diff(dim=0).norm(dim=2).sum(0)
    return float((turns / (y[-1] - y[0]).norm(dim=1)).median())


@pytest.mark.slow
def test_paths_through_a_variational_code_turn_less_than_through_a_plain_one():
    cells = scae.datasets.pbmc68k_reduced()[:400].copy()
    plan = scae.TrainPlan(epochs=1, min_steps=300, held_out=0.0, lr=5e-3, averaging=0.0)
    for seed in (0, 1):
        turns = []
        for bottleneck in (Gaussian(dim=2), Deterministic(dim=2)):
            spec = ModelSpec(network=MLP((128, 128)), bottleneck=bottleneck)
            turns.append(curvature(scae.tl.fit(cells, spec, plan=plan, random_state=seed), cells))
        assert turns[0] < turns[1]


EACH = [
    Binary(dim=8), Binary(dim=8, estimator="relaxed"), Contractive(dim=4), Sparse(dim=8), SparseKL(dim=8), VQ(dim=4, n_codes=8),
    VQ(dim=4, n_codes=8, quantization="product", n_books=2), VQ(dim=4, n_codes=8, quantization="residual", n_books=2),
]  # fmt: skip


@pytest.mark.parametrize("bottleneck", EACH, ids=lambda b: f"{b.name}-{getattr(b, 'quantization', '')}")
def test_every_kind_denoises_and_scores(bottleneck: Bottleneck):
    cells = scae.datasets.pbmc68k_reduced()[:64].copy()
    plan = scae.TrainPlan(epochs=1, min_steps=8, max_steps=8)
    model = scae.tl.denoise(cells, ModelSpec(network=MLP((16,)), bottleneck=bottleneck), plan=plan)
    plain = cells.layers["denoised"].copy()
    assert np.isfinite(plain).all()
    assert (plain >= 0).all()
    scae.tl.denoise(cells, model, kind="sample", key_added="drawn")
    assert (cells.layers["drawn"] == cells.layers["drawn"].round()).all()
    averaged = np.concatenate([rows for _, rows in denoised(model, counts(cells, model.data), n_samples=4)])
    assert np.array_equal(averaged, plain) == (not isinstance(bottleneck, Binary))  # a point is the mean of its draws
    nats = scae.tl.score(cells, model, n_samples=2)
    assert np.isfinite(nats).all()
