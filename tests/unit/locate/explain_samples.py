"""Explanations with a known content."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
from locate_samples import ORIGIN_NS, STILL, heard

from fusion_server.explain import Explanation, Notation
from fusion_server.locate.uncertainty import ellipse
from shotline.atmosphere import Weather
from shotline.domain import (
    Arrival,
    ArrivalVerdict,
    Location,
    LostHypothesis,
    NoLocation,
    NoLocationReason,
    Root,
    Silence,
    Site,
)

SITES_M = np.array([(-300.0, 310.0), (0.0, 350.0), (320.0, 290.0), (150.0, 70.0), (-10.0, -230.0), (-110.0, 120.0)])
NAMES = ["school", "market", "library", "square", "park", "depot"]
SOURCE_M = (60.0, -90.0)
COVARIANCE_M2 = ((16.0, 6.0), (6.0, 25.0))
REGION = ((500.0, 0.0), (800.0, 0.0), (800.0, 40.0), (500.0, 40.0))


def location(arrivals: list[Arrival], *, aside: frozenset[str] = frozenset(), **changes: object) -> Location:
    """Return a location at the true place; residuals are 1 ms a node, those set aside 200 ms."""
    verdicts = tuple(
        ArrivalVerdict(item, 0.2, False, "200 ms later, likely an echo")
        if item.site.node in aside
        else ArrivalVerdict(item, 0.001 * (1 + index), True)
        for index, item in enumerate(sorted(arrivals, key=lambda item: item.time_ns))
    )
    found = Location(
        x_m=SOURCE_M[0],
        y_m=SOURCE_M[1],
        z_m=None,
        origin_time_ns=ORIGIN_NS,
        origin_sigma_s=0.004,
        covariance_m2=COVARIANCE_M2,
        ellipse95=ellipse(COVARIANCE_M2, confidence=0.95),
        cep50_m=5.0,
        cep95_m=11.0,
        gdop=1.25,
        rms_residual_s=0.002,
        verdicts=verdicts,
        ellipse50=ellipse(COVARIANCE_M2, confidence=0.50),
        ellipse90=ellipse(COVARIANCE_M2, confidence=0.90),
    )
    return dataclasses.replace(found, **changes)  # type: ignore[arg-type]


def located(
    *, weather: Weather = STILL, aside: frozenset[str] = frozenset({"depot"}), **changes: object
) -> Explanation:
    """Return an explanation of a place, six nodes, the one in the north-west set aside."""
    late = {NAMES.index(name): 0.2 for name in aside}
    arrivals = heard(SITES_M, SOURCE_M, weather=weather, late_s=late, names=NAMES)
    return Explanation(
        title="Why this place: a test",
        found=location(arrivals, aside=aside, **changes),
        arrivals=tuple(arrivals),
        weather=weather,
        notation=Notation(None, True),
        sigma_s={item.uid: 0.008 for item in arrivals},
        sites=tuple(item.site for item in arrivals),
    )


def crowded() -> Explanation:
    """Return an explanation that has one of everything."""
    plain = located(
        region95=(REGION,),
        weight=0.7,
        alternatives=(Root(-400.0, -200.0, ORIGIN_NS, 0.25), Root(-500.0, 100.0, ORIGIN_NS, 0.05)),
    )
    mute, far = Site("mute", 200.0, -300.0), Site("far", 5_000.0, 5_000.0)
    spare = Site("spare", -200.0, -100.0)
    (passed,) = heard(np.array([(spare.x_m, spare.y_m)]), SOURCE_M, names=["spare"])
    return dataclasses.replace(
        plain,
        sites=(*plain.sites, mute, far, spare),
        silent=(Silence("mute", 250.0, 0.93),),
        passed_over=(ArrivalVerdict(passed, -0.06, False, "given to another shot"),),
        lost=(LostHypothesis(300.0, -50.0, ORIGIN_NS, 4, 2.5, "explains fewer nodes"),),
    )


def refused(*roots: Root, reason: NoLocationReason = NoLocationReason.TWO_ROOTS) -> Explanation:
    """Return an explanation of a refusal, three nodes."""
    arrivals = heard(SITES_M[:3], SOURCE_M, names=NAMES[:3])
    return Explanation(
        title="Why there is no place: a test",
        found=NoLocation(reason, "three nodes leave 2 places", tuple(roots)),
        arrivals=tuple(arrivals),
        weather=STILL,
        notation=Notation(None, True),
        sites=tuple(item.site for item in arrivals),
    )


def spans(ring: np.ndarray) -> float:
    """Return the largest distance between two corners of a ring."""
    return max(math.dist(a, b) for a in ring for b in ring)


def words(figure: Any) -> str:
    """Return every text of a figure, a line each."""
    from matplotlib.text import Text

    return "\n".join(item.get_text() for item in figure.findobj(Text) if item.get_text())
