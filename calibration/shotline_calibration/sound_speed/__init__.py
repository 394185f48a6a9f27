"""Speed of sound and wind as impulses tell them, beside what the weather says."""

from __future__ import annotations
