from __future__ import annotations

import base64
import json
import re
import stat
import time
import traceback
from pathlib import Path

import pytest
import zmq
from typer.testing import CliRunner, Result
from zmq.auth import load_certificate

from fusion_server.dispatch import SigningSecret
from shotline.allowlist import WatchedAllowList
from shotline.enrolment import Enrolled
from shotline.errors import InputError, StorageError
from shotline.keyfiles import load_key_pair
from shotline.keys_cli import app


def keys(*arguments: object) -> Result:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if isinstance(result.exception, Exception):
        raise result.exception
    return result


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_pair_is_made_kept_and_not_shown(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "keys"
    result = keys("new", "roof-03", "--dir", folder)
    assert result.exit_code == 0
    public, secret = load_certificate(folder / "roof-03.key_secret")
    assert secret is not None
    assert zmq.curve_public(secret) == public
    assert load_certificate(folder / "roof-03.key") == (public, None)
    assert (mode(folder / "roof-03.key_secret"), mode(folder / "roof-03.key"), mode(folder)) == (0o600, 0o644, 0o700)
    assert public.decode() in result.output
    assert secret.decode() not in result.output
    assert load_key_pair(folder / "roof-03.key_secret").public == public.decode()
    for name in ("roof-03.key", "roof-03.key_secret"):
        assert keys("show", folder / name).output == public.decode() + "\n"


@pytest.mark.parametrize("there", ["server.key", "server.key_secret"])
def test_a_key_is_never_overwritten(tmp_path: Path, there: str) -> None:
    (tmp_path / there).write_text("precious")
    with pytest.raises(InputError, match="is there already and is not overwritten; move it away first"):
        keys("new", "server", "--dir", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [there]
    assert (tmp_path / there).read_text() == "precious"


def test_a_name_must_be_one(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"'../server' is not a name for a key"):
        keys("new", "../server", "--dir", tmp_path)


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot make the folder"):
        keys("new", "server", "--dir", tmp_path / "file" / "keys")


def test_a_signing_secret_is_what_the_webhook_sink_wants(tmp_path: Path) -> None:
    path = tmp_path / "cad.secret"
    result = keys("webhook", path)
    text = path.read_text().strip()
    assert mode(path) == 0o600
    assert len(base64.b64decode(text.removeprefix("whsec_"))) == 32
    assert text not in result.output
    SigningSecret.load(path)
    with pytest.raises(InputError, match="is there already"):
        keys("webhook", path)
    with pytest.raises(StorageError, match="cannot write"):
        keys("webhook", tmp_path / "missing" / "cad.secret")


def test_show_refuses_what_is_no_key(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot read the key"):
        keys("show", tmp_path / "missing.key")
    (tmp_path / "x.key").write_text("nothing")
    with pytest.raises(InputError, match="holds no CURVE key"):
        keys("show", tmp_path / "x.key")


@pytest.fixture
def pairs(tmp_path: Path) -> list[str]:
    """Return four public keys, whose files are in the folder as 0.key to 3.key."""
    for name in range(4):
        keys("new", str(name), "--dir", tmp_path)
    return [load_key_pair(tmp_path / f"{name}.key_secret").public for name in range(4)]


def test_a_node_is_enrolled_rotated_and_revoked_and_the_same_again_changes_nothing(
    tmp_path: Path, pairs: list[str]
) -> None:
    file = tmp_path / "nodes.toml"
    steps = [
        (("enrol", "roof-1", tmp_path / "0.key"), f"node 'roof-1' is enrolled with key {pairs[0]}"),
        (
            ("rotate", "roof-1", pairs[1]),
            f"node 'roof-1' has key {pairs[1]}; its old one is accepted for 168 hours more",
        ),
        (("revoke", "roof-1", "--key", pairs[0]), f"key {pairs[0]} of node 'roof-1' is revoked"),
        (("revoke", "roof-1"), "every key of node 'roof-1' is revoked"),
        (("enrol", "roof-1", tmp_path / "2.key"), f"node 'roof-1' is enrolled with key {pairs[2]}"),
        (("rotate", "roof-1", pairs[3], "--overlap-hours", "0"), "its old one is accepted for 0 hours more"),
    ]
    for words, says in steps:
        assert says in keys(*words, "--list", file).output
        before = file.read_bytes()
        assert "already; nothing changed" in keys(*words, "--list", file).output
        assert json.loads(keys(*words, "--list", file, "--json").output) == {
            "node": "roof-1",
            "list": str(file),
            "changed": False,
        }
        assert file.read_bytes() == before
    assert mode(file) == 0o644
    found = json.loads(keys("list", "--list", file, "--json").output)["keys"]
    assert [(key["public"], key["state"]) for key in found] == list(
        zip(pairs, ["revoked", "revoked", "replaced", "accepted"], strict=True)
    )
    assert keys("list", "--list", file).output.splitlines()[3] == f"accepted  roof-1            {pairs[3]}"
    leftovers = {path.suffix for path in tmp_path.iterdir()} - {".key", ".key_secret", ".toml"}
    assert leftovers == set()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("enrol", "roof-1", "{1}"), "node 'roof-1' has a key already; replace it with `shotline keys rotate`"),
        (("enrol", "roof-2", "{0}"), "is that of node 'roof-1'; each node has a pair of its own"),
        (("enrol", "roof 2", "{1}"), "'roof 2' is not a node id"),
        (("enrol", "roof-2", "nothing"), "'nothing' is neither a .key file nor a public key"),
        (("rotate", "roof-2", "{1}"), "node 'roof-2' has no accepted key to replace; run `shotline keys enrol`"),
        (("rotate", "gone", "{3}"), "node 'gone' has no accepted key to replace"),
        (("enrol", "gone", "{2}"), r"of node 'gone' was given up \(revoked\) and does not come back; make a new pair"),
        (("revoke", "roof-2"), "node 'roof-2' was never enrolled; `shotline keys list` shows who is"),
        (("revoke", "roof-1", "--key", "{2}"), "was never enrolled for node 'roof-1'; see `shotline keys list`"),
    ],
)
def test_what_cannot_be_is_refused_and_leaves_the_list_alone(
    tmp_path: Path, pairs: list[str], words: tuple[str, ...], says: str
) -> None:
    file = tmp_path / "nodes.toml"
    keys("enrol", "roof-1", pairs[0], "--list", file)
    keys("enrol", "gone", pairs[2], "--list", file)
    keys("revoke", "gone", "--list", file)
    before = file.read_bytes()
    filled = [pairs[int(word[1])] if word[0] == "{" else word for word in words]
    with pytest.raises(InputError, match=says):
        keys(*filled, "--list", file)
    assert file.read_bytes() == before


def test_a_list_that_is_not_there_or_no_list(tmp_path: Path, pairs: list[str]) -> None:
    file = tmp_path / "nodes.toml"
    for words in (("revoke", "a"), ("rotate", "a", pairs[0]), ("list",)):
        with pytest.raises(InputError, match="cannot read the file: No such file"):
            keys(*words, "--list", file)
    with pytest.raises(StorageError, match="cannot write"):
        keys("enrol", "a", pairs[0], "--list", tmp_path / "missing" / "nodes.toml")
    entry = f'[[keys]]\nnode = "a"\npublic = "{pairs[0]}"\nenrolled_utc = "2026-01-01T00:00:00Z"\n'
    for text, says in (
        ("keys = 1", "keys"),
        (entry + entry, f"keys.1.public: key {re.escape(pairs[0])} is there twice"),
        (entry.replace(pairs[0], "#" * 40), "is not the z85 text of a key"),
        (entry + 'colour = "red"\n', "unknown key"),
    ):
        file.write_text(text)
        with pytest.raises(InputError, match=says):
            keys("list", "--list", file)
    file.write_text(entry)
    file.chmod(0o666)
    with pytest.raises(InputError, match=r"others could enrol a key .mode 0666.; run: chmod go-w"):
        keys("list", "--list", file)


def test_a_key_that_looks_like_an_option_is_a_key(tmp_path: Path) -> None:
    for start in ("-", "--list"):
        public = start + "0" * (40 - len(start))
        assert f"with key {public}" in keys("enrol", "a" + start.strip("-="), public, "--list", tmp_path / "l").output


def test_the_list_that_holds_is_the_last_good_one(tmp_path: Path, pairs: list[str]) -> None:
    file = tmp_path / "nodes.toml"
    keys("enrol", "a", pairs[0], "--list", file)
    watched = WatchedAllowList(file)
    now_ns = time.time_ns()

    def reads() -> tuple[int, bool, bool]:
        watched.refresh()
        both = [isinstance(watched.standing(public, now_ns=now_ns), Enrolled) for public in pairs[:2]]
        return watched.reads, both[0], both[1]

    assert reads() == (1, True, False)
    keys("enrol", "b", pairs[1], "--list", file)
    assert reads() == (2, True, True)
    good = file.read_bytes()
    file.write_text("[[keys]")
    assert reads() == (3, True, True)
    assert "not TOML" in watched.problem
    file.unlink()
    assert reads() == (4, True, True)
    assert "cannot read the file" in watched.problem
    file.write_bytes(good)
    assert reads() == (5, True, True)
    assert watched.problem == ""
    keys("revoke", "a", "--list", file)
    assert reads() == (6, False, True)


def test_no_command_prints_a_secret(tmp_path: Path) -> None:
    said = keys("new", "a", "--dir", tmp_path).output + keys("new", "b", "--dir", tmp_path, "--json").output
    file, secret_file = tmp_path / "nodes.toml", tmp_path / "a.key_secret"
    for words in (("enrol", "a"), ("rotate", "a")):
        said += keys(*words, tmp_path / f"{'a' if words[0] == 'enrol' else 'b'}.key_secret", "--list", file).output
    said += keys("list", "--list", file, "--json").output + keys("show", secret_file).output + file.read_text()
    secrets = [load_key_pair(tmp_path / f"{name}.key_secret").secret for name in "ab"]
    text = secret_file.read_text()
    for broken in (text.replace(secrets[0], secrets[1]), text.replace(secrets[0], secrets[0] + "é")):
        secret_file.write_text(broken, encoding="utf-8")
        with pytest.raises(InputError) as caught:
            load_key_pair(secret_file)
        said += "".join(traceback.format_exception(caught.value))
    assert "the two keys in it are no pair" in said
    assert not [secret for secret in secrets if secret in said]
