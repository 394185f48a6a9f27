"""The support file: everything that helps is in it, and nothing that is secret, wherever the secret stood."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile
import zmq
from typer.testing import CliRunner

from sensor_node.bundle import BundleEdges, Scrubber, run_command, write_bundle
from sensor_node.cli import app
from sensor_node.config import NodeConfig, load_node_config
from sensor_node.livecheck import CheckEdges
from shotline.errors import EdgeError, StorageError
from shotline.health import Check, CheckStatus

NOW_NS = 1_545_180_566_000_000_000
SERVER = "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7"
ENV_SECRET, URL_PASSWORD, LOG_PASSWORD = "env-secret-7f3c", "url-pass-91ab", "log-pass-55de"
SIGNING = "whsec_c2VjcmV0LWZvci10ZXN0cw=="


class NoCards:
    def refresh(self) -> None: ...

    def inputs(self) -> list[object]:
        raise EdgeError("PortAudio does not start")


def key_pair() -> tuple[str, str]:
    public, secret = (half.decode() for half in zmq.curve_keypair())
    return public, secret


def configured(folder: Path, public: str, secret: str) -> NodeConfig:
    key = folder / "roof-1.key_secret"
    key.write_text(f'metadata\ncurve\n    public-key = "{public}"\n    secret-key = "{secret}"\n')
    key.chmod(0o600)
    path = folder / "node.toml"
    path.write_text(
        f'[node]\nid = "roof-1"\nserver = "tcp://roof:{URL_PASSWORD}@server.example:5570"\n'
        f'key_file = "{key.name}"\nserver_key = "{SERVER}"\nspool = "roof-1.db"\ncalibration_id = "cal-7"\n'
        '[capture]\ndevice = "Roof Mic"\n'
        '[time]\nchronyc = ["chronyc", "-h", "/run/chrony.sock", "-c", "tracking"]\n'
    )
    return load_node_config(path)


def contents(path: Path) -> dict[str, str]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name).decode("utf-8") for name in archive.namelist()}


def test_no_secret_is_in_it_and_all_that_helps_is(tmp_path: Path) -> None:
    public, secret = key_pair()
    _, foreign = key_pair()
    config = configured(tmp_path, public, secret)
    asked: list[str] = []

    def run(command: Sequence[str]) -> str:
        asked.append(" ".join(command))
        return (
            f"{command[0]} says: secret-key = {secret}; other {foreign}, key={secret} {ENV_SECRET}\n"
            f"POST https://user:{LOG_PASSWORD}@hook.example/x password={LOG_PASSWORD} more\n"
            f"Authorization: Bearer {LOG_PASSWORD}\n"
            f"{SIGNING} is 3 stratum, node {public}\n"
        )

    checks = [
        Check("model", CheckStatus.OK, "impulse-cnn-2-nc"),
        Check("server", CheckStatus.FAIL, f"tcp://roof:{URL_PASSWORD}@server.example:5570 is not reached; {secret}"),
        Check("keys", CheckStatus.OK, f"this node is {public}", {"quiet_dbfs": -60.5}),
    ]
    edges = BundleEdges(
        checks=CheckEdges(cards=NoCards(), root=tmp_path),  # type: ignore[arg-type]
        environ={"SHOTLINE_WEBHOOK_SECRET": ENV_SECRET, "HOME": "/home/pi", "MY_PASSWORD": "abc"},
        run=run,
        now_ns=lambda: NOW_NS,
    )
    written = write_bundle(tmp_path / "support.zip", config, checks, edges)
    assert written.path.stat().st_mode & 0o777 == 0o600
    found = contents(written.path)
    assert set(found) == set(written.holds) == {
        "README.txt", "checks.json", "versions.json", "board.json", "devices.txt", "journal.txt", "config.json",
        "ids.json", "chrony.txt",
    }  # fmt: skip
    everything = "\n".join(found.values())
    for hidden in (secret, foreign, ENV_SECRET, URL_PASSWORD, LOG_PASSWORD, SIGNING, "/home/pi"):
        assert hidden not in everything
        assert hidden not in json.dumps(everything)
        assert hidden[len(hidden) // 2 :] not in everything
        assert hidden.encode() not in written.path.read_bytes()
    assert "[removed]" in found["journal.txt"]
    assert "is 3 stratum" in found["chrony.txt"]
    # What is public stays.
    assert public in found["checks.json"]
    settings = json.loads(found["config.json"])
    assert (settings["node"]["server_key"], settings["node"]["id"]) == (SERVER, "roof-1")
    assert settings["node"]["server"] == "tcp://[removed]@server.example:5570"
    assert settings["node"]["key_file"].endswith("roof-1.key_secret")
    report = json.loads(found["checks.json"])
    assert (report["status"], report["checks"][2]["numbers"]) == ("fail", {"quiet_dbfs": -60.5})
    assert json.loads(found["ids.json"]) == {
        "node": "roof-1", "software_version": "0.1.0", "model": "impulse-cnn-2-nc", "calibration": "cal-7",
    }  # fmt: skip
    assert json.loads(found["versions.json"])["packages"]["numpy"] == np.__version__
    assert "(PortAudio does not start)" in found["devices.txt"]
    assert "made 2018-12-19T00:49:26Z" in found["README.txt"]
    assert asked == [
        "arecord -l",
        "journalctl -u shotline-node -n 400 --no-pager -o short-iso",
        "chronyc -h /run/chrony.sock -n tracking",
        "chronyc -h /run/chrony.sock -n sources",
        "chronyc -h /run/chrony.sock -n sourcestats",
    ]


def test_a_configuration_that_cannot_be_read_still_gives_a_bundle(tmp_path: Path) -> None:
    edges = BundleEdges(checks=CheckEdges(cards=NoCards()), environ={}, run=lambda _: "x", now_ns=lambda: NOW_NS)  # type: ignore[arg-type]
    check = Check("config", CheckStatus.FAIL, "node.toml:3: node.server: tcp://a:b@x is wrong")
    written = write_bundle(tmp_path / "b.zip", None, [check], edges)
    assert "config.json" not in written.holds
    assert "tcp://[removed]@x" in contents(written.path)["checks.json"]


def test_it_is_not_written_over_another_file_or_nowhere(tmp_path: Path) -> None:
    edges = BundleEdges(checks=CheckEdges(cards=NoCards()), environ={}, run=lambda _: "x")  # type: ignore[arg-type]
    (tmp_path / "b.zip").write_text("mine")
    with pytest.raises(StorageError, match="is there already and is not overwritten"):
        write_bundle(tmp_path / "b.zip", None, [], edges)
    assert (tmp_path / "b.zip").read_text() == "mine"
    with pytest.raises(StorageError, match="No such file or directory; choose another folder"):
        write_bundle(tmp_path / "none" / "b.zip", None, [], edges)


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("https://u:p@ss@host/x and tcp://host:1", "https://[removed]@host/x and tcp://host:1"),
        ('{"api_key": "abc def", "a": 1}', '{"api_key": [removed], "a": 1}'),
        ("password = 'a b' c", "password = [removed] c"),
        ("Authorization: Basic YTpi next", "Authorization: [removed] next"),
        ("the token bucket is empty, secrets are kept", "the token bucket is empty, secrets are kept"),
        ("sha256 " + "0f" * 32, "sha256 " + "0f" * 32),
        ("known-secret", "[removed]"),
    ],
)
def test_scrubber(text: str, clean: str) -> None:
    assert Scrubber(["known-secret", ""]).text(text) == clean


def test_values_under_secret_names_are_left_out_whole() -> None:
    value = {"password": {"a": 1}, "token": 7, "nested": [{"my_secret": ["x", None]}], "secret": None, "plain": 1.5}
    assert Scrubber([]).value(value) == {
        "password": "[removed]",
        "token": "[removed]",
        "nested": [{"my_secret": "[removed]"}],
        "secret": None,
        "plain": 1.5,
    }


def test_commands_that_are_not_there_or_say_nothing() -> None:
    assert run_command(["no-such-program-here"]) == "(no-such-program-here cannot be run: No such file or directory)"
    assert run_command(["true"]) == "(true said nothing, exit code 0)"
    assert run_command(["echo", "it", "works"]) == "it works\n"


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOTLINE_PASSWORD", ENV_SECRET)
    # No journal and no sound cards of this machine.
    monkeypatch.setenv("PATH", str(tmp_path))
    soundfile.write(tmp_path / "a.wav", np.zeros(12_000), 12_000)
    path = tmp_path / "node.toml"
    path.write_text(f'[node]\nid = "roof-1"\nserver = "ipc://{tmp_path}/{ENV_SECRET}"\n[[sources]]\nfile = "a.wav"\n')
    out = tmp_path / "support.zip"
    done = CliRunner().invoke(app, ["check", "--config", str(path), "--bundle", str(out)])
    assert done.exit_code == 1, done.output
    assert f"Support file: {out}, readable by you only. It holds README.txt, checks.json," in done.stdout
    found = contents(out)
    assert ENV_SECRET not in "".join(found.values())
    assert json.loads(found["checks.json"])["status"] == "fail"
    assert out.stat().st_mode & 0o777 == 0o600
    again = CliRunner().invoke(app, ["check", "--config", str(path), "--bundle", str(tmp_path / "c.zip"), "--json"])
    assert json.loads(again.stdout)["bundle"]["holds"] == list(contents(tmp_path / "c.zip"))
