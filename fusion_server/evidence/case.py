"""All there is about one incident, from the server's database; and which network each revision was located with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from fusion_server.casebook import Casebook
from fusion_server.clips import CollectedClip, RefusedClip
from fusion_server.evidence.network import NetworkRecord, read_network_parts
from fusion_server.evidence.relocate import Relocated, Relocator
from fusion_server.evidence.signing import root_holds
from fusion_server.history import History, NodeStatus, Receipt
from fusion_server.review import Acknowledgement, Decision
from shotline.auditchain import AuditEntry, Root, verify_chain
from shotline.domain import DetectionId
from shotline.errors import InputError
from shotline.messages import Detection, decode
from shotline.records import IncidentRecord

__all__ = [
    "NETWORK_ACTION",
    "START_ACTION",
    "START_SUBJECT",
    "AuditExtract",
    "Case",
    "LogState",
    "decoded",
    "identities_of",
    "match",
    "nodes_of",
    "server_case",
]

START_ACTION, START_SUBJECT, NETWORK_ACTION = "start", "server", "network"
_MOST_NETWORKS = 50


class LogState(msgspec.Struct, frozen=True, kw_only=True):
    """The whole audit log when the bundle was made.

    Parameters
    ----------
    entries : int
    last_digest : str
        Of the newest entry; "" of an empty log.
    faults : tuple of str
        What was wrong with it.
    """

    entries: int
    last_digest: str
    faults: tuple[str, ...]


class AuditExtract(msgspec.Struct, frozen=True, kw_only=True):
    """What the audit log says about an incident.

    Parameters
    ----------
    entries : tuple of AuditEntry
        About the incident, and the starts of the server.
    roots : tuple of Root
        The first signed root that covers them all, where there is one.
    log : LogState
    """

    entries: tuple[AuditEntry, ...]
    roots: tuple[Root, ...]
    log: LogState


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """All there is about one incident.

    Parameters
    ----------
    source : str
        ``server`` or ``replay``.
    revisions : tuple of IncidentRecord
        Every one, in order; at least one.
    wire : mapping of str to bytes
        The detections as they came, by the text of their identity.
    received_ns : mapping of str to int
        When the server received them; empty for a replay.
    networks : tuple of NetworkRecord
        Those that a revision can have been located with, the likeliest first.
    clips, clip_refusals, node_statuses, decisions, acknowledgements, receipts
        As kept.
    audit : AuditExtract | None
        None for a replay.
    """

    source: str
    revisions: tuple[IncidentRecord, ...]
    wire: Mapping[str, bytes]
    networks: tuple[NetworkRecord, ...]
    received_ns: Mapping[str, int] = field(default_factory=dict)
    clips: tuple[CollectedClip, ...] = ()
    clip_refusals: tuple[RefusedClip, ...] = ()
    node_statuses: tuple[NodeStatus, ...] = ()
    decisions: tuple[Decision, ...] = ()
    acknowledgements: tuple[Acknowledgement, ...] = ()
    receipts: tuple[Receipt, ...] = ()
    audit: AuditExtract | None = None

    @property
    def detections(self) -> dict[str, Detection]:
        """The detections, decoded."""
        return decoded(self.wire)


def server_case(history: History, network: NetworkRecord, incident_id: str) -> Case:
    """Return what a server's database has about an incident.

    Parameters
    ----------
    history : History
    network : NetworkRecord
        As configured now; those that the audit log kept are tried too.
    incident_id : str

    Raises
    ------
    InputError
        There is no such incident.
    """
    revisions = tuple(history.incident_revisions(incident_id))
    if not revisions:
        raise InputError(f"no incident '{incident_id}' in {history.name}; the list is at /incidents", field="ID")
    identities = identities_of(revisions)
    wire = history.raw_of([DetectionId.parse(text) for text in identities])
    casebook = Casebook(history.database)
    nodes = nodes_of(revisions)
    starts = [entry for entry in casebook.audit(subject=START_SUBJECT) if entry.action == START_ACTION]
    return Case(
        source="server",
        revisions=revisions,
        wire={str(uid): raw for uid, raw in wire.items()},
        received_ns=_received_ns(history, list(wire)),
        networks=(network, *_kept_networks(casebook, starts, network)),
        clips=tuple(history.clips(incident_id)),
        clip_refusals=tuple(history.clip_refusals(incident_id)),
        node_statuses=tuple(status for status in history.node_statuses() if status.node in nodes),
        decisions=tuple(casebook.decisions([incident_id]).get(incident_id, ())),
        acknowledgements=tuple(casebook.acknowledgements([incident_id]).get(incident_id, ())),
        receipts=tuple(history.receipts(incident_id)),
        audit=_extract(casebook, incident_id, starts),
    )


def match(case: Case) -> list[tuple[NetworkRecord, Relocated]]:
    """Return for each revision the network that makes it again byte for byte; else the likeliest and what differs."""
    relocators = [(network, Relocator(network, case.detections)) for network in case.networks]
    found = []
    for record in case.revisions:
        tried = []
        for network, relocator in relocators:
            tried.append((network, relocator.relocate(record)))
            if tried[-1][1].identical:
                break
        found.append(tried[-1] if tried[-1][1].identical else tried[0])
    return found


def decoded(wire: Mapping[str, bytes]) -> dict[str, Detection]:
    """Return detections by the text of their identity."""
    messages = ((text, decode(raw)) for text, raw in wire.items())
    return {text: message for text, message in messages if isinstance(message, Detection)}


def identities_of(revisions: Iterable[IncidentRecord]) -> list[str]:
    """Return the detections that revisions rest on or passed over, sorted."""
    shots = [shot for record in revisions for shot in record.shots]
    return sorted({item.detection for shot in shots for item in (*shot.arrivals, *shot.passed_over)})


def nodes_of(revisions: Iterable[IncidentRecord]) -> set[str]:
    """Return the nodes that revisions speak of, heard or silent."""
    shots = [shot for record in revisions for shot in record.shots]
    heard = {item.node for shot in shots for item in (*shot.arrivals, *shot.passed_over)}
    return heard | {item.node for shot in shots for item in shot.silent}


def _received_ns(history: History, uids: Sequence[DetectionId]) -> dict[str, int]:
    if not uids:
        return {}
    times_ns = [
        message.arrival_time_ns
        for raw in history.raw_of(uids).values()
        if isinstance(message := decode(raw), Detection)
    ]
    wanted = set(uids)
    stored = history.stored(min(times_ns), max(times_ns) + 1)
    return {str(item.detection.uid): item.received_ns for item in stored if item.detection.uid in wanted}


def _kept_networks(casebook: Casebook, starts: Sequence[AuditEntry], now: NetworkRecord) -> list[NetworkRecord]:
    """Return the networks that the audit log kept, newest first, without the present one."""
    digests = dict.fromkeys(str(entry.detail.get("network")) for entry in reversed(starts))
    digests.pop(now.digest, None)
    found = []
    for digest in list(digests)[:_MOST_NETWORKS]:
        entries = casebook.audit(subject=digest)
        network = read_network_parts(entry.detail for entry in entries if entry.action == NETWORK_ACTION)
        if network is not None and network.digest == digest:
            found.append(network)
    return found


def _extract(casebook: Casebook, incident_id: str, starts: Sequence[AuditEntry]) -> AuditExtract:
    about = list(casebook.audit(subject=incident_id))
    entries = sorted({entry.number: entry for entry in (*about, *starts)}.values(), key=lambda entry: entry.number)
    roots = casebook.roots()
    last: AuditEntry | None = None
    count = 0

    def whole() -> Iterable[AuditEntry]:
        nonlocal last, count
        for entry in casebook.audit():
            last, count = entry, count + 1
            yield entry

    faults = verify_chain(whole(), [root for root in roots if root_holds(root)])
    newest = max((entry.number for entry in entries), default=0)
    return AuditExtract(
        entries=tuple(entries),
        roots=tuple(root for root in roots if root.number >= newest)[:1],
        log=LogState(
            entries=count,
            last_digest="" if last is None else last.digest,
            faults=tuple(f"entry {fault.number}: {fault.says}" for fault in faults),
        ),
    )
