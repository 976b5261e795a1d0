"""From a latent to the likelihood's parameters: names, starting values, free parameters by batch, weights that are tied."""

from __future__ import annotations

from copy import deepcopy

import numpy as np
import pytest
import torch
from helpers import cells_of, counts_like, data_of
from torch.distributions import Distribution

import scae
from scae.heads import Heads
from scae.likelihoods import NB, Bernoulli, Likelihood, Parameters
from scae.likelihoods.base import CELL, CELL_GENE, GENE, GENE_BATCH, SHARED
from scae.model import Autoencoder, ModelSpec
from scae.networks import MLP, Ends, Tied
from scae.records import EncoderInput


class OddNames(Likelihood):
    """A likelihood whose parameters have the names of torch's own attributes."""

    def parameters(self) -> dict[str, str]:
        return {"to": CELL_GENE, "type": CELL_GENE, "forward": GENE, "weight": SHARED, "train": GENE_BATCH, "eval": CELL}

    def start(self, stats) -> dict[str, torch.Tensor]:
        raise NotImplementedError

    def dist(self, p) -> Distribution:
        raise NotImplementedError

    def sample(self, p, rng) -> torch.Tensor:
        raise NotImplementedError


def heads_of(likelihood: Likelihood, network=MLP(hidden=(8,)), *, genes: int = 6, levels: int = 2) -> Heads:  # noqa: B008
    n_design = levels + 1 if levels else 0
    ends = Ends(3, 3, likelihood.named(CELL_GENE), data_of(genes, levels=levels), n_design, torch.Generator().manual_seed(0))
    return Heads(network, likelihood, ends, network.encoder(ends))


def test_any_name_is_a_parameters_name(rng):
    heads, (counts, cells) = heads_of(OddNames()), cells_of(counts_like(rng, 5, 6), levels=2)
    raw = Parameters(heads(torch.randn(5, 3), None, EncoderInput(counts), cells, None, 0), cells.library, 20.0)
    shapes = {"to": (5, 6), "type": (5, 6), "forward": (6,), "weight": (1,), "train": (5, 6), "eval": (5, 1)}
    assert {name: tuple(raw[name].shape) for name in raw.raw} == shapes
    start = {name: torch.full((6,), float(i)) for i, name in enumerate(("to", "type", "forward", "train"))}
    heads.start(start)
    assert torch.equal(heads.decoders[0].readouts["type"].bias, start["type"])
    assert torch.equal(heads.free["forward"], start["forward"])
    assert torch.equal(heads.free["train"], start["train"].expand(2, -1))
    again = heads_of(OddNames())
    again.load_state_dict(heads.state_dict())
    assert torch.equal(again.free["forward"], start["forward"])


def test_a_free_parameter_per_batch_is_each_cells_row(rng):
    heads, (_, cells) = heads_of(NB(dispersion="gene-batch")), cells_of(counts_like(rng, 5, 6), levels=2)
    heads.free["dispersion"].data.copy_(torch.arange(12.0).view(2, 6))
    assert torch.equal(heads.free_values()["dispersion"], torch.arange(12.0).view(2, 6))
    assert torch.equal(heads.free_values(cells)["dispersion"], torch.arange(12.0).view(2, 6)[cells.batch])
    lone, (_, cells) = heads_of(NB(dispersion="gene-batch"), levels=0), cells_of(counts_like(rng, 5, 6))
    assert lone.free_values(cells)["dispersion"].shape == (6,)


def test_a_parameter_per_cell_is_of_the_cell_as_observed_not_of_the_latent(rng):
    heads, (counts, cells) = heads_of(Bernoulli(depth="learned")), cells_of(counts_like(rng, 5, 6), levels=2)
    seen = EncoderInput(counts)
    made = (heads(z, None, seen, cells, None, 0) for z in torch.randn(2, 5, 3))
    one, two = (Parameters(raw, cells.library, 20.0) for raw in made)
    assert torch.equal(one["depth"], two["depth"])
    assert not torch.equal(one["mean"], two["mean"])
    other = heads(torch.zeros(5, 3), None, EncoderInput(counts.with_value(counts.value + 1)), cells, None, 0)
    assert not torch.equal(other["depth"], one["depth"])


@pytest.mark.parametrize("tied_layers", [1, None])
def test_a_copy_of_a_tied_model_is_tied_to_itself(tied_layers, rng):
    """Its decoder follows the copy's encoder; the original is left alone."""
    spec = ModelSpec(network=Tied(hidden=(8,), tied_layers=tied_layers))
    model = Autoencoder(spec, data_of(6), torch.Generator().manual_seed(0)).eval()
    copy = deepcopy(model)
    counts, cells = cells_of(counts_like(rng, 5, 6))
    z = torch.randn(5, spec.bottleneck.dim)
    before = model.decode(z, counts, cells)["mean"]
    assert torch.equal(copy.decode(z, counts, cells)["mean"], before)
    copy.encoder.first.weight.data.zero_()
    assert torch.equal(model.decode(z, counts, cells)["mean"], before)
    assert not copy.decode(z, counts, cells)["mean"].any(), "no weights, no biases: nothing"
    copy.decode(z, counts, cells)["mean"].sum().backward()
    assert copy.encoder.first.weight.grad is not None
    assert model.encoder.first.weight.grad is None


def test_tied_weights_are_saved_once_and_come_back_tied(tmp_path, rng):
    model = Autoencoder(ModelSpec(network=Tied(hidden=(8,))), data_of(6), torch.Generator().manual_seed(0)).eval()
    model.save(tmp_path / "m.scae")
    back = scae.load(tmp_path / "m.scae")
    genes = [k for k, v in back.state_dict().items() if v.shape == (6, 8)]
    assert genes == ["encoder.first.weight"]
    counts, cells = cells_of(counts_like(rng, 5, 6))
    z = torch.from_numpy(rng.normal(size=(5, 32)).astype(np.float32))
    back.encoder.first.weight.data.mul_(2)
    twice, once = back.decode(z, counts, cells)["mean"], model.decode(z, counts, cells)["mean"]
    torch.testing.assert_close(twice, 2 * once)
