"""Kinds of hardware and their delay: what is shipped, and what the records of a network's own nodes add up to."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import resources

import msgspec

from shotline.errors import InputError
from shotline_calibration.clock.result import LatencyResult

__all__ = ["Hardware", "KindDelay", "delays_by_kind", "shipped_hardware"]


class Hardware(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One kind.

    Parameters
    ----------
    name, what : str
    source : str
        Who measured the delay, or ``not measured``.
    late_bias_us, late_bias_sigma_us : float | None
        None: not measured.
    """

    name: str
    what: str
    source: str
    late_bias_us: float | None = None
    late_bias_sigma_us: float | None = None


@dataclass(frozen=True, slots=True)
class KindDelay:
    """What records say of a kind.

    Parameters
    ----------
    name : str
    nodes : int
        Measured so far.
    late_bias_us : float
        Mean, each by its sigma and what nodes of the kind differ.
    sigma_us : float
        1-sigma of that mean.
    spread_us : float
        1-sigma of what nodes of the kind differ beyond their errors; NaN for one node.
    """

    name: str
    nodes: int
    late_bias_us: float
    sigma_us: float
    spread_us: float

    @property
    def for_another_us(self) -> float:
        """1-sigma of the delay of a node of this kind that was not measured; NaN for one node."""
        return math.hypot(self.sigma_us, self.spread_us)


def shipped_hardware() -> tuple[Hardware, ...]:
    """Return the kinds that are shipped."""
    text = resources.files("shotline_calibration.clock").joinpath("hardware.toml").read_text(encoding="utf-8")
    return msgspec.convert(tomllib.loads(text)["hardware"], tuple[Hardware, ...])


def delays_by_kind(records: Mapping[str, LatencyResult] | Iterable[tuple[str, LatencyResult]]) -> list[KindDelay]:
    """Return the delay of each kind from the latest record of each node, by random effects [DerSimonian1986].

    Parameters
    ----------
    records : mapping or iterable of (node, result)
        Only those with a kind and measured absolutely.

    Raises
    ------
    InputError
        There is none.
    """
    each: dict[str, list[LatencyResult]] = {}
    for _, result in records.items() if isinstance(records, Mapping) else records:
        if result.hardware and result.relative_to is None:
            each.setdefault(result.hardware, []).append(result)
    if not each:
        raise InputError("no record of a delay that names its hardware; measure one with --hardware NAME")
    return [_combined(name, results) for name, results in sorted(each.items())]


def _combined(name: str, results: list[LatencyResult]) -> KindDelay:
    late_us = [result.late_bias_us for result in results]
    variances = [max(result.sigma_us, 0.01) ** 2 for result in results]
    if len(results) == 1:
        return KindDelay(name, 1, late_us[0], math.sqrt(variances[0]), math.nan)
    weights = [1.0 / variance for variance in variances]
    mean = sum(weight * late for weight, late in zip(weights, late_us, strict=True)) / sum(weights)
    surplus = sum(weight * (late - mean) ** 2 for weight, late in zip(weights, late_us, strict=True))
    surplus -= len(results) - 1
    spread2 = max(0.0, surplus / (sum(weights) - sum(weight**2 for weight in weights) / sum(weights)))
    weights = [1.0 / (variance + spread2) for variance in variances]
    mean = sum(weight * late for weight, late in zip(weights, late_us, strict=True)) / sum(weights)
    return KindDelay(name, len(results), mean, 1.0 / math.sqrt(sum(weights)), math.sqrt(spread2))
