"""The contractive cost is the norm of autograd's dense Jacobian, with respect to what the encoder sees."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from helpers import counts_like, data_of, matrix_of

from scae.bottlenecks import Contractive
from scae.bottlenecks.contractive import jacobian_norm_sq
from scae.model import Autoencoder, ModelSpec
from scae.networks import MLP, Linear, Network, Tied
from scae.records import Cells, Counts, EncoderInput
from scae.transforms import Normalized

CELLS, GENES, DIM = 4, 9, 3
NETWORKS = [Linear(), MLP((5,)), MLP((6, 5), norm="none", activation="silu"), MLP((5,), norm="batch"), Tied((5,))]


def made(network: Network, levels: int, **options: object) -> tuple[Autoencoder, tuple[Counts, Cells]]:
    """A double-precision model with statistics that are not trivial, fitted for use."""
    source = matrix_of(counts_like(np.random.default_rng(0), CELLS, GENES), dtype=np.float64, levels=levels)
    spec = ModelSpec(
        transform=Normalized(standardize=True), network=network, bottleneck=Contractive(dim=DIM, weight=0.5, **options)
    )
    model = Autoencoder(spec, data_of(GENES, levels=levels), torch.Generator().manual_seed(0)).double()
    model.start(source.statistics(np.arange(CELLS), spec.transform))
    for p in model.parameters():
        p.data += 0.3 * torch.randn(p.shape, generator=torch.Generator().manual_seed(p.numel()), dtype=p.dtype)
    for name, buffer in model.named_buffers():
        if "running" in name:
            buffer += 0.5
    return model.eval(), source.take(np.arange(CELLS))


def dense_norm_sq(model: Autoencoder, some: tuple[Counts, Cells]) -> torch.Tensor:
    """By autograd, from the encoder's dense input: standardised values of every gene."""
    first, design = model.encoder.first, model.covariates(some[1])

    def code(x: torch.Tensor) -> torch.Tensor:
        out = x @ first.weight + first.bias
        if first.design is not None:
            out = out + design @ first.design
        return model.encoder.rest(out, design, None)

    x = model.input.observed(*some).dense()
    torch.testing.assert_close(code(x), model.encode(*some).z)
    jacobian = torch.autograd.functional.jacobian(code, x)  # (cells, dim, cells, genes)
    return torch.stack([jacobian[c, :, c].square().sum() for c in range(CELLS)])


@pytest.mark.parametrize("levels", [0, 2])
@pytest.mark.parametrize("network", NETWORKS)
def test_exact_norm_is_the_dense_jacobians(network, levels):
    model, some = made(network, levels, method="exact")
    want = 0.5 * dense_norm_sq(model, some)
    torch.testing.assert_close(model.encode(*some, torch.Generator()).penalty, want)
    with torch.no_grad():
        torch.testing.assert_close(model.encode(*some, torch.Generator()).penalty, want)


@pytest.mark.parametrize("network", NETWORKS)
def test_the_probes_mean_over_all_signs_is_the_exact_norm(network):
    model, some = made(network, 2, method="probe")
    encoded = model.encoded(EncoderInput(some[0]), some[1], None)
    signs = [torch.tensor(s, dtype=torch.float64).expand(CELLS, DIM) for s in itertools.product((-1.0, 1.0), repeat=DIM)]
    probes = torch.stack([jacobian_norm_sq(encoded, s) for s in signs])
    assert probes.std(0).max() > 0
    torch.testing.assert_close(probes.mean(0), jacobian_norm_sq(encoded))
    torch.testing.assert_close(model.encode(*some).penalty, 0.5 * probes.mean(0))  # no generator: at its mean
    drawn = model.encode(*some, torch.Generator().manual_seed(0)).penalty
    assert (2 * drawn - probes).abs().min(0).values.max() < 1e-9  # each draw is one of the probes


@pytest.mark.parametrize("method", ["exact", "probe"])
def test_the_costs_gradient_is_that_of_the_dense_norm(method):
    model, some = made(MLP((5,), activation="silu"), 2, method=method)
    model.train()
    rng = torch.Generator().manual_seed(3) if method == "probe" else None
    model.encode(*some, rng).penalty.sum().backward()
    weight = model.encoder.first.weight
    got, spot = weight.grad.clone(), torch.zeros_like(weight)
    spot[2, 1] = 1e-5

    def cost() -> torch.Tensor:
        again = torch.Generator().manual_seed(3) if method == "probe" else None
        return model.encode(*some, again).penalty.sum().detach()

    with torch.no_grad():
        weight += spot
        up = cost()
        weight -= 2 * spot
        down = cost()
    torch.testing.assert_close(got[2, 1], (up - down) / 2e-5, rtol=1e-5, atol=1e-8)


def test_scoring_keeps_no_graph_and_moves_no_statistics():
    model, some = made(MLP((5,), norm="batch"), 0)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    with torch.no_grad():
        latent = model.encode(*some, torch.Generator())
    assert not latent.penalty.requires_grad
    assert not latent.z.requires_grad
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


def test_no_weight_is_the_plain_autoencoder():
    model, some = made(MLP((5,)), 0)
    bare = Contractive(dim=DIM, weight=0.0)(model.bottleneck, model.encoded(EncoderInput(some[0]), some[1], None), some[1], None)
    assert not bare.penalty.any()
