"""Every part works with every other, with and without covariates.

The default run meets every pair of parts; the slow one goes through the whole product, with covariates.
"""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest
import torch
from helpers import counts_like, covering, data_of, matrix_of, same_bits, small

import scae
from scae import parts
from scae.fields import fields
from scae.model import Autoencoder, ModelSpec
from scae.parts import build, to_dict

KINDS = [f.kind for f in fields(ModelSpec).values()]
GRID = list(itertools.product(*(parts.names(kind) for kind in KINDS)))
PAIRWISE = covering(GRID)
CELLS, GENES, LEVELS = 24, 16, 3


def spec_of(names: tuple[str, ...]) -> ModelSpec:
    return ModelSpec(*(small(kind, name) for kind, name in zip(KINDS, names, strict=True)))


def started(spec: ModelSpec, levels: int) -> tuple[Autoencoder, list]:
    """A model at its start, and three blocks of counts and cells."""
    source = matrix_of(counts_like(np.random.default_rng(0), CELLS, GENES), levels=levels)
    model = Autoencoder(spec, data_of(GENES, levels=levels), torch.Generator().manual_seed(0))
    model.start(source.statistics(np.arange(CELLS), spec.transform))
    model.start_bottleneck(lambda n: source.take(np.arange(CELLS)[:n]), torch.Generator().manual_seed(1))
    return model, [block for _, *block in source.blocks(8)]


def check_learns(model: Autoencoder, blocks: list) -> None:
    """Finite losses; no weight that never gets a gradient."""
    model.train()
    rng = torch.Generator().manual_seed(1)
    alive = {name: False for name, p in model.named_parameters() if p.numel()}
    for counts, cells in blocks:
        model.zero_grad()
        loss = model(counts, cells, rng, corrupt=True)
        assert all(part.shape == (len(cells),) and bool(part.isfinite().all()) for part in loss.parts().values())
        loss.total.mean().backward()
        for name, p in model.named_parameters():
            if p.numel():
                assert p.grad is not None, f"{name} is not used"
                assert p.grad.isfinite().all(), name
                alive[name] |= bool(p.grad.any())
    assert all(alive.values()), f"dead: {[name for name, lives in alive.items() if not lives]}"


def check_kept(model: Autoencoder, block: list, path: object) -> None:
    """The same value through JSON, the same bits through a file."""
    plain = json.loads(json.dumps(to_dict(model.spec)))
    assert build(ModelSpec, plain) == model.spec
    assert hash(build(ModelSpec, plain)) == hash(model.spec)
    model.eval().save(path)
    back = scae.load(path)
    assert back.spec == model.spec
    assert back.data == model.data
    with torch.no_grad():
        one, two = model.encode(*block), back.encode(*block)
        assert same_bits(one.point, two.point)
        means = []
        for m, code in ((model, one), (back, two)):
            means.append(m.counts(m.spec.likelihood.mean(m.decode(code.z, *block)), block[1]))
    assert same_bits(*means)
    assert means[0].isfinite().all()


def check_combination(names: tuple[str, ...], path: object, levels_of: tuple[int, ...] = (0, LEVELS)) -> None:
    for levels in levels_of:
        model, blocks = started(spec_of(names), levels)
        check_learns(model, blocks)
        check_kept(model, blocks[0], path)


@pytest.mark.parametrize("names", PAIRWISE, ids="-".join)
def test_every_pair_of_parts(names, tmp_path):
    check_combination(names, tmp_path / "model.scae")


@pytest.mark.slow
@pytest.mark.parametrize("network", parts.names("network"))
def test_every_combination(network, tmp_path):
    for names in GRID:
        if network in names:
            check_combination(names, tmp_path / "model.scae", (LEVELS,))


@pytest.mark.parametrize("names", PAIRWISE, ids="-".join)
def test_every_device_agrees_with_the_cpu(names, device):
    """One forward and backward without corruption and draws."""
    if device.type == "cpu":
        pytest.skip("the CPU is what the others are compared with")
    results = []
    for where in (torch.device("cpu"), device):
        model, blocks = started(spec_of(names), LEVELS)
        model.to(where).eval()
        counts, cells = (record.to(where) for record in blocks[0])
        p = model.decode(model.encode(counts, cells).z, counts, cells)
        nll = model.spec.likelihood.nll(p, model.target(counts, cells))
        nll.sum().backward()
        results.append([nll.detach().cpu(), *(q.grad.cpu() for q in model.parameters() if q.grad is not None and q.numel())])
    for here, there in zip(*results, strict=True):
        torch.testing.assert_close(there, here, rtol=1e-4, atol=1e-4 * float(here.abs().max()))
