"""torchaudio beside a CPU build of torch: PyPI's is linked to CUDA, and ``import torchaudio`` ends in OSError.

Nothing that Shotline uses of torchaudio is in its compiled part, so that where this part cannot be loaded a stand-in
for ``torchaudio._extension`` says that there is none, as torchaudio does by itself where it was built without.
Spectrograms, mel filter banks and all else written in Python work; ``lfilter`` falls back to Python and is slow;
alignment (``forced_align``) raises RuntimeError.

    from shotline_models.torchaudio_beside_cpu import torchaudio

Only this module may ``import torchaudio``: whoever does so first elsewhere gets the OSError.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from types import ModuleType
from typing import NoReturn

__all__ = ["torchaudio"]

_EXTENSION = "torchaudio._extension"


def _import_torchaudio() -> ModuleType:
    try:
        return importlib.import_module("torchaudio")
    except ModuleNotFoundError as error:
        raise ImportError(
            f"torchaudio cannot be imported ({error}); it is needed to train and to listen, not on a node: "
            "pip install 'shotline[train]', or beside a CPU build of torch pip install --no-deps torchaudio",
            name="torchaudio",
        ) from error
    except OSError as error:
        if "torchaudio" not in str(error):
            raise
    # A failed import leaves submodules behind that hold on to the half-made package.
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchaudio"]:
        del sys.modules[name]
    sys.modules[_EXTENSION] = _without_compiled_part()
    try:
        return importlib.import_module("torchaudio")
    except BaseException:
        sys.modules.pop(_EXTENSION, None)
        raise


def _without_compiled_part() -> ModuleType:
    """Return what ``torchaudio._extension`` is in a torchaudio that was built without its extension."""
    stand_in = ModuleType(_EXTENSION, "Stands in for the compiled part of torchaudio, which cannot be loaded here.")
    names: dict[str, object] = {
        "_IS_TORCHAUDIO_EXT_AVAILABLE": False,
        "_IS_ALIGN_AVAILABLE": False,
        "_check_cuda_version": _no_cuda,
        "_load_lib": _load_nothing,
        "fail_if_no_align": _fails,
    }
    for name, value in names.items():
        setattr(stand_in, name, value)
    return stand_in


def _no_cuda() -> None:
    return None


def _load_nothing(_: str) -> bool:
    return False


def _fails(function: Callable[..., object]) -> Callable[..., NoReturn]:
    def fail(*_: object, **__: object) -> NoReturn:
        raise RuntimeError(
            f"torchaudio's {function.__name__} is compiled, and its compiled part does not load beside this torch; "
            "install torch and torchaudio built for the same device"
        )

    return fail


torchaudio: ModuleType = _import_torchaudio()
