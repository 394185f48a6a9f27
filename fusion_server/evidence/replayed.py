"""All there is about incidents of a replay: from the folder that ``shotline replay`` wrote, and its dataset."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from fusion_server.engine import FusionSettings
from fusion_server.evidence.case import Case, identities_of
from fusion_server.evidence.network import NetworkRecord
from shotline.errors import InputError
from shotline.messages import encode
from shotline.records import IncidentRecord

if TYPE_CHECKING:
    from shotline_recordings.dataset import Dataset

__all__ = ["ReplayFolder"]

_REVISIONS, _DATASET = "revisions.jsonl", "dataset.toml"


class ReplayFolder:
    """What a replay left.

    Parameters
    ----------
    folder : Path
        With ``revisions.jsonl``; and with ``dataset.toml`` and detections where sound was replayed.
    dataset : Path | None
        What was replayed: where the nodes stood and, unless the folder has them, the detections.

    Raises
    ------
    InputError
        A file cannot be read or used.
    """

    def __init__(self, folder: Path, dataset: Path | None = None) -> None:
        self._source = folder / _REVISIONS
        has_detections = (folder / _DATASET).is_file()
        if dataset is None and not has_detections:
            raise InputError(
                "the folder has no detections of its own; name the dataset that was replayed",
                source=folder,
                field="--dataset",
            )
        self._revisions: dict[tuple[str, str], list[IncidentRecord]] = {}
        for record in _read_records(self._source):
            self._revisions.setdefault((record.scene, record.id), []).append(record)
        placed = _open(dataset or folder)
        heard = _open(folder) if has_detections else placed
        self._networks = {
            scene.name: NetworkRecord.of(scene.sites, scene.frame, FusionSettings()) for scene in placed.scenes
        }
        self._wire = {scene.name: {str(item.uid): encode(item) for item in scene.detections} for scene in heard.scenes}

    @property
    def incidents(self) -> tuple[tuple[str, str], ...]:
        """Scene and id of every incident, in the order of the file."""
        return tuple(self._revisions)

    def find(self, incident_id: str) -> tuple[str, str]:
        """Return scene and id of the one incident whose id begins so.

        Raises
        ------
        InputError
            There is not exactly one.
        """
        found = [key for key in self._revisions if key[1] == incident_id] or [
            key for key in self._revisions if key[1].startswith(incident_id)
        ]
        if len(found) != 1:
            names = ", ".join(f"{scene}: {name}" for scene, name in (found or list(self._revisions))[:6])
            raise InputError(
                f"{len(found)} incidents are '{incident_id}', expected one; there are {names}", source=self._source
            )
        return found[0]

    def case(self, scene: str, incident_id: str) -> Case:
        """Return what there is about an incident.

        Raises
        ------
        InputError
            The dataset is not the one that was replayed: it has no such scene.
        """
        revisions = tuple(self._revisions[scene, incident_id])
        network = self._networks.get(scene)
        if network is None:
            raise InputError(f"the dataset has no scene '{scene}'; name the one that was replayed", field="--dataset")
        wire = self._wire.get(scene, {})
        wanted = {text: wire[text] for text in identities_of(revisions) if text in wire}
        return Case(source="replay", revisions=revisions, wire=wanted, networks=(network,))


def _open(path: Path) -> Dataset:
    # A server runs without recordings; only this command wants them.
    from shotline_recordings.dataset import open_dataset

    return open_dataset(path)


def _read_records(path: Path) -> list[IncidentRecord]:
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise InputError(f"cannot read the file: {error.strerror}; run shotline replay first", source=path) from error
    decoder = msgspec.json.Decoder(IncidentRecord)
    records = []
    for number, line in enumerate(lines, start=1):
        try:
            records.append(decoder.decode(line))
        except msgspec.DecodeError as error:
            raise InputError(f"not an incident record: {error}", source=path, line=number) from error
    return records
