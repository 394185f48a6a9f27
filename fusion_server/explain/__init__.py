"""Why the place is what it is: in words, as curves, as a picture."""

from __future__ import annotations

from fusion_server.explain.subject import Explanation
from fusion_server.explain.words import Notation, location_lines, refusal_lines, region_line

__all__ = ["Explanation", "Notation", "location_lines", "refusal_lines", "region_line"]
