"""What :func:`scae.tl.denoise` can write, and which options go together."""

from __future__ import annotations

from math import inf
from numbers import Integral, Real
from typing import Any, cast

from ..errors import ConfigError
from ..likelihoods import Likelihood
from ..parts import of_kind

POSTERIORS = ("posterior", "posterior_log_mean")
KINDS = ("mean", "posterior", "rate", "log_mean", "posterior_log_mean", "sample")
AT_10K = ("rate", "log_mean", "posterior_log_mean")  # unless another library size is given


def check_numbers(library_size: Any, n_samples: Any, technical_cv2: Any) -> None:
    """Refuse numbers that are none, or out of range.

    Raises
    ------
    ConfigError
        Says what is allowed.
    """
    size = library_size is None or (_is_number(library_size) and library_size > 0)
    cv2 = isinstance(technical_cv2, str) or (_is_number(technical_cv2) and technical_cv2 >= 0)
    if not size or not cv2 or not (isinstance(n_samples, Integral) and int(n_samples) >= 0):
        raise ConfigError(
            f"library_size is {library_size!r}, n_samples {n_samples!r}, technical_cv2 {technical_cv2!r}; allowed: a finite "
            "library_size above 0, a whole n_samples from 0, and for technical_cv2 a finite number from 0, or spike-ins by name."
        )


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and abs(float(cast(float, value))) < inf


def check_kind(
    likelihood: Likelihood,
    kind: str,
    *,
    with_sd: bool = False,
    technical_cv2: Any = 0.0,
    library_size: Any = None,
    at_batch: str | None = None,
) -> None:
    """Refuse a kind that the likelihood does not have, and options that do not go with it.

    Raises
    ------
    ConfigError
        Says what to do instead.
    """
    if not isinstance(with_sd, bool):
        raise ConfigError(f"with_sd is {with_sd!r}; allowed: True, False.")
    if kind not in KINDS:
        raise ConfigError(f"kind is {kind!r}; allowed: {', '.join(map(repr, KINDS))}.")
    if kind.endswith("log_mean"):
        likelihood.require_molecules(f"kind is {kind!r}", ", or use kind='mean'")
    fault = None
    if kind == "posterior" and not (likelihood.of_molecules or likelihood.of_presence):
        fault = f"kind is 'posterior', but {likelihood} is a distribution neither of molecules nor of presence. Use kind='mean'."
    elif kind in POSTERIORS and at_batch is not None:
        fault = f"at_batch is {at_batch!r}, but a cell's own count was seen in its own batch. Use kind='mean' with at_batch."
    elif kind == "posterior" and likelihood.of_presence and library_size is not None:
        fault = f"library_size is {library_size!r}, but the posterior of presence is that at the cell's own depth. Leave it out."
    elif with_sd and kind != "posterior":
        fault = f"with_sd is {with_sd!r}, but kind is {kind!r}; allowed with kind='posterior' only."
    elif technical_cv2 and kind not in POSTERIORS:
        fault = (
            f"technical_cv2 is {technical_cv2!r}, but kind is {kind!r}; allowed with {' and '.join(map(repr, POSTERIORS))} only."
        )
    elif technical_cv2 and not likelihood.of_rates:
        able = ", ".join(sorted(name for name, cls in of_kind("likelihood").items() if cls.of_rates))  # type: ignore[attr-defined]
        fault = f"technical_cv2 is {technical_cv2!r}, but the likelihood is {likelihood}; allowed: {able}."
    if fault:
        raise ConfigError(fault)
