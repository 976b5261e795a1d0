"""Windows of a genome track, real and at positions that no fit has seen; the benchmark's own protocol."""

from __future__ import annotations

import importlib.util
import sys

import numpy as np
import pytest
from helpers import ROOT, SHARED
from scipy.special import xlogy

import scae

WINDOWS = SHARED / "track_windows.h5ad"
pytestmark = [pytest.mark.shared, pytest.mark.skipif(not WINDOWS.exists(), reason="no track beside the repository")]


@pytest.fixture(scope="module")
def tracks():
    """workflows/benchmark/tracks.py, which is not in a package."""
    found = importlib.util.spec_from_file_location("tracks", ROOT / "workflows" / "benchmark" / "tracks.py")
    module = importlib.util.module_from_spec(found)
    sys.modules["tracks"] = module  # its dataclass looks itself up
    found.loader.exec_module(module)
    yield module
    del sys.modules["tracks"]


def test_no_base_is_in_windows_of_both_parts(tracks):
    adata = tracks.read(WINDOWS)
    for number in tracks.SPLITS:
        task = tracks.task(adata, number)
        seen, unseen = (
            {base for a, b in zip(part.obs["start"], part.obs["end"], strict=True) for base in range(a, b, 100)}
            for part in (task.train, task.whole)
        )
        assert seen
        assert unseen
        assert not seen & unseen
        assert (task.fold.train + task.fold.test != task.whole.X).nnz == 0


def test_what_is_explained_is_of_the_poisson_deviance(tracks):
    task = tracks.task(tracks.read(WINDOWS), 1)
    rng = np.random.default_rng(0)
    expected = task.flat() * rng.uniform(0.8, 1.2, task.flat().shape)

    def deviance(x, mu):
        return 2 * (xlogy(x, x) - xlogy(x, mu) - x + mu).sum()

    test = task.fold.test.toarray().astype(float)
    want = 1 - deviance(test, expected) / deviance(test, task.flat())
    assert tracks.measures(task, expected)["held-out reads"] == pytest.approx(want, rel=1e-6)
    assert tracks.measures(task, task.flat())["held-out reads"] == 0


def test_convolutions_find_peaks_where_no_fit_has_seen_them(tracks):
    """They explain held-out reads beyond the mean of each bin, and more than a linear model."""
    task, plan = tracks.task(tracks.read(WINDOWS), 1), scae.TrainPlan(held_out=0.0, epochs=1, min_steps=700)
    found = dict(tracks.models(task, ["linear", "convolutions of 4 and 4"], plan))
    linear, convolved = found["linear"], found["convolutions of 4 and 4"]
    assert convolved["held-out reads"] > max(linear["held-out reads"], 0.03)
    assert convolved["−ELBO"] < linear["−ELBO"]
