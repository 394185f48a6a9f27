"""The position survey: averaging of GNSS fixes with an honest error, surveyed points, and whether a node has moved."""

from __future__ import annotations
