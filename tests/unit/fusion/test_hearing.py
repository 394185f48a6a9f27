"""Who should have heard: the answer is association's own, made again from the record."""

from __future__ import annotations

import math

import msgspec
import numpy as np
import pytest
from conftest import START_NS, Network, play

from fusion_server.associate import AssociateSettings
from fusion_server.hearing import Outcome, hearing
from shotline.domain import Site
from shotline.records import IncidentRecord, SilenceRecord, incident_record

AT_M = (300.0, 350.0)
SETTINGS = AssociateSettings()


def record_of(
    network: Network, rng: np.random.Generator, *, without: set[str], dead: frozenset[str] = frozenset()
) -> IncidentRecord:
    """Return what a live engine tells of one shot; the dead gave no sign of life, the others did."""
    engine = network.engine(assume_listening=False)
    for site in network.sites:
        if site.node not in dead:
            engine.note_listening(site.node, START_NS - 10**10, START_NS + 10**11)
    detections = [item for item in network.shot(*AT_M, 1.0, rng=rng) if item.node not in without | dead]
    return incident_record(play(engine, detections)[-1], None)


def outcomes(record: IncidentRecord, network: Network) -> dict[str, Outcome]:
    (found,) = hearing(record, network.sites, SETTINGS)
    return {item.node: item.outcome for item in found}


def test_every_node_is_there_by_name_and_those_that_heard_are_used(network: Network, rng: np.random.Generator) -> None:
    record = record_of(network, rng, without=set())
    found = outcomes(record, network)
    assert list(found) == sorted(site.node for site in network.sites)
    used = {arrival.node for arrival in record.shots[0].arrivals if arrival.used}
    assert {node for node, outcome in found.items() if outcome is Outcome.USED} == used


def test_who_listened_and_should_have_heard_missed_it(network: Network, rng: np.random.Generator) -> None:
    assert outcomes(record_of(network, rng, without={"n11"}), network)["n11"] is Outcome.MISSED


def test_who_gave_no_sign_of_life_is_silent(network: Network, rng: np.random.Generator) -> None:
    record = record_of(network, rng, without=set(), dead=frozenset({"n11"}))
    assert "n11" not in {item.node for item in record.shots[0].silent}
    assert outcomes(record, network)["n11"] is Outcome.SILENT


def test_who_is_far_away_is_not_expected(network: Network, rng: np.random.Generator) -> None:
    record = record_of(network, rng, without=set())
    far = (Site("far", 1700.0, 350.0), Site("further", 5000.0, 350.0))
    (found,) = hearing(record, [*network.sites, *far], SETTINGS)
    by_node = {item.node: item for item in found}
    assert by_node["far"].outcome is by_node["further"].outcome is Outcome.NOT_EXPECTED
    assert by_node["further"].expected_probability == 0.0
    assert 0.0 < (by_node["far"].expected_probability or 0.0) < 0.5


def test_the_probability_is_the_one_that_fusion_had(network: Network, rng: np.random.Generator) -> None:
    record = record_of(network, rng, without={"n11", "n21"})
    told = {item.node: item.probability for item in record.shots[0].silent}
    assert {"n11", "n21"} <= told.keys()
    (found,) = hearing(record, network.sites, SETTINGS)
    assert {item.node: item.expected_probability for item in found if item.node in told} == told
    # Without the numbers of the record, from its arrivals and sites alone. The fix is metres from where association
    # was, and nodes that would have heard with less than 5 % are not in the record.
    silent = tuple(msgspec.structs.replace(item, probability=0.0) for item in record.shots[0].silent)
    blind = msgspec.structs.replace(record, shots=(msgspec.structs.replace(record.shots[0], silent=silent),))
    again = _computed(blind, network)
    for node, probability in told.items():
        assert again[node] == pytest.approx(probability, abs=0.02)


def _computed(record: IncidentRecord, network: Network) -> dict[str, float]:
    from fusion_server.associate.geometry import audibility
    from fusion_server.hearing import _expected

    shot = record.shots[0]
    heard, told = {item.node for item in shot.arrivals}, {item.node for item in shot.silent}
    return _expected(shot, network.sites, SETTINGS, audibility(SETTINGS), heard=heard, told=told)


def test_an_old_record_says_of_nobody_whether_it_listened(network: Network, rng: np.random.Generator) -> None:
    record = record_of(network, rng, without={"n11"})
    shot = msgspec.structs.replace(record.shots[0], silent=(), log_evidence=None)
    assert outcomes(msgspec.structs.replace(record, shots=(shot,)), network)["n11"] is Outcome.MISSED


def test_a_list_that_was_cut_does_not_make_the_others_silent(network: Network, rng: np.random.Generator) -> None:
    record = record_of(network, rng, without={"n11"})
    cut = tuple(SilenceRecord(node=f"z{index:02}", distance_m=100.0, probability=0.9) for index in range(20))
    shot = msgspec.structs.replace(record.shots[0], silent=cut)
    assert outcomes(msgspec.structs.replace(record, shots=(shot,)), network)["n11"] is Outcome.MISSED


def test_an_arrival_that_was_left_out(network: Network, rng: np.random.Generator) -> None:
    record = record_of(network, rng, without=set())
    first, *others = record.shots[0].arrivals
    shot = msgspec.structs.replace(record.shots[0], arrivals=(msgspec.structs.replace(first, used=False), *others))
    assert outcomes(msgspec.structs.replace(record, shots=(shot,)), network)[first.node] is Outcome.LEFT_OUT


def test_a_node_without_a_site_heard_all_the_same(network: Network, rng: np.random.Generator) -> None:
    record = record_of(network, rng, without=set())
    gone = record.shots[0].arrivals[0].node
    (found,) = hearing(record, [site for site in network.sites if site.node != gone], SETTINGS)
    (item,) = [item for item in found if item.node == gone]
    assert (item.expected_probability, item.outcome) == (None, Outcome.USED)
    assert [item.expected_probability for item in hearing(record, [], SETTINGS)[0] if item.node == gone] == [None]


def test_where_the_frame_lies_does_not_matter(network: Network, rng: np.random.Generator) -> None:
    record = record_of(network, rng, without={"n11"})
    east_m, north_m = 10_000.0, -7_000.0
    moved = [Site(site.node, site.x_m + east_m, site.y_m + north_m) for site in network.sites]
    shot = record.shots[0]
    shot = msgspec.structs.replace(shot, x_m=shot.x_m + east_m, y_m=shot.y_m + north_m)
    there = hearing(msgspec.structs.replace(record, shots=(shot,)), moved, SETTINGS)[0]
    here = hearing(record, network.sites, SETTINGS)[0]
    assert [item.outcome for item in there] == [item.outcome for item in here]
    assert all(
        math.isclose(a.expected_probability or 0.0, b.expected_probability or 0.0, abs_tol=1e-9)
        for a, b in zip(there, here, strict=True)
    )
