"""Elementary functions in float32 agree with float64 arithmetic."""

from __future__ import annotations

import numpy as np
import pytest

from scae.kernels import vector
from scae.kernels.jit import jit

RELATIVE = 3e-7
_exp, _log, _log1p, _softplus, _log_of_double = vector.exp, vector.log, vector.log1p, vector.softplus, vector.log_of_double
ONE = np.float32(1.0)


@jit
def exps(x, out):
    for j in range(x.size):
        out[j] = _exp(x[j])


@jit
def logs(x, out):
    for j in range(x.size):
        out[j] = _log(x[j])


@jit
def logs_of_doubles(x, out):
    for j in range(x.size):
        out[j] = _log_of_double(x[j])


@jit
def log1ps(x, out):
    for j in range(x.size):
        out[j] = _log1p(x[j], ONE / (ONE + x[j]))


@jit
def softpluses(x, out, slope):
    for j in range(x.size):
        out[j], slope[j] = _softplus(x[j])


def filled(kernel, x, n: int = 1):
    out = [np.empty(x.size, np.float32) for _ in range(n)]
    kernel(x, *out)
    return out[0] if n == 1 else out


def near(got, exact):
    np.testing.assert_allclose(got.astype(np.float64), exact, rtol=RELATIVE, atol=0)


LINE = np.linspace(-86.4, 87.9, 200_003).astype(np.float32)
POSITIVE = np.exp(np.linspace(-80, 80, 200_003)).astype(np.float32)


def test_exp():
    near(filled(exps, LINE), np.exp(LINE.astype(np.float64)))


def test_log():
    near(filled(logs, POSITIVE), np.log(POSITIVE.astype(np.float64)))
    around = (1 + np.linspace(-0.4, 0.6, 100_001)).astype(np.float32)
    near(filled(logs, around), np.log(around.astype(np.float64)))


def test_log1p():
    near(filled(log1ps, POSITIVE), np.log1p(POSITIVE.astype(np.float64)))
    assert filled(log1ps, np.zeros(1, np.float32)) == 0


def test_softplus_and_its_derivative():
    value, slope = filled(softpluses, LINE, 2)
    x = LINE.astype(np.float64)
    near(value, np.logaddexp(0, x))
    near(slope, 1 / (1 + np.exp(-x)))


def test_log_of_numbers_beyond_float32():
    x = np.exp(np.linspace(-600, 600, 100_003))
    near(filled(logs_of_doubles, x), np.log(x))


def test_out_of_range_the_bound_is_taken():
    low, high = filled(exps, np.array([-np.inf, np.inf], np.float32))
    assert 0 < low < 1e-37
    assert 1e38 < high < np.inf


@pytest.mark.parametrize("kernel", [exps, log1ps])
def test_nan_stays(kernel):
    assert np.isnan(filled(kernel, np.full(3, np.nan, np.float32))).all()
    value, slope = filled(softpluses, np.full(3, np.nan, np.float32), 2)
    assert np.isnan(value).all() or np.isnan(slope).all()


def test_greatest(rng):
    for x in (rng.normal(size=1001), -rng.gamma(1, 1, 37), np.array([-0.0]), np.array([-np.inf, 3.0, np.inf])):
        x = x.astype(np.float32)
        assert vector.greatest(x) == x.max()
    assert np.isnan(vector.greatest(np.array([1.0, np.nan, 2.0], np.float32)))
