"""Files of many years and programs: every command reads what anndata reads, and names the rest in one line."""

from __future__ import annotations

import importlib.util
import json
import shlex
import subprocess
from pathlib import Path

import anndata
import h5py
import numpy as np
import pytest
import scipy.sparse as sp

import scae
from scae import pp
from scae.cli import files, main
from scae.errors import ModelFileError

from . import wild
from .words import QUICK_PLAN

LIMITS = {"min_genes": 5, "min_cells": 2, "n_top_genes": 20, "percent_top": (10,), "qc_vars": ["mt"], "batch_key": "batch"}
WORDS = shlex.split("--min-genes 5 --min-cells 2 --n-top-genes 20 --percent-top 10 --qc-vars mt --batch-key batch")
COMMANDS = {
    "check": ["check", "{file}", "--batch-key", "batch"],
    "preprocess": ["preprocess", "{file}", "out.h5ad", *WORDS],
    "embed": ["embed", "{file}", "out.h5ad", "--batch-key", "batch"],
}
each_command = pytest.mark.parametrize("command", COMMANDS)


def name_of(value: object) -> str | None:
    return getattr(value, "__name__", None)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("wild") / "m.scae"
    scae.tl.fit(wild.cells(), batch_key="batch", plan=QUICK_PLAN, device="cpu").save(path)
    return path


@pytest.fixture(scope="module")
def expected(model, tmp_path_factory):
    """The latent in memory; and what becomes of a file of today, by the dtype of its counts."""
    folder = tmp_path_factory.mktemp("wild")
    adata = wild.cells()
    scae.tl.embed(adata, scae.load(model))
    results = {"latent": adata.obsm["X_scae"]}
    for dtype in ("float32", "float64"):
        adata = wild.cells()
        adata.X = adata.X.astype(dtype)
        adata.write_h5ad(folder / "in.h5ad")
        pp.preprocess_file(folder / "in.h5ad", folder / "out.h5ad", **LIMITS)
        results[dtype] = anndata.read_h5ad(folder / "out.h5ad")
    return results


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def dense(x: object) -> np.ndarray:
    return x.toarray() if hasattr(x, "toarray") else np.asarray(x)


def assert_same_table(table, other) -> None:
    assert list(table.index) == list(other.index)
    assert set(other) <= set(table)
    for name in other:
        values = other[name].to_numpy()
        np.testing.assert_array_equal(np.array(table[name], values.dtype), values, name)


@pytest.mark.parametrize(("maker", "name"), wild.READABLE, ids=name_of)
def test_every_command_reads_what_anndata_reads(maker, name, model, expected, capsys):
    maker(Path(name), wild.cells())
    assert main(["check", name, "--batch-key", "batch"]) == 0
    assert main(["embed", name, "embedded.h5ad", "--model", str(model), "--quiet"]) == 0
    assert np.array_equal(anndata.read_h5ad("embedded.h5ad").obsm["X_scae"], expected["latent"])
    assert main(["preprocess", name, "ready.h5ad", *WORDS]) == 0
    said = capsys.readouterr()
    assert "warning" not in said.err
    ready, other = anndata.read_h5ad("ready.h5ad"), expected[str(anndata.read_h5ad("embedded.h5ad").X.dtype)]
    for mine, theirs in ((ready.X, other.X), (ready.layers["counts"], other.layers["counts"])):
        np.testing.assert_array_equal(dense(mine), dense(theirs))
    assert_same_table(ready.obs, other.obs)
    assert_same_table(ready.var, other.var)
    for slot, key in (("obsm", "X_pca"), ("varm", "PCs")):
        np.testing.assert_array_equal(getattr(ready, slot)[key], getattr(other, slot)[key])
    assert ready.uns["title"] == "cells"
    assert "batch_categories" not in ready.uns


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("maker", "name"), wild.READABLE, ids=name_of)
def test_a_table_is_that_of_anndata(maker, name):
    """Also its dtypes, and what else is in ``uns``."""
    maker(Path(name), wild.cells())
    whole = anndata.read_zarr(name) if Path(name).is_dir() else anndata.read_h5ad(name)
    pp.preprocess_file(name, "ready.h5ad", **LIMITS | {"min_genes": 0, "min_cells": 0})
    ready = anndata.read_h5ad("ready.h5ad")
    for axis in ("obs", "var"):
        theirs, mine = getattr(whole, axis), getattr(ready, axis)
        assert mine[list(theirs)].astype(object).equals(theirs.astype(object))
        assert [d.kind for d in mine[list(theirs)].dtypes] == [d.kind for d in theirs.dtypes]
    assert set(whole.uns) == set(ready.uns) - {"log1p", "hvg"}


def line_of(words: list[str], code: int, capsys) -> str:
    """The one line on standard error of a command that ends with a code, and writes nothing."""
    before = sorted(Path().rglob("*"))
    assert main(words) == code
    said = capsys.readouterr()
    (line,) = said.err.splitlines()
    assert not said.out
    assert sorted(Path().rglob("*")) == before
    return line


@each_command
@pytest.mark.usefixtures("no_fit")
@pytest.mark.parametrize(("maker", "name", "kind", "advice"), wild.NAMED, ids=name_of)
def test_other_kinds_are_named(maker, name, kind, advice, command, capsys):
    maker(Path(name), wild.cells())
    line = line_of([word.replace("{file}", name) for word in COMMANDS[command]], 5, capsys)
    assert line.startswith(f"scae {command}: {name} is {kind}")
    assert ", not AnnData. " in line
    assert advice in line


def shell(command: str) -> str:
    return subprocess.run(["sh", "-c", command], check=True, capture_output=True, text=True).stdout


@pytest.mark.usefixtures("no_fit")
@pytest.mark.parametrize("words", ["fit a.h5 m.scae", "select a.h5", "denoise a.h5 out.h5ad"])
def test_other_commands_say_the_same(words, capsys):
    wild.h5mu(Path("a.h5"), wild.cells())
    line = line_of(words.split(), 5, capsys)
    assert line.partition(": ")[2].startswith("a.h5 is a MuData file, not AnnData. Convert it: python -c")


def convert(line: str) -> None:
    """Run the command at the end of a message, its Python in this process."""
    command = line.partition(" it: ")[2]
    before, python, code = command.partition("python -c ")
    shell(before.removesuffix(" && "))
    if python:
        exec(shell(f"printf %s {code}"), {})


@pytest.mark.parametrize(("maker", "name", "kind"), wild.CONVERTED, ids=name_of)
@pytest.mark.filterwarnings("ignore")
def test_the_command_in_the_message_converts(maker, name, kind, capsys, tmp_path):
    adata = wild.cells()
    maker(Path(name), adata)
    with pytest.raises(ModelFileError) as raised:
        pp.preprocess_file(name, "out.h5ad")
    line = str(raised.value)
    if (maker, name) not in wild.READ_DIRECTLY:
        for words in COMMANDS.values():
            assert line_of([w.replace("{file}", name) for w in words], 5, capsys).partition(": ")[2] == line
    assert line.startswith(f"{name} is {kind}")
    before = {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()}
    convert(line)
    assert {path: (tmp_path / path).read_bytes() for path in before} == before
    (new,) = set(tmp_path.glob("*.h5ad")) - {tmp_path / path for path in before}
    back = anndata.read_h5ad(new)
    assert np.array_equal(dense(back.X), dense(adata.X))
    assert list(back.var_names) == list(adata.var_names) or maker is wild.matrix_market
    assert main(["check", str(new)]) == 0


@pytest.mark.usefixtures("no_fit")
@pytest.mark.parametrize(
    ("maker", "name"), [(maker, name) for maker, name in wild.READABLE if maker in wild.WITH_RAW], ids=name_of
)
@pytest.mark.filterwarnings("ignore")
def test_counts_in_raw_are_one_command_away(maker, name, capsys):
    adata = wild.cells()
    wild.logged(adata)
    maker(Path(name), adata)
    lines = {
        line_of([word.replace("{file}", name) for word in COMMANDS[verb]], 3, capsys).partition(": ")[2]
        for verb in ("embed", "preprocess")
    }
    (line,) = lines
    assert main(["check", name, "--batch-key", "batch"]) == 3
    assert f"error: {line}\n" in capsys.readouterr().out
    assert main(["check", name, "--batch-key", "batch", "--json"]) == 3
    assert line in [finding["message"] for finding in json.loads(capsys.readouterr().out)["findings"]]
    before = set(Path().iterdir())
    exec(shell("printf %s " + line.partition(" In a shell: python -c ")[2]), {})
    (new,) = set(Path().iterdir()) - before
    assert (anndata.read_h5ad(new).X != wild.cells().X).nnz == 0
    assert main(["check", str(new), "--batch-key", "batch"]) == 0


@each_command
@pytest.mark.usefixtures("no_fit")
def test_old_sparse_matrices_are_checked_as_those_of_today(command, capsys):
    """Row pointers that lead outside the values would be followed by compiled code."""
    wild.of_2019(Path("a.h5ad"), wild.cells())
    with h5py.File("a.h5ad", "a") as file:
        file["X/indptr"][5] = 10**6 if command == "preprocess" else 0
        if command != "preprocess":
            del file["X/indptr"]
            file["X/indptr"] = np.zeros(7, np.int32)
    line = line_of([word.replace("{file}", "a.h5ad") for word in COMMANDS[command]], 5, capsys)
    assert "/X" in line


def awkward(file: h5py.File) -> None:
    file["obsm"].create_group("lists").attrs.update({"encoding-type": "awkward-array", "encoding-version": "0.1.0"})


def newer(file: h5py.File) -> None:
    file["obs"].attrs["encoding-version"] = "9.0.0"


def strange(file: h5py.File) -> None:
    del file["obs/age"]
    file["obs/age"] = np.ones(3)


@each_command
@pytest.mark.usefixtures("no_fit")
@pytest.mark.parametrize(
    ("change", "advice"),
    [(awkward, "pip install awkward"), (newer, "update anndata"), (strange, "It must be a whole h5ad file")],
)
def test_what_this_anndata_cannot_read_is_one_line(command, change, advice, capsys):
    if change is awkward and importlib.util.find_spec("awkward"):
        pytest.skip("it can be read here")
    wild.today(Path("a.h5ad"), wild.cells())
    with h5py.File("a.h5ad", "a") as file:
        change(file)
    line = line_of([word.replace("{file}", "a.h5ad") for word in COMMANDS[command]], 5, capsys)
    assert "a.h5ad cannot be read as AnnData (" in line
    assert advice in line


@pytest.mark.parametrize("command", ["preprocess", "embed"])
def test_what_cannot_be_written_is_one_line(command, model, capsys):
    wild.today(Path("a.h5ad"), wild.cells())
    with h5py.File("a.h5ad", "a") as file:
        file["uns/nothing"] = h5py.Empty("f")
    words = COMMANDS[command] + (["--model", str(model), "--quiet"] if command == "embed" else [])
    words = [word for word in words if word not in ("--batch-key", "batch")]
    assert "anndata cannot write" in line_of([w.replace("{file}", "a.h5ad") for w in words], 5, capsys)


def test_nothing_that_a_file_links_to_is_opened():
    wild.h5_10x(Path("other.h5"), wild.cells())
    with h5py.File("a.h5", "w") as file:
        file[b"\xff"] = 1  # a name that is not UTF-8
        file["matrix"], file["more"] = h5py.ExternalLink("other.h5", "/matrix"), h5py.SoftLink("/matrix")
    with pytest.raises(ModelFileError, match=r"an HDF5 file, not AnnData\. It has no obs, only 'matrix', 'more'"):
        pp.preprocess_file("a.h5", "out.h5ad")


@pytest.mark.parametrize(("maker", "name"), wild.READ_DIRECTLY, ids=name_of)
@pytest.mark.filterwarnings("ignore")
def test_counts_of_other_programs_are_read_directly(maker, name, capsys, tmp_path):
    adata = wild.cells()
    maker(Path(name), adata)
    before = {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()}
    read = files.read(name)
    assert sp.isspmatrix_csr(read.X)
    assert read.X.dtype == np.float32
    assert np.array_equal(dense(read.X), dense(adata.X))
    assert (list(read.obs_names), list(read.var_names)) == (list(adata.obs_names), list(adata.var_names))
    assert main(["check", name]) == 0
    limits = ["--min-genes", "5", "--min-cells", "2", "--n-top-genes", "20", "--percent-top", "10", "--flavor", "seurat_v3"]
    assert main(["preprocess", name, "out.h5ad", *limits, "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["source"] == name
    adata.obs, adata.var = adata.obs[[]], adata.var[[]]
    pp.recipe(adata, min_genes=5, min_cells=2, n_top_genes=20, percent_top=(10,), flavor="seurat_v3")
    made = anndata.read_h5ad("out.h5ad")
    assert made.var["highly_variable"].tolist() == adata.var["highly_variable"].tolist()
    np.testing.assert_allclose(dense(made.X), dense(adata.X), rtol=1e-6)
    assert {path: (tmp_path / path).read_bytes() for path in before} == before
    assert not list(tmp_path.glob(".*"))


def test_tables_of_genes_by_cells_are_turned_round_and_text_is_refused(capsys, caplog):
    adata = wild.cells()
    adata.var_names = ["GAPDH", "MT-CO1", *adata.var_names[2:]]
    adata.to_df().T.to_csv("a.csv")
    assert np.array_equal(dense(files.read("a.csv").X), dense(adata.X))
    assert main(["check", "a.csv"]) == 0
    assert "its rows are taken for genes, its columns for cells" in caplog.messages
    capsys.readouterr()
    adata.obs.to_csv("b.csv")
    assert "b.csv is no table of counts: column 'batch' holds text" in line_of(["check", "b.csv"], 5, capsys)


def test_10x_files_that_reach_into_others_are_refused(capsys):
    wild.h5_10x(Path("a.h5"), wild.cells())
    with h5py.File("a.h5", "a") as file:
        file["matrix/other"] = h5py.ExternalLink("/etc/passwd", "/")
    assert "is a link to another file" in line_of(["check", "a.h5"], 5, capsys)
