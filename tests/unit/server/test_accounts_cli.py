"""``shotline accounts``, on a real database."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from fusion_server.accounts import Accounts, CredentialKind
from fusion_server.accounts_cli import app
from fusion_server.casebook import Casebook
from fusion_server.database import Database
from fusion_server.roles import Role
from shotline.errors import InputError

PASSWORD = "a long walk home"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "server.toml"
    path.write_text('[access]\nmode = "accounts"\n')
    return path


def shell(config: Path, *words: str, given: str = "", fails: bool = False) -> str:
    result: Result = CliRunner().invoke(app, [*words, "-c", str(config)], input=given)
    if fails:
        assert isinstance(result.exception, InputError), result.output
        return str(result.exception)
    assert result.exit_code == 0, (result.output, result.exception)
    return result.output.strip()


def add(config: Path, name: str = "ann", role: str = "reviewer") -> str:
    return shell(config, "add", name, "--role", role, "--password-stdin", given=f"{PASSWORD}\n")


def test_an_account_from_first_to_last(config: Path, tmp_path: Path) -> None:
    assert "there is no account yet" in shell(config, "list")
    assert add(config) == "account 'ann' has the roles reviewer"
    assert shell(config, "roles", "ann", "-r", "auditor", "-r", "analyst") == (
        "account 'ann' has the roles analyst, auditor"
    )
    shell(config, "password", "ann", "--password-stdin", given="quite another one\n")
    with closing(Database.open(tmp_path / "shotline.db")) as database:
        found = Accounts(database).check_password("ann", "quite another one")
        assert found is not None
        assert found.roles == {Role.ANALYST, Role.AUDITOR}
        actors = {entry.actor for entry in Casebook(database).audit()}
    assert len(actors) == 1
    assert actors.pop().startswith("shell:")
    assert shell(config, "list") == f"{'password':<8}  {'ann':<24}  analyst, auditor"
    shell(config, "disable", "ann")
    assert shell(config, "list").startswith("disabled  ann")
    shell(config, "enable", "ann")
    rows = json.loads(shell(config, "list", "--json"))["accounts"]
    assert [(row["name"], row["disabled"], row["password"]) for row in rows] == [("ann", False, True)]


def test_a_machine_and_its_token(config: Path, tmp_path: Path) -> None:
    shell(config, "add", "board", "--role", "dispatcher", "--no-password")
    assert shell(config, "list").startswith("tokens    board")
    secret = shell(config, "token", "new", "board", "hall", "--days", "1")
    assert secret.startswith("shotline_")
    assert secret not in shell(config, "token", "list")
    (row,) = json.loads(shell(config, "token", "list", "--json"))["tokens"]
    assert (row["account"], row["name"], row["state"], row["roles"]) == ("board", "hall", "valid", ["dispatcher"])
    shell(config, "token", "revoke", "board", "hall")
    assert shell(config, "token", "list").startswith("revoked   board")
    with closing(Database.open(tmp_path / "shotline.db")) as database:
        assert Accounts(database).principal(secret, CredentialKind.TOKEN, now_ns=0) is None


def test_passwords_that_are_typed_must_agree(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    typed = iter([PASSWORD, PASSWORD + "!", PASSWORD, PASSWORD])
    monkeypatch.setattr("getpass.getpass", lambda _prompt: next(typed))
    assert "the two passwords differ" in shell(config, "add", "ann", "-r", "reviewer", fails=True)
    assert "there is no account yet" in shell(config, "list")
    assert shell(config, "add", "ann", "-r", "reviewer") == "account 'ann' has the roles reviewer"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["roles", "bo", "-r", "reviewer"], "no account 'bo'; `shotline accounts list` shows those there are"),
        (["roles", "ann"], "none, expected one of dispatcher"),
        (["roles", "ann", "-r", "boss"], "'boss', expected one of dispatcher"),
        (["disable", "bo"], "no account 'bo'"),
        (["token", "new", "bo", "hall"], "no account 'bo'"),
        (["token", "new", "ann", "two words"], "'two words' is not a token's name"),
        (["token", "revoke", "ann", "hall"], "account 'ann' has no token 'hall' that is not revoked"),
    ],
)
def test_mistakes_in_plain_words(config: Path, words: list[str], says: str) -> None:
    add(config)
    assert says in shell(config, *words, fails=True)
