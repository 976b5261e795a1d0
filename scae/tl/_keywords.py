"""What to say of keywords that a fit does not have or cannot use."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..errors import ConfigError
from ..fields import fields
from ..model import ModelSpec
from ..plan import TrainPlan


def seed_of(random_state: Any) -> int:
    """A seed as an int.

    Raises
    ------
    ConfigError
        If it is no whole number, or out of range.
    """
    if not isinstance(random_state, int | np.integer) or isinstance(random_state, bool) or not 0 <= random_state < 2**63:
        raise ConfigError(f"random_state is {random_state!r}; allowed: a whole number from 0 to 2**63 - 1.")
    return int(random_state)


def unexpected(name: str, value: Any, known: Sequence[str]) -> str:
    """What to say of a keyword that a fit does not have."""
    if name in fields(TrainPlan):
        return f"{name} belongs to the training plan: plan=scae.TrainPlan({name}={value!r})."
    if name in fields(ModelSpec):
        return f"{name} belongs to the model: give a scae.ModelSpec({name}=...) instead of a preset's name."
    close = difflib.get_close_matches(name, known, 1)
    meant = f" (did you mean {close[0]!r}?)" if close else ""
    return f"unexpected keyword argument {name!r}{meant}; the keywords of a fit are {', '.join(known)}."
