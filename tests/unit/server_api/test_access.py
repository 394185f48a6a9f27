"""Who gets in, what each role may do, what no role sees, what is noted."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import jwt
import pytest
from access_bench import FROM_THE_PAGE, PASSWORD, Bench
from alert_samples import SITES, incident, node_statuses
from api_client import NOW_NS, ask, sample_app
from cryptography.hazmat.primitives.asymmetric import ec
from fastapi.routing import APIRoute

from fusion_server.admission import RateLimit
from fusion_server.api import AccessRules, Gate
from fusion_server.api.access import ROUTE_RIGHTS
from fusion_server.casebook import Casebook
from fusion_server.history import History
from fusion_server.oidc import OidcRules, OidcVerifier
from fusion_server.roles import RIGHTS, Right, Role
from shotline.auditchain import verify_chain

ANYBODY = {"/", "/meta", "/health", "/access", "/access/login", "/access/logout"}
FILL = {"incident_id": incident(1).id, "node": "roof-01", "boot": "5f", "sequence": "1"}


@pytest.fixture
def bench(history: History) -> Bench:
    for number in range(1, 4):
        history.append_incident(incident(number))
    history.touch_nodes(node_statuses(NOW_NS))
    return Bench(history)


def detail(answer: Any, status: int) -> str:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    return str(answer.json()["detail"])


def routes(bench: Bench) -> list[tuple[str, str]]:
    """Return method and path of every route but the page's: what the description knows, and the numbers."""
    description = bench.ask("/openapi.json").json()
    described = [(method.upper(), path) for path, item in description["paths"].items() for method in item]
    return [*described, ("GET", "/metrics")]


# --- roles ----------------------------------------------------------------------------------------------------------


def test_every_route_is_in_the_table_of_rights(bench: Bench) -> None:
    assert {f"{method} {path}" for method, path in routes(bench)} | {"GET /"} == set(ROUTE_RIGHTS)


def test_nobody_gets_past_the_door(bench: Bench) -> None:
    for method, path in routes(bench):
        if path not in ANYBODY:
            answer = bench.ask(path.format(**FILL), method=method, headers=FROM_THE_PAGE)
            assert "nobody is signed in" in detail(answer, 401), path
            assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("role", list(Role))
def test_each_role_may_do_what_its_rights_say(bench: Bench, role: Role) -> None:
    for method, path in routes(bench):
        if path == "/events":
            continue  # a stream; see below
        right = ROUTE_RIGHTS[f"{method} {path}"]
        answer = bench.ask(path.format(**FILL), method=method, role=role.value, headers=FROM_THE_PAGE)
        allowed = right is None or right in RIGHTS[role]
        assert (answer.status_code != 403) is allowed, (role, path, answer.text)
        assert answer.status_code != 401 or path == "/access/login"


def test_a_route_that_is_in_no_table_is_the_engineers(bench: Bench) -> None:
    @bench.app.get("/something-new")
    def new() -> dict[str, bool]:
        return {"seen": True}

    assert bench.ask("/something-new").status_code == 401
    for role in Role:
        assert bench.ask("/something-new", role=role.value).status_code == (200 if role is Role.ENGINEER else 403)


def test_the_page_is_anybodys(bench: Bench) -> None:
    assert bench.ask("/").status_code == 200
    assert bench.ask("/console/app.js").status_code == 200
    assert bench.ask("/openapi.json").status_code == 200


def test_nobody_learns_of_health_only_whether_it_is_well(bench: Bench) -> None:
    assert bench.ask("/health").json()["checks"] == []
    assert bench.ask("/health", role="public").json()["checks"] == []
    assert bench.ask("/health").json()["status"] == "ok"
    assert len(bench.ask("/health", role="dispatcher").json()["checks"]) == 2


def test_who_asks(bench: Bench, history: History) -> None:
    assert bench.ask("/access").json() == {"mode": "accounts", "name": None, "roles": [], "rights": []}
    auditor = bench.ask("/access", role="auditor").json()
    assert (auditor["name"], auditor["roles"]) == ("auditor", ["auditor"])
    assert "audit" in auditor["rights"]
    local = ask(sample_app(history), "/access").json()
    assert (local["mode"], local["name"], len(local["rights"])) == ("open", "local", len(Right))


# --- where sensors are --------------------------------------------------------------------------------------------


def test_a_dispatcher_does_not_learn_where_sensors_are(bench: Bench) -> None:
    nodes = {node["node"]: node for node in bench.ask("/nodes", role="dispatcher").json()["nodes"]}
    exact = {node["node"]: node for node in bench.ask("/nodes", role="reviewer").json()["nodes"]}
    for site in SITES:
        assert exact[site.node]["x_m"] == site.x_m
        assert exact[site.node]["z_m"] == site.z_m
        assert nodes[site.node]["x_m"] == round(site.x_m / 100) * 100
        assert nodes[site.node]["z_m"] is None
        assert nodes[site.node]["sigma_m"] is None
        assert round(nodes[site.node]["lat_deg"], 3) == nodes[site.node]["lat_deg"]


def test_times_of_arrival_would_tell_it_too(bench: Bench) -> None:
    path = f"/incidents/{FILL['incident_id']}"
    coarse = bench.ask(path, role="dispatcher").json()["incident"]["shots"][0]
    exact = bench.ask(path, role="analyst").json()["incident"]["shots"][0]
    assert len(coarse["arrivals"]) == len(exact["arrivals"]) > 3
    assert {arrival["time_utc"] for arrival in coarse["arrivals"]} == {coarse["time_utc"][:16] + ":00Z"}
    assert len({arrival["time_utc"] for arrival in exact["arrivals"]}) == len(exact["arrivals"])
    names = [arrival["detection"] for arrival in coarse["arrivals"]]
    assert names == sorted(names) != [arrival["detection"] for arrival in exact["arrivals"]]
    assert {item["residual_s"] for item in coarse["arrivals"]} == {item["residual_s"] for item in exact["arrivals"]}


@pytest.mark.parametrize(
    "path", ["/incidents", "/review/queue", "/nodes", "/nodes?format=geojson", "/incidents/{incident_id}.geojson"]
)
def test_no_answer_to_a_dispatcher_has_what_only_others_know(bench: Bench, path: str) -> None:
    def told(role: str) -> str:
        return bench.ask(path.format(**FILL), role=role).text

    secrets = set(re.findall(r"\d\d:\d\d:\d\d\.\d{9}Z", told("analyst")))  # arrivals have nanoseconds
    frame_digits = {f"{value:.5f}" for value in re_floats(bench.ask("/nodes", role="analyst").text)}
    assert secrets or "nodes" in path or "geojson" in path
    assert not [text for text in secrets if text in told("dispatcher")]
    assert not frame_digits & {f"{value:.5f}" for value in re_floats(told("dispatcher"))}


def re_floats(text: str) -> list[float]:
    """Return degrees with more than three digits of the nodes in a text, but not those of the incidents."""
    document = json.loads(text)
    nodes = document.get("nodes") or [
        feature["properties"] for feature in document.get("features", []) if feature["properties"]["role"] == "node"
    ]
    return [node[name] for node in nodes for name in ("lat_deg", "lon_deg") if round(node[name], 3) != node[name]]


def test_the_event_stream_is_gated_like_the_rest(bench: Bench) -> None:
    record = incident(9)

    async def first_incident(role: str) -> str:
        subscription, _ = bench.live.subscribe(coarse=role == "dispatcher")
        bench.history.append_incident(record)
        bench.live.publish(record)
        events = await subscription.next(5.0)
        return b"".join(events or []).decode()

    assert "00Z" in asyncio.run(first_incident("dispatcher"))
    resumed = asyncio.run(resume(bench, "dispatcher"))
    arrivals = {item.time_utc for shot in record.shots for item in shot.arrivals}
    assert not [time_utc for time_utc in arrivals if time_utc in resumed]
    assert [time_utc for time_utc in arrivals if time_utc in asyncio.run(resume(bench, "reviewer"))]


async def resume(bench: Bench, role: str) -> str:
    """Return what a stream says to who comes back after the incident before."""
    messages: list[dict[str, Any]] = []
    told = asyncio.Event()

    async def send(message: dict[str, Any]) -> None:
        messages.append(message)
        if b"event: incident" in message.get("body", b""):
            told.set()

    async def receive() -> dict[str, Any]:
        await told.wait()
        return {"type": "http.disconnect"}

    headers = [
        (b"authorization", f"Bearer {bench.tokens[role]}".encode()),
        (b"last-event-id", f"{incident(3).id}/1".encode()),
    ]
    scope = {
        "type": "http", "method": "GET", "path": "/events", "raw_path": b"/events", "query_string": b"",
        "headers": headers, "server": ("shotline.test", 80), "client": ("127.0.0.1", 5), "scheme": "http",
        "http_version": "1.1", "root_path": "", "asgi": {"version": "3.0"},
    }  # fmt: skip
    await asyncio.wait_for(bench.app(scope, receive, send), 30)
    return b"".join(message.get("body", b"") for message in messages).decode()


def test_a_stream_ends_with_the_token_that_opened_it(bench: Bench) -> None:
    async def stream() -> tuple[int, bytes]:
        messages: list[dict[str, Any]] = []

        async def send(message: dict[str, Any]) -> None:
            messages.append(message)
            if message.get("body"):
                bench.accounts.revoke_secret(bench.tokens["analyst"], time_ns=NOW_NS)
                bench.clock.now_ns += 10**9

        async def receive() -> dict[str, Any]:
            await asyncio.Event().wait()
            raise AssertionError

        scope = {
            "type": "http", "method": "GET", "path": "/events", "raw_path": b"/events", "query_string": b"",
            "headers": [(b"authorization", f"Bearer {bench.tokens['analyst']}".encode())],
            "server": ("shotline.test", 80), "client": ("127.0.0.1", 5), "scheme": "http",
            "http_version": "1.1", "root_path": "", "asgi": {"version": "3.0"},
        }  # fmt: skip
        await asyncio.wait_for(bench.app(scope, receive, send), 30)
        return messages[0]["status"], messages[-1].get("body", b"")

    assert asyncio.run(stream()) == (200, b"")
    assert bench.live.streams == 0


# --- getting in -----------------------------------------------------------------------------------------------------


def test_a_session(bench: Bench) -> None:
    answer = bench.login("reviewer")
    assert answer.status_code == 200, answer.text
    assert answer.json()["name"] == "reviewer"
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert "Max-Age=43200" in cookie
    assert "Secure" not in cookie
    session = {"Cookie": cookie.split(";")[0]}
    assert bench.ask("/incidents", headers=session).status_code == 200
    assert bench.ask("/access", headers=session).json()["name"] == "reviewer"
    path = f"/incidents/{FILL['incident_id']}/acknowledge"
    assert "X-Shotline-Request" in detail(bench.ask(path, method="POST", headers=session), 403)
    assert bench.ask(path, method="POST", headers=session | FROM_THE_PAGE).status_code == 200
    assert bench.ask("/access/logout", method="POST", headers=session | FROM_THE_PAGE).json()["name"] is None
    assert bench.ask("/incidents", headers=session).status_code == 401
    assert bench.noted("session_issue") == [("reviewer", "reviewer")]
    assert bench.noted("logout") == [("reviewer", "reviewer")]


def test_a_session_ends_by_itself(bench: Bench) -> None:
    session = {"Cookie": bench.login("reviewer").headers["set-cookie"].split(";")[0]}
    bench.clock.now_ns += 12 * 3600 * 10**9 - 1
    assert bench.ask("/incidents", headers=session).status_code == 200
    bench.clock.now_ns += 1
    assert bench.ask("/incidents", headers=session).status_code == 401
    assert bench.ask("/access", headers=session).json()["name"] is None, "an old cookie keeps nobody from the page"


def test_no_other_page_signs_anybody_in(bench: Bench) -> None:
    body = {"name": "reviewer", "password": PASSWORD}
    for cookie in ({}, {"Cookie": "shotline_session=old"}):
        answer = bench.ask("/access/login", method="POST", json=body, headers=cookie)
        assert "X-Shotline-Request" in detail(answer, 403)


def test_under_tls_the_cookie_is_for_tls(bench: Bench) -> None:
    answer = bench.login("reviewer", base_url="https://shots.example.org", address="192.0.2.7")
    assert "Secure" in answer.headers["set-cookie"]


def test_no_password_over_plain_http(bench: Bench, history: History) -> None:
    assert "use https" in detail(bench.login("reviewer", address="192.0.2.7"), 403)
    trusting = Gate(
        AccessRules(accounts=True, plain_http=True), bench.casebook, accounts=bench.accounts, now_ns=bench.clock
    )
    app = sample_app(history, gate=trusting)
    body = {"name": "reviewer", "password": PASSWORD}
    answer = ask(app, "/access/login", method="POST", headers=FROM_THE_PAGE, json=body, address="192.0.2.7")
    assert answer.status_code == 200


def test_a_wrong_password_is_refused_and_noted_once(bench: Bench) -> None:
    for _ in range(3):
        assert "no account has this name and password" in detail(bench.login("reviewer", "wrong"), 401)
    assert bench.login("hunter2 which is a password", "x").status_code == 401
    assert bench.noted("refused") == [("nobody", "reviewer"), ("nobody", "login")]
    assert "hunter2" not in str(list(bench.casebook.audit()))


def test_tries_are_few_for_one_account(bench: Bench) -> None:
    for number in range(5):
        assert bench.login("reviewer", "wrong", address="127.0.0.1" if number % 2 else "127.0.0.2").status_code == 401
    answer = bench.login("reviewer", address="127.0.0.3")
    assert "too many tries" in detail(answer, 429)
    assert answer.headers["retry-after"] == "30"
    assert bench.login("auditor", address="127.0.0.3").status_code == 200, "others get in"
    bench.clock.now_ns += 30 * 10**9
    assert bench.login("reviewer").status_code == 200


def test_tries_are_few_from_one_address(bench: Bench) -> None:
    answers = [bench.login(f"name{number}", "wrong").status_code for number in range(11)]
    assert answers == [401] * 10 + [429]
    assert bench.login("reviewer", address="127.0.0.2").status_code == 200


@pytest.mark.parametrize(
    ("headers", "words"),
    [
        ({"Authorization": "Bearer shotline_nothing"}, "unknown, expired or revoked"),
        ({"Authorization": "Bearer a.b.c"}, "unknown, expired or revoked"),
        ({"Authorization": "Basic YTpi"}, "unknown, expired or revoked"),
        ({"Authorization": "Bearer"}, "unknown, expired or revoked"),
    ],
)
def test_a_token_that_lets_nobody_in(bench: Bench, headers: dict[str, str], words: str) -> None:
    answer = bench.ask("/meta", headers=headers)
    assert words in detail(answer, 401)
    assert answer.headers["www-authenticate"] == 'Bearer error="invalid_token"'
    assert bench.noted("refused") == [("nobody", "bearer token")]


def test_a_session_is_no_token_and_a_token_no_session(bench: Bench) -> None:
    session = bench.login("reviewer").headers["set-cookie"].split(";")[0].partition("=")[2]
    assert bench.ask("/incidents", headers={"Authorization": f"Bearer {session}"}).status_code == 401
    assert (
        bench.ask("/incidents", headers={"Cookie": f"shotline_session={bench.tokens['reviewer']}"}).status_code == 401
    )


def test_an_identity_providers_token(history: History, tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    public = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(key.public_key()))
    (tmp_path / "jwks.json").write_text(json.dumps({"keys": [public | {"kid": "k"}]}))
    verifier = OidcVerifier(OidcRules(issuer="https://id.example.org", audience="shotline"), tmp_path / "jwks.json")
    bench = Bench(history, oidc=verifier)
    history.append_incident(incident(1))
    claims = {
        "iss": "https://id.example.org", "aud": "shotline", "sub": "ann", "exp": NOW_NS // 10**9 + 60,
        "roles": ["reviewer"],
    }  # fmt: skip
    headers = {"Authorization": f"Bearer {jwt.encode(claims, key, algorithm='ES256', headers={'kid': 'k'})}"}
    assert bench.ask("/access", headers=headers).json()["name"] == "oidc:ann"
    body = {"revision": 1, "outcome": "dismissed", "reason": "fireworks"}
    path = f"/incidents/{incident(1).id}/decisions"
    decided = bench.ask(path, method="POST", headers=headers, json=body)
    assert decided.json()["decisions"][0]["person"] == "oidc:ann"
    bench.clock.now_ns += 120 * 10**9
    assert "expired" in detail(bench.ask("/access", headers=headers), 401)
    assert bench.ask("/incidents", role="reviewer").status_code == 200, "our own tokens are taken beside it"


def test_too_many_requests(history: History) -> None:
    bench = Bench(history, rules=AccessRules(accounts=True, rate=RateLimit(1.0, 3)))
    assert [bench.ask("/meta", role="analyst").status_code for _ in range(4)] == [200, 200, 200, 429]
    assert bench.ask("/meta", role="auditor").status_code == 200, "another account"
    assert [bench.ask("/meta").status_code for _ in range(4)] == [200, 200, 200, 429]
    assert bench.ask("/meta", address="127.0.0.9").status_code == 200, "another address"
    bench.clock.now_ns += 10**9
    answer = [bench.ask("/meta", role="analyst") for _ in range(2)]
    assert answer[0].status_code == 200
    assert "more than 3 requests at once and 1 a second" in detail(answer[1], 429)


# --- without accounts -----------------------------------------------------------------------------------------------


def test_without_accounts_only_a_page_of_this_machine_changes_anything(history: History) -> None:
    history.append_incident(incident(1))
    app, path = sample_app(history), f"/incidents/{incident(1).id}/acknowledge"
    here = "http://127.0.0.1:8080"
    assert "X-Shotline-Request" in detail(ask(app, path, method="POST", base_url=here), 403)
    elsewhere = ask(app, path, method="POST", headers=FROM_THE_PAGE, base_url="http://rebound.example.org")
    assert "'rebound.example.org' is no address of this machine" in detail(elsewhere, 403)
    for read in ("/incidents", "/", "/meta"):
        assert "no address of this machine" in detail(ask(app, read, base_url="http://127.0.0.1.example.org"), 403)
    for base_url in (here, "http://localhost:8080", "http://[::1]:8080"):
        assert ask(app, path, method="POST", headers=FROM_THE_PAGE, base_url=base_url).status_code == 200
    assert Casebook(history.database).acknowledgements()[incident(1).id][0].person == "local"
    answer = ask(app, "/access/login", method="POST", headers=FROM_THE_PAGE, json={}, base_url=here)
    assert "has no accounts" in detail(answer, 409)


# --- the audit log ----------------------------------------------------------------------------------------------------


def test_views_are_noted_once_in_ten_minutes(bench: Bench) -> None:
    path = f"/incidents/{FILL['incident_id']}"
    for _ in range(3):
        bench.ask(path, role="reviewer")
        bench.ask(path, role="auditor")
    assert bench.noted("view_incident") == [("reviewer", FILL["incident_id"]), ("auditor", FILL["incident_id"])]
    bench.clock.now_ns += 600 * 10**9
    bench.ask(f"{path}.geojson", role="reviewer")
    assert len(bench.noted("view_incident")) == 3


def test_what_may_not_be_done_is_noted(bench: Bench) -> None:
    for _ in range(2):
        bench.ask("/audit", role="engineer")
    assert bench.noted("refused") == [("engineer", "/audit")]


def test_refusals_do_not_fill_the_log(bench: Bench) -> None:
    for number in range(300):
        bench.ask("/meta", headers={"Authorization": "Bearer x"}, address=f"192.0.2.{number % 250}.{number}")
    assert len(bench.noted("refused")) == 100


def test_the_audit_log_in_pages(bench: Bench) -> None:
    count = sum(1 for _ in bench.casebook.audit()) + 1  # and this view
    path, entries = "/audit?limit=4", []
    while path:
        page = bench.ask(path, role="auditor").json()
        entries += page["entries"]
        path = page["next"]
    assert [entry["number"] for entry in entries] == list(range(1, count + 1))
    assert entries[-1]["action"] == "view_audit"
    about = bench.ask("/audit?subject=reviewer", role="auditor").json()["entries"]
    assert {entry["subject"] for entry in about} == {"reviewer"}
    assert verify_chain(bench.casebook.audit()) == []
    assert "unknown parameter" in detail(bench.ask("/audit?x=1", role="auditor"), 400)


def test_routes_of_the_app_are_what_the_description_says(bench: Bench) -> None:
    described = {path for _, path in routes(bench)}
    hidden = {route.path for route in bench.app.routes if isinstance(route, APIRoute) and route.path not in described}
    assert all(path == "/" or path.startswith("/console/") for path in hidden), hidden
