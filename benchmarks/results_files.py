"""Where the figures of a benchmark go: a file for programs, and a page for people, which is printed as well."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path

__all__ = ["write_results"]


def write_results(out: Path, document: Mapping[str, object], text: str) -> None:
    """Write ``document`` to OUT.json and ``text`` to OUT.md, in a folder that is made if need be; print the text.

    Parameters
    ----------
    out : Path
        Without suffix.
    document : mapping
        What JSON can hold.
    text : str
        Markdown.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    out.with_suffix(".json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    out.with_suffix(".md").write_text(text, encoding="utf-8")
    sys.stdout.write(text)
