"""Impulses that nodes heard, grouped, and where some of them were made: what procedures with sound start from."""

from __future__ import annotations
