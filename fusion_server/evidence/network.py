"""What a location depends on besides detections and weather: sites, frame, settings. As one JSON text with a digest."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import msgspec

from fusion_server.engine import FusionSettings
from fusion_server.sitebias.table import SiteBiasTable
from shotline.domain import Site
from shotline.errors import InputError
from shotline.geodesy import LocalFrame

__all__ = ["FrameRecord", "NetworkRecord", "network_parts", "read_network_parts"]

_PART_CHARACTERS = 7_000
"""Of a part in the audit log; an entry holds 16 KiB, and quotes are escaped there."""


class FrameRecord(msgspec.Struct, frozen=True, kw_only=True):
    """WGS-84 origin of the local frame."""

    lat_deg: float
    lon_deg: float
    height_m: float


class NetworkRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A network as fusion saw it.

    Parameters
    ----------
    sites : tuple of Site
        In the order of the configuration: the ground is summed over them in it.
    frame : FrameRecord | None
    fusion : FusionSettings
    site_bias : SiteBiasTable | None
        Excess delays of paths that shots were located with. Left out of the text where there are none, so that the
        digest of a network without is what it was.
    """

    sites: tuple[Site, ...]
    frame: FrameRecord | None
    fusion: FusionSettings
    site_bias: SiteBiasTable | None = None

    @classmethod
    def of(
        cls,
        sites: Iterable[Site],
        frame: LocalFrame | None,
        fusion: FusionSettings,
        site_bias: SiteBiasTable | None = None,
    ) -> NetworkRecord:
        """Return the record of a network."""
        origin = None
        if frame is not None:
            origin = FrameRecord(lat_deg=frame.lat_deg, lon_deg=frame.lon_deg, height_m=frame.height_m)
        return cls(sites=tuple(sites), frame=origin, fusion=fusion, site_bias=site_bias)

    @classmethod
    def from_json(cls, data: bytes | str, *, source: object = "") -> NetworkRecord:
        """Return the record in a JSON text.

        Raises
        ------
        InputError
            It is none.
        """
        try:
            return msgspec.json.decode(data, type=cls)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise InputError(f"no record of a network: {error}", source=source) from error

    def to_json(self) -> bytes:
        """Return it as JSON: every float to its last bit, keys sorted."""
        return msgspec.json.encode(self, order="deterministic")

    @property
    def digest(self) -> str:
        """SHA-256 of `to_json`, hexadecimal."""
        return hashlib.sha256(self.to_json()).hexdigest()

    def to_frame(self) -> LocalFrame | None:
        """Return the local frame; None for an arbitrary Cartesian one."""
        if self.frame is None:
            return None
        return LocalFrame(self.frame.lat_deg, self.frame.lon_deg, self.frame.height_m)


def network_parts(network: NetworkRecord) -> list[dict[str, object]]:
    """Return a record in parts that each fit into an entry of the audit log."""
    text = network.to_json().decode("utf-8")
    pieces = [text[start : start + _PART_CHARACTERS] for start in range(0, len(text), _PART_CHARACTERS)]
    return [{"part": number, "parts": len(pieces), "text": piece} for number, piece in enumerate(pieces, start=1)]


def read_network_parts(details: Iterable[dict[str, object]]) -> NetworkRecord | None:
    """Return the record that parts make, in any order and once or more; None when one is missing or wrong."""
    pieces = {detail.get("part"): detail for detail in details}
    counts = {detail.get("parts") for detail in pieces.values()}
    wanted = list(range(1, len(pieces) + 1))
    if not pieces or counts != {len(pieces)} or set(pieces) != set(wanted):
        return None
    try:
        return NetworkRecord.from_json("".join(str(pieces[number].get("text")) for number in wanted))
    except InputError:
        return None
