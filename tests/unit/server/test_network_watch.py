"""The network watch: settled shots in, nodes out of fusion and back, the audit log, a restart."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from watched_server import Fault, Town, WatchedServer, quiet_town

from fusion_server.associate import AssociateSettings
from fusion_server.casebook import Casebook
from fusion_server.engine import FusionSettings
from fusion_server.evidence.network import NetworkRecord
from fusion_server.evidence.relocate import Relocator
from fusion_server.history import History
from fusion_server.netcheck import NodeState, Standing
from fusion_server.networkwatch import CHANGE_ACTION, NETWORK_SUBJECT, NetworkWatch, clear_note
from shotline.domain import DetectionId
from shotline.health import CheckStatus
from shotline.timebase import parse_utc

BEFORE, AFTER = 40, 30
GROSS = Fault(clock_s=0.012)


@pytest.fixture(scope="module")
def quarantined() -> Iterator[tuple[Town, WatchedServer]]:
    """Return a town whose node roof-01 has got a clock 12 ms late, and has been found out."""
    made = quiet_town()
    with History.open("sqlite://") as history:
        server = WatchedServer(history, made.sites)
        assert server.hear(made.shots(BEFORE)) == []
        changes = server.hear(made.shots(AFTER, node=0, fault=GROSS))
        assert [change.state.standing for change in changes] == [Standing.FLAGGED, Standing.QUARANTINED]
        yield made, server


def states_of(watch: NetworkWatch) -> dict[str, NodeState]:
    return {state.node: state for state in watch.states() if state.standing is not Standing.OK}


def test_fusion_does_without_a_node_in_quarantine_and_what_it_said_is_kept(
    quarantined: tuple[Town, WatchedServer],
) -> None:
    _, server = quarantined
    assert server.watch.quarantined == {"roof-01"}
    assert "quarantined" in server.dispositions
    (state,) = [item for item in server.watch.states() if item.node == "roof-01"]
    assert state.changed_ns is not None
    last = [record for record in server.records if parse_utc(record.time_utc) > state.changed_ns]
    assert len(last) >= 3
    assert all(item.node != "roof-01" for record in last for shot in record.shots for item in shot.arrivals)
    # Nor is its silence held against a shot.
    assert all(item.node != "roof-01" for record in last for shot in record.shots for item in shot.silent)
    assert any(item.node == "roof-01" for item in server.history.detections(0))
    item = server.watch.health_items()["roof-01"]
    assert item.status is CheckStatus.FAIL
    assert item.message.startswith("quarantined: clock reads ")


def test_each_change_is_in_the_audit_log(quarantined: tuple[Town, WatchedServer]) -> None:
    _, server = quarantined
    entries = [
        entry
        for entry in Casebook(server.history.database).audit(subject=NETWORK_SUBJECT)
        if entry.action == CHANGE_ACTION
    ]
    assert [(entry.detail["node"], entry.detail["standing"]) for entry in entries[:2]] == [
        ("roof-01", "flagged"),
        ("roof-01", "quarantined"),
    ]
    assert str(entries[1].detail["reason"]).startswith("clock reads 1")


def test_incidents_before_and_in_quarantine_are_located_again_byte_for_byte(
    quarantined: tuple[Town, WatchedServer],
) -> None:
    _, server = quarantined
    network = NetworkRecord.of(server.sites, None, FusionSettings())
    for record in (server.records[0], server.records[-1]):
        wanted = {
            DetectionId.parse(item.detection) for shot in record.shots for item in (*shot.arrivals, *shot.passed_over)
        }
        detections = {str(item.uid): item for item in server.history.detections_of(wanted)}
        again = Relocator(network, detections).relocate(record)
        assert again.identical, again.reason


def test_a_restart_changes_nothing(quarantined: tuple[Town, WatchedServer]) -> None:
    _, server = quarantined
    again = NetworkWatch(server.history, server.sites, associate=AssociateSettings())
    assert again.rebuild() == len(server.history.incidents(limit=1000))
    assert again.quarantined == {"roof-01"}
    was, now = (states_of(watch)["roof-01"].estimates[0] for watch in (server.watch, again))
    assert now.cause is was.cause
    # The same shots in the same order: what differs is what was learned since of the scatter of paths.
    assert now.value == pytest.approx(was.value, abs=2.0 * was.sigma)
    assert len(list(Casebook(server.history.database).audit(subject=NETWORK_SUBJECT))) == 2
    only_told = NetworkWatch(server.history, server.sites, associate=AssociateSettings(), quarantine=False)
    only_told.rebuild()
    assert only_told.quarantined == frozenset()
    assert "roof-01" in states_of(only_told)


def test_a_node_that_was_mended_is_back_at_once_and_after_a_restart_too() -> None:
    made = quiet_town()
    with History.open("sqlite://") as history:
        server = WatchedServer(history, made.sites)
        server.hear(made.shots(BEFORE))
        server.hear(made.shots(AFTER, node=0, fault=GROSS))
        assert server.watch.quarantined == {"roof-01"}
        now_ns = server.watch.check.time_ns(server.watch.check.shots - 1) + 10**11
        note = clear_note("roof-01", why="new antenna", person="Ann")
        Casebook(history.database).note_all([note], time_ns=now_ns)
        (change,) = server.watch.step(now_ns + 1, wall_ns=now_ns + 1)
        assert (change.before, change.state.standing) == (Standing.QUARANTINED, Standing.OK)
        assert server.watch.quarantined == frozenset()
        assert server.hear(made.shots(10)) == []
        again = NetworkWatch(history, made.sites, associate=AssociateSettings())
        again.rebuild()
        assert again.quarantined == frozenset()


def test_a_node_that_heals_while_in_quarantine_comes_back_by_itself() -> None:
    made = quiet_town()
    with History.open("sqlite://") as history:
        server = WatchedServer(history, made.sites)
        server.hear(made.shots(BEFORE))
        server.hear(made.shots(AFTER, node=0, fault=GROSS))
        assert server.watch.quarantined == {"roof-01"}
        changes = server.hear(made.shots(30))
        assert [(change.state.node, change.state.standing) for change in changes] == [("roof-01", Standing.OK)]
        used = {item.node for record in server.records[-4:] for shot in record.shots for item in shot.arrivals}
        assert "roof-01" in used
