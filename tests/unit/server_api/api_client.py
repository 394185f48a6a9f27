"""Ask an ASGI app without a socket. An exception inside the app fails the test; it is not turned into a 500."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import alert_samples
import httpx
from fastapi import FastAPI

from fusion_server.api import Gate, LiveFeed, Mode, ScorecardRules, create_app
from fusion_server.basemap import Basemap
from fusion_server.health import NodeReport
from fusion_server.history import History
from fusion_server.metrics import MetricsSnapshot
from fusion_server.review import ReviewRules
from fusion_server.scorecard import Area, CoverageRules, ScorecardSettings
from shotline.geodesy import LocalFrame
from shotline.health import CheckStatus

__all__ = ["NOW_NS", "SCORECARD", "ask", "sample_app"]

SCORECARD = ScorecardSettings(coverage=CoverageRules(min_nodes=4, hearing_range_m=1000.0))
NOW_NS = alert_samples.EPOCH_NS + 3_600_000_000_000


def sample_app(
    history: History,
    *,
    frame: LocalFrame | None = alert_samples.FRAME,
    status: CheckStatus = CheckStatus.OK,
    live: LiveFeed | None = None,
    mode: Mode = Mode.LIVE,
    heartbeat_s: float = 5.0,
    node_reports: Mapping[str, NodeReport] | None = None,
    gate: Gate | None = None,
    review: ReviewRules | None = None,
    metrics: Callable[[], MetricsSnapshot] | None = None,
    now_ns: Callable[[], int] = lambda: NOW_NS,
    areas: Sequence[Area] = (),
    basemap: Basemap | None = None,
) -> FastAPI:
    """Return the app over a history and the nine roofs."""
    return create_app(
        history=history,
        registry=alert_samples.registry(),
        frame=frame,
        health=lambda: alert_samples.health(status),
        node_reports=lambda: node_reports or {},
        live=live or LiveFeed(),
        mode=mode,
        heartbeat_s=heartbeat_s,
        now_ns=now_ns,
        scorecard=ScorecardRules(settings=SCORECARD, areas=areas),
        gate=gate,
        review=review,
        metrics=metrics,
        basemap=basemap,
    )


def ask(
    app: FastAPI,
    path: str,
    *,
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
    json: Any = None,
    base_url: str = "http://127.0.0.1:8080",
    address: str = "127.0.0.1",
) -> httpx.Response:
    """Return the answer to one request, from an address."""

    async def request() -> httpx.Response:
        transport = httpx.ASGITransport(app=app, client=(address, 50_000))
        async with httpx.AsyncClient(transport=transport, base_url=base_url) as client:
            return await client.request(method, path, headers=headers, json=json)

    return asyncio.run(request())
