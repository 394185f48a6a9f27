"""Gives a history in memory."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fusion_server.history import History


@pytest.fixture
def history() -> Iterator[History]:
    with History.open("sqlite://") as opened:
        yield opened
