"""Incidents for maps, as OGC API Features asks."""

from __future__ import annotations

from typing import Any

import pytest
from access_bench import Bench
from alert_samples import FRAME, incident
from api_client import ask, sample_app
from fastapi import FastAPI

from fusion_server.api.features import parse_box
from fusion_server.api.problems import ApiProblemError
from fusion_server.history import History

ITEMS = "/collections/incidents/items"
PLACES_M = {1: (-2_000.0, 0.0), 2: (0.0, 0.0), 3: (2_000.0, 0.0), 4: (0.0, 2_000.0)}


@pytest.fixture
def app(history: History) -> FastAPI:
    for number, (x_m, y_m) in PLACES_M.items():
        history.append_incident(incident(number, x_m=x_m, y_m=y_m))
    history.append_incident(incident(4, revision=2, x_m=0.0, y_m=2_000.0))
    return sample_app(history)


def numbers(answer: Any) -> list[int]:
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/geo+json"
    return [int(feature["id"], 16) for feature in answer.json()["features"]]


def words(answer: Any, status: int) -> str:
    assert answer.status_code == status, answer.text
    return str(answer.json()["detail"])


def box(west_m: float, south_m: float, east_m: float, north_m: float) -> str:
    south, west, _ = FRAME.to_geodetic(west_m, south_m)
    north, east, _ = FRAME.to_geodetic(east_m, north_m)
    return f"{west:.6f},{south:.6f},{east:.6f},{north:.6f}"


def test_the_way_from_the_landing_page(app: FastAPI) -> None:
    landing = ask(app, "/", headers={"Accept": "application/json"}).json()
    links = {link["rel"]: link["href"] for link in landing["links"]}
    assert "openapi" in ask(app, links["service-desc"]).json()
    assert (
        "http://www.opengis.net/spec/ogcapi-features-1/1.0/conf/core"
        in (ask(app, links["conformance"]).json()["conformsTo"])
    )
    (collection,) = ask(app, links["data"]).json()["collections"]
    assert collection == ask(app, f"/collections/{collection['id']}").json()
    items = {link["rel"]: link["href"] for link in collection["links"]}["items"]
    assert numbers(ask(app, items)) == [4, 3, 2, 1]
    assert ask(app, "/", headers={"Accept": "text/html,application/json"}).text.startswith("<!doctype html>")


def test_items_are_features_at_their_latest_revision(app: FastAPI) -> None:
    document = ask(app, ITEMS).json()
    assert (document["type"], document["numberMatched"], document["numberReturned"]) == ("FeatureCollection", 4, 4)
    newest = document["features"][0]
    assert newest["properties"]["revision"] == 2
    assert "shots" not in newest["properties"]
    lat_deg, lon_deg, _ = FRAME.to_geodetic(*PLACES_M[4])
    # GeoJSON has eight digits here: a millimetre.
    assert newest["geometry"]["coordinates"] == pytest.approx([lon_deg, lat_deg], abs=1e-8)
    one = ask(app, f"{ITEMS}/{newest['id']}").json()
    assert one["geometry"] == newest["geometry"]
    assert one["links"][0] == {"href": f"{ITEMS}/{newest['id']}", "rel": "self", "type": "application/geo+json"}
    assert "no incident 'none'" in words(ask(app, f"{ITEMS}/none"), 404)


def test_pages_of_items_in_both_directions(app: FastAPI) -> None:
    path, seen = f"{ITEMS}?limit=3", []
    while path:
        document = ask(app, path).json()
        seen.append([int(feature["id"], 16) for feature in document["features"]])
        links = {link["rel"]: link["href"] for link in document["links"]}
        assert links["self"] == path
        last, path = document, links.get("next", "")
    assert seen == [[4, 3, 2], [1]]
    back = {link["rel"]: link["href"] for link in last["links"]}["prev"]
    assert numbers(ask(app, back)) == [4, 3, 2]


def test_by_place(app: FastAPI) -> None:
    assert numbers(ask(app, f"{ITEMS}?bbox={box(-100, -100, 100, 100)}")) == [2]
    assert numbers(ask(app, f"{ITEMS}?bbox={box(-100, -100, 3_000, 100)}")) == [3, 2]
    assert numbers(ask(app, f"{ITEMS}?bbox={box(-100, -100, 100, 3_000)}&limit=1")) == [4]
    west, south, east, north = box(-100, -100, 100, 100).split(",")
    assert numbers(ask(app, f"{ITEMS}?bbox={west},{south},0,{east},{north},900")) == [2], "heights are not used"
    across = f"{ITEMS}?bbox=170,-90,-79.996,90"  # the date line, and round to just west of the origin
    assert numbers(ask(app, across)) == [1]


@pytest.mark.parametrize(
    "text",
    ["", "1,2,3", "1,2,3,4,5", "1,2,3,x", "nan,0,1,1", "0,10,1,5", "-181,0,1,1", "0,-91,1,1", "1e3,0,1,1", "1,2,3,inf"],
)
def test_what_is_no_box(app: FastAPI, text: str) -> None:
    assert "bbox: " in words(ask(app, f"{ITEMS}?bbox={text}"), 400)
    with pytest.raises(ApiProblemError):
        parse_box(text)


def test_by_time(app: FastAPI) -> None:
    second, third = incident(2).time_utc, incident(3).time_utc
    assert numbers(ask(app, f"{ITEMS}?datetime={second}")) == [2]
    assert numbers(ask(app, f"{ITEMS}?datetime={second}/{third}")) == [3, 2]
    assert numbers(ask(app, f"{ITEMS}?datetime={second}/..")) == [4, 3, 2]
    assert numbers(ask(app, f"{ITEMS}?datetime=/{second}")) == [2, 1]
    assert numbers(ask(app, f"{ITEMS}?datetime=../..")) == [4, 3, 2, 1]
    assert "ends before it begins" in words(ask(app, f"{ITEMS}?datetime={third}/{second}"), 400)
    assert "datetime: 'noon' is not a UTC time" in words(ask(app, f"{ITEMS}?datetime=noon"), 400)
    assert "datetime: " in words(ask(app, f"{ITEMS}?datetime={second}/{third}/"), 400)


def test_what_nobody_knows_is_refused(app: FastAPI) -> None:
    assert "unknown parameter 'box'" in words(ask(app, f"{ITEMS}?box=1"), 400)
    assert words(ask(app, f"{ITEMS}?limit=0"), 400)


def test_a_network_without_degrees(history: History) -> None:
    app = sample_app(history, frame=None)
    assert "no geodetic origin" in words(ask(app, ITEMS), 409)
    assert "no geodetic origin" in words(ask(app, f"{ITEMS}/x"), 409)
    assert ask(app, "/collections").status_code == 200


def test_the_public_sees_what_was_confirmed_and_only_roughly_where(app: FastAPI, history: History) -> None:
    del app
    bench = Bench(history)
    assert numbers(bench.ask(ITEMS, role="public")) == []
    history.append_incident(incident(7, x_m=1_234.0, y_m=777.0))
    for number, outcome, reason in (
        (1, "confirmed", "casings"),
        (2, "dismissed", "fireworks"),
        (7, "confirmed", "video"),
    ):
        body = {"revision": 1, "outcome": outcome, "reason": reason}
        path = f"/incidents/{incident(number).id}/decisions"
        assert bench.ask(path, method="POST", role="reviewer", json=body).status_code == 201
    assert numbers(bench.ask(ITEMS, role="public")) == [7, 1]
    assert numbers(bench.ask(ITEMS, role="analyst")) == [7, 4, 3, 2, 1]
    feature = bench.ask(f"{ITEMS}/{incident(7).id}", role="public").json()
    assert (feature["properties"]["x_m"], feature["properties"]["y_m"]) == (1_200.0, 800.0)
    lat_deg, lon_deg, _ = FRAME.to_geodetic(1_200.0, 800.0)
    assert feature["geometry"]["coordinates"] == pytest.approx([lon_deg, lat_deg], abs=1e-8)
    assert bench.ask(f"{ITEMS}/{incident(2).id}", role="public").status_code == 404
    # A search by place tells no more than what it finds.
    assert numbers(bench.ask(f"{ITEMS}?bbox={box(1_199, 799, 1_201, 801)}", role="public")) == [7]
    assert numbers(bench.ask(f"{ITEMS}?bbox={box(1_233, 776, 1_235, 778)}", role="public")) == []
    assert numbers(bench.ask(f"{ITEMS}?bbox={box(1_233, 776, 1_235, 778)}", role="analyst")) == [7]
    body = {"revision": 1, "outcome": "undetermined", "reason": "unclear"}
    bench.ask(f"/incidents/{incident(7).id}/decisions", method="POST", role="reviewer", json=body)
    assert numbers(bench.ask(ITEMS, role="public")) == [1], "somebody said otherwise since"
