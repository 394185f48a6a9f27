"""A small city replayed, and the evidence of its incidents."""

from __future__ import annotations

import importlib.util
import io
import zipfile
from collections.abc import Mapping
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fusion_server.evidence.bundle import Bundle, verify
from fusion_server.evidence.case import Case
from fusion_server.evidence.container import MANIFEST, SIGNATURE, pack, unpack
from fusion_server.evidence.contents import case_files, case_head
from fusion_server.evidence.replayed import ReplayFolder
from fusion_server.evidence.signing import SigningKey
from shotline.errors import InputError
from shotline_recordings.dataset import save_dataset
from shotline_replay.replay import Source
from shotline_replay.run import Request, replay_to_folder

SIGNED_NS = 1_780_000_000_000_000_000
SOFTWARE: Mapping[str, object] = {"shotline": "0.1.0", "git_commit": None}
_CITY = Path(__file__).parents[1] / "replay" / "small_city.py"


def signing_key(seed: int = 1) -> SigningKey:
    """Return a key that is the same each time."""
    secret = Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32)
    return SigningKey(secret.public_key().public_bytes_raw().hex(), secret)


def replayed_city(folder: Path) -> ReplayFolder:
    """Replay the small city and return what that left."""
    spec = importlib.util.spec_from_file_location("evidence_small_city", _CITY)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    dataset = save_dataset(module.small_city(), folder / "city").parent
    replay_to_folder(Request(dataset=dataset, out=folder / "out", source=Source.PULSES))
    return ReplayFolder(folder / "out", dataset)


def packed(case: Case, *, time_ns: int = SIGNED_NS, seed: int = 1) -> bytes:
    """Return the bundle of a case."""
    return pack(case_files(case, SOFTWARE), case_head(case), key=signing_key(seed), time_ns=time_ns)


def problems(data: bytes, *, trusted: tuple[str, ...] = ()) -> list[str]:
    """Return what is found wrong with a bundle, as the command finds it."""
    try:
        return verify(Bundle(unpack(data)), data, trusted=trusted)
    except InputError as error:
        return [str(error)]


def rezipped(data: bytes, *, change: Mapping[str, bytes | None]) -> bytes:
    """Return a bundle with files exchanged, added or (None) dropped, by somebody who knows ZIP and has no key."""
    found = unpack(data)
    files = {**found.files, MANIFEST: found.manifest_bytes, SIGNATURE: found.signature_bytes, **change}
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in sorted(files.items()):
            if content is not None:
                archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), content)
    return out.getvalue()
