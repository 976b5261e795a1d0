"""A new part is one file outside the package: it trains, is saved and loaded, and is an option of the command line.

Each file here is written as a user would write it, imported, and used with no edit anywhere else.
"""

from __future__ import annotations

import importlib.util

import pytest
import torch
from helpers import QUICK, real_counts, same_weights

import scae
from scae import parts
from scae.cli import main
from scae.parts import build, to_dict

FILES = {
    "likelihood": '''
"""Failures before the first success, with a read-out whose name torch's own containers refuse."""

import torch
from torch.distributions import Geometric, Independent

from scae.likelihoods import Likelihood
from scae.parts import option, part


@part("likelihood", "new")
class GeometricLikelihood(Likelihood):
    """Geometric counts (Feller 1968), with one cap per cell from an encoder of its own."""

    floor: float = option("least logit", default=-9.0)

    def parameters(self):
        return {"type": "cell×gene", "cap": "cell"}

    def start(self, stats):
        return {"type": -stats.mean.log()}

    def logit(self, p):
        return p["type"].clamp_min(self.floor) + 0.1 * p["cap"].tanh()

    def dist(self, p):
        return Independent(Geometric(logits=self.logit(p), validate_args=False), 1)

    def sample(self, p, rng):
        share = torch.sigmoid(self.logit(p))
        return (torch.rand(share.shape, generator=rng).log() / torch.log1p(-share)).floor()
''',
    "bottleneck": '''
"""A point pulled towards the running mean of all points: state that a step of training changes."""

import torch
from torch import nn

from scae.bottlenecks import Bottleneck
from scae.bottlenecks.base import point
from scae.parts import option, part


class Centre(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.register_buffer("mean", torch.zeros(dim))


@part("bottleneck", "new")
class Centred(Bottleneck):
    """A point near the running mean of points (after no paper, 2026)."""

    dim: int = option("size of the latent", default=4, low=1)
    pull: float = option("weight of the squared distance to the mean", default=0.1, low=0.0)

    @property
    def n_stats(self):
        return self.dim

    def build(self, data, rng):
        return Centre(self.dim)

    def start(self, weights, sample, rng):
        weights.mean.copy_(sample(50)[0].stats.mean(0))

    def __call__(self, weights, encoded, cells, rng):
        z = encoded.stats
        distance = (z - weights.mean).square().sum(1)
        return point(z)._replace(
            penalty=self.pull * distance, history={"distance": distance.detach().mean()}, state=z.detach().mean(0)
        )

    def to_decoder(self, z, decoder):
        return z / decoder.latent_weights().norm()

    def after_step(self, weights, latent, rng):
        weights.mean.lerp_(latent.state, 0.1)
''',
    "corruption": '''
"""Rare genes hidden, of which the encoder is told."""

import torch

from scae.corruptions import Corruption
from scae.parts import option, part
from scae.records import EncoderInput


@part("corruption", "new")
class HideRare(Corruption):
    """Genes with few counts in the minibatch hidden at random (after no paper, 2026)."""

    hides = True
    share: float = option("share of the rare genes hidden", default=0.5, low=0.0, high=1.0)

    def __call__(self, counts, rng):
        total = torch.bincount(counts.gene, minlength=counts.n_genes)
        rare = total <= total.double().median()
        return EncoderInput(counts, hidden=rare & (torch.rand(counts.n_genes, generator=rng) < self.share))
''',
    "network": '''
"""An encoder and a decoder of one bilinear step each."""

from torch import nn

from scae.layers import Dense, FirstLayer
from scae.networks import Decoder, Encoder, Network
from scae.parts import option, part


class Gate(Encoder):
    def __init__(self, ends, width):
        super().__init__()
        self.first = FirstLayer(ends.data.n_genes, width, ends.n_design, ends.rng)
        self.gate, self.out = (Dense(width, n, 0, ends.rng) for n in (width, ends.n_stats))

    def rest(self, first, design, rng):
        return self.out(first * self.gate(first).sigmoid())


class Straight(Decoder):
    def __init__(self, ends):
        super().__init__({name: Dense(ends.n_latent, ends.data.n_genes, ends.n_design, ends.rng) for name in ends.readouts})

    def latent_weights(self):
        return next(iter(self.readouts.items()))[1].weight

    def forward(self, z, design, rng):
        return {name: layer(z, design) for name, layer in self.readouts.items()}


@part("network", "new")
class Gated(Network):
    """A gated encoder and a linear decoder (after no paper, 2026)."""

    width: int = option("width of the gate", default=8, low=1)

    def encoder(self, ends):
        return Gate(ends, self.width)

    def decoder(self, ends, encoder):
        return Straight(ends)
''',
}
OPTIONS = {"likelihood": "floor=-5.0", "bottleneck": "dim=6", "corruption": "share=0.25", "network": "width=5"}


@pytest.fixture
def outside(request, tmp_path, monkeypatch):
    """The class of a part defined in a file of the user's; it leaves the catalogue when the test ends."""
    kind = request.param
    for known in parts.kinds():
        monkeypatch.setitem(parts._catalogue, known, dict(parts._catalogue[known]))
    file = tmp_path / f"my_{kind}.py"
    file.write_text(FILES[kind])
    spec = importlib.util.spec_from_file_location(file.stem, file)
    spec.loader.exec_module(importlib.util.module_from_spec(spec))
    return kind, parts.find(kind, "new")


@pytest.mark.parametrize("outside", FILES, indirect=True)
def test_a_new_part_is_one_file(outside, tmp_path):
    kind, cls = outside
    assert "new" in parts.names(kind)
    assert build(kind, "new") == cls()
    name, value = OPTIONS[kind].split("=")
    changed = build(kind, {"name": "new", name: float(value)})
    assert build(kind, to_dict(changed)) == changed != cls()

    adata = real_counts()
    keys = {"batch_key": "batch", "continuous_covariates": "age"}
    model = scae.tl.fit(adata, scae.ModelSpec(**{kind: changed}), plan=QUICK, device="cpu", **keys)
    scae.tl.embed(adata, model)
    scae.tl.denoise(adata, model, at_batch="east")
    scae.tl.denoise(adata, model, kind="sample", key_added="drawn")
    assert scae.tl.score(adata, model).shape == (adata.n_obs,)
    assert torch.isfinite(torch.from_numpy(adata.layers["denoised"])).all()

    model.save(tmp_path / "model.scae")
    back = scae.load(tmp_path / "model.scae")
    assert same_weights(back, model)
    assert back.spec == model.spec
    before = adata.obsm["X_scae"].tobytes()
    scae.tl.embed(adata, back)
    assert adata.obsm["X_scae"].tobytes() == before


@pytest.mark.parametrize("outside", FILES, indirect=True)
def test_a_new_part_is_an_option_of_the_command_line(outside, tmp_path, capsys):
    kind, _ = outside
    real_counts().write_h5ad(tmp_path / "counts.h5ad")
    name, value = OPTIONS[kind].split("=")
    words = ["fit", str(tmp_path / "counts.h5ad"), str(tmp_path / "model.scae"), f"--{kind}", "new", f"--{kind}-{name}={value}"]
    assert main([*words, "--max-steps", "3", "--device", "cpu"]) == 0
    assert getattr(getattr(scae.load(tmp_path / "model.scae").spec, kind), name) == float(value)
    assert main(["parts", kind]) == 0
    assert f"{name} = " in capsys.readouterr().out


def test_a_corruption_that_hides_lets_queries_lack_genes(monkeypatch):
    for known in parts.kinds():
        monkeypatch.setitem(parts._catalogue, known, dict(parts._catalogue[known]))
    space: dict = {}
    exec(compile(FILES["corruption"], "mine", "exec"), space)
    adata = real_counts()
    model = scae.tl.fit(adata, scae.ModelSpec(corruption=space["HideRare"]()), plan=QUICK, device="cpu")
    with pytest.warns(UserWarning, match="hidden from the encoder"):
        scae.tl.embed(adata[:, 10:].copy(), model)
