"""The numbers for monitoring: as Prometheus's own parser reads them, and as the dashboard asks for them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from alert_samples import incident, metrics_snapshot
from api_client import ask, sample_app

from fusion_server.api import LiveFeed, create_app
from fusion_server.history import History
from fusion_server.metrics import LATENCY_BOUNDS_S, MetricsSnapshot, alert_latency_s
from fusion_server.registry import Registry
from shotline.health import HealthReport
from shotline.timebase import parse_utc
from shotline.units import NS_PER_S

DASHBOARD = Path(__file__).parents[3] / "deploy" / "grafana" / "shotline-dashboard.json"


def _served(history: History, snapshot: MetricsSnapshot) -> str:
    pytest.importorskip("prometheus_client", reason="prometheus-client is not installed")
    app = create_app(
        history=history,
        registry=Registry(()),
        frame=None,
        health=lambda: HealthReport(0, ()),
        live=LiveFeed(),
        metrics=lambda: snapshot,
    )
    answer = ask(app, "/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    return answer.text


def _samples(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    parser: Any = pytest.importorskip("prometheus_client.parser")
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in parser.text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_what_the_parser_of_prometheus_reads(history: History) -> None:
    read = _samples(_served(history, metrics_snapshot()))
    assert read["shotline_detections_total", (("kind", "new"),)] == 700
    assert read["shotline_rejects_total", (("reason", 'odd "one"'),)] == 1
    assert read["shotline_incidents", (("state", "revised"),)] == 3
    assert read["shotline_incidents_held_back_total", ()] == 6
    assert read["shotline_alerts_total", (("outcome", "gave_up"), ("sink", "desk"))] == 1
    assert read["shotline_alerts_waiting", (("sink", "desk"),)] == 2
    assert read["shotline_nodes", (("state", "heard"),)] == 7
    assert read["shotline_node_last_heard_timestamp_seconds", (("node", "roof-01"),)] == 1_545_180_568.25
    assert read["shotline_node_unacked_detections", (("node", "roof-01"),)] == 12
    assert read["shotline_fusion_lag_seconds", ()] == 0.25
    assert [read["shotline_check_status", (("check", name),)] for name in ("store", "nodes", "sinks")] == [0, 1, 2]
    buckets = [read["shotline_alert_latency_seconds_bucket", (("le", str(bound)),)] for bound in LATENCY_BOUNDS_S]
    assert buckets == [1, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3]
    assert read["shotline_alert_latency_seconds_bucket", (("le", "+Inf"),)] == 4
    assert read["shotline_alert_latency_seconds_sum", ()] == pytest.approx(402.71)


def test_before_the_loop_ran_its_age_is_not_told(history: History) -> None:
    assert "shotline_loop_age_seconds" not in _served(history, replace(metrics_snapshot(), loop_age_s=None))


def test_what_promtool_finds_fault_with_is_nothing(history: History) -> None:
    program = shutil.which("promtool")
    if program is None:
        pytest.skip("promtool is not installed (Debian: prometheus)")
    text = _served(history, metrics_snapshot())
    done = subprocess.run([program, "check", "metrics"], input=text, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_the_dashboard_asks_only_for_what_there_is(history: History) -> None:
    served = {name for name, _ in _samples(_served(history, metrics_snapshot()))}
    dashboard = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    questions = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    asked = {name for question in questions for name in re.findall(r"\bshotline_\w+", question)}
    assert len(questions) > 15
    assert asked <= served, f"the server has no {sorted(asked - served)}"
    families = {re.sub(r"_(bucket|sum|count)\Z", "", name) for name in served}
    untold = families - {re.sub(r"_bucket\Z", "", name) for name in asked}
    assert untold == {"shotline_server_info"}, f"nobody looks at {sorted(untold)}"


def test_panels_do_not_lie_on_each_other() -> None:
    places = [panel["gridPos"] for panel in json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]]
    cells = [
        (column, row)
        for place in places
        for column in range(place["x"], place["x"] + place["w"])
        for row in range(place["y"], place["y"] + place["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(column for column, _ in cells) == 23


def test_without_the_library_it_says_what_installs_it(history: History, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    app = create_app(
        history=history,
        registry=Registry(()),
        frame=None,
        health=lambda: HealthReport(0, ()),
        live=LiveFeed(),
        metrics=metrics_snapshot,
    )
    answer = ask(app, "/metrics")
    assert answer.status_code == 501
    assert "run: pip install 'shotline[outputs]'" in answer.json()["detail"]


def test_no_numbers_where_none_are_made(history: History) -> None:
    assert ask(sample_app(history), "/metrics").status_code == 404


def test_latency_is_from_the_last_arrival_that_counts() -> None:
    record = incident(7)
    used = max(parse_utc(arrival.time_utc) for arrival in record.shots[0].arrivals if arrival.used)
    assert alert_latency_s(record, event_ns=used + 3 * NS_PER_S) == 3.0
    assert alert_latency_s(record, event_ns=used - NS_PER_S) == 0.0
    later = max(record.shots[0].arrivals, key=lambda arrival: arrival.time_utc)
    echo = msgspec.structs.replace(later, used=False, time_utc="2030-01-01T00:00:00Z")
    shots = (msgspec.structs.replace(record.shots[0], arrivals=(*record.shots[0].arrivals, echo)),)
    assert alert_latency_s(msgspec.structs.replace(record, shots=shots), event_ns=used + NS_PER_S) == 1.0
    assert alert_latency_s(msgspec.structs.replace(record, shots=()), event_ns=used) is None
