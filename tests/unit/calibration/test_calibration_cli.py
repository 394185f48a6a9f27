"""``shotline calibrate verify|show|list|apply|check``, and that the group loads nothing heavy."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

from fusion_server.evidence.signing import SigningKey, fingerprint
from sensor_node.config import load_node_config
from shotline.errors import InputError
from shotline.geodesy import LocalFrame
from shotline_calibration.cli import app
from shotline_calibration.keeping import RecordOptions, keep_result, say_kept
from shotline_calibration.position.result import PositionResult
from shotline_calibration.recordbook import RecordBook

RUN = CliRunner()
LATER_NS = 1_800_000_000_000_000_000 + 86_400_000_000_000
PLACE = PositionResult(
    lat_deg=51.5,
    lon_deg=-0.125,
    height_m=60.0,
    sigma_m=1.2341,
    sigma_up_m=2.0,
    microphone_east_m=2.0,
    microphone_up_m=-1.0,
)
NODE = (
    '[node]\nid = "roof-1"\nserver = "tcp://127.0.0.1:5570"\n{more}\n[[sources]]\nfile = "a.wav"\n'
    'start_utc = "2026-12-01T00:00:00Z"\n'
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    SigningKey.new(tmp_path / "k")
    folder = tmp_path / "records"
    for hour, sigma_m in ((1, 3.0), (2, 1.2341)):
        keep(folder, sigma_m=sigma_m, hour=hour)
    return folder


def keep(folder: Path, *, sigma_m: float, hour: int, node: str = "roof-1") -> str:
    options = RecordOptions(
        by="Ann",
        sign_with=folder.parent / "k",
        records=folder,
        notes="said",
        instruments=["F9P; 17 ;2026-01-02", "pole"],
    )
    kept = keep_result(
        msgspec.structs.replace(PLACE, sigma_m=sigma_m),
        options,
        kind="position",
        node=node,
        procedure="test 1",
        inputs=[folder.parent / "k"],
        now_ns=1_800_000_000_000_000_000 + hour * 3_600_000_000_000,
    )
    assert kept is not None
    return str(kept["id"])


def run(*words: object) -> str:
    done = RUN.invoke(app, [str(word) for word in words], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def test_verify_tells_what_was_changed(folder: Path) -> None:
    signer = fingerprint(SigningKey.load(folder.parent / "k").public)
    said = json.loads(run("verify", folder, "--json"))
    assert said == {"ok": True, "records": 2, "faults": [], "signers": [signer]}
    assert "2 records are what was signed; 0 faults" in run("verify", folder, "--key", signer)
    assert RUN.invoke(app, ["verify", str(folder), "--key", "0" * 64]).exit_code == 1
    file = next(folder.glob("*/*.toml"))
    file.write_text(file.read_text().replace("Ann", "Eve"))
    done = RUN.invoke(app, ["verify", str(folder)])
    assert (done.exit_code, "its content was changed" in done.output) == (1, True)


def test_verify_of_nothing_is_no_success(tmp_path: Path) -> None:
    assert RUN.invoke(app, ["verify", str(tmp_path)]).exit_code == 1
    with pytest.raises(InputError, match="no such file or folder"):
        RUN.invoke(app, ["verify", str(tmp_path / "none")], catch_exceptions=False)


def test_show_and_list(folder: Path) -> None:
    standing = json.loads(run("list", "--records", folder, "--json"))["records"]
    assert [line["superseded_by"] for line in standing] == [""]
    every = json.loads(run("list", "--records", folder, "--all", "--json"))["records"]
    assert [line["superseded_by"] for line in every] == [standing[0]["id"], ""]
    text = run("show", every[0]["id"][:6], "--records", folder)
    for words in (
        "position of roof-1",
        "by Ann, test 1",
        f"no: superseded by {standing[0]['id']}",
        "F9P, 17, 2026-01-02",
    ):
        assert words in text
    assert "microphone   +2.00 m east" in text
    shown = json.loads(run("show", standing[0]["id"], "--records", folder, "--json"))
    assert shown["record"]["result"]["sigma_m"] == 1.2341
    assert shown["superseded_by"] is None


def test_what_apply_prints_is_what_check_wants(folder: Path, tmp_path: Path) -> None:
    text = run("apply", "roof-1", "--records", folder)
    node_part, _, site_part = text.partition("# of the server's configuration: the node's table there\n")
    printed = tomllib.loads(node_part)
    config = tmp_path / "node.toml"
    wav = "\n".join(line for line in node_part.splitlines() if line != "[node]")
    config.write_text(NODE.format(more=wav))
    loaded = load_node_config(config)
    (record,) = RecordBook.read(folder).heads()
    assert loaded.node.calibration_id == printed["node"]["calibration_id"] == record.id
    assert loaded.place is not None
    assert loaded.place.sigma_m == 1.235
    assert "6 values are as recorded, 0 are not" in run("check", "-c", config, "--records", folder)

    server = tmp_path / "server.toml"
    server.write_text(f"[frame]\nlat_deg = 51.5\nlon_deg = -0.125\nheight_m = 50.0\n{site_part}")
    assert "2 values are as recorded, 0 are not" in run("check", "-c", server, "--records", folder)
    site = tomllib.loads(site_part)["nodes"][0]
    east_m, north_m, up_m = LocalFrame(51.5, -0.125, 60.0).to_enu_m(site["lat_deg"], site["lon_deg"], site["height_m"])
    # Printed to 1e-9 degrees and 1 mm.
    assert (east_m, north_m, up_m) == pytest.approx((2.0, 0.0, -1.0), abs=1e-3)
    frame = LocalFrame(51.5, -0.125, 50.0)
    x_m, y_m, z_m = frame.to_enu_m(site["lat_deg"], site["lon_deg"], site["height_m"])
    metres = f'[[nodes]]\nid = "roof-1"\nx_m = {x_m:.2f}\ny_m = {y_m:.2f}\nz_m = {z_m:.2f}\nsigma_m = 1.235\n'
    server.write_text(f"[frame]\nlat_deg = 51.5\nlon_deg = -0.125\nheight_m = 50.0\n{metres}")
    assert "2 values are as recorded" in run("check", "-c", server, "--records", folder)


def test_check_finds_what_was_forgotten(folder: Path, tmp_path: Path) -> None:
    config = tmp_path / "node.toml"
    first = RecordBook.read(folder).records[0].id
    config.write_text(NODE.format(more=f'calibration_id = "{first}+{"0" * 16}"'))
    done = RUN.invoke(app, ["check", "-c", str(config), "--records", str(folder), "--json"])
    said = json.loads(done.output)
    assert done.exit_code == 1
    assert len(said["differences"]) == 7
    assert any("[place] lat_deg is not there, recorded is 51.5" in text for text in said["differences"])
    assert any(f"names {'0' * 16}, which is not among the records" in text for text in said["differences"])
    assert any(f"{first} was superseded by" in text for text in said["remarks"])
    server = tmp_path / "server.toml"
    server.write_text(
        '[frame]\nlat_deg = 51.5\nlon_deg = -0.125\n[[nodes]]\nid = "roof-1"\nx_m = 0.0\ny_m = 0.0\n'
        '[[nodes]]\nid = "roof-2"\nx_m = 100.0\ny_m = 0.0\n'
    )
    done = RUN.invoke(app, ["check", "-c", str(server), "--records", str(folder)])
    assert done.exit_code == 1
    assert "roof-1: stands 59.03 m from where record" in done.output
    assert "roof-2: no record of its position" in done.output
    (tmp_path / "x.toml").write_text("a = 1\n")
    with pytest.raises(InputError, match=r"neither \[\[nodes\]\]"):
        RUN.invoke(app, ["check", "-c", str(tmp_path / "x.toml")], catch_exceptions=False)


def test_a_changed_record_is_told_by_whatever_does_not_use_it(folder: Path, tmp_path: Path) -> None:
    path = sorted(folder.glob("*/*.toml"))[-1]
    path.write_text(path.read_text(encoding="utf-8").replace("test 1", "test 2"), encoding="utf-8")
    config = tmp_path / "node.toml"
    config.write_text(NODE.format(more=""), encoding="utf-8")
    for words in (["apply", "roof-1"], ["check", "-c", str(config)], ["list"]):
        done = RUN.invoke(app, [*words, "--records", str(folder)])
        assert f"not used: {path}: its content was changed" in done.stderr, words
        assert f"see shotline calibrate verify {folder}" in done.stderr


def test_apply_without_a_record_says_so(folder: Path) -> None:
    with pytest.raises(InputError, match="no record of 'roof-9'"):
        RUN.invoke(app, ["apply", "roof-9", "--records", str(folder)], catch_exceptions=False)


def test_what_a_record_supersedes_is_said_with_how_far_it_is(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = RecordOptions(by="Ann", sign_with=folder.parent / "k", records=folder)
    before = RecordBook.read(folder).current("roof-1", "position")
    assert before is not None
    moved = msgspec.structs.replace(PLACE, lat_deg=51.5001)
    kept = keep_result(moved, options, kind="position", node="roof-1", procedure="p 1", now_ns=LATER_NS)
    assert kept is not None
    assert (kept["supersedes"], kept["changed"]) == (before.id, "11.13 m from where that says")
    say_kept(kept, node="roof-1")
    assert f"supersedes   {before.id}, 11.13 m from where that says" in capsys.readouterr().out
    elsewhere = msgspec.structs.replace(PLACE, lat_deg=53.5, lon_deg=9.97)
    kept = keep_result(elsewhere, options, kind="position", node="roof-1", procedure="p 1", now_ns=LATER_NS + 1_000_000)
    assert kept is not None
    assert kept["changed"] == "720 KM FROM WHERE THAT SAYS"
    first = keep_result(PLACE, options, kind="position", node="roof-2", procedure="p 1", now_ns=LATER_NS)
    assert first is not None
    assert (first["supersedes"], first["changed"]) == (None, "")


def test_a_record_needs_a_person_and_a_key(folder: Path) -> None:
    options = RecordOptions(by="Ann", sign_with=None, records=folder)
    with pytest.raises(InputError, match="--by and --sign-with go together"):
        keep_result(PLACE, options, kind="position", node="a", procedure="p 1")
    nothing = RecordOptions(by=None, sign_with=None, records=folder)
    assert keep_result(PLACE, nothing, kind="position", node="a", procedure="p 1") is None
    wrong = RecordOptions(by="A", sign_with=folder.parent / "k", records=folder, instruments=["a;b;c;d"])
    with pytest.raises(InputError, match="expected NAME;SERIAL;DATE"):
        keep_result(PLACE, wrong, kind="position", node="a", procedure="p 1")


def test_the_group_loads_nothing_heavy() -> None:
    code = (
        "import sys, shotline_calibration.cli\n"
        "print(sorted({'numpy', 'scipy', 'pyproj', 'matplotlib', 'cryptography', 'pydantic'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.strip() == "[]"
