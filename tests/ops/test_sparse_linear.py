"""Sparse batch × weight against the dense product."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers import counts_like, counts_of, same_bits
from hypothesis import given
from hypothesis import strategies as st

from scae import threads
from scae.errors import ConfigError
from scae.ops.device import resolve_device
from scae.ops.linear import _as_torch, sparse_linear


@given(st.integers(0, 6), st.integers(1, 9), st.integers(1, 5), st.integers(0, 50))
def test_value_and_gradient_are_dense(cells, genes, width, seed):
    rng = np.random.default_rng(seed)
    counts = counts_of(rng.poisson(0.5, (cells, genes)), dtype="float64")
    weight = torch.from_numpy(rng.normal(size=(genes, width))).requires_grad_()
    grad = torch.from_numpy(rng.normal(size=(cells, width)))
    got, want = sparse_linear(counts, weight), counts.dense() @ weight
    torch.testing.assert_close(got, want)
    torch.testing.assert_close(*(torch.autograd.grad(out, weight, grad)[0] for out in (got, want)))


def test_gradcheck(rng):
    counts = counts_of(counts_like(rng, 5, 7), dtype="float64")
    assert torch.autograd.gradcheck(
        lambda w: sparse_linear(counts, w), torch.randn(7, 3, dtype=torch.float64, requires_grad=True)
    )


def test_every_device_agrees_with_the_dense_product(device, rng):
    counts = counts_of(counts_like(rng, 40, 50)).to(device)
    weight = torch.randn(50, 8, device=device, requires_grad=True)
    got, want = sparse_linear(counts, weight), counts.dense() @ weight
    torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(*(torch.autograd.grad(out.square().sum(), weight)[0] for out in (got, want)), rtol=1e-4, atol=1e-2)


def test_the_torch_form_holds_the_same_matrix(rng):
    counts = counts_of(counts_like(rng, 6, 9))
    assert torch.equal(_as_torch(counts).to_dense(), counts.dense())


@pytest.mark.parametrize("n", [2, 4])
def test_threads_do_not_change_bits(n, rng):
    counts = counts_of(counts_like(rng, 300, 300))
    weight, results = torch.randn(300, 64, generator=torch.Generator().manual_seed(0)).requires_grad_(), []
    for count in (1, n):
        with threads.use(count):
            out = sparse_linear(counts, weight)
            results.append((out, torch.autograd.grad(out.square().sum(), weight)[0]))
    assert all(same_bits(a, b) for a, b in zip(*results, strict=True))


def test_a_transposed_weight_is_a_weight(rng):
    """A tied network passes a view; strides must not matter."""
    counts, weight = counts_of(counts_like(rng, 5, 7), dtype="float64"), torch.randn(3, 7, dtype=torch.float64)
    torch.testing.assert_close(sparse_linear(counts, weight.T), counts.dense() @ weight.T)


def test_unknown_device_is_named():
    with pytest.raises(ConfigError, match="warp"):
        resolve_device("warp")
    assert resolve_device("cpu").type == "cpu"
