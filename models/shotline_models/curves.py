"""The curves of a training run, as CSV and as a picture."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from shotline_models.train import Epoch

__all__ = ["write_curves"]

_LEARNED, _HELD_BACK = "#0072b2", "#d55e00"


def write_curves(folder: Path, runs: Mapping[str, Sequence[Epoch]]) -> tuple[Path, Path]:
    """Write curves.csv and curves.png of some runs, by their names; return their paths."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    folder.mkdir(parents=True, exist_ok=True)
    table, picture = folder / "curves.csv", folder / "curves.png"
    with table.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("run", "epoch", "loss_nats", "stopping_loss_nats", "learning_rate"))
        for name, history in runs.items():
            for item in history:
                writer.writerow(
                    (name, item.number, f"{item.loss:.6f}", f"{item.stopping_loss:.6f}", f"{item.rate:.3g}")
                )
    figure = Figure(figsize=(8.0, 4.5), layout="constrained")
    axes = figure.subplots()
    for number, (name, history) in enumerate(runs.items()):
        final = number == len(runs) - 1
        look: dict[str, Any] = {"linewidth": 2.0 if final else 0.8, "alpha": 1.0 if final else 0.4}
        epochs = [item.number for item in history]
        axes.plot(
            epochs, [item.loss for item in history], color=_LEARNED, label=f"{name}: learned" if final else None, **look
        )
        axes.plot(
            epochs,
            [item.stopping_loss for item in history],
            color=_HELD_BACK,
            linestyle="--",
            label=f"{name}: held back to stop by" if final else None,
            **look,
        )
    axes.set_xlabel("epoch")
    axes.set_ylabel("cross-entropy, nats (learned: augmented, hard frames more often)")
    axes.set_ylim(bottom=0.0)
    axes.grid(visible=True, color="#dddddd")
    axes.legend(frameon=False)
    FigureCanvasAgg(figure)
    figure.savefig(picture)
    return table, picture
