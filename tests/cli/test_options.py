"""Every option of a model is an option of the command line."""

from __future__ import annotations

import json
import os
import re
import sys

import pytest
from helpers import ROOT, run_python

import scae
from scae import parts
from scae.cli import main
from scae.config import read_file
from scae.errors import ModelFileError

from .words import QUICK


def test_every_field_of_every_part_is_an_option(capsys):
    with pytest.raises(SystemExit):
        main(["fit", "--help-all"])
    text = capsys.readouterr().out
    for kind in ("corruption", "transform", "network", "bottleneck", "prior", "likelihood"):
        for name in scae.parts.names(kind):
            for field in scae.parts.find(kind, name).__dataclass_fields__:
                assert f"--{kind}-{field.replace('_', '-')}" in text


def test_the_short_help_fits_on_two_screens_and_gives_values_with_their_defaults(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    for words in (["fit", "--help"], ["fit", "--help-all"]):
        with pytest.raises(SystemExit):
            main(words)
    text = capsys.readouterr().out
    short, _, whole = text.partition("usage: scae fit input model [OPTIONS]\n")[2].partition("usage: ")
    assert len(short.splitlines()) < 80 < 2 * len(short.splitlines()) < len(whole.splitlines())
    assert "--help-all" in short
    assert "--free-bits" not in short
    assert re.search(r"--epochs N .*\(20\)", " ".join(short.split()))
    assert re.search(r"--likelihood NAME one of: bernoulli, .*zinb \(nb\)", " ".join(short.split()))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["emebd", "a", "b"], "scae: there is no command emebd (did you mean embed?)"),
        (["zzz"], "scae: there is no command zzz; allowed: check, fit, "),
        (["embed", "a", "b", "--lay", "x"], "scae embed: there is no option --lay (did you mean --layer?)"),
        (["embed", "a", "b", "--bacth-key=x"], "scae embed: there is no option --bacth-key (did you mean --batch-key"),
        (["--quiett", "check", "a"], "scae check: there is no option --quiett (did you mean --quiet?)"),
    ],
)
def test_what_is_misspelt_comes_with_the_closest(words, said, capsys):
    with pytest.raises(SystemExit) as end:
        main(words)
    err = capsys.readouterr().err
    assert (end.value.code, err.count("\n")) == (2, 1)
    assert err.startswith(said)


def test_yaml_says_the_same_as_json(h5ad, tmp_path):
    (tmp_path / "a.json").write_text(
        json.dumps({"preset": "dca", "plan": {"epochs": 1, "min_steps": 5}, "spec": {"likelihood": "poisson"}})
    )
    (tmp_path / "a.yaml").write_text("preset: dca\nplan: {epochs: 1, min_steps: 5}\nspec:\n  likelihood: poisson\n")
    assert read_file(tmp_path / "a.json") == read_file(tmp_path / "a.yaml")
    (tmp_path / "bad.yml").write_text("preset: [dca\n")
    with pytest.raises(ModelFileError, match=r"bad.yml is not YAML"):
        read_file(tmp_path / "bad.yml")
    assert main(["fit", str(h5ad), str(tmp_path / "m.scae"), "--config", str(tmp_path / "a.yaml")]) == 0


def test_a_missing_module_is_named_with_how_to_install_it(h5ad, tmp_path, monkeypatch, capsys):
    (tmp_path / "a.yaml").write_text("preset: dca\n")
    monkeypatch.setitem(sys.modules, "yaml", None)
    assert main(["fit", str(h5ad), str(tmp_path / "m.scae"), "--config", str(tmp_path / "a.yaml")]) == 1
    assert (
        capsys.readouterr().err
        == "scae fit: this needs the module yaml, which is not installed. Install it: pip install pyyaml\n"
    )


MINE = '''
from scae.corruptions import NoCorruption
from scae.parts import option, part


@part("corruption", "mine")
class Mine(NoCorruption):
    """Nothing, of one's own."""

    strength: float = option("how much of it", default=0.5)
'''


@pytest.fixture
def own(monkeypatch):
    whole = {kind: {n: parts.find(kind, n) for n in parts.names(kind)} for kind in parts.kinds()}
    monkeypatch.setattr(parts, "_catalogue", whole)


@pytest.mark.usefixtures("own")
def test_parts_of_a_file_are_options_once_it_is_imported(h5ad, tmp_path, capsys):
    (tmp_path / "my_parts.py").write_text(MINE)
    words = ["fit", str(h5ad), str(tmp_path / "m.scae"), "--corruption", "mine", *QUICK]
    assert main(words) == 2
    imported = ["--import", str(tmp_path / "my_parts.py")]
    assert main([*words, *imported, "--corruption-strength", "0.25"]) == 0
    assert scae.load(tmp_path / "m.scae").spec.corruption.strength == 0.25
    capsys.readouterr()
    (tmp_path / "bad.py").write_text("1 / 0")
    assert main(["parts", "--import", str(tmp_path / "bad.py")]) == 2
    assert "bad.py cannot be imported (ZeroDivisionError: division by zero)" in capsys.readouterr().err
    assert main(["parts", "--import", str(tmp_path / "none.py")]) == 5


def test_installed_packages_add_parts_and_a_broken_one_is_left_out(tmp_path):
    (tmp_path / "of_others.py").write_text(MINE)
    about = tmp_path / "of_others-1.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Name: of-others\nVersion: 1\n")
    (about / "entry_points.txt").write_text("[scae.parts]\nmine = of_others\nbroken = no_such_module_at_all\n")
    code = (
        "import warnings; from scae import parts\n"
        "with warnings.catch_warnings(record=True) as told:\n"
        "    warnings.simplefilter('always')\n    names = parts.names('corruption')\n"
        "print('mine' in names, [str(w.message) for w in told])"
    )
    said = run_python(code, PYTHONPATH=os.pathsep.join([str(tmp_path), str(ROOT)]))
    assert said.startswith(
        "True [\"the parts of the entry point 'broken' (no_such_module_at_all) are left out: ModuleNotFoundError"
    )
