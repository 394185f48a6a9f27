"""A page served for real and a real Chromium to look at it; skipped with a reason where there is none."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "unit" / "server_api"))

from chromium_pipe import Browser, chromium_binary


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    binary = chromium_binary()
    if binary is None:
        pytest.skip("no Chromium on this machine; apt-get install chromium to run the browser tests")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile, Browser(binary, Path(profile)) as opened:
        yield opened
