"""The encoder's scale: centring within batches, standardising, hidden genes, and back to counts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers import cells_of, counts_like, counts_of, data_of, matrix_of, real_counts

import scae
from scae.input import InputScale
from scae.records import EncoderInput
from scae.tl._inputs import query
from scae.transforms import Normalized

CPU = torch.device("cpu")


def started(transform: Normalized, x: np.ndarray, *, levels: int = 0, hides: bool = False) -> InputScale:
    """A scale in float64, started at the cells of ``x``."""
    scale = InputScale(transform, hides, data_of(x.shape[1], levels=levels), CPU).double()
    source = matrix_of(x, dtype=np.float64, levels=levels)
    scale.start(source.statistics(np.arange(len(x)), transform, scale.n_groups))
    return scale


def test_centring_takes_each_batch_by_its_own_mean():
    adata = real_counts()
    adata.obs["batch"] = np.where(np.arange(adata.n_obs) % 3, "a", "b")
    spec = scae.presets.find("vae").spec
    assert spec.transform.center_batches
    quick = scae.TrainPlan(epochs=1, min_steps=2, held_out=0.0)
    model = scae.tl.fit(adata, spec, batch_key="batch", plan=quick)
    counts, cells = query(adata, adata.X, model.data).take(np.arange(adata.n_obs))
    seen = model.input.observed(counts, cells)
    plain = spec.transform(counts).dense()
    for level in (0, 1):
        rows = cells.batch == level
        torch.testing.assert_close(seen.dense()[rows], plain[rows] - plain[rows].mean(0), atol=1e-5, rtol=1e-5)
    first = model.encoder.first
    torch.testing.assert_close(first(seen, None), seen.dense() @ first.weight + first.bias, atol=1e-4, rtol=1e-4)


def test_without_a_batch_key_neither_centring_nor_discrepancy_does_anything():
    adata = real_counts()
    preset = scae.presets.find("vae")
    bare = replace(
        preset.spec,
        transform=replace(preset.spec.transform, center_batches=False),
        bottleneck=replace(preset.spec.bottleneck, batch_mmd=0.0),
    )
    plan = scae.TrainPlan(epochs=1, min_steps=5)
    one, two = (scae.tl.fit(adata, spec, plan=plan) for spec in (preset.spec, bare))
    assert all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), two.state_dict().values(), strict=True))


@pytest.mark.parametrize("center_batches", [False, True])
@pytest.mark.parametrize("standardize", [False, True])
@pytest.mark.parametrize("target_sum", [None, 1e4])
@pytest.mark.parametrize("log", [False, True])
def test_scaled_values_are_numpys_and_lead_back_to_counts(target_sum, log, standardize, center_batches, rng):
    x = counts_like(rng, 12, 9).astype(np.float64)
    transform = Normalized(target_sum=target_sum, log=log, standardize=standardize, center_batches=center_batches)
    scale, (counts, cells) = started(transform, x, levels=2), cells_of(x, dtype=np.float64, levels=2)
    want = x if target_sum is None else x / x.sum(1, keepdims=True) * target_sum
    want = np.log1p(want) if log else want
    centre = np.stack([want[b::2].mean(0) for b in (0, 1)])[np.arange(12) % 2] if center_batches else want.mean(0)
    if standardize or center_batches:
        want = want - centre
    if standardize:
        want = want / np.sqrt((want**2).mean(0))
    seen = scale.observed(counts, cells).dense()
    np.testing.assert_allclose(seen, want, atol=1e-9)
    np.testing.assert_allclose(scale.inverse(seen, cells), x, atol=1e-8)


@pytest.mark.parametrize("transform", [Normalized(), Normalized(standardize=True, center_batches=True)], ids=repr)
def test_missing_genes_are_genes_that_were_never_there(transform, rng):
    """Their counts change nothing, totals are those of the other genes, and in their place is the learned value."""
    x, gone = counts_like(rng, 12, 9).astype(np.float64), np.arange(9) % 3 == 1
    scale, (counts, cells) = started(transform, x, levels=2, hides=True), cells_of(x, dtype=np.float64, levels=2)
    scale.hidden_value.data.normal_(generator=torch.Generator().manual_seed(0))
    assert scale.takes_missing_genes
    gone = torch.from_numpy(gone)
    lacking = scale.observed(replace(counts, missing=gone), cells).dense()
    absent = scale.observed(counts_of(np.where(gone, 0, x), dtype=np.float64), cells).dense()
    assert torch.equal(lacking[:, ~gone], absent[:, ~gone])
    torch.testing.assert_close(lacking[:, gone], scale.hidden_value[gone].expand(12, -1))
    told = scale(EncoderInput(counts, hidden=gone), cells)
    assert torch.equal(told.dense(), lacking)
    also = torch.arange(9) == 0
    both = scale(EncoderInput(replace(counts, missing=gone), hidden=also), cells)
    assert torch.equal(both.hidden, gone | also)
    assert torch.equal(both.dense(), scale(EncoderInput(counts, hidden=gone | also), cells).dense())


def test_hidden_values_start_at_the_mean_of_what_is_seen(rng):
    x = counts_like(rng, 12, 9).astype(np.float64)
    seen = np.log1p(x / x.sum(1, keepdims=True) * 1e4)
    np.testing.assert_allclose(started(Normalized(), x, hides=True).hidden_value.detach(), seen.mean(0), atol=1e-12)
    assert not started(Normalized(standardize=True), x, hides=True).hidden_value.any(), "the mean of standardised values is zero"
