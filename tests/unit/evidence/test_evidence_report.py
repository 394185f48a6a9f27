"""The report: every page says of which bundle it is, and what it is not grounds for."""

from __future__ import annotations

import io
import json
import math
import re

import numpy as np
import pypdf
import soundfile
from evidence_samples import SIGNED_NS, signing_key

from fusion_server.evidence.amend import amend
from fusion_server.evidence.bundle import Bundle
from fusion_server.evidence.container import pack, pretty, unpack
from fusion_server.evidence.report import _traces, report_pdf
from shotline.records import ALERT_NOTICE
from shotline.timebase import format_utc, parse_utc


def pages(pdf: bytes) -> list[str]:
    return [" ".join(page.extract_text().split()) for page in pypdf.PdfReader(io.BytesIO(pdf)).pages]


def with_files(bundle: Bundle, files: dict[str, bytes]) -> Bundle:
    data = pack({**bundle.container.files, **files}, bundle.manifest, key=signing_key(), time_ns=SIGNED_NS)
    return Bundle(unpack(data))


def test_it_says_what_it_is_on_every_page(bundle: Bundle) -> None:
    found = pages(report_pdf(bundle))
    assert len(found) > 2
    for number, text in enumerate(found, start=1):
        assert ALERT_NOTICE in text
        assert bundle.digest in text
        assert f"page {number} of {len(found)}" in text


def test_the_same_bundle_makes_the_same_report(bundle: Bundle, data: bytes) -> None:
    assert report_pdf(bundle) == report_pdf(Bundle(unpack(data)))


def test_every_arrival_and_revision_is_in_it(bundle: Bundle) -> None:
    text = " ".join(pages(report_pdf(bundle)))
    record = bundle.revisions[-1]
    for shot in record.shots:
        for item in shot.arrivals:
            assert item.time_utc[11:-1] in text
            if item.residual_s is not None:
                assert f"{round(1e3 * item.residual_s, 1) + 0.0:+.1f} ms" in text
    assert len(re.findall(r"identical", text)) == len(bundle.revisions)
    assert f"{record.ellipse95.semi_major_m:.1f} m by {record.ellipse95.semi_minor_m:.1f} m" in text
    assert "12 °C, wind 0 m/s" in text
    assert "Nobody has decided." in text
    assert "None. The places above are the automatic result." in text
    assert "no alert is no proof of silence" in text


def test_decisions_and_edited_picks_are_named(bundle: Bundle) -> None:
    decision = {
        "number": 1, "incident_id": "i", "revision": 2, "outcome": "dismissed", "reason": "fireworks",
        "note": "ćma <b>&", "person": "Łucja", "time_ns": SIGNED_NS,
    }  # fmt: skip
    people = {
        "decisions": [decision],
        "acknowledgements": [{"incident_id": "i", "person": "Jan", "time_ns": SIGNED_NS}],
    }
    decided = with_files(bundle, {"decisions.json": pretty(people)})
    node = decided.revisions[-1].shots[0].arrivals[0].node
    made, change = amend(
        decided, {node: 0.004}, shot=1, by="R. Examiner", why="later", key=signing_key(), time_ns=SIGNED_NS
    )
    text = " ".join(pages(report_pdf(Bundle(unpack(made)))))
    assert "Łucja: dismissed, fireworks; about revision 2. Note: ćma <b>&" in text
    assert "Jan: took the alert on." in text
    assert (
        f"R. Examiner: shot 1 of revision {change.revision}, {node} +4.0 ms; the shot moves {change.moved_m:.2f}"
        in text
    )


def test_sound_is_laid_on_the_predicted_arrival(bundle: Bundle) -> None:
    """An impulse at the picked sample comes out at the residual, at any rate."""
    arrival = bundle.revisions[-1].shots[0].arrivals[1]
    rate_hz, before_s = 8_000, 0.25
    sound = np.zeros(rate_hz, dtype=np.int16)
    sound[round(before_s * rate_hz)] = 20_000
    out = io.BytesIO()
    soundfile.write(out, sound, rate_hz, format="FLAC", subtype="PCM_16")
    start_ns = parse_utc(arrival.time_utc) - round(before_s * 1e9)
    listed = [
        {"file": "clips/001.flac", "detection": arrival.detection, "sample_rate_hz": rate_hz,
         "start_time_utc": format_utc(start_ns, digits=9)},
        {"file": "README.txt", "detection": arrival.detection, "sample_rate_hz": rate_hz,
         "start_time_utc": format_utc(start_ns, digits=9)},
    ]  # fmt: skip
    files = {
        "clips/001.flac": out.getvalue(),
        "clips/clips.json": json.dumps({"clips": listed, "refused": []}).encode(),
    }
    heard = with_files(bundle, files)
    (trace,) = _traces(heard, heard.revisions[-1])
    assert arrival.residual_s is not None
    assert trace.pick_s == arrival.residual_s
    # Float arithmetic on seconds since the pick.
    assert math.isclose(trace.time_s[np.argmax(trace.sound)], arrival.residual_s, abs_tol=1e-9)
    assert "No sound was collected" not in " ".join(pages(report_pdf(heard)))
    assert "No sound was collected" in " ".join(pages(report_pdf(bundle)))
