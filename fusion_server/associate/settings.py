"""Settings of association."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["AssociateSettings"]


@dataclass(frozen=True, slots=True)
class AssociateSettings:
    """Settings of association; see docs/parameters-by-symptom.md.

    Parameters
    ----------
    min_nodes : int
        Nodes at distinct places that a shot must rest on.
    min_log_evidence : float
        Log odds a hypothesis must reach.
    shots_per_km2_hour : float
        Prior rate of shots: how much evidence is asked for.
    repeats_hz : float
        Prior rate of further rounds from a place that has just fired.
    repeat_within_s : float
        How long after (or before) a round another counts as a repeat.
    repeat_sigma_s : float
        1-sigma of an arrival of a repeat against the pattern of the round it repeats.
    repeat_strength_sigma_db : float
        1-sigma of the strength of a repeat against the round it repeats.
    detect_probability : float
        Chance that a node well within range reports a shot.
    masked_share : float
        Of that chance, what is left when another shot's arrival may hide this one.
    mask_s : float
        Two onsets at a node closer than this are seldom told apart.
    latency_s : float
        How late after its predicted arrival a node may report before it counts as silent.
    clutter_hz : float
        Least rate of other impulses at a node.
    clutter_window_s : float
        Other impulses of a node are counted within this time of an arrival.
    clutter_burst_s : float
        And within this time, since echoes come in bursts; the higher rate counts.
    strength_margin_db : float
        A neighbour must be so much stronger to count fully as clutter: rounds of one gun are about as strong.
    strength_softness_db : float
        How sharply a weaker neighbour is discounted when counting clutter.
    echo_clutter_share : float
        What comes just after an arrival counts as clutter to it by this much only: it may be its own echo.
    quiet_s, quiet_below_db : float
        What comes after a quiet of this length begins something: nothing about as strong came just before, to within
        this much. It is no echo and no further round, and only other beginnings are clutter to it.
    echo_hz : float
        Rate of echoes at a node just after it heard a shot; they count as clutter to any further shot.
    echo_decay_s : float
        In this time their rate falls to a third.
    echo_weaker_db : float
        Echoes are weaker than what they follow by about this much or more.
    burst_log_evidence : float
        A first round may miss `min_log_evidence` by this much if it reaches it once its further rounds no longer count
        as its clutter.
    class_weight, class_usual_probability : float
        How much the node's classifier counts in telling a shot's arrival from clutter, and what probability of gunshot
        it gives the usual impulse: one that says neither.
    class_least_log_odds : float
        A trained network speaks against a shot by this much at the most, weighted: what is strange to it is strange at
        every node alike, and must not outweigh what times and levels say. Below it the incident's probability decides.
    rule_models : tuple of str
        Classifiers that are no trained network, and no classifier.
    rule_weight, rule_usual_probability : float
        The same for these.
    path_sigma_s, speed_error_sigma
        As in the locator.
    gate_s : float
        An arrival this far from a hypothesis is not part of it.
    cell_m : float
        Spacing of the search grid.
    margin_m : float
        How far beyond the outermost nodes the grid reaches.
    reach_m : float
        Nodes further than this from a place have no say about it.
    nucleus_nodes : int
        A place is looked at when one of so many nodes nearest to it hears something prominent.
    seed_log_evidence : float
        A cell with less evidence than this, in the coarse sight of the search, is not looked at closer.
    """

    min_nodes: int = 4
    min_log_evidence: float = 3.0
    shots_per_km2_hour: float = 1.0
    repeats_hz: float = 0.1
    repeat_within_s: float = 10.0
    repeat_sigma_s: float = 0.003
    repeat_strength_sigma_db: float = 4.0
    detect_probability: float = 0.9
    masked_share: float = 0.5
    mask_s: float = 0.03
    latency_s: float = 0.8
    clutter_hz: float = 0.05
    clutter_window_s: float = 3.0
    clutter_burst_s: float = 1.0
    strength_margin_db: float = 3.0
    strength_softness_db: float = 3.0
    echo_clutter_share: float = 0.35
    quiet_s: float = 0.4
    quiet_below_db: float = 10.0
    echo_hz: float = 6.0
    echo_decay_s: float = 0.25
    echo_weaker_db: float = 4.0
    burst_log_evidence: float = 12.0
    class_weight: float = 1.5
    class_usual_probability: float = 0.9
    class_least_log_odds: float = -1.0
    rule_models: tuple[str, ...] = ("", "impulse-rules-1", "simulated")
    rule_weight: float = 2.0
    rule_usual_probability: float = 0.6
    path_sigma_s: float = 0.009
    speed_error_sigma: float = 0.004
    gate_s: float = 0.045
    cell_m: float = 35.0
    margin_m: float = 300.0
    reach_m: float = 2000.0
    nucleus_nodes: int = 6
    seed_log_evidence: float = -7.0
