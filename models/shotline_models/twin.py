"""What is said of a network beside its weights: a JSON file of the same name, its twin. Without it nothing is run."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np
from numpy.typing import NDArray

from shotline.domain import ImpulseKind
from shotline.errors import InputError
from shotline.features import MelDefinition

__all__ = ["FORMAT", "Threshold", "TrainingData", "Twin", "check_picture", "read_twin", "twin_path"]

FORMAT = 1


class TrainingData(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Data that a network was trained on. ``clips`` counts recordings, ``examples`` onsets in them."""

    source: str
    licence: str
    clips: int
    examples: int


class Threshold(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The probability of a gunshot above which a node gives so many false alarms.

    Parameters
    ----------
    per_hour : float
        False alarms of one node an hour.
    probability : float
    negative_hours : float
        Of held-out sound without gunshots that it was found on.
    resolved : bool
        Whether so few alarms can be told from none on so little sound; if not, it lies above every one of them.
    """

    per_hour: float
    probability: float
    negative_hours: float
    resolved: bool


class Twin(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A network's definition.

    Parameters
    ----------
    format : int
        Of this file.
    model_id : str
        Name; goes into every detection.
    oldest_code_version : str
        The first version of Shotline that runs it.
    input : MelDefinition
    kinds : tuple of str
        What each output is, in order.
    temperature : float
        Logits are divided by it before the softmax.
    thresholds : tuple of Threshold
        By falling rate.
    parameters : int
    sha256 : str
        Of the ONNX file.
    data : tuple of TrainingData
    licence : str
        Under which the weights may be used.
    plan_sha256 : str
        Of the plan that it was trained by.
    seed : int
    check_logits : tuple of float
        What the network says of `check_picture`.
    """

    format: int = FORMAT
    model_id: Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9.-]{0,31}$")]
    oldest_code_version: str
    input: MelDefinition
    kinds: tuple[str, ...]
    temperature: float
    thresholds: tuple[Threshold, ...]
    parameters: int
    sha256: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}$")]
    data: tuple[TrainingData, ...]
    licence: str
    plan_sha256: str
    seed: int
    check_logits: tuple[float, ...]


def check_picture(definition: MelDefinition) -> NDArray[np.float32]:
    """Return a picture that every network can be asked about, shape (bands, columns): waves that cross."""
    bands, columns = np.mgrid[0 : definition.bands, 0 : definition.columns].astype(np.float64)
    waves = 0.5 + 0.25 * (np.sin(0.31 * bands + 0.17 * columns) + np.cos(0.05 * bands * columns))
    result: NDArray[np.float32] = waves.astype(np.float32)
    return result


def twin_path(weights: Path) -> Path:
    """Return where the twin of an ONNX file is."""
    return weights.with_suffix(".json")


def read_twin(weights: Path) -> Twin:
    """Read the twin of an ONNX file.

    Raises
    ------
    InputError
        There is none, it is not JSON or not a twin, or is of a format or of kinds that this code does not know.
    """
    path = twin_path(weights)
    try:
        text = path.read_bytes()
    except FileNotFoundError as error:
        raise InputError(
            f"no {path.name} beside {weights.name}; a network runs only with its twin, which says what goes in and out",
            source=str(path),
        ) from error
    except OSError as error:
        raise InputError(f"cannot read the twin: {error.strerror}", source=str(path)) from error
    try:
        twin = msgspec.json.decode(text, type=Twin)
    except (msgspec.ValidationError, msgspec.DecodeError) as error:
        raise InputError(f"not a twin of format {FORMAT}: {error}", source=str(path)) from error
    if twin.format != FORMAT:
        raise InputError(f"format {twin.format}, expected {FORMAT}; update Shotline", source=str(path), field="format")
    if twin.kinds != tuple(ImpulseKind):
        raise InputError(
            f"kinds {', '.join(twin.kinds)}; expected {', '.join(ImpulseKind)}", source=str(path), field="kinds"
        )
    if not (math.isfinite(twin.temperature) and twin.temperature > 0.0):
        raise InputError(
            f"temperature {twin.temperature}, expected a positive number", source=str(path), field="temperature"
        )
    return twin
