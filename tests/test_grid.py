"""Every part works with every other, with and without covariates.

The default run meets every pair of parts; the slow one goes through the whole product, with covariates.
"""

from __future__ import annotations

import itertools
import json
from dataclasses import fields

import numpy as np
import pytest
import torch
from helpers import counts_like, covering, data_of, matrix_of, same_bits, small
from torch.distributions import Geometric, Independent

import scae
from scae import parts
from scae.likelihoods import Likelihood
from scae.model import Autoencoder, ModelSpec
from scae.parts import from_dict, option, part, to_dict

KINDS = [f.metadata["kind"] for f in fields(ModelSpec)]
GRID = list(itertools.product(*(parts.names(kind) for kind in KINDS)))
PAIRWISE = covering(GRID)
CELLS, GENES, LEVELS = 24, 16, 3


def spec_of(names: tuple[str, ...]) -> ModelSpec:
    return ModelSpec(*(small(kind, name) for kind, name in zip(KINDS, names, strict=True)))


def started(spec: ModelSpec, levels: int) -> tuple[Autoencoder, list]:
    """A model at its start, and three batches."""
    source = matrix_of(counts_like(np.random.default_rng(0), CELLS, GENES), levels=levels)
    model = Autoencoder(spec, data_of(GENES, levels=levels), torch.Generator().manual_seed(0))
    model.start(source.statistics(np.arange(CELLS), spec.transform))
    model.start_code(source.take(np.arange(CELLS)), torch.Generator().manual_seed(1))
    return model, [batch for _, batch in source.blocks(8)]


def check_learns(model: Autoencoder, batches: list) -> None:
    """Finite losses; no weight that never gets a gradient."""
    model.train()
    rng = torch.Generator().manual_seed(1)
    alive = {name: False for name, p in model.named_parameters() if p.numel()}
    for batch in batches:
        model.zero_grad()
        loss = model(batch, rng, corrupt=True)
        assert all(part.shape == (len(batch),) and bool(part.isfinite().all()) for part in loss.parts().values())
        loss.total.mean().backward()
        for name, p in model.named_parameters():
            if p.numel():
                assert p.grad is not None, f"{name} is not used"
                assert p.grad.isfinite().all(), name
                alive[name] |= bool(p.grad.any())
    assert all(alive.values()), f"dead: {[name for name, lives in alive.items() if not lives]}"


def check_kept(model: Autoencoder, batch: object, path: object) -> None:
    """The same value through JSON, the same bits through a file."""
    plain = json.loads(json.dumps(to_dict(model.spec)))
    assert from_dict(ModelSpec, plain) == model.spec
    assert hash(from_dict(ModelSpec, plain)) == hash(model.spec)
    model.eval().save(path)
    back = scae.load(path)
    assert back.spec == model.spec
    assert back.data == model.data
    with torch.no_grad():
        one, two = model.encode(batch), back.encode(batch)
        assert same_bits(one.point, two.point)
        means = []
        for m, code in ((model, one), (back, two)):
            means.append(m.counts(m.spec.likelihood.mean(m.decode(code.z, batch)), batch))
    assert same_bits(*means)
    assert means[0].isfinite().all()


def check_combination(names: tuple[str, ...], path: object, levels_of: tuple[int, ...] = (0, LEVELS)) -> None:
    for levels in levels_of:
        model, batches = started(spec_of(names), levels)
        check_learns(model, batches)
        check_kept(model, batches[0], path)


@pytest.mark.parametrize("names", PAIRWISE, ids="-".join)
def test_every_pair_of_parts(names, tmp_path):
    check_combination(names, tmp_path / "model.scae")


@pytest.mark.slow
@pytest.mark.parametrize("network", parts.names("network"))
def test_every_combination(network, tmp_path):
    for names in GRID:
        if network in names:
            check_combination(names, tmp_path / "model.scae", (LEVELS,))


@pytest.fixture
def geometric(monkeypatch):
    """A likelihood from outside the package; it leaves the catalogue when the test ends."""
    monkeypatch.setitem(parts._catalogue, "likelihood", dict(parts._catalogue["likelihood"]))

    @part("likelihood", "geometric")
    class GeometricLikelihood(Likelihood):
        """Failures before the first success."""

        floor: float = option("least logit", default=-9.0)

        def parameters(self):
            return {"type": "cell×gene"}  # a name that modules have themselves

        def start(self, stats):
            return {"type": -stats.mean.log()}

        def dist(self, p):
            return Independent(Geometric(logits=p["type"].clamp_min(self.floor), validate_args=False), 1)

        def sample(self, p, rng):
            share = torch.sigmoid(p["type"].clamp_min(self.floor))
            return (torch.rand(share.shape, generator=rng).log() / torch.log1p(-share)).floor()

    return GeometricLikelihood


@pytest.mark.parametrize("network", parts.names("network"))
def test_a_part_from_outside_the_package_is_a_part(geometric, network, tmp_path):
    assert "geometric" in parts.names("likelihood")
    assert from_dict("likelihood", "geometric") == geometric()
    spec = ModelSpec(
        network=small("network", network), bottleneck=small("bottleneck", "gaussian"), likelihood=geometric(floor=-5.0)
    )
    model, batches = started(spec, LEVELS)
    check_learns(model, batches)
    check_kept(model, batches[0], tmp_path / "model.scae")


@pytest.mark.parametrize("names", PAIRWISE, ids="-".join)
def test_every_device_agrees_with_the_cpu(names, device):
    """One forward and backward without corruption and draws."""
    if device.type == "cpu":
        pytest.skip("the CPU is what the others are compared with")
    results = []
    for where in (torch.device("cpu"), device):
        model, batches = started(spec_of(names), LEVELS)
        model.to(where).eval()
        batch = batches[0].to(where)
        p = model.decode(model.encode(batch).z, batch)
        nll = model.spec.likelihood.nll(p, model.seen(batch) if model.spec.likelihood.on_input else batch)
        nll.sum().backward()
        results.append([nll.detach().cpu(), *(q.grad.cpu() for q in model.parameters() if q.grad is not None and q.numel())])
    for here, there in zip(*results, strict=True):
        torch.testing.assert_close(there, here, rtol=1e-4, atol=1e-4 * float(here.abs().max()))
