"""Errors are one line with a meaningful exit code; help loads nothing heavy."""

from __future__ import annotations

import subprocess
import sys

import pytest

from scae.cli import main

from .words import QUICK


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
        (["preprocess", "{tmp}/none.h5ad", "{tmp}/o.h5ad"], 5, "there is no file"),
    ],
)
def test_errors_are_one_line_with_a_code(words, code, said, h5ad, tmp_path, capsys):
    assert main([w.format(h5ad=h5ad, tmp=tmp_path) for w in words]) == code
    err = capsys.readouterr().err
    assert said in err
    assert "Traceback" not in err
    assert not list(tmp_path.iterdir())


def test_words_that_are_not_understood_are_one_line_too(h5ad, tmp_path, capsys):
    for words in (["fit", h5ad, tmp_path / "m.scae", "--lr", "fast"], ["check", h5ad, "more"], ["fti"], []):
        with pytest.raises(SystemExit) as end:
            main([str(word) for word in words])
        said = capsys.readouterr().err
        assert (end.value.code, said.count("\n")) == (2, 1), said
        assert said.endswith("--help lists what is allowed\n")


def test_help_loads_neither_torch_nor_scanpy():
    code = "import sys; from scae.cli import main\ntry: main(['--help'])\nexcept SystemExit: pass\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "embed" in done.stdout
    assert not {"torch", "scanpy", "anndata", "numba"} & set(done.stdout.split())
