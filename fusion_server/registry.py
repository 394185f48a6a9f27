"""Which nodes there are and where they stand."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

from shotline.domain import GUNSHOT_INDEX, Arrival, ClockState, Site
from shotline.errors import GeometryError
from shotline.messages import Detection
from shotline.units import seconds_from_ns

__all__ = ["Registry"]

_PICKING_SIGMA_S = 0.1e-3
"""Error of the onset itself at good SNR [TN098 table I]."""


class Registry:
    """Surveyed sites by node id.

    Parameters
    ----------
    sites : iterable of Site

    Raises
    ------
    GeometryError
        A node is there twice, or a position is not a number.
    """

    def __init__(self, sites: Iterable[Site]) -> None:
        self._sites: dict[str, Site] = {}
        for site in sites:
            if site.node in self._sites:
                raise GeometryError(f"node '{site.node}' has two sites; give each node one", field=f"nodes.{site.node}")
            if not all(map(math.isfinite, (site.x_m, site.y_m, site.z_m))) or not site.sigma_m >= 0:
                raise GeometryError(f"site of node '{site.node}' is not finite: {site}", field=f"nodes.{site.node}")
            self._sites[site.node] = site

    def __iter__(self) -> Iterator[Site]:
        return iter(self._sites.values())

    def __len__(self) -> int:
        return len(self._sites)

    def site(self, node: str) -> Site | None:
        """Return the site of a node, or None when it was never surveyed."""
        return self._sites.get(node)

    def arrival(self, detection: Detection) -> Arrival | None:
        """Return the detection at its site; None when it cannot be placed: no site, or a node that has no time."""
        site = self._sites.get(detection.node)
        if site is None or detection.clock_state is ClockState.UNTIMED:
            return None
        said = detection.probabilities_bp
        return Arrival(
            uid=detection.uid,
            site=site,
            time_ns=detection.arrival_time_ns,
            sigma_s=math.hypot(seconds_from_ns(detection.arrival_sigma_ns), _PICKING_SIGMA_S),
            snr_db=detection.snr_db,
            level_db=detection.peak_level_db,
            gunshot_probability=said[GUNSHOT_INDEX] / 10_000 if said else None,
            model_id=detection.model_id,
        )
