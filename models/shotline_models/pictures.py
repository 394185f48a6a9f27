"""Log-mel pictures of many frames at once, in torch: the twin of `shotline.features.log_mel` for training."""

from __future__ import annotations

import torch
from torch import Tensor

from shotline.features import MelDefinition, mel_weights

__all__ = ["LogMel"]


class LogMel:
    """Makes pictures of frames that hold just the sound of a definition.

    Parameters
    ----------
    definition : MelDefinition
    sample_rate_hz : int
    device : torch.device
    """

    def __init__(self, definition: MelDefinition, sample_rate_hz: int, device: torch.device) -> None:
        self._definition = definition
        self._window = torch.hann_window(round(definition.window_s * sample_rate_hz), device=device)
        self._hop = round(definition.hop_s * sample_rate_hz)
        weights = torch.from_numpy(mel_weights(definition, sample_rate_hz)).to(device, torch.float32)
        self._weights = weights

    def __call__(self, sound: Tensor) -> Tensor:
        """Return pictures, shape (n, 1, bands, columns), of sound, shape (n, n_samples), float32."""
        spectrum = torch.stft(
            sound, len(self._window), self._hop, window=self._window, center=False, return_complex=True
        )
        power = self._weights @ (spectrum.real.square() + spectrum.imag.square())
        power = power[:, :, : self._definition.columns]
        highest = power.amax(dim=(1, 2), keepdim=True).clamp(min=1e-30)
        level = torch.log10((power / highest).clamp(min=10.0 ** (-self._definition.range_db / 10.0)))
        return (1.0 + 10.0 / self._definition.range_db * level)[:, None]
