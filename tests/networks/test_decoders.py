"""Several decoders of one latent, the genes that a first model chooses, and fits to a sample of the cells."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from helpers import QUICK, cells_of, counts_like, data_of, matrix_of, same_weights

import scae
from scae.bottlenecks import Deterministic
from scae.infer import denoised, expected
from scae.likelihoods import Poisson
from scae.model import Autoencoder, ModelSpec
from scae.networks import MLP

SPEC = ModelSpec(network=MLP(hidden=(8,), n_decoders=3), bottleneck=Deterministic(dim=3), likelihood=Poisson())


@pytest.fixture
def trio() -> Autoencoder:
    return Autoencoder(SPEC, data_of(12), torch.Generator().manual_seed(0)).eval()


def test_loss_and_mean_are_those_of_the_decoders_one_by_one(trio, rng):
    x = counts_like(rng, 9, 12)
    counts, cells = cells_of(x)
    with torch.no_grad():
        z = trio.encode(counts, cells).z
        ps = [trio.decode(z, counts, cells, decoder=d) for d in trio.decoders]
        nll = torch.stack([SPEC.likelihood.nll(p, counts) for p in ps])
        torch.testing.assert_close(trio(counts, cells, torch.Generator()).nll, nll.mean(0))
        mean = torch.stack([SPEC.likelihood.mean(p) for p in ps]).mean(0).numpy()
    assert not torch.allclose(nll[0], nll[1])
    made = np.concatenate([block for _, block in denoised(trio, matrix_of(x))])
    np.testing.assert_allclose(made, mean, rtol=1e-5)
    np.testing.assert_allclose(expected(trio, matrix_of(x)).mean, mean.mean(0), rtol=1e-5)
    drawn = [next(denoised(trio, matrix_of(x), kind="sample", seed=s))[1] for s in range(800)]
    assert np.mean(drawn) == pytest.approx(mean.mean(), rel=0.05)


def test_one_encoder_is_trained_and_saved_once(trio, tmp_path):
    one = Autoencoder(dataclasses.replace(SPEC, network=MLP(hidden=(8,))), data_of(12), torch.Generator())
    n_down = sum(p.numel() for p in one.encoder.parameters())
    n_all, n_one = (sum(p.numel() for p in m.parameters()) for m in (trio, one))
    assert n_all - n_one == 2 * (n_one - n_down)
    trio.save(tmp_path / "m.scae")
    back = scae.load(tmp_path / "m.scae")
    assert same_weights(trio, back)
    assert len(back.heads.decoders) == 3
    assert [k for k in back.state_dict() if k.endswith("first.weight")] == ["encoder.first.weight"]


def test_a_first_model_chooses_the_genes(pbmc):
    preset = dataclasses.replace(scae.presets.find("scdha"), n_genes=40, plan=QUICK)
    preset = dataclasses.replace(preset, genes=dataclasses.replace(preset.genes, plan=QUICK))
    model = scae.tl.embed(pbmc, preset)
    assert model.data.n_genes == 40
    assert set(model.data.genes) < set(pbmc.var_names)
    assert [g for g in pbmc.var_names if g in set(model.data.genes)] == list(model.data.genes)
    assert pbmc.obsm["X_scae"].shape == (200, 15)
    assert scae.tl.fit(pbmc, dataclasses.replace(preset, n_genes=10**6)).data.n_genes == pbmc.n_vars


def test_a_fit_to_a_sample_tells_the_loss_of_the_cells_left_out(pbmc):
    plan = dataclasses.replace(QUICK, max_cells=60, held_out=0.2)
    model = scae.tl.fit(pbmc, plan=plan)
    rows = model.fitted["history"]["rows"]
    assert ["left_out" in row for row in rows] == [False] * (len(rows) - 1) + [True]
    assert np.isfinite(rows[-1]["left_out"])
    assert "left_out" not in scae.tl.fit(pbmc, plan=QUICK).fitted["history"]["rows"][-1]
