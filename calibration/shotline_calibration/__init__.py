"""The technician's and planner's bench: procedures that make a node's figures absolute, and their signed records."""

from __future__ import annotations
