"""An edited pick: a layer of its own, with a name; what was automatic stays as it was signed."""

from __future__ import annotations

import math

import pytest
from evidence_samples import SIGNED_NS, problems, rezipped, signing_key

from fusion_server.evidence.amend import amend, amendment_differs
from fusion_server.evidence.amendment import Amendment
from fusion_server.evidence.bundle import Bundle
from fusion_server.evidence.container import pack, pretty, unpack
from fusion_server.evidence.signing import fingerprint
from shotline.errors import InputError


def amended(bundle: Bundle, shifts_s: dict[str, float], *, seed: int = 2, shot: int = 1) -> tuple[bytes, Amendment]:
    return amend(
        bundle, shifts_s, shot=shot, by="R. Examiner", why="onset", key=signing_key(seed), time_ns=SIGNED_NS + 1
    )


def a_node(bundle: Bundle) -> str:
    return next(item.node for item in bundle.revisions[-1].shots[0].arrivals if item.used)


def test_the_old_bundle_lies_unchanged_under_the_new_one(bundle: Bundle, data: bytes) -> None:
    made, change = amended(bundle, {a_node(bundle): 0.004})
    assert problems(made) == []
    new = Bundle(unpack(made))
    assert new.manifest.base == change.base == bundle.digest
    assert {name: new.file(name) for name in bundle.container.files} == dict(bundle.container.files)
    assert new.file("amendments/001/base-manifest.json") == bundle.container.manifest_bytes
    mine, theirs = fingerprint(signing_key(1).public), fingerprint(signing_key(2).public)
    assert problems(made, trusted=(mine, theirs)) == []
    assert problems(made, trusted=(theirs,))[0].startswith("what amendment 1 was made from: signature.json: signed by")
    assert problems(data) == []


def test_the_difference_is_in_metres(bundle: Bundle) -> None:
    _, change = amended(bundle, {a_node(bundle): 0.004})
    automatic = bundle.revisions[-1].shots[0]
    assert change.located is not None
    assert change.moved_m == round(
        math.hypot(change.located.x_m - automatic.x_m, change.located.y_m - automatic.y_m), 3
    )
    # 4 ms are 1.4 m of sound at one node of eight.
    assert 0.05 < change.moved_m < 1.4
    assert change.located.probability == automatic.probability


def test_there_and_back_is_where_it_was(bundle: Bundle) -> None:
    """Each amendment starts from the automatic picks."""
    made, _ = amended(bundle, {a_node(bundle): 0.004})
    again, second = amended(Bundle(unpack(made)), {a_node(bundle): -0.004}, seed=1)
    assert problems(again) == []
    top = Bundle(unpack(again))
    assert [change.number for change in top.amendments] == [1, 2]
    assert second.base == unpack(made).digest
    assert [amendment_differs(top, change) for change in top.amendments] == ["", ""]
    assert all(item.identical for item in top.relocate())


def test_a_layer_that_is_touched_is_found(bundle: Bundle) -> None:
    made, change = amended(bundle, {a_node(bundle): 0.004})
    again, _ = amended(Bundle(unpack(made)), {a_node(bundle): -0.004})

    def signed_anew(files: dict[str, bytes]) -> list[str]:
        return problems(pack(files, unpack(again).manifest, key=signing_key(3), time_ns=SIGNED_NS))

    files = dict(unpack(again).files)
    assert signed_anew(files) == []
    changed = {**files, "amendments/001/change.json": pretty(change) + b" "}
    assert signed_anew(changed) == [
        "what amendment 2 was made from: amendments/001/change.json: changed: its digest is not that of the manifest"
    ]
    assert signed_anew({**files, "nodes.json": b"[]\n"})[0].startswith("what amendment 2 was made from: nodes.json: ch")
    without = {name: content for name, content in files.items() if "/002/base-" not in name}
    assert signed_anew(without) == ["amendments/002: missing; amendments are numbered from 1"]
    none = {name: content for name, content in files.items() if not name.startswith("amendments/")}
    assert signed_anew(none) == [f"manifest.json: amends bundle {unpack(made).digest}, which is not in it"]
    assert problems(rezipped(again, change={"amendments/001/change.json": b"{}"}))[0].startswith(
        "amendments/001/change"
    )


def test_another_base_is_found(bundle: Bundle) -> None:
    made, _ = amended(bundle, {a_node(bundle): 0.004})
    found = unpack(made)
    head = bundle.manifest
    said = problems(pack(found.files, head, key=signing_key(), time_ns=SIGNED_NS))
    assert said == [f"amendment 1 is of bundle None, and {bundle.digest} lies under it"]


def test_picks_can_leave_no_place(bundle: Bundle) -> None:
    shot = bundle.revisions[-1].shots[0]
    shifts = {item.node: 0.9 * (-1) ** number for number, item in enumerate(shot.arrivals) if item.used}
    made, change = amended(bundle, shifts)
    assert (change.located, change.moved_m) == (None, None)
    assert change.detail
    assert amendment_differs(Bundle(unpack(made)), change) == ""


@pytest.mark.parametrize(
    ("shifts", "shot", "by", "why", "says"),
    [
        ({"nowhere": 0.1}, 1, "a", "b", "node 'nowhere' has 0 arrivals in this shot; there are n1"),
        ({"n1": 0.0}, 1, "a", "b", "a shift of 0 s"),
        ({"n1": math.inf}, 1, "a", "b", "a shift of inf s"),
        ({"n1": 0.1}, 9, "a", "b", "no shot 9; the incident has 3"),
        ({"n1": 0.1}, 1, " ", "b", "--by: missing"),
        ({"n1": 0.1}, 1, "a", "", "--why: missing"),
    ],
)
def test_a_pick_that_cannot_be_edited_so(
    bundle: Bundle, shifts: dict[str, float], shot: int, by: str, why: str, says: str
) -> None:
    with pytest.raises(InputError) as seen:
        amend(bundle, shifts, shot=shot, by=by, why=why, key=signing_key(), time_ns=SIGNED_NS)
    assert says in str(seen.value)
