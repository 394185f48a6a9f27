"""Configuration of what is deleted, and when."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from fusion_server.retention import NS_PER_DAY, Kind, RetentionPolicy, Tie
from shotline.config import ConfigModel

__all__ = ["RetentionDays", "RetentionSection"]


def _days(value: object) -> object:
    if value == "keep" or (isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 36_500):
        return value
    raise ValueError('expected a whole number of days, 1 to 36500, or "keep"')


RetentionDays = Annotated[int | Literal["keep"], BeforeValidator(_days)]
"""How long something is kept: days, or for ever."""


class RetentionSection(ConfigModel):
    """What the server deletes by itself, and after how many days; "keep" is never (docs/retention.md)."""

    enabled: bool = Field(default=False, title="delete", description="false = nothing is ever deleted")
    every_s: float = Field(
        default=3600.0, title="interval", description="seconds from one sweep to the next", ge=1.0, le=86_400.0
    )
    detections_alone: RetentionDays = Field(
        default=90, title="detections alone", description="detections that belong to no incident"
    )
    detections_undecided: RetentionDays = Field(
        default=1095, title="detections, undecided", description="detections of incidents without a decision"
    )
    detections_confirmed: RetentionDays = Field(
        default="keep", title="detections, confirmed", description="detections of confirmed incidents"
    )
    detections_dismissed: RetentionDays = Field(
        default=365, title="detections, dismissed", description="detections of dismissed incidents"
    )
    detections_undetermined: RetentionDays = Field(
        default=1095, title="detections, undetermined", description="detections of undetermined incidents"
    )
    clips_undecided: RetentionDays = Field(
        default=180, title="clips, undecided", description="sound of incidents without a decision"
    )
    clips_confirmed: RetentionDays = Field(
        default=1825, title="clips, confirmed", description="sound of confirmed incidents"
    )
    clips_dismissed: RetentionDays = Field(
        default=30, title="clips, dismissed", description="sound of dismissed incidents"
    )
    clips_undetermined: RetentionDays = Field(
        default=180, title="clips, undetermined", description="sound of undetermined incidents"
    )
    receipts_undecided: RetentionDays = Field(
        default=1095, title="receipts, undecided", description="receipts of alerts of incidents without a decision"
    )
    receipts_confirmed: RetentionDays = Field(
        default="keep", title="receipts, confirmed", description="receipts of alerts of confirmed incidents"
    )
    receipts_dismissed: RetentionDays = Field(
        default=365, title="receipts, dismissed", description="receipts of alerts of dismissed incidents"
    )
    receipts_undetermined: RetentionDays = Field(
        default=1095, title="receipts, undetermined", description="receipts of alerts of undetermined incidents"
    )
    rejects: RetentionDays = Field(default=90, title="rejects", description="messages that were not taken")

    def to_policy(self) -> RetentionPolicy:
        """Return how long rows are kept, whether or not anything is deleted."""
        days: dict[str, int | str] = self.model_dump(exclude={"enabled", "every_s"})
        days["rejects_alone"] = days.pop("rejects")
        terms: dict[Kind, dict[Tie, int | None]] = {kind: {} for kind in Kind}
        for name, term in days.items():
            kind, _, tie = name.partition("_")
            terms[Kind(kind)][Tie(tie)] = term * NS_PER_DAY if isinstance(term, int) else None
        return RetentionPolicy(terms)
