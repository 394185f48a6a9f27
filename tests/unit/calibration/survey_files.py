"""Files of a made-up network that heard impulses: the server's configuration, arrivals, known places."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from survey_samples import Truth

from shotline.geodesy import LocalFrame
from shotline.records import ArrivalRecord, EllipseRecord, IncidentRecord, ShotRecord
from shotline.timebase import format_utc

__all__ = ["ORIGIN", "START_NS", "heard_text", "incident_of", "known_text", "server_text", "write_survey"]

ORIGIN = LocalFrame(51.5, -0.12, 40.0)
START_NS = 1_796_083_200_000_000_000


def server_text(truth: Truth, *, frame: bool = True, temperature_c: float = 19.5) -> str:
    """Return a server.toml with the nodes as surveyed; 343 m/s is 19.5 °C."""
    lines = ["[frame]", "lat_deg = 51.5", "lon_deg = -0.12", "height_m = 40.0"] if frame else []
    # To the east 2 m/s and to the south 1 m/s, as the made-up networks have it.
    lines += [
        "[weather]",
        f"temperature_c = {temperature_c}",
        "wind_speed_mps = 2.236068",
        "wind_from_deg = 296.565051",
    ]
    for node in truth.nodes:
        lines += ["[[nodes]]", f'id = "{node.node}"', f"sigma_m = {node.sigma_m}"]
        if frame:
            lat_deg, lon_deg, height_m = ORIGIN.to_geodetic(node.x_m, node.y_m, node.z_m)
            lines += [f"lat_deg = {lat_deg:.10f}", f"lon_deg = {lon_deg:.10f}", f"height_m = {height_m:.4f}"]
        else:
            lines += [f"x_m = {node.x_m}", f"y_m = {node.y_m}", f"z_m = {node.z_m}"]
    return "\n".join(lines) + "\n"


def heard_text(truth: Truth) -> str:
    """Return a table of arrivals."""
    lines = ["shot,node,time_ns,sigma_s"]
    for impulse in truth.impulses:
        for node, time_s, sigma_s in zip(impulse.nodes, impulse.arrival_s, impulse.sigma_s, strict=True):
            lines.append(f"{impulse.name},{truth.nodes[node].node},{START_NS + round(time_s * 1e9)},{sigma_s}")
    return "\n".join(lines) + "\n"


def known_text(truth: Truth) -> str:
    """Return a table of the impulses at known places, in degrees."""
    lines = ["shot,lat_deg,lon_deg,height_m,sigma_m,sigma_z_m"]
    for impulse in truth.impulses:
        if impulse.place_sigma_m[0] < 1.0 and impulse.place_m is not None:
            lat_deg, lon_deg, height_m = ORIGIN.to_geodetic(*impulse.place_m)
            lines.append(f"{impulse.name},{lat_deg:.10f},{lon_deg:.10f},{height_m:.4f},0.05,0.05")
    return "\n".join(lines) + "\n"


def incident_of(
    name: str, arrivals: Sequence[tuple[str, int, bool]], *, revision: int = 1, state: str = "revised"
) -> IncidentRecord:
    """Return an incident of one shot, with who heard it, when, and whether the fix used it; its place is the origin."""
    round_ = EllipseRecord(semi_major_m=1.0, semi_minor_m=1.0, orientation_deg=0.0)
    unit = ((1.0, 0.0), (0.0, 1.0))
    time_utc = format_utc(min(time_ns for _, time_ns, _ in arrivals))
    heard = tuple(
        ArrivalRecord(
            node=node,
            detection=f"{node}/1f/{number}",
            time_utc=format_utc(time_ns, digits=9),
            residual_s=0.0,
            used=used,
            reason="",
            snr_db=20.0,
            level_db=None,
        )
        for number, (node, time_ns, used) in enumerate(arrivals)
    )
    shot = ShotRecord(
        time_utc=time_utc,
        x_m=0.0,
        y_m=0.0,
        covariance_m2=unit,
        ellipse95=round_,
        cep50_m=1.0,
        cep95_m=2.0,
        gdop=1.0,
        rms_residual_s=0.001,
        probability=0.9,
        arrivals=heard,
    )
    return IncidentRecord(
        id=name,
        revision=revision,
        state=state,
        time_utc=time_utc,
        last_time_utc=time_utc,
        as_of_utc=time_utc,
        rounds=1,
        x_m=0.0,
        y_m=0.0,
        covariance_m2=unit,
        ellipse95=round_,
        cep50_m=1.0,
        cep95_m=2.0,
        probability=0.9,
        shots=(shot,),
        notice="",
    )


def write_survey(folder: Path, truth: Truth, *, frame: bool = True) -> tuple[Path, Path, Path]:
    """Write the three files."""
    network, heard, known = folder / "server.toml", folder / "heard.csv", folder / "known.csv"
    network.write_text(server_text(truth, frame=frame), encoding="utf-8")
    heard.write_text(heard_text(truth), encoding="utf-8")
    known.write_text(known_text(truth), encoding="utf-8")
    return network, heard, known
