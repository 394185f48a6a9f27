"""``report.html``: one file with everything in it, no network. Pure: values in, text out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

from shotline.records import ALERT_NOTICE, IncidentRecord, ShotRecord
from shotline_recordings.dataset import Dataset, Scene, TruthEvent
from shotline_replay.charts import Series, close_up, error_cdf, overview, residual_histogram, residual_scatter
from shotline_replay.replay import RETRACTED
from shotline_replay.report import Report
from shotline_replay.summary import nothing_found, summary_rows

__all__ = ["report_page"]

_MOST_BYTES = 4_500_000

_STYLE = """
:root { color-scheme: light dark; --ground: #fbfbfa; --card: #ffffff; --ink: #1b1f23; --quiet: #667079;
  --rule: #dfe3e6; --grid: #e9ecee; --blue: #1f6fb2; --orange: #c2570c; --green: #23803f; --red: #c0312b;
  --violet: #7a4fb5; --teal: #0f7f83; --soft: #1f6fb222; }
@media (prefers-color-scheme: dark) { :root { --ground: #14171a; --card: #1b1f23; --ink: #e6e9eb; --quiet: #97a1a9;
  --rule: #31373d; --grid: #262b30; --blue: #6bb3ee; --orange: #f0924e; --green: #66c486; --red: #f0807a;
  --violet: #b79ae8; --teal: #5cc4c8; --soft: #6bb3ee22; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1180px; padding: 28px 20px 80px; background: var(--ground); color: var(--ink);
  font: 15px/1.5 system-ui, sans-serif; }
h1 { font-size: 24px; margin: 0 0 2px; } h2 { font-size: 18px; margin: 36px 0 10px; } h3 { font-size: 15px; }
p { margin: 6px 0; } .quiet { color: var(--quiet); }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(420px, 1fr)); gap: 16px; }
@media (max-width: 520px) { .cards { grid-template-columns: 1fr; } }
figure { margin: 0; padding: 14px; background: var(--card); border: 1px solid var(--rule); border-radius: 8px; }
figcaption { font-weight: 600; margin-bottom: 6px; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; background: var(--card); }
th, td { padding: 4px 12px; border-bottom: 1px solid var(--rule); text-align: left; }
th { color: var(--quiet); font-weight: 600; } td.n, th.n { text-align: right; }
details { background: var(--card); border: 1px solid var(--rule); border-radius: 8px; margin: 6px 0; }
details details { border-width: 1px 0 0; border-radius: 0; }
summary { padding: 8px 14px; cursor: pointer; } summary b { margin-right: 8px; }
.body { padding: 4px 14px 14px; } .maps { display: flex; flex-wrap: wrap; gap: 14px; }
.maps > div { flex: 1 1 340px; max-width: 460px; }
svg { width: 100%; height: auto; display: block; } svg.map { border: 1px solid var(--rule); border-radius: 6px; }
.grid { stroke: var(--grid); } .tick, .name { fill: var(--quiet); font: 11px system-ui, sans-serif; }
.name { font-size: 12px; } .mid { text-anchor: middle; } .end { text-anchor: end; }
.mark { stroke: var(--quiet); stroke-dasharray: 3 4; } .line { fill: none; stroke-width: 2; }
.line.c0 { stroke: var(--blue); } .line.c1 { stroke: var(--orange); } .line.c2 { stroke: var(--green); }
.line.c3 { stroke: var(--violet); } .line.c4 { stroke: var(--teal); } .line.c5 { stroke: var(--red); }
.bar { fill: var(--blue); } .dots { fill: none; stroke-width: 4; stroke-linecap: round; stroke-opacity: .55; }
.dots.used { stroke: var(--blue); } .dots.aside { stroke: var(--orange); }
.legend { display: flex; flex-wrap: wrap; gap: 4px 16px; color: var(--quiet); font-size: 13px; }
.key { display: inline-flex; align-items: center; gap: 6px; }
.swatch { width: 12px; height: 12px; border-radius: 3px; display: inline-block; background: var(--quiet); }
.swatch.c0, .swatch.used { background: var(--blue); } .swatch.c1, .swatch.aside { background: var(--orange); }
.swatch.c2, .swatch.truth { background: var(--green); } .swatch.c3 { background: var(--violet); }
.swatch.c4 { background: var(--teal); } .swatch.c5, .swatch.fix { background: var(--red); }
.swatch.silent { background: none; border: 1.5px solid var(--quiet); }
.ray { stroke: var(--blue); stroke-opacity: .22; } .node.used { fill: var(--blue); }
.node.aside { fill: var(--orange); }
.node.silent { fill: none; stroke: var(--quiet); stroke-width: 1.5; }
.ellipse { fill: var(--soft); stroke: var(--red); stroke-width: 1.5; } .fix { stroke: var(--red); stroke-width: 2; }
.truth { fill: var(--green); } .truth-error { fill: none; stroke: var(--green); stroke-dasharray: 4 4; }
.round { fill: var(--red); fill-opacity: .75; } .scale { fill: none; stroke: var(--quiet); }
.good { color: var(--green); } .bad { color: var(--red); } .warn { color: var(--orange); }
"""


def report_page(
    report: Report,
    dataset: Dataset,
    incidents: Sequence[IncidentRecord],
    *,
    series: Sequence[Series] = (),
    events: Mapping[tuple[str, str], str] | None = None,
    most_bytes: int = _MOST_BYTES,
) -> str:
    """Return the page.

    Parameters
    ----------
    report : Report
    dataset : Dataset
        For the sites and the truth.
    incidents : sequence of IncidentRecord
        The last revision of each.
    series : sequence of Series
        Errors to draw.
    events : mapping of (scene, incident id) to event, optional
        Which event an incident is held against; None for what the score says.
    most_bytes : int
        Incidents beyond this size are listed, not drawn.
    """
    scenes = {scene.name: scene for scene in dataset.scenes}
    answers = _answers(report) if events is None else events
    head = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>Replay of {escape(dataset.name)}</title><style>{_STYLE}</style></head><body>",
        f"<h1>Replay of {escape(dataset.name)}</h1>",
        f'<p class="quiet">{escape(_how(report))}</p>',
        _summary(report),
        _charts(series, incidents, scenes),
        _positions(report),
        _problems(report),
    ]
    parts = ["".join(head), "<h2>Incidents</h2>", _map_legend()]
    size = sum(map(len, parts))
    drawn = 0
    for incident in incidents:
        section = _incident(incident, scenes[incident.scene], answers.get((incident.scene, incident.id)), drawn == 0)
        size += len(section.encode())
        if size > most_bytes:
            break
        parts.append(section)
        drawn += 1
    if drawn < len(incidents):
        parts.append(
            f"<p>{drawn} of {len(incidents)} incidents are drawn, to keep this file small; "
            "all are in incidents.jsonl.</p>"
        )
    if not incidents:
        why = " ".join(nothing_found(report)) or "None."
        parts.append(f"<p>{escape(why)}</p>")
    parts.append(f'<p class="quiet">{escape(ALERT_NOTICE)}</p></body></html>\n')
    return "\n".join(parts)


def _how(report: Report) -> str:
    run, software = report.run, report.software
    words = [f"from {run.source}"]
    if run.only:
        words.append(f"only {', '.join(run.only)}")
    if run.sensors:
        words.append(f"subsets of {', '.join(map(str, run.sensors))} sensors, {run.subsets} per shot, seed {run.seed}")
    if run.live:
        words.append(f"live through real processes at pace {run.pace:g}")
    commit = f", commit {software.git_commit[:12]}" if software.git_commit else ""
    if software.git_dirty:
        commit += " with changes"
    words.append(f"shotline {software.shotline}{commit}")
    words.append(f"data: {report.dataset.source} ({report.dataset.licence})")
    return "; ".join(words)


def _summary(report: Report) -> str:
    beside = report.published is not None
    head = '<th></th><th class="n">here</th>' + ('<th class="n">published</th>' if beside else "")
    rows = "".join(
        f'<tr><td>{escape(row.what)}</td><td class="n">{escape(row.value)}</td>'
        + (f'<td class="n quiet">{escape(row.published)}</td>' if beside else "")
        + "</tr>"
        for row in summary_rows(report)
    )
    note = ""
    if report.published is not None:
        note = f'<p class="quiet">Published: {escape(report.published.source)}.'
        note += f" {escape(report.published.note)}</p>" if report.locator is not None else "</p>"
    return f'<h2>Summary</h2><div class="wide"><table><tr>{head}</tr>{rows}</table></div>{note}'


def _charts(series: Sequence[Series], incidents: Sequence[IncidentRecord], scenes: dict[str, Scene]) -> str:
    figures = []
    if any(item.attempted for item in series):
        figures.append(("Error", error_cdf(series)))
    places = {(name, site.node): site for name, scene in scenes.items() for site in scene.sites}
    distances: list[float] = []
    residuals: list[float] = []
    used: list[bool] = []
    for incident in incidents:
        for shot in incident.shots:
            for item in shot.arrivals:
                if item.residual_s is None:
                    continue
                site = places[incident.scene, item.node]
                distances.append(math.hypot(site.x_m - shot.x_m, site.y_m - shot.y_m))
                residuals.append(1e3 * item.residual_s)
                used.append(item.used)
    if residuals:
        kept = [value for value, is_used in zip(residuals, used, strict=True) if is_used]
        figures.append(("Residuals of the arrivals used", residual_histogram(kept)))
        figures.append(("Residual against distance", residual_scatter(distances, residuals, used)))
    cards = "".join(f"<figure><figcaption>{title}</figcaption>{svg}</figure>" for title, svg in figures)
    return f'<h2>Errors and residuals</h2><div class="cards">{cards}</div>' if figures else ""


def _positions(report: Report) -> str:
    """Return the figures by scene, when there are several."""
    rows: list[tuple[str, ...]] = []
    head: tuple[str, ...] = ()
    if report.score is not None and report.locator is None and len(report.score.scenes) > 1:
        head = ("", "events found", "duplicate / false", "shots found", "shots false", "median", "p95", "max", "exact")
        for scene in report.score.scenes:
            counts, errors = scene.counts, scene.shots
            rows.append(
                (
                    scene.scene,
                    f"{counts.events_found}/{counts.events}",
                    f"{counts.incidents_duplicate} / {counts.incidents_false}",
                    f"{counts.shots_found}/{counts.shots_fired}",
                    str(counts.shots_false),
                    *map(_metres, (errors.median_m, errors.p95_m, errors.max_m)),
                    f"{counts.events_exact}/{counts.events}",
                )
            )
    elif report.locator is not None and len(report.locator.all_sensors.scenes) > 1:
        subsets = report.locator.subsets
        head = ("", "shots", "median", "p95", "max", *(f"{item.sensors} sensors within 15 m" for item in subsets))
        for name, errors in report.locator.all_sensors.scenes.items():
            shares = (item.scenes[name].share_within_15m for item in subsets)
            rows.append(
                (
                    name,
                    f"{errors.located}/{errors.attempted}",
                    *map(_metres, (errors.median_m, errors.p95_m, errors.max_m)),
                    *("-" if share is None else f"{100 * share:.1f} %" for share in shares),
                )
            )
    return f"<h2>By scene</h2>{_table(head, rows)}" if rows else ""


def _problems(report: Report) -> str:
    parts = []
    if report.score is not None and report.locator is None:
        missed = [
            (scene.scene, event.event, str(event.rounds), event.label)
            for scene in report.score.scenes
            for event in scene.events
            if event.kind == "gunshot" and event.check is None
        ]
        if missed:
            parts.append(f"<h2>Missed events</h2>{_table(('scene', 'event', 'rounds', 'what'), missed)}")
        false = [
            (scene.scene, item.time_utc, item.incident_id, str(item.rounds), f"{item.cause} {item.event}")
            for scene in report.score.scenes
            for item in scene.false_incidents
        ]
        if false:
            parts.append(
                "<h2>Duplicate and false incidents</h2>"
                + _table(("scene", "time", "incident", "rounds", "answers"), false)
            )
    if report.dataset.warnings:
        notes = "".join(f"<li>{escape(item)}</li>" for item in report.dataset.warnings)
        parts.append(
            f'<details><summary>Quirks of the data that were tolerated</summary><ul class="body">{notes}</ul></details>'
        )
    return "".join(parts)


def _map_legend() -> str:
    keys = (
        ("used", "node used"),
        ("aside", "set aside"),
        ("silent", "silent"),
        ("fix", "fix and 95 % ellipse"),
        ("truth", "truth"),
    )
    return (
        '<p class="legend">'
        + "".join(f'<span class="key"><i class="swatch {kind}"></i>{text}</span>' for kind, text in keys)
        + "</p>"
    )


def _answers(report: Report) -> dict[tuple[str, str], str]:
    if report.score is None:
        return {}
    return {
        (scene.scene, event.incident_id): event.event
        for scene in report.score.scenes
        for event in scene.events
        if event.incident_id is not None
    }


def _incident(incident: IncidentRecord, scene: Scene, event: str | None, opened: bool) -> str:
    truth = next((item for item in scene.truth if item.event == event), None)
    error = ""
    if truth is not None:
        error_m = math.hypot(incident.x_m - truth.x_m, incident.y_m - truth.y_m)
        kind = "good" if error_m <= incident.cep95_m else "warn" if error_m <= 25.0 else "bad"
        error = f'<span class="{kind}">{error_m:.1f} m off {escape(truth.event)}</span>'
        if truth.kind != "gunshot":
            error = f'<span class="bad">answers a confuser: {escape(truth.event)}</span>'
    elif scene.truth:
        error = '<span class="bad">no event to answer</span>'
    state = f' <span class="bad">{RETRACTED}</span>' if incident.state == RETRACTED else ""
    rounds = "1 round" if incident.rounds == 1 else f"{incident.rounds} rounds"
    shots = "".join(_shot(shot, number, scene, truth) for number, shot in enumerate(incident.shots, start=1))
    return (
        f"<details{' open' if opened else ''}><summary><b>{escape(incident.scene)}</b> {escape(incident.time_utc)} "
        f"{rounds}, {error or escape(incident.id)}, CEP95 {incident.cep95_m:.1f} m{state}</summary>"
        f'<div class="body"><p class="quiet">{escape(incident.id)}, revision {incident.revision}, {incident.state}; '
        f"x {incident.x_m:.1f} m, y {incident.y_m:.1f} m; probability {incident.probability:.2f}"
        f"{escape(_fired(incident))}</p>"
        f'<div class="maps"><div>{overview(incident, scene.sites, truth)}</div>'
        f"<div>{close_up(incident, truth)}</div></div></div>{shots}</details>"
    )


def _fired(incident: IncidentRecord) -> str:
    """Return what is told of how the rounds were fired, each part only when it is."""
    words = []
    if incident.rounds_low is not None and incident.rounds_low != incident.rounds_high:
        words.append(f"{incident.rounds_low} to {incident.rounds_high} rounds")
    if incident.fire_mode is not None and incident.rounds > 1:
        words.append(f"fire {incident.fire_mode.replace('_', '-')}")
    if incident.places:
        words.append(f"{len(incident.places)} places, at least {incident.shooters_least} shooter(s)")
    if incident.movement is not None:
        words.append(f"moving at {incident.movement.speed_mps:.0f} m/s towards {incident.movement.heading_deg:.0f}°")
    return "".join(f"; {word}" for word in words)


def _shot(shot: ShotRecord, number: int, scene: Scene, truth: TruthEvent | None) -> str:
    places = {site.node: site for site in scene.sites}
    error = f", {math.hypot(shot.x_m - truth.x_m, shot.y_m - truth.y_m):.1f} m off" if truth is not None else ""
    used = sum(item.used for item in shot.arrivals)
    rows = [
        (
            item.node,
            item.time_utc[11:23],
            f"{math.hypot(places[item.node].x_m - shot.x_m, places[item.node].y_m - shot.y_m):.0f}",
            "-" if item.residual_s is None else f"{1e3 * item.residual_s:+.1f}",
            "used" if item.used else "set aside",
            f"{item.snr_db:.0f}",
            "-" if item.gunshot_probability is None else f"{item.gunshot_probability:.2f}",
            item.reason,
        )
        for item in shot.arrivals
    ]
    head = ("node", "time", "distance, m", "residual, ms", "", "SNR, dB", "p(gunshot)", "why")
    return (
        f"<details><summary>round {number}: {escape(shot.time_utc[11:23])}{error}, {used} of {len(shot.arrivals)} "
        f"arrivals used, rms {1e3 * shot.rms_residual_s:.1f} ms, GDOP {shot.gdop:.2f}</summary>"
        f'<div class="body">{_table(head, rows)}</div></details>'
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    top = "".join(f"<th>{escape(item)}</th>" for item in head)
    body = "".join("<tr>" + "".join(f"<td>{escape(item)}</td>" for item in row) + "</tr>" for row in rows)
    return f'<div class="wide"><table><tr>{top}</tr>{body}</table></div>'


def _metres(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f} m"
