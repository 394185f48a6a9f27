"""Self-survey from sound: where nodes are and how their clocks differ, from impulses that several of them heard."""

from __future__ import annotations
