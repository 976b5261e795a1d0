"""The records that flow through a model: counts and cells as a whole, repeated, on a device, with and without genes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers import cells_of, counts_like, counts_of, data_of
from hypothesis import given
from hypothesis import strategies as st

from scae.records import Cells, Encoded, EncoderInput, Latent, Loss


def test_counts_of_a_dense_matrix_are_that_matrix(rng):
    x = counts_like(rng, 6, 9)
    counts = counts_of(x)
    assert (len(counts), counts.n_genes) == x.shape
    np.testing.assert_array_equal(counts.dense(), x)
    np.testing.assert_array_equal(counts.totals(), x.sum(1, keepdims=True))
    np.testing.assert_array_equal(counts.cell, x.nonzero()[0])
    np.testing.assert_array_equal(counts.with_value(2 * counts.value).dense(), 2 * x)


@given(st.integers(0, 5), st.integers(1, 8), st.integers(0, 99))
def test_counts_without_genes_are_counts_of_which_those_were_never_there(cells, genes, seed):
    rng = np.random.default_rng(seed)
    x, gone = rng.poisson(0.7, (cells, genes)), rng.random(genes) < 0.5
    got, want = counts_of(x).without(torch.from_numpy(gone)), counts_of(np.where(gone, 0, x))
    for name in ("indptr", "gene", "value"):
        assert torch.equal(getattr(got, name), getattr(want, name))


def test_cells_repeated_are_the_cells_again_and_again(rng):
    counts, cells = cells_of(counts_like(rng, 5, 6), levels=2)
    counts = replace(counts, missing=torch.arange(6) == 2)
    cells = replace(cells, label=torch.arange(5), covariates=torch.arange(10).view(5, 2))
    many, more = counts.repeated(3), cells.repeated(3)
    assert torch.equal(many.dense(), torch.cat([counts.dense()] * 3))
    assert torch.equal(many.cell, torch.repeat_interleave(torch.arange(15), many.indptr.diff()))
    assert torch.equal(many.missing, counts.missing)
    for name in ("library", "covariates", "continuous", "batch", "label"):
        assert torch.equal(getattr(more, name), torch.cat([getattr(cells, name)] * 3))
    assert counts.repeated(1) is counts
    assert cells.repeated(1) is cells


def test_an_encoding_repeated_is_that_of_the_cells_repeated():
    first, design = torch.randn(4, 3), torch.randn(4, 2)
    encoded = Encoded(2 * first, first, design, lambda x, d: 2 * x + d.sum(), lambda u: u.square().sum(1))
    many = encoded.repeated(2)
    assert torch.equal(many.stats, torch.cat([encoded.stats] * 2))
    assert torch.equal(many.first, torch.cat([first] * 2))
    assert torch.equal(many.design, torch.cat([design] * 2))
    assert encoded._replace(design=None).repeated(2).design is None


def test_every_array_goes_to_the_device(device, rng):
    counts, cells = cells_of(counts_like(rng, 5, 6), levels=2)
    counts, cells = replace(counts, missing=torch.arange(6) == 2), replace(cells, label=torch.arange(5))
    there, them = counts.to(device), cells.to(device)
    assert torch.equal(there.dense().cpu(), counts.dense())
    for record, moved in ((counts, there), (cells, them)):
        tensors = {k: v for k, v in vars(record).items() if isinstance(v, torch.Tensor) and k != "cell"}
        assert all(vars(moved)[k].device.type == device.type and torch.equal(vars(moved)[k].cpu(), v) for k, v in tensors.items())


def test_a_table_per_batch_is_read_by_each_cells_own_batch(rng):
    _, cells = cells_of(counts_like(rng, 5, 6), levels=2)
    rows = torch.arange(6.0).view(2, 3)
    assert torch.equal(cells.of_batch(rows), rows[[0, 1, 0, 1, 0]])
    assert torch.equal(cells.of_batch(rows[:1]), rows[:1])
    unbatched = replace(cells, batch=None)
    assert torch.equal(unbatched.of_batch(rows[:1]), rows[:1])


@pytest.mark.parametrize("groups", [1, 2])
def test_a_shift_is_subtracted_from_zeros_too(groups, rng):
    x = counts_like(rng, 5, 6)
    counts, cells = cells_of(x, levels=2)
    shift = torch.randn(groups, 6)
    rows = shift[cells.batch] if groups > 1 else shift
    assert torch.equal(EncoderInput(counts, shift, cells.batch).dense(), torch.from_numpy(x) - rows)
    assert torch.equal(EncoderInput(counts).dense(), torch.from_numpy(x))


def test_batches_are_the_levels_of_the_batch_key():
    assert data_of(3, levels=2).batches == ("a", "b")
    assert data_of(3, levels=2).n_batches == 2
    assert data_of(3).batches == ()
    assert data_of(3).n_batches == 1


def test_the_mean_of_losses_is_that_of_their_parts():
    latent = Latent(*torch.zeros(2, 3, 1), *torch.zeros(2, 3))
    losses = [Loss(*torch.randn(4, 3), latent=latent) for _ in range(3)]
    mean = Loss.mean(losses)
    for name, part in mean.parts().items():
        torch.testing.assert_close(part, torch.stack([loss.parts()[name] for loss in losses]).mean(0))
    assert mean.latent is latent
    assert Loss.mean(losses[:1]) is losses[0]


def test_as_many_cells_as_libraries():
    assert len(Cells(torch.ones(7, 1), torch.zeros(7, 0, dtype=torch.int64), torch.zeros(7, 0))) == 7
