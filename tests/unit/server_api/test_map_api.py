"""What the map asks for: who should have heard, and where a shot would be heard."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import pytest
from access_bench import Bench
from alert_samples import FRAME, SITES, incident, node_statuses, registry
from api_client import NOW_NS, ask, sample_app
from fastapi import FastAPI

from fusion_server.associate import AssociateSettings
from fusion_server.coverage import model_coverage
from fusion_server.history import History, NodeStatus
from shotline.domain import ClockState


@pytest.fixture
def app(history: History) -> FastAPI:
    history.append_incident(incident(1))
    history.append_incident(incident(1, revision=2, rounds=2))
    history.touch_nodes(node_statuses(NOW_NS))
    return sample_app(history)


def test_who_heard_round_by_round(app: FastAPI) -> None:
    answer = ask(app, f"/incidents/{incident(1).id}/hearing").json()
    assert (answer["incident"], answer["revision"]) == (incident(1).id, 2)
    assert [item["round"] for item in answer["rounds"]] == [1, 2]
    nodes = {node["node"]: node for node in answer["rounds"][0]["nodes"]}
    assert list(nodes) == [site.node for site in SITES]
    assert {name: node["outcome"] for name, node in nodes.items()} == {
        **dict.fromkeys(("roof-01", "roof-02", "roof-03", "roof-05", "roof-06", "roof-07"), "used"),
        "roof-04": "left_out",
        "roof-08": "not_expected",
        "roof-09": "silent",
    }
    assert nodes["roof-08"]["expected_probability"] == 0.318
    assert nodes["roof-09"]["expected_probability"] > 0.5


def test_an_incident_that_is_not_kept(app: FastAPI) -> None:
    answer = ask(app, "/incidents/nothing/hearing")
    assert answer.status_code == 404
    assert "no incident 'nothing' is kept here" in answer.json()["detail"]


def test_the_coverage_is_the_models_with_the_nodes_that_are_heard(app: FastAPI) -> None:
    document = ask(app, "/coverage").json()
    assert document["silent"] == ["roof-09"]
    assert len(document["nodes"]) == 8
    assert (document["min_nodes"], document["coarse"]) == (4, False)
    there = model_coverage(SITES[:8], AssociateSettings(), around=SITES)
    assert (document["rows"], document["columns"]) == there.probability.shape
    assert document["probability"] == [round(float(value), 2) for value in there.probability.ravel()]
    assert document["expected_nodes"] == [round(float(value), 1) for value in there.expected_nodes.ravel()]


def test_it_follows_who_is_heard_and_who_knows_the_time(history: History, app: FastAPI) -> None:
    before = ask(app, "/coverage").json()
    back = [status for status in node_statuses(NOW_NS, silent="") if status.node == "roof-09"]
    lost = [
        NodeStatus(
            node="roof-05", boot=1, last_heard_ns=NOW_NS, clock_state=ClockState.UNTIMED, clock_sigma_ns=1_000,
            software_version="0.1.0", model_id="impulse-rules-1", unacked=0,
        )
    ]  # fmt: skip
    history.touch_nodes([*back, *lost])
    after = ask(app, "/coverage").json()
    assert after["silent"] == ["roof-05"]
    assert after["probability"] != before["probability"]


def test_it_is_computed_once_for_a_set_of_nodes(app: FastAPI, monkeypatch: pytest.MonkeyPatch) -> None:
    ask(app, "/coverage")

    def never(*_args: object, **_more: object) -> None:
        raise AssertionError("computed again")

    monkeypatch.setattr("fusion_server.api.map_routes.model_coverage", never)
    assert ask(app, "/coverage").status_code == 200


@pytest.mark.parametrize("headers", [{}, {"Accept": "application/geo+json"}])
def test_coverage_for_maps(app: FastAPI, headers: dict[str, str]) -> None:
    answer = ask(app, "/coverage" + ("" if headers else "?format=geojson"), headers=headers)
    assert answer.headers["content-type"] == "application/geo+json"
    collection = answer.json()
    assert collection["modelled"] is True
    document = ask(app, "/coverage").json()
    # Every cell of 10 % or more is in exactly one polygon: their areas add up.
    covered_m2 = 0.0
    for feature in collection["features"]:
        ring = feature["geometry"]["coordinates"][0]
        assert ring[0] == ring[-1]
        corners = [FRAME.to_enu_m(lat_deg, lon_deg, FRAME.height_m)[:2] for lon_deg, lat_deg in ring]
        area_m2 = sum(a[0] * b[1] - b[0] * a[1] for a, b in pairwise(corners)) / 2
        assert area_m2 > 0.0  # counter-clockwise
        covered_m2 += area_m2
        assert feature["properties"]["probability_from"] in (0.1, 0.5, 0.9)
    cells = sum(value >= 0.1 for value in document["probability"])
    # Degrees with seven digits are a centimetre.
    assert covered_m2 == pytest.approx(cells * document["step_m"] ** 2, rel=1e-3)


def test_a_network_without_an_origin_has_metres_only(history: History) -> None:
    history.touch_nodes(node_statuses(NOW_NS))
    app = sample_app(history, frame=None)
    assert ask(app, "/coverage").json()["rows"] > 10
    refused = ask(app, "/coverage?format=geojson")
    assert refused.status_code == 409
    assert "no geodetic origin" in refused.json()["detail"]
    assert ask(app, "/coverage?colour=red").status_code == 400


# --- who may see it -------------------------------------------------------------------------------------------------


@pytest.fixture
def bench(history: History) -> Bench:
    history.append_incident(incident(1))
    history.touch_nodes(node_statuses(NOW_NS))
    return Bench(history)


def _probabilities(bench: Bench, role: str) -> dict[str, Any]:
    answer = bench.ask(f"/incidents/{incident(1).id}/hearing", role=role).json()
    return {node["node"]: node for node in answer["rounds"][0]["nodes"]}


def test_a_dispatcher_sees_outcomes_and_no_distances(bench: Bench) -> None:
    exact, coarse = _probabilities(bench, "analyst"), _probabilities(bench, "dispatcher")
    assert {name: node["outcome"] for name, node in coarse.items()} == {
        name: node["outcome"] for name, node in exact.items()
    }
    for name, node in coarse.items():
        assert node["expected_probability"] == round(exact[name]["expected_probability"], 1)
    told = bench.ask(f"/incidents/{incident(1).id}", role="dispatcher").json()["incident"]["shots"][0]["silent"]
    assert [item["probability"] for item in told] == [0.3]
    assert bench.ask(f"/incidents/{incident(1).id}/hearing", role="public").status_code == 403


def test_a_dispatcher_sees_the_coverage_of_rounded_places(bench: Bench) -> None:
    exact, coarse = (bench.ask("/coverage", role=role).json() for role in ("engineer", "dispatcher"))
    assert (exact["coarse"], coarse["coarse"]) == (False, True)
    assert coarse["step_m"] == 100.0
    assert math.remainder(coarse["west_m"], 100.0) == 0.0
    there = model_coverage(SITES[:8], AssociateSettings(), around=list(registry()), rounded_to_m=100.0)
    assert coarse["probability"] == [round(float(value), 2) for value in there.probability.ravel()]
    # Asked in the other order, neither gets the other's.
    assert bench.ask("/coverage", role="engineer").json() == exact


def test_who_looks_is_noted(bench: Bench) -> None:
    _probabilities(bench, "reviewer")
    assert bench.noted("view_incident") == [("reviewer", incident(1).id)]
