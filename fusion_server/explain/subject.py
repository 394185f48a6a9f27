"""What is explained: an answer of the locator with everything around it that a picture can show."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from fusion_server.explain.words import Notation
from shotline.atmosphere import Weather
from shotline.domain import Arrival, ArrivalVerdict, DetectionId, Location, LostHypothesis, NoLocation, Silence, Site

__all__ = ["Explanation"]


@dataclass(frozen=True, slots=True)
class Explanation:
    """An answer of the locator and its surroundings.

    Parameters
    ----------
    title : str
        What this is about: a file, an incident and its round.
    found : Location | NoLocation
    arrivals : tuple of Arrival
        All that were given to the locator.
    weather : Weather
        The air that the place was found with.
    notation : Notation
    sigma_s : mapping of DetectionId to float
        1-sigma error expected of each arrival time, path and survey included; empty when nobody knows it any more.
    height_m : float | None
        Height of the source, where slant paths were used; None when all was taken in one plane.
    sites : tuple of Site
        Nodes of the network, those of the arrivals or more.
    silent : tuple of Silence
    passed_over : tuple of ArrivalVerdict
    lost : tuple of LostHypothesis
        As in `shotline.domain.Shot`; empty for a table of arrivals.
    """

    title: str
    found: Location | NoLocation
    arrivals: tuple[Arrival, ...]
    weather: Weather
    notation: Notation
    sigma_s: Mapping[DetectionId, float] = field(default_factory=dict)
    height_m: float | None = None
    sites: tuple[Site, ...] = ()
    silent: tuple[Silence, ...] = ()
    passed_over: tuple[ArrivalVerdict, ...] = ()
    lost: tuple[LostHypothesis, ...] = ()

    def considered(self) -> list[tuple[str, str, str]]:
        """Return what else was considered, as (kind, name, reason): lost hypotheses, passed over arrivals, silences."""
        rows = [
            (
                f"lost {number}",
                self.notation.place(item.x_m, item.y_m),
                f"{item.nodes} nodes, log odds {item.log_evidence:.1f}: {item.reason}",
            )
            for number, item in enumerate(self.lost, start=1)
        ]
        rows += [
            ("passed over", item.arrival.site.node, f"{1e3 * item.residual_s:+.1f} ms: {item.reason}")
            for item in self.passed_over
        ]
        rows += [
            (
                "silent",
                item.node,
                f"{item.distance_m:.0f} m away, would have reported it with {100 * item.probability:.0f} %",
            )
            for item in self.silent
        ]
        return rows
