"""How covariates reach a network: the design matrix, and what a network does without one."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from halves import built
from helpers import cells_of, counts_like, data_of

from scae.keys import DataKeys, DataSpec
from scae.networks import MLP, Additive, Conv1d, Covariates, Linear, Tied
from scae.records import Cells, EncoderInput

NETWORKS = [
    Linear(), MLP(hidden=(8, 6)), MLP(hidden=(8,), encode_covariates=False, readout_covariates=False), Tied((8,)),
    Additive(hidden=(8,)), Conv1d(),
]  # fmt: skip


def test_the_design_matrix_is_the_batch_then_other_levels_then_numbers():
    keys = DataKeys(batch_key="batch", categorical_covariates=("donor",), continuous_covariates=("age",))
    data = DataSpec(("g",), keys=keys, levels=(("a", "b"), ("x", "y", "z")), moments=((0.0, 1.0),))
    cells = Cells(torch.ones(3, 1), torch.tensor([[2], [0], [1]]), torch.tensor([[0.5], [1.5], [2.5]]), torch.tensor([1, 0, 0]))
    want = [[0, 1, 0, 0, 1, 0.5], [1, 0, 1, 0, 0, 1.5], [1, 0, 0, 1, 0, 2.5]]
    one_hot = Covariates(data, 0, torch.Generator())
    assert one_hot.width == 6
    assert one_hot(cells).tolist() == want
    embedded = Covariates(data, 2, torch.Generator().manual_seed(0))
    assert embedded.width == 5
    batch, donor = embedded.vectors
    assert torch.equal(embedded(cells), torch.cat([batch[cells.batch], donor[cells.covariates[:, 0]], cells.continuous], 1))


def test_without_covariates_there_is_no_design_matrix(rng):
    covariates = Covariates(data_of(4), 0, torch.Generator())
    assert covariates.width == 0
    assert covariates(cells_of(counts_like(rng, 3, 4))[1]) is None


@pytest.mark.parametrize("network", NETWORKS, ids=repr)
def test_without_a_design_covariates_are_at_zero(network, rng):
    encoder, decoder, covariates = built(network, data_of(12, levels=3), ("mean", "zero"))
    for p in (*encoder.parameters(), *decoder.parameters()):
        p.data += 0.1 * torch.randn(p.shape, generator=torch.Generator().manual_seed(p.numel()), dtype=p.dtype)
    counts, cells = cells_of(counts_like(rng, 7, 12), dtype=np.float64, levels=3)
    design = covariates(cells)
    zero, seen = torch.zeros_like(design), EncoderInput(counts)
    none, at_zero, told = (encoder(seen, d, None) for d in (None, zero, design))
    torch.testing.assert_close(none.stats, at_zero.stats)
    torch.testing.assert_close(none.rest(none.first[:2], None), none.rest(none.first[:2], zero[:2]))
    z = torch.randn(7, 4, dtype=torch.float64)
    for name in ("mean", "zero"):
        without, with_zero, with_design = (decoder(z, d, None)[name] for d in (None, zero, design))
        torch.testing.assert_close(without, with_zero)
        assert not torch.allclose(without, with_design)
    assert torch.allclose(none.stats, told.stats) != getattr(network, "encode_covariates", True)
