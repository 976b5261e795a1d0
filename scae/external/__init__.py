"""Drop-in replacements for functions of other packages, with the same arguments and outputs, fitted by scae."""

from .dca import dca

__all__ = ["dca"]


def __dir__() -> list[str]:
    return __all__
