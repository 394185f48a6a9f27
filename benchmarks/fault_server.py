"""The real server with one fault: some of its acknowledgements are never sent. For `fault_run.py`.

    python fault_server.py SHARE SEED COUNTS server run --config FILE ...

SHARE of the acknowledgements, drawn with SEED, are lost; all else is `shotline`. COUNTS is a file that says at any
instant, also after a kill, what this process has counted.
"""

from __future__ import annotations

import json
import os
import random
import sys
from collections.abc import Callable
from pathlib import Path

import fusion_server.app
from fusion_server.receiver import Receiver
from shotline.cli import main
from shotline.messages import Ack, Detection, decode

__all__ = ["lossy"]

_COUNTS_BYTES = 1024


def lossy(share: float, rng: random.Random, counts: Path) -> type[Receiver]:
    """Return a receiver that loses acknowledgements and says in a file what it counts."""
    file = os.open(counts, os.O_WRONLY | os.O_CREAT, 0o644)

    class LossyReceiver(Receiver):
        acks = lost_acks = 0
        told = ""
        storage_problems: frozenset[str] = frozenset()

        def poll(self, timeout_ms: int, now_ns: Callable[[], int]) -> tuple[Detection, ...]:
            fresh = super().poll(timeout_ms, now_ns)
            if problem := self._intake.storage_problem:
                self.storage_problems |= {problem[-200:]}
            counters = self._intake.counters
            now = json.dumps(
                {
                    "messages": counters.messages,
                    "fresh": counters.fresh,
                    "copies": counters.duplicates,
                    "uncommitted": counters.uncommitted,
                    "acks": self.acks,
                    "lost_acks": self.lost_acks,
                    "storage_problems": sorted(self.storage_problems)[:2],
                }
            )
            if now != self.told:
                self.told = now
                os.pwrite(file, now.encode().ljust(_COUNTS_BYTES), 0)
            return fresh

        def _send(self, peer: bytes, data: bytes) -> None:
            if isinstance(decode(data), Ack):
                self.acks += 1
                if rng.random() < share:
                    self.lost_acks += 1
                    return
            super()._send(peer, data)

    return LossyReceiver


if __name__ == "__main__":
    chance, seed, path, *arguments = sys.argv[1:]
    fusion_server.app.Receiver = lossy(float(chance), random.Random(int(seed)), Path(path))  # type: ignore[misc]
    sys.argv = ["shotline", *arguments]
    main()
