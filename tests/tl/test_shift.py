"""Latent arithmetic: exact where the truth is linear, refused where no cells are."""

from __future__ import annotations

import anndata
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

import scae
from scae.bottlenecks import Deterministic
from scae.errors import ConfigError, MissingKeyError, SupportError
from scae.likelihoods import GaussianLikelihood
from scae.model import ModelSpec
from scae.networks import Linear
from scae.presets import Preset
from scae.transforms import Normalized

from .calls import embedded

LINEAR = Preset(
    ModelSpec(
        transform=Normalized(target_sum=None, log=False),
        network=Linear(start="pca"),
        bottleneck=Deterministic(dim=4),
        likelihood=GaussianLikelihood(),
    ),
    scae.TrainPlan(epochs=0, held_out=0.0),
)


def toy(seed: int = 0) -> tuple[AnnData, np.ndarray]:
    """Three types × two conditions; whatever the type, the treatment adds the same to the counts. Returns what it adds."""
    rng = np.random.default_rng(seed)
    level, effect = rng.uniform(80, 200, (3, 20)), np.zeros(20)
    effect[:6], effect[6:12] = 40.0, -40.0  # totals stay the same
    kind, treated = np.repeat([0, 1, 2], 60), np.tile([False, True], 90)
    program = rng.normal(0, 4, 20)
    program -= program.mean()
    x = level[kind] + np.outer(treated, effect) + np.outer(rng.normal(size=180), program)
    adata = AnnData(np.round(np.maximum(x, 0)).astype(np.float32))
    adata.obs["type"] = np.array(["A", "B", "C"])[kind]
    adata.obs["condition"] = np.where(treated, "treated", "control")
    return adata, effect


def r2(predicted: np.ndarray, real: np.ndarray) -> float:
    return 1 - ((predicted - real) ** 2).sum() / ((real - real.mean()) ** 2).sum()


@pytest.fixture(scope="module")
def held_out() -> tuple[AnnData, AnnData]:
    """The cells without the treated ones of type A, and those."""
    adata = toy()[0]
    out = ((adata.obs["type"] == "A") & (adata.obs["condition"] == "treated")).to_numpy()
    return adata[~out].copy(), adata[out].copy()


@pytest.fixture(scope="module")
def model(held_out) -> scae.Autoencoder:
    return scae.tl.fit(held_out[0], LINEAR, device="cpu")


def test_a_linear_effect_on_a_type_never_seen_treated_is_predicted_exactly(held_out, model):
    seen, truth = held_out
    moved = scae.tl.shift(seen, model, "condition", "control", "treated", label="A", label_key="type", min_support=0)
    assert moved.n_obs == 30
    assert r2(moved.X.mean(0), truth.X.mean(0)) > 0.995
    change = moved.X.mean(0) - moved.layers["unshifted"].mean(0)
    assert r2(change, toy()[1]) > 0.995
    assert set(moved.obs["condition"]) == {"treated"}
    assert moved.obs["support"].between(0, 1).all()


def test_a_label_in_both_conditions_moves_by_its_own_difference(held_out, model):
    seen = held_out[0]
    z = pd.DataFrame(embedded(seen, model))
    moved = scae.tl.shift(seen, model, "condition", "control", "treated", label="B", label_key="type")
    target = z[((seen.obs["type"] == "B") & (seen.obs["condition"] == "treated")).to_numpy()]
    np.testing.assert_allclose(moved.obsm["X_scae"].mean(0), target.mean(0), rtol=1e-3, atol=0.05)


def test_without_labels_there_is_one_difference(held_out, model):
    seen = held_out[0]
    z = embedded(seen, model)
    moved = scae.tl.shift(seen, model, "condition", "control", "treated", min_support=0)
    of = {level: (seen.obs["condition"] == level).to_numpy() for level in ("control", "treated")}
    want = z[of["control"]] + z[of["treated"]].mean(0) - z[of["control"]].mean(0)
    np.testing.assert_allclose(moved.obsm["X_scae"], want, rtol=1e-3, atol=0.05)
    assert moved.obs_names.equals(seen.obs_names[of["control"]])


def test_no_move_leaves_what_was(held_out, model):
    seen = held_out[0]
    moved = scae.tl.shift(seen, model, "condition", "control", "control", label_key="type")
    np.testing.assert_allclose(moved.X, moved.layers["unshifted"], rtol=1e-5)
    scae.tl.denoise(seen, model, overwrite=True)
    np.testing.assert_allclose(moved.X, seen.layers["denoised"][(seen.obs["condition"] == "control").to_numpy()], rtol=1e-4)


def test_a_condition_that_is_a_covariate_is_decoded_at_the_target():
    adata = toy()[0]
    conditional = scae.tl.fit(adata, plan=scae.TrainPlan(epochs=1, min_steps=100, max_steps=100), batch_key="condition")
    moved = scae.tl.shift(adata, conditional, "condition", "control", "treated", label_key="type", min_support=0)
    at = scae.tl.decode(moved, conditional, kind="rate", library_size=1e4)
    assert set(at.obs["condition"]) == {"treated"}
    same = scae.tl.shift(adata, conditional, "condition", "control", "treated", label_key="type", library_size=1e4, min_support=0)
    np.testing.assert_allclose(same.X, at.X, rtol=1e-4)


def test_where_no_cells_are_the_prediction_is_refused(held_out, model):
    seen = held_out[0].copy()
    far = seen[seen.obs["condition"] == "treated"].copy()
    far.X = far.X * 40
    both = anndata.concat([seen[seen.obs["condition"] == "control"], far])
    both.obs_names_make_unique()
    with pytest.raises(SupportError, match=r"median support of the 30 moved cells is .*below min_support \(0.5\)"):
        scae.tl.shift(both, model, "condition", "control", "treated", label="A", label_key="type", min_support=0.5)
    lone = both[both.obs["type"] == "A"].copy()
    lone.obs["condition"] = ["treated"] * 2 + ["control"] * (lone.n_obs - 2)
    with pytest.raises(SupportError, match="no label has 5 cells or more in both"):
        scae.tl.shift(lone, model, "condition", "control", "treated", label_key="type")


def test_what_is_not_allowed_is_refused(held_out, model):
    seen = held_out[0]
    with pytest.raises(MissingKeyError, match="unknown obs column 'drug'"):
        scae.tl.shift(seen, model, "drug", "control", "treated")
    with pytest.raises(MissingKeyError, match="unknown level of condition 'treat': did you mean 'treated'"):
        scae.tl.shift(seen, model, "condition", "control", "treat")
    with pytest.raises(MissingKeyError, match="unknown level of type 'Z'"):
        scae.tl.shift(seen, model, "condition", "control", "treated", label="Z", label_key="type")
    with pytest.raises(ConfigError, match="there is no label_key"):
        scae.tl.shift(seen, model, "condition", "control", "treated", label="A")
    with pytest.raises(ConfigError, match="no cell of 'treated' has the label 'A'"):
        scae.tl.shift(seen, model, "condition", "treated", "control", label="A", label_key="type")
    with pytest.raises(ConfigError, match="min_support is 2"):
        scae.tl.shift(seen, model, "condition", "control", "treated", min_support=2)
