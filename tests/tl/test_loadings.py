"""Loadings of a linear decoder."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers import QUICK, small

import scae
from scae import parts
from scae.bottlenecks import Deterministic
from scae.errors import ConfigError
from scae.keys import DataSpec
from scae.likelihoods import Poisson
from scae.model import Autoencoder, ModelSpec
from scae.networks import MLP, Additive, Linear, Tied
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


@pytest.mark.parametrize(
    "network", [Linear(), Linear(nonnegative=True), MLP(decoder_hidden=()), Tied(()), Additive(term_hidden=())]
)
@pytest.mark.parametrize("bottleneck", parts.names("bottleneck"))
def test_loadings_are_the_derivative_of_the_mean(bottleneck, network, pbmc):
    spec = ModelSpec(network=network, bottleneck=small("bottleneck", bottleneck))
    model = Autoencoder(spec, DataSpec(tuple(pbmc.var_names[:50])), torch.Generator().manual_seed(0))
    scae.tl.loadings(pbmc, model)
    counts, cells = query(pbmc, pbmc.X, model.data).take(np.arange(2))
    z = model.encode(counts, cells).z.detach()
    slopes = torch.autograd.functional.jacobian(lambda z: model.decode(z, counts, cells)["mean"].sum(0), z)  # (genes, cells, dim)
    for slope in slopes.unbind(1):
        np.testing.assert_allclose(pbmc.varm["scae_loadings"][:50], slope.numpy(), rtol=1e-5, atol=1e-7)


def test_a_hidden_layer_as_wide_as_the_genes_is_no_loading(pbmc):
    model = Autoencoder(
        ModelSpec(network=MLP(decoder_hidden=(50,))), DataSpec(tuple(pbmc.var_names[:50])), torch.Generator().manual_seed(0)
    )
    with pytest.raises(ConfigError, match="not linear"):
        scae.tl.loadings(pbmc, model)


def test_no_loadings_where_the_decoder_has_hidden_layers(pbmc):
    model = scae.tl.fit(pbmc, "denoiser", plan=QUICK)
    with pytest.raises(ConfigError, match="decoder_hidden"):
        scae.tl.loadings(pbmc, model)
