"""Settings for all tests of preprocessing."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """Ignore warnings, since scanpy warns about its own deprecations; the tests of our warnings catch them by name."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
