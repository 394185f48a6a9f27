"""The scorecard as a document: one shape for JSON, API, page and tables. Every estimate has its 95 % interval."""

from __future__ import annotations

import msgspec

from fusion_server.scorecard.intervals import Percentile, Rate
from shotline_models.metrics import Share

__all__ = [
    "AreaScore",
    "Hours",
    "LatencyScore",
    "MissScore",
    "Misses",
    "NodeHours",
    "OutcomeScore",
    "Outcomes",
    "ReasonCount",
    "Scorecard",
    "Settings",
    "WeekScore",
    "public_form",
]


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What was counted by."""

    two_persons: bool
    min_nodes: int
    hearing_range_m: float
    cell_m: float
    near_m: float
    near_s: float


class OutcomeScore(msgspec.Struct, frozen=True, kw_only=True):
    """Incidents of one outcome: of all, and of those that were decided (None for those that were not)."""

    outcome: str
    count: int
    of_all: Share
    of_decided: Share | None


class ReasonCount(msgspec.Struct, frozen=True, kw_only=True):
    """How often a reason was given for what stands."""

    outcome: str
    reason: str
    count: int


class Outcomes(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the incidents that were told.

    ``retracted_undecided`` are those that nobody decided because, or although, the system took them back itself.
    ``second_awaited`` wait for a second person; ``disputed`` are those whose last words differ.
    """

    incidents: int
    decided: int
    rows: tuple[OutcomeScore, ...]
    reasons: tuple[ReasonCount, ...]
    retracted_undecided: int
    second_awaited: int
    disputed: int
    other_scenes: int


class LatencyScore(msgspec.Struct, frozen=True, kw_only=True):
    """How long after the sound something came about, of how many it did."""

    until: str
    incidents: int
    came_about: int
    percentiles: tuple[Percentile, ...]


class MissScore(msgspec.Struct, frozen=True, kw_only=True):
    """A reported miss, without place and names. ``status`` is missed, retracted or told.

    ``nodes_in_range`` is how many nodes within range were heard in that minute; None when that is not on record.
    """

    number: int
    time_utc: str
    status: str
    incident: str | None
    apart_m: float | None
    apart_s: float | None
    nodes_in_range: int | None


class Misses(msgspec.Struct, frozen=True, kw_only=True):
    """Misses reported. The share is of confirmed incidents and misses together: what was missed at the least."""

    reported: int
    missed: int
    missed_where_covered: int
    share: Share
    rows: tuple[MissScore, ...]


class Hours(msgspec.Struct, frozen=True, kw_only=True):
    """How long the server ran, as far as it is on record."""

    period: float
    server: float
    nodes_surveyed: int
    node_hours_median: float | None
    node_hours_least: float | None


class NodeHours(msgspec.Struct, frozen=True, kw_only=True):
    """How long a node was heard, and whether it has a site."""

    node: str
    hours: float
    surveyed: bool


class AreaScore(msgspec.Struct, frozen=True, kw_only=True):
    """What was told in an area, over how much coverage.

    ``km2`` is None where the area has no bounds of its own. ``incidents_on_record`` are those at minutes in which the
    server is known to have run: only these are counted in the rates.
    """

    area: str
    km2: float | None
    covered_km2_hours: float
    covered_km2_mean: float | None
    incidents: int
    confirmed: int
    dismissed: int
    undetermined: int
    undecided: int
    confirmed_of_decided: Share
    confirmed_of_all: Share
    incidents_on_record: int
    dismissed_rate: Rate
    unconfirmed_rate: Rate


class WeekScore(msgspec.Struct, frozen=True, kw_only=True):
    """What was told in a week that begins on a Monday, 00:00 UTC. The first and the last may be cut short."""

    week_utc: str
    incidents: int
    confirmed: int
    dismissed: int
    undetermined: int
    undecided: int
    confirmed_of_decided: Share
    confirmed_of_all: Share


class Scorecard(msgspec.Struct, frozen=True, kw_only=True):
    """The whole of it. ``until_utc`` is exclusive; ``scene`` names the recording when it is a replay."""

    since_utc: str
    until_utc: str
    made_utc: str
    scene: str
    settings: Settings
    outcomes: Outcomes
    latencies: tuple[LatencyScore, ...]
    misses: Misses
    hours: Hours
    nodes: tuple[NodeHours, ...]
    areas: tuple[AreaScore, ...]
    weeks: tuple[WeekScore, ...]


def public_form(card: Scorecard) -> Scorecard:
    """Return it without what it says of single nodes and single misses.

    Ids of nodes may say where they stand; a miss names an incident that nobody may have confirmed.
    """
    return msgspec.structs.replace(card, nodes=(), misses=msgspec.structs.replace(card.misses, rows=()))
