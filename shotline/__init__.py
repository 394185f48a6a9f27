"""Shotline: hears gunfire and says where it was. The shared core: values in, values out."""

__version__ = "0.1.0"
__released_utc__ = "2026-11-01T00:00:00.000Z"
"""No clock is right that is earlier: a GPS receiver that lost count of its weeks is."""

__all__ = ["__released_utc__", "__version__"]
