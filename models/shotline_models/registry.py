"""The networks that are shipped, and which of them is the default."""

from __future__ import annotations

from pathlib import Path

from shotline.errors import InputError

__all__ = ["DEFAULT_CLASSIFIER", "DEFAULT_MODEL", "find_weights", "shipped_models"]

DEFAULT_MODEL = "impulse-cnn-2-nc"
DEFAULT_CLASSIFIER = DEFAULT_MODEL
"""What a node runs unless it is told otherwise: see `sensor_node.network.make_classifier`."""
_FOLDER = Path(__file__).parent / "weights"


def shipped_models() -> tuple[str, ...]:
    """Return the names of the networks that are shipped."""
    return tuple(sorted(path.stem for path in _FOLDER.glob("*.onnx")))


def find_weights(model: str) -> Path:
    """Return the ONNX file of a shipped network by its name, or the one at a path that ends in ``.onnx``.

    Raises
    ------
    InputError
        There is none.
    """
    path = Path(model) if model.endswith(".onnx") else _FOLDER / f"{model}.onnx"
    if not path.is_file():
        raise InputError(
            f"no network '{model}'; shipped: {', '.join(shipped_models()) or 'none'}; or give the path of an ONNX file",
            field="model",
        )
    return path
