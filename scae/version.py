"""The version of scae, in a module without imports."""

__version__ = "0.1.0"
