"""A bundle as a PDF for people: what was concluded, from what, how sure, and what it is not."""

from __future__ import annotations

import io
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from fpdf import FPDF
from fpdf.enums import TableBordersLayout
from numpy.typing import NDArray

from fusion_server.evidence.bundle import Bundle
from fusion_server.evidence.container import decode_json
from fusion_server.evidence.figures import Trace, map_png, traces_png
from fusion_server.evidence.words import LIMITS, METHOD
from fusion_server.flac import decode_flac
from fusion_server.review import REASONS, Outcome
from shotline.domain import DetectionId
from shotline.errors import MessageError
from shotline.records import ALERT_NOTICE, ArrivalRecord, IncidentRecord, ShotRecord
from shotline.timebase import format_utc, parse_utc
from shotline.units import NS_PER_S

__all__ = ["report_pdf"]

_MARGIN_MM = 18.0
_MOST_TRACES = 14
_MOST_SHOTS = 20
_MOST_CLIP_SAMPLES = 192_000 * 8
_FONT = "DejaVu"


class _Page(FPDF):
    """A4 with a foot that says of which bundle this is, and that it is no ground for an arrest."""

    def __init__(self, digest: str) -> None:
        super().__init__(format="A4")
        self._digest = digest
        fonts = _font_folder()
        self.add_font(_FONT, "", fonts / "DejaVuSans.ttf")
        self.add_font(_FONT, "B", fonts / "DejaVuSans-Bold.ttf")
        self.set_margins(_MARGIN_MM, _MARGIN_MM)
        self.set_auto_page_break(True, margin=_MARGIN_MM + 6.0)
        self.add_page()

    def footer(self) -> None:
        """Write the foot of a page."""
        self.set_y(-_MARGIN_MM - 2.0)
        self.set_font(_FONT, size=6.5)
        self.set_text_color(80)
        self.cell(0, 3.5, ALERT_NOTICE, align="C", new_x="LMARGIN", new_y="NEXT")
        self.cell(0, 3.5, f"Bundle {self._digest}   page {self.page_no()} of {{nb}}", align="C")
        self.set_text_color(0)

    def heading(self, text: str, *, room_mm: float = 24.0) -> None:
        """Write a heading, on a new page where this one has less room for what follows."""
        if self.will_page_break(room_mm) and self.get_y() > _MARGIN_MM:
            self.add_page()
        self.ln(3.0)
        self.set_font(_FONT, "B", 11)
        self.multi_cell(0, 6, text, align="L", new_x="LMARGIN", new_y="NEXT")

    def words(self, text: str) -> None:
        """Write a paragraph."""
        self.set_font(_FONT, size=8.5)
        self.multi_cell(0, 4.4, text, align="L", new_x="LMARGIN", new_y="NEXT")
        self.ln(1.2)

    def rows(self, head: Sequence[str], rows: Iterable[Sequence[str]], widths: Sequence[int]) -> None:
        """Write a table; without a head when that is empty."""
        self.set_font(_FONT, size=7)
        with self.table(
            col_widths=tuple(widths),
            line_height=4.0,
            text_align="LEFT",
            borders_layout=TableBordersLayout.SINGLE_TOP_LINE,
            first_row_as_headings=bool(head),
        ) as table:
            for cells in ([head] if head else []) + list(rows):
                table.row(list(cells))
        self.ln(1.5)

    def picture(self, png: bytes) -> None:
        """Put a figure across the page."""
        self.image(io.BytesIO(png), w=self.epw)
        self.ln(1.0)


def report_pdf(bundle: Bundle) -> bytes:
    """Return the report of a bundle as PDF; the same bundle, the same bytes.

    Parameters
    ----------
    bundle : Bundle
        Verified.
    """
    record = bundle.revisions[-1]
    page = _Page(bundle.digest)
    page.set_title(f"Incident {record.id}")
    page.set_creation_date(_datetime(bundle.signature.signed_utc))
    _summary(page, bundle, record)
    _map(page, bundle, record)
    _sound(page, bundle, record)
    _residuals(page, record)
    _layers(page, bundle)
    _people(page, bundle)
    _origin(page, bundle)
    for title, paragraphs in (("Method", METHOD), ("Limits", LIMITS)):
        page.heading(title)
        for paragraph in paragraphs:
            page.words(paragraph)
    return bytes(page.output())


def _summary(page: _Page, bundle: Bundle, record: IncidentRecord) -> None:
    page.set_font(_FONT, "B", 15)
    page.multi_cell(0, 8, f"Incident {record.id}", align="L", new_x="LMARGIN", new_y="NEXT")
    page.set_font(_FONT, "B", 9)
    page.multi_cell(0, 5, ALERT_NOTICE, align="L", border=1, padding=2, new_x="LMARGIN", new_y="NEXT")
    page.ln(1.5)
    place = f"{record.x_m:.1f} m east, {record.y_m:.1f} m north in the local frame"
    if record.lat_deg is not None and record.lon_deg is not None:
        place = f"{record.lat_deg:.6f}, {record.lon_deg:.6f} (WGS-84); {place}"
    rounds = str(record.rounds)
    if record.rounds_low is not None and record.rounds_high is not None:
        rounds += f" found; {record.rounds_low} to {record.rounds_high} with probability 90 %"
    rows = [
        ("Time", f"{record.time_utc} to {record.last_time_utc}"),
        ("Place", place),
        ("95 % ellipse", _ellipse(record)),
        ("Rounds", rounds),
        ("Gunfire", f"probability {100 * record.probability:.0f} %, by model"),
        (
            "State",
            f"{record.state}, revision {record.revision}" + (f", REPLAY of {record.scene}" if record.scene else ""),
        ),
        ("Air", _air(record)),
        ("Bundle", bundle.digest),
        ("Signed", f"{bundle.signature.signed_utc} by key {bundle.signature.fingerprint}"),
    ]
    page.rows((), rows, (1, 5))


def _ellipse(record: IncidentRecord) -> str:
    ellipse = record.ellipse95
    axes = f"{ellipse.semi_major_m:.1f} m by {ellipse.semi_minor_m:.1f} m (semi-axes)"
    return f"{axes}, major axis {ellipse.orientation_deg:.0f}° from north; 95 % within {record.cep95_m:.1f} m"


def _air(record: IncidentRecord) -> str:
    seen = []
    for shot in record.shots:
        if shot.weather is not None:
            air = shot.weather
            text = f"{air.temperature_c:g} °C, wind {air.wind_speed_mps:g} m/s from {air.wind_from_deg:g}°"
            if text not in seen:
                seen.append(text)
    return "; ".join(seen) or "not kept"


def _map(page: _Page, bundle: Bundle, record: IncidentRecord) -> None:
    if not record.shots:
        return
    digest = next(check.network for check in bundle.checks if check.revision == record.revision)
    amended = [item.located for item in bundle.amendments if item.located is not None]
    page.heading("Map")
    page.picture(map_png(record, bundle.network(digest).sites, amended))


def _sound(page: _Page, bundle: Bundle, record: IncidentRecord) -> None:
    traces = _traces(bundle, record)
    page.heading("Sound", room_mm=24.0 + 15.0 * len(traces[:_MOST_TRACES]))
    if not traces:
        page.words("No sound was collected for this incident, or none of it can be read.")
        return
    page.picture(traces_png(traces[:_MOST_TRACES]))
    if len(traces) > _MOST_TRACES:
        page.words(f"{len(traces) - _MOST_TRACES} more clips are in the bundle.")


def _traces(bundle: Bundle, record: IncidentRecord) -> list[Trace]:
    listed = decode_json(bundle.file("clips/clips.json"), dict[str, list[dict[str, Any]]], source="clips/clips.json")
    heard = {item.detection: item for shot in record.shots for item in shot.arrivals}
    found: list[tuple[int, Trace]] = []
    for clip in listed["clips"]:
        arrival = heard.get(clip["detection"])
        if arrival is None or arrival.residual_s is None:
            continue
        sound = _sound_of(bundle.file(clip["file"]), clip["sample_rate_hz"])
        if sound is None:
            continue
        arrival_ns = parse_utc(arrival.time_utc)
        after_s = (parse_utc(clip["start_time_utc"]) - arrival_ns) / NS_PER_S + arrival.residual_s
        time_s = after_s + np.arange(len(sound)) / clip["sample_rate_hz"]
        node = DetectionId.parse(clip["detection"]).node
        found.append((arrival_ns, Trace(node, time_s, sound, arrival.residual_s, arrival.used)))
    return [trace for _, trace in sorted(found, key=lambda item: item[0])]


def _sound_of(flac: bytes, sample_rate_hz: int) -> NDArray[np.int16] | None:
    # Stream information comes first in a FLAC file [RFC9639]; its number of samples has 36 bits.
    samples = int.from_bytes(flac[18:26], "big") & (2**36 - 1)
    try:
        return decode_flac(flac, sample_rate_hz=sample_rate_hz, samples=min(samples, _MOST_CLIP_SAMPLES))
    except MessageError:
        return None


def _residuals(page: _Page, record: IncidentRecord) -> None:
    page.heading("Arrivals and residuals")
    page.words(
        "Residual: observed less predicted arrival time. Arrivals that are set aside do not count for the place."
    )
    for number, shot in enumerate(record.shots[:_MOST_SHOTS], start=1):
        if page.will_page_break(24.0):
            page.add_page()
        page.set_font(_FONT, "B", 8)
        said = f"Shot {number}, {shot.time_utc}, {shot.x_m:.1f} m east, {shot.y_m:.1f} m north"
        said += f", 95 % within {shot.cep95_m:.1f} m, rms residual {1e3 * shot.rms_residual_s:.1f} ms"
        page.multi_cell(0, 5, said, align="L", new_x="LMARGIN", new_y="NEXT")
        page.rows(
            ("node", "arrival, UTC", "residual", "SNR", "gunshot", "verdict"),
            [_arrival(item) for item in shot.arrivals] + [_passed(item) for item in shot.passed_over],
            (3, 5, 2, 2, 2, 6),
        )
        page.words(_silence(shot))
    if len(record.shots) > _MOST_SHOTS:
        page.words(f"{len(record.shots) - _MOST_SHOTS} more shots are in the bundle.")


def _arrival(item: ArrivalRecord) -> tuple[str, ...]:
    verdict = ("used" if item.used else "set aside") + (f": {item.reason}" if item.reason else "")
    return (*_heard(item), verdict)


def _passed(item: ArrivalRecord) -> tuple[str, ...]:
    return (*_heard(item), f"passed over: {item.reason}")


def _heard(item: ArrivalRecord) -> tuple[str, ...]:
    return (
        item.node,
        item.time_utc[11:-1],
        "" if item.residual_s is None else f"{round(1e3 * item.residual_s, 1) + 0.0:+.1f} ms",
        f"{item.snr_db:.0f} dB",
        "" if item.gunshot_probability is None else f"{100 * item.gunshot_probability:.0f} %",
    )


def _silence(shot: ShotRecord) -> str:
    if not shot.silent:
        return "No node that should have heard it was silent."
    names = ", ".join(f"{item.node} ({100 * item.probability:.0f} % expected)" for item in shot.silent[:12])
    return f"Silent, though listening: {names}."


def _layers(page: _Page, bundle: Bundle) -> None:
    page.heading("Revisions of the automatic result")
    last = bundle.revisions[-1]
    same = {check.revision: check.identical for check in bundle.checks}
    page.rows(
        ("revision", "concluded", "state", "rounds", "95 % within", "from the last", "located again"),
        [
            (
                str(item.revision),
                item.as_of_utc,
                item.state,
                str(item.rounds),
                f"{item.cep95_m:.1f} m",
                f"{math.hypot(item.x_m - last.x_m, item.y_m - last.y_m):.1f} m",
                "identical" if same.get(item.revision) else "differs",
            )
            for item in bundle.revisions
        ],
        (2, 6, 3, 2, 3, 3, 3),
    )
    page.heading("Edited picks")
    if not bundle.amendments:
        page.words("None. The places above are the automatic result.")
    for change in bundle.amendments:
        picks = ", ".join(f"{pick.node} {1e3 * pick.shift_s:+.1f} ms" for pick in change.picks)
        moved = (
            f"no place: {change.detail}"
            if change.located is None
            else f"the shot moves {change.moved_m:.2f} m (east {change.east_m:+.2f} m, north {change.north_m:+.2f} m)"
        )
        page.words(
            f"{change.number}. {change.amended_utc}, {change.by}: shot {change.shot} of revision {change.revision}, "
            f"{picks}; {moved}. Why: {change.why}. The automatic result stays."
        )


def _people(page: _Page, bundle: Bundle) -> None:
    page.heading("Decisions")
    people = decode_json(bundle.file("decisions.json"), dict[str, list[dict[str, Any]]], source="decisions.json")
    decisions, taken = people["decisions"], people["acknowledgements"]
    if not decisions:
        page.words("Nobody has decided.")
    for item in decisions:
        why = REASONS[Outcome(item["outcome"])].get(item["reason"], item["reason"])
        note = f" Note: {item['note']}" if item["note"] else ""
        page.words(
            f"{format_utc(item['time_ns'], digits=0)}, {item['person']}: {item['outcome']}, {why}; about revision "
            f"{item['revision']}.{note}"
        )
    for item in taken:
        page.words(f"{format_utc(item['time_ns'], digits=0)}, {item['person']}: took the alert on.")


def _origin(page: _Page, bundle: Bundle) -> None:
    page.heading("Where this comes from")
    versions = decode_json(bundle.file("versions.json"), dict[str, Any], source="versions.json")
    made = versions["bundle_made_with"]
    page.words(
        f"Shotline {made['shotline']}, commit {made['git_commit'] or 'not known'}; classifiers: "
        f"{', '.join(versions['models']) or 'none'}. {len(bundle.detections)} detections, "
        f"{len(bundle.container.files)} files."
    )
    extract = bundle.audit
    if extract is None:
        page.words("Made from a replay of recordings: there is no audit log.")
        return
    page.words(
        f"Audit log: {len(extract.entries)} entries about this incident and the server's starts; the whole log had "
        f"{extract.log.entries} entries, the newest with digest {extract.log.last_digest}, and "
        + ("was whole." if not extract.log.faults else f"was NOT whole: {'; '.join(extract.log.faults)}.")
    )


def _font_folder() -> Path:
    import matplotlib

    # Matplotlib ships it; it has more than the Latin letters of the fonts that PDF readers bring.
    return Path(matplotlib.get_data_path()) / "fonts" / "ttf"


def _datetime(text: str) -> Any:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(parse_utc(text) // NS_PER_S, tz=UTC)
