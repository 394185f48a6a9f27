"""What the server itself writes into the audit log: its start, its network, alerts sent, and roots now and then.

Bounded: a revision of an incident makes one entry when its alerts are taken and at most one more for each recipient
that refused it at first; detections make none.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from fusion_server.casebook import Casebook, Note
from fusion_server.evidence.case import NETWORK_ACTION, START_ACTION, START_SUBJECT
from fusion_server.evidence.network import NetworkRecord, network_parts, read_network_parts
from fusion_server.evidence.signing import SigningKey, sign_root
from fusion_server.history import History, Receipt
from shotline.auditchain import Root

__all__ = ["ALERT_ACTION", "Auditor", "new_root"]

ALERT_ACTION = "alert"
_ACTOR = "server"
_RECEIPTS_AT_ONCE = 500
_MOST_DETAIL_CHARACTERS = 200


class Auditor:
    """Writes what the server does into the audit log.

    Parameters
    ----------
    history : History
    network : NetworkRecord
        As configured.
    configuration : bytes
        The whole configuration; only its digest is kept.
    software : mapping
        See `fusion_server.evidence.software`.
    key : SigningKey | None
        Signs roots; None: nobody does.
    root_every_ns : int
    """

    def __init__(
        self,
        history: History,
        network: NetworkRecord,
        *,
        configuration: bytes,
        software: Mapping[str, object],
        key: SigningKey | None,
        root_every_ns: int,
    ) -> None:
        self._history = history
        self._casebook = Casebook(history.database)
        self._network = network
        self._configuration = hashlib.sha256(configuration).hexdigest()
        self._software = dict(software)
        self._key, self._root_every_ns = key, root_every_ns
        self._through = 0
        self._root_due_ns: int | None = None

    def start(self, now_ns: int) -> None:
        """Note that the server starts, with what; and its network where the log does not have it yet.

        Raises
        ------
        StorageError
        """
        digest = self._network.digest
        kept = read_network_parts(
            entry.detail for entry in self._casebook.audit(subject=digest) if entry.action == NETWORK_ACTION
        )
        parts = [] if kept is not None and kept.digest == digest else network_parts(self._network)
        notes = [Note(_ACTOR, NETWORK_ACTION, digest, part) for part in parts]
        detail = {"network": digest, "configuration_sha256": self._configuration, "software": self._software}
        self._casebook.note_all([*notes, Note(_ACTOR, START_ACTION, START_SUBJECT, detail)], time_ns=now_ns)
        last = self._casebook.last_entry(action=ALERT_ACTION)
        through = None if last is None else last.detail.get("through_receipt")
        self._through = through if isinstance(through, int) else 0
        roots = self._casebook.roots()
        self._root_due_ns = (roots[-1].time_ns if roots else now_ns) + self._root_every_ns

    def step(self, now_ns: int) -> Root | None:
        """Note alerts that were answered since the last call; return a root where one was due and signed.

        Raises
        ------
        StorageError
            What was not kept is kept by a later call.
        """
        self._note_alerts(now_ns)
        if self._key is None or self._root_due_ns is None or now_ns < self._root_due_ns:
            return None
        root = new_root(self._casebook, self._key, time_ns=now_ns)
        self._root_due_ns = now_ns + self._root_every_ns
        return root

    def _note_alerts(self, now_ns: int) -> None:
        numbered = self._history.receipts_after(self._through, limit=_RECEIPTS_AT_ONCE)
        if not numbered:
            return
        through = numbered[-1][0]
        answers: dict[tuple[str, int], dict[str, str]] = {}
        for _, receipt in numbered:
            # Of one that is tried again and again, the first refusal is enough.
            if receipt.ok or receipt.attempt == 1:
                answers.setdefault((receipt.incident_id, receipt.revision), {})[receipt.sink] = _answer(receipt)
        notes = [
            Note(_ACTOR, ALERT_ACTION, incident_id, {"revision": revision, "sinks": sinks, "through_receipt": through})
            for (incident_id, revision), sinks in answers.items()
        ]
        self._casebook.note_all(notes, time_ns=now_ns)
        self._through = through


def new_root(casebook: Casebook, key: SigningKey, *, time_ns: int) -> Root | None:
    """Sign the newest entry of the audit log and keep the root; None when there is nothing new to sign."""
    entry = casebook.last_entry()
    if entry is None or any(root.number == entry.number and root.key == key.public for root in casebook.roots()):
        return None
    root = sign_root(entry, key, time_ns=time_ns)
    casebook.add_root(root)
    return root


def _answer(receipt: Receipt) -> str:
    return "taken" if receipt.ok else f"refused: {receipt.detail[:_MOST_DETAIL_CHARACTERS]}"
