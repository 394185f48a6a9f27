"""The scorecard: what became of what was told, how fast, what was missed, over how many hours and how large an area.

Pure: `scorecard` counts over `Evidence`, `scorecard_html` and `scorecard_csv` write it down. What is kept is read by
`fusion_server.scorebook`.
"""

from fusion_server.scorecard.areas import Area, parse_areas
from fusion_server.scorecard.coverage import CoverageRules
from fusion_server.scorecard.document import Scorecard, public_form
from fusion_server.scorecard.evidence import Case, Evidence, Miss
from fusion_server.scorecard.heard import HeardHour, HeardMinutes
from fusion_server.scorecard.make import ScorecardSettings, scorecard
from fusion_server.scorecard.page import PAGE_POLICY, scorecard_html
from fusion_server.scorecard.rows import scorecard_csv
from fusion_server.scorecard.tally import monday_ns
from fusion_server.scorecard.words import Table, scorecard_tables

__all__ = [
    "PAGE_POLICY",
    "Area",
    "Case",
    "CoverageRules",
    "Evidence",
    "HeardHour",
    "HeardMinutes",
    "Miss",
    "Scorecard",
    "ScorecardSettings",
    "Table",
    "monday_ns",
    "parse_areas",
    "public_form",
    "scorecard",
    "scorecard_csv",
    "scorecard_html",
    "scorecard_tables",
]
