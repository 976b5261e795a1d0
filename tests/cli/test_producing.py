"""scae decode, generate, interpolate and shift write what the verbs return."""

from __future__ import annotations

import json

import anndata
import numpy as np
import pytest
import scipy.sparse as sp

import scae
from scae.cli import main

CALLS = {
    "decode": (["--genes", "CD3D", "LYZ", "--library-size", "500"], {"genes": ["CD3D", "LYZ"], "library_size": 500.0}),
    "generate": (
        ["--n", "7", "--label", "Dendritic", "--label-key", "bulk_labels", "--random-state", "3"],
        {"n": 7, "label": "Dendritic", "label_key": "bulk_labels", "random_state": 3},
    ),
    "interpolate": (
        ["--from", "Dendritic", "--to", "CD14+ Monocyte", "--n", "4", "--groupby", "bulk_labels"],
        {"a": "Dendritic", "b": "CD14+ Monocyte", "n": 4, "groupby": "bulk_labels"},
    ),
    "shift": (
        ["--condition-key", "phase", "--source", "G1", "--target", "S", "--min-support", "0"],
        {"condition_key": "phase", "source": "G1", "target": "S", "min_support": 0},
    ),
}


@pytest.fixture
def embedded(h5ad, model_file, tmp_path):
    """The counts, with latents."""
    adata = anndata.read_h5ad(h5ad)
    scae.tl.embed(adata, scae.load(model_file))
    adata.write_h5ad(tmp_path / "embedded.h5ad")
    return tmp_path / "embedded.h5ad"


@pytest.mark.parametrize("verb", CALLS)
@pytest.mark.parametrize("ending", ["h5ad", "zarr"])
def test_the_command_is_the_verb(verb, ending, embedded, model_file, tmp_path, capsys):
    (words, options), out = CALLS[verb], tmp_path / f"out.{ending}"
    assert main([verb, str(embedded), str(out), "--model", str(model_file), "--device", "cpu", "--json", *words]) == 0
    written = getattr(anndata, f"read_{ending}")(out)
    want = getattr(scae.tl, verb)(anndata.read_h5ad(embedded), scae.load(model_file), **options)
    one, two = (x.toarray() if sp.issparse(x) else x for x in (written.X, want.X))
    np.testing.assert_array_equal(one, two)
    assert written.obs.astype(str).equals(want.obs.astype(str))
    assert set(written.layers) == set(want.layers)
    summary = json.loads(capsys.readouterr().out)
    assert summary["cells"] == want.n_obs
    assert ("support" in summary) == ("support" in want.obs)


def test_a_reference_adds_the_support(h5ad, embedded, model_file, tmp_path):
    out = tmp_path / "o.h5ad"
    assert main(["decode", str(embedded), str(out), "--model", str(model_file), "--reference", str(h5ad)]) == 0
    assert anndata.read_h5ad(out).obs["support"].between(0, 1).all()


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["decode", "--key", "X_pca9"], 2, "unknown obsm key 'X_pca9'"),
        (["generate", "--n", "-1"], 2, "n is -1"),
        (["generate", "--batch", "a"], 2, "fitted without batch_key"),
        (["interpolate", "--from", "nobody", "--to", "nobody"], 2, "unknown cell 'nobody'"),
        (["shift", "--condition-key", "phase", "--source", "G1", "--target", "S", "--min-support", "1"], 3, "median support"),
    ],
)
def test_what_the_verb_refuses_is_one_line_and_writes_nothing(words, code, said, embedded, model_file, tmp_path, capsys):
    out = tmp_path / "o.h5ad"
    assert main([words[0], str(embedded), str(out), "--model", str(model_file), *words[1:]]) == code
    error = capsys.readouterr().err.strip()
    assert said in error
    assert "\n" not in error.splitlines()[-1]
    assert not out.exists()


def test_a_model_is_needed(embedded, tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(["generate", str(embedded), str(tmp_path / "o.h5ad")])
    assert "--model" in capsys.readouterr().err
