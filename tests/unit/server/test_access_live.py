"""The whole server with accounts, asked over real HTTP, as a browser behind a proxy would."""

from __future__ import annotations

import http.client
import json
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from test_server_app import Running, Wall, config, running, shot

from fusion_server.accounts import Accounts, CredentialKind

PASSWORD = "a long walk home"
ACCOUNTS = '[access]\nmode = "accounts"\n[review]\ntwo_persons = true\n'


@pytest.fixture
def wall() -> Wall:
    return Wall()


class Page:
    """A browser's page, with its cookie."""

    def __init__(self, server: Running) -> None:
        parts = urlsplit(server.app.http_url or "")
        self._address = (parts.hostname or "", parts.port)
        self.cookie = ""

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any, str]:
        """Return status, JSON and the cookie that was set."""
        connection = http.client.HTTPConnection(*self._address, timeout=10)
        sent = {"X-Shotline-Request": "1", "Cookie": self.cookie} | {
            name.replace("_", "-"): value for name, value in headers.items()
        }
        connection.request(method, path, None if body is None else json.dumps(body), sent)
        answer = connection.getresponse()
        found = answer.status, json.loads(answer.read()), answer.getheader("set-cookie") or ""
        connection.close()
        return found

    def login(self, name: str, **headers: str) -> str:
        """Sign in; return what was said about the cookie."""
        status, _, cookie = self.ask("POST", "/access/login", {"name": name, "password": PASSWORD}, **headers)
        assert status == 200
        self.cookie = cookie.split(";")[0]
        return cookie


def test_two_people_confirm_a_shot(tmp_path: Path, wall: Wall) -> None:
    settings = config(tmp_path, ACCOUNTS)
    served = settings.model_copy(update={"http": settings.http.model_copy(update={"enabled": True})})
    with running(served, wall) as server:
        accounts = Accounts(server.app.history.database)
        for name in ("ann", "bo"):
            accounts.add(name, roles=["dispatcher"], password=PASSWORD, time_ns=wall(), actor="shell:test")
        server.send(shot())
        server.pass_time(4.0)
        ann, bo = Page(server), Page(server)
        assert ann.ask("GET", "/review/queue")[0] == 401
        assert "Secure" not in ann.login("ann")
        _, queue, _ = ann.ask("GET", "/review/queue")
        (item,) = queue["items"]
        path, revision = f"/incidents/{item['incident']['id']}", item["incident"]["revision"]
        assert ann.ask("POST", f"{path}/acknowledge")[0] == 200
        decision = {"revision": revision, "outcome": "confirmed", "reason": "casings"}
        assert ann.ask("POST", f"{path}/decisions", decision)[1]["waits_for_second"]["person"] == "ann"
        bo.login("bo")
        status, review, _ = bo.ask("POST", f"{path}/decisions", decision)
        assert (status, review["outcome"], review["open"]) == (201, "confirmed", False)
        assert ann.ask("GET", "/review/queue")[1]["total"] == 0


def test_what_a_proxy_on_this_machine_says_is_believed(tmp_path: Path, wall: Wall) -> None:
    settings = config(tmp_path, ACCOUNTS)
    served = settings.model_copy(update={"http": settings.http.model_copy(update={"enabled": True})})
    with running(served, wall) as server:
        accounts = Accounts(server.app.history.database)
        accounts.add("ann", roles=["dispatcher"], password=PASSWORD, time_ns=wall(), actor="shell:test")
        page = Page(server)
        plain = page.ask("POST", "/access/login", {"name": "ann", "password": PASSWORD}, X_Forwarded_For="192.0.2.9")
        assert plain[0] == 403
        assert "use https" in plain[1]["detail"]
        assert "Secure" in page.login("ann", X_Forwarded_For="192.0.2.9", X_Forwarded_Proto="https")
        assert len(accounts.credentials(CredentialKind.SESSION, "ann")) == 1
