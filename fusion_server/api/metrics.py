"""The numbers for monitoring, as Prometheus reads them.

References
----------
[Prometheus2024] text format 0.0.4; base units and suffixes of names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from http import HTTPStatus
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter
from fastapi.responses import Response

from fusion_server.api.problems import ApiProblemError
from fusion_server.metrics import LATENCY_BOUNDS_S, MetricsSnapshot
from shotline.units import NS_PER_S

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

__all__ = ["metrics_router", "metrics_text"]

_CHECK_VALUES = {"ok": 0, "warn": 1, "fail": 2}


def metrics_router(snapshot: Callable[[], MetricsSnapshot]) -> APIRouter:
    """Return the route ``/metrics``; ``snapshot`` is called for each request of it."""
    router = APIRouter()

    @router.get("/metrics", include_in_schema=False)
    def show_metrics() -> Response:
        try:
            text = metrics_text(snapshot())
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] != "prometheus_client":
                raise
            raise ApiProblemError(
                HTTPStatus.NOT_IMPLEMENTED,
                "/metrics needs 'prometheus-client', which is not installed; run: pip install 'shotline[outputs]'",
            ) from error
        return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")

    return router


def metrics_text(snapshot: MetricsSnapshot) -> bytes:
    """Return the numbers in the text format."""
    from prometheus_client import generate_latest

    registry: Any = _Families(snapshot)
    text: bytes = generate_latest(registry)
    return text


class _Families:
    """What the library asks of a registry."""

    def __init__(self, snapshot: MetricsSnapshot) -> None:
        self._snapshot = snapshot

    def collect(self) -> Iterator[Metric]:
        from prometheus_client.core import (
            CounterMetricFamily,
            GaugeMetricFamily,
            HistogramMetricFamily,
            InfoMetricFamily,
        )

        now = self._snapshot

        def counter(name: str, words: str, values: Mapping[str, float], label: str) -> Metric:
            family = CounterMetricFamily(f"shotline_{name}", words, labels=[label])
            for key, value in sorted(values.items()):
                family.add_metric([key], value)
            return family

        def gauge(name: str, words: str, values: Mapping[str, float], label: str) -> Metric:
            family = GaugeMetricFamily(f"shotline_{name}", words, labels=[label])
            for key, value in sorted(values.items()):
                family.add_metric([key], value)
            return family

        yield InfoMetricFamily("shotline_server", "Software of the server", value={"version": now.version})
        yield CounterMetricFamily("shotline_messages", "Messages from nodes", value=now.messages)
        detections = {"new": now.detections, "duplicate": now.duplicates}
        yield counter("detections", "Detections taken, new or known already", detections, "kind")
        yield counter("rejects", "Messages not taken, by reason", now.rejects, "reason")
        yield gauge("unused_detections", "Detections kept and not used, by reason", now.unused, "reason")
        yield counter("incident_revisions", "Revisions published, by state", now.revisions, "state")
        yield gauge("incidents", "Incidents that the server remembers, by state", now.incidents, "state")
        held_back = "Incidents located and not told since gunfire is too unlikely"
        yield CounterMetricFamily("shotline_incidents_held_back", held_back, value=now.held_back)
        alerts = CounterMetricFamily("shotline_alerts", "Alerts settled, by sink", labels=["sink", "outcome"])
        for sink in now.sinks:
            alerts.add_metric([sink.name, "delivered"], sink.delivered)
            alerts.add_metric([sink.name, "gave_up"], sink.gave_up)
        yield alerts
        waiting = {sink.name: sink.waiting for sink in now.sinks}
        yield gauge("alerts_waiting", "Alerts that a sink has not taken yet", waiting, "sink")
        failures = {sink.name: sink.failures_in_a_row for sink in now.sinks}
        yield gauge("sink_failures_in_a_row", "Attempts since the last that a sink took", failures, "sink")
        bounds = [*(str(bound_s) for bound_s in LATENCY_BOUNDS_S), "+Inf"]
        yield HistogramMetricFamily(
            "shotline_alert_latency_seconds",
            "Event time from the last arrival that an incident rests on until it is published",
            buckets=list(zip(bounds, accumulate(now.latency_counts), strict=True)),
            sum_value=now.latency_sum_s,
        )
        nodes = {"heard": now.surveyed - now.silent, "silent": now.silent}
        yield gauge("nodes", "Surveyed nodes, heard lately or silent", nodes, "state")
        yield GaugeMetricFamily("shotline_connections", "Connections that spoke lately", value=now.connections)
        heard = {node: time_ns / NS_PER_S for node, time_ns in now.last_heard_ns.items()}
        yield gauge("node_last_heard_timestamp_seconds", "Wall time at which a node was last heard", heard, "node")
        yield gauge("node_unacked_detections", "Detections that a node still owes", now.unacked, "node")
        yield GaugeMetricFamily(
            "shotline_fusion_lag_seconds", "Event time that fusion is behind the present", value=now.fusion_lag_s
        )
        yield CounterMetricFamily(
            "shotline_fusion_failures", "Times that fusion was started afresh", value=now.fusion_failures
        )
        if now.loop_age_s is not None:
            yield GaugeMetricFamily(
                "shotline_loop_age_seconds", "Time since the main loop came round", value=now.loop_age_s
            )
        checks = {name: _CHECK_VALUES[status] for name, status in now.checks.items()}
        yield gauge("check_status", "Each check of /health: 0 ok, 1 warn, 2 fail", checks, "check")
