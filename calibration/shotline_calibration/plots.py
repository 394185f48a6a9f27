"""What the plots of all procedures share. Matplotlib is imported when one is drawn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fusion_server.explain.picture import FORMATS, save
from shotline.errors import InputError

__all__ = ["BLUE", "GREY", "INK", "ORANGE", "check_plot_path", "new_figure", "save"]

# Of Okabe and Ito's palette: apart to every eye.
BLUE, ORANGE, INK, GREY = "#0072b2", "#d55e00", "#222222", "#8a8a8a"
_DPI = 100


def check_plot_path(path: Path) -> None:
    """Refuse a file for a plot before the work is done.

    Raises
    ------
    InputError
        Its name does not end in a format that is drawn, or its folder is not there.
    """
    if path.suffix.lower() not in FORMATS:
        raise InputError(f"'{path.name}' does not end in {', '.join(FORMATS)}", field="--plot")
    if not path.parent.is_dir():
        raise InputError("no such folder; make it first", source=path.parent, field="--plot")


def new_figure(title: str, *, width_in: float = 11.0, height_in: float = 5.0) -> Any:
    """Return an empty figure on the Agg canvas: no window, no global state.

    Parameters
    ----------
    title : str
        Printed as it is, upper left.
    width_in, height_in : float

    Returns
    -------
    matplotlib.figure.Figure
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width_in, height_in), dpi=_DPI, layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title, x=0.012, ha="left", fontsize=12, color=INK, parse_math=False)
    return figure
