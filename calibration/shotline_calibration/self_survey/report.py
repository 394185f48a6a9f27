"""From an adjustment to what records hold. Pure."""

from __future__ import annotations

import math

import numpy as np

from fusion_server.locate.uncertainty import ellipse
from shotline.geodesy import LocalFrame
from shotline.timebase import format_utc
from shotline_calibration.self_survey.equations import PER_NODE
from shotline_calibration.self_survey.observability import motions
from shotline_calibration.self_survey.prepare import Prepared
from shotline_calibration.self_survey.problem import SelfSurvey
from shotline_calibration.self_survey.result import FoundAir, FoundMotion, FoundNetwork, FoundNode
from shotline_calibration.self_survey.words import not_told

__all__ = ["node_rows", "of_nodes", "whole_network"]


def node_rows(prepared: Prepared, survey: SelfSurvey) -> list[dict[str, float | int | str | bool]]:
    """Return a row for each node in the local frame: before, after, errors; units in the names."""
    rows: list[dict[str, float | int | str | bool]] = []
    for number, (prior, found) in enumerate(zip(prepared.nodes, survey.nodes, strict=True)):
        plane = slice(PER_NODE * number, PER_NODE * number + 2)
        around = ellipse(survey.node_covariance[plane, plane], confidence=0.95)
        rows.append(
            {
                "node": found.node,
                "surveyed_x_m": prior.x_m,
                "surveyed_y_m": prior.y_m,
                "surveyed_z_m": prior.z_m,
                "surveyed_sigma_m": prior.sigma_m,
                "x_m": found.x_m,
                "y_m": found.y_m,
                "z_m": found.z_m,
                "sigma_m": math.sqrt((found.sigma_x_m**2 + found.sigma_y_m**2) / 2.0),
                "sigma_up_m": found.sigma_z_m,
                "ellipse95_semi_major_m": around.semi_major_m,
                "ellipse95_semi_minor_m": around.semi_minor_m,
                "ellipse95_orientation_deg": around.orientation_deg,
                "clock_offset_s": found.clock_offset_s,
                "clock_sigma_s": found.clock_sigma_s,
                "impulses": found.impulses,
                "surprise": found.surprise,
                "survey_dropped": found.prior_dropped,
            }
        )
    return rows


def of_nodes(prepared: Prepared, survey: SelfSurvey, frame: LocalFrame) -> dict[str, FoundNode]:
    """Return what was found of each node that heard anything, in WGS-84."""
    found: dict[str, FoundNode] = {}
    for row, prior, after in zip(node_rows(prepared, survey), prepared.nodes, survey.nodes, strict=True):
        if not after.impulses:
            continue
        lat_deg, lon_deg, height_m = frame.to_geodetic(after.x_m, after.y_m, after.z_m)
        before_lat_deg, before_lon_deg, before_height_m = frame.to_geodetic(prior.x_m, prior.y_m, prior.z_m)
        found[after.node] = FoundNode(
            lat_deg=lat_deg,
            lon_deg=lon_deg,
            height_m=height_m,
            sigma_m=float(row["sigma_m"]),
            sigma_up_m=after.sigma_z_m,
            ellipse95_semi_major_m=float(row["ellipse95_semi_major_m"]),
            ellipse95_semi_minor_m=float(row["ellipse95_semi_minor_m"]),
            ellipse95_orientation_deg=float(row["ellipse95_orientation_deg"]),
            surveyed_lat_deg=before_lat_deg,
            surveyed_lon_deg=before_lon_deg,
            surveyed_height_m=before_height_m,
            surveyed_sigma_m=prior.sigma_m,
            moved_east_m=after.x_m - prior.x_m,
            moved_north_m=after.y_m - prior.y_m,
            moved_up_m=after.z_m - prior.z_m,
            clock_offset_s=after.clock_offset_s,
            clock_sigma_s=after.clock_sigma_s,
            impulses=after.impulses,
            surprise=after.surprise,
            survey_dropped=after.prior_dropped,
        )
    return found


def whole_network(prepared: Prepared, survey: SelfSurvey) -> FoundNetwork:
    """Return what all nodes share."""
    used = np.concatenate(survey.used)
    return FoundNetwork(
        nodes=sum(node.impulses > 0 for node in survey.nodes),
        impulses=sum(bool(each.any()) for each in survey.used),
        impulses_known=sum(
            heard.place is not None and bool(each.any())
            for heard, each in zip(prepared.heard, survey.used, strict=True)
        ),
        arrivals=len(used),
        arrivals_set_aside=int((~used).sum()),
        path_sigma_s=survey.path_sigma_s,
        motions=tuple(
            FoundMotion(
                name=each.name,
                unit=each.unit,
                sigma_before=each.sigma_before,
                sigma_after=each.sigma_after,
                told=each.told.value,
            )
            for each in motions(prepared.nodes, prepared.airs, survey)
        ),
        airs=tuple(
            FoundAir(
                from_utc=format_utc(span_ns[0], digits=0),
                until_utc=format_utc(span_ns[1], digits=0),
                speed_of_sound_mps=speed_mps,
                speed_of_sound_sigma_mps=speed_sigma_mps,
                wind_east_mps=wind_mps[0],
                wind_east_sigma_mps=wind_sigma_mps[0],
                wind_north_mps=wind_mps[1],
                wind_north_sigma_mps=wind_sigma_mps[1],
            )
            for span_ns, speed_mps, speed_sigma_mps, wind_mps, wind_sigma_mps in zip(
                prepared.spans_ns,
                survey.speed_mps,
                survey.speed_sigma_mps,
                survey.wind_mps,
                survey.wind_sigma_mps,
                strict=True,
            )
        ),
        not_told=not_told(prepared, survey),
    )
