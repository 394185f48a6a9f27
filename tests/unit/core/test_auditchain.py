"""The log shows when it was touched: dropped, changed, reordered, or written anew."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shotline.auditchain import GENESIS, AuditEntry, Root, entry_digest, follow, verify_chain
from shotline.errors import InputError

T0 = 1_545_180_566_000_000_000


def log(length: int, *, actor: str = "ann") -> list[AuditEntry]:
    entries: list[AuditEntry] = []
    for number in range(length):
        last = entries[-1] if entries else None
        detail = {"revision": number, "from": (1.5, None), "note": "ü"}
        entries.append(
            follow(last, time_ns=T0 + number, actor=actor, action="view", subject=f"i{number}", detail=detail)
        )
    return entries


def root(entry: AuditEntry) -> Root:
    return Root(number=entry.number, digest=entry.digest, time_ns=T0, key="", signature="")


def test_a_whole_log() -> None:
    entries = log(5)
    assert [entry.number for entry in entries] == [1, 2, 3, 4, 5]
    assert entries[0].previous == GENESIS
    assert verify_chain(entries, [root(entries[2]), root(entries[4])]) == []
    assert verify_chain([]) == []


def test_the_digest_of_the_first_format_is_frozen() -> None:
    assert log(1)[0].digest == "574e9159b9a688c50625649315f84e16ef51260e29cb7b39259852e93f770c72"


def test_what_is_stored_and_read_has_the_same_digest() -> None:
    for entry in log(3):
        read = msgspec.json.decode(msgspec.json.encode(entry), type=AuditEntry)
        assert entry_digest(read) == entry.digest


@given(st.data())
def test_any_change_is_found(data: st.DataObject) -> None:
    entries = log(6)
    index = data.draw(st.integers(0, 5))
    changes = {
        "time_ns": T0 - 1,
        "actor": "bo",
        "action": "delete",
        "subject": "x",
        "detail": {"revision": 99},
        "previous": "1" * 64,
        "number": 77,
        "digest": "2" * 64,
    }
    name = data.draw(st.sampled_from(sorted(changes)))
    entries[index] = msgspec.structs.replace(entries[index], **{name: changes[name]})
    assert verify_chain(entries)


@given(st.integers(0, 4))
def test_any_loss_before_the_end_is_found(index: int) -> None:
    entries = log(6)
    del entries[index]
    faults = verify_chain(entries)
    assert faults
    assert faults[0].number == index + 1


@given(st.permutations(range(5)))
def test_any_other_order_is_found(order: list[int]) -> None:
    entries = log(5)
    assert bool(verify_chain([entries[index] for index in order])) == (order != sorted(order))


def test_a_cut_end_and_a_log_written_anew_are_found_by_a_root() -> None:
    entries = log(6)
    signed = root(entries[4])
    assert verify_chain(entries[:4]) == []
    assert "it is gone" in verify_chain(entries[:4], [signed])[0].says
    anew = log(6, actor="eve")
    assert verify_chain(anew) == []
    (fault,) = verify_chain(anew, [signed])
    assert (fault.number, fault.says[:20]) == (5, "is not the entry tha")


@pytest.mark.parametrize("detail", [{"x": object()}, {"x": "y" * 20_000}])
def test_what_cannot_be_kept_is_refused(detail: dict[str, object]) -> None:
    with pytest.raises(InputError, match="detail"):
        follow(None, time_ns=T0, actor="ann", action="view", detail=detail)
