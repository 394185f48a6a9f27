"""The page's desk over a real server with real accounts, as a person at the keyboard meets it."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from typing import Any

import httpx
from alert_samples import FRAME, health, node_statuses, registry
from argon2 import PasswordHasher
from chromium_pipe import Browser

from fusion_server.accounts import Accounts, CredentialKind
from fusion_server.api import AccessRules, Gate, LiveFeed, Mode, create_app
from fusion_server.casebook import Casebook
from fusion_server.history import History
from fusion_server.http_server import HttpServer
from fusion_server.review import Decision, ReviewRules
from fusion_server.roles import Role
from shotline.records import IncidentRecord

__all__ = ["PASSWORD", "ROWS", "Desk"]

PASSWORD = "a long walk home"
ROWS = (
    "[...document.querySelectorAll('#incidents li')].sort((a, b) => a.ariaPosInSet - b.ariaPosInSet)"
    ".map((row) => row.firstChild.dataset.incident)"
)
"""The incidents of the rows that exist, from the top."""

_QUICK = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


@dataclass
class Desk:
    """A server, its history, its accounts, and the browser that looks at it.

    Parameters
    ----------
    browser : Browser
    review : ReviewRules
    accounts : bool
        False: whoever reaches it may do everything.
    mode : Mode
    """

    browser: Browser
    review: ReviewRules = ReviewRules()  # noqa: RUF009 - frozen
    accounts: bool = True
    mode: Mode = Mode.LIVE
    history: History = field(init=False)

    def __post_init__(self) -> None:
        self.history, self.live = History.open("sqlite://"), LiveFeed()
        self.history.touch_nodes(node_statuses(time.time_ns()))
        self.casebook = Casebook(self.history.database)
        self.people = Accounts(self.history.database, hasher=_QUICK)
        rules = AccessRules(accounts=self.accounts)
        app = create_app(
            history=self.history,
            registry=registry(),
            frame=FRAME,
            health=health,
            live=self.live,
            mode=self.mode,
            heartbeat_s=0.2,
            gate=Gate(rules, self.casebook, accounts=self.people, now_ns=time.time_ns),
            review=self.review,
        )
        self.server = HttpServer(app, "127.0.0.1", 0)

    def close(self) -> None:
        """End the server, and leave the browser on an empty page."""
        self.browser.call("Page.navigate", url="about:blank")
        self.live.close()
        self.server.close()
        self.history.close()

    def member(self, name: str, role: Role = Role.DISPATCHER) -> None:
        """Add an account."""
        self.people.add(name, roles=[role], password=PASSWORD, time_ns=time.time_ns(), actor="shell:test")

    def add(self, *records: IncidentRecord, told: bool = True) -> None:
        """Commit, and publish as the server does."""
        for record in records:
            self.history.append_incident(record)
            if told:
                self.live.publish(record)

    def decisions(self, record: IncidentRecord) -> list[Decision]:
        """Return what people decided."""
        return list(self.casebook.decisions([record.id]).get(record.id, []))

    def say(self, person: str, record: IncidentRecord, *, outcome: str, reason: str) -> None:
        """Decide as somebody at another desk."""
        self.people.add(person, roles=[Role.REVIEWER], password=None, time_ns=time.time_ns(), actor="shell:test")
        token = self.people.issue(
            CredentialKind.TOKEN, person, name="desk", lifetime_ns=10**12, time_ns=time.time_ns(), actor="shell:test"
        )
        answer = httpx.post(
            f"{self.server.url}incidents/{record.id}/decisions",
            headers={"Authorization": f"Bearer {token}"},
            json={"revision": record.revision, "outcome": outcome, "reason": reason},
        )
        assert answer.status_code == 201, answer.text

    # --- the person at the keyboard ---------------------------------------------------------------------------------

    def open(self, *, dark: bool = False, path: str = "") -> None:
        """Go to the page, as a browser that was never there."""
        self.browser.call("Network.clearBrowserCookies")
        self.browser.problems.clear()
        self.browser.open(self.server.url + path, dark=dark)

    def sign_in(self, name: str, password: str = PASSWORD) -> None:
        """Fill in the sheet."""
        self.wait("document.getElementById('sign-in')?.open")
        self.browser.evaluate(
            f"""(() => {{ document.getElementById('sign-in-name').value = {json.dumps(name)};
            document.getElementById('sign-in-password').value = {json.dumps(password)};
            document.querySelector('#sign-in form').requestSubmit(); }})()"""
        )

    def enter(self, name: str = "ann", role: Role = Role.DISPATCHER) -> None:
        """Open the page and sign in, until it lives."""
        self.member(name, role)
        self.open()
        self.sign_in(name)
        self.wait("document.getElementById('connection').dataset.status == 'ok'")

    def wait(self, expression: str) -> Any:
        """Wait until the page says so."""
        return self.browser.wait_for(expression)

    def wait_selected(self, record: IncidentRecord) -> None:
        """Wait until an incident is on the desk, and its whole story was read."""
        self.wait(
            f"document.querySelector('#incidents [aria-current]')?.dataset.incident == '{record.id}'"
            " && document.querySelectorAll('.log').length >= 2"
        )

    def press(self, *keys: str) -> None:
        """Press keys one after the other."""
        for key in keys:
            self.browser.press(key)

    def type(self, text: str) -> None:
        """Type into what has the focus."""
        self.browser.call("Input.insertText", text=text)

    def click(self, selector: str) -> None:
        """Click with the mouse, in the middle of an element."""
        x, y = self.browser.evaluate(
            f"""(() => {{ const box = document.querySelector({json.dumps(selector)}).getBoundingClientRect();
            return [box.x + box.width / 2, box.y + box.height / 2]; }})()"""
        )
        for kind in ("mousePressed", "mouseReleased"):
            self.browser.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def text(self, selector: str) -> str:
        """Return the text of an element."""
        return str(self.browser.evaluate(f"document.querySelector({json.dumps(selector)}).textContent"))

    def shown(self, selector: str) -> bool:
        """Return whether an element is to be seen."""
        found = f"document.querySelector({json.dumps(selector)})"
        return bool(self.browser.evaluate(f"{found}?.checkVisibility() ?? false"))

    def listed(self) -> list[str]:
        """Return the incidents of the rows that exist, from the top."""
        return list(self.browser.evaluate(ROWS))
