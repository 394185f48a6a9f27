"""Where in the sound of each node a round is: exact, from what the record says, and only for those who may know."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from access_bench import Bench
from alert_samples import SITES, detection_of, incident, registry
from api_client import ask, sample_app

from fusion_server.api.picks import PickRecord, pick_records
from fusion_server.history import History
from fusion_server.locate import Height, LocateSettings, locate
from shotline.atmosphere import Weather
from shotline.domain import Arrival, DetectionId, Location, Site
from shotline.propagation import travel_time_s
from shotline.records import IncidentRecord, WeatherRecord
from shotline.timebase import parse_utc
from shotline.units import NS_PER_S

SITE_OF = {site.node: site for site in SITES}
CALM = WeatherRecord(
    temperature_c=20.0,
    wind_speed_mps=0.0,
    wind_from_deg=0.0,
    humidity_percent=50.0,
    temperature_sigma_c=None,
    wind_sigma_mps=None,
)


def of(picks: list[PickRecord], node: str, number: int = 1) -> PickRecord:
    (found,) = [pick for pick in picks if (pick.node, pick.round) == (node, number)]
    return found


def test_the_predicted_arrival_is_the_pick_less_its_residual_to_the_nanosecond() -> None:
    record = incident(1, rounds=2)
    picks = pick_records(record, [], SITE_OF, {})
    assert len(picks) == 14
    for number, shot in enumerate(record.shots, start=1):
        for arrival in shot.arrivals:
            pick = of(picks, arrival.node, number)
            assert arrival.residual_s is not None
            assert pick.predicted_utc is not None
            late_ns = parse_utc(arrival.time_utc) - parse_utc(pick.predicted_utc)
            assert late_ns == round(arrival.residual_s * NS_PER_S)
            assert (pick.predicted_by, pick.used, pick.reason) == ("fix", arrival.used, arrival.reason)


def test_an_arrival_without_a_residual_has_no_prediction() -> None:
    record = incident(1)
    (shot,) = record.shots
    odd = msgspec.structs.replace(shot.arrivals[0], residual_s=None)
    record = msgspec.structs.replace(record, shots=(msgspec.structs.replace(shot, arrivals=(odd, *shot.arrivals[1:])),))
    pick = of(pick_records(record, [], SITE_OF, {}), odd.node)
    assert (pick.predicted_utc, pick.predicted_by, pick.time_utc) == (None, None, odd.time_utc)


@pytest.mark.parametrize(
    ("weather", "sites"), [(None, SITE_OF), (CALM, {})], ids=["air is not kept", "no site any more"]
)
def test_without_air_or_site_nothing_is_due(weather: WeatherRecord | None, sites: dict[str, Site]) -> None:
    record = incident(1)
    (shot,) = record.shots
    record = msgspec.structs.replace(record, shots=(msgspec.structs.replace(shot, weather=weather),))
    pick = of(pick_records(record, ["roof-08"], sites, {}), "roof-08")
    assert pick == PickRecord(
        round=1, node="roof-08", detection=None, time_utc=None, sigma_s=None, predicted_utc=None, predicted_by=None,
        residual_s=None, used=False, reason="",
    )  # fmt: skip


def test_what_a_silent_node_should_have_heard_is_where_the_locator_would_predict_it() -> None:
    """Locate a noise-free shot with eight of nine nodes: the ninth is due when its sound really came."""
    weather = Weather(temperature_c=12.0, wind_speed_mps=6.0, wind_from_deg=250.0)
    sites_m = np.array([(site.x_m, site.y_m, site.z_m) for site in SITES])
    source_m = np.array([90.0, 40.0, 1.5])
    travel_s = travel_time_s(
        source_m,
        sites_m,
        speed_of_sound_mps=weather.speed_of_sound_mps,
        wind_mps=np.array([*weather.wind_enu_mps, 0.0]),
    )
    start_ns = parse_utc(incident(1).shots[0].time_utc)
    arrivals = [
        Arrival(DetectionId(site.node, 95, 1), site, start_ns + round(float(delay_s) * NS_PER_S))
        for site, delay_s in zip(SITES, travel_s, strict=True)
    ]
    found = locate(arrivals[:8], weather=weather, settings=LocateSettings(height=Height.PLANAR))
    assert isinstance(found, Location)
    record = _record_of(found, weather)
    pick = of(pick_records(record, [SITES[8].node], SITE_OF, {}), SITES[8].node)
    assert pick.predicted_by == "weather"
    assert pick.predicted_utc is not None
    # Straight over a plane, as the fix was: the 10.5 m of height are 0.4 ms at the nearest node and less here.
    assert parse_utc(pick.predicted_utc) == pytest.approx(arrivals[8].time_ns, abs=500_000)


def _record_of(found: Location, weather: Weather) -> IncidentRecord:
    record = incident(1)
    (shot,) = record.shots
    kept = WeatherRecord(**{name: getattr(weather, name) for name in WeatherRecord.__struct_fields__})
    shot = msgspec.structs.replace(shot, x_m=found.x_m, y_m=found.y_m, z_m=None, weather=kept, arrivals=())
    return msgspec.structs.replace(record, shots=(shot,))


def _store(history: History, record: IncidentRecord) -> None:
    history.store([detection_of(arrival, 300_000) for arrival in record.shots[0].arrivals])


def test_the_sigma_is_that_of_the_kept_detection(history: History) -> None:
    record = incident(1)
    history.append_incident(record)
    picks = ask(sample_app(history), f"/incidents/{record.id}/clips").json()["picks"]
    assert {pick["sigma_s"] for pick in picks} == {None}
    _store(history, record)
    picks = ask(sample_app(history), f"/incidents/{record.id}/clips").json()["picks"]
    arrival = registry().arrival(next(iter(history.detections(0))))
    assert arrival is not None
    assert {pick["sigma_s"] for pick in picks} == {arrival.sigma_s}


def test_whoever_may_not_know_where_sensors_are_gets_no_picks(history: History) -> None:
    record = incident(1)
    history.append_incident(record)
    _store(history, record)
    bench = Bench(history)
    path = f"/incidents/{record.id}/clips"
    dispatcher = bench.ask(path, role="dispatcher").json()
    assert (dispatcher["picks"], dispatcher["times_cut"]) == ([], True)
    analyst = bench.ask(path, role="analyst").json()
    assert (len(analyst["picks"]), analyst["times_cut"]) == (7, False)
