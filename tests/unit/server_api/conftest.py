"""Gives a history on each kind of database."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fusion_server.history import History


@pytest.fixture
def history(quick_database_url: str) -> Iterator[History]:
    with History.open(quick_database_url) as opened:
        yield opened
