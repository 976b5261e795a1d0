"""Drop-in replacements: another package's call, same names and outputs, fitted by scae."""

from .dca import dca

__all__ = ["dca"]
