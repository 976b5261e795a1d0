"""Loadings of a linear decoder."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers import QUICK

import scae
from scae.bottlenecks import Deterministic
from scae.errors import ConfigError
from scae.likelihoods import Poisson
from scae.model import ModelSpec
from scae.networks import Linear
from scae.tl._inputs import query


def test_loadings_are_the_change_of_the_log_mean_along_a_latent(pbmc):
    """Of a model with the exp link: raising a dimension by one multiplies every gene by exp of its loading."""
    spec = ModelSpec(network=Linear(), bottleneck=Deterministic(dim=4), likelihood=Poisson(link="exp"))
    model = scae.tl.fit(pbmc, spec, plan=QUICK, mask_var=np.arange(pbmc.n_vars) < 50)
    scae.tl.loadings(pbmc, model)
    found = pbmc.varm["scae_loadings"]
    assert np.isnan(found[50:]).all()
    counts, cells = query(pbmc, pbmc.X, model.data).take(np.arange(3))
    with torch.no_grad():
        z = model.encode(counts, cells).z
        low, high = (spec.likelihood.mean(model.decode(at, counts, cells)).log() for at in (z, z + torch.eye(4)[2]))
    np.testing.assert_allclose((high - low).numpy(), np.tile(found[:50, 2], (3, 1)), atol=1e-4)


def test_no_loadings_where_the_decoder_has_hidden_layers(pbmc):
    model = scae.tl.fit(pbmc, "denoiser", plan=QUICK)
    with pytest.raises(ConfigError, match="decoder_hidden"):
        scae.tl.loadings(pbmc, model)
