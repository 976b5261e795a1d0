"""The calibration of posterior standard deviations."""

from __future__ import annotations

import numpy as np
import pytest
from anndata import AnnData
from helpers import QUICK, counts_like
from tl.calls import embedded

import scae
from scae.bottlenecks import Deterministic
from scae.calibration import deviations
from scae.errors import ConfigError
from scae.tl._fit import fitted


@pytest.mark.parametrize("name", ["vae", "denoiser", "scvi"])
def test_calibrated_standard_deviations_are_those_of_other_halves(name):
    """The scale comes from one division into halves; on another, calibrated deviations have a standard deviation of one."""
    adata = scae.datasets.pbmc68k_reduced()
    model = scae.tl.fit(adata, name, plan=scae.TrainPlan(epochs=3, min_steps=1))
    found = deviations(model, fitted(adata, model, {})[1], seed=1)
    np.testing.assert_allclose((found / model.fitted["sd_scale"]).std(), 1.0, atol=0.05)
    assert abs(found.std() - 1) > 0.1  # and before, it was something else


def test_the_scale_multiplies_each_dimension(pbmc, tmp_path):
    model = scae.tl.fit(pbmc, plan=QUICK)
    model.save(tmp_path / "m.scae")
    z = embedded(pbmc, model, with_sd=True)
    plain = pbmc.obsm["X_scae_sd"]
    assert np.array_equal(embedded(pbmc, scae.load(tmp_path / "m.scae"), with_sd="calibrated"), z)
    np.testing.assert_allclose(pbmc.obsm["X_scae_sd"], plain * model.fitted["sd_scale"], rtol=1e-6)
    assert np.unique(model.fitted["sd_scale"]).size == 32


@pytest.mark.parametrize(
    ("spec", "x"),
    [
        (scae.ModelSpec(bottleneck=Deterministic(dim=3)), None),
        (scae.ModelSpec(likelihood=scae.parts.find("likelihood", "quasi_nb")()), 0.5),
    ],
    ids=["a point", "fractions"],
)
def test_what_has_no_calibration_is_refused(rng, spec, x):
    adata = AnnData(counts_like(rng, 60, 12) * (x or 1))
    model = scae.tl.fit(adata, spec, plan=QUICK)
    with pytest.raises(ConfigError, match="with_sd is 'calibrated', but the model has no calibration"):
        scae.tl.embed(adata, model, with_sd="calibrated")
    assert "X_scae" not in adata.obsm


@pytest.mark.parametrize("with_sd", ["yes", 1, None])
def test_other_words_are_refused(pbmc, model, with_sd):
    with pytest.raises(ConfigError, match=r"with_sd is .*; allowed: True, False, 'calibrated'\."):
        scae.tl.embed(pbmc, model, with_sd=with_sd)
