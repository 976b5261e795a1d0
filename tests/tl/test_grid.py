"""Variants of a preset."""

from __future__ import annotations

import pytest

import scae
from scae import config
from scae.errors import ConfigError, MissingKeyError


def test_a_grid_is_a_product():
    made = scae.tl.grid("denoiser", bottleneck_dim=[8, 32], likelihood=["nb", "poisson"], network_hidden=[[64, 32]])
    assert list(made)[1] == "denoiser bottleneck_dim=8 likelihood=poisson"
    assert len(made) == 4
    spec = made["denoiser bottleneck_dim=32 likelihood=poisson"].spec
    assert (spec.bottleneck.dim, spec.likelihood.name, spec.network.hidden) == (32, "poisson", (64, 32))
    assert spec.corruption == scae.presets.find("denoiser").spec.corruption
    assert scae.tl.grid(spec, epochs=[2])["model"].plan.epochs == 2


def test_options_of_a_preset_by_name():
    base = scae.presets.find("denoiser")
    assert config.with_options(base, {}) == base
    with pytest.raises(MissingKeyError, match="did you mean 'bottleneck_dim'"):
        config.with_options(base, {"botleneck_dim": 3})
    with pytest.raises(MissingKeyError, match="beta"):
        scae.tl.grid("dca", bottleneck_beta=[1.0])
    with pytest.raises(ConfigError, match=r"no model was chosen\. Noise"):
        config.read_config({"name": None, "reason": "Noise."})
    deeper = config.with_options(base, {"prior_n_components": 4, "bottleneck_prior": "mixture"})
    assert deeper.spec.bottleneck.prior.n_components == 4
