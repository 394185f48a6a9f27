"""What was learned as plain values: as it stands in a signed record, in a network's record and in evidence."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Sequence

import msgspec
import numpy as np

from fusion_server.sitebias.delays import PathDelays
from fusion_server.sitebias.rows import DelayScales
from shotline.domain import Site
from shotline.errors import InputError

__all__ = ["LearnedNode", "LearnedPlace", "SiteBiasTable"]

_MOVED_M = 0.1
"""A node further than this from where it was when its delays were learned has other delays."""
_DIGITS = 6


class LearnedPlace(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A place that sounds were known to come from, in the local frame; ``sigma_m`` per axis."""

    name: str
    x_m: float
    y_m: float
    sigma_m: float


class LearnedNode(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one node heard from places.

    Parameters
    ----------
    node : str
    x_m, y_m : float
        Its surveyed position, local frame.
    survey_sigma_s : float
        1-sigma of the error of that per axis, in seconds of sound.
    place : tuple of int
        Numbers of the places.
    delay_s, noise_sigma_s, unsure_sigma_s : tuple of float
        Of each: excess delay, its own 1-sigma, and that of the offset taken from it.
    """

    node: str
    x_m: float
    y_m: float
    survey_sigma_s: float
    place: tuple[int, ...]
    delay_s: tuple[float, ...]
    noise_sigma_s: tuple[float, ...]
    unsure_sigma_s: tuple[float, ...]


class SiteBiasTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Excess delays of the paths of a network, as plain values.

    Parameters
    ----------
    scales : DelayScales
    places : tuple of LearnedPlace
    nodes : tuple of LearnedNode
    """

    scales: DelayScales
    places: tuple[LearnedPlace, ...]
    nodes: tuple[LearnedNode, ...]

    @classmethod
    def of(cls, delays: PathDelays, *, places: Sequence[str], place_sigma_m: Iterable[float]) -> SiteBiasTable:
        """Return delays as a table, figures to six digits: what is used is what is written.

        Parameters
        ----------
        delays : PathDelays
        places : sequence of str
            Names of ``delays.place_m``.
        place_sigma_m : iterable of float
            1-sigma of each, per axis.
        """
        nodes = []
        for number, node in enumerate(delays.nodes):
            own = slice(int(delays.first[number]), int(delays.first[number + 1]))
            x_m, y_m = delays.site_m[number].tolist()
            nodes.append(
                LearnedNode(
                    node=node,
                    x_m=x_m,
                    y_m=y_m,
                    survey_sigma_s=_rounded(float(delays.survey_s[number])),
                    place=tuple(delays.place[own].tolist()),
                    delay_s=tuple(map(_rounded, delays.delay_s[own].tolist())),
                    noise_sigma_s=tuple(map(_rounded, np.sqrt(delays.noise_s2[own]).tolist())),
                    unsure_sigma_s=tuple(map(_rounded, np.sqrt(delays.unsure_s2[own]).tolist())),
                )
            )
        scales = delays.scales
        return cls(
            scales=DelayScales(
                constant_s=_rounded(scales.constant_s),
                direction_s=_rounded(scales.direction_s),
                direction_rad=_rounded(scales.direction_rad),
                place_s=_rounded(scales.place_s),
                place_m=_rounded(scales.place_m),
                scatter_s=_rounded(scales.scatter_s),
            ),
            places=tuple(
                LearnedPlace(name=name, x_m=x_m, y_m=y_m, sigma_m=sigma_m)
                for name, (x_m, y_m), sigma_m in zip(places, delays.place_m.tolist(), place_sigma_m, strict=True)
            ),
            nodes=tuple(nodes),
        )

    def to_delays(self) -> PathDelays:
        """Return what can be asked.

        Raises
        ------
        InputError
            The table makes no sense: it was not made by `of`.
        """
        for node in self.nodes:
            lengths = {len(node.place), len(node.delay_s), len(node.noise_sigma_s), len(node.unsure_sigma_s)}
            if len(lengths) > 1:
                raise InputError(f"node '{node.node}' has columns of lengths {sorted(lengths)}", field="nodes")
        if len({node.node for node in self.nodes}) < len(self.nodes):
            raise InputError("a node is there twice", field="nodes")
        first = np.zeros(len(self.nodes) + 1, dtype=np.int64)
        first[1:] = np.cumsum([len(node.place) for node in self.nodes])

        def column(name: str) -> list[float]:
            return [value for node in self.nodes for value in getattr(node, name)]

        return PathDelays(
            nodes=tuple(node.node for node in self.nodes),
            site_m=np.array([(node.x_m, node.y_m) for node in self.nodes], dtype=np.float64).reshape(-1, 2),
            survey_s=np.array([node.survey_sigma_s for node in self.nodes], dtype=np.float64),
            first=first,
            place=np.array(column("place"), dtype=np.int64),
            place_m=np.array([(place.x_m, place.y_m) for place in self.places], dtype=np.float64).reshape(-1, 2),
            delay_s=np.array(column("delay_s"), dtype=np.float64),
            noise_s2=np.array(column("noise_sigma_s"), dtype=np.float64) ** 2,
            unsure_s2=np.array(column("unsure_sigma_s"), dtype=np.float64) ** 2,
            scales=self.scales,
        )

    def check_sites(self, sites: Iterable[Site]) -> None:
        """Refuse sites that the table was not learned at; nodes that it does not have are no matter.

        Raises
        ------
        InputError
            Names the node, and how far it is from where it was.
        """
        learned = {node.node: node for node in self.nodes}
        for site in sites:
            node = learned.get(site.node)
            if node is None:
                continue
            apart_m = math.hypot(site.x_m - node.x_m, site.y_m - node.y_m)
            if apart_m > _MOVED_M:
                raise InputError(
                    f"node '{site.node}' stands {apart_m:.2f} m from where its delays were learned, expected at most "
                    f"{_MOVED_M:g} m; learn the site bias again, or take site_bias_file out",
                    field=site.node,
                )

    @property
    def digest(self) -> str:
        """SHA-256 of the table as JSON, hexadecimal."""
        return hashlib.sha256(msgspec.json.encode(self, order="deterministic")).hexdigest()


def _rounded(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")
