"""``shotline locate`` draws why, for a table and for an incident; and which options go together."""

from __future__ import annotations

import json
import math
from pathlib import Path

import msgspec
import pytest
from record_samples import dataset, record, server_toml, written
from table_samples import rows, run, table

from fusion_server.explain import Explanation
from shotline.atmosphere import Weather, speed_of_sound_mps
from shotline.domain import Location, NoLocation
from shotline.errors import InputError


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Explanation]:
    """Return the list of what is drawn, as it is drawn."""
    import fusion_server.explain.picture as picture

    seen: list[Explanation] = []
    real = picture.draw

    def draw(explanation: Explanation) -> object:
        seen.append(explanation)
        return real(explanation)

    monkeypatch.setattr(picture, "draw", draw)
    return seen


class TestTable:
    @pytest.mark.parametrize("ending", ["png", "svg", "pdf"])
    def test_a_place_is_drawn(self, ending: str, tmp_path: Path, drawn: list[Explanation]) -> None:
        path = tmp_path / f"why.{ending}"
        result = run(table(tmp_path, *rows((130.0, 90.0), late_s=0.2)), "--explain", path, "--wind-sigma-mps", 2)
        assert result.exit_code == 0
        assert f"drawn in {path}" in result.stdout
        assert path.stat().st_size > 5_000
        (explanation,) = drawn
        assert explanation.title == "Why this place: arrivals.csv"
        assert isinstance(explanation.found, Location)
        assert [item.used for item in explanation.found.verdicts].count(False) == 1
        assert explanation.weather == Weather(wind_sigma_mps=2.0)
        # Marks are there for all, and are those of the path, some milliseconds.
        assert len(explanation.sigma_s) == 5
        assert all(0.001 < sigma_s < 0.02 for sigma_s in explanation.sigma_s.values())
        aside = next(item for item in explanation.found.verdicts if not item.used)
        sigmas = aside.residual_s / explanation.sigma_s[aside.arrival.uid]
        assert f"({sigmas:.1f} sigma)" in aside.reason

    def test_two_places_are_drawn_with_their_weights(self, tmp_path: Path, drawn: list[Explanation]) -> None:
        result = run(table(tmp_path, *rows((-60.0, -40.0), nodes="abd")), "--explain", tmp_path / "why.png")
        assert result.exit_code == 3
        assert (tmp_path / "why.png").is_file()
        (explanation,) = drawn
        assert explanation.title == "Why there is no place: arrivals.csv"
        assert isinstance(explanation.found, NoLocation)
        weights = [root.weight for root in explanation.found.roots]
        assert sum(weights) == pytest.approx(1.0)
        for weight in weights:
            assert f", weight {100 * weight:.0f} %" in result.stdout
        document = json.loads(run(tmp_path / "arrivals.csv", "--json").stdout)
        assert [root["weight"] for root in document["roots"]] == weights

    def test_a_refusal_without_roots_is_drawn(self, tmp_path: Path, drawn: list[Explanation]) -> None:
        result = run(table(tmp_path, *rows((-60.0, -40.0), nodes="ab")), "--explain", tmp_path / "why.png")
        assert result.exit_code == 3
        assert "no place: 2 node(s) heard it" in result.stdout
        assert len(drawn) == 1

    def test_json_alone_is_on_standard_output(self, tmp_path: Path) -> None:
        path = table(tmp_path, *rows((130.0, 90.0)))
        document = json.loads(run(path, "--json", "--explain", tmp_path / "why.png").stdout)
        assert document["ellipse50"]["semi_major_m"] < document["ellipse90"]["semi_major_m"]
        assert document["ellipse90"]["semi_major_m"] < document["ellipse95"]["semi_major_m"]
        assert document["weight"] == pytest.approx(1.0)
        assert (tmp_path / "why.png").is_file()

    def test_slant_paths_are_drawn_at_the_height_of_the_source(self, tmp_path: Path, drawn: list[Explanation]) -> None:
        path = table(tmp_path, *rows((130.0, 90.0)))
        for height in ("planar", "known", "free"):
            run(path, "--height", height, "--height-m", 12, "--explain", tmp_path / "why.png")
        planar, known, free = drawn
        assert (planar.height_m, known.height_m) == (None, 12.0)
        assert isinstance(free.found, Location)
        assert free.height_m == free.found.z_m

    def test_an_echo_of_a_node_has_no_residual_in_json(self, tmp_path: Path) -> None:
        """JSON has no word for what is not a number."""
        late = f"a,0,0,{math.dist((0, 0), (130, 90)) / speed_of_sound_mps(15.0) + 0.5}"
        document = json.loads(
            run(table(tmp_path, *rows((130.0, 90.0)), late), "--json").stdout, parse_constant=pytest.fail
        )
        assert [item["residual_s"] for item in document["arrivals"] if not item["used"]] == [None]


class TestRegion:
    def test_outside_the_array_it_says_so(self, tmp_path: Path) -> None:
        """Five nodes half a kilometre wide tell the direction of a sound 1.5 km away, and hardly how far."""
        path = table(tmp_path, *rows((1600.0, 500.0)))
        said = run(path, "--explain", tmp_path / "why.png").stdout
        assert "outside the array: the truth is somewhere in" in said
        assert "a region and not a dot" in said
        (ring,) = json.loads(run(path, "--json").stdout)["region95"]
        assert len(ring) >= 3
        assert set(ring[0]) == {"x_m", "y_m"}


class TestIncident:
    @pytest.mark.parametrize("kind", ["server", "dataset"])
    def test_a_shot_of_a_record_is_drawn(self, kind: str, tmp_path: Path, drawn: list[Explanation]) -> None:
        nodes = server_toml(tmp_path) if kind == "server" else dataset(tmp_path, "one", "two")
        path = written(tmp_path, record(scene="two" if kind == "dataset" else ""))
        result = run("--incident", path, "--shot", 2, "--nodes", nodes, "--explain", tmp_path / "why.png")
        assert result.exit_code == 0
        assert (tmp_path / "why.png").is_file()
        (explanation,) = drawn
        assert explanation.title.endswith("shot 2 of 2")
        assert explanation.weather == Weather(temperature_c=3.0, wind_speed_mps=6.0, wind_from_deg=270.0)
        assert "95 % within 11.0 m" in result.stdout
        assert "set aside: 200 ms later, likely an echo" in result.stdout

    def test_options_say_the_weather_better_than_the_network(self, tmp_path: Path, drawn: list[Explanation]) -> None:
        path, nodes = written(tmp_path, record()), server_toml(tmp_path)
        run("--incident", path, "--nodes", nodes, "--explain", tmp_path / "why.png", "--temperature-c", 30)
        assert drawn[0].weather == Weather(temperature_c=30.0, wind_speed_mps=6.0, wind_from_deg=270.0)
        assert drawn[0].title.endswith("shot 1 of 2")

    def test_json(self, tmp_path: Path) -> None:
        path, nodes = written(tmp_path, record()), server_toml(tmp_path)
        document = json.loads(run("--incident", path, "--nodes", nodes, "--json").stdout, parse_constant=pytest.fail)
        assert (document["x_m"], document["time_sigma_s"]) == (60.0, None)
        assert document["lat_deg"] == pytest.approx(40.439, abs=1e-3)

    def test_a_file_of_the_server_is_read(self, tmp_path: Path) -> None:
        """A later field, which this version does not know, is no obstacle."""
        path = tmp_path / "alerts.jsonl"
        content = msgspec.json.decode(msgspec.json.encode(record())) | {"later": 1}
        path.write_bytes(msgspec.json.encode(content) + b"\n")
        assert run("--incident", path, "--nodes", server_toml(tmp_path)).exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "ARRIVALS: expected a table of arrivals or --incident"),
        (("x.csv", "--incident", "x.jsonl"), "ARRIVALS: expected a table of arrivals or --incident"),
        (("x.csv", "--id", "a"), "--id: goes with --incident only"),
        (("x.csv", "--nodes", "a"), "--nodes: goes with --incident only"),
        (("--incident", "x.jsonl", "--batch"), "--batch: an incident is located already"),
        (("--incident", "x.jsonl", "--height", "planar"), "--height: an incident is located already"),
        (("--incident", "x.jsonl", "--height-m", "0"), "--height-m: an incident is located already"),
        (("x.csv", "--batch", "--shot", "a"), "--shot: is about one shot"),
        (("x.csv", "--batch", "--explain", "x.png"), "--explain: is about one shot"),
        (("x.csv", "--explain", "x.gif"), "x.gif: --explain: cannot tell the kind of picture from '.gif'"),
        (("--incident", "x.jsonl"), "--nodes: missing; a record does not say where its nodes stand"),
        (("--incident", "x.jsonl", "--nodes", "n", "--shot", "one"), "--shot: 'one' is not a number"),
        (("x.csv", "--temperature-c", "300"), "air temperature 300 °C is outside"),
    ],
)
def test_options_that_do_not_go_together(
    arguments: tuple[str, ...], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    table(tmp_path, *rows((130.0, 90.0))).rename("x.csv")
    with pytest.raises(InputError) as caught:
        run(*arguments)
    assert message in str(caught.value)


def test_nothing_is_drawn_or_located_for_a_name_that_cannot_be(tmp_path: Path, drawn: list[Explanation]) -> None:
    with pytest.raises(InputError, match="no such folder"):
        run(table(tmp_path, *rows((130.0, 90.0))), "--explain", tmp_path / "none" / "why.png")
    assert not drawn


def test_help_needs_neither_matplotlib_nor_the_locator() -> None:
    result = run("--help")
    assert result.exit_code == 0
    for option in ("--explain", "--incident", "--batch", "--temperature-sigma-c", "--wind-sigma-mps", "--nodes"):
        assert option in result.stdout
