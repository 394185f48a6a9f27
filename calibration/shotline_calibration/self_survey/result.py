"""What a self-survey found, as records hold it: of one node, or of the whole network."""

from __future__ import annotations

import math
from collections.abc import Mapping

import msgspec

from shotline_calibration.result import Result, Value

__all__ = ["FoundAir", "FoundMotion", "FoundNetwork", "FoundNode", "SelfSurveyResult", "of_network"]


class FoundNode(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A node before and after.

    Parameters
    ----------
    lat_deg, lon_deg, height_m : float
        Of its microphone as found, WGS-84, above the ellipsoid.
    sigma_m, sigma_up_m : float
        1-sigma per horizontal axis (root mean square of the two), and of the height.
    ellipse95_semi_major_m, ellipse95_semi_minor_m, ellipse95_orientation_deg : float
        95 % ellipse of the plane; its major axis in degrees clockwise from north.
    surveyed_lat_deg, surveyed_lon_deg, surveyed_height_m, surveyed_sigma_m : float
        As it was surveyed before.
    moved_east_m, moved_north_m, moved_up_m : float
        Found - surveyed.
    clock_offset_s, clock_sigma_s : float
        Its clock is late by so much: true time = its time - offset.
    impulses : int
        How many arrivals of it were used.
    surprise : float
        How many sigmas the surveyed position is from where the sound alone puts it, two axes as one.
    survey_dropped : bool
        The surveyed position was left out as contradicted.
    """

    lat_deg: float
    lon_deg: float
    height_m: float
    sigma_m: float
    sigma_up_m: float
    ellipse95_semi_major_m: float
    ellipse95_semi_minor_m: float
    ellipse95_orientation_deg: float
    surveyed_lat_deg: float
    surveyed_lon_deg: float
    surveyed_height_m: float
    surveyed_sigma_m: float
    moved_east_m: float
    moved_north_m: float
    moved_up_m: float
    clock_offset_s: float
    clock_sigma_s: float
    impulses: int
    surprise: float
    survey_dropped: bool


class FoundAir(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The air of some time, as the sound has it with what the weather said; wind is where it blows to."""

    from_utc: str
    until_utc: str
    speed_of_sound_mps: float
    speed_of_sound_sigma_mps: float
    wind_east_mps: float
    wind_east_sigma_mps: float
    wind_north_mps: float
    wind_north_sigma_mps: float


class FoundMotion(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A figure of the whole network, its sigma before and after, and whether the sound told it."""

    name: str
    unit: str
    sigma_before: float
    sigma_after: float
    told: str


class FoundNetwork(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What all nodes share.

    Parameters
    ----------
    nodes, impulses, impulses_known, arrivals, arrivals_set_aside : int
        How much it rests on; repeats from one place count once.
    path_sigma_s : float
        1-sigma of what a path adds to a travel time, as learned.
    motions : tuple of FoundMotion
    airs : tuple of FoundAir
    not_told : tuple of str
        What this sound cannot tell, in words.
    """

    nodes: int
    impulses: int
    impulses_known: int
    arrivals: int
    arrivals_set_aside: int
    path_sigma_s: float
    motions: tuple[FoundMotion, ...]
    airs: tuple[FoundAir, ...]
    not_told: tuple[str, ...]


class SelfSurveyResult(Result, frozen=True, kw_only=True):
    """One of the two.

    Parameters
    ----------
    found : FoundNode | None
        In the record of a node.
    network : FoundNetwork | None
        In the record of the network.
    """

    found: FoundNode | None = None
    network: FoundNetwork | None = None

    def sentences(self) -> list[str]:
        """Return what it says, for people."""
        said = [] if self.found is None else _of_node(self.found)
        return said + ([] if self.network is None else of_network(self.network))

    def site_settings(self, node: str) -> Mapping[str, Value]:  # noqa: ARG002 - the record is of one node
        """Return the site. The offset of the clock is no setting: what is wrong with a clock is mended there."""
        if self.found is None:
            return {}
        return {
            "lat_deg": round(self.found.lat_deg, 9),
            "lon_deg": round(self.found.lon_deg, 9),
            "height_m": round(self.found.height_m, 3),
            "sigma_m": math.ceil(self.found.sigma_m * 1e3 - 1e-9) / 1e3,
        }


def _of_node(found: FoundNode) -> list[str]:
    said = [
        f"position     {found.lat_deg:.7f}, {found.lon_deg:.7f}, {found.height_m:.2f} m above the ellipsoid",
        (
            f"error        {found.sigma_m:.2f} m per axis (was {found.surveyed_sigma_m:.2f} m), height "
            f"{found.sigma_up_m:.2f} m (1 sigma); 95 % ellipse {found.ellipse95_semi_major_m:.2f} x "
            f"{found.ellipse95_semi_minor_m:.2f} m at {found.ellipse95_orientation_deg:.0f}°"
        ),
        (
            f"moved        {found.moved_east_m:+.2f} m east, {found.moved_north_m:+.2f} m north, "
            f"{found.moved_up_m:+.2f} m up from the survey"
        ),
        f"clock        {1e3 * found.clock_offset_s:+.2f} ms late, sigma {1e3 * found.clock_sigma_s:.2f} ms",
        f"rests on     {found.impulses} impulses",
    ]
    if found.survey_dropped:
        said.append(f"survey       contradicted by the sound ({found.surprise:.1f} sigma) and left out")
    return said


def of_network(network: FoundNetwork) -> list[str]:
    """Return what the record of the network says, for people."""
    said = [
        (
            f"rests on     {network.impulses} impulses at {network.nodes} nodes, {network.impulses_known} of them at "
            f"known places; {network.arrivals} arrivals, {network.arrivals_set_aside} set aside"
        ),
        f"paths add    {1e3 * network.path_sigma_s:.2f} ms (1 sigma)",
    ]
    said += [
        f"air          {air.from_utc} to {air.until_utc}: {air.speed_of_sound_mps:.2f} ± "
        f"{air.speed_of_sound_sigma_mps:.2f} m/s, wind to the east {air.wind_east_mps:+.1f} ± "
        f"{air.wind_east_sigma_mps:.1f}, to the north {air.wind_north_mps:+.1f} ± {air.wind_north_sigma_mps:.1f} m/s"
        for air in network.airs
    ]
    return said + [f"not told     {text}" for text in network.not_told]
