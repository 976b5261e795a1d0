"""Principal components of a sparse matrix: those of the dense one."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from helpers import PEAK, run_python
from scipy.linalg import subspace_angles

from scae import threads
from scae.kernels.pca import components


def matrix(rows: int, columns: int, rank: int = 6) -> sp.csr_matrix:
    """Sparse values with a few directions that stand out."""
    rng = np.random.default_rng(0)
    signal = rng.normal(size=(rows, rank)) * np.linspace(4, 1, rank) @ rng.normal(size=(rank, columns))
    return sp.csr_matrix(np.maximum(signal + rng.normal(size=signal.shape) - 1, 0).astype(np.float32))


def designs(rows: int) -> list[np.ndarray]:
    rng, one = np.random.default_rng(1), np.ones((rows, 1))
    groups = np.eye(3)[rng.integers(0, 3, rows)]
    return [one, np.column_stack([one, rng.normal(size=rows)]), np.column_stack([one, groups])]  # the last depend on each other


@pytest.mark.parametrize("shape", [(90, 40), (40, 90), (300, 70), (70, 300)], ids=str)
@pytest.mark.parametrize("kind", [0, 1, 2])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_components_are_those_of_a_dense_decomposition(shape, kind, dtype):
    x, design = matrix(*shape).astype(dtype), designs(shape[0])[kind]
    found, dense = components(x, design, 5), x.toarray().astype(np.float64)
    left = dense - design @ np.linalg.lstsq(design, dense, rcond=None)[0]
    u, size, v = np.linalg.svd(left, full_matrices=False)
    np.testing.assert_allclose(design @ found.effects, dense - left, atol=1e-6)
    assert subspace_angles(found.axes, v[:5].T).max() < 1e-6
    np.testing.assert_allclose(np.abs(left @ found.axes), np.abs(u[:, :5] * size[:5]), atol=1e-4)
    rest = left - left @ found.axes @ found.axes.T
    np.testing.assert_allclose(found.residual, (rest**2).mean(0), atol=1e-6)
    assert (found.axes.max(0) == np.abs(found.axes).max(0)).all()


@pytest.mark.parametrize("shape", [(90, 40), (40, 90), (300, 100), (100, 300)], ids=str)
@pytest.mark.parametrize("rank", [0, 1, 2])
def test_beyond_the_rank_there_is_nothing(shape, rank):
    rng = np.random.default_rng(0)
    x = sp.csr_matrix(1 + rng.normal(size=(shape[0], rank)) @ rng.normal(size=(rank, shape[1])))
    found = components(x, np.ones((shape[0], 1)), 30)
    assert np.isfinite(found.axes).all()
    assert (np.abs(found.axes).sum(0) > 0).sum() == rank
    np.testing.assert_allclose(found.residual, 0, atol=1e-10)


def test_no_bit_depends_on_the_number_of_threads():
    x, one = matrix(1500, 200), np.ones((1500, 1))
    with threads.use(1):
        alone = components(x, one, 5)
    with threads.use(3):
        together = components(x, one, 5)
    assert all(a.tobytes() == b.tobytes() for a, b in zip(alone, together, strict=True))
    assert components(x, one, 5, seed=1).axes.tobytes() != alone.axes.tobytes()


def test_no_dense_matrix_is_made():
    """20,000 rows and columns, of which a dense copy would take 3.2 GB."""
    code = f"""
import numpy as np, scipy.sparse as sp
from scae.kernels.pca import components
rng = np.random.default_rng(0)
row, column = rng.integers(0, 20_000, (2, 400_000))
x = sp.csr_matrix((rng.gamma(1.0, size=row.size), (row, column)), (20_000, 20_000))
before = {PEAK}
components(x, np.ones((20_000, 1)), 3)
print({PEAK} - before)
"""
    assert int(run_python(code)) < 3e8
