"""The same place, error and time in every format, the same marks and the same notice."""

from __future__ import annotations

import json
import math
import xml.etree.ElementTree as ElementTree

import msgspec
import pytest
from alert_samples import incident
from format_readers import CAP, IDENTITY, READERS
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fusion_server.dispatch import Alert
from fusion_server.dispatch.formats import (
    COT_TYPE,
    DocumentFormat,
    DocumentWriter,
    cap_identifier,
    cap_message,
    check_topic,
    cloudevent,
    cot_event,
    eido_document,
    home_assistant_discovery,
    mqtt_publications,
    syslog_message,
)
from fusion_server.dispatch.formats.facts import sigma_m
from shotline.errors import InputError
from shotline.geodesy import LocalFrame
from shotline.records import EllipseRecord, IncidentRecord
from shotline.timebase import format_utc, parse_utc
from shotline.units import NS_PER_MS, NS_PER_S

NOW_NS = 1_900_000_000_000_000_000


@st.composite
def records(draw: st.DrawFn) -> IncidentRecord:
    """Incidents anywhere but within 1 km of a pole, with ellipses of 1 m to 2 km."""
    semi_minor_m = draw(st.floats(1.0, 500.0))
    semi_major_m = semi_minor_m * draw(st.floats(1.2, 4.0))
    time_ns = draw(st.integers(0, 4_000_000_000 * NS_PER_S))
    return msgspec.structs.replace(
        incident(3, revision=draw(st.integers(1, 9)), rounds=draw(st.integers(1, 3))),
        lat_deg=round(draw(st.floats(-89.9, 89.9)), 8),
        lon_deg=round(draw(st.floats(-180.0, 180.0)), 8),
        x_m=0.0,
        y_m=0.0,
        time_utc=format_utc(time_ns),
        last_time_utc=format_utc(time_ns + 2 * NS_PER_S),
        as_of_utc=format_utc(time_ns + 5 * NS_PER_S),
        ellipse95=EllipseRecord(
            semi_major_m=round(semi_major_m, 3),
            semi_minor_m=round(semi_minor_m, 3),
            orientation_deg=round(draw(st.floats(0.0, 180.0)), 2),
        ),
        cep95_m=round(draw(st.floats(semi_minor_m, semi_major_m)), 3),
    )


@pytest.mark.parametrize("form", sorted(READERS))
@given(record=records())
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_place_error_and_time_survive(form: str, record: IncidentRecord) -> None:
    """Within 1 % of the error (for the place), of each axis, of half a turn; and within 1 ms."""
    seen, ellipse = READERS[form](Alert(record)), record.ellipse95
    assert record.lat_deg is not None
    assert record.lon_deg is not None
    east_m, north_m, _ = LocalFrame(record.lat_deg, record.lon_deg).to_enu_m(seen.lat_deg, seen.lon_deg)
    assert math.hypot(east_m, north_m) <= 0.01 * record.cep95_m
    assert seen.semi_major_m == pytest.approx(ellipse.semi_major_m, rel=0.01)
    assert seen.semi_minor_m == pytest.approx(ellipse.semi_minor_m, rel=0.01)
    turn_deg = (seen.orientation_deg - ellipse.orientation_deg + 90.0) % 180.0 - 90.0
    assert abs(turn_deg) <= 1.8
    assert abs(seen.time_ns - parse_utc(record.time_utc)) <= NS_PER_MS


@pytest.mark.parametrize("form", sorted(READERS))
def test_every_format_has_the_notice(form: str) -> None:
    assert "grounds for a stop, search or arrest" in READERS[form](Alert(incident())).text


@pytest.mark.parametrize("form", sorted(set(READERS) - {"geojson"}))
def test_a_test_says_so_in_its_text(form: str) -> None:
    assert "TEST" in READERS[form](Alert(incident(), test=True)).text
    assert "TEST" not in READERS[form](Alert(incident())).text


@pytest.mark.parametrize("form", sorted(READERS))
def test_a_replay_names_its_scene_or_says_replay(form: str) -> None:
    text = READERS[form](Alert(incident(scene="FP1"))).text
    assert "REPLAY" in text or "FP1" in text


@pytest.mark.parametrize(
    ("test", "scene", "status"),
    [(False, "", "Actual"), (True, "", "Test"), (False, "FP1", "Exercise"), (True, "FP1", "Test")],
)
def test_the_status_of_a_cap_message(test: bool, scene: str, status: str) -> None:
    root = ElementTree.fromstring(cap_message(Alert(incident(scene=scene), test=test), IDENTITY))
    assert root.findtext(f"{CAP}status") == status


def test_a_cap_update_names_every_earlier_message() -> None:
    first, second = incident(7), incident(7, revision=2)
    third = msgspec.structs.replace(incident(7, revision=3), state="retracted")
    assert _head(cap_message(Alert(first), IDENTITY)) == ("Alert", None)
    update = _head(cap_message(Alert(second), IDENTITY, earlier=[first, second, third]))
    assert update == ("Update", f"{IDENTITY.name},{_own(cap_message(Alert(first), IDENTITY))}")
    cancel = _head(cap_message(Alert(third), IDENTITY, earlier=[first, second]))
    named = [f"{IDENTITY.name},{_own(cap_message(Alert(record), IDENTITY))}" for record in (first, second)]
    assert cancel == ("Cancel", " ".join(named))


def test_a_reminder_is_a_message_of_its_own() -> None:
    again = Alert(incident(7, revision=2), reminder=3)
    root = ElementTree.fromstring(cap_message(again, IDENTITY, earlier=[incident(7)]))
    assert root.findtext(f"{CAP}identifier") == "shotline.0000000000000007.2.reminder3"
    assert root.findtext(f"{CAP}msgType") == "Update"
    told = (root.findtext(f"{CAP}references") or "").split()
    assert [reference.split(",")[1] for reference in told] == [
        "shotline.0000000000000007.1",
        "shotline.0000000000000007.2",
    ]
    assert json.loads(cloudevent(again, IDENTITY))["id"] == "0000000000000007/2/reminder3"
    document = DocumentWriter(DocumentFormat.CAP, IDENTITY).document(again)
    assert document.file_name == "0000000000000007.0002.reminder3.cap.xml"


def test_cap_identifiers_have_nothing_that_ends_a_reference() -> None:
    assert cap_identifier(incident(incident_id="a b,c<d&e")) == "shotline.a-b-c-d-e.1"


@pytest.mark.parametrize(
    ("state", "probability", "word"),
    [
        ("provisional", 0.51, "Likely"),
        ("revised", 0.5, "Possible"),
        ("confirmed", 0.4, "Observed"),
        ("dismissed", 0.9, "Unlikely"),
    ],
)
def test_the_certainty_of_a_cap_message(state: str, probability: float, word: str) -> None:
    record = msgspec.structs.replace(incident(), state=state, probability=probability)
    assert ElementTree.fromstring(cap_message(Alert(record), IDENTITY)).findtext(f".//{CAP}certainty") == word


def test_no_polygon_across_the_180th_meridian() -> None:
    record = msgspec.structs.replace(incident(), lat_deg=-17.0, lon_deg=179.99999)
    root = ElementTree.fromstring(cap_message(Alert(record), IDENTITY))
    assert root.find(f".//{CAP}polygon") is None
    assert (root.findtext(f".//{CAP}circle") or "").startswith("-17.00000000,179.99999000 ")


def test_a_mark_on_the_map_moves_and_is_never_hostile() -> None:
    events = [
        ElementTree.fromstring(cot_event(Alert(record), now_ns=NOW_NS))
        for record in (
            incident(7),
            incident(7, revision=2),
            msgspec.structs.replace(incident(7, revision=3), state="retracted"),
        )
    ]
    assert {event.get("uid") for event in events} == {"shotline.0000000000000007"}
    assert {event.get("type") for event in events} == {COT_TYPE} == {"a-u-G"}
    times = [parse_utc(event.attrib["time"]) for event in events]
    assert times == [parse_utc(incident(7, revision=number).as_of_utc) for number in (1, 2, 3)]
    lives_s = [
        (parse_utc(event.attrib["stale"]) - time_ns) // NS_PER_S for event, time_ns in zip(events, times, strict=True)
    ]
    assert lives_s == [3600, 3600, 0]


def test_ce_is_one_sigma() -> None:
    """Of a circle: a 95 % radius is 2.4477 sigma."""
    record = msgspec.structs.replace(
        incident(), ellipse95=EllipseRecord(semi_major_m=24.477, semi_minor_m=24.477, orientation_deg=0.0)
    )
    assert sigma_m(record) == pytest.approx(10.0, rel=1e-4)
    point = ElementTree.fromstring(cot_event(Alert(record), now_ns=NOW_NS)).find("point")
    assert point is not None
    assert (point.attrib["ce"], point.attrib["hae"], point.attrib["le"]) == ("10.000", "9999999.0", "9999999.0")


def test_a_replay_stays_on_the_screens_and_is_marked_as_simulated() -> None:
    event = ElementTree.fromstring(cot_event(Alert(incident(scene="FP 1/a")), now_ns=NOW_NS))
    assert event.attrib["time"] == format_utc(NOW_NS, digits=3)
    assert event.attrib["start"] == format_utc(parse_utc(incident().time_utc), digits=3)
    assert event.attrib["opex"] == "s-FP_1_a"
    assert ElementTree.fromstring(cot_event(Alert(incident(), test=True), now_ns=NOW_NS)).attrib["opex"] == "e-TEST"


def test_syslog_escapes_and_ranks() -> None:
    record = incident(incident_id='a"b]c\\d')
    live, test = syslog_message(Alert(record), IDENTITY), syslog_message(Alert(record, test=True), IDENTITY)
    assert live.startswith(b"<164>1 2018-12-19T00:50:30.543000Z shots.example.org shotline - incident.provisional [")
    assert test.startswith(b"<166>1 ")
    assert rb'incident_id="a\"b\]c\\d"' in live


def test_a_late_older_revision_is_told_and_does_not_become_the_state() -> None:
    topics = [item.topic for item in mqtt_publications(Alert(incident()), IDENTITY, topic="s", newest=False)]
    assert topics == ["s/alerts"]
    published = mqtt_publications(Alert(incident(7)), IDENTITY, topic="s")
    assert [(item.topic, item.retain, item.expires) for item in published] == [
        ("s/alerts", False, False),
        ("s/incidents/0000000000000007", True, True),
        ("s/latest", True, False),
    ]
    assert len(mqtt_publications(Alert(incident()), IDENTITY, topic="s", home_assistant=False)) == 2


def test_home_assistant_finds_three_entities_with_ids_of_their_own() -> None:
    found = home_assistant_discovery(IDENTITY, topic="s", prefix="ha")
    assert [item.topic for item in found] == [
        f"ha/{platform}/shotline-shots-example-org/gunfire/config" for platform in ("event", "sensor", "device_tracker")
    ]
    documents = [json.loads(item.payload) for item in found]
    assert len({document["unique_id"] for document in documents}) == 3
    assert {document.get("state_topic", document.get("json_attributes_topic")) for document in documents} == {
        "s/latest"
    }
    latest = json.loads(mqtt_publications(Alert(incident()), IDENTITY, topic="s")[-1].payload)
    assert latest["event_type"] in documents[0]["event_types"]
    unheard_of = msgspec.structs.replace(incident(), state="pondered")
    assert json.loads(mqtt_publications(Alert(unheard_of), IDENTITY, topic="s")[-1].payload)["event_type"] == "revised"


@pytest.mark.parametrize("topic", ["", "a b", "a/+/b", "#", "/a", "a/", "$SYS"])
def test_topics_that_are_refused(topic: str) -> None:
    with pytest.raises(InputError, match="cannot begin a topic"):
        check_topic(topic)


def test_references_in_an_eido_lead_somewhere() -> None:
    document = json.loads(eido_document(Alert(incident()), IDENTITY, incident_type="GUN"))
    component = document["incidentComponent"]
    assert component["incidentTypeCommonRegistryText"] == "GUN"
    assert component["locationReference"] == [{"$ref": document["locationComponent"][0]["$id"]}]
    assert component["notesReference"] == [{"$ref": document["notesComponent"][0]["$id"]}]
    assert document["updatedByAgencyReference"] == {"$ref": document["agencyComponent"][0]["$id"]}


EIDO_WANTS = {
    "": {"eidoVersion": str, "issuingElementIdentification": str, "agencyComponent": list},
    "agencyComponent": {"agencyRoleDescriptionRegistryText": list, "agencyType": list},
    "incidentComponent": {"incidentTypeCommonRegistryText": str},
    "locationComponent": {"locationTypeDescriptionRegistryText": str},
    "notesComponent": {"notesActionComments": str},
}
"""Members that NENA's schema wants of each component that we write, beside those of every component."""


def test_an_eido_has_what_the_schema_wants() -> None:
    every: dict[str, type] = {"$id": str, "lastUpdateTimeStamp": str, "updatedByAgencyReference": dict}
    document = json.loads(eido_document(Alert(incident()), IDENTITY, incident_type="GUN"))
    assert {name for name in document if name.endswith("Component")} == EIDO_WANTS.keys() - {""}
    for name, wants in EIDO_WANTS.items():
        part = document if name == "" else document[name]
        for component in part if isinstance(part, list) else [part]:
            for member, kind in (every | wants).items():
                assert isinstance(component[member], kind), (name, member)
                assert component[member], (name, member)


def test_the_note_of_an_eido_is_html() -> None:
    made_up = Alert(msgspec.structs.replace(incident(), scene="a<b> & c"))
    (note,) = json.loads(eido_document(made_up, IDENTITY, incident_type="GUN"))["notesComponent"]
    root = ElementTree.fromstring(f"<div>{note['notesActionComments']}</div>")
    assert {child.tag for child in root} == {"p"}
    assert "a<b> & c" in "".join(root.itertext())


@pytest.mark.parametrize("kind", [DocumentFormat.CAP, DocumentFormat.EIDO])
def test_without_degrees_there_is_no_document(kind: DocumentFormat) -> None:
    writer = DocumentWriter(kind, IDENTITY, "GUN")
    with pytest.raises(InputError, match="has no degrees, which this format needs; give the network an origin"):
        writer.document(Alert(incident(frame=None)))


def test_a_cloudevent_is_the_same_in_every_attempt() -> None:
    alert = Alert(incident(7, revision=2))
    assert cloudevent(alert, IDENTITY) == cloudevent(alert, IDENTITY)
    event = json.loads(cloudevent(alert, IDENTITY))
    assert (event["source"], event["id"]) == ("urn:shotline:shots.example.org", "0000000000000007/2")


def test_file_names_are_safe_and_sort_by_revision() -> None:
    document = DocumentWriter(DocumentFormat.CAP, IDENTITY).document(Alert(incident(incident_id="../a.b", revision=12)))
    assert document.file_name == "-a-b.0012.cap.xml"


def _head(message: bytes) -> tuple[str | None, str | None]:
    root = ElementTree.fromstring(message)
    return root.findtext(f"{CAP}msgType"), root.findtext(f"{CAP}references")


def _own(message: bytes) -> str:
    root = ElementTree.fromstring(message)
    return f"{root.findtext(f'{CAP}identifier')},{root.findtext(f'{CAP}sent')}"
