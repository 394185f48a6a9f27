"""What lies in a bundle: the files that a case makes."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import msgspec

from fusion_server.evidence.bundle import AUDIT, RELOCATION, REVISIONS, WIRE, RevisionCheck, network_file
from fusion_server.evidence.case import Case, match, nodes_of
from fusion_server.evidence.container import FORMAT, Manifest, pretty
from fusion_server.evidence.network import NetworkRecord
from fusion_server.evidence.relocate import record_bytes
from fusion_server.evidence.words import readme
from shotline.domain import ImpulseKind
from shotline.messages import Detection
from shotline.records import ALERT_NOTICE
from shotline.timebase import format_utc

__all__ = ["case_files", "case_head"]


def case_head(case: Case) -> Manifest:
    """Return the manifest of a case, without its files."""
    record = case.revisions[-1]
    return Manifest(
        format=FORMAT,
        incident=record.id,
        scene=record.scene,
        revision=record.revision,
        source=case.source,
        base=None,
        notice=ALERT_NOTICE,
        files={},
    )


def case_files(case: Case, software: Mapping[str, object]) -> dict[str, bytes]:
    """Return the files of a case, by name.

    Parameters
    ----------
    case : Case
    software : mapping
        What makes the bundle, see `fusion_server.evidence.software`.
    """
    ordered = sorted(case.detections.values(), key=lambda item: (item.arrival_time_ns, item.uid))
    matched = match(case)
    checks = [
        RevisionCheck(revision=item.revision, network=network.digest, identical=item.identical, reason=item.reason)
        for network, item in matched
    ]
    lines = [_readable(item, case.received_ns.get(str(item.uid))) for item in ordered]
    return {
        "README.txt": readme(case.revisions[-1].id),
        REVISIONS: b"".join(record_bytes(record) + b"\n" for record in case.revisions),
        WIRE: b"".join(_frame(case.wire[str(item.uid)]) for item in ordered),
        "detections/readable.jsonl": b"".join(msgspec.json.encode(line) + b"\n" for line in lines),
        **{network_file(network.digest): pretty(network) for network, _ in matched},
        RELOCATION: pretty(checks),
        "nodes.json": pretty(_nodes(case, matched[-1][0])),
        "weather.json": pretty(
            [
                {"revision": record.revision, "shot": number, "weather": shot.weather}
                for record in case.revisions
                for number, shot in enumerate(record.shots, start=1)
            ]
        ),
        "versions.json": pretty(
            {
                "bundle_made_with": software,
                "models": sorted({item.model_id for item in ordered}),
                "calibrations": sorted({item.calibration_id for item in ordered if item.calibration_id}),
                "nodes": {status.node: status.software_version for status in case.node_statuses},
            }
        ),
        "decisions.json": pretty({"decisions": case.decisions, "acknowledgements": case.acknowledgements}),
        "receipts.json": pretty(case.receipts),
        AUDIT: pretty(case.audit),
        **_clip_files(case),
    }


def _frame(raw: bytes) -> bytes:
    # The bytes as they came, with fields that this Shotline may not know: not encoded again.
    return len(raw).to_bytes(4, "big") + raw


def _readable(detection: Detection, received_ns: int | None) -> dict[str, object]:
    fields = msgspec.structs.asdict(detection)
    probabilities = detection.probabilities_bp
    return {
        "detection": str(detection.uid),
        "arrival_time_utc": format_utc(detection.arrival_time_ns, digits=9),
        "received_utc": None if received_ns is None else format_utc(received_ns),
        "probabilities": {kind.value: bp / 10_000 for kind, bp in zip(ImpulseKind, probabilities, strict=False)},
        **{name: value for name, value in fields.items() if name not in ("probabilities_bp", "clip_sha256")},
        "clip_sha256": None if detection.clip_sha256 is None else detection.clip_sha256.hex(),
    }


def _nodes(case: Case, network: NetworkRecord) -> list[dict[str, object]]:
    sites = {site.node: site for site in network.sites}
    statuses = {status.node: status for status in case.node_statuses}
    return [
        {"node": node, "site": sites.get(node), "status": statuses.get(node)}
        for node in sorted(nodes_of(case.revisions))
    ]


def _clip_files(case: Case) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    listed = []
    for number, clip in enumerate(case.clips, start=1):
        name = f"clips/{number:03d}_{clip.uid.node.replace(':', '-')}.flac"
        files[name] = clip.flac
        listed.append(
            {
                "file": name,
                "detection": str(clip.uid),
                "start_time_utc": format_utc(clip.start_time_ns, digits=9),
                "sample_rate_hz": clip.sample_rate_hz,
                "received_utc": format_utc(clip.received_ns),
                "sha256": hashlib.sha256(clip.flac).hexdigest(),
                "as_announced_by_the_node": clip.digest_ok,
            }
        )
    refused = [
        {
            "detection": str(item.uid),
            "reason": item.reason,
            "detail": item.detail,
            "received_utc": format_utc(item.received_ns),
        }
        for item in case.clip_refusals
    ]
    files["clips/clips.json"] = pretty({"clips": listed, "refused": refused})
    return files
