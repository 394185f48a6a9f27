"""The network self-check of a running server: fed from the history, its findings in the audit log.

A shot is judged when it has settled. After a restart the last incidents are judged again, and what the audit log says
of longer ago is taken over. A technician who has worked on a node writes that into the audit log
(``shotline calibrate selfcheck clear``), where the server finds it within seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

from fusion_server.associate import AssociateSettings
from fusion_server.casebook import Casebook, Note
from fusion_server.history import History
from fusion_server.netcheck import (
    Change,
    Estimate,
    NetcheckSettings,
    NetworkCheck,
    NodeState,
    Standing,
    shots_of_record,
)
from shotline.auditchain import AuditEntry
from shotline.domain import DetectionId, IncidentState, Site
from shotline.health import CheckStatus
from shotline.messages import Detection, HealthItem
from shotline.records import IncidentRecord
from shotline.timebase import format_utc, parse_utc
from shotline.units import NS_PER_S

__all__ = ["CHANGE_ACTION", "CLEAR_ACTION", "NETWORK_SUBJECT", "NetworkWatch", "clear_note"]

NETWORK_SUBJECT, CHANGE_ACTION, CLEAR_ACTION = "network-check", "network_check", "network_check_clear"
_ACTOR = "server"
_SETTLED_NS = 30 * NS_PER_S
"""So long after its last round an incident changes no more, and what nodes sent late is there."""
_KEPT = 240
"""So many last incidents are judged again after a start."""
_BESIDE_NS = 8 * NS_PER_S
"""Detections of nodes in quarantine are looked for so long after a shot."""
_ALIVE_NS = 120 * NS_PER_S
_AT_ONCE = 20


class NetworkWatch:
    """Feeds a `NetworkCheck` with what a server locates.

    Parameters
    ----------
    history : History
    sites : sequence of Site
    associate : AssociateSettings
        Those of fusion.
    settings : NetcheckSettings, optional
    quarantine : bool
        Whether fusion is to do without what is found wrong; else it is only told.
    event_ns : callable (int) -> int
        Event time of a wall time.
    """

    def __init__(
        self,
        history: History,
        sites: Sequence[Site],
        *,
        associate: AssociateSettings,
        settings: NetcheckSettings | None = None,
        quarantine: bool = True,
        event_ns: Callable[[int], int] = lambda wall_ns: wall_ns,
    ) -> None:
        self._history = history
        self._casebook = Casebook(history.database)
        self._sites = tuple(sites)
        self._associate = associate
        self._quarantine = quarantine
        self._event_ns = event_ns
        self.check = NetworkCheck(self._sites, settings)
        self._waiting: dict[str, IncidentRecord] = {}
        self._judged: set[str] = set()
        self._read_through = 0
        self._unnoted: list[Note] = []

    @property
    def quarantined(self) -> frozenset[str]:
        """Nodes that fusion is to do without."""
        return self.check.quarantined if self._quarantine else frozenset()

    def states(self, now_ns: int | None = None) -> tuple[NodeState, ...]:
        """Return where each node stands."""
        return self.check.states(now_ns)

    def health_items(self) -> dict[str, HealthItem]:
        """Return what the self-check says of nodes that are not ok, as one of their own checks."""
        return {
            state.node: HealthItem(
                name="network_check",
                status=CheckStatus.FAIL if state.standing is Standing.QUARANTINED else CheckStatus.WARN,
                message=f"{state.standing.value}: {state.reason}",
            )
            for state in self.check.states()
            if state.standing is not Standing.OK
        }

    def note(self, record: IncidentRecord) -> None:
        """Remember the latest revision of an incident until it has settled."""
        if record.id not in self._judged:
            self._waiting[record.id] = record

    def rebuild(self) -> int:
        """Judge the last incidents of the history again, after a start; return how many.

        Raises
        ------
        StorageError
        """
        entries = list(self._casebook.audit(subject=NETWORK_SUBJECT))
        self._read_through = entries[-1].number if entries else 0
        records = self._history.incidents(limit=_KEPT)[::-1]
        detections = self._detections_of(records)
        told = _Told(entries, self._event_ns)
        begin_ns = parse_utc(records[0].time_utc) if records else 0
        for state in told.until(begin_ns):
            self.check.resume(state)
        for record in records:
            now_ns = parse_utc(record.time_utc)
            for node, time_ns in told.clears_until(now_ns):
                self.check.clear(node, time_ns)
            self._feed(record, detections, told.quarantined_at(now_ns) | self.check.quarantined)
        for node, time_ns in told.clears_until(None):
            self.check.clear(node, time_ns)
        standing = {state.node: state.standing for state in self.check.states()}
        for state in told.until(None):
            if standing.get(state.node) is not state.standing:
                self.check.resume(state)
        self._judged = {record.id for record in records}
        return len(records)

    def step(self, now_ns: int, *, wall_ns: int) -> tuple[Change, ...]:
        """Judge what has settled, and take note of what technicians did; return how nodes stand otherwise than before.

        Parameters
        ----------
        now_ns : int
            Event time.
        wall_ns : int
            For the audit log.

        Raises
        ------
        StorageError
            What was not noted is noted by a later call.
        """
        changes = list(self._cleared(now_ns))
        settled = sorted(
            (parse_utc(record.last_time_utc), record.id)
            for record in self._waiting.values()
            if parse_utc(record.last_time_utc) + _SETTLED_NS <= now_ns
        )[:_AT_ONCE]
        records = [self._waiting[identity] for _, identity in settled]
        if records:
            detections = self._detections_of(records)
            alive_since_ns = wall_ns - _ALIVE_NS
            alive = {item.node for item in self._history.node_statuses() if item.last_heard_ns >= alive_since_ns}
            for record in records:
                changes += self._feed(record, detections, self.quarantined & alive)
                del self._waiting[record.id]
                self._judged.add(record.id)
        self._unnoted += [Note(_ACTOR, CHANGE_ACTION, NETWORK_SUBJECT, _detail(change)) for change in changes]
        if self._unnoted:
            self._casebook.note_all(self._unnoted, time_ns=wall_ns)
            self._unnoted = []
        return tuple(changes)

    def _cleared(self, now_ns: int) -> Iterable[Change]:
        for entry in self._casebook.audit(after=self._read_through, subject=NETWORK_SUBJECT):
            self._read_through = entry.number
            node = entry.detail.get("node")
            if entry.action == CLEAR_ACTION and isinstance(node, str):
                change = self.check.clear(node, now_ns)
                if change is not None:
                    yield change

    def _feed(
        self, record: IncidentRecord, detections: Mapping[str, Detection], set_aside: Iterable[str]
    ) -> list[Change]:
        if record.state == IncidentState.RETRACTED.value:
            return []
        begin_ns = parse_utc(record.time_utc)
        beside: dict[str, list[Detection]] = {node: [] for node in set_aside}
        if beside:
            until_ns = parse_utc(record.last_time_utc) + _BESIDE_NS
            for detection in self._history.detections(begin_ns, until_ns):
                if detection.node in beside:
                    beside[detection.node].append(detection)
        shots = shots_of_record(record, self._sites, settings=self._associate, detections=detections, set_aside=beside)
        return [change for shot in shots for change in self.check.add(shot)]

    def _detections_of(self, records: Sequence[IncidentRecord]) -> dict[str, Detection]:
        wanted = {
            DetectionId.parse(item.detection)
            for record in records
            for shot in record.shots
            for item in (*shot.arrivals, *shot.passed_over)
        }
        return {str(item.uid): item for item in self._history.detections_of(wanted)} if wanted else {}


class _Told:
    """What the audit log says about the self-check, by event time."""

    def __init__(self, entries: Iterable[AuditEntry], event_ns: Callable[[int], int]) -> None:
        self._rows = [
            (event_ns(entry.time_ns), entry.action, str(entry.detail.get("node", "")), entry.detail)
            for entry in entries
        ]
        self._cleared_through = -(2**62)

    def until(self, time_ns: int | None) -> list[NodeState]:
        """Return how nodes stood that were not ok at an instant, or last."""
        states: dict[str, NodeState] = {}
        for when_ns, action, node, detail in self._rows:
            if time_ns is not None and when_ns > time_ns:
                continue
            states.pop(node, None)
            if action == CHANGE_ACTION and (state := _state_of(detail)) is not None:
                states[node] = state
        return list(states.values())

    def quarantined_at(self, time_ns: int) -> frozenset[str]:
        """Return the nodes that were in quarantine at an instant."""
        return frozenset(state.node for state in self.until(time_ns) if state.standing is Standing.QUARANTINED)

    def clears_until(self, time_ns: int | None) -> list[tuple[str, int]]:
        """Return what technicians worked on since the last call, until an instant."""
        found = [
            (node, when_ns)
            for when_ns, action, node, _ in self._rows
            if action == CLEAR_ACTION and when_ns > self._cleared_through and (time_ns is None or when_ns <= time_ns)
        ]
        if time_ns is not None:
            self._cleared_through = max(self._cleared_through, time_ns)
        return found


def clear_note(node: str, *, why: str, person: str) -> Note:
    """Return what is to be noted in the audit log when somebody has worked on a node.

    Parameters
    ----------
    node : str
    why : str
        What was done.
    person : str
    """
    return Note(person, CLEAR_ACTION, NETWORK_SUBJECT, {"node": node, "why": why})


def _detail(change: Change) -> dict[str, object]:
    state = change.state
    return {
        "node": state.node,
        "before": change.before.value,
        "standing": state.standing.value,
        "reason": state.reason,
        "time_utc": format_utc(change.time_ns),
        "since_utc": None if state.since_ns is None else format_utc(state.since_ns),
        "score": round(state.score, 2),
        "estimates": [msgspec.to_builtins(item) for item in state.estimates],
    }


def _state_of(detail: Mapping[str, object]) -> NodeState | None:
    """Return how a node stood by an entry of the audit log; None where that was ok."""
    standing = Standing(str(detail.get("standing", Standing.OK.value)))
    if standing is Standing.OK:
        return None
    score, since_utc = detail.get("score"), detail.get("since_utc")
    return NodeState(
        node=str(detail["node"]),
        standing=standing,
        estimates=tuple(msgspec.convert(item, Estimate) for item in msgspec.convert(detail["estimates"], list[object])),
        reason=str(detail.get("reason", "")),
        score=float(score) if isinstance(score, int | float) else 0.0,
        since_ns=parse_utc(since_utc) if isinstance(since_utc, str) else None,
        changed_ns=parse_utc(str(detail["time_utc"])),
    )
