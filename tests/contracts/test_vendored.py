"""Libraries of the live page: the files that were looked at, with their licences, and in the package."""

from __future__ import annotations

import hashlib
import re

from house import ROOT

VENDOR = ROOT / "fusion_server" / "console" / "vendor"
LISTED = dict(
    re.findall(r"^\| `([^`]+)` \| `([0-9a-f]{64})` \|$", (VENDOR / "README.md").read_text("utf-8"), re.MULTILINE)
)


def test_every_file_is_listed_with_its_digest() -> None:
    files = [path for path in sorted(VENDOR.rglob("*")) if path.suffix in (".js", ".css")]
    found = {path.relative_to(VENDOR).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
    assert found
    assert found == LISTED


def test_every_library_brings_its_licence_and_its_version() -> None:
    words = (VENDOR / "README.md").read_text("utf-8")
    for folder in (path for path in VENDOR.iterdir() if path.is_dir()):
        licence = (folder / "LICENSE").read_text("utf-8")
        assert "copyright" in licence.lower()
        assert f"]({folder.name}/LICENSE)" in words
    assert len(re.findall(r"^## .+ \d+\.\d+\.\d+$", words, re.MULTILINE)) == sum(
        path.is_dir() for path in VENDOR.iterdir()
    )


def test_nothing_is_loaded_from_elsewhere() -> None:
    for path in sorted((ROOT / "fusion_server" / "console").glob("*.*")):
        if path.suffix in (".js", ".css", ".html"):
            found = re.findall(
                r"""(?:src|href|from|import|fetch|url)\s*[=(]?\s*["'(]+https?://""", path.read_text("utf-8")
            )
            assert not found, path.name
