"""A trained network as a node runs it: ONNX Runtime on one thread, pictures by `shotline.features`. No torch."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from shotline.errors import InputError
from shotline.features import log_mel
from shotline_models.onnxruntime_silent import onnxruntime
from shotline_models.twin import Twin, read_twin

__all__ = ["Network", "calibrated", "open_network"]


class Network:
    """A network that is ready to run.

    Parameters
    ----------
    twin : Twin
    session : onnxruntime.InferenceSession
    """

    def __init__(self, twin: Twin, session: onnxruntime.InferenceSession) -> None:
        self.twin = twin
        self._session = session

    def logits(self, pictures: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return logits, shape (n, n_kinds), of pictures, shape (n, bands, columns)."""
        (result,) = self._session.run(None, {"picture": pictures[:, None]})
        logits: NDArray[np.float32] = result
        return logits

    def probabilities(
        self,
        samples: NDArray[np.float32] | NDArray[np.float64],
        *,
        onset_index: int,
        sample_rate_hz: int,
    ) -> NDArray[np.float64]:
        """Return the probability of each kind for the sound around one onset, shape (n_kinds,); they sum to 1.

        Raises
        ------
        InputError
            See `shotline.features.log_mel`.
        """
        picture = log_mel(samples, onset_index=onset_index, sample_rate_hz=sample_rate_hz, definition=self.twin.input)
        result: NDArray[np.float64] = calibrated(self.logits(picture[None]), self.twin.temperature)[0]
        return result


def calibrated(
    logits: NDArray[np.float32] | NDArray[np.float64], temperature: float | NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return probabilities, shape (n, n_kinds), of logits over a temperature: one for all, or one for each row."""
    scaled = logits.astype(np.float64) / np.reshape(temperature, (-1, 1))
    share = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    result: NDArray[np.float64] = share / share.sum(axis=1, keepdims=True)
    return result


def open_network(weights: Path) -> Network:
    """Open an ONNX file with its twin.

    Parameters
    ----------
    weights : Path

    Raises
    ------
    InputError
        A file is missing or broken, the weights are not those that the twin speaks of, or take or give something else.
    """
    twin = read_twin(weights)
    try:
        content = weights.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read the weights: {error.strerror}", source=str(weights)) from error
    digest = hashlib.sha256(content).hexdigest()
    if digest != twin.sha256:
        raise InputError(
            f"sha256 {digest[:12]}…, its twin says {twin.sha256[:12]}…; the weights are broken or not the twin's",
            source=str(weights),
        )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        # ONNX Runtime's own errors have no common class of their own.
        raise InputError(f"not a network that ONNX Runtime can run: {error}", source=str(weights)) from error
    expected = [1, twin.input.bands, twin.input.columns]
    seen = [(item.name, item.shape[1:]) for item in session.get_inputs()]
    gives = [item.shape[1:] for item in session.get_outputs()]
    if seen != [("picture", expected)] or gives != [[len(twin.kinds)]]:
        raise InputError(
            f"takes {seen} and gives {gives}, expected one input 'picture' of {expected} and {len(twin.kinds)} logits",
            source=str(weights),
        )
    return Network(twin, session)
