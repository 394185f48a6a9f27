from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import httpx
import msgspec
import pytest
from alert_samples import EPOCH_NS, FRAME, incident, node_statuses
from api_client import NOW_NS, ask, sample_app
from fastapi import FastAPI
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import fusion_server.api
from fusion_server.api import Mode
from fusion_server.health import NodeReport
from fusion_server.history import History, NodeStatus, Receipt
from shotline import __version__
from shotline.errors import StorageError
from shotline.health import Check, CheckStatus, health_items
from shotline.records import ALERT_NOTICE, IncidentRecord
from shotline.timebase import format_utc
from shotline.units import NS_PER_S


@pytest.fixture
def app(history: History) -> FastAPI:
    for number in range(1, 6):
        history.append_incident(incident(number, frame=FRAME))
    history.append_incident(incident(5, revision=2, rounds=3, frame=FRAME))
    history.touch_nodes(node_statuses(NOW_NS))
    return sample_app(history)


def _problem(answer: httpx.Response, status: int) -> str:
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    document = answer.json()
    assert document["status"] == status
    return str(document["detail"])


def _ids(answer: httpx.Response) -> list[int]:
    assert answer.status_code == 200, answer.text
    return [int(record["id"], 16) for record in answer.json()["incidents"]]


# --- incidents ------------------------------------------------------------------------------------------------------


def test_incidents_newest_first_at_their_latest_revision(app: FastAPI) -> None:
    answer = ask(app, "/incidents")
    assert _ids(answer) == [5, 4, 3, 2, 1]
    page = answer.json()
    assert (page["limit"], page["offset"], page["next"]) == (100, 0, None)
    assert msgspec.convert(page["incidents"][0], IncidentRecord) == incident(5, revision=2, rounds=3)
    assert "link" not in answer.headers


def test_pages_follow_one_another(app: FastAPI) -> None:
    path, seen = "/incidents?limit=2&since=2018-12-19T00:00:00Z", []
    while path:
        answer = ask(app, path)
        seen.append(_ids(answer))
        path = answer.json()["next"]
        assert answer.headers.get("link", "") == (f'<{path}>; rel="next"' if path else "")
    assert seen == [[5, 4], [3, 2], [1]]


def test_bounds_in_time(app: FastAPI) -> None:
    third, fourth = (quote(format_utc(EPOCH_NS + number * 60 * NS_PER_S)) for number in (3, 4))
    assert _ids(ask(app, f"/incidents?since={third}")) == [5, 4, 3]
    assert _ids(ask(app, f"/incidents?until={third}")) == [2, 1]
    assert _ids(ask(app, f"/incidents?since={third}&until={fourth}")) == [3]


@pytest.mark.parametrize("text", ["2018-12-19T01:52:28.543+01:00", "2018-12-19T01:52:28.543%2B01:00"])
def test_an_offset_may_come_unescaped(app: FastAPI, text: str) -> None:
    assert _ids(ask(app, f"/incidents?since={text}")) == [5, 4, 3]


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("limit=0", "limit: input should be greater than or equal to 1; saw '0'"),
        ("limit=1001", "limit: input should be less than or equal to 1000; saw '1001'"),
        ("limit=many", "limit: input should be a valid integer"),
        ("offset=-1", "offset: input should be greater than or equal to 0; saw '-1'"),
        ("since=yesterday", "since: 'yesterday' is not a UTC time; write it like 2018-12-19T00:49:26.000Z"),
        ("since=2018-12-19T00:49:26", "with Z or an offset"),
        ("until=2018-02-30T00:00:00Z", "until: '2018-02-30T00:00:00Z' is not a UTC time: day is out of range"),
        ("until=2999-01-01T00:00:00Z", "until: '2999-01-01T00:00:00Z' is outside the years 1678 to 2262"),
        ("since=0001-01-01T00:00:00%2B01:00", "outside the years"),
        ("format=xml", "format: input should be 'json' or 'geojson'; saw 'xml'"),
        ("sinse=2018-12-19T00:49:26Z", "unknown parameter 'sinse'; use one of limit, offset, since, until, format"),
    ],
)
def test_wrong_queries_in_plain_words(app: FastAPI, query: str, words: str) -> None:
    assert words in _problem(ask(app, f"/incidents?{query}"), 400)


def test_one_incident_with_its_whole_story(app: FastAPI, history: History) -> None:
    incident_id = incident(5).id
    history.append_receipt(Receipt(incident_id, 1, "webhook", 1, False, "answered 503", EPOCH_NS))
    document = ask(app, f"/incidents/{incident_id}").json()
    assert document["incident"]["revision"] == 2
    assert [record["revision"] for record in document["revisions"]] == [1, 2]
    assert document["receipts"] == [
        {
            "revision": 1,
            "sink": "webhook",
            "attempt": 1,
            "ok": False,
            "detail": "answered 503",
            "time_utc": "2018-12-19T00:49:28.543000Z",
        }
    ]


@pytest.mark.parametrize("name", ["none", "%00", "%2e%2e%2fhealth", "a%20b", "x" * 5000, "%F0%9F%94%AB", "ff.geojson"])
def test_an_incident_that_is_not_there(app: FastAPI, name: str) -> None:
    _problem(ask(app, f"/incidents/{name}"), 404)


def test_no_such_incident_says_where_to_look(app: FastAPI) -> None:
    assert _problem(ask(app, "/incidents/beef"), 404) == (
        "no incident 'beef' is kept here; /incidents lists those that are"
    )


# --- GeoJSON --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "headers"),
    [("/incidents?format=geojson&limit=2", {}), ("/incidents?limit=2", {"Accept": "application/geo+json"})],
)
def test_incidents_as_geojson(app: FastAPI, path: str, headers: dict[str, str]) -> None:
    answer = ask(app, path, headers=headers)
    assert answer.headers["content-type"] == "application/geo+json"
    assert 'rel="next"' in answer.headers["link"]
    first, second = answer.json()["features"]
    record = incident(5, revision=2, rounds=3)
    assert first["id"] == record.id
    assert first["geometry"]["type"] == "Point"
    assert first["geometry"]["coordinates"] == pytest.approx([record.lon_deg, record.lat_deg], abs=1e-8)
    assert first["properties"]["rounds"] == 3
    assert "shots" not in first["properties"]
    assert second["properties"]["revision"] == 1


def test_one_incident_on_a_map(app: FastAPI) -> None:
    answer = ask(app, f"/incidents/{incident(5).id}.geojson")
    assert answer.headers["content-type"] == "application/geo+json"
    features = answer.json()["features"]
    roles = [feature["properties"]["role"] for feature in features]
    assert roles == ["incident", "ellipse95", "shot", "shot", "shot", *["node"] * 9]
    heard = {feature["id"]: feature["properties"] for feature in features if feature["properties"]["role"] == "node"}
    assert (heard["roof-04"]["heard"], heard["roof-04"]["used"]) == (True, False)
    assert (heard["roof-01"]["heard"], heard["roof-01"]["used"]) == (True, True)
    assert (heard["roof-09"]["heard"], heard["roof-09"]["silent"]) == (False, True)


@pytest.mark.parametrize("path", ["/incidents?format=geojson", "/nodes?format=geojson", "/incidents/1.geojson"])
def test_no_geojson_without_a_geodetic_origin(history: History, path: str) -> None:
    words = _problem(ask(sample_app(history, frame=None), path), 409)
    assert words.startswith("this network has no geodetic origin, so there are no degrees for GeoJSON; ask for JSON")


# --- nodes, health, meta --------------------------------------------------------------------------------------------


def test_nodes_with_their_last_word(app: FastAPI, history: History) -> None:
    history.touch_node(NodeStatus("stranger", 1, NOW_NS - NS_PER_S))
    nodes = {node["node"]: node for node in ask(app, "/nodes").json()["nodes"]}
    assert list(nodes) == [*(f"roof-{number:02}" for number in range(1, 10)), "stranger"]
    heard = nodes["roof-01"]
    assert (heard["x_m"], heard["y_m"], heard["sigma_m"], heard["silent"]) == (-260, 190, 0.5, False)
    assert (heard["clock_state"], heard["clock_sigma_s"], heard["last_heard_ago_s"]) == ("pps", 1e-6, 2.0)
    assert heard["last_heard_utc"] == format_utc(NOW_NS - 2 * NS_PER_S, digits=3)
    assert FRAME.to_enu_m(heard["lat_deg"], heard["lon_deg"], FRAME.height_m + 12.0)[:2] == pytest.approx(
        (-260, 190),
        abs=0.002,  # 8 digits of a degree are 1.1 mm
    )
    assert nodes["roof-09"]["silent"]
    assert (nodes["stranger"]["surveyed"], nodes["stranger"]["x_m"], nodes["stranger"]["silent"]) == (
        False,
        None,
        False,
    )


def test_nodes_that_never_spoke_are_silent(history: History) -> None:
    nodes = ask(sample_app(history, frame=None), "/nodes").json()["nodes"]
    assert len(nodes) == 9
    assert all(node["silent"] and node["last_heard_utc"] is None and node["lat_deg"] is None for node in nodes)


def test_nodes_say_how_they_are(history: History) -> None:
    history.touch_node(NodeStatus("roof-01", 1, NOW_NS))
    checks = (
        Check("microphone", CheckStatus.FAIL, "nothing but zeros for 9.0 s", {"quiet_dbfs": -200.0}),
        Check("version", CheckStatus.OK, "0.1.0"),
    )
    reports = {"roof-01": NodeReport(NOW_NS, health_items(checks), 3, 7), "roof-02": NodeReport(NOW_NS, (), 0, 0)}
    app = sample_app(history, node_reports=reports)
    nodes = {node["node"]: node for node in ask(app, "/nodes").json()["nodes"]}
    well = nodes["roof-01"]
    assert (well["health_status"], well["dropped_detections"], well["dropped_heartbeats"]) == ("fail", 3, 7)
    assert well["health"] == [check.as_json() for check in checks]
    assert (nodes["roof-02"]["health_status"], nodes["roof-02"]["health"]) == (None, [])
    features = ask(app, "/nodes?format=geojson").json()["features"]
    properties = features[0]["properties"]
    assert (properties["health_status"], "health" in properties) == ("fail", False)


def test_nodes_as_geojson(app: FastAPI, history: History) -> None:
    history.touch_node(NodeStatus("stranger", 1, NOW_NS))
    features = ask(app, "/nodes?format=geojson").json()["features"]
    assert [feature["id"] for feature in features] == [f"roof-{number:02}" for number in range(1, 10)]
    lon_deg, lat_deg = features[0]["geometry"]["coordinates"]
    assert lon_deg < -79
    assert 40 < lat_deg < 41


@pytest.mark.parametrize(("status", "code"), [("ok", 200), ("warn", 200), ("fail", 503)])
def test_health(history: History, status: str, code: int) -> None:
    answer = ask(sample_app(history, status=CheckStatus(status), mode=Mode.REPLAY), "/health")
    assert answer.status_code == code
    document = answer.json()
    assert (document["status"], document["mode"]) == (status, "replay")
    assert document["as_of_utc"] == "2018-12-19T00:49:28.543000Z"
    assert document["checks"][0] == {
        "name": "store",
        "status": "ok",
        "message": "812 detections kept in history.db",
        "numbers": {"detections": 812},
    }


def test_meta(app: FastAPI, history: History) -> None:
    assert ask(app, "/meta").json() == {
        "software": "shotline",
        "software_version": __version__,
        "mode": "live",
        "frame": "geodetic",
        "notice": ALERT_NOTICE,
        "origin_lat_deg": 40.4406,
        "origin_lon_deg": -79.9959,
        "origin_height_m": 250.0,
        "basemap": None,
    }
    cartesian = ask(sample_app(history, frame=None, mode=Mode.DEMO), "/meta").json()
    assert (cartesian["frame"], cartesian["mode"], cartesian["origin_lat_deg"]) == ("cartesian", "demo", None)


# --- whatever is asked ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/", "/incidents", "/incidents/none", "/openapi.json", "/console/app.js", "/nowhere"])
def test_every_answer_has_the_security_headers(app: FastAPI, path: str) -> None:
    headers = ask(app, path, headers={"Origin": "https://elsewhere.example"}).headers
    policy = headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'")
    assert "unsafe" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert "access-control-allow-origin" not in headers
    assert headers["cache-control"] in ("no-store", "no-cache")


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_a_method_that_is_not_there(app: FastAPI, method: str) -> None:
    words = _problem(ask(app, "/incidents", method=method), 405)
    assert words == f"{method} is not possible on /incidents; see /openapi.json for what is"


def test_an_address_that_is_not_there(app: FastAPI) -> None:
    assert _problem(ask(app, "/docs"), 404) == "there is no /docs here; see /openapi.json for what there is"


def test_a_history_that_cannot_be_read_is_503_in_plain_words(
    app: FastAPI, history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    def locked(**_arguments: object) -> list[IncidentRecord]:
        raise StorageError("another process holds the database")

    monkeypatch.setattr(history, "incidents", locked)
    answer = ask(app, "/incidents")
    assert _problem(answer, 503) == "the history cannot be read: another process holds the database"
    assert answer.headers["retry-after"] == "5"


def test_the_page_and_its_files(app: FastAPI) -> None:
    page = ask(app, "/")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "not grounds for a stop, search or arrest" in page.text
    assert "<script>" not in page.text
    assert "style=" not in page.text
    script = ask(app, "/console/app.js")
    assert script.headers["content-type"] == "text/javascript; charset=utf-8"
    again = ask(app, "/console/app.js", headers={"If-None-Match": script.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_the_page_puts_no_html_together() -> None:
    """Text from outside goes in through textContent; nothing in the page parses markup."""
    from importlib.resources import files

    for file in files("fusion_server").joinpath("console").iterdir():
        if file.name.endswith(".js"):
            source = file.read_text(encoding="utf-8")
            for way_in in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "DOMParser"):
                assert way_in not in source, f"{file.name} uses {way_in}"


def test_openapi_describes_every_answer_and_its_examples_are_true(app: FastAPI) -> None:
    description = ask(app, "/openapi.json").json()
    assert set(description["paths"]) == {
        "/incidents", "/incidents/{incident_id}", "/incidents/{incident_id}.geojson", "/incidents/{incident_id}/clips",
        "/incidents/{incident_id}/clips/{node}/{boot}/{sequence}", "/nodes", "/health", "/meta",
        "/events", "/review/queue", "/review/reasons", "/incidents/{incident_id}/acknowledge",
        "/incidents/{incident_id}/decisions",
        "/incidents/{incident_id}/hearing",
        "/coverage", "/access", "/access/login", "/access/logout", "/audit", "/conformance",
        "/collections", "/collections/incidents", "/collections/incidents/items",
        "/collections/incidents/items/{incident_id}", "/scorecard", "/scorecard.csv", "/scorecard.html",
        "/scorecard/misses",
    }  # fmt: skip
    schemas = description["components"]["schemas"]
    for reference in _references(description):
        assert reference.removeprefix("#/components/schemas/") in schemas, reference
    for operations in description["paths"].values():
        assert set(operations) <= {"get", "post"}
        for operation in operations.values():
            assert "422" not in operation["responses"]
    content = description["paths"]["/incidents"]["get"]["responses"]["200"]["content"]
    example = content["application/json"]["example"]
    assert example["incidents"][0]["notice"] == ALERT_NOTICE
    msgspec.convert(example["incidents"][0], IncidentRecord)
    assert content["application/json"]["schema"] == {"$ref": "#/components/schemas/IncidentPage"}


def _references(value: Any) -> list[str]:
    if isinstance(value, dict):
        here = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
        return here + [found for item in value.values() for found in _references(item)]
    return [found for item in value for found in _references(item)] if isinstance(value, list) else []


_NAMES = st.sampled_from(["limit", "offset", "since", "until", "format", "x"])
_VALUES = st.one_of(
    st.text(max_size=40),
    st.integers().map(str),
    st.floats().map(str),
    st.datetimes().map(lambda moment: moment.isoformat() + "Z"),
    st.sampled_from(
        ["٢٠١٨-١٢-١٩T٠٠:٠٠:٠٠Z", "9999-12-31T23:59:59.999999999-23:59", "0001-01-01T00:00:00+23:59", "\x00"]
    ),
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    query=st.lists(st.tuples(_NAMES, _VALUES), max_size=4), accept=st.sampled_from(["", "*/*", "application/geo+json"])
)
def test_no_query_breaks_it(app: FastAPI, query: list[tuple[str, str]], accept: str) -> None:
    text = "&".join(f"{name}={quote(value)}" for name, value in query)
    answer = ask(app, f"/incidents?{text}", headers={"Accept": accept})
    assert answer.status_code in (200, 400)
    json.loads(answer.content)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(parts=st.lists(st.text(max_size=20), max_size=3))
def test_no_path_breaks_it(app: FastAPI, parts: list[str]) -> None:
    path = "/".join(quote(part, safe="") for part in parts)
    assert ask(app, f"/incidents/{path}").status_code in (200, 404)


def test_public_names() -> None:
    assert fusion_server.api.__all__ == [
        "AccessRules", "FeedFullError", "Gate", "LiveFeed", "Mode", "ScorecardRules", "announce_reminder", "create_app",
    ]  # fmt: skip
