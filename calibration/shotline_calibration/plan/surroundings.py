"""What stands between a shot and a microphone, as a planner can say it: open land, a suburb, a town, tall blocks.

No map of houses is asked for. What houses, fences and the place of the shooter take from the sound is a mean loss that
changes with distance, a part that all nodes share (a shot in a back yard is faint everywhere), and a part of each
path. The figures are those of simulated towns (``benchmarks/plan_surroundings.py``), with 3 dB in the path's sigma for
noise that comes and goes. Echoes and tails, which add to the sound, are in them: over grass, which takes much of the
straight sound far away, the loss falls with distance.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass

from shotline.errors import InputError

__all__ = ["SURROUNDINGS", "Surroundings", "surroundings"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """How sound fares on the way.

    Parameters
    ----------
    name, about : str
    ground : str
        A kind of `shotline.propagation.GROUND_FLOW_RESISTIVITY_PA_S_PER_M2`.
    roughness_m : float
        Roughness length of the wind.
    noise_dba : float
        A-weighted level of the noise where nobody measured it.
    loss_db : float
        What is taken from the sound 300 m away, over open ground, on the mean.
    loss_db_per_decade : float
        How that grows with ten times the distance.
    shot_sigma_db : float
        1-sigma of what all paths of one shot have in common.
    deepest_shadow_db : float
        What wind and falling temperature take at the most: echoes and what houses scatter fill a shadow in.
    path_sigma_db : float
        1-sigma of each path, and of the noise at its end in the moment.
    """

    name: str
    about: str
    ground: str
    roughness_m: float
    noise_dba: float
    loss_db: float
    loss_db_per_decade: float
    shot_sigma_db: float
    deepest_shadow_db: float
    path_sigma_db: float


SURROUNDINGS = (
    Surroundings(
        name="open",
        about="fields, an airport, water",
        ground="grass",
        roughness_m=0.03,
        noise_dba=35.0,
        loss_db=-0.3,
        loss_db_per_decade=-0.5,
        shot_sigma_db=0.6,
        deepest_shadow_db=23.0,
        path_sigma_db=3.9,
    ),
    Surroundings(
        name="suburb",
        about="houses of one or two floors in gardens",
        ground="grass",
        roughness_m=0.5,
        noise_dba=42.0,
        loss_db=14.6,
        loss_db_per_decade=-8.4,
        shot_sigma_db=1.6,
        deepest_shadow_db=7.0,
        path_sigma_db=6.6,
    ),
    Surroundings(
        name="town",
        about="rows of houses of two to four floors",
        ground="asphalt",
        roughness_m=0.7,
        noise_dba=47.0,
        loss_db=18.5,
        loss_db_per_decade=6.5,
        shot_sigma_db=3.3,
        deepest_shadow_db=8.0,
        path_sigma_db=7.5,
    ),
    Surroundings(
        name="downtown",
        about="closed blocks of four floors and more",
        ground="asphalt",
        roughness_m=1.0,
        noise_dba=54.0,
        loss_db=17.2,
        loss_db_per_decade=3.6,
        shot_sigma_db=0.8,
        deepest_shadow_db=1.0,
        path_sigma_db=4.6,
    ),
)


def surroundings(name: str) -> Surroundings:
    """Return those of a name.

    Raises
    ------
    InputError
        There are none; the message names all.
    """
    known = {item.name: item for item in SURROUNDINGS}
    if name in known:
        return known[name]
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean '{near[0]}'? " if near else ""
    raise InputError(f"no surroundings '{name}'; {hint}there are: {', '.join(known)}", field="--surroundings")
