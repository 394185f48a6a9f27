"""The scorecard: what became of what was told, how fast, what was missed, over how many hours and how large an area.

Pure: `scorecard` counts over `Evidence`, `scorecard_html` and `scorecard_csv` write it down. What is kept is read by
`fusion_server.scorebook`.
"""

from fusion_server.scorecard.areas import Area, parse_areas
from fusion_server.scorecard.coverage import CoverageRules
from fusion_server.scorecard.document import Scorecard, without_nodes
from fusion_server.scorecard.evidence import Case, Evidence, Miss
from fusion_server.scorecard.heard import HeardHour, HeardMinutes
from fusion_server.scorecard.make import ScorecardSettings, scorecard
from fusion_server.scorecard.page import scorecard_html
from fusion_server.scorecard.rows import scorecard_csv
from fusion_server.scorecard.words import Table, scorecard_tables

__all__ = [
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
    "parse_areas",
    "scorecard",
    "scorecard_csv",
    "scorecard_html",
    "scorecard_tables",
    "without_nodes",
]
