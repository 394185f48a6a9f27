"""Text to people through apprise, e-mail through a real SMTP server on loopback."""

from __future__ import annotations

import email
import email.policy
import importlib.util
import queue
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from alert_samples import incident

from fusion_server.dispatch import Alert, DeliveryError, NotifySink
from shotline.errors import InputError

pytest.importorskip("apprise", reason="apprise is not installed")

# apprise asks for a module of the standard library that newer Pythons do not have.
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")


def _file(folder: Path, text: str) -> Path:
    path = folder / "address"
    path.touch(mode=0o600)
    path.write_text(text)
    return path


@contextmanager
def _smtp_server() -> Iterator[tuple[int, queue.Queue[bytes]]]:
    controllers: Any = pytest.importorskip("aiosmtpd.controller", reason="aiosmtpd is not installed")
    mails: queue.Queue[bytes] = queue.Queue()

    class Handler:
        async def handle_DATA(self, _server: object, _session: object, envelope: Any) -> str:  # noqa: N802
            mails.put(envelope.content)
            return "250 Message accepted for delivery"

    controller = controllers.UnthreadedController(Handler(), hostname="127.0.0.1", port=0)
    thread = threading.Thread(target=controller.loop.run_forever, daemon=True)
    controller.begin()
    thread.start()
    try:
        yield controller.server.sockets[0].getsockname()[1], mails
    finally:
        controller.loop.call_soon_threadsafe(controller.loop.stop)
        thread.join(10.0)
        controller.end()
        controller.loop.close()


def test_an_email_arrives(tmp_path: Path) -> None:
    record = incident(7, revision=2, rounds=3)
    with _smtp_server() as (port, mails):
        address = f"mailto://127.0.0.1:{port}?from=shots@example.org&to=desk@example.org&mode=insecure&format=text"
        NotifySink(_file(tmp_path, address)).send(Alert(record, test=True))
        mail = email.message_from_bytes(mails.get(timeout=10.0), policy=email.policy.default)
    assert mail["Subject"] == "TEST Gunfire, 3 rounds: revised, revision 2"
    assert "desk@example.org" in mail["To"]
    body = mail.get_body(("plain",))
    assert body is not None
    text = body.get_content()
    assert f"{record.lat_deg:.7f}, {record.lon_deg:.7f}" in text
    assert "2018-12-19T00:56:28.543Z" in text
    assert "Not by itself grounds for a stop, search or arrest." in text


def test_lines_stay_lines_in_an_email_of_html(tmp_path: Path) -> None:
    with _smtp_server() as (port, mails):
        address = f"mailto://127.0.0.1:{port}?from=shots@example.org&to=desk@example.org&mode=insecure&format=html"
        NotifySink(_file(tmp_path, address)).send(Alert(incident(7)))
        mail = email.message_from_bytes(mails.get(timeout=10.0), policy=email.policy.default)
    body = mail.get_body(("html",))
    assert body is not None
    assert re.search(r"Z<br\s*/?>\s*Place:", body.get_content())


def test_nobody_takes_it(tmp_path: Path) -> None:
    with _smtp_server() as (port, _):
        pass
    address = f"mailto://127.0.0.1:{port}?from=shots@example.org&to=desk@example.org&mode=insecure"
    with pytest.raises(DeliveryError, match="did not take the text") as caught:
        NotifySink(_file(tmp_path, address)).send(Alert(incident()))
    assert caught.value.retryable


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("hunter2", "apprise does not know such an address"),
        ("json://a json://hunter2", "more than one address; give each its own sink"),
        ("", "the file is empty, expected the address"),
    ],
)
def test_addresses_that_are_refused(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        NotifySink(_file(tmp_path, text))
    assert "hunter2" not in str(caught.value)


def test_without_apprise_it_says_what_installs_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(
        InputError, match=r"needs 'apprise', which is not installed; run: pip install 'shotline\[outputs\]'"
    ):
        NotifySink(_file(tmp_path, "json://a"))
