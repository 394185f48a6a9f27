"""The scene simulator: what a network of microphones hears of shots and of what is mistaken for them, with exact truth.

A scene (`shotline_recordings.scene`) becomes a `Stage`; each node is rendered by itself, so that the number of
processes changes no bit; what comes out is a dataset. docs/simulator.md has the physics and its sources.
"""

from __future__ import annotations

from shotline_recordings.simulate.run import Simulated, simulate_dataset
from shotline_recordings.simulate.stage import Stage, set_stage

__all__ = ["Simulated", "Stage", "set_stage", "simulate_dataset"]
