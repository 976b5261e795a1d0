"""scae cluster, classify and pseudotime write what the verbs write."""

from __future__ import annotations

import json

import anndata
import numpy as np
import pytest

import scae
from scae.cli import main

CALLS = {
    "cluster": (["--n-clusters", "4", "--n-neighbors", "8"], {"n_clusters": 4, "n_neighbors": 8}),
    "classify": (["--labels", "known", "--with-probabilities"], {"labels": "known", "with_probabilities": True}),
    "pseudotime": (["--start", "AAAGCCTGGCTAAC-1"], {"start": "AAAGCCTGGCTAAC-1"}),
}


@pytest.fixture
def labelled(h5ad, tmp_path):
    """The counts, of which every other cell has a label."""
    adata = anndata.read_h5ad(h5ad)
    adata.obs["known"] = adata.obs["bulk_labels"].astype(str).where(np.arange(adata.n_obs) % 2 == 0)
    adata.write_h5ad(tmp_path / "labelled.h5ad")
    return tmp_path / "labelled.h5ad"


@pytest.mark.parametrize("verb", CALLS)
def test_the_command_is_the_verb(verb, labelled, model_file, tmp_path, capsys):
    (words, options), out = CALLS[verb], tmp_path / "out.h5ad"
    assert main([verb, str(labelled), str(out), "--model", str(model_file), "--device", "cpu", "--json", *words]) == 0
    adata, written = anndata.read_h5ad(labelled), anndata.read_h5ad(out)
    getattr(scae.tl, verb)(adata, scae.load(model_file), **options)
    assert adata.obs.astype(str).equals(written.obs.astype(str))
    assert set(adata.obsm) == set(written.obsm)
    summary = json.loads(capsys.readouterr().out)
    assert summary["key"] in written.obs
    assert summary["cells"] == 150


@pytest.mark.parametrize("verb", CALLS)
def test_a_model_is_fitted_and_saved(verb, labelled, tmp_path):
    model, out = tmp_path / "m.scae", tmp_path / "out.h5ad"
    fits = ["--n-fits", "2"] if verb == "cluster" else []
    options = ["--preset", "pca", "--max-steps", "5", "--save-model", str(model), *fits]
    assert main([verb, str(labelled), str(out), *CALLS[verb][0], *options]) == 0
    assert scae.load(model).data.n_genes == 765


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["cluster", "--n-clusters", "1"], "n_clusters is 1"),
        (["classify"], "labels is None"),
        (["classify", "--labels", "type"], "unknown obs column 'type'"),
        (["pseudotime", "--start", "nobody"], "unknown cell 'nobody'"),
    ],
)
@pytest.mark.usefixtures("no_fit")
def test_what_the_verb_refuses_is_an_invalid_option(words, said, labelled, tmp_path, capsys):
    assert main([words[0], str(labelled), str(tmp_path / "o.h5ad"), *words[1:]]) == 2
    assert said in capsys.readouterr().err
