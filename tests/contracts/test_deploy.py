"""What is in deploy/ is what the real programs take: systemd, chronyd, udev, ALSA, and the container's build."""

from __future__ import annotations

import ctypes.util
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from house import ROOT

DEPLOY = ROOT / "deploy"
UNITS = ("shotline-node", "shotline-server")
PROGRAM = "/opt/shotline/bin/shotline"
_ANALYZE = shutil.which("systemd-analyze")
_CHRONYD = shutil.which("chronyd") or shutil.which("chronyd", path="/usr/sbin:/usr/local/sbin")
_UDEVADM = shutil.which("udevadm") or shutil.which("udevadm", path="/usr/sbin:/sbin")
_SYSUSERS = shutil.which("systemd-sysusers")

needs_systemd = pytest.mark.skipif(_ANALYZE is None, reason="systemd-analyze is not installed: apt-get install systemd")


def run(*words: object, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(word) for word in words],
        capture_output=True,
        text=True,
        timeout=60.0,
        check=False,
        env={**os.environ, "LC_ALL": "C", "SYSTEMD_LOG_LEVEL": "notice", **(env or {})},
    )


def settings(unit: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in (DEPLOY / f"{unit}.service").read_text(encoding="utf-8").splitlines():
        if line and line[0] not in "#[":
            key, _, value = line.partition("=")
            found.setdefault(key, []).append(value)
    return found


def with_a_program(unit: str, folder: Path) -> Path:
    """Return a copy of a unit whose program is there, as systemd demands."""
    text = (DEPLOY / f"{unit}.service").read_text(encoding="utf-8")
    assert text.count(PROGRAM) == 1
    copy = folder / f"{unit}.service"
    copy.write_text(text.replace(PROGRAM, sys.executable), encoding="utf-8")
    return copy


@needs_systemd
@pytest.mark.parametrize("unit", UNITS)
def test_systemd_takes_the_unit(unit: str, tmp_path: Path) -> None:
    done = run(_ANALYZE, "verify", "--man=no", with_a_program(unit, tmp_path))
    assert (done.returncode, [line for line in done.stderr.splitlines() if unit in line]) == (0, []), done.stderr


@needs_systemd
def test_systemd_would_say_so(tmp_path: Path) -> None:
    unit = with_a_program("shotline-node", tmp_path)
    unit.write_text(unit.read_text().replace("ProtectSystem=strict", "ProtectSystem=mostly"), encoding="utf-8")
    assert "protect system" in run(_ANALYZE, "verify", "--man=no", unit).stderr


@needs_systemd
@pytest.mark.parametrize("unit", UNITS)
def test_little_is_exposed(unit: str, tmp_path: Path) -> None:
    """systemd's own measure, 0 to 10: 1.9 for the node, 1.6 for the server with systemd 252; it calls under 2 OK."""
    done = run(_ANALYZE, "security", "--offline=true", "--no-pager", with_a_program(unit, tmp_path))
    found = re.search(r"Overall exposure level for \S+: ([\d.]+)", done.stdout)
    assert found, done.stdout + done.stderr
    assert float(found[1]) < 2.5


def test_what_the_units_promise() -> None:
    node = settings("shotline-node")
    assert (node["Type"], node["WatchdogSec"], node["Restart"]) == (["notify"], ["20"], ["always"])
    assert node["StartLimitIntervalSec"] == ["0"]
    assert node["DeviceAllow"] == ["char-alsa rw"]
    for unit in UNITS:
        (command,) = settings(unit)["ExecStart"]
        words = shlex.split(command)
        done = run(sys.executable, "-c", "from shotline.cli import main; main()", *words[1:3], "--help")
        assert done.returncode == 0, done.stderr
        assert words[3] == "--config"
        assert words[4].startswith("/etc/shotline/")


def test_the_unit_and_init_mean_the_same_places() -> None:
    from sensor_node import init_cli

    node = settings("shotline-node")
    assert str(init_cli._SYSTEM_FILE) in node["ExecStart"][0]
    assert str(Path(init_cli._SYSTEM_SPOOL).parent) == node["WorkingDirectory"][0]
    assert node["StateDirectory"] == [Path(init_cli._SYSTEM_SPOOL).parent.name]


@pytest.mark.skipif(_SYSUSERS is None, reason="systemd-sysusers is not installed: apt-get install systemd")
@pytest.mark.skipif(os.geteuid() != 0, reason="systemd-sysusers needs root, also for a folder of one's own")
def test_the_user_is_made(tmp_path: Path) -> None:
    (tmp_path / "etc" / "sysusers.d").mkdir(parents=True)
    # audio is Debian's, in every /etc/group.
    (tmp_path / "etc" / "group").write_text("audio:x:29:\n")
    shutil.copy(DEPLOY / "sysusers" / "shotline.conf", tmp_path / "etc" / "sysusers.d")
    done = run(_SYSUSERS, f"--root={tmp_path}")
    assert done.returncode == 0, done.stderr
    (user,) = (tmp_path / "etc" / "passwd").read_text().splitlines()
    assert re.fullmatch(r"shotline:x:\d+:\d+:Shotline:/var/lib/shotline:\S*nologin", user)
    assert "audio:x:29:shotline" in (tmp_path / "etc" / "group").read_text().splitlines()
    assert {settings(unit)["User"][0] for unit in UNITS} == {"shotline"}


@pytest.mark.skipif(_CHRONYD is None, reason="chrony is not installed: apt-get install chrony")
def test_chronyd_takes_its_file(tmp_path: Path) -> None:
    file = DEPLOY / "chrony" / "shotline.conf"
    done = run(_CHRONYD, "-p", "-f", file)
    assert done.returncode == 0, done.stderr
    assert [line.split()[0] for line in done.stdout.splitlines()] == [
        "refclock",
        "refclock",
        "maxclockerror",
        "makestep",
    ]
    wrong = tmp_path / "wrong.conf"
    wrong.write_text(file.read_text().replace("maxclockerror 5", "maxclockerror"))
    assert run(_CHRONYD, "-p", "-f", wrong).returncode != 0


def test_the_node_knows_the_pulse_by_its_name_in_chrony() -> None:
    from sensor_node.config import TimeSection

    text = (DEPLOY / "chrony" / "shotline.conf").read_text(encoding="utf-8")
    pulses = re.findall(r"^refclock PPS \S+ refid (\S+)", text, flags=re.MULTILINE)
    assert tuple(pulses) == TimeSection().pulse_references
    assert not re.search(r"^leapsecmode", text, flags=re.MULTILINE)


def test_gpsds_file_is_read_by_a_shell() -> None:
    shown = 'printf "%s|%s|%s" "$DEVICES" "$GPSD_OPTIONS" "$USBAUTO"'
    done = run("sh", "-euc", f". {shlex.quote(str(DEPLOY / 'gpsd' / 'gpsd'))}; {shown}")
    assert (done.stdout, done.stderr) == ("/dev/ttyAMA0 /dev/pps0|-n -b|false", "")


RULES = [
    line.removeprefix("# ")
    for line in (DEPLOY / "udev" / "85-shotline-audio.rules").read_text(encoding="utf-8").splitlines()
    if line.removeprefix("# ").startswith("SUBSYSTEM==")
]


@pytest.mark.parametrize("rule", RULES)
def test_udev_rules_have_the_form(rule: str) -> None:
    """Also those that are commented out. `udevadm verify` is only in systemd 254 and later."""
    for part in rule.split(", "):
        assert re.fullmatch(r'[A-Z]+(\{\w+\})?(==|=)"[^"]+"', part), part
    assert re.findall(r'[^=]="(\w+)"', rule) == re.findall(r'ATTR\{id\}="(\w{1,15})"$', rule)


def test_udevadm_takes_the_rules() -> None:
    done = run(_UDEVADM or "false", "verify", DEPLOY / "udev" / "85-shotline-audio.rules")
    if _UDEVADM is None or "Unknown command verb" in done.stderr:
        pytest.skip("udevadm verify is not here: systemd 254 or later has it")
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_name_of_a_card_has_its_name_for_the_node() -> None:
    ids = re.findall(r'^SUB.*ATTR\{id\}="(\w+)"', "\n".join(RULES), flags=re.MULTILINE)
    text = (DEPLOY / "alsa" / "asound.conf").read_text(encoding="utf-8")
    aliases = re.findall(r"^pcm\.shotline_(\w+) \{ type hw card (\w+) \}$", text, flags=re.MULTILINE)
    assert aliases == [(name, name) for name in dict.fromkeys(ids)]


@pytest.mark.skipif(ctypes.util.find_library("portaudio") is None, reason="apt-get install libportaudio2")
@pytest.mark.skipif(not Path("/usr/share/alsa/alsa.conf").is_file(), reason="apt-get install libasound2-data")
def test_names_of_cards_that_are_not_there_do_no_harm(tmp_path: Path) -> None:
    config = tmp_path / "asound.conf"
    aliases = (DEPLOY / "alsa" / "asound.conf").read_text(encoding="utf-8")
    config.write_text(f"</usr/share/alsa/alsa.conf>\n{aliases}", encoding="utf-8")
    code = (
        "import json; from sensor_node.capture import list_inputs; print(json.dumps([d.name for d in list_inputs()]))"
    )
    done = run(sys.executable, "-c", code, env={"ALSA_CONFIG_PATH": str(config), "HOME": str(tmp_path)})
    assert done.returncode == 0, done.stderr
    assert [name for name in json.loads(done.stdout) if "shotline" in name] == []


def test_the_container_has_all_that_the_wheel_is_made_of() -> None:
    text = (DEPLOY / "Containerfile").read_text(encoding="utf-8")
    copied = {
        word for line in re.findall(r"^COPY (?!--from)(.+)$", text, flags=re.MULTILINE) for word in line.split()[:-1]
    }
    assert [name for name in sorted(copied) if not (ROOT / name).exists()] == []
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert {*wheel["packages"], *wheel["force-include"], "pyproject.toml", project["project"]["readme"]} <= copied
    assert "pip install --no-cache-dir '.[node]'" in text
    assert "node" in project["project"]["optional-dependencies"]
    assert re.search(r"^USER shotline$", text, flags=re.MULTILINE)


def test_the_container_runs_what_the_command_line_knows() -> None:
    text = (DEPLOY / "Containerfile").read_text(encoding="utf-8")
    for line in re.findall(r"(?:CMD|ENTRYPOINT) (\[.+\])$", text, flags=re.MULTILINE):
        words = [word for word in json.loads(line) if word not in ("shotline", "node")]
        done = run(sys.executable, "-c", "from shotline.cli import main; main()", "node", *words[:1], "--help")
        assert done.returncode == 0, done.stderr
