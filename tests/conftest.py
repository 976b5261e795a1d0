"""What every test may ask for: devices, real counts, and a model fitted to them once."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from anndata import AnnData
from helpers import QUICK, SHARED, real_counts
from hypothesis import settings

import scae

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
    """200 real cells × 765 genes, with two made-up batches and a continuous covariate; a fresh copy a test."""
    return real_counts()


@pytest.fixture(scope="session")
def model() -> scae.Autoencoder:
    """A β-VAE with a batch covariate, fitted to the cells of :func:`pbmc`; tests must not change it."""
    return scae.tl.fit(real_counts(), plan=QUICK, batch_key="batch", device="cpu")


@pytest.fixture
def rng() -> np.random.Generator:
    """A generator with a fixed seed."""
    return np.random.default_rng(0)
