"""Every operation of the description, with what schemathesis makes up: no 5xx, and answers as described."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
import requests
import schemathesis
from access_bench import FROM_THE_PAGE, Bench
from alert_samples import incident, node_statuses
from api_client import NOW_NS
from fastapi import FastAPI
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from fusion_server.admission import RateLimit
from fusion_server.api import AccessRules
from fusion_server.history import History
from fusion_server.roles import Role

EXAMPLES = 12
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
OPERATIONS = [
    "GET /incidents",
    "GET /incidents/{incident_id}",
    "GET /incidents/{incident_id}.geojson",
    "GET /incidents/{incident_id}/hearing",
    "GET /incidents/{incident_id}/clips",
    "GET /incidents/{incident_id}/clips/{node}/{boot}/{sequence}",
    "POST /incidents/{incident_id}/acknowledge",
    "POST /incidents/{incident_id}/decisions",
    "GET /review/queue",
    "GET /review/reasons",
    "GET /scorecard",
    "GET /scorecard.csv",
    "GET /scorecard.html",
    "GET /scorecard/misses",
    "POST /scorecard/misses",
    "GET /nodes",
    "GET /coverage",
    "GET /health",
    "GET /meta",
    "GET /access",
    "POST /access/login",
    "POST /access/logout",
    "GET /audit",
    "GET /conformance",
    "GET /collections",
    "GET /collections/incidents",
    "GET /collections/incidents/items",
    "GET /collections/incidents/items/{incident_id}",
]
NOT_FUZZED = {"GET /events"}  # it does not end; see test_events.py


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    with History.open("sqlite://") as history:
        for number in range(1, 4):
            history.append_incident(incident(number))
        history.append_incident(incident(3, revision=2))
        history.touch_nodes(node_statuses(NOW_NS))
        made = Bench(history, rules=AccessRules(accounts=True, rate=RateLimit(1e6, 1_000_000), plain_http=True))
        made.tokens["everybody"] = made.member("everybody", *Role)
        yield made


def operations(app: FastAPI) -> dict[str, schemathesis.APIOperation]:
    schema = schemathesis.openapi.from_asgi("/openapi.json", app)
    return {result.ok().label: result.ok() for result in schema.get_all_operations()}


def test_a_server_error_and_an_answer_that_is_not_described_are_found(bench: Bench) -> None:
    operation = operations(bench.app)["GET /meta"]
    case = operation.Case()
    for status, body in ((500, {}), (200, {"software": 7}), (418, {})):
        answer = requests.Response()
        answer.status_code = status
        answer.headers["content-type"] = "application/json"
        answer._content = json.dumps(body).encode()
        answer.request = requests.Request("GET", "http://shotline.test/meta").prepare()
        with pytest.raises(FailureGroup):
            case.validate_response(answer, checks=CHECKS)


def test_every_operation_is_fuzzed(bench: Bench) -> None:
    assert set(operations(bench.app)) == {*OPERATIONS, *NOT_FUZZED}


@pytest.mark.parametrize("label", OPERATIONS)
def test_whatever_is_sent_is_answered_as_described(bench: Bench, label: str) -> None:
    operation = operations(bench.app)[label]
    ids = st.one_of(st.none(), st.sampled_from([incident(1).id, incident(3).id]))
    bodies = st.sampled_from([{}, {"revision": 1, "outcome": "confirmed", "reason": "casings"}])

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(), there=ids, body=bodies, token=st.integers(0, 9))
    def ask(case: schemathesis.Case, there: str | None, body: dict[str, object], token: int) -> None:
        # Made-up ids and reasons are all unknown; put in some that are not, or nothing behind them is reached.
        if there is not None and "incident_id" in (case.path_parameters or {}):
            case.path_parameters["incident_id"] = there
        if label.endswith("/decisions") and isinstance(case.body, dict):
            case.body = case.body | body
        bearer = {"Authorization": f"Bearer {bench.tokens['everybody']}"} if token else {}
        case.headers.update(bearer | FROM_THE_PAGE)
        case.call_and_validate(checks=CHECKS)

    ask()
