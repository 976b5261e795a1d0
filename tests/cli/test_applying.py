"""A fitted model takes no option of a fit: each is refused by name, before anything is read."""

from __future__ import annotations

import anndata
import numpy as np
import pytest

import scae
from scae import config
from scae.cli import main
from scae.cli.options import flag
from scae.errors import ConfigError
from scae.keys import KEYWORDS

WORDS = ("3", "0.5", "true", "8x8", "none", "nb")  # one of them is a value of any option


def word_for(option: config.ModelOption) -> str:
    """A word that an option of a model takes."""
    for word in (*(map(str, option.field.choices or ())), *WORDS):
        try:
            option.field.parse(word)
        except ConfigError:
            continue
        return word
    raise AssertionError


OPTIONS = {flag(name): "batch" for name in KEYWORDS if name != "layer"}
OPTIONS |= {flag(name): word_for(option) for name, option in config.model_options().items()}
OPTIONS |= {"--preset": "dca", "--config": "c.json", "--random-state": "0", "--checkpoint": "folder", "--save-model": "m.scae"}


@pytest.mark.usefixtures("no_fit")
@pytest.mark.parametrize("name", OPTIONS)
def test_each_option_of_a_fit_is_refused_beside_model(name, h5ad, model_file, tmp_path, capsys, monkeypatch):
    for place in ("read", "load"):
        monkeypatch.setattr(f"scae.cli.applying.{place}", lambda *_, **__: pytest.fail("something was read"))
    for verb in ("embed", "denoise"):
        words = [verb, str(h5ad), str(tmp_path / "o.h5ad"), "--model", str(model_file), name, OPTIONS[name]]
        assert main(words) == 2
        assert f": {name} cannot be given" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_several_are_named_together(h5ad, model_file, tmp_path, capsys):
    given = ("--batch-key", "--mask-var", "--bottleneck-dim", "--epochs")
    pairs = [word for name in given for word in (name, OPTIONS[name])]
    assert main(["embed", str(h5ad), str(tmp_path / "o.h5ad"), "--model", str(model_file), *pairs]) == 2
    said = capsys.readouterr().err
    assert all(name in said for name in given)


@pytest.mark.parametrize(("flag", "with_sd"), [("--with-sd", True), ("--calibrated-sd", "calibrated")])
def test_what_is_not_of_the_fit_is_allowed(flag, with_sd, h5ad, model_file, tmp_path):
    """The layer of these cells, the machine, and the options of the verb."""
    out, words = tmp_path / "o.h5ad", ["--layer", "counts", "--device", "cpu", "--threads", "1", "--overwrite", "--quiet"]
    assert main(["embed", str(h5ad), str(out), "--model", str(model_file), *words, "--key-added", "z", flag]) == 0
    adata = anndata.read_h5ad(h5ad)
    scae.tl.embed(adata, scae.load(model_file), key_added="z", with_sd=with_sd, layer="counts")
    back = anndata.read_h5ad(out)
    assert all(np.array_equal(back.obsm[key], adata.obsm[key]) for key in ("z", "z_sd"))
