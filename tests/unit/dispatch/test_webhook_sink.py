from __future__ import annotations

import base64
import json
import socket
from pathlib import Path

import msgspec
import pytest
from alert_samples import incident
from webhook_receiver import Answer, Receiver, verify

from fusion_server.dispatch import Alert, DeliveryError, SigningSecret, WebhookSink
from shotline.errors import InputError
from shotline.records import IncidentRecord

SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
OLD_SECRET = "whsec_" + base64.b64encode(bytes(range(1, 33))).decode()


def _sink(url: str, *secrets: str, timeout_s: float = 5.0) -> WebhookSink:
    return WebhookSink(
        url, SigningSecret(*(secrets or (SECRET,))), timeout_s=timeout_s, now_ns=lambda: 1_614_265_330_999_999_999
    )


def test_the_signature_is_the_one_of_the_reference_libraries() -> None:
    """The vector that the specification's own libraries test themselves with."""
    secret = SigningSecret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    signature = secret.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, b'{"test": 2432232314}')
    assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_a_post_is_signed_and_holds_the_record() -> None:
    record = incident(7, revision=2, rounds=3, scene="FP1")
    with Receiver() as receiver:
        _sink(receiver.url).send(Alert(record, test=True))
        post = receiver.next()
    assert post.path == "/shots?city=1"
    assert verify(SECRET, post)
    assert not verify(OLD_SECRET, post)
    assert post.headers["webhook-id"] == "0000000000000007_2_webhook"
    assert post.headers["webhook-timestamp"] == "1614265330"
    assert post.headers["content-type"] == "application/json"
    payload = json.loads(post.body)
    assert payload["type"] == "incident.revised"
    assert payload["timestamp"] == record.as_of_utc
    assert (payload["test"], payload["replay"]) == (True, True)
    assert msgspec.convert(payload["data"], IncidentRecord) == record


def test_while_keys_change_both_sign() -> None:
    with Receiver() as receiver:
        _sink(receiver.url, SECRET, OLD_SECRET).send(Alert(incident()))
        post = receiver.next()
    assert verify(SECRET, post)
    assert verify(OLD_SECRET, post)


def test_a_message_id_has_no_full_stop() -> None:
    assert _sink("http://localhost/").message_id(incident(incident_id="a.b")) == "a-b_1_webhook"


@pytest.mark.parametrize(
    ("answer", "words", "retryable"),
    [
        (Answer(500), "answered 500 Internal Server Error", True),
        (Answer(404), "answered 404 Not Found", True),
        (Answer(429), "answered 429 Too Many Requests", True),
        (Answer(400), "answered 400 Bad Request", False),
        (Answer(410), "answered 410 Gone", False),
        (Answer(302, (("Location", "http://127.0.0.1:1/"),)), "answered 302 Found; redirects are not followed", True),
    ],
)
def test_other_answers_are_failures(answer: Answer, words: str, retryable: bool) -> None:
    with Receiver([answer]) as receiver, pytest.raises(DeliveryError, match=words) as caught:
        _sink(receiver.url).send(Alert(incident()))
    assert caught.value.retryable is retryable


@pytest.mark.parametrize(("value", "expected_s"), [("7", 7.0), ("nan", None), ("-1", None), ("tomorrow", None)])
def test_retry_after_is_passed_on(value: str, expected_s: float | None) -> None:
    answer = Answer(503, (("Retry-After", value),))
    with Receiver([answer]) as receiver, pytest.raises(DeliveryError) as caught:
        _sink(receiver.url).send(Alert(incident()))
    assert caught.value.retry_after_s == expected_s


def test_nobody_there() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        with pytest.raises(DeliveryError, match=rf"cannot reach 127.0.0.1:{port}: Connection refused") as caught:
            _sink(f"http://127.0.0.1:{port}/").send(Alert(incident()))
    assert caught.value.retryable


def test_a_receiver_that_hangs() -> None:
    with Receiver([Answer(hang=True)]) as receiver:
        with pytest.raises(DeliveryError, match=r"did not answer within 0.05 s") as caught:
            _sink(receiver.url, timeout_s=0.05).send(Alert(incident()))
        assert caught.value.retryable


def test_something_that_is_not_http() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"https://127.0.0.1:{listener.getsockname()[1]}/"
        with pytest.raises(DeliveryError, match=r"did not answer|cannot reach"):
            _sink(url, timeout_s=0.05).send(Alert(incident()))


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("ftp://example.org/", "not a URL such as https"),
        ("https://", "not a URL such as https"),
        ("http://[::1", "not a URL"),
        ("https://example.org:99999/", "not a URL"),
        ("https://user:password@example.org/", "password"),
        ("https://example.org/a b", "percent-encode"),
        ("https://example.org/\r\nX-Evil: 1", "percent-encode"),
        ("http://example.org/", "can be read by everybody on the way; use https"),
    ],
)
def test_addresses_that_are_refused(url: str, words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        _sink(url)
    assert "password@" not in str(caught.value)


def test_plain_http_where_somebody_decided_so() -> None:
    WebhookSink("http://example.org/", SigningSecret(SECRET), plain_http=True)


def test_a_secret_file(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text(f"{SECRET}\n\n{OLD_SECRET}\n")
    path.chmod(0o600)
    secret = SigningSecret.load(path)
    assert repr(secret) == "SigningSecret(2 keys, hidden)"
    assert secret.sign("id", 1, b"").startswith(SigningSecret(SECRET).sign("id", 1, b"") + " v1,")


@pytest.mark.parametrize(
    ("content", "mode", "words"),
    [
        (SECRET, 0o644, r"can be read by others \(mode 0644, expected 0600\); run: chmod 600"),
        ("", 0o600, "the file is empty"),
        ("hunter2hunter2", 0o600, "secret:1: the signing secret does not start with whsec_"),
        ("whsec_!!!", 0o600, "not base64"),
        (SECRET + "\nwhsec_c2hvcnQ=", 0o600, "secret:2: the signing secret has 5 bytes, expected 24 to 64"),
    ],
)
def test_secret_files_that_are_refused(tmp_path: Path, content: str, mode: int, words: str) -> None:
    path = tmp_path / "secret"
    path.write_text(content)
    path.chmod(mode)
    with pytest.raises(InputError, match=words) as caught:
        SigningSecret.load(path)
    assert "hunter2" not in str(caught.value)
    assert SECRET not in str(caught.value)


def test_no_secret_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot read the signing secret: No such file"):
        SigningSecret.load(tmp_path / "none")
    with pytest.raises(InputError, match="no signing secret"):
        SigningSecret()
