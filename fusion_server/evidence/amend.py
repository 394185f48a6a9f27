"""Change the pick of a node in a bundle: a new bundle with the old one under it. The automatic result stays."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import msgspec

from fusion_server.evidence.amendment import Amendment, EditedPick, layer_names
from fusion_server.evidence.bundle import Bundle
from fusion_server.evidence.container import pack, pretty
from fusion_server.evidence.relocate import Relocator
from fusion_server.evidence.signing import SigningKey
from shotline.domain import NoLocation
from shotline.errors import InputError
from shotline.records import ShotRecord
from shotline.timebase import format_utc

__all__ = ["amend", "amendment_differs"]

_MOST_SHIFT_S = 10.0


def amend(
    bundle: Bundle,
    shifts_s: Mapping[str, float],
    *,
    shot: int,
    by: str,
    why: str,
    key: SigningKey,
    time_ns: int,
) -> tuple[bytes, Amendment]:
    """Return the bytes of the amended bundle, and what was amended.

    Parameters
    ----------
    bundle : Bundle
        Verified.
    shifts_s : mapping of str to float
        Seconds to add to the arrival time at a node, by its id.
    shot : int
        Of the newest revision, from 1.
    by, why : str
        Who, and for what reason: not empty.
    key : SigningKey
    time_ns : int
        UTC nanoseconds.

    Raises
    ------
    InputError
        The shot has no such arrival, a shift is none, or nobody or no reason is named.
    """
    for field, text in (("--by", by), ("--why", why)):
        if not text.strip():
            raise InputError("missing; an edited pick has a name and a reason", field=field)
    record = bundle.revisions[-1]
    if not 1 <= shot <= len(record.shots):
        raise InputError(f"no shot {shot}; the incident has {len(record.shots)}, counted from 1", field="--shot")
    recorded = record.shots[shot - 1]
    picks = tuple(_pick(recorded, node, shift_s) for node, shift_s in shifts_s.items())
    number = len(bundle.amendments) + 1
    amendment = Amendment(
        number=number,
        base=bundle.digest,
        by=by,
        why=why,
        amended_utc=format_utc(time_ns),
        revision=record.revision,
        shot=shot,
        picks=picks,
        **_located(bundle.relocator(record.revision), recorded, picks),
    )
    change_name, manifest_name, signature_name = layer_names(number)
    files = {
        **bundle.container.files,
        change_name: pretty(amendment),
        manifest_name: bundle.container.manifest_bytes,
        signature_name: bundle.container.signature_bytes,
    }
    head = msgspec.structs.replace(bundle.manifest, base=bundle.digest)
    return pack(files, head, key=key, time_ns=time_ns), amendment


def amendment_differs(bundle: Bundle, amendment: Amendment) -> str:
    """Make an amendment again; return what differs, "" when nothing does."""
    record = next((item for item in bundle.revisions if item.revision == amendment.revision), None)
    if record is None or not 1 <= amendment.shot <= len(record.shots):
        return f"revision {amendment.revision} has no shot {amendment.shot}"
    recorded = record.shots[amendment.shot - 1]
    made = msgspec.structs.replace(
        amendment, **_located(bundle.relocator(amendment.revision), recorded, amendment.picks)
    )
    names = [name for name in made.__struct_fields__ if getattr(made, name) != getattr(amendment, name)]
    return ", ".join(names)


def _pick(shot: ShotRecord, node: str, shift_s: float) -> EditedPick:
    if not (math.isfinite(shift_s) and 0.0 < abs(shift_s) <= _MOST_SHIFT_S):
        raise InputError(
            f"a shift of {shift_s:g} s, expected one that is not 0 and at most {_MOST_SHIFT_S:g} s", field="--pick"
        )
    heard = [item for item in shot.arrivals if item.node == node]
    chosen = [item for item in heard if item.used] or heard
    if len(chosen) != 1:
        names = ", ".join(sorted({item.node for item in shot.arrivals}))
        raise InputError(f"node '{node}' has {len(chosen)} arrivals in this shot; there are {names}", field="--pick")
    return EditedPick(node=node, detection=chosen[0].detection, shift_s=shift_s)


def _located(relocator: Relocator, recorded: ShotRecord, picks: tuple[EditedPick, ...]) -> dict[str, Any]:
    location = relocator.locate(recorded, {pick.detection: pick.shift_s for pick in picks})
    if isinstance(location, NoLocation):
        return {"moved_m": None, "east_m": None, "north_m": None, "located": None, "detail": location.detail}
    made = relocator.shot_record(recorded, location)
    east_m, north_m = made.x_m - recorded.x_m, made.y_m - recorded.y_m
    return {
        "moved_m": round(math.hypot(east_m, north_m), 3),
        "east_m": round(east_m, 3),
        "north_m": round(north_m, 3),
        "located": made,
        "detail": "",
    }
