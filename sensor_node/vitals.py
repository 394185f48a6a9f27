"""The health of a running node in its heartbeats: what the board says, beside what the node knows of itself."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from sensor_node.board import disk_space, read_board
from sensor_node.config import NodeConfig
from sensor_node.framing import AudioBlock
from sensor_node.gpsd import Fix, GpsdState, Sky
from sensor_node.nodehealth import CaptureReport, HealthInputs, HealthSettings, NodeHealth, ServerReport, TimeReport
from sensor_node.place import NoPlace, Place
from sensor_node.publisher import Publisher
from sensor_node.spool import Spool, SpoolCounts
from shotline import __version__
from shotline.health import Check, health_items
from shotline.messages import Heartbeat

__all__ = ["Vitals", "with_health"]


class Vitals:
    """Looks after a running node.

    Parameters
    ----------
    config : NodeConfig
    model_id : str
    sample_rate_hz : int
    monotonic_s : callable () -> float
        Seconds that only go forward.
    """

    def __init__(
        self,
        config: NodeConfig,
        *,
        model_id: str,
        sample_rate_hz: int,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._node = config.node
        self._monotonic_s = monotonic_s
        self._health = NodeHealth(
            HealthSettings(
                sample_rate_hz=sample_rate_hz,
                server=config.node.server,
                version=__version__,
                model_id=model_id,
                calibration_id=config.node.calibration_id,
                full_scale_db_spl=config.node.full_scale_db_spl,
                spool=config.node.spool,
                spool_most_rows=config.node.spool_most_rows,
                gpsd=config.gpsd is not None,
            )
        )

    def sound(self, block: AudioBlock) -> None:
        """Take a block of the microphone's channel."""
        self._health.sound(block)

    def checks(
        self,
        counts: SpoolCounts,
        spool: Spool,
        publisher: Publisher,
        *,
        clock: TimeReport,
        capture: CaptureReport | None = None,
        gpsd: GpsdState | None = None,
        fix: Fix | None = None,
        sky: Sky | None = None,
        place: Place | NoPlace | None = None,
    ) -> list[Check]:
        """Return every check, now."""
        now_s, heard_s = self._monotonic_s(), publisher.server_heard_s
        server = ServerReport(
            connected=publisher.connected,
            problem=publisher.connection_problem,
            heard_ago_s=None if heard_s is None else now_s - heard_s,
            last_reject=publisher.last_reject,
        )
        return self._health.checks(
            HealthInputs(
                now_s=now_s,
                time=clock,
                spool=counts,
                spool_problem=spool.problem,
                server=server,
                board=read_board(),
                disk=None if self._node.spool is None else disk_space(Path(self._node.spool).parent),
                capture=capture,
                gpsd=gpsd,
                fix=fix,
                sky=sky,
                place=place,
            )
        )


def with_health(heartbeat: Heartbeat, checks: list[Check], counts: SpoolCounts) -> Heartbeat:
    """Return a heartbeat that tells the checks, and what the spool has dropped."""
    return msgspec.structs.replace(
        heartbeat,
        health=health_items(checks),
        dropped_detections=counts.dropped_detections,
        dropped_heartbeats=counts.dropped_heartbeats,
    )
