"""The page and the picture of plan_calibration.py."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

__all__ = ["draw", "markdown"]


def markdown(document: dict[str, Any]) -> str:
    """Return the page."""
    towns, rate, error = document["towns"], document["rates"], document["errors"]
    lines = [
        "# What a plan predicts, and what is found",
        "",
        f"Seeds from {document['seed']}; one process, on a machine with much other work.",
        "",
        f"## Made-up towns: {len(towns)}",
        "",
        _made(document["towns_made"]),
        "",
        *_table(
            ("", ""),
            [
                ("shots", rate["shots"]),
                ("found, predicted", f"{rate['found']:.3f}, {rate['predicted']:.3f}"),
                ("rank correlation over the quarters of the towns", f"{rate['rank_correlation_quarters']:.3f}"),
                ("rms difference over them", f"{rate['rms_difference_quarters']:.3f}"),
                ("Brier score; of the mean rate", f"{rate['brier']:.3f}; {rate['brier_of_the_mean']:.3f}"),
            ],
        ),
        *_table(
            ("predicted", "found", "shots"),
            [(f"{one['predicted']:.3f}", f"{one['found']:.3f}", one["shots"]) for one in rate["bins"]],
        ),
        "CEP95 of the shots that were found:",
        "",
        *_table(
            ("", ""),
            [
                ("with a prediction, without", f"{error['shots']}, {error['without_a_prediction']}"),
                ("rank correlation with CEP95 of the fix", f"{error['rank_correlation_stated']:.3f}"),
                ("the same in tenths by prediction", f"{error['rank_correlation_stated_bins']:.3f}"),
                (
                    "of the tenths with the radius that holds 95 % of errors",
                    f"{error['rank_correlation_error_bins']:.3f}",
                ),
                ("errors within the predicted CEP95", f"{error['within_predicted']:.3f}"),
                ("CEP95 of the fix over the predicted, median", f"{error['stated_over_predicted']:.2f}"),
            ],
        ),
        *_table(
            ("predicted CEP95, m", "of the fix, m", "error, median, m", "holds 95 %, m", "within predicted", "shots"),
            [
                (
                    f"{one['predicted_cep95_m']:.1f}",
                    f"{one['stated_cep95_m']:.1f}",
                    f"{one['error_median_m']:.1f}",
                    f"{one['error_95_m']:.1f}",
                    f"{one['within_predicted']:.3f}",
                    one["shots"],
                )
                for one in error["bins"]
            ],
        ),
        *_table(
            (
                "town",
                "weapon",
                "nodes",
                "wind, m/s",
                "nodes that report, predicted",
                "found",
                "shots found, predicted",
                "found",
            ),
            [
                (
                    one["town"],
                    one["weapon"],
                    one["nodes"],
                    f"{one['wind_mps']:.1f}",
                    f"{one['nodes_predicted']:.1f}",
                    f"{one['nodes_heard']:.1f}",
                    f"{one['predicted']:.2f}",
                    f"{one['found']:.2f}",
                )
                for one in towns
            ],
        ),
    ]
    if (live := document.get("pittsburgh")) is not None:
        lines += [
            f"## Live fire in Pittsburgh, nodes left out: {live['sets']} sets of nodes",
            "",
            _made(document["pittsburgh_made"]),
            "",
            *_table(
                ("", ""),
                [
                    ("shots found, predicted", f"{live['found']:.3f}, {live['predicted']:.3f}"),
                    ("rank correlation over the sets", f"{live['rank_correlation']:.3f}"),
                    (
                        "of true ones, if all shots of a set shared one fate",
                        f"{live['rank_correlation_of_one_fate']:.3f}",
                    ),
                    (
                        f"over {live['groups']} pairs of place and number of nodes",
                        f"{live['rank_correlation_groups']:.3f}",
                    ),
                    ("rms difference over the sets", f"{live['rms_difference']:.3f}"),
                    ("CEP95: rank correlation with that of the fixes", f"{live['rank_correlation_stated_cep95']:.3f}"),
                    ("with their median error", f"{live['rank_correlation_median_error']:.3f}"),
                    ("CEP95 of the fixes over the predicted, median", f"{live['stated_over_predicted']:.2f}"),
                ],
            ),
            *_table(
                ("predicted", "found", "sets"),
                [(f"{one['predicted']:.3f}", f"{one['found']:.3f}", one["sets"]) for one in live["bins"]],
            ),
        ]
    return "\n".join(lines).rstrip("\n") + "\n"


def _made(made: dict[str, Any]) -> str:
    return f"Commit {made['commit']}; `{made['command']}`, {made['minutes']:.0f} min."


def _table(heads: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    rule = "|---|" + "---:|" * (len(heads) - 1)
    first, *others = (f"| {' | '.join(map(str, row))} |" for row in (heads, *rows))
    return [first, rule, *others, ""]


def draw(document: dict[str, Any], path: Path) -> None:
    """Draw predicted against found."""
    from shotline_calibration.plots import BLUE, GREY, INK, ORANGE, new_figure, save

    figure = new_figure("planned and found", width_in=13.0)
    rate_axes, cep_axes, live_axes = figure.subplots(1, 3)
    for axes, title, points, bins in (
        (rate_axes, "made-up towns", document["rates"]["quarters"], document["rates"]["bins"]),
        (live_axes, "Pittsburgh, nodes left out", [row[1:] for row in document["pittsburgh"]["each"]]
         if "pittsburgh" in document else [], document.get("pittsburgh", {}).get("bins", [])),
    ):  # fmt: skip
        axes.plot([0, 1], [0, 1], "-", color=GREY, linewidth=0.8)
        if points:
            axes.plot(
                *zip(*points, strict=True), ".", color=BLUE, alpha=0.5, label="quarters of towns, or sets of nodes"
            )
        axes.plot(
            [one["predicted"] for one in bins],
            [one["found"] for one in bins],
            "o-",
            color=ORANGE,
            label="by prediction",
        )
        axes.set(xlabel="predicted share found", ylabel="found", title=title, aspect="equal")
        axes.legend(fontsize=8)
    bins = document["errors"]["bins"]
    predicted = [one["predicted_cep95_m"] for one in bins]
    cep_axes.loglog(predicted, predicted, "-", color=GREY, linewidth=0.8)
    cep_axes.loglog(
        predicted, [one["stated_cep95_m"] for one in bins], "o-", color=BLUE, label="CEP95 of the fix, median"
    )
    cep_axes.loglog(predicted, [one["error_95_m"] for one in bins], "s-", color=ORANGE, label="holds 95 % of errors")
    cep_axes.loglog(predicted, [one["error_median_m"] for one in bins], "^-", color=INK, label="median error")
    cep_axes.set(xlabel="predicted CEP95, m", ylabel="m", title="made-up towns")
    cep_axes.legend(fontsize=8)
    save(figure, path)
