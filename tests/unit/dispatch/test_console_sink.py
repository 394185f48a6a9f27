from __future__ import annotations

import io

import msgspec
import pytest
from alert_samples import incident

from fusion_server.dispatch import Alert, ConsoleSink, DeliveryError
from shotline.records import ALERT_NOTICE, EllipseRecord, FiringPlaceRecord, MovementRecord


def _printed(*alerts: Alert) -> str:
    stream = io.StringIO()
    sink = ConsoleSink(stream)
    for alert in alerts:
        sink.send(alert)
    return stream.getvalue()


def test_a_block_says_what_a_dispatcher_needs() -> None:
    text = _printed(Alert(incident(1, revision=2, rounds=3)))
    for words in (
        "3 shots · revised, revision 2",
        "2018-12-19 00:50:28.543 UTC",
        "522 rounds/min",
        "40.440960, -79.994839",
        "x 90.0 m, y 40.0 m",
        "95 % within 6.2 m; ellipse 14.3 x 7.7 m, long axis 34° from north",
        "probability 97%",
        "6 nodes: roof-01, roof-02, roof-03, roof-05, roof-06, roof-07 (not used: roof-04)",
        "0000000000000001",
        "not grounds for a stop, search or arrest",
    ):
        assert words in " ".join(text.replace("│", " ").split()), words


def test_how_rounds_were_fired_is_told_when_it_is_known() -> None:
    ellipse = EllipseRecord(semi_major_m=5.0, semi_minor_m=3.0, orientation_deg=0.0)
    places = tuple(
        FiringPlaceRecord(
            x_m=x_m,
            y_m=40.0,
            covariance_m2=((4.0, 0.0), (0.0, 4.0)),
            ellipse95=ellipse,
            rounds=rounds,
            fire_mode="semi_automatic",
        )
        for x_m, rounds in ((90.0, (0, 2)), (130.0, (1,)))
    )
    record = msgspec.structs.replace(
        incident(1, rounds=3),
        rounds_low=3,
        rounds_high=5,
        fire_mode="semi_automatic",
        places=places,
        shooters_least=2,
        movement=MovementRecord(speed_mps=6.2, speed_sigma_mps=0.5, heading_deg=87.0, p_value=1e-4),
    )
    text = " ".join(_printed(Alert(record)).replace("│", " ").split())
    for words in (
        "3 shots (3 to 5) · provisional",
        "cadence semi-automatic, 522 rounds/min",
        "places 2: 2 from x 90 m, y 40 m, 1 from x 130 m, y 40 m; at least 2 shooters",
        "moving 6 m/s, heading 87° from north",
    ):
        assert words in text, words
    undetermined = msgspec.structs.replace(record, fire_mode="undetermined", places=(), movement=None, rounds_high=3)
    text = " ".join(_printed(Alert(undetermined)).replace("│", " ").split())
    assert "3 shots · provisional" in text
    assert "cadence 522 rounds/min" in text
    assert "places" not in text
    assert "moving" not in text


def test_no_degrees_without_a_geodetic_frame() -> None:
    assert "position x 90.0 m, y 40.0 m" in " ".join(_printed(Alert(incident(frame=None))).split())


@pytest.mark.parametrize(
    ("alert", "banner"),
    [
        (Alert(incident()), ""),
        (Alert(incident(), test=True), "TEST"),
        (Alert(incident(scene="FP1")), "REPLAY"),
        (Alert(incident(scene="FP1"), test=True), "TEST REPLAY"),
    ],
)
def test_what_is_not_live_says_so(alert: Alert, banner: str) -> None:
    assert alert.banner == banner
    title = next(line for line in _printed(alert).splitlines() if "1 shot" in line)
    assert ("TEST" in title, "REPLAY" in title) == ("TEST" in banner, "REPLAY" in banner)


def test_the_full_notice_comes_once_before_the_first() -> None:
    text = " ".join(_printed(Alert(incident(1)), Alert(incident(2))).split())
    assert text.count(ALERT_NOTICE) == 1
    assert text.startswith("Alerts. ")


def test_names_from_outside_are_not_markup() -> None:
    assert "[red]scene[/red]" in _printed(Alert(incident(scene="[red]scene[/red]")))


def test_a_closed_stream_is_a_delivery_error() -> None:
    stream = io.StringIO()
    sink = ConsoleSink(stream)
    stream.close()
    with pytest.raises(DeliveryError, match="cannot write to the console") as caught:
        sink.send(Alert(incident()))
    assert not caught.value.retryable
