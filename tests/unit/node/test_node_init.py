"""``shotline node init``: a file that explains itself and says what was answered, keys that stay secret."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import shlex
import socket
import stat
import subprocess
import sys
import tomllib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from sensor_node import init_cli, surroundings
from sensor_node.capture import InputDevice
from sensor_node.cli import app
from sensor_node.config import NodeConfig, load_node_config
from sensor_node.init import Answers, config_text, problems
from sensor_node.surroundings import Surroundings, device_name, id_from_hostname
from shotline.config import parse_config
from shotline.errors import ConfigError, InputError, StorageError
from shotline.keyfiles import load_key_pair
from shotline.keys_cli import app as keys_app

SERVER = "tcp://198.51.100.7:5570"
SERVER_KEY = "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7"
CARD = InputDevice(3, "USB Audio CODEC: - (hw:1,0)", "ALSA", 2, 48_000.0)
SOFT = InputDevice(0, "default", "ALSA", 32, 44_100.0)
FOUND = Surroundings(
    (SOFT, CARD), "chronyd follows PPS (pps), at most 0.01 ms off", "gpsd 3.22 answers", True, "roof-9"
)
LIVE = Answers(id="roof-1", server=SERVER, device="USB Audio", spool="spool.db")
FILE = Answers(id="roof-1", server=SERVER, file="a.wav")


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> Surroundings:
    monkeypatch.setattr(surroundings, "look_around", lambda *, live: FOUND if live else replace(FOUND, inputs=()))
    return FOUND


def init(out: Path, *words: object, said: str = "") -> Result:
    result = CliRunner().invoke(app, ["init", "--out", str(out), *map(str, words)], input=said)
    if isinstance(result.exception, Exception):
        raise result.exception
    return result


# The text


@pytest.mark.parametrize(
    "answers",
    [
        LIVE,
        FILE,
        replace(LIVE, key_file="keys/roof-1.key_secret", server_key=SERVER_KEY, channel=2, pps_channel=1, gpsd=True),
        replace(
            LIVE, place_deg_m=(-40.5, 179.999999, -3.0), device='a "name" with \\ and \t and \x7f, Mikrofon für Süd'
        ),
        replace(FILE, start_utc="2026-03-01T12:00:00Z", channel=3),
    ],
)
def test_the_text_says_what_was_answered(answers: Answers) -> None:
    config = parse_config(config_text(answers, version="1"), NodeConfig, source="x")
    assert (config.node.id, config.node.server, config.node.spool) == (answers.id, answers.server, answers.spool)
    assert (config.node.key_file, config.node.server_key) == (answers.key_file, answers.server_key)
    if answers.file is None:
        assert config.capture is not None
        assert config.capture.device == answers.device
        assert config.capture.channel == (answers.channel or 1)
        assert config.capture.pps_channel == answers.pps_channel
        assert (config.gpsd is not None) == answers.gpsd
        place = config.place and (config.place.lat_deg, config.place.lon_deg, config.place.height_m)
        assert place == answers.place_deg_m
    else:
        (source,) = config.sources
        assert (source.file, source.start_utc, source.channel) == (answers.file, answers.start_utc, answers.channel)
        assert config.capture is None


@pytest.mark.parametrize("answers", [LIVE, FILE])
def test_every_default_in_the_comments_is_the_default(answers: Answers) -> None:
    """Every commented key made real: the configuration is the same, and the text has every key there is."""
    text = config_text(answers, version="1")
    lines = [re.sub(r"^#(?=\w+ = |\[gpsd])", "", line) for line in text.splitlines()]
    # A place and a pace are no defaults: what is left commented needs a value.
    real = "\n".join(line for line in lines if not re.match(r"(sigma_m|sigma_up_m|factor) =", line))
    assert real.count(" = ") > text.count("\n#") / 4
    config, before = (parse_config(each, NodeConfig, source="x") for each in (real, text))
    assert config.model_copy(update={"gpsd": None}) == before.model_copy(update={"gpsd": None})


def test_every_key_of_the_model_is_explained_in_one_of_the_two() -> None:
    both = config_text(LIVE, version="1") + config_text(FILE, version="1")
    for name, section in NodeConfig.model_fields.items():
        (model,) = re.findall(r"\b(\w+Section)\b", str(section.annotation))[:1]
        assert re.search(rf"^#?\[+{name}\]+$", both, flags=re.MULTILINE), name
        for key, field in getattr(sys.modules["sensor_node.config"], model).model_fields.items():
            assert re.search(rf"^#?{key} =", both, flags=re.MULTILINE), f"{name}.{key}"
            assert field.description.split()[0] in both, f"{name}.{key}"


def test_ranges_and_choices_are_in_the_comments() -> None:
    text = config_text(LIVE, version="1") + config_text(FILE, version="1")
    for said in ("(from 0.1 to 300.0)", "(over 0.0 to 1000.0)", "(1 or -1)", "(from 1 to 65_535)", '"pps_audio" or'):
        assert said in text
    assert max(map(len, text.splitlines())) <= 120


@pytest.mark.parametrize(
    ("change", "option", "said"),
    [
        ({"id": "roof 1"}, "--id", "saw 'roof 1'"),
        ({"id": "x" * 65}, "--id", "at most 64 characters"),
        ({"server": "server.example"}, "--server", "saw 'server.example'"),
        ({"server_key": "abc", "key_file": "k"}, "--server-key", "saw 'abc'"),
        ({"server_key": "#" * 40, "key_file": "k"}, "--server-key", "is not the z85 text of a key"),
        ({"device": ""}, "--device", "at least 1 character"),
        ({"channel": 0}, "--channel", "greater than or equal to 1"),
        ({"channel": 2, "pps_channel": 2}, "--pps-channel", "cannot be both the microphone and the pulses"),
        ({"place_deg_m": (91.0, 0.0, 0.0)}, "--lat", "less than or equal to 90"),
        ({"place_deg_m": (0.0, -181.0, 0.0)}, "--lon", "saw -181"),
        ({"place_deg_m": (0.0, 0.0, float("nan"))}, "--height", "saw nan"),
        ({"device": "a\udcff"}, "", "not UTF-8"),
        ({"device": None, "file": "a.wav", "start_utc": "yesterday"}, "--start-utc", "yesterday"),
    ],
)
def test_a_mistake_is_told_by_its_option(change: dict[str, object], option: str, said: str) -> None:
    (problem,) = problems(replace(LIVE, **change))  # type: ignore[arg-type]
    assert problem.field == option
    assert said in problem.message
    assert problems(LIVE) == ()


# The command


@pytest.mark.usefixtures("found")
def test_flags_alone(tmp_path: Path) -> None:
    out = tmp_path / "new" / "node.toml"
    said = init(out, "--id", "roof-1", "--server", SERVER, "--server-key", SERVER_KEY)
    config = load_node_config(out)
    assert config.capture is not None
    assert config.capture.device == "USB Audio CODEC: -"
    assert config.gpsd is not None
    assert config.place is None
    secret_file = tmp_path / "new" / "keys" / "roof-1.key_secret"
    assert config.node.key_file == str(secret_file)
    assert config.node.spool == str(tmp_path / "new" / "spool.db")
    assert stat.S_IMODE(secret_file.stat().st_mode) == 0o600
    pair = load_key_pair(secret_file)
    everything = said.output + out.read_text()
    assert pair.public in said.output
    assert pair.secret not in everything
    assert f"shotline node check --config {out}" in said.output
    assert [item.name for item in out.parent.iterdir() if item.is_file()] == ["node.toml"]


@pytest.mark.usefixtures("found")
def test_the_line_for_the_operator_enrols_the_node(tmp_path: Path) -> None:
    said = init(tmp_path / "n.toml", "--server", SERVER, "--server-key", SERVER_KEY, "--json")
    answer = json.loads(said.stdout)
    words = shlex.split(answer["enrol"])
    assert words[:4] == ["shotline", "keys", "enrol", "roof-9"]
    enrolled = tmp_path / "nodes.keys.toml"
    result = CliRunner().invoke(keys_app, [*words[2:-1], str(enrolled)])
    assert result.exit_code == 0, result.output
    assert tomllib.loads(enrolled.read_text())["keys"][0]["public"] == answer["public"]


@pytest.mark.usefixtures("found")
def test_a_pair_that_is_there_is_used_again(tmp_path: Path) -> None:
    out = tmp_path / "node.toml"
    words = ("--id", "roof-1", "--server", SERVER, "--server-key", SERVER_KEY, "--json")
    first = json.loads(init(out, *words).stdout)
    second = json.loads(init(out, *words, "--force", "--channel", 2).stdout)
    assert first["public"] == second["public"]
    config = load_node_config(out)
    assert config.capture is not None
    assert config.capture.channel == 2


@pytest.mark.usefixtures("found")
def test_nothing_is_overwritten_without_force(tmp_path: Path) -> None:
    out = tmp_path / "node.toml"
    out.write_text("precious")
    with pytest.raises(InputError, match="is there already and is not overwritten; give --force, or another --out"):
        init(out, "--server", SERVER, "--plain")
    assert out.read_text() == "precious"
    assert [item.name for item in tmp_path.iterdir()] == ["node.toml"]


@pytest.mark.usefixtures("found")
def test_a_mistake_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        init(tmp_path / "node.toml", "--server", "nowhere", "--server-key", SERVER_KEY, "--id", "a b", "--channel", 99)
    assert {problem.field for problem in caught.value.problems} == {"--server", "--id", "--channel"}
    assert list(tmp_path.iterdir()) == []


def test_what_is_missing_is_named_by_its_flag(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nothing = Surroundings((), "no chronyd", "no gpsd", False, "raspberrypi", "no PortAudio")
    monkeypatch.setattr(surroundings, "look_around", lambda **_: nothing)
    out = tmp_path / "node.toml"
    with pytest.raises(InputError, match=r"not given: --id .*; --server; --device, .*; or run it in a terminal"):
        init(out)
    with pytest.raises(InputError, match=r"not given: --server-key, or --plain .*[^k]$"):
        init(out, "--id", "a", "--server", SERVER, "--device", "x", "--yes")
    # Two cards: none is guessed.
    two = replace(FOUND, inputs=(CARD, replace(CARD, index=4, name="Other (hw:2,0)")))
    monkeypatch.setattr(surroundings, "look_around", lambda **_: two)
    with pytest.raises(InputError, match="not given: --device"):
        init(out, "--id", "a", "--server", SERVER, "--plain")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--device", "x", "--file", "a.wav"), "give one of them"),
        (("--start-utc", "2026-03-01T12:00:00Z"), "give --file too"),
        (("--file", "a.wav", "--pps-channel", 2), "not for --file"),
        (("--file", "a.wav", "--gpsd"), "not for --file"),
        (("--lat", 1.0, "--lon", 2.0), "give all three or none"),
        (("--plain", "--server-key", SERVER_KEY), "--plain is without keys"),
    ],
)
@pytest.mark.usefixtures("found")
def test_flags_that_do_not_go_together(words: tuple[object, ...], said: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=re.escape(said)):
        init(tmp_path / "node.toml", "--server", SERVER, *words)


def test_a_trial_with_a_file_asks_the_machine_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(surroundings, "list_inputs", lambda: pytest.fail("asked PortAudio"))
    said = init(tmp_path / "n.toml", "--id", "a", "--server", "tcp://127.0.0.1:5570", "--file", "a.wav", "--json")
    assert json.loads(said.stdout)["public"] is None
    assert load_node_config(tmp_path / "n.toml").sources[0].file == str(tmp_path / "a.wav")


def test_what_does_not_fit_what_is_there_is_noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def notes(*words: object) -> list[str]:
        answer = json.loads(
            init(tmp_path / "n.toml", "--server", SERVER, "--plain", "--force", "--json", *words).stdout
        )
        return list(answer["notes"])

    monkeypatch.setattr(surroundings, "look_around", lambda **_: FOUND)
    assert notes() == []
    (soft,) = notes("--device", "default")
    assert "unless it is of `type hw`" in soft
    (absent,) = notes("--device", "Blue Yeti")
    assert "no input is called 'Blue Yeti'" in absent
    gone = replace(FOUND, has_gpsd=False, gpsd="no gpsd at 127.0.0.1", inputs=(), inputs_problem="no PortAudio")
    monkeypatch.setattr(surroundings, "look_around", lambda **_: gone)
    assert notes("--device", "x", "--gpsd") == ["no PortAudio", "no gpsd at 127.0.0.1"]


@pytest.mark.usefixtures("found")
def test_the_system_folder_keeps_no_spool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "node.toml"
    monkeypatch.setattr(init_cli, "_SYSTEM_FILE", out)
    said = init(out, "--server", SERVER, "--plain")
    assert load_node_config(out).node.spool == "/var/lib/shotline/spool.db"
    assert "systemctl enable --now shotline-node" in said.output


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
@pytest.mark.usefixtures("found")
def test_roots_files_go_to_the_owner_of_the_folder(tmp_path: Path) -> None:
    os.chown(tmp_path, 12_345, 12_346)
    init(tmp_path / "node.toml", "--id", "a", "--server", SERVER, "--server-key", SERVER_KEY)
    made = list(tmp_path.rglob("*"))
    assert len(made) == 4
    assert {(path.stat().st_uid, path.stat().st_gid) for path in made} == {(12_345, 12_346)}


@pytest.mark.usefixtures("found")
def test_a_folder_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot make the folder"):
        init(tmp_path / "file" / "node.toml", "--server", SERVER, "--plain")
    with pytest.raises(StorageError, match="cannot write"):
        init(tmp_path, "--server", SERVER, "--plain", "--force")


# Asking


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(init_cli, "_in_a_terminal", lambda: True)


@pytest.mark.usefixtures("found", "terminal")
def test_it_asks_and_asks_again(tmp_path: Path) -> None:
    answers = [
        "roof 1", "roof-1",  # id
        "server", SERVER,
        "nonsense", SERVER_KEY,
        "2",  # the card, by its number
        "none", "2",  # channel
        "2", "1",  # the pulses
        "40.44 -79.99", "40.44, -79.99, 280",
    ]  # fmt: skip
    said = init(tmp_path / "node.toml", said="\n".join(answers) + "\n")
    for shown in (
        "2  USB Audio CODEC: - (hw:1,0)  (ALSA, 2 channels)",
        "a name of ALSA's, not a card",
        "Sound card, number or name [2]: ",
        FOUND.chrony,
        FOUND.gpsd,
    ):
        assert shown in said.output
    for refused in (
        "saw 'roof 1'",
        "saw 'server'",
        "saw 'nonsense'",
        "'none' is not",
        "cannot be both",
        "'40.44 -79.99'",
    ):
        assert refused in said.output
    config = load_node_config(tmp_path / "node.toml")
    assert (config.node.id, config.node.server, config.node.server_key) == ("roof-1", SERVER, SERVER_KEY)
    assert config.capture is not None
    assert (config.capture.device, config.capture.channel, config.capture.pps_channel) == ("USB Audio CODEC: -", 2, 1)
    assert config.place is not None
    assert (config.place.lat_deg, config.place.lon_deg, config.place.height_m) == (40.44, -79.99, 280.0)


@pytest.mark.usefixtures("found", "terminal")
def test_empty_answers_take_what_is_offered(tmp_path: Path) -> None:
    init(tmp_path / "node.toml", "--device", "USB", said=f"\n{SERVER}\n\n\n\n\n")
    config = load_node_config(tmp_path / "node.toml")
    assert (config.node.id, config.node.server_key, config.node.key_file) == ("roof-9", None, None)
    assert config.capture is not None
    assert (config.capture.channel, config.capture.pps_channel, config.place) == (1, None, None)


@pytest.mark.usefixtures("found", "terminal")
def test_flags_are_not_asked_for(tmp_path: Path) -> None:
    words = ("--id", "a", "--server", "tcp://localhost:1", "--device", "USB", "--channel", 1, "--pps-channel", 2)
    said = init(tmp_path / "node.toml", *words, "--lat", 1, "--lon", 2, "--height", 3)
    assert "Sound cards:" in said.output
    said = init(tmp_path / "b.toml", "--yes", "--server", "tcp://localhost:1")
    assert "Sound cards:" not in said.output


@pytest.mark.processes
def test_a_real_terminal(tmp_path: Path) -> None:
    """Nothing is replaced: the question comes on a terminal, and the answer is typed there."""
    parent, child = pty.openpty()
    command = "from sensor_node.cli import app; app()"
    words = ["init", "--out", str(tmp_path / "n.toml"), "--id", "a", "--file", "a.wav"]
    said = b""
    with subprocess.Popen([sys.executable, "-c", command, *words], stdin=child, stdout=child, stderr=child) as process:
        os.close(child)
        try:
            while b"Server, like" not in said:
                assert select.select([parent], [], [], 60.0)[0], said
                said += os.read(parent, 1024)
            os.write(parent, b"tcp://localhost:1\n")
            assert process.wait(60.0) == 0
        finally:
            process.kill()
            os.close(parent)
    assert load_node_config(tmp_path / "n.toml").node.server == "tcp://localhost:1"


# What is around


@pytest.mark.parametrize(
    ("hostname", "node"),
    [("roof-7", "roof-7"), ("roof-7.example.org", "roof-7"), ("raspberrypi", None), ("_x", None), ("", None)],
)
def test_a_name_from_the_host(hostname: str, node: str | None) -> None:
    assert id_from_hostname(hostname) == node


def test_the_name_of_a_device_outlives_its_number() -> None:
    assert device_name(CARD, FOUND.inputs) == "USB Audio CODEC: -"
    second = replace(CARD, index=4, name="USB Audio CODEC: - (hw:1,1)")
    assert device_name(second, (CARD, second)) == "USB Audio CODEC: - (hw:1,1)"
    twin = replace(CARD, index=4, name="USB Audio CODEC: - (hw:2,0)")
    assert device_name(twin, (CARD, twin)) == twin.name


def test_a_bare_machine_is_told_in_sentences(monkeypatch: pytest.MonkeyPatch) -> None:
    from shotline.errors import EdgeError

    def none() -> list[InputDevice]:
        raise EdgeError("no PortAudio")

    monkeypatch.setattr(surroundings, "list_inputs", none)
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.setattr(surroundings, "_gpsd", lambda: (False, "no gpsd"))
    said = surroundings.look_around(live=True)
    assert (said.inputs, said.inputs_problem, said.gpsd) == ((), "no PortAudio", "no gpsd")
    assert "install chrony" in said.chrony


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("00000000,,0,0.0,0.0,0.0,0.0,0.0,0.0,0.0,1.0,1.0,0.0,Not synchronised", "knows no time yet"),
        (
            "50505300,PPS,1,4000000000.0,0.0,0.0,0.0,0.0,0.0,0.0,0.0,0.00001,4.0,Normal",
            "follows PPS (pps), at most 0.01 ms",
        ),
    ],
)
def test_what_chronyd_says(line: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from sensor_node.chrony import parse_tracking

    monkeypatch.setattr(surroundings, "read_tracking", lambda: parse_tracking(line))
    monkeypatch.setattr(surroundings, "_gpsd", lambda: (False, ""))
    monkeypatch.setattr(surroundings, "list_inputs", list)
    assert said in surroundings.look_around(live=True).chrony


@pytest.mark.parametrize(
    ("greeting", "answers", "said"),
    [
        (
            b'{"class":"VERSION","release":"3.22","rev":"3.22","proto_major":3,"proto_minor":14}\r\n',
            True,
            "gpsd 3.22 answers",
        ),
        (b"220 mail.example ESMTP\r\n", False, "does not greet as gpsd does"),
        (None, False, "Connection refused; is it running?"),
    ],
)
def test_what_gpsd_says(greeting: bytes | None, answers: bool, said: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(1) as pool:
        port = listener.getsockname()[1]

        def greet() -> socket.socket:
            connection, _ = listener.accept()
            connection.sendall(greeting or b"")
            return connection

        if greeting is None:
            listener.close()
            found = surroundings._gpsd(port)
        else:
            greeter = pool.submit(greet)
            # Long enough for a busy machine where there is an answer.
            found = surroundings._gpsd(port, patience_s=30.0 if answers else 0.5)
            greeter.result(30.0).close()
    assert found[0] is answers
    assert said in found[1]
