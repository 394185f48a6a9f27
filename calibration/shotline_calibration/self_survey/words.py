"""What a self-survey cannot tell, in plain words. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from shotline_calibration.self_survey.observability import Motion, Told, motions, told_of
from shotline_calibration.self_survey.prepare import Prepared
from shotline_calibration.self_survey.problem import SelfSurvey

__all__ = ["not_told", "set_aside"]

_FEW_IMPULSES = 5
_MOST_NAMED = 6


def not_told(prepared: Prepared, survey: SelfSurvey) -> tuple[str, ...]:
    """Return a sentence for each thing that this sound does not tell, with how uncertain it stays."""
    found = {motion.name: motion for motion in motions(prepared.nodes, prepared.airs, survey)}
    known = sum(impulse.place is not None for impulse in prepared.heard)
    said = []
    if open_shift := _open(found, ("shift east", "shift north")):
        worst_m = max(motion.sigma_after for motion in open_shift)
        said.append(
            f"where the network is as a whole: all nodes together may be off by {worst_m:.2f} m per axis; "
            + ("more impulses" if known else "an impulse") + " at known places would tell"
        )  # fmt: skip
    if turn := _open(found, ("turn",)):
        reach_m = _reach_m(prepared)
        said.append(
            f"how the network is turned: {np.degrees(turn[0].sigma_after):.3f}°, which is "
            f"{turn[0].sigma_after * reach_m:.2f} m at its edge; two known places far apart would tell"
        )
    if not known:
        said.append("whether it is its own mirror image: that it is not, only the survey says")
    if scale := _open(found, ("scale",)):
        said.append(
            f"how large the network is, {100.0 * scale[0].sigma_after:.2f} %: the sound tells it only as well as the "
            "speed of sound is known; two known places would tell"
        )
    if up := [node.node for node in survey.nodes if _prior_up(prepared, node.node, node.sigma_z_m) is Told.NO]:
        said.append(f"heights of {_some(up)}: sound from the ground tells little of them; they stay as surveyed")
    if clocks := _open(found, ("clocks together",)):
        said.append(
            f"an error that all clocks share, {1e3 * clocks[0].sigma_after:.2f} ms: nobody knows when the impulses "
            "were made; it shifts times of shots, not places"
        )
    tilt = _open(found, ("clocks' tilt to the east", "clocks' tilt to the north"))
    wind = [motion for name, motion in found.items() if name.startswith("wind")]
    if tilt and wind:
        said.append(
            "wind and a tilt of the clocks apart: a wind delays as clocks would that run the later the farther to one "
            f"side; wind {max(motion.sigma_after for motion in wind):.1f} m/s"
        )
    if few := [node.node for node in survey.nodes if node.impulses < _FEW_IMPULSES]:
        said.append(f"anything much of {_some(few)}: fewer than {_FEW_IMPULSES} impulses each")
    return tuple(said)


def set_aside(prepared: Prepared, survey: SelfSurvey) -> list[dict[str, object]]:
    """Return what was not used: a row for each arrival or whole impulse, with why."""
    rows: list[dict[str, object]] = []
    for heard, impulse, used, residual_s in zip(
        prepared.heard, prepared.impulses, survey.used, survey.residual_s, strict=True
    ):
        if not used.any():
            least = 2 if heard.place is not None else 4
            why = f"no place fits it alone: two fit, or fewer than {least} of its arrivals agree"
            rows.append({"impulse": heard.name, "node": "", "residual_s": None, "why": why})
            continue
        for number in np.flatnonzero(~used):
            off_s = float(residual_s[number])
            rows.append(
                {
                    "impulse": heard.name,
                    "node": prepared.nodes[impulse.nodes[int(number)]].node,
                    "residual_s": off_s,
                    "why": "late: by a detour, or an echo"
                    if off_s > 0.0
                    else "early: another sound, or the others of it are late",
                }
            )
    return rows


def _open(found: dict[str, Motion], names: Sequence[str]) -> list[Motion]:
    return [found[name] for name in names if found[name].told is not Told.YES]


def _reach_m(prepared: Prepared) -> float:
    place = np.array([(node.x_m, node.y_m) for node in prepared.nodes])
    return float(np.linalg.norm(place - place.mean(axis=0), axis=1).max())


def _prior_up(prepared: Prepared, node: str, after_m: float) -> Told:
    (prior,) = (each for each in prepared.nodes if each.node == node)
    return told_of(prior.sigma_z_m, after_m)


def _some(names: Sequence[str]) -> str:
    if len(names) <= _MOST_NAMED:
        return ", ".join(names)
    return f"{', '.join(names[:_MOST_NAMED])} and {len(names) - _MOST_NAMED} more"
