"""The network: a few members, each five small convolutions over the log-mel picture of an impulse, that vote."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from shotline.domain import ImpulseKind

__all__ = ["Committee", "ImpulseNet", "count_parameters"]


class ImpulseNet(nn.Module):
    """Convolutions with batch norm, then mean and maximum over the picture, then one linear layer.

    The mean says what the sound is like, the maximum what it was like at its clearest; neither depends on where in the
    picture it was, so a small error of the onset does not matter.

    Parameters
    ----------
    width : int
        Channels of the first layer; the others follow in proportion.
    dropout : float
        Share of the figures that are hidden from the linear layer in training.
    """

    def __init__(self, *, width: int = 16, dropout: float = 0.3) -> None:
        super().__init__()
        if width < 2 or width % 2:
            raise ValueError(f"width {width}, expected an even number of channels")
        channels = (width, 3 * width // 2, 2 * width, 3 * width, 7 * width // 2)
        self.body = nn.Sequential(
            _layer(1, channels[0], stride=(2, 1)),
            _layer(channels[0], channels[1], stride=(2, 2)),
            _layer(channels[1], channels[2]),
            nn.MaxPool2d(2),
            _layer(channels[2], channels[3]),
            nn.MaxPool2d(2),
            _layer(channels[3], channels[4]),
        )
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(2 * channels[4], len(ImpulseKind))

    def forward(self, picture: Tensor) -> Tensor:
        """Return logits, shape (n, n_kinds), of pictures, shape (n, 1, bands, columns)."""
        figures = self.body(picture)
        pooled = torch.cat([figures.mean(dim=(2, 3)), figures.amax(dim=(2, 3))], dim=1)
        logits: Tensor = self.head(self.dropout(pooled))
        return logits


class Committee(nn.Module):
    """Networks that learned the same from different beginnings; what they say is the mean of their probabilities.

    They agree about what they have learned and differ about what none of them knows [Lakshminarayanan2017]: a strange
    sound that one takes for a gunshot with all its heart is seldom one for the others.

    Parameters
    ----------
    members : sequence of ImpulseNet
        At least one.
    """

    def __init__(self, members: Sequence[ImpulseNet]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, picture: Tensor) -> Tensor:
        """Return the logarithms of the mean probabilities, shape (n, n_kinds), of (n, 1, bands, columns)."""
        said = torch.stack([functional.log_softmax(member(picture), dim=1) for member in self.members])
        pooled: Tensor = torch.logsumexp(said, dim=0) - math.log(len(self.members))
        return pooled


def count_parameters(network: nn.Module) -> int:
    """Return how many numbers a network learned; running figures of batch norm, folded at export, do not count."""
    return sum(parameter.numel() for parameter in network.parameters())


def _layer(inputs: int, outputs: int, *, stride: tuple[int, int] = (1, 1)) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()
    )
