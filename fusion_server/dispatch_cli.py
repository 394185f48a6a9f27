"""``shotline dispatch``: try a sink, or look at an alert in any format."""

from __future__ import annotations

import json
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from fusion_server.config import ServerConfig
    from fusion_server.dispatch import Alert
    from shotline.records import IncidentRecord

__all__ = ["Format", "app"]

app = typer.Typer(no_args_is_help=True, help="Alerts to other systems: try a sink, look at a format.")

_Config = Annotated[Path, typer.Option("--config", "-c", help="Configuration of the server, TOML (docs/server.md).")]


class Format(StrEnum):
    """What `show` can print."""

    CAP = "cap"
    CLOUDEVENTS = "cloudevents"
    COT = "cot"
    EIDO = "eido"
    GEOJSON = "geojson"
    JSON = "json"
    MQTT = "mqtt"
    SYSLOG = "syslog"
    TEXT = "text"


@app.command("test")
def try_sink(
    sink: Annotated[str, typer.Argument(help="Name of the sink, as in the configuration.")],
    config: _Config = Path("server.toml"),
    as_json: Annotated[bool, typer.Option("--json", help="Print what happened as JSON.")] = False,
) -> None:
    """Send an example marked TEST through one sink, once, and say what happened; exit code 1 if it was not taken.

    It stands where the network has its origin. The history is neither read nor written.
    """
    import time

    from fusion_server.config import load_server_config
    from fusion_server.dispatch import Alert, DeliveryError
    from fusion_server.sinks import make_sink
    from shotline.errors import InputError

    settings = load_server_config(config)
    section = next((section for section in settings.sinks if section.name == sink), None)
    if section is None:
        names = ", ".join(section.name for section in settings.sinks) or "none"
        raise InputError(f"no sink is named '{sink}'; the configuration has: {names}", source=config)
    alert = Alert(_example(settings, now_ns=time.time_ns()), test=True)
    made = make_sink(section, settings, revisions=lambda _incident: [], console_to=sys.stdout)
    began_s = time.monotonic()
    problem = ""
    try:
        made.send(alert)
    except DeliveryError as error:
        problem = error.detail + ("" if error.retryable else " (would not be tried again)")
    took_s = time.monotonic() - began_s
    if as_json:
        answer = {"sink": sink, "kind": section.kind, "ok": not problem, "detail": problem, "took_s": round(took_s, 3)}
        typer.echo(json.dumps(answer | {"incident": alert.record.id}))
    elif problem:
        typer.echo(f"{sink} ({section.kind}) did not take it after {took_s:.2f} s: {problem}")
    else:
        typer.echo(f"{sink} ({section.kind}) took test incident {alert.record.id} in {took_s:.2f} s")
    if problem:
        raise typer.Exit(1)


@app.command()
def show(
    form: Annotated[Format, typer.Argument(metavar="FORMAT", help=f"One of {', '.join(Format)}.")],
    config: _Config = Path("server.toml"),
    incident: Annotated[str | None, typer.Option(help="An incident of the history; without it, an example.")] = None,
    revision: Annotated[int | None, typer.Option(min=1, help="Of the incident; without it, the last.")] = None,
    incident_type: Annotated[
        str | None, typer.Option(help="Code of an EIDO, in place of [identity] incident_type.")
    ] = None,
) -> None:
    """Print an incident as a sink would send it. Nothing is sent."""
    import time

    from fusion_server.config import load_server_config
    from fusion_server.dispatch import Alert

    settings = load_server_config(config)
    if incident is None:
        alert, earlier = Alert(_example(settings, now_ns=time.time_ns()), test=True), []
    else:
        kept = _kept(settings, incident)
        record = _revision(kept, revision)
        alert = Alert(record, test=settings.server.test_alerts)
        earlier = [other for other in kept if other.revision < record.revision]
    sys.stdout.write(_written(form, alert, settings, earlier, incident_type, now_ns=time.time_ns()).rstrip() + "\n")


def _written(
    form: Format,
    alert: Alert,
    settings: ServerConfig,
    earlier: list[IncidentRecord],
    incident_type: str | None,
    *,
    now_ns: int,
) -> str:
    from fusion_server.dispatch import formats
    from fusion_server.sinks import identity_of
    from shotline.errors import InputError

    identity = identity_of(settings)
    match form:
        case Format.CAP:
            return formats.cap_message(alert, identity, earlier=earlier).decode()
        case Format.CLOUDEVENTS:
            return formats.cloudevent(alert, identity).decode()
        case Format.COT:
            return formats.cot_event(alert, now_ns=now_ns).decode()
        case Format.EIDO:
            code = incident_type or settings.identity.incident_type
            if code is None:
                raise InputError("an EIDO needs a type of incident; give --incident-type or [identity] incident_type")
            return formats.eido_document(alert, identity, incident_type=code).decode()
        case Format.GEOJSON:
            from fusion_server.api.geojson import incident_features

            frame = settings.to_frame()
            if frame is None:
                raise InputError("GeoJSON needs degrees but there is no [frame]; add the origin")
            return json.dumps(incident_features(alert.record, [], frame))
        case Format.JSON:
            import msgspec

            return msgspec.json.encode(alert.record).decode()
        case Format.MQTT:
            published = [
                *formats.home_assistant_discovery(identity, topic="shotline"),
                *formats.mqtt_publications(alert, identity, topic="shotline"),
            ]
            return "\n".join(f"{item.topic} {item.payload.decode()}" for item in published)
        case Format.SYSLOG:
            return formats.syslog_message(alert, identity).decode()
        case Format.TEXT:
            return f"{formats.headline(alert)}\n{formats.long_text(alert)}"


def _kept(settings: ServerConfig, incident: str) -> list[IncidentRecord]:
    from fusion_server.history import History
    from shotline.errors import InputError

    path = settings.server.database
    if "://" not in path and not Path(path).exists():
        raise InputError(f"there is no history at {path}; without --incident an example is shown", field="database")
    with History.open(path) as history:
        kept = history.incident_revisions(incident)
    if not kept:
        raise InputError(f"no incident '{incident}' is kept in {path}; the API's /incidents lists those that are")
    return kept


def _revision(kept: list[IncidentRecord], revision: int | None) -> IncidentRecord:
    from shotline.errors import InputError

    if revision is None:
        return kept[-1]
    found = next((record for record in kept if record.revision == revision), None)
    if found is None:
        raise InputError(f"incident '{kept[0].id}' has revisions 1 to {kept[-1].revision}, not {revision}")
    return found


def _example(settings: ServerConfig, *, now_ns: int) -> IncidentRecord:
    """Return an incident that never was: one round at the origin of the network, now."""
    from shotline.records import ALERT_NOTICE, EllipseRecord, IncidentRecord
    from shotline.timebase import format_utc

    frame = settings.to_frame()
    return IncidentRecord(
        id=f"test-{now_ns // 1_000_000:x}",
        revision=1,
        state="provisional",
        time_utc=format_utc(now_ns),
        last_time_utc=format_utc(now_ns),
        as_of_utc=format_utc(now_ns),
        rounds=1,
        x_m=0.0,
        y_m=0.0,
        lat_deg=None if frame is None else frame.lat_deg,
        lon_deg=None if frame is None else frame.lon_deg,
        covariance_m2=((16.0, 0.0), (0.0, 4.0)),
        ellipse95=EllipseRecord(semi_major_m=9.79, semi_minor_m=4.9, orientation_deg=90.0),
        cep50_m=3.3,
        cep95_m=8.2,
        probability=0.5,
        shots=(),
        notice=ALERT_NOTICE,
        scene=settings.scene,
    )
