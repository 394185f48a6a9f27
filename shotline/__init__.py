"""Shotline: hears gunfire and says where it was. The shared core: values in, values out."""

__version__ = "0.1.0"
__all__ = ["__version__"]
