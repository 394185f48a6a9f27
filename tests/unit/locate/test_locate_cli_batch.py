"""``shotline locate --batch``: many shots of one table; and the columns that every table may have."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from table_samples import rows, run, table

from fusion_server.arrival_table import COLUMNS, read_arrivals
from shotline.errors import InputError

HEADER = "node,x_m,y_m,time_s,shot"
SHOTS = {"first": (130.0, 90.0), "second": (300.0, 200.0), "third": (50.0, 250.0)}


def many(tmp_path: Path, *, mixed: bool = False) -> Path:
    """Return a table of three shots, whose rows may be in any order."""
    lines = [line for name, shot in SHOTS.items() for line in rows(shot, name=name)]
    if mixed:
        lines = [line for index in range(5) for line in lines[index::5]]
    return table(tmp_path, *lines, header=HEADER)


@pytest.mark.parametrize("mixed", [False, True])
def test_every_shot_of_a_table_is_located(mixed: bool, tmp_path: Path) -> None:
    result = run(many(tmp_path, mixed=mixed), "--batch", "--json")
    assert result.exit_code == 0
    documents = [json.loads(line) for line in result.stdout.splitlines()]
    assert [item["shot"] for item in documents] == list(SHOTS)
    for document in documents:
        # Times are rounded to 1 ns; the fix is exact but for the weak priors on speed and wind.
        assert math.dist((document["x_m"], document["y_m"]), SHOTS[document["shot"]]) < 0.01


def test_a_shot_is_the_same_alone_and_in_company(tmp_path: Path) -> None:
    path = many(tmp_path)
    together = [json.loads(line) for line in run(path, "--batch", "--json").stdout.splitlines()]
    for document in together:
        alone = json.loads(run(path, "--shot", document["shot"], "--json").stdout)
        assert {"shot": document["shot"]} | alone == document


def test_a_table_for_people(tmp_path: Path) -> None:
    lines = [*rows(SHOTS["first"], name="first"), *rows(SHOTS["second"], nodes="ab", name="[second]")]
    result = run(table(tmp_path, *lines, header=HEADER), "--batch")
    assert result.exit_code == 3, "one has no place"
    first, second, last = result.stdout.splitlines()[1:]
    assert first.split()[:7] == ["first", "x", "130.00", "m,", "y", "90.00", "m"]
    assert "5 of 5" in first
    assert second.startswith("[second]")
    assert "no place" in second
    assert second.rstrip().endswith("a fix in the plane needs 3")
    assert last == "1 of 2 shots located"


def test_refusals_among_lines_of_json(tmp_path: Path) -> None:
    lines = [*rows(SHOTS["first"], name="1"), *rows(SHOTS["second"], nodes="ab", name="2")]
    result = run(table(tmp_path, *lines, header=HEADER), "--batch", "--json")
    documents = [json.loads(line) for line in result.stdout.splitlines()]
    assert (result.exit_code, [item["located"] for item in documents]) == (3, [True, False])
    assert documents[1]["reason"] == "too_few_nodes"


def test_a_table_of_many_needs_to_be_told_which(tmp_path: Path) -> None:
    path = many(tmp_path)
    with pytest.raises(InputError, match=r"arrivals.csv: shot: 3 shots \(first, second, third\); add --batch for all"):
        run(path)
    with pytest.raises(InputError, match="shot: no shot 'fourth'; there are first, second, third"):
        run(path, "--shot", "fourth")


def test_a_table_of_one_has_no_shots_to_name(tmp_path: Path) -> None:
    path = table(tmp_path, *rows(SHOTS["first"]))
    with pytest.raises(InputError, match="shot: no such column; --batch needs the name of its shot in each row"):
        run(path, "--batch")
    with pytest.raises(InputError, match="shot: no shot 'a'; the table has no column for it"):
        run(path, "--shot", "a")


def test_a_row_without_its_shot_is_named(tmp_path: Path) -> None:
    path = table(tmp_path, *rows(SHOTS["first"], name="a"), "b,400,0,1.0,", header=HEADER)
    with pytest.raises(InputError, match=r"arrivals.csv:7: shot: not every row has a shot"):
        read_arrivals(path)


def test_levels_and_snr_are_read(tmp_path: Path) -> None:
    header = "node,x_m,y_m,time_s,snr_db,level_db"
    lines = [f"{line},{20 + index},{-30 - index}" for index, line in enumerate(rows(SHOTS["first"]))]
    arrivals = read_arrivals(table(tmp_path, *lines, header=header)).arrivals
    assert [item.snr_db for item in arrivals] == [20, 21, 22, 23, 24]
    assert [item.level_db for item in arrivals] == [-30, -31, -32, -33, -34]
    path = table(tmp_path, *lines[:-1], lines[-1].replace("24", "loud"), header=header)
    with pytest.raises(InputError, match=r":6: snr_db: 'loud' is not a number"):
        read_arrivals(path)


def test_a_level_that_is_not_given_is_not_low(tmp_path: Path) -> None:
    arrivals = read_arrivals(table(tmp_path, *rows(SHOTS["first"]))).arrivals
    assert all(math.isnan(item.level_db) for item in arrivals)
    assert {item.snr_db for item in arrivals} == {20.0}


def test_the_snr_of_an_arrival_is_used(tmp_path: Path) -> None:
    """An onset at 0 dB is known ten times worse than one at 20."""
    sigmas = []
    for snr_db in (20, 0):
        lines = [f"{line},{snr_db}" for line in rows(SHOTS["first"])]
        path = table(tmp_path, *lines, header="node,x_m,y_m,time_s,snr_db")
        sigmas.append(json.loads(run(path, "--json").stdout)["time_sigma_s"])
    assert sigmas[1] > 1.2 * sigmas[0]


@pytest.mark.parametrize("option", ["--temperature-sigma-c", "--wind-sigma-mps"])
def test_the_error_of_the_weather_is_used(option: str, tmp_path: Path) -> None:
    path = table(tmp_path, *rows((380.0, 280.0)))
    small, large = (
        json.loads(run(path, "--json", option, value).stdout)["ellipse95"]["semi_major_m"] for value in (0, 8)
    )
    assert large > 1.05 * small


def test_every_column_is_in_the_help() -> None:
    said = " ".join(run("--help").stdout.split())
    for column in COLUMNS:
        assert column in said
