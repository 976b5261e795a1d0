"""What every test may ask for: devices, real counts, and a model fitted to them once."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from anndata import AnnData
from helpers import QUICK, SHARED, counts_like, real_counts
from hypothesis import settings

import scae
from scae import evaluate
from scae.signals import ENDING

torch.set_num_threads(1)
settings.register_profile("scae", deadline=None, max_examples=40, derandomize=True)
settings.load_profile("scae")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of the real data sets are skipped where those are not at hand."""
    if not SHARED.is_dir():
        for item in items:
            if "shared" in item.keywords:
                item.add_marker(pytest.mark.skip(reason=f"no real data beside the repository ({SHARED.name}/)"))


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA"))])
def device(request: pytest.FixtureRequest) -> torch.device:
    """Each device that this machine has."""
    return torch.device(request.param)


@pytest.fixture
def pbmc() -> AnnData:
    """200 real cells × 765 genes, with two made-up batches and a continuous covariate; a fresh copy per test."""
    return real_counts()


@pytest.fixture(scope="session")
def model() -> scae.Autoencoder:
    """A β-VAE with a batch covariate, fitted to the cells of :func:`pbmc`; tests must not change it."""
    return scae.tl.fit(real_counts(), plan=QUICK, batch_key="batch", device="cpu")


@pytest.fixture
def rng() -> np.random.Generator:
    """A generator with a fixed seed."""
    return np.random.default_rng(0)


@pytest.fixture
def fold(rng: np.random.Generator) -> tuple[evaluate.Split, sp.csr_matrix]:
    """Counts, one cell of them empty, and a split of their molecules."""
    dense = counts_like(rng, 700, 40)
    dense[5] = 0
    x = sp.csr_matrix(dense)
    return evaluate.split(x, 0.8, 3), x


@pytest.fixture
def python_handlers() -> Iterator[None]:
    """Python's own signal handlers, even where some signals are ignored (``nohup``); a test must put them back."""
    own = {number: signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL for number in ENDING}
    before = {number: signal.signal(number, handler) for number, handler in own.items()}
    yield
    left = {number: signal.signal(number, handler) for number, handler in before.items()}
    assert left == own, "a handler was not put back"
