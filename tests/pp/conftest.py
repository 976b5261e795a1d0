"""Kinds of matrices, and comparison of what a verb of scanpy's and of ours leaves behind."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """scanpy warns of its own deprecations; what we warn of is tested by name."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
