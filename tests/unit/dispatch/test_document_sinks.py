from __future__ import annotations

import errno
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from alert_samples import incident
from format_readers import IDENTITY
from webhook_receiver import Answer, Receiver

from fusion_server.dispatch import Alert, DeliveryError, FolderSink, HttpSink
from fusion_server.dispatch.formats import DocumentFormat, DocumentWriter
from fusion_server.dispatch.secretfile import read_secret
from shotline.errors import InputError, StorageError
from shotline.records import IncidentRecord

CAP = DocumentWriter(DocumentFormat.CAP, IDENTITY)


def _kept(*records: IncidentRecord) -> Callable[[str], Sequence[IncidentRecord]]:
    return lambda incident_id: [record for record in records if record.id == incident_id]


def _lost(_incident: str) -> Sequence[IncidentRecord]:
    raise StorageError("the history is locked")


def test_a_cap_message_is_posted_with_its_type_and_a_token() -> None:
    first, second = incident(7), incident(7, revision=2)
    with Receiver() as receiver:
        sink = HttpSink(receiver.url, CAP, revisions=_kept(first, second, incident(8)), token="hunter2", name="alerts")
        sink.send(Alert(second))
        post = receiver.next()
    assert sink.name == "alerts"
    assert post.headers["content-type"] == "application/cap+xml"
    assert post.headers["authorization"] == "Bearer hunter2"
    assert b"<msgType>Update</msgType>" in post.body
    assert post.body.count(b",shotline.0000000000000007.1,") == 1


def test_an_eido_is_posted_without_a_token() -> None:
    with Receiver() as receiver:
        writer = DocumentWriter(DocumentFormat.EIDO, IDENTITY, "GUN")
        HttpSink(receiver.url, writer, revisions=_kept()).send(Alert(incident()))
        post = receiver.next()
    assert "authorization" not in post.headers
    assert post.headers["content-type"] == "application/json"


def test_what_an_endpoint_refuses_is_a_failure() -> None:
    with Receiver([Answer(422)]) as receiver, pytest.raises(DeliveryError, match="answered 422") as caught:
        HttpSink(receiver.url, CAP, revisions=_kept()).send(Alert(incident()))
    assert not caught.value.retryable


def test_a_password_in_an_address_is_refused_and_not_told() -> None:
    with pytest.raises(InputError, match="put a token into token_file") as caught:
        HttpSink("https://me:hunter2@example.org/", CAP, revisions=_kept())
    assert "hunter2" not in str(caught.value)


def test_files_for_each_revision(tmp_path: Path) -> None:
    first, second = incident(7), incident(7, revision=2)
    sink = FolderSink(tmp_path, CAP, revisions=_kept(first, second))
    for record in (first, second, second):
        sink.send(Alert(record))
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["0000000000000007.0001.cap.xml", "0000000000000007.0002.cap.xml"]
    assert b"<msgType>Update</msgType>" in (tmp_path / names[1]).read_bytes()


def test_a_folder_that_is_gone(tmp_path: Path) -> None:
    sink = FolderSink(tmp_path / "gone", CAP, revisions=_kept())
    with pytest.raises(DeliveryError, match="No such file or directory; check the folder") as caught:
        sink.send(Alert(incident()))
    assert caught.value.retryable


def test_a_write_that_fails_leaves_no_half_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DeliveryError, match="No space left"):
        FolderSink(tmp_path, CAP, revisions=_kept()).send(Alert(incident()))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("form", [DocumentFormat.CAP, DocumentFormat.EIDO])
def test_an_incident_without_degrees_is_given_up(tmp_path: Path, form: DocumentFormat) -> None:
    sink = FolderSink(tmp_path, DocumentWriter(form, IDENTITY, "GUN"), revisions=_kept())
    with pytest.raises(DeliveryError, match="has no degrees") as caught:
        sink.send(Alert(incident(frame=None)))
    assert not caught.value.retryable


def test_a_history_that_cannot_be_read_is_tried_again(tmp_path: Path) -> None:
    with pytest.raises(DeliveryError, match="cannot read the earlier revisions: the history is locked") as caught:
        FolderSink(tmp_path, CAP, revisions=_lost).send(Alert(incident()))
    assert caught.value.retryable


@pytest.mark.parametrize(
    ("content", "mode", "words"),
    [
        ("hunter2", 0o640, r"the token can be read by others \(mode 0640, expected 0600\); run: chmod 600"),
        (" \n", 0o600, "the file is empty, expected the token"),
    ],
)
def test_secret_files_that_cannot_be_used(tmp_path: Path, content: str, mode: int, words: str) -> None:
    path = tmp_path / "token"
    path.write_text(content)
    path.chmod(mode)
    with pytest.raises(InputError, match=words) as caught:
        read_secret(path, "the token")
    assert "hunter2" not in str(caught.value)
    with pytest.raises(InputError, match="cannot read the token: No such file"):
        read_secret(tmp_path / "none", "the token")
