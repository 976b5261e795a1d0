"""Outputs: what cannot be written is refused before the work, and what is written can be read back."""

from __future__ import annotations

import os
from pathlib import Path

import anndata
import numpy as np
import pytest

import scae
from scae.cli import main
from scae.cli.files import write
from scae.errors import OutputError

from .words import QUICK


def contents(folder: Path) -> dict[str, object]:
    """Every path in a folder, with the bytes of the ordinary files."""
    return {str(path): path.read_bytes() if path.is_file() else path.lstat().st_mode for path in sorted(folder.rglob("*"))}


def obstacles(folder: Path) -> None:
    """Things that are in the way of outputs."""
    for name in ("d.h5ad", "d.zarr", "d.scae"):
        (folder / name).mkdir()
        (folder / name / "mine.txt").write_text("mine")
    (folder / "f.zarr").write_text("mine")
    for ending in ("h5ad", "scae"):
        (folder / f"null.{ending}").symlink_to(os.devnull)
        os.mkfifo(folder / f"pipe.{ending}")


DATA = {
    "no/o.h5ad": "there is no folder",
    "no/o.zarr": "there is no folder",
    "d.h5ad": "it is a folder",
    "d.zarr": "is not a zarr store",
    "f.zarr": "is not a zarr store",
    "null.h5ad": "not an ordinary file",
    "pipe.h5ad": "not an ordinary file",
    "o.loom": "must end in .h5ad or .zarr",
    "o": "must end in .h5ad or .zarr",
    "o.h5ad.gz": "must end in .h5ad or .zarr",
}
MODELS = {
    "no/m.scae": "there is no folder",
    "d.scae": "it is a folder",
    "null.scae": "not an ordinary file",
    "pipe.scae": "not an ordinary file",
    "m.h5ad": "names in .h5ad and .zarr are for data",
    "m.zarr": "names in .h5ad and .zarr are for data",
}
COMMANDS = {
    **{(verb, f"{{h5ad}} {{tmp}}/{name}"): said for verb in ("embed", "denoise") for name, said in DATA.items()},
    **{
        (verb, f"{{h5ad}} {{tmp}}/{name} --model {{model}}"): said for verb in ("embed", "denoise") for name, said in DATA.items()
    },
    **{
        (verb, f"{{h5ad}} {{tmp}}/o.h5ad --save-model {{tmp}}/{name}"): said
        for verb in ("embed", "denoise")
        for name, said in MODELS.items()
    },
    **{("fit", f"{{h5ad}} {{tmp}}/{name}"): said for name, said in MODELS.items()},
    ("fit", "{h5ad} {tmp}/m.scae --checkpoint {tmp}/f.zarr"): "is not a folder",
    ("fit", "{h5ad} {tmp}/m.scae --checkpoint {tmp}/f.zarr/inside"): "is not a folder",
    ("embed", "{h5ad} {tmp}/o.h5ad --checkpoint {tmp}/f.zarr"): "is not a folder",
}


@pytest.mark.usefixtures("no_fit")
@pytest.mark.parametrize(("words", "said"), COMMANDS.items(), ids=map(" ".join, COMMANDS))
def test_what_cannot_be_written_is_refused_before_a_fit(words, said, h5ad, model_file, tmp_path, capsys, monkeypatch):
    if "--model" in words[1]:
        monkeypatch.setattr("scae.cli.applying.load", lambda *_, **__: pytest.fail("the model was read"))
    obstacles(tmp_path)
    before = contents(tmp_path)
    assert main([words[0], *words[1].format(h5ad=h5ad, tmp=tmp_path, model=model_file).split()]) == 5
    err = capsys.readouterr().err
    assert said in err
    assert len(err.splitlines()) == 1
    assert contents(tmp_path) == before


@pytest.mark.usefixtures("no_fit")
def test_the_input_is_not_replaced_by_a_model(h5ad):
    before = h5ad.read_bytes()
    assert main(["fit", str(h5ad), str(h5ad)]) == 5
    assert h5ad.read_bytes() == before


READ = {".h5ad": anndata.read_h5ad, ".zarr": anndata.read_zarr}


def copied(h5ad: Path, folder: Path, ending: str) -> Path:
    path = folder / f"in{ending}"
    adata = anndata.read_h5ad(h5ad)
    adata.write_h5ad(path) if ending == ".h5ad" else adata.write_zarr(path)
    return path


@pytest.mark.parametrize("end", [*READ, "in place"])
@pytest.mark.parametrize("start", READ)
@pytest.mark.parametrize(("verb", "slot", "key"), [("embed", "obsm", "X_scae"), ("denoise", "layers", "denoised")])
def test_every_format_to_every_format(verb, slot, key, start, end, h5ad, model_file, tmp_path):
    """What is read back is what the verb writes in memory, and nothing else lies about."""
    source = copied(h5ad, tmp_path, start)
    target = source if end == "in place" else tmp_path / f"out{end}"
    assert main([verb, str(source), str(target), "--model", str(model_file), "--quiet"]) == 0
    assert {path.name for path in tmp_path.iterdir()} == {source.name, target.name}
    back, here = READ[target.suffix](target), anndata.read_h5ad(h5ad)
    getattr(scae.tl, verb)(here, scae.load(model_file))
    np.testing.assert_array_equal(getattr(back, slot)[key], getattr(here, slot)[key])
    assert (back.X != here.X).nnz == 0
    assert (set(back.obs), set(back.layers), set(back.uns)) == (set(here.obs), set(here.layers), set(here.uns))
    assert main(["check", str(target), "--quiet"]) == 0


@pytest.mark.usefixtures("no_fit")
@pytest.mark.parametrize("ending", READ)
@pytest.mark.parametrize("key", ["cond/X", "", "."])
@pytest.mark.parametrize("verb", ["embed", "denoise"])
def test_a_key_that_a_file_cannot_hold_leaves_the_file_as_it_is(verb, key, ending, h5ad, tmp_path, capsys):
    file = copied(h5ad, tmp_path, ending)
    before = contents(tmp_path)
    assert main([verb, str(file), str(file), "--key-added", key]) == 2
    assert "cannot be used for" in capsys.readouterr().err
    assert contents(tmp_path) == before


@pytest.mark.parametrize(("verb", "slot", "key"), [("embed", "obsm", "X_scae"), ("denoise", "layers", "denoised")])
def test_results_of_the_user_are_replaced_only_with_overwrite(verb, slot, key, h5ad, model_file, tmp_path, capsys):
    adata, file = anndata.read_h5ad(h5ad), str(tmp_path / "mine.h5ad")
    getattr(adata, slot)[key] = np.ones(adata.shape, np.float32)
    adata.write_h5ad(file)
    before = contents(tmp_path)
    words = [verb, file, file, "--model", str(model_file)]
    assert main(words) == 2
    assert f"{slot}['{key}'] is there already" in capsys.readouterr().err
    assert contents(tmp_path) == before
    assert main([*words, "--overwrite"]) == 0
    assert not (getattr(anndata.read_h5ad(file), slot)[key] == 1).all()
    assert main(words) == 0, "by now it is scae's own"


def test_what_anndata_cannot_write_is_one_line_and_leaves_the_old_file(h5ad, model_file, tmp_path, capsys):
    adata, source = anndata.read_h5ad(h5ad), tmp_path / "in.h5ad"
    adata.obs["north/south"] = 1.0  # h5ad holds it, but zarr does not
    with pytest.warns(FutureWarning, match="Forward slashes"):
        adata.write_h5ad(source)
    target = copied(h5ad, tmp_path, ".zarr")
    before = contents(tmp_path)
    assert main(["embed", str(source), str(target), "--model", str(model_file)]) == 5
    err = capsys.readouterr().err.splitlines()
    assert [line for line in err if line.startswith("scae embed: ")] == err[-1:]
    assert "anndata cannot write /obs/north/south" in err[-1]
    assert contents(tmp_path) == before


@pytest.mark.parametrize("ending", READ)
def test_a_store_that_lacks_something_is_not_put_in_place(ending, h5ad, tmp_path, monkeypatch):
    target = copied(h5ad, tmp_path, ending)
    before = contents(tmp_path)
    adata = anndata.read_h5ad(h5ad)
    adata.obsm["new"] = np.ones((adata.n_obs, 2))
    dropped = adata.copy()
    del dropped.obsm["new"]
    monkeypatch.setattr("scae.cli.files.write_dispatched", lambda file, root, *_: anndata.io.write_elem(file, root, dropped))
    monkeypatch.setattr(adata, "write_zarr", dropped.write_zarr)
    with pytest.raises(OutputError, match="obsm of what was written lacks 'new'"):
        write(adata, str(target))
    assert contents(tmp_path) == before


def test_a_fit_that_was_saved_is_what_was_applied(h5ad, tmp_path):
    out, saved = tmp_path / "o.zarr", tmp_path / "m.scae"
    assert main(["embed", str(h5ad), str(out), "--save-model", str(saved), "--device", "cpu", *QUICK]) == 0
    adata = anndata.read_h5ad(h5ad)
    scae.tl.embed(adata, scae.load(saved))
    np.testing.assert_array_equal(anndata.read_zarr(out).obsm["X_scae"], adata.obsm["X_scae"])
