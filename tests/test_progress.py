"""What is seen of a fit while it runs, and of the model afterwards."""

from __future__ import annotations

import logging
import re

import pandas as pd
import pytest
from helpers import run_python

import scae
from scae import progress
from scae.errors import ConfigError, NotFittedError

PLAN = scae.TrainPlan(epochs=1, min_steps=40, max_steps=40, batch_size=64)


@pytest.fixture
def every_line(monkeypatch, caplog):
    monkeypatch.setattr(progress, "_LEAST", 0)
    caplog.set_level(logging.INFO, "scae")
    return caplog


def lines(caplog) -> list[str]:
    return [record.message for record in caplog.records if re.match(r"step \d+ of", record.message)]


def test_logs_have_a_line_every_tenth_with_the_losses_and_the_time_left(pbmc, every_line):
    scae.tl.fit(pbmc, plan=PLAN)
    told = lines(every_line)
    assert [int(line.split()[1]) for line in told] == [4, 8, 12, 16, 20, 24, 28, 32, 36]
    assert all(re.fullmatch(r"step \d+ of 40, loss \d+\.\d(, held-out \d+\.\d)?; about \d+ (s|min) left", line) for line in told)


@pytest.mark.parametrize("shown", [True, False])
def test_a_bar_or_nothing_by_choice(shown, pbmc, every_line, capsys):
    model = scae.tl.embed(pbmc, plan=PLAN, progress=shown)
    scae.tl.denoise(pbmc, model, progress=shown)  # of no effect where nothing is fitted
    assert lines(every_line) == []
    assert ("40" in capsys.readouterr().err) == shown
    with pytest.raises(ConfigError, match="progress is 'yes'; allowed: True, False, None"):
        scae.tl.fit(pbmc, progress="yes")


def test_a_fit_with_and_without_has_the_same_history(pbmc):
    plain, shown = (scae.tl.fit(pbmc, plan=PLAN, progress=given) for given in (False, None))
    pd.testing.assert_frame_equal(plain.history.drop(columns="seconds"), shown.history.drop(columns="seconds"))


def test_the_history_is_a_table_with_the_row_that_was_kept(model):
    table = model.history
    assert isinstance(table, pd.DataFrame)
    assert table["loss"].tolist() == [row["loss"] for row in model.fitted["history"]["rows"]]
    assert table.index[table["kept"]].tolist() == [model.fitted["history"]["best"]]


def test_a_model_prints_as_five_lines(model):
    text = str(model).splitlines()
    assert len(text) == 5
    assert max(map(len, text)) <= 130
    assert text[0].startswith("Autoencoder: 765 genes")
    assert "X, batch_key 'batch'" in text[3]
    assert "12 steps" in text[4]
    assert repr(model) == str(model)


def test_a_model_that_is_not_fitted_says_so(model):
    import torch

    bare = scae.Autoencoder(model.spec, model.data, torch.Generator().manual_seed(0))
    assert str(bare).splitlines()[4].split() == ["fit", "not", "fitted"]
    with pytest.raises(NotFittedError, match="no history"):
        bare.history  # noqa: B018


def test_a_command_that_is_quiet_says_nothing_of_the_steps(tmp_path, pbmc, every_line):
    from scae.cli import main

    pbmc.write_h5ad(tmp_path / "a.h5ad")
    words = ["fit", str(tmp_path / "a.h5ad"), str(tmp_path / "m.scae"), "--max-steps", "40", "--min-steps", "40", "--epochs", "1"]
    assert main([*words, "--quiet"]) == 0
    assert lines(every_line) == []


def test_outside_a_notebook_no_widget_is_loaded():
    code = "from scae.progress import Progress\nwith Progress(2, 0, None): pass\nimport sys; print('ipywidgets' in sys.modules)"
    assert run_python(code) == "False"
