"""The network checks itself: from ordinary located sounds, which node's clock, place or microphone is wrong."""

from __future__ import annotations

from fusion_server.netcheck.checker import NetworkCheck
from fusion_server.netcheck.delaymap import DirectionDelay
from fusion_server.netcheck.settings import NetcheckSettings
from fusion_server.netcheck.shots import CheckedArrival, CheckedShot, shots_of_record
from fusion_server.netcheck.states import Cause, Change, Estimate, NodeState, Standing

__all__ = [
    "Cause",
    "Change",
    "CheckedArrival",
    "CheckedShot",
    "DirectionDelay",
    "Estimate",
    "NetcheckSettings",
    "NetworkCheck",
    "NodeState",
    "Standing",
    "shots_of_record",
]
