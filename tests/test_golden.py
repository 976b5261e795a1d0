"""Files that earlier versions wrote are read for ever: one of each format is kept in tests/golden."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import anndata
import numpy as np
import pytest
from helpers import ROOT

import scae
from scae import model as models
from scae import written
from scae.environment import fingerprint, is_environment
from scae.io.modelfile import digest, read_model
from scae.parts import build

GOLDEN = Path(__file__).parent / "golden"
MODELS, EMBEDDED = sorted(GOLDEN.glob("model-format*.scae")), sorted(GOLDEN.glob("embedded-format*.h5ad"))
each_model = pytest.mark.parametrize("path", MODELS, ids=lambda path: path.name)
each_embedded = pytest.mark.parametrize("path", EMBEDDED, ids=lambda path: path.name)
# Processors differ in the last bits of float32 sums; the latent is of order 1.
CLOSE = {"rtol": 1e-3, "atol": 1e-4}
PLACE = "obsm['X_scae']"


def numbers(paths: list[Path]) -> list[int]:
    return sorted(int(re.search(r"format(\d+)", path.name)[1]) for path in paths)


def model_of(adata: anndata.AnnData) -> Path:
    """The golden model that made a result, found by the hash of its weights."""
    made = {digest(read_model(path)[0], adata.uns["scae"]["spec"]): path for path in MODELS}
    return made[adata.uns["scae"]["model_sha256"]]


@pytest.mark.parametrize(("paths", "newest"), [(MODELS, models.FORMAT), (EMBEDDED, written.FORMAT)], ids=["model", "record"])
def test_there_is_a_golden_file_of_each_format(paths, newest):
    """If this fails, a format number was raised: run ``python tests/golden/make.py`` and commit the new file."""
    assert numbers(paths) == list(range(1, newest + 1))


def test_golden_files_are_small_and_in_git():
    assert all(path.stat().st_size < 300_000 for path in (*MODELS, *EMBEDDED))
    if (ROOT / ".git").exists():
        ignored = subprocess.run(
            ["git", "check-ignore", *MODELS, *EMBEDDED], cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert ignored.stdout == ""


@each_model
def test_a_golden_model_says_its_format_and_loads(path):
    about = read_model(path)[1]
    assert [about["format"]] == numbers([path])
    model = scae.load(path)
    assert (model.data.n_genes, model.data.batches, model.spec.bottleneck.dim) == (40, ("a", "b"), 4)
    assert model.fitted["history"]["rows"]
    assert build(scae.TrainPlan, model.fitted["plan"]).batch_size == 32
    assert is_environment(model.fitted["environment"])
    assert scae.pl.history(model, show=False)


@each_embedded
def test_a_golden_embedding_is_made_again(path):
    golden = anndata.read_h5ad(path)
    model = scae.load(model_of(golden))
    again = golden.copy()
    del again.obsm, again.uns
    scae.tl.embed(again, model, with_sd=True)
    for key in ("X_scae", "X_scae_sd"):
        np.testing.assert_allclose(again.obsm[key], golden.obsm[key], **CLOSE)
    assert np.std(golden.obsm["X_scae"]) > 0.1


@each_embedded
def test_a_golden_record_is_read(path):
    golden = anndata.read_h5ad(path)
    about, entry = golden.uns["scae"], json.loads(golden.uns["scae"]["written"][PLACE])
    assert [about["format"]] == numbers([path])
    model = scae.load(model_of(golden))
    assert build(models.ModelSpec, json.loads(about["spec"])) == build(models.ModelSpec, entry["spec"]) == model.spec
    assert entry["sha256"] == fingerprint(golden.obsm["X_scae"])
    assert entry["model_sha256"] == about["model_sha256"]
    assert entry["fitted_in"] == model.fitted["environment"]
    assert scae.pl.history(golden, show=False)
    assert scae.tl.differences(golden, golden) == {}


@each_embedded
@pytest.mark.parametrize("verb", [scae.tl.embed, scae.tl.denoise, scae.tl.score])
def test_results_are_added_to_a_golden_file(path, verb):
    """What scae wrote long ago is its own, and may be replaced without ``overwrite``."""
    golden = anndata.read_h5ad(path)
    verb(golden, scae.load(model_of(golden)))
    assert golden.uns["scae"]["format"] == written.FORMAT
    assert PLACE in golden.uns["scae"]["written"]
