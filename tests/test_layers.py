"""Layers against the dense algebra that they stand for."""

from __future__ import annotations

from copy import deepcopy

import pytest
import torch
from helpers import cells_of, counts_like, counts_of
from torch import nn

from scae.layers import NORMS, BatchNorm, Dense, FirstLayer, Named, NormActDrop
from scae.records import EncoderInput


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("name", ["type", "to", "train", "forward", "weight", "names"])
def test_any_name_holds_a_module_or_a_parameter(name):
    module, weight = nn.Linear(2, 3), nn.Parameter(torch.ones(4))
    named = Named({name: module, "other": weight})
    assert named[name] is module
    assert name in named
    assert "absent" not in named
    assert dict(named.items()) == {name: module, "other": weight}
    assert len(list(named.parameters())) == 3
    copy = deepcopy(named)
    assert copy[name] is not module
    assert torch.equal(copy[name].weight, module.weight)


def test_a_lone_cell_in_training_is_normed_by_the_running_statistics():
    layer = BatchNorm(3)
    layer(torch.randn(50, 3, generator=generator()) * 2 + 1)
    before = deepcopy(layer.state_dict())
    x = torch.randn(1, 3, generator=generator(1))
    lone = layer(x)
    assert all(torch.equal(v, before[k]) for k, v in layer.state_dict().items())
    assert torch.equal(lone, layer.eval()(x))
    torch.testing.assert_close(layer(x.repeat(5, 1)), nn.BatchNorm1d.forward(layer, x.repeat(5, 1)))


def test_without_a_design_covariates_are_at_zero(rng):
    dense, x = Dense(4, 5, 2, generator()), torch.randn(7, 4)
    dense.design.data.normal_(generator=generator(1))
    design = torch.randn(7, 2)
    torch.testing.assert_close(dense(x), x @ dense.weight.T + dense.bias)
    torch.testing.assert_close(dense(x), dense(x, torch.zeros(7, 2)))
    torch.testing.assert_close(dense(x, design), x @ dense.weight.T + dense.bias + design @ dense.design.T)
    other = torch.randn(5, 4)
    torch.testing.assert_close(dense(x, design, weight=other), x @ other.T + dense.bias + design @ dense.design.T)
    first, seen = FirstLayer(6, 5, 2, generator()), EncoderInput(counts_of(counts_like(rng, 7, 6)))
    first.design.data.normal_(generator=generator(1))
    torch.testing.assert_close(first(seen, None), first(seen, torch.zeros(7, 2)))
    torch.testing.assert_close(first(seen, design), seen.dense() @ first.weight + first.bias + design @ first.design)


@pytest.mark.parametrize("groups", [1, 2])
def test_a_shifted_input_is_that_of_the_dense_product(groups, rng):
    counts, cells = cells_of(counts_like(rng, 7, 6), dtype="float64", levels=2)
    first = FirstLayer(6, 5, 0, generator()).double()
    shift = torch.randn(groups, 6, dtype=torch.float64, requires_grad=True)
    seen = EncoderInput(counts, shift, cells.batch)
    got, want = first(seen, None), seen.dense() @ first.weight + first.bias
    torch.testing.assert_close(got, want)
    weights = [first.weight, shift]
    for one, two in zip(*(torch.autograd.grad(out.square().sum(), weights) for out in (got, want)), strict=True):
        torch.testing.assert_close(one, two)


def test_the_jacobian_norm_of_the_first_layer_is_that_of_its_weight():
    first, u = FirstLayer(6, 5, 0, generator()), torch.randn(7, 5)
    torch.testing.assert_close(first.jacobian_sq(u), (u @ first.weight.T).square().sum(1))


@pytest.mark.parametrize("norm", NORMS)
def test_dropout_keeps_the_mean_and_needs_a_generator(norm):
    block = NormActDrop(4, norm, "softplus", 0.3)
    x = torch.randn(20_000, 4, generator=generator())
    kept = block(x, None)
    dropped = block(x, generator(1))
    assert ((dropped == 0).float().mean() - 0.3).abs() < 0.01
    torch.testing.assert_close(dropped.mean(0), kept.mean(0), rtol=0.05, atol=0.01)
    torch.testing.assert_close(block(x, generator(1)), dropped)
    block.eval()
    assert torch.equal(block(x, generator(1)), block(x, None))
