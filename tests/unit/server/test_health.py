from __future__ import annotations

import pytest

from fusion_server import health
from fusion_server.netcheck import NodeState, Standing
from shotline.health import Check, CheckStatus, HealthReport, health_items

SECOND_NS = 1_000_000_000
NOW_NS = 1_545_180_566 * SECOND_NS


@pytest.mark.parametrize(
    ("check", "status", "message"),
    [
        (health.check_store("h.db", "", detections=3), "ok", "3 detections kept in h.db"),
        (
            health.check_store("h.db", "h.db: the disk is full", detections=3),
            "fail",
            "cannot keep detections, so none is acknowledged: h.db: the disk is full",
        ),
        (health.check_keys(3, "", refused={}, last=""), "ok", "3 keys accepted"),
        (
            health.check_keys(0, "", refused={}, last=""),
            "warn",
            "no key is accepted; run `shotline keys enrol` for each node",
        ),
        (
            health.check_keys(3, "", refused={"unknown_key": 2, "revoked_key": 1}, last="key x is not enrolled"),
            "warn",
            "3 connections refused for their key; the last: key x is not enrolled",
        ),
        (
            health.check_keys(3, "l: not TOML", refused={}, last=""),
            "fail",
            "the allow-list cannot be read, the last good one holds (3 keys accepted): l: not TOML",
        ),
        (health.check_receiver("tcp://x", peers=0, messages=0, quiet_s=None), "fail", "not listening on tcp://x yet"),
        (
            health.check_receiver("tcp://x", peers=2, messages=9, quiet_s=0.1),
            "ok",
            "listening on tcp://x, 2 connected, 9 messages",
        ),
        (
            health.check_receiver("tcp://x", peers=2, messages=9, quiet_s=6.0),
            "fail",
            "stuck for 6 s; restart the server",
        ),
        (health.check_backlog(0.04, waiting=3, lateness_s=10.0), "ok", "messages are read 0.0 s after they were sent"),
        (
            health.check_backlog(7.6, waiting=4000, lateness_s=10.0),
            "warn",
            "behind by 8 s, 4000 detections wait at the nodes; none is lost, alerts are that late",
        ),
        (
            health.check_backlog(61.0, waiting=50_000, lateness_s=10.0),
            "fail",
            (
                "behind by 61 s, 50000 detections wait at the nodes; none is lost, but what is older than 10 s makes "
                "no alert: look for what else uses the processor"
            ),
        ),
        (health.check_fusion("", failures=0), "ok", "no failure since start"),
        (health.check_rejects({}), "ok", "no message was rejected"),
        (
            health.check_rejects({"truncated": 1, "malformed": 2}),
            "warn",
            "3 messages rejected: malformed 2, truncated 1",
        ),
        (health.check_sites({}), "ok", "every node that detects has a site"),
        (
            health.check_sites({"b": 2, "a": 1}),
            "warn",
            (
                "2 nodes have no site, their detections are kept but not used: a (1 detections), b (2 detections); "
                "add them to [[nodes]]"
            ),
        ),
        (health.check_untimed_nodes({"a": "pps", "b": "ntp"}, {}), "ok", "2 nodes know the time"),
        (
            health.check_untimed_nodes({"a": "untimed", "b": "ntp"}, {"a": 4}),
            "warn",
            (
                "1 nodes do not know the time, their detections are kept but not used: a (4 detections); "
                "check GPS reception and chrony there"
            ),
        ),
        (health.check_sinks({}), "fail", "alerts go nowhere; add [[sinks]] to the configuration"),
        (health.check_sinks({"a": (1, 0, "")}), "ok", "1 sinks, 1 alerts on their way"),
        (health.check_sinks({"a": (1, 0, ""), "b": (2, 0, "timeout")}), "fail", "3 alerts wait; b: timeout"),
        (health.check_sinks({"a": (0, 2, "")}), "warn", "2 alerts were given up; see the receipts"),
        (
            health.check_disk("/x", free_bytes=2_000_000_000, total_bytes=4_000_000_000),
            "ok",
            "2.0 of 4.0 GB free in /x",
        ),
        (
            health.check_disk("/x", free_bytes=900_000_000, total_bytes=4_000_000_000),
            "warn",
            "0.9 of 4.0 GB free in /x; free space soon",
        ),
        (
            health.check_disk("/x", free_bytes=9_000_000, total_bytes=4_000_000_000),
            "fail",
            "0.0 of 4.0 GB free in /x; free space now, detections will be refused",
        ),
        (
            health.check_event_clock(NOW_NS, wall_ns=NOW_NS, replay=False),
            "ok",
            "live: event time is 2018-12-19T00:49:26.000000Z",
        ),
        (
            health.check_event_clock(NOW_NS, wall_ns=NOW_NS + SECOND_NS, replay=True),
            "warn",
            "replaying: event time is 2018-12-19T00:49:26.000000Z",
        ),
    ],
)
def test_each_check_says_what_was_seen_and_what_to_do(check: Check, status: str, message: str) -> None:
    assert (str(check.status), check.message) == (status, message)


@pytest.mark.parametrize(
    ("heard", "surveyed", "status", "message"),
    [
        ({}, [], "warn", "no node has a site; add [[nodes]] to the configuration"),
        ({"a": NOW_NS - 60 * SECOND_NS}, ["a"], "ok", "all 1 nodes heard within 60 s"),
        (
            {"a": NOW_NS - 61 * SECOND_NS, "b": NOW_NS},
            ["a", "b", "c"],
            "warn",
            "2 of 3 nodes silent: a (61 s), c (never heard); check their power and network",
        ),
        ({}, ["a"], "fail", "1 of 1 nodes silent: a (never heard); check their power and network"),
        (
            {},
            [f"n{number}" for number in range(10)],
            "fail",
            "10 of 10 nodes silent: "
            + ", ".join(f"n{number} (never heard)" for number in range(8))
            + " and 2 more; check their power and network",
        ),
    ],
)
def test_silent_nodes(heard: dict[str, int], surveyed: list[str], status: str, message: str) -> None:
    check = health.check_silent_nodes(heard, surveyed, now_ns=NOW_NS, silent_after_s=60.0)
    assert (str(check.status), check.message) == (status, message)


def report(*checks: Check, heard_ns: int = NOW_NS) -> health.NodeReport:
    return health.NodeReport(heard_ns, health_items(checks), 0, 0)


def test_health_of_the_nodes() -> None:
    ok = Check("version", CheckStatus.OK, "0.1.0")
    dead = Check("microphone", CheckStatus.FAIL, "nothing but zeros for 9.0 s")
    hot = Check("temperature", CheckStatus.WARN, "78 °C")

    def of(**reports: health.NodeReport) -> Check:
        return health.check_node_health(reports, now_ns=NOW_NS, silent_after_s=60.0)

    assert (of().status, of().message) == (CheckStatus.OK, "0 nodes say that they are well")
    assert of(a=report(ok), b=report()).message == "1 nodes say that they are well"
    assert of(a=report(ok), b=report(dead, heard_ns=NOW_NS - 61 * SECOND_NS)).status is CheckStatus.OK
    found = of(a=report(ok, hot), b=report(ok, hot, dead), c=report(ok))
    assert (found.status, found.numbers) == (CheckStatus.WARN, {"nodes": 3, "failing": 1, "warning": 1})
    assert found.message == "b: microphone fails: nothing but zeros for 9.0 s (and 1 more); a: temperature warns: 78 °C"
    assert of(a=report(dead), b=report(dead)).status is CheckStatus.FAIL
    many = of(**{f"n{number}": report(hot) for number in range(10)}, x=report(ok))
    assert many.message.count("temperature warns") == 8
    assert many.message.endswith(" and 2 more")


def test_a_report_is_as_good_as_its_worst_check() -> None:
    ok, warn = Check("a", CheckStatus.OK, "good"), Check("b", CheckStatus.WARN, "not so good", {"seen_s": 1.5})
    fail = Check("c", CheckStatus.FAIL, "bad")
    assert HealthReport(NOW_NS, ()).status is CheckStatus.OK
    assert HealthReport(NOW_NS, (warn, ok)).status is CheckStatus.WARN
    assert HealthReport(NOW_NS, (ok, fail, warn)).status is CheckStatus.FAIL
    assert HealthReport(NOW_NS, (warn,)).as_json() == {
        "status": "warn",
        "as_of_utc": "2018-12-19T00:49:26.000000Z",
        "checks": [{"name": "b", "status": "warn", "message": "not so good", "numbers": {"seen_s": 1.5}}],
    }


def test_what_the_network_says_of_its_nodes() -> None:
    well = NodeState("roof-1", Standing.OK, sounds=9)
    bad = NodeState("roof-2", Standing.QUARANTINED, reason="clock reads 5.0 ± 0.6 ms late", sounds=30)
    odd = NodeState("roof-3", Standing.FLAGGED, reason="microphone hears 1 of 9 shots", sounds=9)
    check = health.check_network([well], crowded=False, quarantine=True)
    assert (check.status, check.message) == (CheckStatus.OK, "1 nodes agree with what was located")
    check = health.check_network([well, bad, odd], crowded=False, quarantine=True)
    assert check.status is CheckStatus.WARN
    assert check.message.startswith("roof-2 quarantined: clock reads 5.0 ± 0.6 ms late; roof-3 flagged: microphone")
    assert check.numbers == {"judged": 3, "flagged": 1, "quarantined": 1}
    told_only = health.check_network([bad], crowded=False, quarantine=False)
    assert "found wrong, and used all the same" in told_only.message
    assert "weather" in health.check_network([well], crowded=True, quarantine=True).message
