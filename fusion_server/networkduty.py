"""The network self-check beside the main loop of a server: now and then, and never in its way."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping

from fusion_server.config import ServerConfig
from fusion_server.health import NodeReport, check_network, with_item
from fusion_server.history import History
from fusion_server.networkwatch import NetworkWatch
from fusion_server.registry import Registry
from shotline.errors import StorageError
from shotline.health import Check
from shotline.records import IncidentRecord

__all__ = ["NetworkDuty"]

_EVERY_S = 2.0


class NetworkDuty:
    """Lets the network judge its nodes, where that is switched on; trouble with it is logged and stops nothing.

    Parameters
    ----------
    config : ServerConfig
    history : History
    registry : Registry
    event_ns : callable (int) -> int
        Event time of a wall time.
    log : callable
        Takes the name of an event and its fields.
    """

    def __init__(
        self,
        config: ServerConfig,
        history: History,
        registry: Registry,
        *,
        event_ns: Callable[[int], int],
        log: Callable[..., None],
    ) -> None:
        section = config.network_check
        self._quarantine = section.quarantine
        self._event_ns, self._log = event_ns, log
        self._due_s = 0.0
        self._problem = ""
        self._watch: NetworkWatch | None = None
        if section.enabled:
            self._watch = NetworkWatch(
                history,
                tuple(registry),
                associate=config.to_fusion().associate,
                quarantine=section.quarantine,
                event_ns=event_ns,
            )

    @property
    def quarantined(self) -> frozenset[str]:
        """Nodes that fusion is to do without."""
        return frozenset() if self._watch is None else self._watch.quarantined

    def start(self) -> None:
        """Judge again what was judged before."""
        if self._watch is None:
            return
        try:
            judged = self._watch.rebuild()
        except Exception as error:
            self._failed(error)
            return
        self._log("network_judged", incidents=judged, quarantined=sorted(self.quarantined))

    def note(self, record: IncidentRecord) -> None:
        """Remember a revision until it has settled."""
        if self._watch is not None:
            self._watch.note(record)

    def step(self, *, wall_ns: int, monotonic_s: float) -> bool:
        """Judge what has settled, if it is time; say whether other nodes are in quarantine than before."""
        if self._watch is None or monotonic_s < self._due_s:
            return False
        self._due_s = monotonic_s + _EVERY_S
        before = self.quarantined
        try:
            changes = self._watch.step(self._event_ns(wall_ns), wall_ns=wall_ns)
        except Exception as error:
            self._failed(error)
            return False
        self._problem = ""
        for change in changes:
            state = change.state
            self._log("node_judged", node=state.node, standing=state.standing.value, reason=state.reason)
        return self.quarantined != before

    def with_judgement(self, reports: Mapping[str, NodeReport]) -> dict[str, NodeReport]:
        """Return what nodes say of themselves with what the network says of them."""
        items = {} if self._watch is None else self._watch.health_items()
        return {node: with_item(report, items[node]) if node in items else report for node, report in reports.items()}

    def checks(self) -> list[Check]:
        """Return the check ``network``; nothing where the self-check is off."""
        if self._watch is None:
            return []
        crowded = self._watch.check.is_crowded
        return [check_network(self._watch.states(), crowded=crowded, quarantine=self._quarantine)]

    def _failed(self, error: Exception) -> None:
        problem = str(error) if isinstance(error, StorageError) else traceback.format_exc()
        if problem != self._problem:
            self._log("network_check_failed", problem=problem)
        self._problem = problem
