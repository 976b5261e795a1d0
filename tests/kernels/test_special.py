"""Special functions agree with 50-digit arithmetic."""

from __future__ import annotations

import math

import mpmath as mp
from helpers import run_python
from hypothesis import given
from hypothesis import strategies as st

from scae.kernels.special import deviance_part, digamma_less_log, log1p_less, stirling_error

DIGITS = 50


def log_uniform(low: float, high: float) -> st.SearchStrategy[float]:
    """Generate floats between ``low`` and ``high`` on a logarithmic scale."""
    return st.floats(math.log(low), math.log(high)).map(math.exp)


def near(value: float, exact: mp.mpf, *, relative: float = 1e-12, absolute: float = 1e-15) -> bool:
    """Tell whether a value agrees with the exact one."""
    return abs(mp.mpf(value) - exact) <= relative * abs(exact) + absolute


@given(log_uniform(1e-8, 1e9))
def test_stirling_error(n):
    with mp.workdps(DIGITS):
        x = mp.mpf(n)
        exact = mp.loggamma(x + 1) - (x + 0.5) * mp.log(x) + x - mp.log(2 * mp.pi) / 2
        assert near(stirling_error(n), exact, absolute=2e-14)


@given(log_uniform(1e-6, 1e9))
def test_digamma_less_log(a):
    with mp.workdps(DIGITS):
        assert near(digamma_less_log(a), mp.digamma(mp.mpf(a)) - mp.log(mp.mpf(a)), absolute=1e-15)


@given(st.one_of(log_uniform(1e-12, 1e6), log_uniform(1e-12, 1 - 1e-9).map(lambda u: -u)))
def test_log1p_less(u):
    with mp.workdps(DIGITS):
        assert near(log1p_less(u), mp.log1p(mp.mpf(u)) - mp.mpf(u), absolute=0.0)


@given(log_uniform(1e-6, 1e8), st.one_of(log_uniform(1e-12, 1e6), log_uniform(1e-12, 0.999).map(lambda g: -g)))
def test_deviance_part(m, share):
    """With x = m (1 + share): x log(x/m) + m − x from the exact gap x − m."""
    gap = m * share
    with mp.workdps(DIGITS):
        x = mp.mpf(m) + mp.mpf(gap)
        exact = x * mp.log(x / mp.mpf(m)) - mp.mpf(gap)
        assert near(deviance_part(float(x), m, gap), exact, relative=1e-11, absolute=1e-16 * m)


def test_series_end_for_nan_and_infinity():
    """A series that ends when its terms are negligible must also end for NaN; in another process, since it might not end."""
    calls = ["stirling_error(nan)", "digamma_less_log(nan)", "log1p_less(nan)", "deviance_part(nan, nan, nan)"]
    calls += ["deviance_part(inf, inf, 1.0)", "deviance_part(inf, 1.0, nan)", "log1p_less(inf) - inf"]
    code = f"from math import inf, nan\nfrom scae.kernels.special import *\nprint(*[{', '.join(calls)}])"
    assert run_python(code, timeout=60).split() == ["nan"] * len(calls)
