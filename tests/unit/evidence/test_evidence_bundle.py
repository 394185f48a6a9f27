"""A bundle: the same each time, whole or found out, whatever is changed."""

from __future__ import annotations

import io
import zipfile

import msgspec
import numpy as np
import pytest
from evidence_samples import SIGNED_NS, packed, problems, rezipped, signing_key

from fusion_server.evidence.bundle import Bundle
from fusion_server.evidence.case import AuditExtract, Case, LogState
from fusion_server.evidence.container import MANIFEST, SIGNATURE, pack, pretty, unpack
from fusion_server.evidence.contents import case_head
from fusion_server.evidence.signing import fingerprint, sign_root
from shotline.auditchain import follow
from shotline.errors import InputError
from shotline.messages import iter_frames
from shotline.records import ALERT_NOTICE


def test_the_same_case_makes_the_same_bytes(case: Case, data: bytes) -> None:
    assert packed(case) == data


def test_only_the_signature_knows_when_it_was_signed(case: Case, data: bytes) -> None:
    before, after = unpack(data), unpack(packed(case, time_ns=SIGNED_NS + 60 * 10**9))
    assert (before.files, before.manifest_bytes, before.digest) == (after.files, after.manifest_bytes, after.digest)
    assert before.signature_bytes != after.signature_bytes


def test_a_bundle_is_whole_and_says_whose_it_is(data: bytes) -> None:
    mine, other = fingerprint(signing_key(1).public), fingerprint(signing_key(2).public)
    assert problems(data) == []
    assert problems(data, trusted=(other, mine)) == []
    assert problems(data, trusted=(other,)) == [f"signature.json: signed by key {mine}, expected {other}"]


def test_it_holds_what_the_nodes_sent(case: Case, bundle: Bundle) -> None:
    frames = list(iter_frames(bundle.file("detections/wire.bin")))
    assert sorted(frames) == sorted(case.wire.values())
    heard = {item.detection for shot in case.revisions[-1].shots for item in shot.arrivals}
    assert heard <= set(bundle.detections)
    assert bundle.manifest.notice == ALERT_NOTICE
    assert b"By itself it is not grounds for" in bundle.file("README.txt")


def test_every_kind_of_file_is_missed_when_it_changes(data: bytes) -> None:
    names = [*unpack(data).files, MANIFEST, SIGNATURE]
    assert {name.partition("/")[0] for name in names} == {
        "README.txt", "incident", "detections", "network", "relocation.json", "nodes.json", "weather.json",
        "versions.json", "decisions.json", "receipts.json", "audit.json", "clips", MANIFEST, SIGNATURE,
    }  # fmt: skip
    for name in names:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            content = bytearray(archive.read(name))
        content[len(content) // 2] ^= 1
        said = problems(rezipped(data, change={name: bytes(content)}))
        assert said, name
        assert said[0].startswith(name), said


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"nodes.json": None}, "nodes.json: missing"),
        ({"more.txt": b"more"}, "more.txt: not in the manifest"),
        ({SIGNATURE: None}, "is no bundle: it has no signature.json"),
        ({}, "the ZIP around the files is not the one that was written: bytes between them differ"),
    ],
)
def test_what_is_dropped_added_or_packed_anew_is_found(data: bytes, change: dict[str, bytes | None], says: str) -> None:
    assert problems(rezipped(data, change=change)) == [says]


def test_any_byte_that_changes_is_found(data: bytes) -> None:
    rng = np.random.default_rng(5)
    # The end of the file holds ZIP's own table of files, which no digest covers: all of it, and a sample of the rest.
    table = data.index(b"PK\x01\x02")
    for offset in [*rng.integers(0, table, 150), *rng.integers(table, len(data), 150)]:
        changed = bytearray(data)
        changed[offset] ^= 1 << int(rng.integers(8))
        assert problems(bytes(changed)), f"byte {offset}"
    assert problems(data + b"\0")
    assert problems(data[:-1])


def test_somebody_elses_signature_over_a_changed_manifest_needs_a_key_to_compare(data: bytes) -> None:
    found = unpack(data)
    forged = pack({**found.files, "receipts.json": b"[1]\n"}, found.manifest, key=signing_key(2), time_ns=SIGNED_NS)
    assert problems(forged) == []
    assert problems(forged, trusted=(fingerprint(signing_key(1).public),))


def test_what_is_compressed_is_not_unpacked() -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(MANIFEST, b"0" * 10_000_000)
    assert problems(out.getvalue()) == ["'manifest.json' is compressed or encrypted; a bundle stores"]


@pytest.mark.parametrize("rubbish", [b"", b"PK", b"PK\x05\x06" + b"\0" * 18, b"x" * 1000])
def test_rubbish_is_no_bundle(rubbish: bytes) -> None:
    assert "is no bundle" in problems(rubbish)[0]


@pytest.mark.parametrize("name", ["../up", "/root", "a//b", MANIFEST, "a b"])
def test_names_that_could_go_elsewhere_are_not_written(case: Case, name: str) -> None:
    with pytest.raises(InputError, match="cannot be the name of a file"):
        pack({name: b""}, case_head(case), key=signing_key(), time_ns=0)


def test_the_audit_extract_is_looked_at_too(data: bytes) -> None:
    first = follow(None, time_ns=1, actor="server", action="start", subject="server")
    second = follow(first, time_ns=2, actor="anna", action="decision", subject="i1", detail={"outcome": "confirmed"})
    log = LogState(entries=2, last_digest=second.digest, faults=())
    root = sign_root(second, signing_key(), time_ns=3)

    def with_audit(extract: AuditExtract) -> list[str]:
        found = unpack(data)
        files = {**found.files, "audit.json": pretty(extract)}
        return problems(pack(files, found.manifest, key=signing_key(), time_ns=SIGNED_NS))

    whole = AuditExtract(entries=(first, second), roots=(root,), log=log)
    assert with_audit(whole) == []
    changed = msgspec.structs.replace(second, detail={"outcome": "dismissed"})
    assert with_audit(msgspec.structs.replace(whole, entries=(first, changed))) == [
        "audit.json: entry 2 was changed: its content does not give its digest"
    ]
    assert with_audit(msgspec.structs.replace(whole, entries=(second, first))) == [
        "audit.json: entry 1 does not follow entry 2"
    ]
    other = msgspec.structs.replace(root, number=1)
    assert with_audit(msgspec.structs.replace(whole, roots=(other,))) == [
        "audit.json: the signature of the root over entry 1 does not hold"
    ]
    torn = LogState(entries=2, last_digest=second.digest, faults=("entry 1: is missing",))
    assert "was not whole when the bundle was made" in with_audit(msgspec.structs.replace(whole, log=torn))[0]
