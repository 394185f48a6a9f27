"""Settings of incidents."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["IncidentSettings"]


@dataclass(frozen=True, slots=True)
class IncidentSettings:
    """Settings of incidents; see docs/incidents.md.

    Parameters
    ----------
    gap_s : float
        Longest silence between two shots of one incident.
    reach_m : float
        Two shots without any error of their places are of one incident up to this far apart.
    extent_m : float
        And none of an incident's shots is further than this from another: links do not make chains.
    repeat_sigma_s : float
        1-sigma of an arrival against the pattern of another round from the same place: picking and turbulence.
    path_sigma_s : float
        1-sigma of the travel time against a straight line, as in the locator.
    speed_of_sound_mps : float
        Nominal: turns differences of arrival times into metres. Places themselves come from the locator.
    significance : float
        Chance of a second place, and of a movement, from rounds of one stationary shooter.
    fastest_mps : float
        Nobody moves faster between rounds.
    fire_mode_probability : float
        A fire mode is told from this probability on.
    least_probability : float
        An incident is told once gunfire is at least this likely; until then it is held back, and looked at again.
    """

    gap_s: float = 10.0
    reach_m: float = 50.0
    extent_m: float = 200.0
    repeat_sigma_s: float = 0.002
    path_sigma_s: float = 0.009
    speed_of_sound_mps: float = 340.0
    significance: float = 0.01
    fastest_mps: float = 40.0
    fire_mode_probability: float = 0.9
    least_probability: float = 0.02
