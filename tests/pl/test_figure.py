"""What all plots share: labels, files, errors, and when matplotlib loads."""

from __future__ import annotations

import matplotlib.pyplot as plt
import pytest
from helpers import run_python

import scae
from scae.errors import ConfigError, MissingKeyError
from scae.pl import _figure

from .artists import table


def test_labels_are_moved_apart():
    _, panel = plt.subplots()
    panel.plot([0, 1], [0, 1])
    labels = [_figure.beside(panel, 0.5, 0.5 + 1e-3 * i, f"label {i}") for i in range(4)]
    assert _figure.collide(panel.figure, labels)
    _figure.spread(panel, labels)
    assert not _figure.collide(panel.figure, labels)


@pytest.mark.parametrize(("suffix", "head"), [("png", b"\x89PNG"), ("pdf", b"%PDF"), ("svg", b"<?xml")])
def test_save_writes_the_file_and_axes_may_be_given(suffix, head, tmp_path):
    _, given = plt.subplots()
    path = tmp_path / f"a.{suffix}"
    assert scae.pl.cross_validation(table(), ax=given, save=path) is given
    assert path.read_bytes().startswith(head)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    assert plt.rcParams["axes.spines.top"]


@pytest.mark.parametrize(
    ("draw", "fault", "said"),
    [
        (lambda a, _: scae.pl.latent(a, "X_umapp"), MissingKeyError, "did you mean 'X_umap'"),
        (lambda a, _: scae.pl.latent(a, color="bulk_label"), MissingKeyError, "did you mean 'bulk_labels'"),
        (lambda a, _: scae.pl.latent(a, projection="tsne"), MissingKeyError, "'umap'"),
        (lambda a, _: scae.pl.latent(a, color="age", projection="pca", ax=plt.gca()), ConfigError, "2 panels"),
        (lambda a, m: scae.pl.denoising(a, "CD3", "LYZ", m), MissingKeyError, "did you mean"),
        (lambda a, m: scae.pl.denoising(a, "CD3D", "LYZ", m, layer="none"), MissingKeyError, "scae.tl.denoise"),
        (lambda a, m: scae.pl.denoising(a, "LYZ", "LYZ", m, layer="counts"), ConfigError, "two genes"),
        (lambda a, m: scae.pl.zeros(a, m, save="a.tif7"), ConfigError, "png"),
        (lambda a, m: scae.pl.mean_variance(a, m, save="no/a.png"), FileNotFoundError, "no folder no"),
    ],
)
def test_what_is_not_there_is_said(draw, fault, said, embedded, model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(fault, match=said):
        draw(embedded, model)
    assert not list(tmp_path.iterdir())


def test_matplotlib_loads_with_the_first_picture():
    assert run_python("import sys, scae; scae.pl.history; print('matplotlib.pyplot' in sys.modules)") == "False"


def test_a_notebook_stays_interactive(tmp_path):
    """A backend that makes pyplot interactive as it loads, as a notebook's does, finds it so after the first plot."""
    backend = "import matplotlib\nfrom matplotlib.backends.backend_agg import FigureCanvas\nmatplotlib.interactive(True)\n"
    (tmp_path / "live_backend.py").write_text(backend)
    code = f"""
import sys; sys.path.insert(0, {str(tmp_path)!r})
import matplotlib.pyplot as plt
from scae.pl._figure import drawing
with drawing(1, None, show=False, save=None):
    pass
print(plt.isinteractive())
"""
    assert run_python(code, MPLBACKEND="module://live_backend") == "True"
