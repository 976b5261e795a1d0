"""What a file cannot hold, or a disk has no room for, is refused before the fit and not after it."""

from __future__ import annotations

import shutil
import tracemalloc

import anndata
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from anndata import AnnData

import scae
from scae.cli import main
from scae.cli.files import check_contents, check_room, write
from scae.errors import OutputError

MIXED = [1, "a", None, 2.5, b"x"]


def some() -> AnnData:
    adata = AnnData(sp.csr_matrix(np.ones((5, 4), np.float32)))
    adata.obs["cluster"] = ["a", "b", "a", "b", "a"]
    return adata


def with_(**slots: dict) -> AnnData:
    adata = some()
    for slot, values in slots.items():
        for key, value in values.items():
            getattr(adata, slot)[key] = value
    return adata


UNWRITABLE = {
    "mixed column": (lambda: with_(obs={"m": MIXED}), "/obs/m"),
    "mixed column of var": (lambda: with_(var={"m": MIXED[:4]}), "/var/m"),
    "a set": (lambda: with_(uns={"tool": {"chosen": {1, 2}}}), "/uns/tool/chosen"),
    "a function": (lambda: with_(uns={"f": len}), "/uns/f"),
    "slash in uns": (lambda: with_(uns={"a/b": 3}), "'?a/b'?"),
    "slash in obsm": (lambda: with_(obsm={"a/b": np.ones((5, 2))}), "'?a/b'?"),
    "slash in layers": (lambda: with_(layers={"a/b": np.ones((5, 4))}), "'?a/b'?"),
    "slash in obsp": (lambda: with_(obsp={"a/b": np.ones((5, 5))}), "'?a/b'?"),
    "slash in varm": (lambda: with_(varm={"a/b": np.ones((4, 2))}), "'?a/b'?"),
    "reserved column": (lambda: with_(obs={"_index": 1.0}), "'_index' is a reserved name"),
    "mixed column of a table": (
        lambda: with_(obsm={"t": pd.DataFrame({"m": [{1}] * 5}, index=some().obs_names)}),
        "/obsm/t/m",
    ),
}
each_ending = pytest.mark.parametrize("ending", ["h5ad", "zarr"])


@each_ending
@pytest.mark.parametrize("name", UNWRITABLE)
@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning")
def test_the_trial_refuses_what_the_writing_refuses(name, ending, tmp_path):
    make, said = UNWRITABLE[name]
    if ending == "zarr" and name.startswith("mixed"):
        pytest.skip("anndata writes such values to zarr as text")
    target = str(tmp_path / f"a.{ending}")
    for refuse in (check_contents, write):
        with pytest.raises(OutputError, match=said):
            refuse(make(), target)
    assert not list(tmp_path.iterdir())


@each_ending
def test_the_trial_passes_what_can_be_written_and_changes_nothing(ending, tmp_path, model, pbmc):
    pbmc.raw = pbmc
    pbmc.obs["note"] = pd.Series(["x", np.nan] * 100, pbmc.obs_names, dtype=object)
    pbmc.obs["cluster"] = ["a", "b"] * 100
    pbmc.obsm["table"] = pd.DataFrame({"q": np.ones(200)}, index=pbmc.obs_names)
    scae.tl.embed(pbmc, model)
    before, dtypes = pbmc.copy(), pbmc.obs.dtypes.to_dict()
    check_contents(pbmc, str(tmp_path / f"a.{ending}"), ["CD3D", "CD3D"])
    assert not list(tmp_path.iterdir())
    assert pbmc.obs.dtypes.to_dict() == dtypes
    assert set(pbmc.obsm) == set(before.obsm)
    pd.testing.assert_frame_equal(pbmc.obs, before.obs)
    write(pbmc, str(tmp_path / f"a.{ending}"))


def test_the_trial_copies_no_matrix(tmp_path):
    adata = AnnData(sp.random(20_000, 100, 0.2, format="csr", dtype=np.float32))
    adata.layers["counts"] = adata.X.copy()
    adata.obsm["X_pca"] = np.ones((20_000, 200))
    tracemalloc.start()
    check_contents(adata, str(tmp_path / "a.h5ad"))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < adata.obsm["X_pca"].nbytes / 4


@pytest.mark.usefixtures("no_fit")
@pytest.mark.parametrize("verb", ["embed", "denoise"])
def test_commands_try_before_the_fit(verb, h5ad, tmp_path, capsys):
    """A column that h5ad holds, but zarr does not."""
    adata, source = anndata.read_h5ad(h5ad), tmp_path / "in.h5ad"
    adata.obs["north/south"] = 1.0
    with pytest.warns(FutureWarning, match="Forward slashes"):
        adata.write_h5ad(source)
    assert main([verb, str(source), str(tmp_path / "o.zarr")]) == 5
    err = capsys.readouterr().err
    assert "anndata cannot write /obs/north/south" in err
    assert len(err.splitlines()) == 1
    assert list(tmp_path.iterdir()) == [source]


@pytest.mark.usefixtures("no_fit")
def test_a_table_of_genes_that_zarr_cannot_hold_is_refused_before_the_fit(h5ad, tmp_path, capsys):
    adata, source = anndata.read_h5ad(h5ad), tmp_path / "in.h5ad"
    adata.var_names = ["A/B", *adata.var_names[1:]]
    adata.write_h5ad(source)
    assert main(["denoise", str(source), str(tmp_path / "o.zarr"), "--genes", "A/B", "CD3D"]) == 5
    assert "A/B" in capsys.readouterr().err


def disk_with(free: int, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage("/")
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage._replace(free=free))


def test_room_is_that_of_all_matrices_and_of_what_is_added(tmp_path, monkeypatch):
    adata = AnnData(np.ones((100, 50), np.float32), layers={"counts": sp.csr_matrix(np.ones((100, 50), np.float32))})
    adata.raw = adata
    adata.obsm["z"] = np.ones((100, 10))
    target, held = str(tmp_path / "a.h5ad"), 20_000 + 40_000 + 20_000 + 8_000  # X, layer with its indices, raw, z
    disk_with(held + 30_000, monkeypatch)
    check_room(adata, target)
    with pytest.raises(
        OutputError, match=rf"it takes at least \d+ bytes, and {tmp_path} has 118000 bytes free\. Free some space"
    ):
        check_room(adata, target, 40_000)
    check_room(adata, str(tmp_path / "a.zarr"), 40_000)  # compressed: how far is not known
    disk_with(500, monkeypatch)
    with pytest.raises(OutputError, match=r"a\.zarr"):
        check_room(adata, str(tmp_path / "a.zarr"))


def test_an_unknown_amount_of_room_refuses_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr("scae.cli.files.disk_free", lambda _: None)
    check_room(some(), str(tmp_path / "a.h5ad"), 10**18)


@pytest.mark.parametrize(
    ("words", "refused"),
    [
        ("denoise", True),
        ("denoise --genes CD3D", False),
        ("embed", False),
        ("denoise --key-added logged --overwrite", False),  # a layer in the place of another takes no more
    ],
)
def test_commands_ask_for_room_before_the_fit(words, refused, h5ad, tmp_path, monkeypatch, capsys):
    adata, said = anndata.read_h5ad(h5ad), "the fit began"

    def begin(*_: object, **__: object) -> None:
        raise scae.errors.DivergenceError(said)

    monkeypatch.setattr("scae.tl._fit.train", begin)
    held = sum(x.data.nbytes + x.indices.nbytes + x.indptr.nbytes for x in (adata.X, *adata.layers.values()))
    disk_with(held + 250_000, monkeypatch)  # enough for all but a layer, 4 bytes for each of 150 cells × 765 genes
    verb, *more = words.split()
    assert (main([verb, str(h5ad), str(tmp_path / "o.h5ad"), *more]) == 5) == refused
    err = capsys.readouterr().err
    assert ("free. Free some space" in err, said in err) == (refused, not refused)
    assert not list(tmp_path.iterdir())
