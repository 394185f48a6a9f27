from __future__ import annotations

import base64
import stat
from pathlib import Path

import pytest
import zmq
from typer.testing import CliRunner, Result
from zmq.auth import load_certificate

from fusion_server.app import load_curve_keys
from fusion_server.dispatch import SigningSecret
from shotline.errors import InputError, StorageError
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
    assert load_curve_keys(folder / "roof-03.key_secret").public == public.decode()
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
