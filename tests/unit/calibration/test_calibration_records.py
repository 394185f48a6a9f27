"""Calibration records: what was signed is what is read, and nothing that was changed passes."""

from __future__ import annotations

import dataclasses
import tomllib
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fusion_server.evidence.signing import SigningKey, fingerprint
from shotline.errors import InputError
from shotline_calibration.position.result import PositionResult
from shotline_calibration.procedures import PROCEDURES, result_type
from shotline_calibration.recordbook import RecordBook, input_file, write_record
from shotline_calibration.records import (
    InputFile,
    Instrument,
    Record,
    join_ids,
    parse_record,
    record_problems,
    record_text,
    sign_record,
    split_ids,
    trusted_keys,
)
from shotline_calibration.tomltext import toml_text

PLACE = PositionResult(lat_deg=51.0000000123, lon_deg=-0.1, height_m=1e-7, sigma_m=1.25, sigma_up_m=2.5)


@pytest.fixture
def key(tmp_path: Path) -> SigningKey:
    return SigningKey.new(tmp_path / "technician.key")


def record(**changes: object) -> Record:
    made = Record(
        kind="position",
        node="roof-1",
        made_utc="2026-12-01T10:00:00Z",
        by='Zoë "Z" \\ O\'Neill\x7f',
        procedure="gnss average 1",
        software="shotline 0.1.0",
        result=PLACE,
        instruments=(Instrument(name="receiver", serial="7"), Instrument(name="tripod")),
        inputs=(InputFile(name="gps.json", sha256="0" * 64, size_bytes=7),),
        notes="two\nlines",
    )
    return msgspec.structs.replace(made, **changes)


def test_a_record_comes_back_as_it_was_signed(key: SigningKey) -> None:
    signed = sign_record(record(), key)
    read = parse_record(record_text(signed))
    assert read == signed
    assert read.record == record()
    assert record_problems(read) == []
    assert record_problems(read, trusted=[fingerprint(key.public)]) == []
    assert len(signed.id) == 16
    assert record_text(read) == record_text(signed)


def test_the_same_content_has_the_same_id_whoever_signs(key: SigningKey, tmp_path: Path) -> None:
    other = SigningKey.new(tmp_path / "other.key")
    assert sign_record(record(), key).id == sign_record(record(), other).id
    assert sign_record(record(), key).id != sign_record(record(notes="else"), key).id


def test_the_bytes_that_are_signed_stay(tmp_path: Path) -> None:
    """Old records must be checkable for ever."""
    content = sign_record(record(), SigningKey.new(tmp_path / "k")).content
    assert content == (
        b'{"by":"Zo\xc3\xab \\"Z\\" \\\\ O\'Neill\x7f","format":"shotline-calibration-1","inputs":[{"name":"gps.json",'
        b'"sha256":"' + b"0" * 64 + b'","size_bytes":7}],"instruments":[{"name":"receiver","serial":"7"},'
        b'{"name":"tripod"}],"kind":"position","made_utc":"2026-12-01T10:00:00Z","node":"roof-1",'
        b'"notes":"two\\nlines","procedure":"gnss average 1","result":{"height_m":1e-7,"lat_deg":51.0000000123,'
        b'"lon_deg":-0.1,"sigma_m":1.25,"sigma_up_m":2.5},"software":"shotline 0.1.0"}'
    )


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("51.0000000123", "51.0000000124", "its content was changed: that has the id"),
        ("two\\nlines", "two lines", "its content was changed"),
        ('name = "tripod"', 'name = "pole"', "its content was changed"),
        ('signature = "', 'signature = "00', "its signature is not that of its content"),
    ],
)
def test_a_change_is_found(key: SigningKey, old: str, new: str, says: str) -> None:
    text = record_text(sign_record(record(), key))
    assert text.count(old) == 1
    (problem,) = record_problems(parse_record(text.replace(old, new)))
    assert problem.startswith(says)


def test_a_new_id_for_a_changed_content_is_found_by_the_signature(key: SigningKey) -> None:
    good, other = sign_record(record(), key), sign_record(record(notes=""), key)
    forged = dataclasses.replace(other, seal=msgspec.structs.replace(good.seal, id=other.id))
    assert record_problems(forged) == ["its signature is not that of its content by the key that it names"]


def test_another_key_is_told_apart(key: SigningKey, tmp_path: Path) -> None:
    other = fingerprint(SigningKey.new(tmp_path / "other.key").public)
    (problem,) = record_problems(sign_record(record(), key), trusted=trusted_keys([other]))
    assert problem == f"was signed by {fingerprint(key.public)}, which is none of the keys given"
    with pytest.raises(InputError, match="is no fingerprint"):
        trusted_keys(["abc"])


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"node": "a b"}, "node: 'a b' is no node id"),
        ({"node": "a\n"}, "is no node id"),
        ({"by": " "}, "by: is empty"),
        ({"made_utc": "yesterday"}, "made_utc: 'yesterday' is not a UTC time"),
        ({"supersedes": "7"}, "supersedes: '7' is no id of a record"),
        ({"kind": "mood"}, "no procedure of this version makes records of kind 'mood'; it knows position"),
        ({"result": msgspec.structs.replace(PLACE, sigma_m=float("nan"))}, "result.sigma_m: nan cannot be kept"),
        ({"result": msgspec.structs.replace(PLACE, lat_deg=float("inf"))}, "result.lat_deg: inf cannot be kept"),
    ],
)
def test_what_no_record_can_hold(key: SigningKey, changes: dict[str, object], says: str) -> None:
    with pytest.raises(InputError, match=says):
        sign_record(record(**changes), key)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('format = "shotline-calibration-1"', 'format = "x"', "of format 'shotline-calibration-1', found 'x'"),
        ('kind = "position"', 'kind = "mood"', "no procedure of this version makes records of kind 'mood'"),
        ("lat_deg = ", "latitude = ", "latitude"),
        ("lat_deg = ", "lat_deg = 2026-12-01 # ", "cannot be kept"),
        ("[signature]", "[other]", "is no calibration record"),
        ("[result]", "[result", "is no calibration record"),
    ],
)
def test_what_is_no_record(key: SigningKey, old: str, new: str, says: str) -> None:
    text = record_text(sign_record(record(), key))
    assert text.count(old) == 1
    with pytest.raises(InputError, match=says) as raised:
        parse_record(text.replace(old, new), source="some.toml")
    assert str(raised.value).startswith("some.toml")


_PLAIN = st.recursive(
    st.one_of(
        st.text(max_size=8),
        st.booleans(),
        st.integers(-(2**63), 2**63 - 1),
        st.floats(allow_nan=False, allow_infinity=False),
    ),
    lambda inner: st.one_of(
        st.dictionaries(st.text(max_size=6), inner, max_size=3),
        st.lists(st.dictionaries(st.text(max_size=6), inner, max_size=2), min_size=1, max_size=3),
        st.lists(st.one_of(st.text(max_size=6), st.floats(allow_nan=False, allow_infinity=False)), max_size=3),
    ),
    max_leaves=12,
)


@settings(deadline=None, max_examples=60)
@given(table=st.dictionaries(st.text(max_size=6), _PLAIN, max_size=4))
def test_toml_comes_back(table: dict[str, object]) -> None:
    back = tomllib.loads(toml_text(table))
    assert back == table
    assert msgspec.json.encode(back, order="deterministic") == msgspec.json.encode(table, order="deterministic")


def test_ids_of_a_node_fit_into_a_detection() -> None:
    ids = ["f" * 16, "0" * 16, "a" * 16]
    text = join_ids(ids)
    assert len(text) <= 64
    assert set(split_ids(text)) == set(ids)
    assert split_ids("cal-7") == split_ids(None) == split_ids("") == ()
    with pytest.raises(InputError, match="4 records, expected 1 to 3"):
        join_ids([*ids, "b" * 16])


def test_a_later_record_takes_the_place_of_the_earlier(key: SigningKey, tmp_path: Path) -> None:
    folder = tmp_path / "records"
    paths = [write_record(folder, record(made_utc=f"2026-12-01T1{hour}:00:00Z"), key)[0] for hour in range(3)]
    write_record(folder, record(node="roof-2"), key)
    write_record(folder, record(node=""), key)
    assert [path.name for path in paths] == [f"2026-12-01-position{end}.toml" for end in ("", "-2", "-3")]
    book = RecordBook.read(folder)
    assert book.faults == ()
    current = book.current("roof-1", "position")
    assert current is not None
    assert current.record.made_utc == "2026-12-01T12:00:00Z"
    first = book.find(next(item.id for item in book.records if item.source == str(paths[0]))[:8])
    after = book.superseded_by(first)
    assert after is not None
    assert after.record.made_utc == "2026-12-01T11:00:00Z"
    assert sorted(item.record.node for item in book.heads()) == ["", "roof-1", "roof-2"]
    assert book.current("roof-9", "position") is None
    assert (folder / "_network" / "2026-12-01-position.toml").is_file()
    with pytest.raises(InputError, match="is the clock right"):
        write_record(folder, record(made_utc="2026-12-01T12:00:00Z"), key)
    with pytest.raises(InputError, match="beginning of 0 of 5 records"):
        book.find("zzzz")
    with pytest.raises(InputError, match="4 digits or more"):
        book.find(first.id[:1])


def test_what_is_wrong_in_a_folder_is_told_and_not_used(key: SigningKey, tmp_path: Path) -> None:
    folder = tmp_path / "records"
    hours = [write_record(folder, record(made_utc=f"2026-12-01T1{hour}:00:00Z"), key) for hour in range(3)]
    newest, middle, oldest = hours[2][0], hours[1][0], hours[0][0]
    newest.write_text(newest.read_text().replace("51.0", "52.0"))
    (newest.parent / "notes.toml").write_text("a = 1\n")
    (newest.parent / "copy.toml").write_text(middle.read_text())
    book = RecordBook.read(folder)
    current = book.current("roof-1", "position")
    assert current is not None
    assert current.id == hours[1][1].id
    said = sorted(str(fault) for fault in book.faults)
    assert len(said) == 3
    assert any("its content was changed" in text for text in said)
    assert any("notes.toml: format" in text for text in said)
    assert any("is the same record as" in text for text in said)
    (newest.parent / "copy.toml").unlink()
    oldest.unlink()
    said = [str(fault) for fault in RecordBook.read(folder).faults]
    assert any(f"supersedes {hours[0][1].id}, which is not here" in text for text in said)
    assert RecordBook.read(middle).faults == ()


def test_two_records_that_supersede_one(key: SigningKey, tmp_path: Path) -> None:
    folder = tmp_path / "records"
    _, first = write_record(folder, record(), key)
    write_record(folder, record(made_utc="2026-12-02T10:00:00Z"), key)
    fork = sign_record(record(made_utc="2026-12-03T10:00:00Z", supersedes=first.id), key)
    (folder / "roof-1" / "fork.toml").write_text(record_text(fork), encoding="utf-8")
    book = RecordBook.read(folder)
    assert [fault.message.partition(", as ")[0] for fault in book.faults] == [f"supersedes {first.id}"]
    current = book.current("roof-1", "position")
    assert current is not None
    assert current.id == fork.id


def test_an_input_is_named_by_its_digest(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"abc")
    # FIPS 180-2, appendix B.1.
    digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert input_file(path) == InputFile(name="a.txt", sha256=digest, size_bytes=3)
    with pytest.raises(InputError, match="cannot read the file"):
        input_file(tmp_path / "none")


@pytest.mark.parametrize("procedure", PROCEDURES, ids=lambda procedure: procedure.command)
def test_every_procedure_is_whole(procedure: object) -> None:
    from shotline_calibration.procedures import Procedure

    assert isinstance(procedure, Procedure)
    root = Path(__file__).parents[3]
    assert (root / "calibration" / "procedures" / f"{procedure.command}.md").is_file()
    struct = result_type(procedure.kind)
    assert not [name for name in struct.__struct_fields__ if name.endswith("_") or name != name.lower()]
    assert procedure.load_app() is not None
