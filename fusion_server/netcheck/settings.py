"""Settings of the network self-check."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["NetcheckSettings"]


@dataclass(frozen=True, slots=True)
class NetcheckSettings:
    """Settings of the network self-check; where the defaults come from is in docs/network-check.md.

    Parameters
    ----------
    flag_log_odds, flag_muffled_log_odds : float
        Natural log of the Bayes factor of a fault against a healthy node from which a node is flagged: of its times,
        and of its microphone.
    confirm_log_odds : float
        The same of a second window, by itself, from which a flagged node is quarantined.
    heal_log_odds : float
        A flag is lifted when the last window speaks this much for a healthy node.
    least_arrivals : int
        Fewer sounds than this say nothing about a node.
    window_arrivals : int
        A window is so many sounds of a node.
    longest_window : int
        A fault is sought among so many last sounds of a node.
    least_agreeing : float
        Share of the places in a window that a fault must explain.
    least_offset_s, least_move_m, least_deficit_db : float
        A fault smaller than this is none.
    least_nodes : int
        A sound that fewer nodes heard is not looked at.
    most_cep95_m : float
        Nor one that is located worse than this.
    most_doubted : float
        Share of the nodes that may be in doubt at once: what looks wrong at more has one cause elsewhere.
    one_place : bool
        Whether what is heard from one place only is enough: no, since one place is one path, and a wall may be new.
    place_m : float
        Sounds so close to each other come by the same paths.
    kept_shots : int
        So many last sounds are remembered.
    half_life_s : float
        The score of a flag halves in this time when the node is not heard.
    path_sigma_s : float
        1-sigma of a travel time against the straight line, before the network has told its own.
    speed_error_sigma, wind_error_sigma_mps : float
        1-sigma of what the weather may be wrong by: relative speed of sound, wind per component.
    level_sigma_db : float
        1-sigma of a peak level against its fall with distance, before the network has told its own.
    level_slope_db : float
        Fall of the level in a decade of distance.
    """

    flag_log_odds: float = 7.0
    flag_muffled_log_odds: float = 10.0
    confirm_log_odds: float = 3.0
    heal_log_odds: float = 3.0
    least_arrivals: int = 5
    window_arrivals: int = 8
    longest_window: int = 40
    least_agreeing: float = 0.6
    least_offset_s: float = 0.001
    least_move_m: float = 3.0
    least_deficit_db: float = 8.0
    least_nodes: int = 5
    most_cep95_m: float = 60.0
    most_doubted: float = 0.34
    one_place: bool = False
    place_m: float = 60.0
    kept_shots: int = 240
    half_life_s: float = 30.0 * 86_400.0
    path_sigma_s: float = 0.004
    speed_error_sigma: float = 0.005
    wind_error_sigma_mps: float = 1.3
    level_sigma_db: float = 7.0
    level_slope_db: float = 30.0
