"""Where an earlier run found itself, kept beside the spool, so that a node moved while it was off is noticed."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

from sensor_node.config import NodeConfig
from sensor_node.place import Position
from shotline.errors import ShotlineError

__all__ = ["place_path", "read_place", "write_place"]


def place_path(config: NodeConfig) -> Path | None:
    """Return the file; None for a node that keeps nothing on disk."""
    return None if config.node.spool is None else Path(f"{config.node.spool}.place.json")


def read_place(config: NodeConfig) -> Position | None:
    """Return what an earlier run left; None when there is nothing, or nothing that can be used."""
    path = place_path(config)
    if path is None:
        return None
    try:
        return Position(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, ShotlineError):
        return None


def write_place(config: NodeConfig, position: Position) -> None:
    """Leave a position for the next run; a disk that is full costs only that."""
    path = place_path(config)
    if path is None:
        return
    part = path.with_name(f"{path.name}.part")
    fields = {name: getattr(position, name) for name in ("lat_deg", "lon_deg", "height_m", "sigma_m", "sigma_up_m")}
    with suppress(OSError):
        part.write_text(json.dumps(fields), encoding="utf-8")
        part.replace(path)
