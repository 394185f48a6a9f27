"""A shot through a real server: what it wrote into its audit log, the evidence of the incident, and who tampers."""

from __future__ import annotations

import io
import json
import math
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest
import soundfile
import zmq
from typer.testing import CliRunner

from fusion_server.app import ServerApp
from fusion_server.audit_cli import app as audit_app
from fusion_server.casebook import Casebook
from fusion_server.clips import CollectedClip, RefusedClip
from fusion_server.config import load_server_config
from fusion_server.evidence.bundle import open_bundle, verify
from fusion_server.evidence.signing import SigningKey, fingerprint
from fusion_server.evidence_cli import app as evidence_app
from fusion_server.history import History, StoredDetection
from shotline.atmosphere import speed_of_sound_mps
from shotline.auditchain import AuditEntry, follow
from shotline.domain import ClockState
from shotline.errors import StorageError
from shotline.messages import Ack, Detection, LevelReference, decode, encode

pytestmark = pytest.mark.processes

EPOCH_NS = 1_780_000_000_000_000_000
SECOND_NS = 1_000_000_000
HOUR_NS = 3_600 * SECOND_NS
SITES = {"a": (0.0, 0.0), "b": (400.0, 0.0), "c": (400.0, 400.0), "d": (0.0, 400.0), "e": (200.0, 500.0)}
SHOT_M = (150.0, 230.0)
RATE_HZ = 8_000


def detection(node: str, arrival_time_ns: int) -> Detection:
    return Detection(
        node=node,
        boot=7,
        sequence=0,
        arrival_time_ns=arrival_time_ns,
        arrival_sigma_ns=1_000,
        clock_state=ClockState.PPS,
        probabilities_bp=(9_000, 200, 200, 200, 200, 200),
        peak_level_db=-12.5,
        level_reference=LevelReference.DBFS,
        snr_db=22.0,
        rise_time_s=0.0005,
        model_id="impulse-rules-1",
    )


def written_config(folder: Path) -> Path:
    SigningKey.new(folder / "audit.key")
    nodes = "".join(f'[[nodes]]\nid = "{node}"\nx_m = {x}\ny_m = {y}\n' for node, (x, y) in SITES.items())
    path = folder / "server.toml"
    path.write_text(
        '[server]\nbind = "tcp://127.0.0.1:0"\n[http]\nenabled = false\n'
        f'[audit]\nkey_file = "audit.key"\nroot_every_h = 1.0\n{nodes}'
    )
    return path


def run_server(path: Path) -> str:
    """Let a server hear a shot; return the id of its incident."""
    now = [EPOCH_NS]
    heard = [
        detection(node, EPOCH_NS + round(math.dist(SHOT_M, xy) / speed_of_sound_mps(15.0) * SECOND_NS))
        for node, xy in SITES.items()
    ]
    config = load_server_config(path)
    context = zmq.Context()
    seconds = iter(range(10**9))
    with (
        ServerApp(
            config,
            alerts_to=io.StringIO(),
            log_to=io.StringIO(),
            now_ns=lambda: now[0],
            # Each look is seconds after the last: the audit log is written at every round.
            monotonic_s=lambda: float(2 * next(seconds)),
        ) as app,
        context.socket(zmq.DEALER) as socket,
    ):
        socket.linger = 0
        socket.connect(app.endpoint)
        owed = len(heard)
        for item in heard:
            socket.send(encode(item))
        for _ in range(2_000):
            app.step(5)
            while socket.poll(0):
                message = decode(socket.recv())
                owed -= len(message.sequences) if isinstance(message, Ack) else 0
            if not owed:
                break
        assert owed == 0
        for _ in range(60):
            now[0] += SECOND_NS // 10
            app.step(0)
        (record,) = app.history.incidents()
        keep_sound(app.history, record.id)
        casebook = Casebook(app.history.database)
        casebook.decide(
            record.id,
            revision=record.revision,
            outcome="confirmed",
            reason="casings",
            note="żółte łuski: 3",
            person="anna",
            time_ns=now[0],
        )
        casebook.acknowledge(record.id, person="anna", time_ns=now[0])
        wait_for_receipts(app, record.id, record.revision)
        now[0] += HOUR_NS
        app.step(0)
    context.term()
    return record.id


def wait_for_receipts(app: ServerApp, incident_id: str, revision: int) -> None:
    """Sinks have threads of their own: go round until the last revision was taken."""
    for _ in range(5_000):
        if any(item.ok and item.revision == revision for item in app.history.receipts(incident_id)):
            app.step(0)
            return
        app.step(2)
    raise AssertionError("the console never took the alert")


def keep_sound(history: History, incident_id: str) -> None:
    """Give the history clips of two nodes, one of which is no sound, and a refusal."""
    sound = np.zeros(2 * RATE_HZ, dtype=np.int16)
    sound[RATE_HZ // 2 :] = np.random.default_rng(1).integers(-9_000, 9_000, RATE_HZ * 3 // 2)
    out = io.BytesIO()
    soundfile.write(out, sound, RATE_HZ, format="FLAC", subtype="PCM_16")
    stored = {item.detection.node: item.detection for item in history.stored(0)}

    def clip(node: str, flac: bytes) -> CollectedClip:
        return CollectedClip(
            uid=stored[node].uid,
            incident_id=incident_id,
            received_ns=EPOCH_NS + 9 * SECOND_NS,
            start_time_ns=stored[node].arrival_time_ns - SECOND_NS // 2,
            sample_rate_hz=RATE_HZ,
            sha256=b"\1" * 32,
            digest_ok=True,
            flac=flac,
        )

    refused = RefusedClip(
        uid=stored["c"].uid, incident_id=incident_id, received_ns=EPOCH_NS, reason="clips_off", detail="not here"
    )
    history.append_clips([clip("a", out.getvalue()), clip("b", b"no sound"), refused])


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    path = written_config(tmp_path_factory.mktemp("served"))
    return path, run_server(path)


@pytest.fixture
def copied(served: tuple[Path, str], tmp_path: Path) -> Iterator[tuple[Path, sqlite3.Connection]]:
    """A copy of the server's folder whose database may be tampered with."""
    for name in ("server.toml", "audit.key"):
        (tmp_path / name).write_bytes((served[0].parent / name).read_bytes())
    (tmp_path / "audit.key").chmod(0o600)
    with sqlite3.connect(served[0].parent / "shotline.db") as source:
        db = sqlite3.connect(tmp_path / "shotline.db")
        source.backup(db)
    source.close()
    yield tmp_path / "server.toml", db
    db.close()


@pytest.fixture(scope="module")
def exported(served: tuple[Path, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("exported") / "bundle.zip"
    done = CliRunner().invoke(evidence_app, ["export", served[1], "--config", str(served[0]), "--out", str(out)])
    assert done.exit_code == 0, done.output
    return out


def entries(path: Path, *, subject: str | None = None) -> list[AuditEntry]:
    words = ["show", "--config", str(path), "--json", *(["--subject", subject] if subject else [])]
    done = CliRunner().invoke(audit_app, words)
    assert done.exit_code == 0, done.output
    return [msgspec.json.decode(line, type=AuditEntry) for line in done.stdout.splitlines()]


def checked(path: Path, *words: str) -> tuple[int, dict[str, object]]:
    done = CliRunner().invoke(audit_app, ["verify", "--config", str(path), "--json", *words])
    return done.exit_code, json.loads(done.stdout)


# --- the audit log ----------------------------------------------------------------------------------------------------


def test_the_server_writes_down_what_it_does(served: tuple[Path, str]) -> None:
    path, incident = served
    found = entries(path)
    assert [entry.number for entry in found] == list(range(1, len(found) + 1))
    assert [entry.action for entry in found[:2]] == ["network", "start"]
    start = found[1]
    assert (start.actor, start.subject, start.detail["network"]) == ("server", "server", found[0].subject)
    assert {"network", "configuration_sha256", "software"} == set(start.detail)
    about = entries(path, subject=incident)
    assert {"alert", "decision", "acknowledge"} == {entry.action for entry in about}
    with History.open(path.parent / "shotline.db") as history:
        revisions = {record.revision for record in history.incident_revisions(incident)}
        roots = Casebook(history.database).roots()
    alerts = [entry for entry in about if entry.action == "alert"]
    assert {entry.detail["revision"] for entry in alerts} == revisions
    assert {str(entry.detail["sinks"]) for entry in alerts} == {"{'console': 'taken'}"}
    assert len(roots) == 1
    assert roots[0].number >= max(entry.number for entry in about if entry.action == "decision")


def test_another_start_repeats_nothing_but_itself(copied: tuple[Path, sqlite3.Connection]) -> None:
    path, _ = copied
    before = entries(path)
    config = load_server_config(path)
    with ServerApp(config, alerts_to=io.StringIO(), log_to=io.StringIO(), now_ns=lambda: EPOCH_NS + 3 * HOUR_NS) as app:
        app.step(0)
    after = entries(path)
    assert after[: len(before)] == before
    assert [entry.action for entry in after[len(before) :]] == ["start"]
    code, said = checked(path)
    assert (code, said["faults"]) == (0, [])


def test_a_log_that_is_whole(served: tuple[Path, str]) -> None:
    done = CliRunner().invoke(audit_app, ["verify", "--config", str(served[0])])
    assert done.exit_code == 0
    assert done.stdout.startswith("the audit log is whole: ")
    assert done.stdout.rstrip().endswith(", 1 signed roots")


@pytest.mark.parametrize(
    ("statements", "says"),
    [
        (["DELETE FROM audit WHERE number = 3"], "entry 3 is missing or out of order: found 4"),
        (["DELETE FROM audit WHERE number = 1"], "entry 1 is missing or out of order: found 2"),
        (["UPDATE audit SET actor = 'nobody' WHERE number = 4"], "was changed: its content does not give its digest"),
        (["UPDATE audit SET time_ns = time_ns + 1 WHERE number = 2"], "was changed"),
        (
            [
                "UPDATE audit SET number = -1 WHERE number = 3",
                "UPDATE audit SET number = 3 WHERE number = 4",
                "UPDATE audit SET number = 4 WHERE number = -1",
            ],
            "does not follow the entry before it",
        ),
        (["UPDATE audit_roots SET time_ns = time_ns + 1"], "the signature of its root does not hold"),
    ],
)
def test_tampering_with_an_entry_is_found(
    copied: tuple[Path, sqlite3.Connection], statements: list[str], says: str
) -> None:
    path, db = copied
    for statement in statements:
        assert db.execute(statement).rowcount == 1
    db.commit()
    code, said = checked(path)
    assert code == 1
    faults = said["faults"]
    assert isinstance(faults, list)
    assert says in faults[0]["says"]
    done = CliRunner().invoke(audit_app, ["verify", "--config", str(path)])
    assert done.exit_code == 1
    assert done.stdout.startswith(f"the audit log is not whole: entry {faults[0]['number']}: {faults[0]['says']}")


def test_a_log_written_anew_is_found_by_its_roots(copied: tuple[Path, sqlite3.Connection], tmp_path: Path) -> None:
    """Whoever has the database but not the key writes a log that holds together: without what a person decided."""
    path, db = copied
    out = tmp_path / "root.json"
    done = CliRunner().invoke(audit_app, ["root", "--config", str(path), "--out", str(out)])
    assert done.exit_code == 0, done.output
    kept = [entry for entry in entries(path) if entry.action != "decision"]
    forged: list[AuditEntry] = []
    for entry in kept:
        forged.append(
            follow(
                forged[-1] if forged else None,
                time_ns=entry.time_ns,
                actor=entry.actor,
                action=entry.action,
                subject=entry.subject,
                detail=entry.detail,
            )
        )
    db.execute("DELETE FROM audit")
    for entry in forged:
        row = {name: getattr(entry, name) for name in entry.__struct_fields__}
        row["detail"] = msgspec.json.encode(entry.detail, order="deterministic")
        names = ", ".join(row)
        db.execute(f"INSERT INTO audit ({names}) VALUES ({', '.join(':' + name for name in row)})", row)
    db.commit()
    assert checked(path)[0] == 1
    # With the roots in the database gone too, only what was handed out shows it.
    db.execute("DELETE FROM audit_roots")
    db.commit()
    assert checked(path) == (0, {"ok": True, "entries": len(forged), "roots": 0, "faults": []})
    code, said = checked(path, "--root", str(out))
    assert code == 1
    assert "covers" in str(said["faults"]) or "is not the entry that the root" in str(said["faults"])


def test_a_root_of_somebody_elses_key_is_none_of_yours(copied: tuple[Path, sqlite3.Connection], tmp_path: Path) -> None:
    path, _ = copied
    strange = SigningKey.new(tmp_path / "strange.key")
    text = path.read_text()
    path.write_text(text.replace("audit.key", "strange.key"))
    code, said = checked(path)
    assert code == 1
    assert "which is none of yours" in str(said["faults"])
    own = fingerprint(SigningKey.load(tmp_path / "audit.key").public)
    assert checked(path, "--key", own)[0] == 0
    path.write_text(text)
    assert checked(path, "--key", fingerprint(strange.public))[0] == 0


def test_what_the_audit_commands_refuse(served: tuple[Path, str], tmp_path: Path) -> None:
    (tmp_path / "server.toml").write_text("")
    (tmp_path / "rubbish.json").write_text("{}")
    for words, says in (
        (["show", "--config", str(tmp_path / "server.toml")], "no such file"),
        (["verify", "--config", str(served[0]), "--key", "abc"], "is no fingerprint"),
        (["verify", "--config", str(served[0]), "--root", str(tmp_path / "none.json")], "cannot read the file"),
        (["verify", "--config", str(served[0]), "--root", str(tmp_path / "rubbish.json")], "no root as"),
    ):
        assert says in str(CliRunner().invoke(audit_app, words).exception)
    History.open(tmp_path / "shotline.db").close()
    done = CliRunner().invoke(audit_app, ["root", "--config", str(tmp_path / "server.toml")])
    assert "make a key with" in str(done.exception)


# --- evidence ---------------------------------------------------------------------------------------------------------


def test_a_bundle_holds_all_of_it(served: tuple[Path, str], exported: Path) -> None:
    bundle, data = open_bundle(exported)
    assert verify(bundle, data) == []
    assert (bundle.manifest.incident, bundle.manifest.source) == (served[1], "server")
    assert all(check.identical for check in bundle.checks)
    people = json.loads(bundle.file("decisions.json"))
    assert people["decisions"][0]["note"] == "żółte łuski: 3"
    assert people["acknowledgements"][0]["person"] == "anna"
    assert {item["sink"] for item in json.loads(bundle.file("receipts.json"))} == {"console"}
    sound = json.loads(bundle.file("clips/clips.json"))
    assert [item["file"] for item in sound["clips"]] == ["clips/001_a.flac", "clips/002_b.flac"]
    assert [item["reason"] for item in sound["refused"]] == ["clips_off"]
    assert soundfile.read(io.BytesIO(bundle.file("clips/001_a.flac")))[0].shape == (2 * RATE_HZ,)
    assert {item["node"] for item in json.loads(bundle.file("nodes.json"))} == set(SITES)
    readable = [json.loads(line) for line in bundle.file("detections/readable.jsonl").splitlines()]
    assert {item["node"] for item in readable} == set(SITES)
    assert {item["received_utc"][:10] for item in readable} == {"2026-05-28"}
    assert bundle.audit is not None
    assert {entry.action for entry in bundle.audit.entries} == {"start", "alert", "decision", "acknowledge"}
    assert bundle.audit.log.faults == ()
    assert len(bundle.audit.roots) == 1
    key = SigningKey.load(served[0].parent / "audit.key")
    assert verify(bundle, data, trusted=(fingerprint(key.public),)) == []
    secret = "".join((served[0].parent / "audit.key").read_text().splitlines()[1:-1]).encode()
    assert secret not in data


def test_it_is_located_again_elsewhere(exported: Path, tmp_path: Path) -> None:
    """Another process, another folder, no configuration, and no socket."""
    code = (
        "import socket, sys\n"
        "def refuse(*_, **__): raise AssertionError('asked the network')\n"
        "socket.socket.connect = refuse\n"
        "sys.argv = ['shotline', 'relocate', sys.argv[1], '--json']\n"
        "from fusion_server.evidence_cli import app\n"
        "app()\n"
    )
    moved = tmp_path / "moved.zip"
    moved.write_bytes(exported.read_bytes())
    done = subprocess.run(
        [sys.executable, "-c", code, str(moved)], capture_output=True, text=True, check=False, cwd=tmp_path, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    said = json.loads(done.stdout)
    assert said["identical"]
    assert all(item["identical"] for item in said["revisions"])


def test_a_resurveyed_site_does_not_change_the_evidence(
    served: tuple[Path, str], copied: tuple[Path, sqlite3.Connection], tmp_path: Path
) -> None:
    """The audit log kept the network as it was."""
    path, db = copied
    path.write_text(path.read_text().replace('id = "b"\nx_m = 400.0', 'id = "b"\nx_m = 403.0'))
    out = tmp_path / "later.zip"
    words = ["export", served[1], "--config", str(path), "--out", str(out), "--json"]
    done = CliRunner().invoke(evidence_app, words)
    assert done.exit_code == 0, done.output
    bundle, _ = open_bundle(out)
    assert 403.0 not in [site.x_m for site in bundle.network(bundle.checks[-1].network).sites]
    # Without that part of the log nobody knows where it stood, and the bundle says so.
    db.execute("DELETE FROM audit WHERE action = 'network'")
    db.commit()
    words[5] = str(tmp_path / "lost.zip")
    done = CliRunner().invoke(evidence_app, words)
    assert done.exit_code == 1
    assert "differs in" in json.loads(done.stdout)["not_identical"][0]["reason"]


def test_the_commands_from_end_to_end(exported: Path, tmp_path: Path) -> None:
    run = CliRunner()
    bundle, amended = tmp_path / "bundle.zip", tmp_path / "amended.zip"
    bundle.write_bytes(exported.read_bytes())
    done = run.invoke(evidence_app, ["verify", str(bundle)])
    assert done.exit_code == 0, done.output
    assert "compare the fingerprint" in done.stdout
    made = json.loads(run.invoke(evidence_app, ["key", str(tmp_path / "mine.key"), "--json"]).stdout)
    words = ["amend", str(bundle), "--pick", "b=+0.004", "--by", "R. Examiner", "--why", "onset is later"]
    done = run.invoke(evidence_app, [*words, "--sign-with", str(tmp_path / "mine.key"), "--out", str(amended)])
    assert done.exit_code == 0, done.output
    assert "shot 1 moves" in done.stdout
    done = run.invoke(evidence_app, ["relocate", str(amended)])
    assert done.exit_code == 0
    assert "amendment 1: identical" in done.stdout
    done = run.invoke(evidence_app, ["verify", str(amended), "--key", made["fingerprint"], "--json"])
    assert done.exit_code == 1
    assert "what amendment 1 was made from: signature.json: signed by" in json.loads(done.stdout)["problems"][0]
    done = run.invoke(evidence_app, ["report", str(amended)])
    assert done.exit_code == 0, done.output
    assert (tmp_path / "amended.pdf").read_bytes().startswith(b"%PDF")
    changed = bytearray(bundle.read_bytes())
    changed[changed.index(b'"person": "anna"') + 12] ^= 1
    bundle.write_bytes(changed)
    done = run.invoke(evidence_app, ["verify", str(bundle)])
    assert done.exit_code == 1
    assert "decisions.json" in done.stdout
    assert "the bundle is NOT what was signed" in done.stdout
    done = run.invoke(evidence_app, ["relocate", str(bundle)])
    assert "is not what was signed" in str(done.exception)


def test_what_the_evidence_commands_refuse(served: tuple[Path, str], exported: Path, tmp_path: Path) -> None:
    path, incident = served
    mine = SigningKey.new(tmp_path / "mine.key")
    (tmp_path / "none.toml").write_text("")
    amend = ["amend", str(exported), "--by", "a", "--why", "b", "--sign-with", str(tmp_path / "mine.key")]
    for words, says in (
        (["export", "nothing", "--config", str(path)], "no incident 'nothing'"),
        (["export", incident, "--config", str(tmp_path / "none.toml")], "no such file"),
        (["export", incident, "--config", str(path), "--dataset", "x"], "goes with --replay only"),
        (["export", incident, "--config", str(path), "--out", str(exported)], "is there already"),
        (["export", incident, "--replay", str(tmp_path)], "name the dataset"),
        (["verify", str(tmp_path / "none.zip")], "no such file"),
        (["verify", str(exported), "--key", mine.public[:9]], "is no fingerprint"),
        ([*amend, "--pick", "b"], "expected a node and seconds"),
        ([*amend, "--pick", "b=soon"], "expected a node and seconds"),
        ([*amend, "--pick", "b=0.1", "--pick", "b=0.2"], "each node once"),
        ([*amend, "--pick", "z=0.1"], "node 'z' has 0 arrivals"),
    ):
        assert says in str(CliRunner().invoke(evidence_app, words).exception), words


def test_detections_alone_write_nothing(copied: tuple[Path, sqlite3.Connection]) -> None:
    """Thousands of them a second would be a log that nobody can read, and a disk that is full."""
    path, _ = copied
    before = len(entries(path))
    with ServerApp(
        load_server_config(path), alerts_to=io.StringIO(), log_to=io.StringIO(), now_ns=lambda: EPOCH_NS + 5 * HOUR_NS
    ) as app:
        history = app.history
        items = [detection("a", EPOCH_NS + 5 * HOUR_NS + number) for number in range(3_000)]
        numbered = [msgspec.structs.replace(item, sequence=number + 1) for number, item in enumerate(items)]
        history.store([StoredDetection(item, encode(item), EPOCH_NS) for item in numbered])
        for _ in range(20):
            app.step(0)
    assert len(entries(path)) == before + 1


def test_trouble_with_the_audit_log_stops_no_alert(
    copied: tuple[Path, sqlite3.Connection], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, _ = copied
    log = io.StringIO()
    seconds = iter(range(0, 10**9, 2))

    def refuse(*_: object, **__: object) -> None:
        raise StorageError("the disk is full")

    with ServerApp(
        load_server_config(path),
        alerts_to=io.StringIO(),
        log_to=log,
        now_ns=lambda: EPOCH_NS + 5 * HOUR_NS,
        monotonic_s=lambda: float(next(seconds)),
    ) as app:
        monkeypatch.setattr(History, "receipts_after", refuse)
        for _ in range(3):
            app.step(0)
    assert log.getvalue().count('"event": "audit_not_kept"') == 1
