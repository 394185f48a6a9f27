"""Locating with excess delays: none is the same to the bit, some bring a fix nearer, and evidence keeps them."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from numpy.typing import NDArray

from fusion_server.engine import FusionEngine, FusionSettings
from fusion_server.evidence.network import NetworkRecord
from fusion_server.evidence.relocate import Relocator, record_bytes
from fusion_server.locate import ArrivalBatch, Ground, LocateSettings, ground_of_sites, locate
from fusion_server.locate.kernel import Model, ground_height_m
from fusion_server.registry import Registry
from fusion_server.sitebias import (
    ControlShot,
    DelayScales,
    PathDelays,
    SiteBiasTable,
    air_errors,
    control_rows,
    locate_batch_with_delays,
    locate_with_delays,
)
from shotline.atmosphere import Weather, WeatherTimeline
from shotline.domain import Arrival, ClockState, DetectionId, Location, NoLocation, NoLocationReason, Site
from shotline.errors import InputError
from shotline.messages import Detection, LevelReference
from shotline.propagation import travel_time_s
from shotline.records import incident_record
from shotline.units import NS_PER_S, ns_from_seconds

FloatArray = NDArray[np.float64]
START_NS = 1_800_000_000 * NS_PER_S
WEATHER = Weather(temperature_c=15.0, wind_speed_mps=3.0, wind_from_deg=240.0)
SETTINGS = LocateSettings()
SITES = tuple(
    Site(f"n{number}", x_m, y_m, z_m, 0.1)
    for number, (x_m, y_m, z_m) in enumerate(
        [(0.0, 0.0, 8.0), (400.0, 30.0, 9.0), (380.0, 420.0, 7.0), (-20.0, 390.0, 12.0), (190.0, 650.0, 8.0)]
    )
)
LATE_S = (0.012, -0.004, 0.0, 0.008, 0.003)
"""Of each site, from everywhere."""


def heard(
    x_m: float, y_m: float, *, late_s: tuple[float, ...] = LATE_S, at_s: float = 0.0, z_m: float | None = None
) -> tuple[Arrival, ...]:
    """Return the arrivals of a sound in the plane, or from a height: noise-free but for the delays."""
    sites_m = np.array([(site.x_m, site.y_m, 0.0 if z_m is None else site.z_m) for site in SITES])
    took_s = travel_time_s(
        np.array([x_m, y_m, z_m or 0.0]),
        sites_m,
        speed_of_sound_mps=WEATHER.speed_of_sound_mps,
        wind_mps=np.array([*WEATHER.wind_enu_mps, 0.0]),
    )
    return tuple(
        Arrival(
            DetectionId(site.node, 1, number + 1),
            site,
            START_NS + ns_from_seconds(at_s + float(took) + late),
            1e-4,
            40.0,
        )
        for number, (site, took, late) in enumerate(zip(SITES, took_s, late_s, strict=True))
    )


def known_everywhere(*, late_s: tuple[float, ...] = LATE_S, sigma_s: float = 1e-4) -> PathDelays:
    """Return delays that were learned at one place, and are the same from everywhere."""
    count = len(SITES)
    return PathDelays(
        nodes=tuple(site.node for site in SITES),
        site_m=np.array([(site.x_m, site.y_m) for site in SITES]),
        survey_s=np.full(count, 1e-6),
        first=np.arange(count + 1),
        place=np.zeros(count, dtype=np.int64),
        place_m=np.array([[200.0, 200.0]]),
        delay_s=np.array(late_s),
        noise_s2=np.full(count, sigma_s**2),
        unsure_s2=np.zeros(count),
        scales=DelayScales(
            constant_s=0.05, direction_s=1e-6, direction_rad=0.7, place_s=1e-6, place_m=100.0, scatter_s=0.0005
        ),
    )


def bits(found: Location | NoLocation) -> str:
    return repr(found)


def test_without_delays_it_is_the_locator_to_the_bit() -> None:
    arrivals = heard(120.0, 260.0)
    assert bits(locate_with_delays(arrivals, delays=None, weather=WEATHER)) == bits(locate(arrivals, weather=WEATHER))


def test_with_the_true_delays_the_fix_is_the_truth() -> None:
    for x_m, y_m in [(120.0, 260.0), (310.0, 90.0), (180.0, 480.0)]:
        plain = locate(heard(x_m, y_m), weather=WEATHER)
        found = locate_with_delays(heard(x_m, y_m), delays=known_everywhere(), weather=WEATHER)
        assert isinstance(plain, Location)
        assert isinstance(found, Location)
        off_m = np.hypot(found.x_m - x_m, found.y_m - y_m)
        # Learned with 0.1 ms beside a prior of 50 ms: 4 parts in a million of 12 ms are left, and 1 ns of rounding.
        assert off_m < 1e-3
        assert np.hypot(plain.x_m - x_m, plain.y_m - y_m) > 1.0
        assert abs(found.origin_time_ns - START_NS) < 2_000
        assert all(abs(verdict.residual_s) < 1e-6 for verdict in found.verdicts)
        # What the arrivals were is not changed.
        assert {verdict.arrival for verdict in found.verdicts} == set(heard(x_m, y_m))


def test_nodes_not_in_the_table_keep_the_prior_and_their_survey() -> None:
    known = known_everywhere(late_s=(0.0,) * 5)
    some = dataclasses.replace(
        known,
        nodes=("elsewhere",),
        site_m=known.site_m[:1],
        survey_s=known.survey_s[:1],
        first=np.array([0, 1]),
        place=known.place[:1],
        delay_s=known.delay_s[:1],
        noise_s2=known.noise_s2[:1],
        unsure_s2=known.unsure_s2[:1],
        scales=dataclasses.replace(known.scales, constant_s=0.004),
    )
    arrivals = heard(120.0, 260.0, late_s=(0.0,) * 5)
    found = locate_with_delays(arrivals, delays=some, weather=WEATHER)
    # Nothing is known of any path: as if their sigma were that of the prior and the scatter together.
    settings = dataclasses.replace(SETTINGS, path_sigma_s=float(np.hypot(0.0005, some.scales.prior_variance_s2**0.5)))
    expected = locate(arrivals, weather=WEATHER, settings=settings)
    assert isinstance(found, Location)
    assert isinstance(expected, Location)
    assert (found.x_m, found.y_m) == pytest.approx((expected.x_m, expected.y_m), abs=1e-6)
    assert found.cep95_m == pytest.approx(expected.cep95_m, rel=1e-9)


def test_surer_paths_make_a_smaller_ellipse_and_unsure_ones_a_larger() -> None:
    arrivals = heard(120.0, 260.0)
    sure, unsure = (
        locate_with_delays(arrivals, delays=known_everywhere(sigma_s=sigma_s), weather=WEATHER)
        for sigma_s in (1e-4, 1e-2)
    )
    assert isinstance(sure, Location)
    assert isinstance(unsure, Location)
    assert sure.cep95_m < unsure.cep95_m


def test_a_batch_is_each_shot_alone_and_a_refusal_stays_one() -> None:
    shots = [heard(120.0, 260.0), heard(310.0, 90.0)[:2], heard(180.0, 480.0)[:3], heard(20.0, 30.0)]
    fixes = locate_batch_with_delays(ArrivalBatch.of(shots), delays=known_everywhere(), weather=WEATHER)
    for number, shot in enumerate(shots):
        alone = locate_with_delays(shot, delays=known_everywhere(), weather=WEATHER)
        assert bits(fixes.result(number)) == bits(alone)
    assert isinstance(fixes.result(1), NoLocation)


def test_three_nodes_keep_both_places_and_the_true_one_is_at_its_place() -> None:
    for x_m, y_m in [(-150.0, -100.0), (500.0, -100.0)]:
        three = heard(x_m, y_m)[:3]
        found = locate_with_delays(three, delays=known_everywhere(), weather=WEATHER)
        plain = locate(three, weather=WEATHER)
        assert isinstance(found, NoLocation)
        assert isinstance(plain, NoLocation)
        assert found.reason is NoLocationReason.TWO_ROOTS
        assert len(found.roots) == 2

        def off_m(told: NoLocation, x_m: float = x_m, y_m: float = y_m) -> float:
            return min(float(np.hypot(root.x_m - x_m, root.y_m - y_m)) for root in told.roots)

        assert off_m(found) < 0.01
        assert off_m(plain) > 1.0


def test_a_table_as_text_is_the_same_table() -> None:
    delays = known_everywhere()
    table = SiteBiasTable.of(delays, places=("square",), place_sigma_m=[0.3])
    network = NetworkRecord.of(SITES, None, FusionSettings(), table)
    again = NetworkRecord.from_json(network.to_json())
    assert again == network
    assert again.site_bias is not None
    assert again.site_bias.digest == table.digest
    assert np.array_equal(again.site_bias.to_delays().at(3, 50.0, 60.0), table.to_delays().at(3, 50.0, 60.0))
    # Six digits of 12 ms are 10 ns.
    assert table.to_delays().at(0, 50.0, 60.0)[0] == pytest.approx(delays.at(0, 50.0, 60.0)[0], abs=2e-8)


def test_a_network_without_keeps_its_text_and_digest() -> None:
    network = NetworkRecord.of(SITES, None, FusionSettings())
    assert sorted(json.loads(network.to_json())) == ["frame", "fusion", "sites"]
    table = SiteBiasTable.of(known_everywhere(), places=("square",), place_sigma_m=[0.3])
    assert NetworkRecord.of(SITES, None, FusionSettings(), table).digest != network.digest


def test_an_engine_with_delays_relocates_byte_for_byte_and_only_with_them() -> None:
    table = SiteBiasTable.of(known_everywhere(), places=("square",), place_sigma_m=[0.3])
    detections = [
        Detection(
            node=arrival.site.node,
            boot=1,
            sequence=1,
            arrival_time_ns=arrival.time_ns,
            arrival_sigma_ns=30_000,
            clock_state=ClockState.PPS,
            probabilities_bp=(),
            peak_level_db=80.0,
            level_reference=LevelReference.DB_SPL,
            snr_db=40.0,
            rise_time_s=0.001,
            model_id="test",
        )
        for arrival in heard(120.0, 260.0)
    ]
    settings = FusionSettings()
    weather = WeatherTimeline.constant(WEATHER)
    engine = FusionEngine(registry=Registry(SITES), weather=weather, settings=settings, delays=table.to_delays())
    for detection in detections:
        engine.add(detection)
    incident = engine.finish()[-1]
    record = incident_record(incident, None)
    by_identity = {str(detection.uid): detection for detection in detections}
    network = NetworkRecord.from_json(NetworkRecord.of(SITES, None, settings, table).to_json())
    made = Relocator(network, by_identity).relocate(record)
    assert made.identical, made.reason
    assert made.record is not None
    assert record_bytes(made.record) == record_bytes(record)
    without = Relocator(NetworkRecord.of(SITES, None, settings), by_identity).relocate(record)
    assert not without.identical
    assert without.apart_m is not None
    assert without.apart_m > 1.0


def test_straight_lines_through_the_air_leave_nothing() -> None:
    ground = Ground(-500.0, -500.0, 100.0, np.add.outer(np.linspace(0.0, 20.0, 16), np.linspace(0.0, 10.0, 16)))
    where = [(120.0, 260.0), (310.0, 90.0)]
    shots = [
        ControlShot(f"p{n}", x_m, y_m, 0.3, heard(x_m, y_m, late_s=(0.0,) * 5, z_m=ground.at(x_m, y_m)), WEATHER)
        for n, (x_m, y_m) in enumerate(where)
    ]
    rows, names = control_rows(shots, SITES, settings=SETTINGS, ground=ground)
    assert names == ("p0", "p1")
    assert len(rows) == 10
    for place in range(2):
        own = rows.delay_s[rows.place == place]
        # Arrival times are whole nanoseconds.
        assert np.ptp(own) < 2e-9
    # The same weather within the hour: one air. Clock 0.1 ms, onset 0.1 ms at 40 dB.
    assert rows.air.tolist() == [0, 0]
    assert rows.variance_s2 == pytest.approx(2e-8, rel=1e-9)
    flat, _ = control_rows(shots, SITES, settings=SETTINGS)
    assert np.ptp(flat.delay_s[flat.place == 0]) > 1e-5


def test_rounds_of_one_place_are_one_row_a_node_and_an_echo_does_not_move_it() -> None:
    first, second = heard(120.0, 260.0), heard(120.0, 260.0, at_s=5.0)
    late = list(heard(120.0, 260.0, at_s=4000.0))
    late[2] = dataclasses.replace(late[2], time_ns=late[2].time_ns + 80_000_000)
    again = dataclasses.replace(first[1], time_ns=first[1].time_ns + 300_000_000)
    shots = [ControlShot("p", 120.0, 260.0, 0.3, some, WEATHER) for some in ((*first, again), second, tuple(late))]
    rows, _ = control_rows(shots, SITES, settings=SETTINGS)
    assert len(rows) == 5
    order = np.argsort(rows.node)
    found = rows.delay_s[order]
    assert found - found[0] == pytest.approx(np.array(LATE_S) - LATE_S[0], abs=3e-9)
    assert rows.variance_s2 == pytest.approx(2e-8 / 3, rel=1e-9)


def test_control_shots_that_say_nothing_are_refused() -> None:
    shot = ControlShot("p", 0.0, 0.0, 1.0, heard(120.0, 260.0)[:1], WEATHER)
    with pytest.raises(InputError, match="no control shot that two nodes of the network heard"):
        control_rows([shot], SITES, settings=SETTINGS)
    other = ControlShot("p", 5.0, 0.0, 1.0, heard(120.0, 260.0), WEATHER)
    there = dataclasses.replace(other, x_m=6.0)
    with pytest.raises(InputError, match="place 'p' is said to be at 2 positions"):
        control_rows([other, there], SITES, settings=SETTINGS)


def test_the_air_is_as_wrong_as_the_locator_takes_it() -> None:
    said = dataclasses.replace(WEATHER, temperature_sigma_c=1.0, wind_sigma_mps=0.6)
    known, unknown = air_errors([said], SETTINGS), air_errors([WEATHER], SETTINGS)
    assert known.speed_error_sigma == pytest.approx(0.5 / 288.15, rel=1e-12)
    assert known.wind_error_sigma_mps == pytest.approx(np.hypot(0.6, 0.45), rel=1e-12)
    assert unknown.speed_error_sigma == SETTINGS.speed_error_sigma
    assert unknown.wind_error_sigma_mps == pytest.approx(np.hypot(1.0, 0.45), rel=1e-12)
    assert known.speed_mps == WEATHER.speed_of_sound_mps


def test_the_ground_is_as_high_as_the_locator_has_it() -> None:
    ground = ground_of_sites(SITES, mast_m=8.0)
    fields = dict.fromkeys(Model._fields, 1.0)
    model = Model(**{**fields, "unknowns": 6, "ground_x_m": ground.x_m, "ground_y_m": ground.y_m,
                     "ground_cell_m": ground.cell_m})  # fmt: skip
    for x_m, y_m in [(0.0, 0.0), (123.4, 567.8), (-5000.0, 9000.0), (387.0, 41.0)]:
        assert ground.at(x_m, y_m) == pytest.approx(ground_height_m(x_m, y_m, model, ground.height_m), abs=1e-9)
    assert Ground.level(3.0).at(50.0, -2.0) == 3.0


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"delay_s": (0.001, 0.002)}, "columns of lengths"),
        ({"node": "n1"}, "twice"),
    ],
)
def test_a_table_that_was_not_made_so_is_refused(change: dict[str, object], said: str) -> None:
    table = SiteBiasTable.of(known_everywhere(), places=("square",), place_sigma_m=[0.3])
    fields = {name: getattr(table.nodes[0], name) for name in table.nodes[0].__struct_fields__}
    spoiled = type(table.nodes[0])(**{**fields, **change})
    with pytest.raises(InputError, match=said):
        SiteBiasTable(scales=table.scales, places=table.places, nodes=(spoiled, *table.nodes[1:])).to_delays()
