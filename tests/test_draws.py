"""Draws by the cell."""

from __future__ import annotations

import numpy as np
import torch
from helpers import counts_like, counts_of
from scipy import stats

from scae.draws import PerCell, normal, uniform


def test_draws_by_the_cell_are_uniform_normal_and_unrelated(rng):
    counts, like = counts_of(counts_like(rng, 4000, 30)), torch.zeros(4000, 3, dtype=torch.float64)
    source = PerCell(counts, 5)
    first, second = uniform(like, source).numpy(), uniform(like, source).numpy()
    assert stats.kstest(first.ravel(), "uniform").pvalue > 0.01
    assert stats.kstest(normal(like, source).numpy().ravel(), "norm").pvalue > 0.01
    related = np.corrcoef(np.hstack([first, second]).T) - np.eye(6)
    assert np.abs(related).max() < 0.06  # 3.8 standard errors
    assert not np.isclose(first, uniform(like, PerCell(counts, 6)).numpy()).any()


def test_a_cell_has_its_draws_wherever_it_stands(rng):
    dense = counts_like(rng, 50, 30)
    like, order = torch.zeros(50, 4), rng.permutation(50)
    here, there = (normal(like, PerCell(counts_of(x), 1)) for x in (dense, dense[order]))
    assert torch.equal(here[order], there)


def test_one_molecule_changes_all_draws_of_a_cell(rng):
    dense = counts_like(rng, 50, 30)
    like, more = torch.zeros(50, 4), dense + np.eye(1, 30, 7, dtype=np.float32)
    assert not torch.isclose(normal(like, PerCell(counts_of(dense), 1)), normal(like, PerCell(counts_of(more), 1))).all(1).any()


def test_a_generator_draws_as_torch_does():
    like, generators = torch.zeros(5, 3), [torch.Generator().manual_seed(1) for _ in range(2)]
    assert torch.equal(normal(like, generators[0]), torch.randn(5, 3, generator=generators[1]))
    assert torch.equal(uniform(like, generators[0]), torch.rand(5, 3, generator=generators[1]))
