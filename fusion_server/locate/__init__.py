"""Multilateration: arrivals of one sound in, a place with an honest error out, or the reason why not."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from fusion_server.locate.closed_form import three_node_roots, well_spread_triples
from fusion_server.locate.refine import STUDENT_NU, Refined, refine, robust_offsets, student_cost
from fusion_server.locate.screen import MIN_NODES, screen
from fusion_server.locate.uncertainty import cep_m, ellipse, horizontal_dop
from shotline.atmosphere import Weather
from shotline.domain import Arrival, ArrivalVerdict, Location, NoLocation, NoLocationReason, Root
from shotline.units import NS_PER_S, ns_from_seconds

__all__ = ["Height", "LocateSettings", "locate"]

FloatArray = NDArray[np.float64]


class Height(StrEnum):
    """What is assumed of the source's height."""

    PLANAR = "planar"
    """Everything in one plane: the default; free height on a flat array throws the fix about."""
    KNOWN = "known"
    """The height is given; slant ranges are used."""
    FREE = "free"
    """The height is solved for, held by a weak prior."""


@dataclass(frozen=True, slots=True)
class LocateSettings:
    """Settings of the locator; defaults learned on the Pittsburgh set, see docs/location.md.

    Parameters
    ----------
    path_sigma_s : float
        1-sigma of the travel time against a straight line through uniform air: buildings and turbulence.
    speed_error_sigma : float
        1-sigma of the relative error of the speed of sound computed from the weather.
    systematic_sigma_m : float
        1-sigma per axis of what all arrivals of a fix share and residuals cannot show.
    outlier_sigma : float
        An arrival this many sigma from the fix is not part of it.
    hearing_range_m : float
        Nobody hears a shot from further away.
    height : Height
    height_m : float
        The known height, or the centre of the prior when free.
    height_sigma_m : float
        1-sigma of the prior when free.
    """

    path_sigma_s: float = 0.009
    speed_error_sigma: float = 0.004
    systematic_sigma_m: float = 2.5
    outlier_sigma: float = 4.0
    hearing_range_m: float = 2000.0
    height: Height = Height.PLANAR
    height_m: float = 0.0
    height_sigma_m: float = 20.0


_PRIOR_DOF = 6.0
"""Weight of ``path_sigma_s`` against the residuals of this one shot, in degrees of freedom."""
_COMBINED_NODES = 8
_STARTS = 6
_DISTINCT_M = 20.0
_SAME_ROOT_M = 2.0
_ALTERNATIVE_COST = 3.0
_ROOT_SLACK_SIGMA = 3.0


@dataclass(frozen=True, slots=True)
class _Problem:
    """Arrivals as arrays in the frame that moves with the air, centred on the nodes.

    In that frame the medium is at rest: node i stands at p_i - w (t_i - t_ref), the source at x - w (t_0 - t_ref).
    """

    arrivals: list[Arrival]
    reference_ns: int
    centre_m: FloatArray
    sites_m: FloatArray
    pseudoranges_m: FloatArray
    sigma_m: FloatArray
    speed_mps: float
    wind_mps: FloatArray

    def to_ground(self, position_m: FloatArray, offset_m: float) -> FloatArray:
        """Return a position of the moving frame in the local frame."""
        result: FloatArray = position_m[:2] + self.centre_m + self.wind_mps * (offset_m / self.speed_mps)
        return result

    def origin_ns(self, offset_m: float) -> int:
        return self.reference_ns + ns_from_seconds(offset_m / self.speed_mps)

    def root(self, position_m: FloatArray, offset_m: float) -> Root:
        x_m, y_m = self.to_ground(position_m, offset_m)
        return Root(float(x_m), float(y_m), self.origin_ns(offset_m))


def locate(
    arrivals: Sequence[Arrival], *, weather: Weather, settings: LocateSettings | None = None
) -> Location | NoLocation:
    """Locate one shot.

    Parameters
    ----------
    arrivals : sequence of Arrival
        Of one sound, at most one counts per node; echoes among them are tolerated and set aside with a reason.
    weather : Weather
        Temperature gives the speed of sound, wind carries the wave front.
    settings : LocateSettings, optional

    Returns
    -------
    Location | NoLocation
        A fix with covariance, verdict per arrival and remaining alternatives; or the reason why there is none, with
        both roots where there are two and nothing to choose between them.
    """
    settings = settings or LocateSettings()
    longest_path_s = 1.2 * settings.hearing_range_m / weather.speed_of_sound_mps
    screened = screen(arrivals, longest_path_s=longest_path_s)
    if isinstance(screened, NoLocation):
        return screened
    usable, aside = screened
    problem = _arrays(usable, weather, settings)
    starts = _starts(problem, settings)
    if starts is None:
        return NoLocation(
            NoLocationReason.NO_ROOT,
            f"no place explains the arrival times of these {len(usable)} nodes; a time, a site or an echo is wrong",
        )
    refined = _refine(problem, starts, settings)
    order = _physical_order(problem, refined, settings)
    if not order:
        return NoLocation(
            NoLocationReason.INCONSISTENT,
            f"the best place is more than {settings.hearing_range_m:g} m from the nodes that heard it",
        )
    rivals = _rivals(refined, order)
    if len(usable) == MIN_NODES and len(rivals) > 1:
        roots = tuple(problem.root(refined.position_m[row], float(refined.offset_m[row])) for row in rivals)
        return NoLocation(
            NoLocationReason.TWO_ROOTS,
            f"three nodes leave {len(roots)} places that explain them exactly; a fourth node decides",
            roots,
        )
    return _conclude(problem, refined, rivals, aside, settings)


def _arrays(usable: list[Arrival], weather: Weather, settings: LocateSettings) -> _Problem:
    reference_ns = usable[0].time_ns
    delay_s = np.array([arrival.time_ns - reference_ns for arrival in usable]) / NS_PER_S
    ground = np.array([(arrival.site.x_m, arrival.site.y_m) for arrival in usable])
    wind = np.array(weather.wind_enu_mps)
    speed = weather.speed_of_sound_mps
    centre = ground.mean(axis=0)
    clock_and_pick = np.array([arrival.sigma_s for arrival in usable])
    site_sigma = np.array([arrival.site.sigma_m for arrival in usable])
    return _Problem(
        arrivals=usable,
        reference_ns=reference_ns,
        centre_m=centre,
        sites_m=ground - centre - wind * delay_s[:, None],
        pseudoranges_m=speed * delay_s,
        sigma_m=np.sqrt(speed**2 * (clock_and_pick**2 + settings.path_sigma_s**2) + site_sigma**2),
        speed_mps=speed,
        wind_mps=wind,
    )


def _starts(problem: _Problem, settings: LocateSettings) -> FloatArray | None:
    """Return the best few distinct places among every closed-form root, shape (n_starts, 2); None without a root."""
    sites, ranges = problem.sites_m, problem.pseudoranges_m
    triples = well_spread_triples(len(sites), most=_COMBINED_NODES)
    slack_m = _ROOT_SLACK_SIGMA * float(np.median(problem.sigma_m))
    candidates, _, _ = three_node_roots(sites[triples], ranges[triples], slack_m=slack_m)
    if len(sites) > MIN_NODES:
        candidates = np.concatenate([candidates, sites.mean(axis=0)[None], sites[:1] + 1.0])
    near = np.hypot(*candidates.T) < 2.0 * settings.hearing_range_m
    candidates = candidates[near]
    if not len(candidates):
        return None
    distance = np.hypot(candidates[:, None, 0] - sites[:, 0], candidates[:, None, 1] - sites[:, 1])
    residual = ranges - distance
    residual -= robust_offsets(ranges, distance)[:, None]
    cost = student_cost(residual / (2.0 * problem.sigma_m))
    chosen: list[int] = []
    for index in np.argsort(cost, kind="stable"):
        apart = np.hypot(*(candidates[chosen] - candidates[index]).T) if chosen else np.array([math.inf])
        if (apart > (_DISTINCT_M if len(sites) > MIN_NODES else _SAME_ROOT_M)).all():
            chosen.append(int(index))
        if len(chosen) == _STARTS:
            break
    starts: FloatArray = candidates[chosen]
    return starts


def _refine(problem: _Problem, starts: FloatArray, settings: LocateSettings) -> Refined:
    n_starts, n_nodes = len(starts), len(problem.arrivals)
    sites = problem.sites_m
    height_prior, height_offset = None, None
    if settings.height is not Height.PLANAR:
        heights = np.array([arrival.site.z_m for arrival in problem.arrivals])
        if settings.height is Height.FREE:
            sites = np.column_stack([sites, heights - settings.height_m])
            starts = np.column_stack([starts, np.zeros(n_starts)])
            height_prior = (0.0, settings.height_sigma_m)
        else:
            height_offset = np.broadcast_to(heights - settings.height_m, (n_starts, n_nodes))
    return refine(
        starts,
        np.broadcast_to(sites, (n_starts, *sites.shape)),
        np.broadcast_to(problem.pseudoranges_m, (n_starts, n_nodes)),
        np.broadcast_to(problem.sigma_m, (n_starts, n_nodes)),
        speed_error_sigma=settings.speed_error_sigma,
        height_prior=height_prior,
        height_offset_m=height_offset,
    )


def _physical_order(problem: _Problem, refined: Refined, settings: LocateSettings) -> list[int]:
    """Return the rows that are within hearing range of a node and converged to numbers, best first.

    None when a place out of hearing explains the arrivals so much better that those within are not believable.
    """
    distance = np.hypot(
        refined.position_m[:, None, 0] - problem.sites_m[:, 0], refined.position_m[:, None, 1] - problem.sites_m[:, 1]
    )
    physical = np.isfinite(refined.cost) & (distance.min(axis=1) < settings.hearing_range_m)
    order = [int(row) for row in np.argsort(refined.cost, kind="stable") if physical[row]]
    if order and refined.cost[order[0]] - np.nanmin(refined.cost) > _ALTERNATIVE_COST:
        return []
    return order


def _rivals(refined: Refined, order: list[int]) -> list[int]:
    """Return the best row and every distinct other that the arrivals do not rule out, best first."""
    rivals: list[int] = []
    for row in order:
        if refined.cost[row] - refined.cost[order[0]] > _ALTERNATIVE_COST:
            break
        apart = np.hypot(*(refined.position_m[rivals, :2] - refined.position_m[row, :2]).T)
        if (apart > _SAME_ROOT_M).all():
            rivals.append(row)
    return rivals


def _conclude(
    problem: _Problem, refined: Refined, rivals: list[int], aside: list[ArrivalVerdict], settings: LocateSettings
) -> Location | NoLocation:
    best = rivals[0]
    position, offset_m = refined.position_m[best], float(refined.offset_m[best])
    residual_m = refined.residual_m[best]
    standardised = residual_m / problem.sigma_m
    used = np.abs(standardised) <= settings.outlier_sigma
    n_used = int(used.sum())
    verdicts = [
        _verdict(arrival, float(residual) / problem.speed_mps, float(score), settings)
        for arrival, residual, score in zip(problem.arrivals, residual_m, standardised, strict=True)
    ]
    if n_used < MIN_NODES or 2 * n_used < len(problem.arrivals):
        return NoLocation(
            NoLocationReason.INCONSISTENT,
            f"only {n_used} of {len(used)} arrivals agree on one place; they are not one shot",
        )
    n_dim = len(position)
    direction = position[:2] - problem.sites_m
    direction /= np.maximum(np.hypot(*direction.T), 1e-9)[:, None]
    dop = horizontal_dop(direction[used])
    if math.isinf(dop):
        return NoLocation(
            NoLocationReason.DEGENERATE_GEOMETRY,
            f"seen from the best place, the {n_used} nodes that agree on it do not fix it; "
            "a node in another direction would",
        )
    # What is set aside adds no confidence.
    covariance = np.linalg.inv(refined.information[best] - refined.node_information[best][~used].sum(axis=0))
    weight = (STUDENT_NU + 1.0) / (STUDENT_NU + standardised**2)
    freedom = max(0, n_used - (n_dim + 1))
    variance_ratio = (_PRIOR_DOF + float((weight * standardised**2)[used].sum())) / (_PRIOR_DOF + freedom)
    horizontal = covariance[:2, :2] * variance_ratio + np.eye(2) * settings.systematic_sigma_m**2
    x_m, y_m = problem.to_ground(position, offset_m)
    return Location(
        x_m=float(x_m),
        y_m=float(y_m),
        z_m=_height_of(position, settings),
        origin_time_ns=problem.origin_ns(offset_m),
        origin_sigma_s=math.sqrt(float(covariance[n_dim, n_dim]) * variance_ratio) / problem.speed_mps,
        covariance_m2=(
            (float(horizontal[0, 0]), float(horizontal[0, 1])),
            (float(horizontal[1, 0]), float(horizontal[1, 1])),
        ),
        ellipse95=ellipse(horizontal, confidence=0.95),
        cep50_m=cep_m(horizontal, probability=0.50),
        cep95_m=cep_m(horizontal, probability=0.95),
        gdop=dop,
        rms_residual_s=math.sqrt(float((residual_m[used] ** 2).mean())) / problem.speed_mps,
        verdicts=tuple(sorted([*verdicts, *aside], key=lambda item: (item.arrival.time_ns, item.arrival.uid))),
        alternatives=tuple(problem.root(refined.position_m[row], float(refined.offset_m[row])) for row in rivals[1:]),
    )


def _height_of(position: FloatArray, settings: LocateSettings) -> float | None:
    if settings.height is Height.FREE:
        return float(position[2]) + settings.height_m
    return settings.height_m if settings.height is Height.KNOWN else None


def _verdict(arrival: Arrival, residual_s: float, standardised: float, settings: LocateSettings) -> ArrivalVerdict:
    if abs(standardised) <= settings.outlier_sigma:
        return ArrivalVerdict(arrival, residual_s, True)
    later = "later, likely an echo or a blocked path"
    earlier = "earlier, likely another sound or a wrong clock"
    reason = f"{abs(residual_s) * 1e3:.0f} ms ({abs(standardised):.1f} sigma) {later if residual_s > 0 else earlier}"
    return ArrivalVerdict(arrival, residual_s, False, reason)
