"""The HTTP API and the live page. `create_app` makes the ASGI app; `LiveFeed` carries new incidents to it."""

from __future__ import annotations

from fusion_server.api.access import AccessRules, Gate
from fusion_server.api.documents import Mode
from fusion_server.api.feed import FeedFullError, LiveFeed
from fusion_server.api.review_routes import announce_reminder
from fusion_server.api.routes import create_app
from fusion_server.api.scorecards import ScorecardRules

__all__ = [
    "AccessRules",
    "FeedFullError",
    "Gate",
    "LiveFeed",
    "Mode",
    "ScorecardRules",
    "announce_reminder",
    "create_app",
]
