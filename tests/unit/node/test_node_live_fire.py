"""The pipeline on real shots, where the live-fire recordings are at hand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sensor_node.audiofile import inspect_audio, read_blocks
from sensor_node.classifier import ImpulseRules
from sensor_node.detector import DetectorSettings, NodeIdentity, NodePipeline
from sensor_node.sampleclock import FixedRateClock
from shotline.domain import ClockState, ImpulseKind
from shotline.messages import Detection
from shotline.timebase import parse_utc

_ROOT = Path(__file__).parents[3].parent / "shared" / "data" / "pittsburgh"


def _hear(wav: Path, start_ns: int) -> list[Detection]:
    rate_hz = inspect_audio(wav).sample_rate_hz
    node = NodePipeline(
        identity=NodeIdentity("n", 1),
        sample_rate_hz=rate_hz,
        clock=FixedRateClock(start_ns, rate_hz, 0, ClockState.PPS),
        classifier=ImpulseRules(),
        settings=DetectorSettings(),
        full_scale_db_spl=93.0,
    )
    found = [item for block in read_blocks(wav, block_samples=600) for item in node.process(block)]
    return found + node.flush()


@pytest.mark.skipif(not _ROOT.is_dir(), reason="no live-fire recordings in ../shared/data/pittsburgh")
@pytest.mark.parametrize(("position", "test"), [("FP1", "test_002"), ("FP9", "test_145")])
def test_every_pulse_of_the_vendor_is_heard(position: str, test: str) -> None:
    folder = _ROOT / position / test
    rows = {row["pulse_uuid"]: row for row in json.loads((folder / f"{test}.allpulses.json").read_text())}
    shots = json.loads((folder / f"{test}.nlos-tuples.json").read_text())
    wanted = [rows[uuid] for shot in shots for uuid in shot["pulse_uuids"] if uuid in rows]
    errors_s: list[float] = []
    for about in sorted(folder.glob("*.audio.*.json")):
        recorded = json.loads(about.read_text())
        heard = _hear(about.with_suffix(".wav"), parse_utc(recorded["timestamp"]))
        assert len(heard) <= 25
        for row in wanted:
            if row["serial_number"] == recorded["serial_number"]:
                pulse_ns = parse_utc(row["arrival_time_utc"])
                best = min(heard, key=lambda item: abs(item.arrival_time_ns - pulse_ns))
                errors_s.append(abs(best.arrival_time_ns - pulse_ns) / 1e9)
                # Soft evidence, never a gate: a real shot keeps some probability.
                assert (best.probability(ImpulseKind.GUNSHOT) or 0.0) > 0.2
    assert len(errors_s) >= 4
    # The vendor rounds to 1 ms and picks by its own rule: 5 ms here, where the goal over all positions is 20 ms.
    assert max(errors_s) < 0.005
