from __future__ import annotations

import json
import os
from pathlib import Path

import msgspec
import pytest
from alert_samples import incident

from fusion_server.dispatch import Alert, DeliveryError, JsonlSink
from shotline.errors import InputError
from shotline.records import IncidentRecord


def test_one_record_per_line(tmp_path: Path) -> None:
    path = tmp_path / "alerts.jsonl"
    records = [incident(1), incident(1, revision=2), incident(2, rounds=3)]
    sink = JsonlSink(path)
    for record in records:
        sink.send(Alert(record))
    assert [msgspec.json.decode(line, type=IncidentRecord) for line in path.read_bytes().splitlines()] == records


def test_a_test_alert_says_so_and_is_still_a_record(tmp_path: Path) -> None:
    path = tmp_path / "alerts.jsonl"
    JsonlSink(path).send(Alert(incident(), test=True))
    assert json.loads(path.read_text())["test"] is True
    assert msgspec.json.decode(path.read_bytes(), type=IncidentRecord) == incident()


def test_a_line_that_a_crash_cut_short_is_closed_first(tmp_path: Path) -> None:
    path = tmp_path / "alerts.jsonl"
    path.write_bytes(b'{"id":"torn')
    JsonlSink(path).send(Alert(incident()))
    torn, line = path.read_bytes().splitlines()
    assert torn == b'{"id":"torn'
    assert msgspec.json.decode(line, type=IncidentRecord) == incident()


def test_the_file_may_be_moved_away(tmp_path: Path) -> None:
    path = tmp_path / "alerts.jsonl"
    sink = JsonlSink(path)
    sink.send(Alert(incident(1)))
    path.rename(tmp_path / "old.jsonl")
    sink.send(Alert(incident(2)))
    assert len(path.read_bytes().splitlines()) == 1


def test_a_full_disk_in_plain_words() -> None:
    with pytest.raises(DeliveryError, match=r"/dev/full: No space left on device; free space on the disk") as caught:
        JsonlSink(Path("/dev/full")).send(Alert(incident()))
    assert caught.value.retryable


def test_a_write_that_fails_half_way_is_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "alerts.jsonl"
    sink = JsonlSink(path)
    sink.send(Alert(incident(1)))
    before = path.read_bytes()
    real_write = os.write

    def write_half_then_fail(descriptor: int, data: bytes) -> int:
        if len(data) > 100:
            return real_write(descriptor, data[:100])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", lambda descriptor, data: write_half_then_fail(descriptor, data[:150]))
    with pytest.raises(DeliveryError, match="No space left"):
        sink.send(Alert(incident(2)))
    monkeypatch.undo()
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("where", "words"),
    [
        ("none/alerts.jsonl", "No such file or directory; create its folder"),
        (".", "Is a directory; give the path of a file"),
        ("file/alerts.jsonl", "Not a directory; give the path of a file"),
    ],
)
def test_a_path_that_cannot_be(tmp_path: Path, where: str, words: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DeliveryError, match=words):
        JsonlSink(tmp_path / where).send(Alert(incident()))


def test_no_permission_in_plain_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_arguments: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(DeliveryError, match="Permission denied; give this user write permission"):
        JsonlSink(tmp_path / "alerts.jsonl").send(Alert(incident()))


@pytest.mark.parametrize("name", ["", "Has Capitals", "a/b", "x" * 65, "dot.ted"])
def test_sink_names_are_closed(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="is not a sink name"):
        JsonlSink(tmp_path / "a", name=name)
