"""What the tests of the house share: where it is, and which modules it has."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

__all__ = ["FOLDERS", "ROOT", "documents", "modules", "run_python"]

ROOT = Path(__file__).parents[2]
FOLDERS = {
    "shotline": ROOT / "shotline",
    "sensor_node": ROOT / "sensor_node",
    "fusion_server": ROOT / "fusion_server",
    "shotline_models": ROOT / "models" / "shotline_models",
    "shotline_calibration": ROOT / "calibration" / "shotline_calibration",
    "shotline_recordings": ROOT / "recordings" / "shotline_recordings",
    "shotline_replay": ROOT / "recordings" / "shotline_replay",
}


def modules(*packages: str) -> Iterator[tuple[str, Path]]:
    """Yield name and file of every module of the packages (all of them when none is named)."""
    for package in packages or tuple(FOLDERS):
        for file in sorted(FOLDERS[package].rglob("*.py")):
            parts = file.relative_to(FOLDERS[package].parent).with_suffix("").parts
            yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), file


def documents() -> Iterator[Path]:
    """Yield every page written for people."""
    for pattern in ("*.md", "docs/**/*.md", "models/**/*.md", "calibration/**/*.md", "recordings/*.md", "deploy/*.md"):
        yield from sorted(ROOT.glob(pattern))


def run_python(code: str) -> subprocess.CompletedProcess[str]:
    """Run a program in a fresh interpreter that writes no bytecode."""
    return subprocess.run(
        [sys.executable, "-B", "-c", code], capture_output=True, text=True, timeout=120.0, check=False, cwd=ROOT
    )
