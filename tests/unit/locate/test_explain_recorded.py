"""A shot of an incident record as an explanation: which one, on which map, in which air."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import msgspec
import pytest
from explain_samples import NAMES, words
from locate_samples import ORIGIN_NS
from record_samples import crowded_shot, dataset, record, server_toml, shot, written

import fusion_server.explain.recorded as recorded
from fusion_server.explain import Explanation
from fusion_server.explain.picture import draw
from fusion_server.explain.recorded import Network, explain_record, find_incident, find_shot, read_network
from shotline.atmosphere import Weather
from shotline.domain import Location, LostHypothesis, Root
from shotline.errors import ConfigError, DatasetError, InputError

WEATHER = Weather(temperature_c=3.0, wind_speed_mps=6.0, wind_from_deg=270.0)


def explained(tmp_path: Path, network: Network, number: int = 2) -> Explanation:
    return explain_record(record(), number, source=tmp_path / "x.jsonl", network=network, weather=WEATHER)


def _in_whole_us(value: object) -> object:
    if isinstance(value, Root | LostHypothesis):
        return dataclasses.replace(value, origin_time_ns=round(value.origin_time_ns, -3))
    return tuple(map(_in_whole_us, value)) if isinstance(value, tuple) else value


def test_public_names_exist() -> None:
    assert all(hasattr(recorded, name) for name in recorded.__all__)


class TestWhichIncident:
    def test_the_only_one_needs_no_name_and_the_latest_revision_counts(self, tmp_path: Path) -> None:
        path = written(tmp_path, record(revision=1, rounds=1), record(revision=3), record(revision=2, rounds=1))
        assert find_incident(path, incident_id=None).revision == 3

    def test_an_id_or_how_it_begins_names_one(self, tmp_path: Path) -> None:
        path = written(tmp_path, record("81d9"), record("81"), record("a2"))
        assert find_incident(path, incident_id="a").id == "a2"
        assert find_incident(path, incident_id="81").id == "81"
        assert find_incident(path, incident_id="81d").id == "81d9"

    def test_what_names_none_or_several_is_refused(self, tmp_path: Path) -> None:
        path = written(tmp_path, *(record(f"a{number}") for number in range(8)))
        with pytest.raises(InputError, match=r"incidents.jsonl: --id: no incident 'z'; there are a0, .*a5 and 2 more"):
            find_incident(path, incident_id="z")
        with pytest.raises(InputError, match="--id: 8 incidents; name one of a0, a1"):
            find_incident(path, incident_id=None)

    def test_files_that_hold_none(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match=r"cannot read the file: No such file"):
            find_incident(tmp_path / "none.jsonl", incident_id=None)
        path = tmp_path / "x.jsonl"
        path.write_bytes(b"\xff")
        with pytest.raises(InputError, match="not UTF-8 text"):
            find_incident(path, incident_id=None)
        path.write_text("\n\n")
        with pytest.raises(InputError, match="no incident in the file"):
            find_incident(path, incident_id=None)
        path.write_bytes(msgspec.json.encode(record()) + b'\n{"id": 5}\n')
        with pytest.raises(InputError, match=r"x.jsonl:2: not an incident record: .*\$\.id"):
            find_incident(path, incident_id=None)
        path.write_text("{")
        with pytest.raises(InputError, match=r"x.jsonl:1: not an incident record"):
            find_incident(path, incident_id=None)

    @pytest.mark.parametrize("number", [0, 3, -1])
    def test_shots_are_counted_from_1(self, number: int) -> None:
        found = record()
        assert find_shot(found, 2, source=Path("x")) is found.shots[1]
        with pytest.raises(InputError, match=rf"x: --shot: no shot {number}; incident 81d9 has 2, counted from 1"):
            find_shot(found, number, source=Path("x"))


class TestWhere:
    def test_a_server_says_where_its_nodes_stand(self, tmp_path: Path) -> None:
        network = read_network(server_toml(tmp_path), scene="")
        assert set(network.sites) == {*NAMES, "mute", "spare"}
        assert network.weather.at(ORIGIN_NS).temperature_c == 3.0
        assert network.frame is not None
        assert network.frame.lat_deg == 40.44

    def test_a_dataset_says_it_for_each_scene(self, tmp_path: Path) -> None:
        folder = dataset(tmp_path, "one", "two")
        for path in (folder, folder / "dataset.toml"):
            network = read_network(path, scene="two")
            assert (network.sites["school"].x_m, network.frame) == (-300.0, None)
            assert network.weather.at(ORIGIN_NS).wind_speed_mps == 6.0
        with pytest.raises(DatasetError, match="no scene three; there are one, two"):
            read_network(folder, scene="three")
        with pytest.raises(InputError, match="--nodes: the record names no scene, and there are 2: one, two"):
            read_network(folder, scene="")
        assert set(read_network(dataset(tmp_path, "one"), scene="").sites) == {*NAMES, "mute", "spare"}

    def test_what_is_neither_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="cannot read the file"):
            read_network(tmp_path / "none.toml", scene="")
        with pytest.raises(DatasetError, match="not a dataset that any loader knows"):
            read_network(tmp_path, scene="")


class TestExplanation:
    def test_is_the_shot_that_was_recorded_on_the_map_that_was_given(self, tmp_path: Path) -> None:
        explanation = explained(tmp_path, read_network(server_toml(tmp_path), scene=""))
        original, found = shot(10**9).location, explanation.found
        assert isinstance(found, Location)
        assert (found.x_m, found.y_m) == (60.0, -90.0)
        # Lengths are recorded in millimetres, instants and residuals in microseconds.
        assert abs(found.origin_time_ns - original.origin_time_ns) <= 500
        assert found.ellipse95.semi_major_m == pytest.approx(original.ellipse95.semi_major_m, abs=1e-3)
        for one, two in zip(found.verdicts, original.verdicts, strict=True):
            assert one.arrival.site == two.arrival.site
            assert (one.arrival.uid, one.arrival.time_ns) == (two.arrival.uid, two.arrival.time_ns)
            assert (one.used, one.reason) == (two.used, two.reason)
            assert one.residual_s == pytest.approx(two.residual_s, abs=1e-6)
        assert explanation.title == "Why this place: incident 81d9, revision 1, shot 2 of 2"
        assert {site.node for site in explanation.sites} == {*NAMES, "mute", "spare"}
        assert (explanation.weather, explanation.notation.clock_text) == (WEATHER, True)
        assert not explanation.sigma_s, "a record does not say how good an arrival time was"

    def test_holds_everything_that_the_record_does(self, tmp_path: Path) -> None:
        full, network = crowded_shot(), read_network(server_toml(tmp_path), scene="")
        path = written(tmp_path, record(shots=(full,)))
        explanation = explain_record(
            find_incident(path, incident_id=None), 1, source=path, network=network, weather=WEATHER
        )
        found, original = explanation.found, full.location
        assert isinstance(found, Location)
        for name in ("region95", "weight", "alternatives", "z_sigma_m"):
            # Instants are recorded in microseconds.
            assert _in_whole_us(getattr(found, name)) == _in_whole_us(getattr(original, name)), name
        for name in ("ellipse50", "ellipse90", "ellipse95"):
            assert getattr(found, name).semi_minor_m == pytest.approx(getattr(original, name).semi_minor_m, abs=1e-3)
        assert explanation.silent == full.silent
        assert _in_whole_us(explanation.lost) == _in_whole_us(full.lost)
        (passed,), (expected,) = explanation.passed_over, full.passed_over
        assert (passed.arrival.site, passed.used, passed.reason) == (expected.arrival.site, False, expected.reason)
        assert passed.residual_s == expected.residual_s
        said = words(draw(explanation))
        for part in ("lost 1", "explains fewer nodes", "given to another shot", "would have reported it with 93 %"):
            assert part in said

    def test_a_node_that_the_network_does_not_have_is_named(self, tmp_path: Path) -> None:
        network = read_network(server_toml(tmp_path), scene="")
        fewer = dataclasses.replace(network, sites={name: network.sites[name] for name in ("school", "mute")})
        with pytest.raises(InputError, match=r"x.jsonl: --nodes: node '\w+' of the record has no site in .*toml"):
            explained(tmp_path, fewer)
