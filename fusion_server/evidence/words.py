"""Method and limits in plain words: for the bundle and for the report."""

from __future__ import annotations

from shotline.records import ALERT_NOTICE

__all__ = ["LIMITS", "METHOD", "readme"]


def _paragraphs(text: str) -> tuple[str, ...]:
    return tuple(" ".join(part.split()) for part in text.split("\n\n"))


METHOD = _paragraphs(
    """Microphones at surveyed places note when an impulsive sound arrives, in UTC, and how likely it is a gunshot.
A server finds arrivals at four or more places that one sound explains, and computes where and when it was made from the
differences of the arrival times, with the speed of sound at the temperature and wind recorded for the shot.

The ellipse holds the true place with probability 95 % if the model is right. It contains errors of clocks, of picking
the onset, of the survey, of the weather, and of paths that are not straight. The residual of a node is the time at
which it heard the sound less the time that the computed place predicts. Arrivals that do not fit are set aside with a
reason and stay in the record.

The automatic result is never changed. Later results are revisions that are added; decisions of people and edited
picks are layers of their own, each with a name."""
)

LIMITS = (
    ALERT_NOTICE,
    *_paragraphs(
        """Sound bends around buildings and echoes from them. Where most paths are blocked the error can be larger than
the ellipse. A place outside the array of nodes is known much worse in distance than in direction.

Fireworks, backfires and other impulses can be taken for shots. The probability is that of a model, not of a court.
Suppressed weapons, small calibres, shots indoors and shots in heavy noise may not be heard at all: no alert is no
proof of silence.

The number of rounds is an interval. Rounds that fall together, or are heard by fewer than four nodes, are missed.
Nothing here tells who fired, or at what.

A signature shows that the bundle is what the holder of the key signed. That the detections were not changed before
that rests on the server, its database and its audit log."""
    ),
)


def readme(incident_id: str) -> bytes:
    """Return the text that lies first in a bundle."""
    files = (
        "incident/revisions.jsonl   every revision of the automatic result, as it was told",
        "detections/wire.bin        the detections as the nodes sent them: 4 bytes of length, then the message, each",
        "detections/readable.jsonl  the same to read, with the time at which the server received each",
        "clips/                     the sound that was collected, FLAC, and a list of it and of what was refused",
        "network/                   sites, frame and settings that the locations depend on, by their digest",
        "relocation.json            which network each revision was located with, and that it was made again from it",
        "nodes.json                 the nodes of the record: site, what they last said of themselves",
        "weather.json               the air that each shot was located with",
        "versions.json              code and models",
        "decisions.json             decisions and acknowledgements of people",
        "receipts.json              what each recipient of alerts answered",
        "audit.json                 entries of the audit log about this incident, signed roots, state of the whole log",
        "amendments/                edited picks, each over the manifest and signature of what it was made from",
        "manifest.json              SHA-256 of every file",
        "signature.json             signature of the manifest, Ed25519",
    )
    parts = [
        f"Evidence of incident {incident_id}",
        "\n".join(files),
        "\n".join(
            (
                "Check:   shotline evidence verify BUNDLE --key FINGERPRINT",
                "Again:   shotline evidence relocate BUNDLE",
                "Report:  shotline evidence report BUNDLE --out REPORT.pdf",
            )
        ),
        "Method",
        *METHOD,
        "Limits",
        *LIMITS,
    ]
    return ("\n\n".join(parts) + "\n").encode("utf-8")
