"""The compiler of the hot loops: numba, with a cache on disk that notices when any of our compiled code changes.

Numba notices a change of the file that a function is in, not of the files of the functions it calls. So the cache is
kept in a folder of its own for each state of the sources.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar, cast

import numba

__all__ = ["compiled"]

_Function = TypeVar("_Function", bound=Callable[..., object])
_PACKAGES = ("associate", "locate", "incidents", "netcheck", "sitebias")


def _state_of_sources() -> str:
    here = Path(__file__).parent
    digest = hashlib.sha256(numba.__version__.encode())
    for source in sorted(path for package in _PACKAGES for path in (here / package).glob("*.py")):
        digest.update(source.read_bytes())
    return digest.hexdigest()[:16]


vars(numba.config)["CACHE_DIR"] = str(Path(__file__).parent / "__pycache__" / f"compiled-{_state_of_sources()}")


def compiled(function: _Function) -> _Function:
    """Compile a function when it is first called, and keep the machine code; no fast-math, one thread.

    Where the folder of the package cannot be written, numba's own places are used.
    """
    return cast(_Function, numba.njit(cache=True)(function))
