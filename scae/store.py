"""Reading a model back, even a stranger's: what the file declares is compared with what it holds before anything is built."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.overrides import TorchFunctionMode

from .environment import is_environment
from .errors import ModelFileError, ScaeError
from .io.modelfile import read_model, readable
from .keys import DataSpec
from .model import FORMAT, Autoencoder, ModelSpec
from .ops.device import resolve_device
from .parts import build, inside

_SPARE = 1 << 22  # values that a model may keep beside its weights (where genes lie along the genome), or four times its weights
_FAULTS = (ScaeError, KeyError, ValueError, TypeError, RuntimeError, ArithmeticError, AttributeError, MemoryError)


def load(path: str | Path, *, device: str = "cpu") -> Autoencoder:
    """Read a model that :meth:`Autoencoder.save` wrote.

    The file may come from a stranger: nothing in it is run, and a description of a model larger than the weights beside it is
    refused before memory is taken for it.

    Parameters
    ----------
    path : str or Path
        The model file.
    device : str
        Where its weights are to live: ``"cpu"``, ``"cuda"``, or ``"auto"`` for CUDA where there is one.

    Returns
    -------
    Autoencoder
        Ready for :func:`scae.tl.embed` and :func:`scae.tl.denoise`.

    Raises
    ------
    ModelFileError
        If the file is missing, truncated, altered, of a newer format, made of parts that this installation does not know, or if
        its weights are not finite or not those of the model that it describes.

    Examples
    --------
    >>> model = scae.load("model.scae")  # doctest: +SKIP
    """
    arrays, about = read_model(Path(path))
    try:
        _check_format(about)
        for name in ("spec", "data"):
            if name not in about:
                raise ModelFileError(f"its description has no {name!r}")
        model = _filled(build(ModelSpec, about["spec"]), build(DataSpec, about["data"]), arrays)
        model.fitted = _checked(about.get("fitted", {}), model.spec.bottleneck.dim, model.data.n_genes)
    except _FAULTS as fault:
        raise ModelFileError(
            f"{path} (written by scae {readable(about.get('scae', '?'), 20)}) does not fit this installation: {readable(fault)}"
        ) from fault
    return model.to(resolve_device(device)).eval()


def _check_format(about: dict[str, Any]) -> None:
    """Refuse a file of a newer format, or of none."""
    given = about.get("format")
    if not isinstance(given, int) or isinstance(given, bool) or given < 1:
        raise ModelFileError(f"its format is {given!r:.40}; allowed: a whole number from 1 to {FORMAT}. Save the model again.")
    if given > FORMAT:
        raise ModelFileError(f"a newer scae wrote it, in format {given}; this one reads formats up to {FORMAT}. Upgrade scae.")


def _filled(spec: ModelSpec, data: DataSpec, arrays: dict[str, NDArray]) -> Autoencoder:
    """The model with the file's weights, bit for bit."""
    for name, array in arrays.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise ModelFileError(f"weight {name!r} has NaN or infinite values; allowed: finite ones. Ask for the file again.")
    if all(type(part).__module__.startswith(f"{__package__}.") for part in inside(spec)):  # others may not bear a sketch
        _sketch(spec, data, arrays)
    model = Autoencoder(spec, data, torch.Generator().manual_seed(0))
    _fill(model, {name: torch.from_numpy(array) for name, array in arrays.items()})
    for name, value in model.state_dict().items():
        if not np.array_equal(value.numpy(), arrays[name]):
            raise ModelFileError(f"weight {name!r} is {arrays[name].dtype} in the file and does not fit into {value.dtype}.")
    return model


class _Nowhere(torch.Generator):
    """A source of draws that have a shape but no values."""

    device = torch.device("meta")


class _Sketching(TorchFunctionMode):
    """Lets torch draw on the meta device, which knows no generator, and counts what it is asked to do."""

    def __init__(self, allowed: int) -> None:
        super().__init__()
        self.left = allowed

    def __torch_function__(
        self, func: Callable, types: Any, args: tuple = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:  # fmt: skip
        self.left -= 1
        if self.left < 0:  # a million layers of one unit are small, but take for ever to build
            raise ModelFileError("it describes many more layers than the file has weights. Ask for the file again.")
        return func(*args, **{name: value for name, value in (kwargs or {}).items() if name != "generator"})


def _sketch(spec: ModelSpec, data: DataSpec, arrays: dict[str, NDArray]) -> None:
    """Build the model on the meta device, where shapes take no memory, and compare it with the file."""
    steps = 1000 + 50 * len(arrays) + 20 * len(data.breaks)
    with torch.device("meta"), _Sketching(steps):
        model = Autoencoder(spec, data, _Nowhere())
    _fill(model, {name: torch.empty(array.shape, device="meta") for name, array in arrays.items()})
    kept = sum(value.numel() for value in (*model.parameters(), *model.buffers()))
    held = sum(array.size for array in arrays.values())
    if kept > max(4 * held, held + _SPARE):
        raise ModelFileError(f"it describes a model of {kept} values, but holds {held}. Ask for the file again.")


def _fill(model: Autoencoder, values: dict[str, torch.Tensor]) -> None:
    """Load weights; if they do not fit, say where first."""
    expected = model.state_dict()
    for name in (*expected, *values):
        if name not in values:
            raise ModelFileError(f"weight {name!r} of the model that it describes is not in the file.")
        if name not in expected:
            raise ModelFileError(f"weight {name!r} is in the file, but not in the model that it describes.")
    try:
        model.load_state_dict(values)
    except RuntimeError as fault:
        for name, value in values.items():
            if value.shape != expected[name].shape:
                raise ModelFileError(
                    f"weight {name!r} has shape {tuple(value.shape)} in the file, but {tuple(expected[name].shape)} in the model "
                    "that it describes."
                ) from fault
        raise


def _checked(fitted: Any, dim: int, n_genes: int) -> dict[str, Any]:
    """The record of the fit, if it is one."""
    history = fitted.get("history", {}) if isinstance(fitted, dict) else None
    rows = history.get("rows", []) if isinstance(history, dict) else None
    if not isinstance(history, dict) or not isinstance(rows, list) or not all(map(_is_row, rows)):
        raise ModelFileError(
            "its record of the fit is not one that scae wrote: allowed is an object with plan, history and seed."
        )
    best, seed = history.get("best", -1), fitted.get("random_state", 0)
    if history and not (_is_whole(best) and -1 <= best < len(rows) and isinstance(history.get("stopped"), str)):
        raise ModelFileError(f"its history has best {best!r:.40}; allowed: one of its {len(rows)} rows, or -1.")
    if not _is_whole(seed) or not 0 <= seed < 2**63:
        raise ModelFileError(f"its random_state is {seed!r:.40}; allowed: a whole number of at least 0.")
    if not isinstance(fitted.get("plan", {}), dict):
        raise ModelFileError(f"its plan is {fitted['plan']!r:.40}; allowed: an object.")
    sha256 = fitted.get("latent_sha256", "0" * 64)
    if not isinstance(sha256, str) or not re.fullmatch("[0-9a-f]{64}", sha256):
        raise ModelFileError(f"its latent_sha256 is {sha256!r:.40}; allowed: 64 hexadecimal digits.")
    scale = fitted.get("sd_scale")
    if not (scale is None or (isinstance(scale, list) and len(scale) == dim and all(map(_is_scale, scale)))):
        raise ModelFileError(f"its sd_scale is {scale!r:.40}; allowed: {dim} numbers of at least 0, one per latent dimension.")
    factor = fitted.get("theta_factor")
    if not (factor is None or (isinstance(factor, list) and len(factor) == n_genes and all(map(_is_factor, factor)))):
        raise ModelFileError(f"its theta_factor is {factor!r:.40}; allowed: {n_genes} numbers above 0, one per gene.")
    if not is_environment(fitted.get("environment", {})):
        raise ModelFileError(f"its environment is {fitted['environment']!r:.40}; allowed: an object of short texts.")
    return fitted


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_factor(value: Any) -> bool:
    return _is_scale(value) and value > 0


def _is_scale(value: Any) -> bool:
    return isinstance(value, int | float) and 0 <= value < math.inf


def _is_row(row: Any) -> bool:
    return isinstance(row, dict) and "seconds" in row and all(isinstance(v, int | float | None) for v in row.values())
