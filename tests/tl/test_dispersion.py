"""Where dispersions are written."""

from __future__ import annotations

import pytest
from helpers import QUICK

import scae
from scae.errors import ConfigError
from scae.likelihoods import Poisson


def test_dispersion_goes_where_it_belongs(pbmc, model):
    scae.tl.dispersion(pbmc, model)
    assert (pbmc.var["dispersion"] > 0).all()
    each = scae.ModelSpec(likelihood=scae.likelihoods.NB(dispersion="gene-cell"))
    scae.tl.dispersion(pbmc, scae.tl.fit(pbmc, each, plan=QUICK), key_added="theta")
    assert pbmc.obsm["theta"].shape == pbmc.shape
    with pytest.raises(ConfigError, match="no dispersion"):
        scae.tl.dispersion(pbmc, scae.tl.fit(pbmc, scae.ModelSpec(likelihood=Poisson()), plan=QUICK))
