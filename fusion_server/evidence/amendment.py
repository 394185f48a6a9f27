"""An edited pick, as a layer of a bundle: what was changed, by whom and why, and where the shot is then."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from fusion_server.evidence.container import Container
from shotline.records import ShotRecord

__all__ = [
    "AMENDMENTS",
    "Amendment",
    "EditedPick",
    "amendment_files",
    "layer_files",
    "layer_names",
]

AMENDMENTS = "amendments/"
_CHANGE, _MANIFEST, _SIGNATURE = "change.json", "base-manifest.json", "base-signature.json"


class EditedPick(msgspec.Struct, frozen=True, kw_only=True):
    """A detection whose arrival time a person changed, and by how much."""

    node: str
    detection: str
    shift_s: float


class Amendment(msgspec.Struct, frozen=True, kw_only=True):
    """What a person changed in one shot of the automatic result, and what follows.

    Parameters
    ----------
    number : int
        From 1.
    base : str
        Digest of the bundle that it was made from.
    by, why : str
    amended_utc : str
    revision : int
        Automatic one that the shot is of.
    shot : int
        Which shot of it, from 1.
    picks : tuple of EditedPick
        All of this amendment; those of earlier ones do not count.
    moved_m : float | None
        Horizontal distance from the automatic place of the shot; None without a new place.
    east_m, north_m : float | None
        The same by direction: new less automatic.
    located : ShotRecord | None
        The shot with the new location; its probability is the automatic one.
    detail : str
        Why there is no new place; "" otherwise.
    """

    number: int
    base: str
    by: str
    why: str
    amended_utc: str
    revision: int
    shot: int
    picks: tuple[EditedPick, ...]
    moved_m: float | None
    east_m: float | None
    north_m: float | None
    located: ShotRecord | None
    detail: str


def layer_names(number: int) -> tuple[str, str, str]:
    """Return where a bundle has an amendment, and manifest and signature of what it was made from."""
    folder = f"{AMENDMENTS}{number:03d}/"
    return folder + _CHANGE, folder + _MANIFEST, folder + _SIGNATURE


def amendment_files(files: Mapping[str, bytes]) -> list[str]:
    """Return where a bundle has its amendments, in order."""
    return sorted(name for name in files if name.startswith(AMENDMENTS) and name.endswith(f"/{_CHANGE}"))


def layer_files(files: Mapping[str, bytes], number: int) -> Container | None:
    """Return the bundle that an amendment was made from; None when it is not there."""
    _, manifest, signature = layer_names(number)
    if manifest not in files or signature not in files:
        return None
    below = {name: data for name, data in files.items() if not name.startswith(AMENDMENTS) or _number(name) < number}
    return Container(below, files[manifest], files[signature])


def _number(name: str) -> int:
    digits = name.removeprefix(AMENDMENTS).partition("/")[0]
    return int(digits) if digits.isdecimal() else 0
