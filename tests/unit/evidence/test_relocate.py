"""Located again: the same to the last bit from what is in the bundle, and in words what stands in the way."""

from __future__ import annotations

import dataclasses

import msgspec
import pytest
from evidence_samples import packed, problems

from fusion_server.engine import FusionEngine, FusionSettings
from fusion_server.evidence.bundle import Bundle
from fusion_server.evidence.case import Case, match
from fusion_server.evidence.container import unpack
from fusion_server.evidence.network import NetworkRecord, network_parts, read_network_parts
from fusion_server.evidence.relocate import Relocator, record_bytes
from fusion_server.evidence.replayed import ReplayFolder
from fusion_server.registry import Registry
from shotline.atmosphere import WeatherTimeline
from shotline.domain import Location, Site
from shotline.errors import InputError
from shotline.geodesy import LocalFrame
from shotline.records import incident_record


def test_every_revision_of_every_incident_is_made_again(city: ReplayFolder) -> None:
    count = 0
    for key in city.incidents:
        found = city.case(*key)
        for again, record in zip(Bundle(unpack(packed(found))).relocate(), found.revisions, strict=True):
            assert again.identical, again.reason
            assert again.record is not None
            assert record_bytes(again.record) == record_bytes(record)
            count += 1
    assert count > 3


def test_floats_are_the_same_to_the_last_bit(case: Case) -> None:
    """Not only the rounded record: the engine's own location, made again."""
    network = case.networks[0]
    engine = FusionEngine(
        registry=Registry(network.sites),
        weather=WeatherTimeline.constant(case.revisions[0].shots[0].weather.to_weather()),  # type: ignore[union-attr]
        settings=network.fusion,
    )
    for item in case.detections.values():
        engine.add(item)
    (incident,) = {item.incident_id: item for item in engine.finish()}.values()
    record = incident_record(incident, network.to_frame())
    relocator = Relocator(network, case.detections)
    assert len(incident.shots) == 3
    for shot, recorded in zip(incident.shots, record.shots, strict=True):
        again = relocator.locate(recorded)
        assert isinstance(again, Location)
        assert bits(again) == bits(shot.location)


def bits(found: Location) -> list[str]:
    numbers = [found.x_m, found.y_m, found.cep95_m, found.gdop, found.rms_residual_s, found.origin_sigma_s]
    numbers += [value for row in found.covariance_m2 for value in row]
    numbers += [verdict.residual_s for verdict in found.verdicts]
    return [str(found.origin_time_ns), *(value.hex() for value in numbers)]


def test_a_network_survives_as_text(case: Case) -> None:
    network = case.networks[0]
    assert NetworkRecord.from_json(network.to_json()) == network
    framed = NetworkRecord.of(network.sites, LocalFrame(40.44, -79.99, 312.1), network.fusion)
    assert NetworkRecord.from_json(framed.to_json()).to_frame() == LocalFrame(40.44, -79.99, 312.1)
    assert framed.digest != network.digest


def test_a_large_network_goes_into_the_audit_log_in_parts() -> None:
    sites = [Site(f'node "{number}"', number / 3.0, -number / 7.0, 1e-9, 0.1) for number in range(2_000)]
    network = NetworkRecord.of(sites, None, FusionSettings())
    parts = network_parts(network)
    assert len(parts) > 10
    assert max(len(msgspec.json.encode(part)) for part in parts) < 16 * 1024
    assert read_network_parts([*parts[::-1], parts[3]]) == network
    assert read_network_parts(parts[:-1]) is None
    assert read_network_parts([]) is None
    assert read_network_parts([{**parts[0], "text": "{"}, *parts[1:]]) is None


def moved(network: NetworkRecord, node: str, by_m: float) -> NetworkRecord:
    sites = tuple(
        dataclasses.replace(site, x_m=site.x_m + by_m) if site.node == node else site for site in network.sites
    )
    return msgspec.structs.replace(network, sites=sites)


def test_another_site_is_another_place_and_says_so(case: Case) -> None:
    node = case.revisions[-1].shots[0].arrivals[0].node
    wrong = Relocator(moved(case.networks[0], node, 2.0), case.detections).relocate(case.revisions[-1])
    assert not wrong.identical
    assert wrong.apart_m is not None
    # 2 m at one of eight nodes moves the place, and by no more than that.
    assert 0.05 < wrong.apart_m < 2.0
    assert wrong.reason.startswith("shot 1 differs in time_utc, x_m, y_m") or "x_m" in wrong.reason


def test_the_network_of_then_is_found_among_those_that_were(case: Case) -> None:
    then = case.networks[0]
    node = case.revisions[-1].shots[0].arrivals[0].node
    now = moved(then, node, 2.0)
    resurveyed = dataclasses.replace(case, networks=(now, then))
    assert [(network.digest, again.identical) for network, again in match(resurveyed)] == [
        (then.digest, True) for _ in case.revisions
    ]
    lost = dataclasses.replace(case, networks=(now,))
    assert {(network.digest, again.identical) for network, again in match(lost)} == {(now.digest, False)}
    data = packed(lost)
    assert problems(data) == []
    assert not any(check.identical for check in Bundle(unpack(data)).checks)


def test_what_is_missing_is_named(case: Case) -> None:
    record = case.revisions[-1]
    network, detections = case.networks[0], case.detections
    first = record.shots[0].arrivals[0]
    some = {text: item for text, item in detections.items() if text != first.detection}
    assert Relocator(network, some).relocate(record).reason == f"detection {first.detection} is not there"
    fewer = msgspec.structs.replace(network, sites=tuple(site for site in network.sites if site.node != first.node))
    assert Relocator(fewer, detections).relocate(record).reason == (
        f"node '{first.node}' has no site in the network, or no time"
    )
    old = msgspec.structs.replace(record.shots[0], weather=None)
    with pytest.raises(InputError, match="does not keep the weather"):
        Relocator(network, detections).locate(old)
    no_shots = msgspec.structs.replace(record, shots=())
    assert Relocator(network, detections).relocate(no_shots).reason == "the record has no shots"
    alone = msgspec.structs.replace(record.shots[0], arrivals=record.shots[0].arrivals[:2])
    assert "shot 1 has no place now" in (
        Relocator(network, detections).relocate(msgspec.structs.replace(record, shots=(alone,))).reason
    )
