"""Alerts that nobody took on are told again, until somebody does."""

from __future__ import annotations

from pathlib import Path

import pytest
from test_server_app import Running, Wall, config, running, shot

from fusion_server.casebook import Casebook
from fusion_server.reminders import Reminders


@pytest.fixture
def wall(monkeypatch: pytest.MonkeyPatch) -> Wall:
    # The server's own thread does not take what this test asks for.
    monkeypatch.setattr("fusion_server.app._REMIND_EVERY_S", 3_600.0)
    return Wall()


def test_each_number_is_told_once() -> None:
    reminders = Reminders()
    assert reminders.take([("a", 1), ("b", 2)]) == [("a", 1), ("b", 2)]
    assert reminders.take([("a", 1), ("b", 2)]) == []
    assert reminders.take([("a", 2), ("b", 2)]) == [("a", 2)]
    assert reminders.take([("b", 3)]) == [("b", 3)]
    assert reminders.take([]) == []


def test_in_a_flood_the_worst_are_told_and_the_rest_follow() -> None:
    reminders = Reminders(most_at_once=2)
    due = [(f"i{number}", 1) for number in range(5)]
    assert reminders.take(due) == due[:2]
    assert reminders.take(due) == []
    assert reminders.take(due[1:]) == [due[2]], "somebody took the first one on: the next is told"


def test_until_somebody_takes_it_on(tmp_path: Path, wall: Wall) -> None:
    with running(config(tmp_path, "[review]\nremind_sinks = true\nacknowledge_within_s = 20.0\n"), wall) as server:
        server.send(shot())
        server.pass_time(4.0)
        (record,) = server.app.history.incidents()
        assert server.app.remind() == 0, "it was told a moment ago"
        server.pass_time(20.0)
        assert server.app.remind() == 1
        assert server.app.remind() == 0
        server.pass_time(20.0)
        assert server.app.remind() == 1
        Casebook(server.app.history.database).acknowledge(record.id, person="ann", time_ns=wall.now_ns)
        server.pass_time(20.0)
        assert server.app.remind() == 0
        assert told(server) == ["reminder 1 delivered", "reminder 2 delivered"]
        assert server.alerts.getvalue().count("REMINDER") == 2


def test_sinks_are_reminded_only_when_asked_for(tmp_path: Path, wall: Wall) -> None:
    with running(config(tmp_path), wall) as server:
        server.send(shot())
        server.pass_time(100.0)
        assert server.app.remind() == 0
        assert told(server) == []


def told(server: Running) -> list[str]:
    """Return the receipts of reminders, once every sink has done its part."""
    server.app.close()
    from fusion_server.history import History

    with History.open(server.app.history.name.removeprefix("sqlite:///")) as history:
        details = [receipt.detail for record in history.incidents() for receipt in history.receipts(record.id)]
    return [detail for detail in details if detail.startswith("reminder")]
