"""Tables of arrivals, and the command that reads them."""

from __future__ import annotations

import math
from pathlib import Path

from click.testing import Result
from typer.testing import CliRunner

from fusion_server.locate_cli import app
from shotline.atmosphere import speed_of_sound_mps

SQUARE = {"a": (0.0, 0.0), "b": (400.0, 0.0), "c": (400.0, 300.0), "d": (0.0, 300.0), "e": (200.0, 400.0)}


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(item) for item in arguments], catch_exceptions=False)


def rows(shot: tuple[float, float], *, nodes: str = "abcde", name: str = "", late_s: float = 0.0) -> list[str]:
    """Return rows of a table; the last node is late."""
    speed = speed_of_sound_mps(15.0)
    return [
        f"{node},{SQUARE[node][0]},{SQUARE[node][1]},"
        f"{math.dist(SQUARE[node], shot) / speed + (late_s if node == nodes[-1] else 0.0):.9f}"
        + f",{name}"
        * bool(name)
        for node in nodes
    ]


def table(tmp_path: Path, *lines: str, header: str = "node,x_m,y_m,time_s") -> Path:
    path = tmp_path / "arrivals.csv"
    path.write_text("\n".join([header, *lines]) + "\n")
    return path
