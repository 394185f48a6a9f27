"""``shotline calibrate self-survey``: from files, or a server's database, to a table, records, a plot."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from survey_files import START_NS, heard_text, incident_of, server_text, write_survey
from survey_samples import Truth, made_up
from typer.testing import CliRunner

from fusion_server.evidence.signing import SigningKey
from fusion_server.history import History
from shotline.errors import InputError
from shotline_calibration.cli import app
from shotline_calibration.recordbook import RecordBook
from shotline_calibration.self_survey.result import SelfSurveyResult

RUN = CliRunner()


@pytest.fixture(scope="module")
def truth() -> Truth:
    return made_up(1, impulses=24, known=14)


@pytest.fixture
def kept(tmp_path: Path) -> list[str]:
    SigningKey.new(tmp_path / "k")
    return ["--by", "Ann", "--sign-with", str(tmp_path / "k"), "--records", str(tmp_path / "records")]


def run(*words: object) -> str:
    done = RUN.invoke(app, ["self-survey", *(str(word) for word in words)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def test_known_impulses_make_records_that_configurations_follow(truth: Truth, kept: list[str], tmp_path: Path) -> None:
    network, heard, known = write_survey(tmp_path, truth)
    plot = tmp_path / "plot.svg"
    text = run("--network", network, "--heard", heard, "--known", known, "--plot", plot, *kept)
    assert "records      13 in" in text
    assert "mirror" not in text
    assert "where the network is as a whole" not in text
    assert "an error that all clocks share" in text
    picture = plot.read_text(encoding="utf-8")
    assert all(part in picture for part in ('id="moves"', 'id="clocks"', 'id="residuals"', 'id="impulses"'))
    book = RecordBook.read(tmp_path / "records")
    assert len(book.records) == 13
    assert not book.faults
    result = book.current("roof-03", "self-survey")
    assert result is not None
    found = result.record.result
    assert isinstance(found, SelfSurveyResult)
    assert found.found is not None
    assert found.site_settings("roof-03")["sigma_m"] == pytest.approx(found.found.sigma_m, abs=0.001)
    assert [item.name for item in result.record.inputs] == ["server.toml", "heard.csv", "known.csv"]
    assert any("moved" in sentence for sentence in found.sentences())
    whole = book.current("", "self-survey")
    assert whole is not None
    assert whole.record.result.site_settings("roof-03") == {}
    assert any(sentence.startswith("paths add") for sentence in whole.record.result.sentences())


def test_without_known_places_it_says_what_is_not_told(truth: Truth, tmp_path: Path) -> None:
    network, heard, _ = write_survey(tmp_path, truth)
    said = json.loads(run("--network", network, "--heard", heard, "--json"))
    words = " ".join(said["network"]["not_told"])
    for part in (
        "as a whole",
        "turned",
        "mirror image",
        "how large",
        "heights of",
        "all clocks share",
        "wind and a tilt",
    ):
        assert part in words
    assert said["records"] == {}
    rows = {row["node"]: row for row in said["nodes"]}
    before = sum((rows[n.node]["surveyed_x_m"] - t[0]) ** 2 for n, t in zip(truth.nodes, truth.node_m, strict=True))
    after = sum((rows[n.node]["x_m"] - t[0]) ** 2 for n, t in zip(truth.nodes, truth.node_m, strict=True))
    assert after < 0.7 * before
    assert all(row["sigma_m"] < row["surveyed_sigma_m"] == 3.0 for row in rows.values())
    assert {row["why"] for row in said["set_aside"]} <= {
        "late: by a detour, or an echo",
        "early: another sound, or the others of it are late",
        "no place fits it alone: two fit, or fewer than 4 of its arrivals agree",
    }


def test_what_a_server_keeps_tells_as_much_as_a_table(truth: Truth, tmp_path: Path) -> None:
    network, _, known = write_survey(tmp_path, truth)
    database = tmp_path / "shotline.db"
    with History.open(database) as history:
        for impulse in truth.impulses:
            arrivals = [
                (truth.nodes[node].node, START_NS + round(time_s * 1e9), True)
                for node, time_s in zip(impulse.nodes, impulse.arrival_s, strict=True)
            ]
            assert history.append_incident(incident_of(impulse.name, arrivals))
    # The server names a shot by its incident and its number in it.
    known.write_text(re.sub(r"^(bang \d+),", r"\1/1,", known.read_text(), flags=re.MULTILINE), encoding="utf-8")
    words = ["--since", "2026-12-01T00:00:00Z", "--until", "2026-12-02T00:00:00Z", "--known", known, "--json"]
    kept = json.loads(run("--network", network, "--database", database, *words))
    assert kept["network"]["impulses_known"] >= 10
    assert all(row["sigma_m"] < 1.5 for row in kept["nodes"])


def test_a_frame_of_metres_gives_a_table_and_no_record(truth: Truth, kept: list[str], tmp_path: Path) -> None:
    network, heard, _ = write_survey(tmp_path, truth, frame=False)
    text = run("--network", network, "--heard", heard, "--sigma-m", 2.0)
    assert "roof-12" in text
    assert "no record was made" in text
    with pytest.raises(InputError, match=r"server\.toml: has no \[frame\]"):
        run("--network", network, "--heard", heard, *kept)


def test_a_node_that_heard_little_is_named(tmp_path: Path) -> None:
    truth = made_up(3, impulses=20)
    few = [
        replace(
            impulse,
            nodes=tuple(node for node in impulse.nodes if node != 2),
            arrival_s=tuple(t for node, t in zip(impulse.nodes, impulse.arrival_s, strict=True) if node != 2),
            sigma_s=tuple(s for node, s in zip(impulse.nodes, impulse.sigma_s, strict=True) if node != 2),
        )
        for impulse in truth.impulses
    ]
    network, heard = tmp_path / "server.toml", tmp_path / "heard.csv"
    network.write_text(server_text(truth), encoding="utf-8")
    heard.write_text(heard_text(replace(truth, impulses=few)) + f"bang 1,stranger,{START_NS},0.001\n")
    said = json.loads(run("--network", network, "--heard", heard, "--json"))
    assert any("roof-03: fewer than 5 impulses" in text for text in said["network"]["not_told"])
    assert said["left_out"] == {"arrivals of nodes that have no site": 1}


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "--heard: expected --heard FILE or --database URL: one of them"),
        (["--heard", "{heard}", "--database", "x.db"], "one of them"),
        (["--heard", "{heard}", "--since", "2026-01-01T00:00:00Z"], "go with --database only"),
        (["--database", "nowhere.db"], "no such database"),
        (["--heard", "{heard}", "--plot", "x.txt"], "does not end in"),
        (["--heard", "{heard}", "--by", "Ann"], "--by and --sign-with go together"),
    ],
)
def test_options_that_do_not_go_together(truth: Truth, tmp_path: Path, words: list[str], says: str) -> None:
    network, heard, _ = write_survey(tmp_path, truth)
    with pytest.raises(InputError, match=says):
        run("--network", network, *(word.format(heard=heard) for word in words))
