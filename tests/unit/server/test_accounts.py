"""Accounts, sessions and tokens in a real database."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa
from argon2 import PasswordHasher

from fusion_server.accounts import Account, Accounts, CredentialKind
from fusion_server.casebook import Casebook
from fusion_server.database import Database
from fusion_server.roles import RIGHTS, Principal, Right, Role
from fusion_server.tables import ACCOUNTS
from shotline.auditchain import verify_chain
from shotline.errors import InputError

NOW_NS = 1_700_000_000_000_000_000
HOUR_NS = 3_600 * 10**9
PASSWORD = "a long walk home"
QUICK = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    with closing(Database.open(database_url)) as opened:
        yield opened


@pytest.fixture
def accounts(database: Database) -> Accounts:
    return Accounts(database, hasher=QUICK)


def add(accounts: Accounts, name: str = "ann", *roles: str, password: str | None = PASSWORD) -> Account:
    return accounts.add(name, roles=roles or ("reviewer",), password=password, time_ns=NOW_NS, actor="shell:root")


def issue(accounts: Accounts, kind: CredentialKind = CredentialKind.TOKEN, *, name: str = "board") -> str:
    return accounts.issue(kind, "ann", name=name, lifetime_ns=HOUR_NS, time_ns=NOW_NS, actor="shell:root")


def test_a_password_lets_in_whom_it_belongs_to(accounts: Accounts) -> None:
    made = add(accounts, "ann", "reviewer", "auditor")
    assert accounts.check_password("ann", PASSWORD) == made
    assert made.roles == {Role.REVIEWER, Role.AUDITOR}
    assert accounts.check_password("ann", PASSWORD + "!") is None
    assert accounts.check_password("bo", PASSWORD) is None
    assert accounts.check_password("ann", "x" * 2000) is None


def test_whom_nobody_knows_takes_as_much_work_as_a_wrong_password(database: Database) -> None:
    verified: list[str] = []

    class Counting(PasswordHasher):
        def verify(self, hash: str | bytes, password: str | bytes) -> bool:
            verified.append(str(password))
            return super().verify(hash, password)

    accounts = Accounts(database, hasher=Counting(time_cost=1, memory_cost=8, parallelism=1))
    add(accounts, "ann")
    add(accounts, "machine", password=None)
    add(accounts, "gone")
    accounts.disable("gone", time_ns=NOW_NS, actor="shell:root")
    for name, password in [("ann", "wrong"), ("nobody", "wrong"), ("machine", ""), ("gone", PASSWORD)]:
        assert accounts.check_password(name, password) is None
    assert verified == ["wrong", "wrong", "", PASSWORD]


def test_no_secret_is_in_the_database(tmp_path: Path) -> None:
    with closing(Database.open(tmp_path / "history.db")) as database:
        accounts = Accounts(database, hasher=QUICK)
        add(accounts)
        secrets = [PASSWORD, issue(accounts), issue(accounts, CredentialKind.SESSION)]
        assert all(accounts.principal(secret, CredentialKind.TOKEN, now_ns=NOW_NS) for secret in secrets[1:2])
        stored = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert b"$argon2id$" in stored
    assert not [secret for secret in secrets if secret.encode() in stored]


def test_a_token_ends(accounts: Accounts) -> None:
    add(accounts)
    secret = issue(accounts)

    def lets_in(*, now_ns: int = NOW_NS, kind: CredentialKind = CredentialKind.TOKEN) -> Principal | None:
        return accounts.principal(secret, kind, now_ns=now_ns)

    assert lets_in() == Principal("ann", frozenset({Role.REVIEWER}))
    assert lets_in(kind=CredentialKind.SESSION) is None
    assert lets_in(now_ns=NOW_NS + HOUR_NS - 1) is not None
    assert lets_in(now_ns=NOW_NS + HOUR_NS) is None
    assert accounts.principal(secret[:-1], CredentialKind.TOKEN, now_ns=NOW_NS) is None
    accounts.revoke_token("ann", "board", time_ns=NOW_NS, actor="shell:root")
    assert lets_in() is None
    assert [item.state(NOW_NS) for item in accounts.credentials(CredentialKind.TOKEN)] == ["revoked"]
    with pytest.raises(InputError, match="no token 'board' that is not revoked"):
        accounts.revoke_token("ann", "board", time_ns=NOW_NS, actor="shell:root")


def test_a_token_never_has_more_than_its_account(accounts: Accounts) -> None:
    add(accounts, "ann", "reviewer", "engineer")
    narrow = accounts.issue(
        CredentialKind.TOKEN, "ann", name="n", roles=["engineer"], lifetime_ns=HOUR_NS, time_ns=NOW_NS, actor="x"
    )
    found = accounts.principal(narrow, CredentialKind.TOKEN, now_ns=NOW_NS)
    assert found is not None
    assert found.roles == {Role.ENGINEER}
    with pytest.raises(InputError, match="has no role auditor"):
        accounts.issue(
            CredentialKind.TOKEN, "ann", name="m", roles=["auditor"], lifetime_ns=HOUR_NS, time_ns=NOW_NS, actor="x"
        )
    accounts.set_roles("ann", ["reviewer"], time_ns=NOW_NS, actor="x")
    left = accounts.principal(narrow, CredentialKind.TOKEN, now_ns=NOW_NS)
    assert left is not None
    assert left.rights == frozenset()


def test_disabling_ends_sessions_and_tokens_for_good(accounts: Accounts) -> None:
    add(accounts)
    token, session = issue(accounts), issue(accounts, CredentialKind.SESSION)
    accounts.disable("ann", time_ns=NOW_NS, actor="x")
    with pytest.raises(InputError, match="disabled"):
        issue(accounts, name="other")
    accounts.enable("ann", time_ns=NOW_NS, actor="x")
    assert accounts.check_password("ann", PASSWORD) is not None
    assert accounts.principal(token, CredentialKind.TOKEN, now_ns=NOW_NS) is None
    assert accounts.principal(session, CredentialKind.SESSION, now_ns=NOW_NS) is None


def test_a_token_of_a_disabled_account_lets_nobody_in_even_if_it_was_not_revoked(
    accounts: Accounts, database: Database
) -> None:
    add(accounts)
    token = issue(accounts)
    with database.writing() as db:
        db.execute(sa.update(ACCOUNTS).values(disabled_ns=NOW_NS))
    assert accounts.principal(token, CredentialKind.TOKEN, now_ns=NOW_NS) is None


def test_another_password_ends_sessions_and_leaves_tokens(accounts: Accounts) -> None:
    add(accounts)
    token, session = issue(accounts), issue(accounts, CredentialKind.SESSION)
    accounts.set_password("ann", "quite another one", time_ns=NOW_NS, actor="x")
    assert accounts.check_password("ann", PASSWORD) is None
    assert accounts.check_password("ann", "quite another one") is not None
    assert accounts.principal(session, CredentialKind.SESSION, now_ns=NOW_NS) is None
    assert accounts.principal(token, CredentialKind.TOKEN, now_ns=NOW_NS) is not None


@pytest.mark.parametrize(
    ("name", "roles", "password", "words"),
    [
        ("Ann", ["reviewer"], PASSWORD, "'Ann' is not an account name"),
        ("", ["reviewer"], PASSWORD, "'' is not an account name"),
        ("ann", ["boss"], PASSWORD, "'boss', expected one of dispatcher, reviewer"),
        ("ann", [], PASSWORD, "none, expected one of"),
        ("ann", ["reviewer"], "short", "5 characters, expected 12 to 1024"),
        ("there", ["reviewer"], PASSWORD, "account 'there' is there already"),
    ],
)
def test_what_cannot_be_an_account_leaves_nothing(
    accounts: Accounts, database: Database, name: str, roles: list[str], password: str, words: str
) -> None:
    add(accounts, "there")
    before = Casebook(database).last_entry()
    with pytest.raises(InputError, match=words):
        accounts.add(name, roles=roles, password=password, time_ns=NOW_NS, actor="x")
    assert [item.name for item in accounts.accounts()] == ["there"]
    assert Casebook(database).last_entry() == before


def test_two_valid_tokens_of_one_name_are_refused(accounts: Accounts) -> None:
    add(accounts)
    issue(accounts)
    with pytest.raises(InputError, match="has a valid token 'board'"):
        issue(accounts)
    later = NOW_NS + 2 * HOUR_NS
    accounts.issue(CredentialKind.TOKEN, "ann", name="board", lifetime_ns=HOUR_NS, time_ns=later, actor="x")
    assert [item.state(later) for item in accounts.credentials(CredentialKind.TOKEN, "ann")] == ["expired", "valid"]


def test_every_change_is_in_the_audit_log(accounts: Accounts, database: Database) -> None:
    add(accounts)
    issue(accounts)
    accounts.revoke_token("ann", "board", time_ns=NOW_NS, actor="shell:root")
    accounts.set_roles("ann", ["auditor"], time_ns=NOW_NS, actor="shell:root")
    accounts.set_password("ann", "quite another one", time_ns=NOW_NS, actor="shell:root")
    accounts.disable("ann", time_ns=NOW_NS, actor="shell:root")
    accounts.enable("ann", time_ns=NOW_NS, actor="shell:root")
    entries = list(Casebook(database).audit(subject="ann"))
    assert [entry.action for entry in entries] == [
        "account_add", "token_issue", "token_revoke", "account_roles", "account_password", "account_disable",
        "account_enable",
    ]  # fmt: skip
    assert {entry.actor for entry in entries} == {"shell:root"}
    assert verify_chain(Casebook(database).audit()) == []


def test_rights() -> None:
    assert set(RIGHTS) == set(Role)
    assert frozenset().union(*RIGHTS.values()) == frozenset(Right)
    deciding = {role for role in Role if Right.DECIDE in RIGHTS[role]}
    assert deciding == {Role.DISPATCHER, Role.REVIEWER}
    blind = {role for role in Role if Right.SENSOR_POSITIONS not in RIGHTS[role]}
    assert blind == {Role.DISPATCHER, Role.PUBLIC}
    assert RIGHTS[Role.PUBLIC] == {Right.FEATURES}
    both = Principal("x", frozenset({Role.PUBLIC, Role.AUDITOR}))
    assert both.rights == RIGHTS[Role.PUBLIC] | RIGHTS[Role.AUDITOR]
    assert both.may(Right.AUDIT)
    assert not both.may(Right.DECIDE)


def test_the_page_of_roles_says_what_the_table_says() -> None:
    page = (Path(__file__).parents[3] / "docs" / "access.md").read_text(encoding="utf-8")
    header = [
        cell.strip() for cell in next(line for line in page.splitlines() if line.startswith("| right")).split("|")
    ]
    roles = [Role(cell) for cell in header[2:-2]]
    said = {}
    for line in page.splitlines():
        cells = [cell.strip() for cell in line.split("|")]
        if len(cells) == len(header) and cells[1].strip("`") in list(Right):
            said[Right(cells[1].strip("`"))] = {
                role for role, cell in zip(roles, cells[2:-2], strict=True) if cell == "yes"
            }
    assert said == {right: {role for role in Role if right in RIGHTS[role]} for right in Right}
