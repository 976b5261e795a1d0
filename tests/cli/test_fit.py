"""scae fit, from options and from configuration files."""

from __future__ import annotations

import json

import scae
from scae.cli import main

from .words import QUICK


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
    data = scae.load(model).data
    assert (data.keys.label_key, data.labels) == ("batch", ("a", "b"))


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
