"""Residual layers, embedded covariates, loadings from zero up, shared weights, terms that add."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from halves import built
from helpers import cells_of, counts_like, data_of, matrix_of, small
from torch.nn.functional import relu

from scae.errors import ConfigError
from scae.model import Autoencoder, ModelSpec
from scae.networks import MLP, Additive, Conv1d, Linear, Network, Tied
from scae.records import Cells, EncoderInput
from scae.train import TrainPlan, fit

GENES, LEVELS = 12, 3
PLAIN = MLP(hidden=(6, 6, 6), norm="none")


def halves(network: Network, levels: int = 0):
    """Encoder, decoder and covariates."""
    return built(network, data_of(GENES, levels=levels), ("mean", "zero"))


def some_cells(rng, levels: int = 0) -> tuple[EncoderInput, Cells]:
    """An encoder's input, and what else is known of the cells."""
    counts, cells = cells_of(counts_like(rng, 7, GENES), dtype="float64", levels=levels)
    return EncoderInput(counts), cells


def linear(layer, x):
    return x @ layer.weight.T + layer.bias


def test_residual_layers_add_their_input(rng):
    (encoder, decoder, _), (seen, _) = halves(replace(PLAIN, residual=True)), some_cells(rng)
    encoded = encoder(seen, None, None)
    x = relu(encoded.first)
    for layer in list(encoder.deeper)[:2]:
        x = x + relu(linear(layer, x))
    torch.testing.assert_close(encoded.stats, linear(encoder.deeper[2], x))
    z = torch.randn(7, 4, dtype=torch.float64)
    x = relu(linear(decoder.up[0], z))
    for layer in list(decoder.up)[1:]:
        x = x + relu(linear(layer, x))
    torch.testing.assert_close(decoder(z, None, None)["mean"], linear(decoder.readouts["mean"], x))


def test_layers_of_unequal_width_have_no_shortcut(rng):
    seen, _ = some_cells(rng)
    plain, residual = (halves(MLP(hidden=(8, 6), residual=on))[0] for on in (False, True))
    assert torch.equal(plain(seen, None, None).stats, residual(seen, None, None).stats)


@pytest.mark.parametrize("network", [MLP(hidden=(8,)), Additive(hidden=(8,)), Conv1d()], ids=lambda n: n.name)
def test_an_embedding_of_all_levels_apart_is_one_hot(network, rng):
    """With the identity for its vectors, an embedding as long as there are levels changes nothing."""
    seen, cells = some_cells(rng, LEVELS)
    hot, embedded = halves(network, levels=LEVELS), halves(replace(network, covariate_embedding=LEVELS), levels=LEVELS)
    embedded[2].vectors[0].data.copy_(torch.eye(LEVELS))
    state = {k: torch.rand_like(v) for k, v in hot.state_dict().items()}
    for parts in (hot, embedded):
        parts.load_state_dict({**parts.state_dict(), **state})
    z, other = (encoder(seen, covariates(cells), None).stats for encoder, _, covariates in (hot, embedded))
    torch.testing.assert_close(other, z)
    torch.testing.assert_close(*(decoder(z, covariates(cells), None)["mean"] for _, decoder, covariates in (embedded, hot)))


@pytest.mark.parametrize(
    "network", [MLP(hidden=(8,), encode_covariates=False), Additive(hidden=(8,)), Conv1d()], ids=lambda n: n.name
)
def test_embedded_levels_are_learned(network):
    source = matrix_of(counts_like(np.random.default_rng(0), 40, GENES), levels=LEVELS)
    rng = torch.Generator().manual_seed(0)
    spec = ModelSpec(network=replace(network, covariate_embedding=2), bottleneck=small("bottleneck", "gaussian"))
    model = Autoencoder(spec, data_of(GENES, levels=LEVELS), rng)
    (vectors,) = model.covariates.vectors
    before = vectors.detach().clone()
    assert before.shape == (LEVELS, 2)
    fit(model, source, TrainPlan(epochs=1, min_steps=10, batch_size=8), rng)
    assert (vectors.detach() != before).any(1).all()


@pytest.mark.parametrize("network", [Linear(nonnegative=True), MLP(hidden=(8,), decoder_hidden=(), nonnegative=True)], ids=repr)
def test_loadings_from_zero_up_only_ever_add(network, rng):
    (_, decoder, covariates), (_, cells) = halves(network, levels=LEVELS), some_cells(rng, LEVELS)
    assert (decoder.readouts["mean"].weight < 0).any(), "the raw weights do go below zero"
    assert (decoder.loadings() >= 0).all()
    z, more = torch.randn(7, 4, dtype=torch.float64), torch.rand(7, 4, dtype=torch.float64)
    low, high = (decoder(v, covariates(cells), None) for v in (z, z + more))
    assert (high["mean"] >= low["mean"]).all()
    assert (high["zero"] < low["zero"]).any(), "only the mean's loadings are bound"
    torch.testing.assert_close(high["mean"] - low["mean"], more @ decoder.loadings().T)


@pytest.mark.parametrize("tied", [1, 2, 3, None])
def test_as_many_layers_share_their_weights_as_asked(tied):
    encoder, decoder, _ = halves(Tied(hidden=(8, 6), norm="none", tied_layers=tied))
    n = 3 if tied is None else tied
    weights = [encoder.first.weight, *(layer.weight.T for layer in encoder.deeper)]
    own = [layer.weight for layer in decoder.up if layer.weight.numel()]
    assert len(own) == 3 - n
    up = [*weights[:n], *own[::-1]]  # from the genes on
    z = torch.randn(7, 4, dtype=torch.float64)
    x = relu(relu(z @ up[2].T + decoder.up[0].bias) @ up[1].T + decoder.up[1].bias)
    torch.testing.assert_close(decoder(z, None, None)["mean"], x @ up[0].T + decoder.readouts["mean"].bias)


COLUMNS = [
    Linear(), Linear(nonnegative=True), MLP(hidden=(8,)), MLP(decoder_hidden=()), Tied(()), Tied((8,)), Tied((8,), tied_layers=1),
    Additive(), Additive(term_size=2), Additive(term_hidden=()), Conv1d(),
]  # fmt: skip


@pytest.mark.parametrize("network", COLUMNS, ids=repr)
def test_columns_of_the_latent_weights_carry_the_latent(network):
    """A dimension scaled up with its column scaled down: the same read-out."""
    _, decoder, _ = halves(network)
    z, factor = torch.randn(7, 4, dtype=torch.float64), torch.tensor([0.5, 2.0, 3.0, 0.1], dtype=torch.float64)
    before = decoder(z, None, None)["mean"]
    decoder.latent_weights().data.mul_(factor)
    if network == Linear(nonnegative=True):
        decoder.readouts["mean"].weight.data.mul_(factor)
    torch.testing.assert_close(decoder(z / factor, None, None)["mean"], before)


def test_more_tied_layers_than_there_are_are_refused():
    with pytest.raises(ConfigError, match=r"tied_layers is 3.*2 layers.*1 to 2"):
        Tied(hidden=(8,), tied_layers=3)


@pytest.mark.parametrize("size", [1, 2])
def test_terms_add_up_and_do_not_interact(size, rng):
    _, decoder, covariates = halves(Additive(hidden=(8,), term_hidden=(5, 6), term_size=size), levels=LEVELS)
    z, design = torch.randn(7, 4, dtype=torch.float64), covariates(some_cells(rng, LEVELS)[1])
    out = decoder.readouts["mean"]
    out.design.data.normal_(generator=torch.Generator().manual_seed(0))

    def read(*moved: int, by: float = 1.7):
        """The read-out with some groups of dimensions moved."""
        step = torch.zeros_like(z)
        for group in moved:
            step[:, group * size : (group + 1) * size] = by
        return decoder(z + step, design, None)["mean"]

    torch.testing.assert_close(read(), decoder.terms(z).sum(1) + out.bias + design @ out.design.T)
    torch.testing.assert_close(read(0, 1) - read(1), read(0) - read())
    assert (read(0) + read(0, by=-1.7) - 2 * read()).abs().max() > 1e-3, "a term itself is not linear"


def test_terms_that_do_not_fill_the_latent_are_refused():
    with pytest.raises(ConfigError, match=r"term_size is 3.*4 dimensions"):
        halves(Additive(term_size=3))
