"""Evidence: an incident with all that it rests on, signed, and located again from nothing else."""

from __future__ import annotations
