"""Which device a fit runs on."""

from __future__ import annotations

import torch

from ..errors import ConfigError


def resolve_device(name: str) -> torch.device:
    """``"auto"`` is CUDA where there is one, else the CPU; any other name is torch's.

    Raises
    ------
    ConfigError
        If there is no such device.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as fault:
        first = str(fault).splitlines()[0]
        raise ConfigError(f"device is {name!r}, which this machine does not have ({first}). Use 'cpu' or 'auto'.") from fault
    return device
