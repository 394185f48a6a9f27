"""What a record of a site bias holds: the table that a server locates with, and how places left out judged it."""

from __future__ import annotations

import msgspec

from fusion_server.sitebias.judge import Judgement
from fusion_server.sitebias.table import SiteBiasTable
from shotline_calibration.result import Result

__all__ = ["HeldOutPlace", "SiteBiasResult"]


class HeldOutPlace(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A place located with what all others taught.

    Parameters
    ----------
    place : str
    shots : int
    nearest_m : float
        To the nearest place learned from.
    without_m, with_m : float
        Median distance of fixes from where the place is said to be.
    """

    place: str
    shots: int
    nearest_m: float
    without_m: float
    with_m: float


class SiteBiasResult(Result, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """Excess delays of the paths of a network.

    Parameters
    ----------
    shots, arrivals : int
        Learned from.
    without_m, with_m : float
        Median over places left out of the distance of fixes from where they are said to be.
    scatter_without_s, scatter_with_s : float
        Median absolute residual of arrival times at places left out.
    held95_without, held95_with : float
        Share of their shots whose stated place is in the 95 % ellipse, the error of both counted.
    log_gain, log_gain_sigma : float
        By how much the arrivals of places left out are likelier (natural logarithm) with what the others taught.
    held_out : tuple of HeldOutPlace
    table : SiteBiasTable
        What the server takes, see ``[fusion] site_bias_file``.
    """

    shots: int
    arrivals: int
    without_m: float
    with_m: float
    scatter_without_s: float
    scatter_with_s: float
    held95_without: float
    held95_with: float
    log_gain: float
    log_gain_sigma: float
    held_out: tuple[HeldOutPlace, ...]
    table: SiteBiasTable

    @classmethod
    def of(cls, table: SiteBiasTable, judgement: Judgement, *, shots: int) -> SiteBiasResult:
        """Return the result of learning."""
        return cls(
            shots=shots,
            arrivals=sum(len(node.place) for node in table.nodes),
            without_m=judgement.without_m,
            with_m=judgement.with_m,
            scatter_without_s=judgement.scatter_without_s,
            scatter_with_s=judgement.scatter_with_s,
            held95_without=judgement.held95_without,
            held95_with=judgement.held95_with,
            log_gain=judgement.log_gain,
            log_gain_sigma=judgement.log_gain_sigma,
            held_out=tuple(
                HeldOutPlace(
                    place=place.place,
                    shots=place.shots,
                    nearest_m=place.nearest_m,
                    without_m=place.without_m,
                    with_m=place.with_m,
                )
                for place in judgement.places
            ),
            table=table,
        )

    def sentences(self) -> list[str]:
        """Return what was learned, a line each."""
        scales, places = self.table.scales, len(self.table.places)
        heard = sum(1 for node in self.table.nodes if node.place)
        worse = sum(1 for place in self.held_out if place.with_m > 1.1 * place.without_m)
        sizes = (
            f"{1e3 * scales.constant_s:.1f} ms from everywhere, {1e3 * scales.direction_s:.1f} ms by direction, "
            f"{1e3 * scales.place_s:.1f} ms by place (alike over {scales.place_m:.0f} m); 1 sigma"
        )
        scatter = f"{1e3 * self.scatter_without_s:.2f} ms without, {1e3 * self.scatter_with_s:.2f} ms with"
        fixes = (
            f"{self.without_m:.1f} m off without, {self.with_m:.1f} m with; {worse} of {len(self.held_out)} places "
            "more than a tenth worse"
        )
        held = f"{100 * self.held95_without:.0f} % without, {100 * self.held95_with:.0f} % with"
        return [
            f"learned      {self.shots} shots from {places} places, heard by {heard} of {len(self.table.nodes)} nodes",
            f"delays       {sizes}",
            f"left over    {1e3 * scales.scatter_s:.1f} ms from one place to the next, which nothing teaches",
            "left out     each place in turn, located with what the others taught; medians:",
            f"  arrivals   scatter {scatter}; log gain {self.log_gain:.1f} ± {self.log_gain_sigma:.1f}",
            f"  fixes      {fixes}",
            f"  ellipses   of 95 % hold the place: {held}",
        ]
