"""Reading a model back."""

from __future__ import annotations

from pathlib import Path

import torch

from .errors import ModelFileError, ScaeError
from .io.modelfile import read_model
from .keys import DataSpec
from .model import Autoencoder, ModelSpec
from .ops.device import resolve_device
from .parts import build


def load(path: str | Path, *, device: str = "cpu") -> Autoencoder:
    """Read a model that :meth:`Autoencoder.save` wrote.

    Parameters
    ----------
    path
        The model file.
    device
        Where its weights are to live: ``"cpu"``, ``"cuda"``, or ``"auto"`` for CUDA where there is one.

    Returns
    -------
    Autoencoder
        Ready for :func:`scae.tl.embed` and :func:`scae.tl.denoise`.

    Raises
    ------
    ModelFileError
        If the file is missing, truncated, altered, or made of parts that this installation does not know.

    Examples
    --------
    >>> model = scae.load("model.scae")  # doctest: +SKIP
    """
    arrays, about = read_model(Path(path))
    try:
        spec, data = build(ModelSpec, about["spec"]), build(DataSpec, about["data"])
        model = Autoencoder(spec, data, torch.Generator().manual_seed(0))
        model.load_state_dict({k: torch.from_numpy(v) for k, v in arrays.items()})
    except (ScaeError, KeyError, TypeError, RuntimeError) as fault:
        version = about.get("scae", "?")
        raise ModelFileError(f"{path} (written by scae {version}) does not fit this installation: {fault}") from fault
    model.fitted = about.get("fitted", {})
    return model.to(resolve_device(device)).eval()
