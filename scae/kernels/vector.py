"""Elementary functions in float32 without branches and calls, so that loops over them become vector instructions.

Their relative error is below 3e-7, three units in the last place. The polynomials are those of Cephes (Moshier 1992, ``expf`` and
``logf``); the exponent is read from the bits and written to them. NaN gives NaN, except in :func:`log`.
"""

from __future__ import annotations

import numpy as np

from .jit import jit

_f, _i = np.float32, np.int32
_LEAST, _GREATEST = _f(-86.5), _f(88.0)  # beyond, the exponent would run into that of denormal numbers, or into the sign
_LOG2E, _LN2_HIGH, _LN2_LOW = _f(1.44269504088896341), _f(0.693359375), _f(-2.12194440e-4)
_ROUND = _f(12582912.0)  # 1.5 · 2²³: added to a small number, it leaves the nearest whole number in the last bits
_SQRT_HALF = _i(0x3F3504F3)
_SQRT_HALF_DOUBLE = 0x3FE6A09E667F3BCD
_MANTISSA, _SIGN, _REST = _i(23), _i(31), _i(0x7FFFFFFF)
_ZERO, _HALF, _ONE = _f(0.0), _f(0.5), _f(1.0)
_E0, _E1, _E2, _E3, _E4, _E5 = (
    _f(c) for c in (1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1)
)
_L0, _L1, _L2, _L3, _L4, _L5, _L6, _L7, _L8 = (
    _f(c) for c in (
        7.0376836292e-2, -1.1514610310e-1, 1.1676998740e-1, -1.2420140846e-1, 1.4249322787e-1, -1.6668057665e-1, 2.0000714765e-1,
        -2.4999993993e-1, 3.3333331174e-1,
    )
)  # fmt: skip


@jit
def _bits(x):
    return np.float32(x).view(np.int32)


@jit
def _order(x):
    """Return whole numbers that are in the order of the float32 x, of which the largest can be found by vector instructions."""
    bits = _bits(x)
    return np.int32(bits ^ np.int32(np.int32(bits >> _SIGN) & _REST))


@jit
def _order_back(bits):
    return np.int32(bits ^ np.int32(np.int32(bits >> _SIGN) & _REST)).view(np.float32)


@jit(contract=True)
def exp(x):
    """Return e^x for float32 x; beyond −86.5 and 88, that of the nearest of the two."""
    x = _LEAST if x < _LEAST else x
    x = _GREATEST if x > _GREATEST else x
    shifted = x * _LOG2E + _ROUND
    n = shifted - _ROUND
    r = (x - n * _LN2_HIGH) - n * _LN2_LOW
    p = ((((_E0 * r + _E1) * r + _E2) * r + _E3) * r + _E4) * r + _E5
    y = p * (r * r) + r + _ONE
    return np.int32(_bits(y) + np.int32(_bits(shifted) << _MANTISSA)).view(np.float32)


@jit(contract=True)
def _scaled_log(r, n):
    """Return log((1 + r) · 2ⁿ) for r from √½ − 1 to √2 − 1."""
    p = (((((((_L0 * r + _L1) * r + _L2) * r + _L3) * r + _L4) * r + _L5) * r + _L6) * r + _L7) * r + _L8
    r2 = r * r
    return (n * _LN2_LOW + (p * r2 * r - _HALF * r2)) + r + n * _LN2_HIGH


@jit
def log(x):
    """Return log x for normal float32 x > 0; anything for other x."""
    bits = _bits(x)
    e = np.int32(np.int32(bits - _SQRT_HALF) >> _MANTISSA)
    return _scaled_log(np.int32(bits - np.int32(e << _MANTISSA)).view(np.float32) - _ONE, np.float32(e))


@jit
def log_of_double(x):
    """Return log x in float32 for normal float64 x > 0, which may be far beyond the range of float32."""
    bits = np.float64(x).view(np.int64)
    e = (bits - _SQRT_HALF_DOUBLE) >> 52
    return _scaled_log(np.float32(np.int64(bits - (e << 52)).view(np.float64) - 1.0), np.float32(e))


@jit(reorder=True)
def greatest(x):
    """Return the greatest entry of a float32 vector; NaN if there is one."""
    most = _order(x[0])
    for j in range(x.size):
        most = max(most, _order(x[j]))
    return _order_back(most)


@jit
def log1p(x, inverse):
    """Return log(1 + x) for float32 x ≥ 0, where ``inverse`` is 1 / (1 + x), which the caller needs anyway."""
    u = _ONE + x
    return log(u) + (x - (u - _ONE)) * inverse  # what the sum lost by rounding


@jit
def softplus(x):
    """Return log(1 + e^x) and its derivative, 1 / (1 + e^−x), for float32 x."""
    odds = exp(-abs(x))
    inverse = _ONE / (_ONE + odds)
    return (x if x > _ZERO else _ZERO) + log1p(odds, inverse), inverse if x > _ZERO else odds * inverse
