"""workflows/scrnaseq: a copy of it runs from raw 10x files to the report; a killed run goes on; wrong configurations are told.

Run by ``make workflow``; skipped where Snakemake is not installed.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
from helpers import ROOT

import scae

WORKFLOW = ROOT / "workflows" / "scrnaseq"
HERE = Path(sys.executable).parent
NEEDED = importlib.util.find_spec("snakemake") is None or not (HERE / "snakefmt").exists()
pytestmark = [pytest.mark.slow, pytest.mark.skipif(NEEDED, reason="needs the extra 'workflow' (make workflow installs it)")]


def environment() -> dict[str, str]:
    """As in an activated environment, with this checkout's scae."""
    return os.environ | {"PATH": f"{HERE}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}


def run(*words: str | Path, cwd: Path) -> subprocess.CompletedProcess:
    return subprocess.run(list(map(str, words)), cwd=cwd, env=environment(), capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def copied(tmp_path_factory) -> Path:
    """The workflow somewhere else, without what earlier runs left in it."""
    skip = shutil.ignore_patterns("out", "results", "logs", ".snakemake", "benchmarks")
    return Path(shutil.copytree(WORKFLOW, tmp_path_factory.mktemp("user") / "scrnaseq", ignore=skip))


@pytest.fixture(scope="module")
def done(copied) -> Path:
    """The folder of a run from raw files to the report."""
    finished = run(".test/run.sh", "out", cwd=copied)
    assert finished.returncode == 0, finished.stdout[-3000:] + finished.stderr[-6000:]
    assert "good condition" in finished.stdout + finished.stderr  # snakemake --lint
    return copied / "out"


@pytest.fixture
def project(copied, done, tmp_path) -> Path:
    """A folder with a configuration and raw data of its own, nothing run."""
    shutil.copytree(copied / ".test" / "config", tmp_path / "config")
    shutil.copytree(done / "data", tmp_path / "data")
    return tmp_path


def change(folder: Path, old: str, new: str, *, file: str = "config/config.yaml") -> None:
    text = (folder / file).read_text()
    assert old in text
    (folder / file).write_text(text.replace(old, new))


def test_the_result_is_whole(done):
    adata = anndata.read_h5ad(done / "results" / "adata.h5ad")
    assert adata.obsm["X_scae"].shape == (adata.n_obs, 32)
    assert {"X_umap", "X_scae"} <= set(adata.obsm)
    assert set(adata.obs["sample"]) == {"a", "b", "c"}
    assert set(adata.obs["donor"]) == {"one", "two"}
    assert adata.obs["leiden"].nunique() > 2
    modelled = adata.var["highly_variable"].to_numpy()
    assert modelled.sum() == 500
    assert np.isfinite(adata.layers["denoised"][:, modelled]).all()
    assert scae.check(adata).ok  # X is raw counts to the end
    assert scae.load(done / "results" / "model.scae").data.keys.batch_key == "sample"


def test_counts_are_those_of_the_raw_files(done):
    """Through a 10x h5, a matrix folder and an h5ad alike."""
    adata, source = anndata.read_h5ad(done / "results" / "adata.h5ad"), scae.datasets.pbmc68k_reduced()
    cells = adata.obs_names.str.rsplit("-", n=1).str[0]
    assert set(cells) <= set(source.obs_names)
    assert adata.n_obs > 690
    for sample in "abc":
        mine = (adata.obs["sample"] == sample).to_numpy()
        assert mine.sum() > 200
        assert (adata.X[mine] != source[cells[mine], adata.var_names].X).nnz == 0


def test_markers_and_scores_make_sense(done):
    markers = pd.read_csv(done / "results" / "markers.tsv", sep="\t")
    assert (markers["adjusted_p"] <= 0.05).all()
    assert {"CD79A", "NKG7", "LYZ"} <= set(markers["gene"])  # B cells, NK cells, monocytes
    scores = pd.read_csv(done / "results" / "sweep.tsv", sep="\t")
    assert set(scores["preset"]) == {"vae", "dca"}
    assert scores["explained"].between(0, 1).all()
    cells = pd.read_csv(done / "results" / "cells.tsv", sep="\t")
    assert (cells["cells kept"] <= cells["cells read"]).all()


def test_every_picture_is_in_the_report(done):
    with zipfile.ZipFile(done / "report.zip") as report:
        text = "".join(report.read(n).decode("utf-8", "ignore") for n in report.namelist() if n.endswith((".html", ".js")))
        names = " ".join(report.namelist())
    for picture in ("cells.png", "umap.png", "markers.png", "sweep.png"):
        assert picture in names
    assert "Marker genes" in text


def test_every_rule_has_left_log_and_benchmark(done):
    for folder in ("logs", "benchmarks"):
        kept = {p.relative_to(done / folder).parts[0].split(".")[0] for p in (done / folder).rglob("*.*")}
        assert {"read_sample", "check", "preprocess", "merge", "fit", "embed", "denoise", "cluster", "markers", "sweep"} <= kept


def test_nothing_is_left_to_do(copied, done):
    again = run("snakemake", "--dry-run", "--directory", done, cwd=copied)
    assert "Nothing to be done" in again.stdout + again.stderr


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("  spec: ", "  spec: {bottleneck: {dim: -3}} ", "config: model.spec.bottleneck.dim is -3; allowed: at least 1"),
        ("preset: vae", "preset: vea", "config: model.preset is 'vea'; allowed: vae, denoiser"),
        ("min_genes: 50", "min_gene: 50", "config: cells.min_gene is not known; did you mean min_genes? Known here: min_genes"),
        ("n_top: 500", "n_top: many", "config: genes.n_top is 'many'; allowed: a whole number"),
        ("resolution: 1.0", "resolution: 0", "config: clusters.resolution is 0; allowed: above 0"),
        ("batch_key: sample", "batch_key: donr", "config: batch_key is 'donr'; allowed: a column of config/samples.tsv"),
        ("dims: [8]", "dims: [8, -1]", "config: sweep.dims[1] is -1; allowed: at least 1"),
        ("samples: config", "samples: nowhere", "config: samples is 'nowhere/samples.tsv', and there is no such file"),
    ],
)  # fmt: skip
def test_a_wrong_configuration_names_its_path(copied, project, old, new, said):
    change(project, old, new)
    refused = run("snakemake", "--dry-run", "--directory", project, cwd=copied)
    assert refused.returncode != 0
    assert said in refused.stdout + refused.stderr


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("10x_mtx", "mtx", "config/samples.tsv, row 2: format is 'mtx'; allowed: 10x_h5, 10x_mtx, h5ad"),
        ("b\tdata", "a\tdata", "config/samples.tsv, row 2: sample 'a' is there twice"),
        ("10x_mtx\ttwo", "10x_mtx", "config/samples.tsv, row 2: donor is ''; allowed: a value in every row"),
    ],
)
def test_a_wrong_sample_sheet_names_row_and_column(copied, project, old, new, said):
    change(project, old, new, file="config/samples.tsv")
    refused = run("snakemake", "--dry-run", "--directory", project, cwd=copied)
    assert said in refused.stdout + refused.stderr


def test_select_is_one_line_of_the_configuration(copied, project):
    change(project, "enabled: false", "enabled: true")
    plan = run("snakemake", "--dry-run", "--printshellcmds", "--directory", project, cwd=copied)
    text = plan.stdout + plan.stderr
    assert "scae select results/merged.h5ad --presets vae,denoiser,dca,scvi --batch-key sample" in text
    assert "--config results/select/model.json --batch-key sample" in text


def test_a_killed_run_goes_on_where_it_was(copied, project):
    """Snakemake and its jobs are killed during the fit; the same command then finishes, and makes nothing twice."""
    change(project, "min_steps: 200, max_steps: 200", "min_steps: 100000, max_steps: 100000")
    words = ["snakemake", "--cores", "2", "--directory", str(project), "results/fit.json"]
    started = subprocess.Popen(
        words, cwd=copied, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    while not (project / "logs" / "fit.log").exists():  # its shell opens it
        assert started.poll() is None, "it ended before it could be killed"
        time.sleep(0.5)
    time.sleep(5)
    os.killpg(started.pid, signal.SIGKILL)  # its own session: snakemake and all jobs
    started.wait()
    assert not (project / "results" / "model.scae").exists()
    merged = (project / "results" / "merged.h5ad").stat().st_mtime_ns

    change(project, "min_steps: 100000, max_steps: 100000", "min_steps: 200, max_steps: 200")
    assert run("snakemake", "--unlock", "--directory", project, cwd=copied).returncode == 0
    finished = run(*words, cwd=copied)
    assert finished.returncode == 0, finished.stderr[-3000:]
    assert json.loads((project / "results" / "fit.json").read_text())["genes"] == 500
    assert (project / "results" / "merged.h5ad").stat().st_mtime_ns == merged
    assert not [p for p in (project / "results").iterdir() if p.name.startswith(".")]
