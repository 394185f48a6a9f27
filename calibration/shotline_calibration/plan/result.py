"""What the record of a plan holds."""

from __future__ import annotations

from shotline_calibration.plan.failures import Failure
from shotline_calibration.plan.summary import COVERED, Summary
from shotline_calibration.result import Result

__all__ = ["PlanResult"]

_MOST_SHOWN = 10


class PlanResult(Result, frozen=True, kw_only=True):
    """A plan: for what, and what is expected.

    Parameters
    ----------
    cell_m : float
        Side of the cells.
    goal_m : float
        CEP95 that is wanted.
    surroundings : str
    weapons : tuple of str
        Ids; each as likely.
    temperature_c, wind_speed_mps, wind_from_deg : float
    nodes : tuple of str
        That are there and work.
    failed : tuple of str
        That do not.
    now : Summary
        With the nodes that work.
    suggested : tuple of str
        Places for more nodes, the best first.
    suggested_goal_probability : tuple of float
        Without any of them, with the first, with the first two, and so on.
    certified : bool
        Every choice of places was looked at.
    then : Summary | None
        With the suggested nodes.
    failures : tuple of Failure
        What the loss of each node would cost, the costliest first.
    """

    cell_m: float
    goal_m: float
    surroundings: str
    weapons: tuple[str, ...]
    temperature_c: float
    wind_speed_mps: float
    wind_from_deg: float
    nodes: tuple[str, ...]
    now: Summary
    failed: tuple[str, ...] = ()
    suggested: tuple[str, ...] = ()
    suggested_goal_probability: tuple[float, ...] = ()
    certified: bool = False
    then: Summary | None = None
    failures: tuple[Failure, ...] = ()

    def sentences(self) -> list[str]:
        """Return what it says, for people."""
        wind = f", wind {self.wind_speed_mps:g} m/s from {self.wind_from_deg:.0f}°" if self.wind_speed_mps else ""
        air = f"{self.temperature_c:g} °C{wind}"
        said = [
            f"planned for  {', '.join(self.weapons)} in {self.surroundings} surroundings, {air}",
            f"nodes        {len(self.nodes)}" + (f"; failed: {', '.join(self.failed)}" if self.failed else ""),
            *_told(self.now, self.goal_m),
        ]
        if self.suggested and self.then is not None:
            sure = "the best of all choices" if self.certified else "by greedy search with exchange"
            steps = ", ".join(
                f"{name} ({100.0 * share:.1f} %)"
                for name, share in zip(self.suggested, self.suggested_goal_probability[1:], strict=True)
            )
            said += [f"add          {steps}: {sure}", "with them:", *_told(self.then, self.goal_m)]
        for one in self.failures[:_MOST_SHOWN]:
            larger = "" if one.cep95_m is None else f", CEP95 {one.cep95_m:+.1f} m"
            well, found = 100.0 * one.goal_probability, 100.0 * one.detect_probability
            said.append(
                f"without      {one.node}: {well:.1f} points fewer with that CEP95, {found:.1f} fewer found, "
                f"{one.covered_km2:.2f} km² less covered{larger}"
            )
        if len(self.failures) > _MOST_SHOWN:
            said.append(f"             and {len(self.failures) - _MOST_SHOWN} nodes that cost less")
        return said


def _told(one: Summary, goal_m: float) -> list[str]:
    share = 100.0 * one.covered_km2 / one.area_km2
    median = "" if one.cep95_m is None else f"; CEP95 there {one.cep95_m:.1f} m (median)"
    covered = f"{one.covered_km2:.2f} of {one.area_km2:.2f} km² ({share:.0f} %)"
    found, good = 100.0 * one.detect_probability, 100.0 * one.goal_probability
    shots = f"{found:.1f} % found, {good:.1f} % with CEP95 up to {goal_m:g} m"
    return [
        f"covered      {covered}: a shot is found with {100.0 * COVERED:.0f} % or more{median}",
        f"shots        {shots}; {one.expected_nodes:.1f} nodes report one",
    ]
