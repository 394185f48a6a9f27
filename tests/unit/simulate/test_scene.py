"""Scene files and what becomes of them: mistakes named, faults where they belong, towns, terrain, scatter."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scene_samples import scene

from shotline.domain import ImpulseKind
from shotline.errors import ConfigError, DatasetError, InputError
from shotline_recordings.scene import SceneFile, load_scene, shipped_scene, shipped_scenes
from shotline_recordings.simulate.stage import set_stage

SHIPPED = shipped_scene().read_text(encoding="utf-8")
FAMILIES = {
    "open-field",
    "suburb",
    "downtown-canyon",
    "hilly-valley",
    "airport-wind",
    "new-years-eve",
    "two-shooters",
    "automatic-fire",
    "outside-the-array",
    "clock-off",
    "node-moved",
    "rooftop-shooter",
}


def refused(words: str, **changes: Any) -> None:
    with pytest.raises(InputError, match=words):
        set_stage(scene(**changes), seed=1)


def test_every_promised_scene_is_shipped_and_can_be_staged() -> None:
    scenes = shipped_scenes()
    assert set(scenes) == FAMILIES | {"city-block"}
    for name, path in scenes.items():
        made = load_scene(path)
        assert made.name == name
        assert made.about
        stage = set_stage(made, seed=made.seed)
        assert any(event.kind is ImpulseKind.GUNSHOT for event in stage.named)


def test_the_demo_scene_is_what_the_demo_promises() -> None:
    made = load_scene(shipped_scene())
    assert len(made.nodes) == 10
    assert sorted(len(item.times_s or ()) for item in made.shots) == [1, 3]
    assert len(made.bangs) == 2


def test_scenes_show_what_their_names_say() -> None:
    def stage(name: str) -> Any:
        made = load_scene(shipped_scene(name))
        return set_stage(made, seed=made.seed)

    eve = stage("new-years-eve")
    shots = [event for event in eve.named if event.kind is ImpulseKind.GUNSHOT]
    assert len(shots) == 10
    # A Poisson number of mean 5,000 is within 3 sigma of it.
    assert abs(eve.n_events - len(eve.named) - 5_000) < 3 * math.sqrt(5_000)
    pair = stage("two-shooters").named
    assert math.dist(pair[0].discharges[0].position_m, pair[1].discharges[0].position_m) == pytest.approx(40.0, abs=1.0)
    late = next(node for node in stage("clock-off").nodes if node.clock.scenario == "stepped")
    assert float(late.clock.timestamp_error_s(np.zeros(1))[0]) == pytest.approx(0.010, abs=1e-4)
    moved = [math.hypot(*(n.position_m[:2] - (n.site.x_m, n.site.y_m))) for n in stage("node-moved").nodes]
    # The survey's own error, 0.3 m per axis, is in it.
    assert sum(distance > 25.0 for distance in moved) == 1
    assert max(moved) == pytest.approx(30.0, abs=1.5)
    roof = stage("rooftop-shooter")
    shooter = np.array([roof.named[0].discharges[0].position_m])
    assert roof.city.buildings[int(roof.city.building_at(shooter)[0])].name == "tower"
    gaps_s = np.diff([item.time_s for item in stage("automatic-fire").named[1].discharges])
    assert 60.0 / gaps_s.mean() == pytest.approx(950.0, rel=0.03)


@pytest.mark.parametrize(
    ("old", "new", "field", "words"),
    [
        ('name = "city-block"', "", "name", "missing"),
        ("seed = 20260314", "seed = -1", "seed", "greater than or equal to 0"),
        ("duration_s = 45.0", "duration = 45.0", "duration", "unknown key"),
        ("duration_s = 45.0", "duration_s = 20.0", "", "event 'alley' is at 24.95 s, after the end (20 s)"),
        ("z_m = 14.0", "z_m = -14.0", "nodes.0.z_m", "greater than 0"),
        ('id = "pole-market"', 'id = "roof-school"', "", "'roof-school' is there twice"),
        ('event = "alley"', 'event = "corner"', "", "'corner' is there twice"),
        ("times_s = [8.0]", "times_s = []", "shots.0.times_s", "at least 1 item"),
        ("times_s = [8.0]", "start_s = 8.0\ntimes_s = [8.0]", "", "give either times_s, or start_s"),
        ("temperature_c = 12.0", "temperature_c = 285.0", "weather", "285 °C is outside"),
        ("temperature_c = 12.0", "temperature_c = -285.0", "weather", "-285 °C is outside"),
        ("21:30:00Z", "21:30:00", "start_utc", "is not a UTC time"),
        ("lat_deg = 40.4406", "lat_deg = 140.4406", "origin", "latitude 140.4406 is outside"),
        ("x_m = 160.0\ny_m = 88.0", "x_m = 150.0\ny_m = 70.0\nz_m = 7.5", "", "'door' is inside a microphone"),
        ("blocks = [8, 8]", "blocks = [8]", "city.grid.blocks", "at least 2 items"),
        ("reflection_order = 1", "reflection_order = 4", "paths.reflection_order", "less than or equal to 3"),
    ],
)
def test_mistakes_in_a_scene_are_named(tmp_path: Path, old: str, new: str, field: str, words: str) -> None:
    assert old in SHIPPED
    path = tmp_path / "scene.toml"
    path.write_text(SHIPPED.replace(old, new, 1))
    with pytest.raises(InputError) as caught:
        load_scene(path)
    (problem,) = [item for item in caught.value.problems if words in item.message]
    assert (problem.source, problem.field) == (str(path), field)
    if isinstance(caught.value, ConfigError) and new and field:
        assert problem.line == 1 + path.read_text()[: path.read_text().index(new)].count("\n")


def test_unknown_names_are_refused_with_those_that_are_known() -> None:
    shot = {"event": "one", "x_m": 0.0, "y_m": 0.0, "times_s": [0.3]}
    refused("'pistol-9m'.*pistol-9mm", shots=[shot | {"weapon": "pistol-9m"}])
    refused("no ground 'mud'; there are: .*asphalt.*, none", ground={"kind": "mud"})
    refused("no microphone 'best'; there are: ideal", microphone="best")
    refused("node 'a': no clock scenario 'atomic'; there are exact", clock="atomic")
    refused(
        "no bang 'gong'; there are: .*thunder",
        bangs=[{"event": "x", "x_m": 9.0, "y_m": 9.0, "time_s": 1.0, "kind": "gong"}],
    )
    with pytest.raises(InputError, match="no file and no shipped scene 'moon'; shipped are: airport-wind"):
        shipped_scene("moon")


def test_fire_that_cannot_be_is_refused_with_its_event() -> None:
    shot = {"event": "one", "x_m": 0.0, "y_m": 0.0, "start_s": 0.3, "mode": "automatic"}
    refused("event 'one': mode automatic needs the number of rounds", shots=[shot])
    long = {"rounds": 30, "rate_rpm": 600.0}
    refused(r"event 'one': its last round is at 3\.\d+ s, after the end \(2 s\)", shots=[shot | long])
    refused("event 'one': mode automatic needs rate_rpm", shots=[shot | {"rounds": 5, "weapon": "glock-19"}])


def test_what_stands_in_a_building_is_refused() -> None:
    house = {
        "name": "house",
        "corners_m": [[110.0, 20.0], [130.0, 20.0], [130.0, 40.0], [110.0, 40.0]],
        "height_m": 8.0,
    }
    refused("node 'a' at x 120 m, y 30 m is inside building 'house'", city={"buildings": [house]})
    near = house | {"corners_m": [[-5.0, -5.0], [5.0, -5.0], [5.0, 5.0], [-5.0, 5.0]]}
    refused("event 'one' at x 0 m, y 0 m is inside building 'house'", city={"buildings": [near]})
    twice = [near, near | {"name": "other"}]
    refused("'house' and 'other' overlap by 100 m²", city={"buildings": twice}, shots=[])
    low = house | {"height_m": 4.0}
    assert len(set_stage(scene(city={"buildings": [low]}), seed=1).city.buildings) == 1, "the node is on its roof"


def test_a_generated_town_keeps_clear_of_nodes_and_events() -> None:
    grid = {"blocks": [6, 6], "block_m": [80.0, 80.0], "street_m": 10.0, "height_m": [20.0, 20.0], "built": 1.0}
    stage = set_stage(scene(city={"grid": grid}), seed=1)
    assert 100 < len(stage.city.buildings) < 144, "some were left out"


def test_buildings_and_terrain_come_from_files(tmp_path: Path) -> None:
    made = scene()
    frame = made.frame
    ring = [frame.to_geodetic(x, y)[1::-1] for x, y in ((50.0, 50.0), (70.0, 50.0), (70.0, 80.0), (50.0, 50.0))]
    feature = {
        "type": "Feature",
        "properties": {"height_m": 9.0},
        "geometry": {"type": "Polygon", "coordinates": [ring]},
    }
    (tmp_path / "town.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
    (tmp_path / "heights.asc").write_text(
        "ncols 3\nnrows 2\nxllcorner -600\nyllcorner -600\ncellsize 600\nNODATA_value -9999\n5 6 7\n1 2 3\n"
    )
    path = tmp_path / "scene.toml"
    values = made.model_dump(exclude_unset=True) | {
        "city": {"footprints": "town.geojson"},
        "terrain": {"grid": "heights.asc"},
    }
    stage = set_stage(SceneFile.model_validate(values).at(tmp_path), seed=1)
    assert len(stage.city.buildings) == 1
    # Corners are those of cells; heights belong to their middles: -300, 300, 900 east, and -300, 300 north.
    assert stage.city.ground_m(np.array([[-300.0, -300.0], [300.0, 300.0], [0.0, 0.0]])).tolist() == [1.0, 6.0, 3.5]
    assert stage.nodes[0].position_m[2] == pytest.approx(5.0 + stage.city.ground_m(np.array([[120.0, 30.0]]))[0])
    (tmp_path / "heights.asc").write_text("ncols 3\nnrows 2\n")
    with pytest.raises(DatasetError, match="expected an Esri ASCII grid") as caught:
        set_stage(SceneFile.model_validate(values).at(tmp_path), seed=1)
    assert caught.value.problems[0].source.endswith("heights.asc")
    assert path.parent == tmp_path


def test_background_recordings_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    noise = {"passes_per_minute": 0.0, "wind": False, "recording": {"file": "street.wav", "level_db_spl": 60.0}}
    with pytest.raises(DatasetError, match="cannot read the background recording"):
        set_stage(scene(noise=noise).at(tmp_path), seed=1)


def test_what_is_random_belongs_to_its_name() -> None:
    """One more node and one more event leave clocks, surveys and shots of the others as they were."""
    nodes = [{"id": name, "x_m": 50.0 * n, "y_m": 80.0, "z_m": 5.0} for n, name in enumerate("abcd")]
    burst = {"event": "burst", "x_m": 0.0, "y_m": 0.0, "start_s": 0.1, "mode": "double_tap"}
    other = {"event": "other", "x_m": 9.0, "y_m": 9.0, "start_s": 0.1, "mode": "double_tap"}
    few = set_stage(scene(nodes=nodes[1:], shots=[burst], clock="ntp", survey_sigma_m=2.0), seed=4)
    many = set_stage(scene(nodes=nodes, shots=[other, burst], clock="ntp", survey_sigma_m=2.0), seed=4)
    for node in few.nodes:
        twin = next(item for item in many.nodes if item.id == node.id)
        assert (twin.site, twin.clock) == (node.site, node.clock)
    assert [item.time_s for item in few.named[0].discharges] == [item.time_s for item in many.named[1].discharges]


def test_a_moving_shooter_moves() -> None:
    shot = {"event": "run", "x_m": 0.0, "y_m": 0.0, "times_s": [0.5, 1.5], "velocity_mps": [3.0, -1.0]}
    first, second = set_stage(scene(shots=[shot]), seed=1).named[0].discharges
    assert first.position_m == (0.0, 0.0, 1.5)
    assert second.position_m == pytest.approx((3.0, -1.0, 1.5))


def test_a_bullet_stops_at_a_wall() -> None:
    wall = {"name": "wall", "corners_m": [[-9.0, 60.0], [9.0, 60.0], [9.0, 70.0], [-9.0, 70.0]], "height_m": 8.0}
    shot = {"event": "one", "x_m": 0.0, "y_m": 0.0, "times_s": [0.3], "weapon": "m4"}
    (stopped,) = set_stage(scene(shots=[shot], city={"buildings": [wall]}), seed=1).named[0].discharges
    assert stopped.flight is not None
    assert stopped.flight.range_m == pytest.approx(60.0)
    slow = set_stage(scene(shots=[shot | {"weapon": "glock-21"}]), seed=1).named[0].discharges[0]
    assert slow.flight is None, "slower than sound"


def test_scatter_keeps_to_its_area_and_time_and_open_ground() -> None:
    area = {"west_m": -100.0, "east_m": 100.0, "south_m": -50.0, "north_m": 50.0}
    some = {"event": "s", "kinds": ["glock-19", "hammer"], "count": 60, "from_s": 0.5, "until_s": 1.5, **area}
    house = {
        "name": "house",
        "corners_m": [[-90.0, -40.0], [90.0, -40.0], [90.0, 40.0], [-90.0, 40.0]],
        "height_m": 8.0,
    }
    stage = set_stage(scene(shots=[], scatter=[some], city={"buildings": [house]}), seed=1)
    assert stage.n_events == 60
    events = [stage.event(number) for number in range(60)]
    for event in events:
        x_m, y_m, _ = event.discharges[0].position_m
        assert -100.0 <= x_m <= 100.0
        assert -50.0 <= y_m <= 50.0
        assert not (-90.0 < x_m < 90.0 and -40.0 < y_m < 40.0)
        assert 0.5 <= event.discharges[0].time_s <= 1.5
    # 60 fair coins: more than 10 of each but for one in a million.
    assert 10 < sum(event.kind is ImpulseKind.GUNSHOT for event in events) < 50
    again = set_stage(scene(shots=[], scatter=[some], city={"buildings": [house]}), seed=1)
    assert again.event(41).discharges[0].position_m == events[41].discharges[0].position_m
    with pytest.raises(IndexError):
        stage.event(60)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"kinds": ["glock-91"]}, "glock-19"),
        ({"until_s": 9.0}, "is from 0 to 9 s, in a scene of 2 s"),
        ({"apart_s": 1.0}, "60 events 1 s apart do not fit into 2 s"),
    ],
)
def test_scatter_that_cannot_be_is_refused(change: dict[str, Any], words: str) -> None:
    some = {
        "event": "s",
        "kinds": ["glock-19"],
        "count": 60,
        "west_m": -1.0,
        "east_m": 1.0,
        "south_m": 0.0,
        "north_m": 1.0,
    }
    refused(words, scatter=[some | change])


def test_scatter_without_open_ground_is_refused() -> None:
    house = {
        "name": "house",
        "corners_m": [[-90.0, -40.0], [90.0, -40.0], [90.0, 40.0], [-90.0, 40.0]],
        "height_m": 8.0,
    }
    some = {"event": "s", "kinds": ["door"], "count": 1, "west_m": -1.0, "east_m": 1.0, "south_m": 0.0, "north_m": 1.0}
    stage = set_stage(scene(shots=[], scatter=[some], city={"buildings": [house]}), seed=1)
    with pytest.raises(InputError, match="no open ground"):
        stage.event(0)


def test_the_reported_weather_is_wrong_by_what_is_said() -> None:
    """Over 400 seeds the spread is within 15 % of the sigma: 4 sigma of the sample's own scatter."""
    air = {"temperature_c": 12.0, "wind_speed_mps": 3.0, "wind_from_deg": 90.0}
    exact = set_stage(scene(weather=air), seed=1)
    # It is right, and says so.
    assert exact.reported_weather == replace(exact.scene.air, temperature_sigma_c=0.0, wind_sigma_mps=0.0)
    off = air | {"reported_temperature_sigma_c": 2.0, "reported_wind_sigma_mps": 0.5}
    reports = [
        set_stage(
            scene(weather=off, nodes=[{"id": "a", "x_m": 9.0, "y_m": 9.0, "z_m": 5.0}]), seed=seed
        ).reported_weather
        for seed in range(400)
    ]
    assert np.std([item.temperature_c for item in reports]) == pytest.approx(2.0, rel=0.15)
    east = [item.wind_enu_mps[0] for item in reports]
    assert np.mean(east) == pytest.approx(-3.0, abs=0.1)
    assert np.std(east) == pytest.approx(0.5, rel=0.15)
