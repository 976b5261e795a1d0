"""Residual layers, embedded covariates, loadings from zero up, shared weights, terms that add."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers import batch_of, counts_like, data_of, matrix_of, small
from torch.nn.functional import relu

from scae.errors import ConfigError
from scae.model import Autoencoder, ModelSpec
from scae.networks import MLP, Additive, Conv1d, Linear, Network, Tied, design_matrix
from scae.train import TrainPlan, fit

GENES, LEVELS = 12, 3
PLAIN = MLP(hidden=(6, 6, 6), norm="none")


def coder(network: Network, n_latent: int = 4, levels: int = 0):
    return network.build(
        n_latent, n_latent, ("mean", "zero"), data_of(GENES, levels=levels), torch.Generator().manual_seed(0)
    ).double()


def batch(rng, levels: int = 0):
    b = batch_of(counts_like(rng, 7, GENES), dtype="float64", levels=levels)
    return b, design_matrix(b, data_of(GENES, levels=levels))


def linear(layer, x):
    return x @ layer.weight.T + layer.bias


def test_residual_layers_add_their_input(rng):
    made, (b, design) = coder(replace(PLAIN, residual=True)), batch(rng)
    encoded = made.encode(b, design, None)
    x = relu(encoded.first)
    for layer in list(made.down.deeper)[:2]:
        x = x + relu(linear(layer, x))
    torch.testing.assert_close(encoded.stats, linear(made.down.deeper[2], x))
    z = torch.randn(7, 4, dtype=torch.float64)
    x = relu(linear(made.up[0], z))
    for layer in list(made.up)[1:]:
        x = x + relu(linear(layer, x))
    torch.testing.assert_close(made.decode(z, design, None)["mean"].full(), linear(made.out["p_mean"], x))


def test_layers_of_unequal_width_have_no_shortcut(rng):
    b, design = batch(rng)
    plain, residual = (coder(MLP(hidden=(8, 6), residual=on)) for on in (False, True))
    assert torch.equal(plain.encode(b, design, None).stats, residual.encode(b, design, None).stats)


@pytest.mark.parametrize("network", [MLP(hidden=(8,)), Additive(hidden=(8,)), Conv1d()], ids=lambda n: n.name)
def test_an_embedding_of_all_levels_apart_is_one_hot(network, rng):
    """With the identity for its vectors, an embedding as long as there are levels changes nothing."""
    b, design = batch(rng, LEVELS)
    hot, embedded = coder(network, levels=LEVELS), coder(replace(network, covariate_embedding=LEVELS), levels=LEVELS)
    embedded.covariates.vectors[0].data.copy_(torch.eye(LEVELS))
    state = {k: torch.rand_like(v) for k, v in hot.state_dict().items()}
    for made in (hot, embedded):
        made.load_state_dict({**made.state_dict(), **state})
    z = hot.encode(b, design, None).stats
    torch.testing.assert_close(embedded.encode(b, design, None).stats, z)
    torch.testing.assert_close(*(made.decode(z, design, None)["mean"].full() for made in (embedded, hot)))


@pytest.mark.parametrize(
    "network", [MLP(hidden=(8,), encode_covariates=False), Additive(hidden=(8,)), Conv1d()], ids=lambda n: n.name
)
def test_embedded_levels_are_learned(network):
    source = matrix_of(counts_like(np.random.default_rng(0), 40, GENES), levels=LEVELS)
    rng = torch.Generator().manual_seed(0)
    spec = ModelSpec(network=replace(network, covariate_embedding=2), bottleneck=small("bottleneck", "gaussian"))
    model = Autoencoder(spec, data_of(GENES, levels=LEVELS), rng)
    (vectors,) = model.coder.covariates.vectors
    before = vectors.detach().clone()
    assert before.shape == (LEVELS, 2)
    fit(model, source, TrainPlan(epochs=1, min_steps=10, batch_size=8), rng)
    assert (vectors.detach() != before).any(1).all()


@pytest.mark.parametrize("network", [Linear(nonnegative=True), MLP(hidden=(8,), decoder_hidden=(), nonnegative=True)], ids=repr)
def test_loadings_from_zero_up_only_ever_add(network, rng):
    made, (_, design) = coder(network, levels=LEVELS), batch(rng, LEVELS)
    assert (made.out["p_mean"].weight < 0).any(), "the raw weights do go below zero"
    assert (made.loadings() >= 0).all()
    z = torch.randn(7, 4, dtype=torch.float64)
    low, high = (made.decode(v, design, None) for v in (z, z + torch.rand_like(z)))
    assert (high["mean"].full() >= low["mean"].full()).all()
    assert (high["zero"].full() < low["zero"].full()).any(), "only the mean's loadings are bound"
    torch.testing.assert_close(
        high["mean"].full() - low["mean"].full(), (high["mean"].hidden - low["mean"].hidden)[:, :4] @ made.loadings().T
    )


@pytest.mark.parametrize("tied", [1, 2, 3, None])
def test_as_many_layers_share_their_weights_as_asked(tied, rng):
    made, (_, design) = coder(Tied(hidden=(8, 6), norm="none", tied_layers=tied)), batch(rng)
    n = 3 if tied is None else tied
    weights = [made.down.first.weight, *(layer.weight.T for layer in made.down.deeper)]
    own = [layer.weight for layer in made.up if layer.weight.numel()]
    assert len(own) == 3 - n
    up = [*weights[:n], *own[::-1]]  # from the genes on
    z = torch.randn(7, 4, dtype=torch.float64)
    x = relu(relu(z @ up[2].T + made.up[0].bias) @ up[1].T + made.up[1].bias)
    torch.testing.assert_close(made.decode(z, design, None)["mean"].full(), x @ up[0].T + made.out["p_mean"].bias)


COLUMNS = [
    Linear(), Linear(nonnegative=True), MLP(hidden=(8,)), MLP(decoder_hidden=()), Tied(()), Tied((8,)), Tied((8,), tied_layers=1),
    Additive(), Additive(term_size=2), Additive(term_hidden=()), Conv1d(),
]  # fmt: skip


@pytest.mark.parametrize("network", COLUMNS, ids=repr)
def test_code_columns_carry_the_code(network, rng):
    """A dimension scaled up with its column scaled down: the same read-out."""
    made, (_, design) = coder(network), batch(rng)
    z, factor = torch.randn(7, 4, dtype=torch.float64), torch.tensor([0.5, 2.0, 3.0, 0.1], dtype=torch.float64)
    before = made.decode(z, design, None)["mean"].full()
    made.code_columns().data.mul_(factor)
    if network == Linear(nonnegative=True):
        made.out["p_mean"].weight.data.mul_(factor)
    torch.testing.assert_close(made.decode(z / factor, design, None)["mean"].full(), before)


def test_more_tied_layers_than_there_are_are_refused():
    with pytest.raises(ConfigError, match=r"tied_layers is 3.*2 layers.*1 to 2"):
        Tied(hidden=(8,), tied_layers=3)


@pytest.mark.parametrize("size", [1, 2])
def test_terms_add_up_and_do_not_interact(size, rng):
    made, (_, design) = coder(Additive(hidden=(8,), term_hidden=(5, 6), term_size=size), levels=LEVELS), batch(rng, LEVELS)
    z = torch.randn(7, 4, dtype=torch.float64)
    out = made.out["p_mean"]
    out.design.data.normal_(generator=torch.Generator().manual_seed(0))

    def read(*moved: int, by: float = 1.7):
        """The read-out with some groups of dimensions moved."""
        step = torch.zeros_like(z)
        for group in moved:
            step[:, group * size : (group + 1) * size] = by
        return made.decode(z + step, design, None)["mean"].full()

    torch.testing.assert_close(read(), made.terms(z).sum(1) + out.bias + design @ out.design.T)
    torch.testing.assert_close(read(0, 1) - read(1), read(0) - read())
    assert (read(0) + read(0, by=-1.7) - 2 * read()).abs().max() > 1e-3, "a term itself is not linear"


def test_terms_that_do_not_fill_the_latent_are_refused():
    with pytest.raises(ConfigError, match=r"term_size is 3.*4 dimensions"):
        coder(Additive(term_size=3))
