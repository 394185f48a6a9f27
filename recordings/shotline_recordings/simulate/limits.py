"""One check for all parameters of the simulator's parts."""

from __future__ import annotations

from shotline.errors import InputError

__all__ = ["check_limits"]


def check_limits(field: str, value: float, low: float, high: float, unit: str = "") -> None:
    """Raise an InputError that names the field unless ``low <= value <= high``; not-a-number never is.

    Parameters
    ----------
    field : str
    value, low, high : float
    unit : str
        Of all three, or more words on what is expected.
    """
    if not low <= value <= high:
        raise InputError(f"{value:g}, expected {low:g} to {high:g} {unit}".rstrip(), field=field)
