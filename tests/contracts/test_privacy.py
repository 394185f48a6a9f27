"""Promises of docs/privacy.md that code can hold."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import msgspec
import msgspec.inspect
import pytest

from shotline import messages
from shotline.domain import ClockState, ImpulseKind
from shotline.records import ALERT_NOTICE, IncidentRecord

NEVER = (
    "speech",
    "voice",
    "person",
    "people",
    "speaker",
    "talk",
    "word",
    "shout",
    "scream",
    "language",
    "gender",
    "face",
)


def test_no_kind_names_speech_or_people() -> None:
    assert {kind.value for kind in ImpulseKind} == {
        "gunshot",
        "firework",
        "thunder",
        "impact",
        "other_impulse",
        "background",
    }
    assert not [kind for kind in ImpulseKind for word in NEVER if word in kind.value]


def test_no_message_but_a_clip_carries_sound() -> None:
    carriers, lists = set(), set()
    for message in get_args(messages.Message):
        for field in msgspec.inspect.type_info(message).fields:  # type: ignore[attr-defined]
            for kind in _kinds(field.type):
                if isinstance(kind, msgspec.inspect.BytesType) and kind.max_length != 32:
                    carriers.add((message.__name__, field.name))
                if isinstance(kind, msgspec.inspect.CollectionType):
                    lists.add((message.__name__, field.name))
    assert carriers == {("Clip", "flac")}
    assert lists == {("Detection", "probabilities_bp"), ("Ack", "sequences"), ("Heartbeat", "health")}


def _kinds(kind: msgspec.inspect.Type) -> Iterator[msgspec.inspect.Type]:
    """Yield a type and what it is made of: unions, items, fields, and what stands inside a description."""
    yield kind
    inside = [*getattr(kind, "types", ()), *(field.type for field in getattr(kind, "fields", ()))]
    inside += [kind.type] if isinstance(kind, msgspec.inspect.Metadata) else []
    inside += [kind.item_type] if isinstance(kind, msgspec.inspect.VarTupleType) else []
    for inner in inside:
        yield from _kinds(inner)


@pytest.mark.parametrize(("before_s", "after_s", "good"), [(2.0, 4.0, True), (2.1, 1.0, False), (0.5, 4.1, False)])
def test_a_clip_is_short(before_s: float, after_s: float, good: bool) -> None:
    request = messages.ClipRequest(node="a", boot=1, sequence=1, incident_id="i", before_s=before_s, after_s=after_s)
    if good:
        assert messages.decode(messages.encode(request)) == request
    else:
        with pytest.raises(messages.MessageError, match="malformed"):
            messages.decode(messages.encode(request))


def test_every_incident_carries_the_notice() -> None:
    assert "not grounds for a stop, search or arrest" in ALERT_NOTICE
    notice = next(field for field in msgspec.structs.fields(IncidentRecord) if field.name == "notice")
    assert notice.required or notice.default == ALERT_NOTICE


def test_a_detection_is_small() -> None:
    usual = messages.Detection(
        node="roof-library",
        boot=2**61,
        sequence=123_456,
        arrival_time_ns=1_800_000_000_000_000_000,
        arrival_sigma_ns=1_000,
        clock_state=ClockState.PPS,
        probabilities_bp=(8_000, 500, 500, 500, 500, 0),
        peak_level_db=93.0,
        level_reference=messages.LevelReference.DB_SPL,
        snr_db=30.0,
        rise_time_s=0.001,
        model_id="impulse-rules-1",
    )
    assert len(messages.encode(usual)) < 180


def test_the_runtime_of_networks_leaves_nothing_behind_and_reports_to_nobody(tmp_path: Path) -> None:
    program = (
        "import os; from shotline_models.registry import DEFAULT_MODEL, find_weights;"
        "from shotline_models.runtime import open_network; open_network(find_weights(DEFAULT_MODEL));"
        "print(os.environ['ORT_DISABLE_TELEMETRY'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"TMPDIR": str(tmp_path), "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "1"
    assert list(tmp_path.iterdir()) == []


def test_onnxruntime_is_imported_in_one_place_only() -> None:
    root = Path(__file__).parents[2]
    places = {
        str(path.relative_to(root))
        for folder in ("shotline", "sensor_node", "fusion_server", "models", "recordings")
        for path in (root / folder).rglob("*.py")
        if re.search(r"^\s*(import|from) onnxruntime\b", path.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert places == {"models/shotline_models/onnxruntime_silent.py"}
