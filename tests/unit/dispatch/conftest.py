"""Makes the made-up incidents importable, and gives a history on each kind of database."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "server_api"))

from fusion_server.history import History


@pytest.fixture
def history(quick_database_url: str) -> Iterator[History]:
    with History.open(quick_database_url) as opened:
        yield opened
