"""The server's checks. Pure: what was measured goes in, checks come out.

`shotline server check` prints them, the API and the page show them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from fusion_server.netcheck import NodeState, Standing
from shotline.health import Check, CheckStatus, check_from_item
from shotline.messages import HealthItem
from shotline.timebase import format_utc
from shotline.units import NS_PER_S

__all__ = [
    "NodeReport",
    "check_backlog",
    "check_disk",
    "check_event_clock",
    "check_fusion",
    "check_keys",
    "check_network",
    "check_node_health",
    "check_receiver",
    "check_rejects",
    "check_retention",
    "check_silent_nodes",
    "check_sinks",
    "check_sites",
    "check_store",
    "check_untimed_nodes",
    "with_item",
]

_DISK_WARN_BYTES = 1_000_000_000
_DISK_FAIL_BYTES = 100_000_000
_MOST_NAMED = 8
_BEHIND_S = 2.0
_VERBS = {CheckStatus.WARN: "warns", CheckStatus.FAIL: "fails"}


@dataclass(frozen=True, slots=True)
class NodeReport:
    """What the last heartbeat of a node said of it, and the server's wall time then.

    Parameters
    ----------
    heard_ns : int
    items : tuple of HealthItem
        As they came; none from a node that sends no health.
    dropped_detections, dropped_heartbeats : int
        Since its spool was made.
    """

    heard_ns: int
    items: tuple[HealthItem, ...]
    dropped_detections: int
    dropped_heartbeats: int

    @property
    def status(self) -> CheckStatus | None:
        """The worst of its checks; None when it sends none."""
        return max((item.status for item in self.items), key=list(CheckStatus).index, default=None)

    @property
    def checks(self) -> tuple[Check, ...]:
        """Its checks."""
        return tuple(check_from_item(item) for item in self.items)


def with_item(report: NodeReport, item: HealthItem) -> NodeReport:
    """Return a report with one more check: what the server found out about the node."""
    return replace(report, items=(*report.items, item))


def check_store(name: str, problem: str, *, detections: int) -> Check:
    """Check the history: ``problem`` is what its last write said, "" when it went well."""
    numbers = {"detections": detections}
    if problem:
        return Check("store", CheckStatus.FAIL, f"cannot keep detections, so none is acknowledged: {problem}", numbers)
    return Check("store", CheckStatus.OK, f"{detections} detections kept in {name}", numbers)


def check_receiver(endpoint: str, *, peers: int, messages: int, quiet_s: float | None) -> Check:
    """Check the receiver: ``quiet_s`` is how long its loop has not come round, None before it runs."""
    numbers: dict[str, int | float] = {"peers": peers, "messages": messages}
    if quiet_s is None:
        return Check("receiver", CheckStatus.FAIL, f"not listening on {endpoint} yet", numbers)
    numbers["loop_age_s"] = round(quiet_s, 3)
    if quiet_s > 5.0:
        return Check("receiver", CheckStatus.FAIL, f"stuck for {quiet_s:.0f} s; restart the server", numbers)
    return Check(
        "receiver", CheckStatus.OK, f"listening on {endpoint}, {peers} connected, {messages} messages", numbers
    )


def check_backlog(behind_s: float, *, waiting: int, lateness_s: float) -> Check:
    """Check whether the server keeps up: ``behind_s`` is how long a message waits until it is read.

    Parameters
    ----------
    behind_s : float
        Of the usual heartbeat, from its making to its reading.
    waiting : int
        Detections that wait at nodes, as they last said.
    lateness_s : float
        What comes later than this after its sound changes no incident any more.
    """
    numbers = {"behind_s": round(behind_s, 3), "waiting": waiting}
    if behind_s < _BEHIND_S:
        return Check("backlog", CheckStatus.OK, f"messages are read {behind_s:.1f} s after they were sent", numbers)
    message = f"behind by {behind_s:.0f} s, {waiting} detections wait at the nodes; none is lost"
    if behind_s < lateness_s:
        return Check("backlog", CheckStatus.WARN, f"{message}, alerts are that late", numbers)
    message += f", but what is older than {lateness_s:g} s makes no alert: look for what else uses the processor"
    return Check("backlog", CheckStatus.FAIL, message, numbers)


def check_fusion(problem: str, *, failures: int) -> Check:
    """Check fusion: ``problem`` is the last failure of the code itself, "" when there was none."""
    if problem:
        return Check(
            "fusion",
            CheckStatus.FAIL,
            f"failed {failures} times and was started afresh, last {problem}; the detections are kept: "
            "report it with the log and the history",
            {"failures": failures},
        )
    return Check("fusion", CheckStatus.OK, "no failure since start", {"failures": 0})


def check_keys(accepted: int, problem: str, *, refused: Mapping[str, int], last: str) -> Check:
    """Check who may connect: ``problem`` is why the allow-list cannot be read, ``refused`` counts connections."""
    numbers = {"accepted": accepted, **refused}
    if problem:
        message = f"the allow-list cannot be read, the last good one holds ({accepted} keys accepted): {problem}"
        return Check("keys", CheckStatus.FAIL, message, numbers)
    if refused:
        message = f"{sum(refused.values())} connections refused for their key; the last: {last}"
        return Check("keys", CheckStatus.WARN, message, numbers)
    if not accepted:
        return Check("keys", CheckStatus.WARN, "no key is accepted; run `shotline keys enrol` for each node", numbers)
    return Check("keys", CheckStatus.OK, f"{accepted} keys accepted", numbers)


def check_sinks(sinks: Mapping[str, tuple[int, int, str]]) -> Check:
    """Check where alerts go: name -> alerts waiting, alerts given up, last error ("" when the last went well)."""
    waiting = sum(item[0] for item in sinks.values())
    gave_up = sum(item[1] for item in sinks.values())
    numbers = {"sinks": len(sinks), "waiting": waiting, "gave_up": gave_up}
    if not sinks:
        return Check("sinks", CheckStatus.FAIL, "alerts go nowhere; add [[sinks]] to the configuration", numbers)
    bad = [f"{name}: {error}" for name, (_, _, error) in sorted(sinks.items()) if error]
    if bad:
        return Check("sinks", CheckStatus.FAIL, f"{waiting} alerts wait; {'; '.join(bad)}", numbers)
    if gave_up:
        return Check("sinks", CheckStatus.WARN, f"{gave_up} alerts were given up; see the receipts", numbers)
    return Check("sinks", CheckStatus.OK, f"{len(sinks)} sinks, {waiting} alerts on their way", numbers)


def check_retention(problem: str, *, swept_s: float | None, deleted: int) -> Check:
    """Check deletion: ``problem`` is what the last sweep said, ``swept_s`` how long ago one went through."""
    numbers: dict[str, int | float] = {"deleted": deleted}
    if swept_s is not None:
        numbers["swept_s"] = round(swept_s, 3)
    if problem:
        return Check("retention", CheckStatus.WARN, f"what has expired cannot be deleted: {problem}", numbers)
    if swept_s is None:
        return Check("retention", CheckStatus.OK, "no sweep has gone through yet since the start", numbers)
    return Check("retention", CheckStatus.OK, f"{deleted} rows deleted since the start", numbers)


def check_silent_nodes(
    last_heard_ns: Mapping[str, int], surveyed: Sequence[str], *, now_ns: int, silent_after_s: float
) -> Check:
    """Check which surveyed nodes were not heard for ``silent_after_s``, or never."""
    limit_ns = now_ns - round(silent_after_s * NS_PER_S)
    silent = [(last_heard_ns.get(node), node) for node in surveyed if last_heard_ns.get(node, -1) < limit_ns]
    numbers = {"surveyed": len(surveyed), "silent": len(silent)}
    if not surveyed:
        return Check("nodes", CheckStatus.WARN, "no node has a site; add [[nodes]] to the configuration", numbers)
    if not silent:
        return Check("nodes", CheckStatus.OK, f"all {len(surveyed)} nodes heard within {silent_after_s:g} s", numbers)
    names = _names([f"{node} ({_age(heard, now_ns)})" for heard, node in silent])
    status = CheckStatus.FAIL if len(silent) == len(surveyed) else CheckStatus.WARN
    return Check(
        "nodes",
        status,
        f"{len(silent)} of {len(surveyed)} nodes silent: {names}; check their power and network",
        numbers,
    )


def check_node_health(reports: Mapping[str, NodeReport], *, now_ns: int, silent_after_s: float) -> Check:
    """Check what nodes say of themselves: node id -> its last report. Those that are silent are not counted here."""
    limit_ns = now_ns - round(silent_after_s * NS_PER_S)
    heard = {node: item for node, item in reports.items() if item.items and item.heard_ns >= limit_ns}
    unwell = {node: item for node, item in heard.items() if item.status is not CheckStatus.OK}
    failing = sum(item.status is CheckStatus.FAIL for item in unwell.values())
    numbers = {"nodes": len(heard), "failing": failing, "warning": len(unwell) - failing}
    if not unwell:
        return Check("node_health", CheckStatus.OK, f"{len(heard)} nodes say that they are well", numbers)
    ordered = sorted(unwell.items(), key=lambda item: (item[1].status is not CheckStatus.FAIL, item[0]))
    text = _names([f"{node}: {_complaint(report)}" for node, report in ordered], between="; ")
    return Check("node_health", CheckStatus.FAIL if failing == len(heard) else CheckStatus.WARN, text, numbers)


def _complaint(report: NodeReport) -> str:
    """Return the first of the worst checks in words, and how many more are not ok."""
    bad = [check for check in report.checks if check.status is not CheckStatus.OK]
    worst = next(check for check in bad if check.status is report.status)
    more = f" (and {len(bad) - 1} more)" if len(bad) > 1 else ""
    return f"{worst.name} {_VERBS[worst.status]}: {worst.message}{more}"


def check_sites(kept_without_site: Mapping[str, int]) -> Check:
    """Check for nodes that speak but were never surveyed: node id -> detections kept but not used."""
    total = sum(kept_without_site.values())
    numbers = {"nodes": len(kept_without_site), "detections": total}
    if not kept_without_site:
        return Check("sites", CheckStatus.OK, "every node that detects has a site", numbers)
    names = _names([f"{node} ({count} detections)" for node, count in sorted(kept_without_site.items())])
    return Check(
        "sites",
        CheckStatus.WARN,
        f"{len(kept_without_site)} nodes have no site, their detections are kept but not used: {names}; "
        "add them to [[nodes]]",
        numbers,
    )


def check_untimed_nodes(clock_states: Mapping[str, str], kept_untimed: Mapping[str, int]) -> Check:
    """Check for nodes that do not know the time: node id -> clock state now, and detections kept but not used."""
    untimed = sorted(node for node, state in clock_states.items() if state == "untimed")
    numbers = {"untimed": len(untimed), "detections": sum(kept_untimed.values())}
    if not untimed:
        return Check("clocks", CheckStatus.OK, f"{len(clock_states)} nodes know the time", numbers)
    names = _names([f"{node} ({kept_untimed.get(node, 0)} detections)" for node in untimed])
    return Check(
        "clocks",
        CheckStatus.WARN,
        f"{len(untimed)} nodes do not know the time, their detections are kept but not used: {names}; "
        "check GPS reception and chrony there",
        numbers,
    )


def check_rejects(counts: Mapping[str, int]) -> Check:
    """Check what was not taken: reason -> messages."""
    total = sum(counts.values())
    numbers = {"rejects": total, **counts}
    if not total:
        return Check("rejects", CheckStatus.OK, "no message was rejected", numbers)
    reasons = ", ".join(f"{reason} {count}" for reason, count in sorted(counts.items()))
    return Check("rejects", CheckStatus.WARN, f"{total} messages rejected: {reasons}", numbers)


def check_network(states: Sequence[NodeState], *, crowded: bool, quarantine: bool) -> Check:
    """Check what the network says of its own nodes, from what it located.

    Parameters
    ----------
    states : sequence of NodeState
    crowded : bool
        Whether too many nodes look wrong at once.
    quarantine : bool
        Whether fusion does without what is found wrong.
    """
    bad = {kind: [item for item in states if item.standing is kind] for kind in Standing}
    quarantined, flagged = bad[Standing.QUARANTINED], bad[Standing.FLAGGED]
    judged = sum(item.sounds > 0 for item in states)
    numbers = {"judged": judged, "flagged": len(flagged), "quarantined": len(quarantined)}
    if not quarantined and not flagged:
        if crowded:
            words = "more nodes look wrong than can be: compare the weather and the survey with what is there"
            return Check("network", CheckStatus.WARN, words, numbers)
        return Check("network", CheckStatus.OK, f"{judged} nodes agree with what was located", numbers)
    word = "quarantined" if quarantine else "found wrong, and used all the same"
    told = [f"{item.node} {word}: {item.reason}" for item in quarantined]
    told += [f"{item.node} flagged: {item.reason}" for item in flagged]
    words = f"{_names(told, between='; ')}; see docs/network-check.md"
    return Check("network", CheckStatus.WARN, words, numbers)


def check_disk(folder: str, *, free_bytes: int, total_bytes: int) -> Check:
    """Check the space on the disk that holds the history."""
    numbers = {"free_bytes": free_bytes, "total_bytes": total_bytes}
    message = f"{free_bytes / 1e9:.1f} of {total_bytes / 1e9:.1f} GB free in {folder}"
    if free_bytes < _DISK_FAIL_BYTES:
        return Check("disk", CheckStatus.FAIL, f"{message}; free space now, detections will be refused", numbers)
    if free_bytes < _DISK_WARN_BYTES:
        return Check("disk", CheckStatus.WARN, f"{message}; free space soon", numbers)
    return Check("disk", CheckStatus.OK, message, numbers)


def check_event_clock(event_ns: int, *, wall_ns: int, replay: bool) -> Check:
    """Check event time: the same as wall time when live, recorded time in a replay."""
    numbers = {"behind_wall_s": round((wall_ns - event_ns) / NS_PER_S, 3)}
    if replay:
        return Check("event_clock", CheckStatus.WARN, f"replaying: event time is {format_utc(event_ns)}", numbers)
    return Check("event_clock", CheckStatus.OK, f"live: event time is {format_utc(event_ns)}", numbers)


def _age(heard_ns: int | None, now_ns: int) -> str:
    return "never heard" if heard_ns is None else f"{(now_ns - heard_ns) / NS_PER_S:.0f} s"


def _names(names: Sequence[str], *, between: str = ", ") -> str:
    more = len(names) - _MOST_NAMED
    return between.join(names[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
