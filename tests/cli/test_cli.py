"""The command line: one command is one call; errors are one line with a meaningful exit code."""

from __future__ import annotations

import json
import subprocess
import sys

import anndata
import numpy as np
import pandas as pd
import pytest

import scae
from scae.cli import main

QUICK = ["--min-steps", "10", "--epochs", "1"]


@pytest.fixture(scope="module")
def h5ad(tmp_path_factory):
    path = tmp_path_factory.mktemp("cli") / "counts.h5ad"
    adata = scae.datasets.pbmc68k_reduced()[:150].copy()
    adata.obs["batch"] = np.where(np.arange(150) % 2, "a", "b")
    adata.layers["logged"] = adata.X.log1p()
    adata.write_h5ad(path)
    return path


def test_embed_is_the_verb(h5ad, tmp_path):
    out, model = tmp_path / "out.h5ad", tmp_path / "m.scae"
    assert main(["embed", str(h5ad), str(out), "--save-model", str(model), "--device", "cpu", *QUICK]) == 0
    adata = anndata.read_h5ad(h5ad)
    scae.tl.embed(adata, plan=scae.TrainPlan(**_plan()), device="cpu")
    written = anndata.read_h5ad(out)
    assert np.array_equal(written.obsm["X_scae"], adata.obsm["X_scae"])
    assert np.array_equal(written.X.toarray(), adata.X.toarray())
    again = tmp_path / "again.h5ad"
    assert main(["embed", str(h5ad), str(again), "--model", str(model)]) == 0
    assert np.array_equal(anndata.read_h5ad(again).obsm["X_scae"], adata.obsm["X_scae"])


def _plan():
    plan = scae.parts.to_dict(scae.presets.find("vae").plan)
    return plan | {"min_steps": 10, "epochs": 1}


def test_fit_then_denoise_some_genes(h5ad, tmp_path, capsys):
    model, out = str(tmp_path / "m.scae"), str(tmp_path / "o.h5ad")
    options = ["--bottleneck", "deterministic", "--bottleneck-dim", "3", "--network-hidden", "16,8", "--likelihood", "poisson"]
    assert main(["fit", str(h5ad), model, "--batch-key", "batch", "--json", *options, *QUICK]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["latent"] == 3
    spec = scae.load(model).spec
    assert (spec.network.hidden, spec.likelihood.name) == ((16, 8), "poisson")
    args = ["denoise", str(h5ad), out, "--model", model, "--genes", "CD3D", "NKG7", "--at-batch", "a", "--kind", "rate"]
    assert main(args) == 0
    assert list(anndata.read_h5ad(out).obsm["denoised"].columns) == ["CD3D", "NKG7"]


def test_select_then_fit_what_it_chose(h5ad, tmp_path, capsys):
    table, config, model = (str(tmp_path / name) for name in ("t.csv", "c.json", "m.scae"))
    steps = ["--min-steps", "120", "--max-steps", "120", "--device", "cpu"]
    words = ["select", str(h5ad), "--presets", "denoiser", "--grid", "bottleneck-dim=2,16", "network-hidden=32x16"]
    words += ["--splits", "1", "--batch-key", "batch", "--out", table, "--save-config", config, *steps]
    words += ["--plot", str(tmp_path / "p.png")]
    assert main([*words, "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    specs = scae.tl.grid("denoiser", bottleneck_dim=[2, 16], network_hidden=[(32, 16)], min_steps=[120], max_steps=[120])
    expected = scae.tl.cross_validate(anndata.read_h5ad(h5ad), specs, n_splits=1, batch_key="batch", device="cpu")
    assert (tmp_path / "p.png").read_bytes().startswith(b"\x89PNG")
    written = pd.read_csv(table)
    np.testing.assert_allclose(written["deviance_explained"], expected["deviance_explained"], rtol=1e-9)
    assert (written["model"].tolist(), summary["reason"]) == (expected["model"].tolist(), scae.tl.choose(expected).reason)
    chosen = specs[summary["chosen"]]
    assert main(["fit", str(h5ad), model, "--config", config, "--epochs", "1", "--min-steps", "5"]) == 0
    fitted = scae.load(model)
    assert fitted.spec == chosen.spec
    assert fitted.fitted["plan"] == scae.parts.to_dict(chosen.plan) | {"epochs": 1, "min_steps": 5}


def test_select_says_so_where_there_is_nothing_to_denoise(tmp_path, capsys):
    rng = np.random.default_rng(0)
    noise, config = tmp_path / "noise.h5ad", tmp_path / "c.json"
    anndata.AnnData(rng.poisson(rng.gamma(1, 1, 40), (200, 40)).astype("float32")).write_h5ad(noise)
    words = ["select", str(noise), "--presets", "denoiser", "--splits", "2", "--save-config", str(config), "--min-steps", "60"]
    assert main([*words, "--max-steps", "60"]) == 0
    assert "choice: none: do not denoise this" in capsys.readouterr().out
    assert main(["fit", str(noise), str(tmp_path / "m.scae"), "--config", str(config)]) == 2
    assert "do not denoise this" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["select", "{h5ad}", "--grid", "bottleneck-dmi=8"], 2, "did you mean 'bottleneck-dim'"),
        (["select", "{h5ad}", "--grid", "bottleneck-dim"], 2, "bottleneck-dim=8,32"),
        (["select", "{h5ad}", "--grid", "network-hidden=64,wide"], 2, "network-hidden=wide"),
        (["select", "{h5ad}", "--order", "beauty"], 2, "n_parameters"),
        (["select", "{h5ad}", "--out", "{tmp}/no/t.csv"], 5, "there is no folder"),
        (["fit", "{h5ad}", "{tmp}/m.scae", "--config", "{h5ad}"], 5, "is not JSON"),
        (["fit", "{h5ad}", "{tmp}/m.scae", "--layer", "count"], 2, "did you mean 'counts'"),
        (["fit", "{h5ad}", "{tmp}/m.scae", "--layer", "logged"], 3, "layer='counts'"),
        (["fit", "{h5ad}", "{tmp}/m.scae", "--bottleneck-beta", "-1"], 2, "at least 0"),
        (["fit", "{h5ad}", "{tmp}/m.scae", "--likelihood", "poison"], 2, "did you mean 'poisson'"),
        (["fit", "{h5ad}", "{tmp}/m.scae", "--preset", "vea"], 2, "did you mean 'vae'"),
        (["fit", "{h5ad}", "{tmp}/no/m.scae", *QUICK], 5, "there is no folder"),
        (["fit", "{tmp}/none.h5ad", "{tmp}/m.scae"], 5, "there is no file"),
        (["embed", "{h5ad}", "{tmp}/o.h5ad", "--model", "{h5ad}"], 5, "not a scae model"),
        (["check", "{h5ad}", "--layer", "logged"], 3, ""),
    ],
)
def test_errors_are_one_line_with_a_code(words, code, said, h5ad, tmp_path, capsys):
    assert main([w.format(h5ad=h5ad, tmp=tmp_path) for w in words]) == code
    err = capsys.readouterr().err
    assert said in err
    assert "Traceback" not in err
    assert not list(tmp_path.iterdir())


def test_truncated_file(h5ad, tmp_path, capsys):
    half = tmp_path / "half.h5ad"
    half.write_bytes(h5ad.read_bytes()[:3000])
    assert main(["check", str(half)]) == 5
    assert "whole h5ad" in capsys.readouterr().err


def test_help_loads_neither_torch_nor_scanpy():
    code = "import sys; from scae.cli import main\ntry: main(['--help'])\nexcept SystemExit: pass\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "embed" in done.stdout
    assert not {"torch", "scanpy", "anndata", "numba"} & set(done.stdout.split())


def test_every_field_of_every_part_is_an_option(capsys):
    with pytest.raises(SystemExit):
        main(["fit", "--help"])
    text = capsys.readouterr().out
    for kind in ("corruption", "transform", "network", "bottleneck", "prior", "likelihood"):
        for name in scae.parts.names(kind):
            for field in scae.parts.find(kind, name).__dataclass_fields__:
                assert f"--{kind}-{field.replace('_', '-')}" in text


def test_a_prior_and_its_labels_from_the_command_line(h5ad, tmp_path):
    model = str(tmp_path / "m.scae")
    words = ["fit", str(h5ad), model, "--bottleneck", "gaussian", "--bottleneck-n-samples", "2", *QUICK]
    assert main([*words, "--bottleneck-prior", "mixture", "--prior-n-components", "3"]) == 0
    bottleneck = scae.load(model).spec.bottleneck
    assert (bottleneck.prior.name, bottleneck.prior.n_components, bottleneck.n_samples) == ("mixture", 3, 2)
    assert main([*words, "--preset", "vamp", "--prior-n-components", "5"]) == 0
    assert (scae.load(model).spec.bottleneck.prior.name, scae.load(model).spec.bottleneck.prior.n_components) == ("vamp", 5)
    assert main([*words, "--bottleneck-prior", "label_normal"]) == 2
    assert main([*words, "--bottleneck-prior", "label_normal", "--prior-n-components", "3", "--label-key", "batch"]) == 2
    assert main([*words, "--bottleneck-prior", "label_normal", "--label-key", "batch"]) == 0
    assert scae.load(model).data.label == ("batch", ("a", "b"))


def test_parts_lists_the_catalogue(capsys):
    assert main(["parts", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert set(listed["preset"]) == set(scae.presets.names())
    assert set(listed["likelihood"]) == set(scae.parts.names("likelihood"))
    assert main(["parts", "bottleneck"]) == 0
    assert "beta" in capsys.readouterr().out


def test_preprocess_then_check(h5ad, tmp_path, capsys):
    out = tmp_path / "ready.h5ad"
    assert main(["preprocess", str(h5ad), str(out), "--min-genes", "10", "--n-top-genes", "100", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)
    ready = anndata.read_h5ad(out)
    assert ready.var["highly_variable"].sum() == 100
    assert main(["check", str(out), "--layer", "counts"]) == 0
    assert main(["check", str(out)]) == 3
    assert "layer='counts'" in capsys.readouterr().out


def test_fit_from_a_configuration_file(h5ad, tmp_path, capsys):
    file, model = tmp_path / "model.json", str(tmp_path / "m.scae")
    file.write_text(json.dumps({"preset": "scvi", "spec": {"bottleneck": {"dim": 4}}, "plan": {"min_steps": 5, "max_steps": 5}}))
    assert main(["fit", str(h5ad), model, "--config", str(file), "--likelihood", "nb"]) == 0
    spec = scae.load(model).spec
    assert (spec.bottleneck.dim, spec.network.norm, spec.likelihood.name) == (4, "batch", "nb")
    file.write_text(json.dumps({"spec": {"bottleneck": {"dim": -4}}}))
    assert main(["fit", str(h5ad), model, "--config", str(file)]) == 2
    assert "model.json: spec.bottleneck.dim is -4; allowed: at least 1." in capsys.readouterr().err
    assert main(["fit", str(h5ad), model, "--config", str(tmp_path / "none.json")]) == 5


@pytest.mark.slow
def test_demo(tmp_path, capsys):
    assert main(["demo", "--out", str(tmp_path / "d"), "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    nats = summary["held_out_nats_per_cell"]
    assert nats["scae"] < nats["gene mean"]
    adata = anndata.read_h5ad(tmp_path / "d" / "adata.h5ad")
    assert {"X_scae", "X_umap"} <= set(adata.obsm)
    assert "leiden" in adata.obs
    assert (tmp_path / "d" / "demo.png").stat().st_size > 10_000
    assert scae.load(tmp_path / "d" / "model.scae").data.n_genes == 765
