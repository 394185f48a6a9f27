"""``shotline demo``: a simulated city block, real processes, alerts beside the truth."""

from __future__ import annotations

import math
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table

from shotline.errors import EdgeError
from shotline.records import ALERT_NOTICE, IncidentRecord
from shotline.timebase import EventClock, parse_utc
from shotline.units import NS_PER_S, ns_from_seconds
from shotline_models.registry import DEFAULT_CLASSIFIER
from shotline_recordings.dataset import Scene, TruthEvent
from shotline_recordings.scene import load_scene, shipped_scene
from shotline_recordings.score import score_scene
from shotline_recordings.simulate import simulate_dataset
from shotline_replay.processes import Children
from shotline_replay.replay import RETRACTED, latest_revisions
from shotline_replay.session import NotReadyError, Session

__all__ = ["run_demo", "verdict"]

_BEFORE_S = 0.5
_LINGER_S = 3.0
_TRIES = 3
_LEAD_BASE_S, _LEAD_PER_PROCESS_S = 4.0, 0.6
_ASK_S = 0.2


def run_demo(
    *, once: bool, seed: int | None = None, pace: float = 1.0, port: int = 0, model: str = DEFAULT_CLASSIFIER
) -> int:
    """Run the demo; return the exit code: 0 when every shot was found within its CEP95 and nothing else was alerted."""
    console = Console(highlight=False)
    with tempfile.TemporaryDirectory(prefix="shotline-demo-") as name:
        folder = Path(name)
        scene_file = load_scene(shipped_scene())
        console.print(f"Simulating {scene_file.duration_s:g} s of sound at {len(scene_file.nodes)} microphones ...")
        made = simulate_dataset(
            scene_file,
            folder / "dataset",
            seed=scene_file.seed if seed is None else seed,
            jobs=os.cpu_count() or 1,
            picture=False,
        )
        scene = made.dataset.scenes[0]
        try:
            return _play(
                scene, folder, console, once=once, pace=pace, port=port, model=model, seconds=scene_file.duration_s
            )
        except KeyboardInterrupt:
            console.print("Ended.")
            return 0 if not once else 130


def verdict(scene: Scene, revisions: Sequence[IncidentRecord]) -> list[str]:
    """Return what was missed, wrong or imagined, in words; nothing when the demo did what it must.

    Every event must have its incident with the right number of rounds and within its CEP95, every round a shot within
    *its* CEP95; and no other incident may have been alerted. A first guess about a shot that was taken back is no such
    incident; one at any other time is, taken back or not.
    """
    standing = [item for item in latest_revisions(revisions) if item.state != RETRACTED]
    score = score_scene(scene, standing)
    problems = []
    for event in score.events:
        if event.kind != "gunshot":
            continue
        if event.check is None:
            problems.append(f"{event.event}: {_rounds(event.rounds)} fired, nothing reported")
            continue
        if not event.check.in_cep95:
            problems.append(f"{event.event}: {event.check.error_m:.1f} m off, outside its CEP95")
        if not event.exact:
            problems.append(
                f"{event.event}: {event.shots_found} of {_rounds(event.rounds)} found, {event.rounds_reported} reported"
            )
    outside = [check for check in score.shot_checks if not check.in_cep95]
    problems += [f"a shot is {check.error_m:.1f} m off, outside its CEP95" for check in outside]
    answered = {event.incident_id for event in score.events if event.kind == "gunshot"}
    for item in latest_revisions(revisions):
        about_a_shot = _nearest_in_time(item, [event for event in scene.truth if event.kind == "gunshot"]) is not None
        if item.id not in answered and not (item.state == RETRACTED and about_a_shot):
            problems.append(f"an alert for something else at x {item.x_m:.0f} m, y {item.y_m:.0f} m, {item.time_utc}")
    return problems


def _play(
    scene: Scene, folder: Path, console: Console, *, once: bool, pace: float, port: int, model: str, seconds: float
) -> int:
    nodes = len(scene.recordings)
    lead_s = _LEAD_BASE_S + _LEAD_PER_PROCESS_S * nodes * 2 / (os.cpu_count() or 1)
    for attempt in range(1, _TRIES + 1):
        room = folder / f"run-{attempt}"
        room.mkdir()
        with Children(room) as children:
            first_ns = min(item.start_time_ns for item in scene.recordings)
            clock = EventClock(
                first_ns - ns_from_seconds(_BEFORE_S * pace), time.time_ns() + ns_from_seconds(lead_s), pace
            )
            session = Session(scene, room, children, clock=clock, http_port=port, model=model, exercise=True)
            console.print(f"Server up. Live page: [bold]{session.page}[/]")
            session.start_nodes(scene.recordings)
            try:
                session.wait_ready()
            except NotReadyError as error:
                console.print(f"{error} were not up in time; again, with more patience")
                lead_s *= 2
                continue
            console.print(
                f"{nodes} node processes connected. {seconds / pace:.0f} s of city, with {_promise(scene)}. "
                f"{ALERT_NOTICE}\n"
            )
            return _watch(scene, session, clock, console, once=once, last_ns=first_ns + ns_from_seconds(seconds))
    raise EdgeError(
        f"the nodes were not up {lead_s / 2:.0f} s after the start; this machine is too busy, end other work"
    )


def _watch(scene: Scene, session: Session, clock: EventClock, console: Console, *, once: bool, last_ns: int) -> int:
    truth = [event for event in scene.truth if event.kind == "gunshot"]
    result = session.play(
        last_ns + ns_from_seconds(_LINGER_S), on_alert=lambda record: console.print(_alert(record, truth, clock))
    )
    problems = verdict(scene, result.revisions)
    console.print(_result_table(scene, result.revisions))
    if problems:
        for problem in problems:
            console.print(f"[red]not as it should be:[/] {escape(problem)}", soft_wrap=True)
    else:
        console.print("[green]Every shot found within its CEP95; no alert for anything else.[/]")
    if not once:
        console.print(f"\nLive page: [bold]{session.page}[/] - Ctrl-C ends the demo.")
        while True:
            time.sleep(_ASK_S)
    return 1 if problems else 0


def _alert(record: IncidentRecord, truth: Sequence[TruthEvent], clock: EventClock) -> Panel:
    ellipse = record.ellipse95
    axes_m = f"{2 * ellipse.semi_major_m:.1f} x {2 * ellipse.semi_minor_m:.1f}"
    used = {item.node for shot in record.shots for item in shot.arrivals if item.used}
    lines = [
        f"found  x {record.x_m:7.1f} m, y {record.y_m:7.1f} m   {_degrees(record)}",
        f"       95 % within {record.cep95_m:.1f} m; ellipse {axes_m} m, {ellipse.orientation_deg:.0f}° from north; "
        + _count(len(used), "node"),
    ]
    colour = "yellow"
    event = _nearest_in_time(record, truth)
    if event is not None:
        error_m = math.hypot(record.x_m - event.x_m, record.y_m - event.y_m)
        inside = error_m <= record.cep95_m
        colour = "green" if inside else "red"
        lines.append(
            f"truth  x {event.x_m:7.1f} m, y {event.y_m:7.1f} m   {event.label}: [bold]{error_m:.1f} m off[/], "
            f"{'inside' if inside else 'OUTSIDE'} its CEP95"
        )
        late_s = clock.event_ns(time.time_ns()) - parse_utc(record.last_time_utc)
        lines.append(f"       told {late_s / NS_PER_S:.1f} s after the last round was fired")
    else:
        colour = "red"
        lines.append("truth  nothing was fired here and now")
    title = f"{_rounds(record.rounds)} - {record.state}, revision {record.revision}"
    return Panel("\n".join(lines), title=title, title_align="left", border_style=colour)


def _nearest_in_time(record: IncidentRecord, truth: Sequence[TruthEvent]) -> TruthEvent | None:
    first_ns, last_ns = parse_utc(record.time_utc), parse_utc(record.last_time_utc)
    about = [event for event in truth if first_ns <= event.window_ns[1] and last_ns >= event.window_ns[0]]
    return min(about, key=lambda event: math.hypot(event.x_m - record.x_m, event.y_m - record.y_m), default=None)


def _result_table(scene: Scene, revisions: Sequence[IncidentRecord]) -> Table:
    latest = latest_revisions(revisions)
    standing = {item.id: item for item in latest if item.state != RETRACTED}
    score = score_scene(scene, list(standing.values()))
    table = Table(title="What was fired, and what was found")
    for name, side in (
        ("event", "left"),
        ("rounds", "right"),
        ("found", "right"),
        ("error", "right"),
        ("CEP95", "right"),
    ):
        table.add_column(name, justify="right" if side == "right" else "left")
    for event in score.events:
        if event.kind != "gunshot":
            quiet = "no alert" if event.incident_id is None else "[red]alert[/]"
            table.add_row(f"{event.event} ({event.label})", "-", quiet, "", "")
        elif event.check is None or event.incident_id is None:
            table.add_row(f"{event.event} ({event.label})", str(event.rounds), "[red]missed[/]", "", "")
        else:
            colour = "green" if event.check.in_cep95 else "red"
            table.add_row(
                f"{event.event} ({event.label})",
                str(event.rounds),
                str(event.rounds_reported),
                f"[{colour}]{event.check.error_m:.1f} m[/]",
                f"{standing[event.incident_id].cep95_m:.1f} m",
            )
    return table


def _promise(scene: Scene) -> str:
    shots = [event for event in scene.truth if event.kind == "gunshot"]
    rounds = " and ".join(_rounds(event.rounds) for event in shots)
    return f"{rounds} fired, and {len(scene.truth) - len(shots)} bangs that are no shots"


def _degrees(record: IncidentRecord) -> str:
    return "" if record.lat_deg is None else f"({record.lat_deg:.6f}, {record.lon_deg:.6f})"


def _rounds(count: int) -> str:
    return _count(count, "round")


def _count(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
