"""Every error that scae raises on purpose: each says what was given, what is allowed and what to do."""

from __future__ import annotations

import difflib
import signal
from collections.abc import Iterable


class ScaeError(Exception):
    """Base class of all errors that scae raises on purpose."""


class CountsError(ScaeError, ValueError):
    """The matrix does not hold raw counts (negative, NaN, log-normalised, fractional)."""


class MatrixError(ScaeError, ValueError):
    """The arrays of a sparse matrix contradict each other, or two objects have different shapes."""


class MissingKeyError(ScaeError, KeyError):
    """A layer, column, gene or part was asked for by a name that is not there."""

    def __str__(self) -> str:  # KeyError shows its argument quoted; ours is a sentence
        return str(self.args[0])


class GenesError(ScaeError, ValueError):
    """The genes of a query do not fit the genes that a model was fitted to."""


class CategoryError(ScaeError, ValueError):
    """A covariate has a level that the model was not fitted to."""


class SupportError(ScaeError, ValueError):
    """A prediction was asked for where there are no cells from which to make it."""


class ConfigError(ScaeError, ValueError):
    """An option has a value outside what is allowed, or two options contradict each other."""


class KindError(ConfigError, TypeError):
    """An argument has the wrong type, or there is no argument of that name."""


class DivergenceError(ScaeError, ArithmeticError):
    """Training went wrong again and again, also at lower learning rates; ``error.model`` holds the last good weights."""

    model: object = None


class Interrupted(KeyboardInterrupt):
    """A signal ended a fit: ``error.signal`` is its number, and ``error.model`` the model with the best weights so far."""

    model: object = None

    def __init__(self, number: int, message: str = "") -> None:
        super().__init__(message or f"interrupted by {signal.Signals(number).name}")
        self.signal = number


class CheckpointError(ScaeError, ValueError):
    """The checkpoints in a folder are those of another fit, or none of them can be read."""


class ModelFileError(ScaeError, ValueError):
    """A model file, h5ad file or zarr store is truncated, altered, or of another format."""


class OutputError(ScaeError, OSError):
    """A file or folder cannot be written; what was there before is unchanged."""


class NotFittedError(ScaeError, RuntimeError):
    """A result was asked of a model that has not been fitted."""


def unknown(what: str, name: object, known: Iterable[object], *, hint: str = "") -> MissingKeyError:
    """The error for a name that is not among the known ones, with the closest matches first.

    Parameters
    ----------
    what
        The kind of thing that was named, e.g. ``"layer"``.
    name
        The name that was given.
    known
        All names that would have worked.
    hint
        A closing sentence that says what to do.

    Examples
    --------
    >>> str(unknown("layer", "count", ["counts", "spliced"]))
    "unknown layer 'count': did you mean 'counts'? Known: 'counts', 'spliced'."
    """
    names = [str(k) for k in known]
    close = difflib.get_close_matches(str(name), names, n=3, cutoff=0.6)
    meant = f" did you mean {' or '.join(map(repr, close))}?" if close else ""
    shown = ", ".join(map(repr, names[:20])) + (f", … ({len(names)} in all)" if len(names) > 20 else "")
    listed = f" Known: {shown}." if names else " There is none."
    return MissingKeyError(f"unknown {what} {name!r}{':' if meant else '.'}{meant}{listed}" + (f" {hint}" if hint else ""))
