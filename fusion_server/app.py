"""The server put together: receiver, history, fusion, alerts, API. The only file here that starts threads.

One loop does it all in order: take messages, commit, acknowledge, fuse, advance event time, append incidents, alert.
Sinks and HTTP have threads of their own and never hold the loop.
"""

from __future__ import annotations

import json
import secrets
import shutil
import sys
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self, TextIO

import msgspec

from fusion_server.accessconfig import AccessMode
from fusion_server.admission import RateLimit
from fusion_server.basemap import Basemap
from fusion_server.biasfile import delays_of, site_bias_of
from fusion_server.casebook import Casebook
from fusion_server.clips import ClipCollector
from fusion_server.config import ServerConfig
from fusion_server.dispatch import Dispatcher
from fusion_server.engine import Disposition, FusionEngine
from fusion_server.evidence.auditor import Auditor
from fusion_server.evidence.network import NetworkRecord
from fusion_server.evidence.signing import SigningKey
from fusion_server.evidence.software import describe_software
from fusion_server.flac import decode_flac
from fusion_server.health import (
    NodeReport,
    check_backlog,
    check_disk,
    check_event_clock,
    check_fusion,
    check_keys,
    check_node_health,
    check_receiver,
    check_rejects,
    check_retention,
    check_silent_nodes,
    check_sinks,
    check_sites,
    check_store,
    check_untimed_nodes,
)
from fusion_server.history import History
from fusion_server.http_server import HttpServer
from fusion_server.metrics import LatencyHistogram, MetricsSnapshot, SinkNumbers, alert_latency_s
from fusion_server.networkduty import NetworkDuty
from fusion_server.receiver import CurveGuard, Intake, Receiver
from fusion_server.reminders import Reminders
from fusion_server.resume import resumption
from fusion_server.reviewdesk import ReviewDesk
from fusion_server.scorebook import Scorebook
from fusion_server.scorecard import HeardMinutes
from fusion_server.sinks import make_sink
from fusion_server.sweeper import Sweeper
from shotline import __version__
from shotline.allowlist import WatchedAllowList
from shotline.domain import ClockState, DetectionId, Incident, IncidentState
from shotline.errors import MessageError, StorageError, TransportError
from shotline.health import Check, HealthReport
from shotline.keyfiles import load_key_pair
from shotline.messages import Detection, decode
from shotline.records import IncidentRecord, incident_record
from shotline.units import NS_PER_S, ns_from_seconds

if TYPE_CHECKING:
    from fusion_server.api import Gate, LiveFeed

__all__ = ["Engine", "ServerApp", "load_keys"]

_LOOP_MS = 20
_AUDIT_EVERY_S = 1.0
_JUST_SPOKE_NS = NS_PER_S // 2
"""A node that speaks was there this long before: no longer, so that the first impulses after a start are not rare."""
_RETRACTED = IncidentState.RETRACTED.value
_WHATEVER_THE_TIME = (Disposition.NO_SITE, Disposition.UNTIMED)
_REMIND_EVERY_S = 1.0
_REMIND_FOR_NS = 86_400 * NS_PER_S
_MOST_UNSAVED = 10_000
_MOST_REMEMBERED = 10_000
_BETWEEN_BATCHES_S = 0.1
_FIRST_SWEEP_S = 60.0
"""After a start: whatever waited for the server comes first."""


class Engine(Protocol):
    """The part of `fusion_server.engine.FusionEngine` that the loop drives."""

    @property
    def held_back(self) -> int:
        """How many incidents were located and never told."""
        ...

    def restore(self, records: Iterable[IncidentRecord]) -> None:
        """Take over incidents told before a restart."""
        ...

    def note_listening(self, node: str, from_ns: int, until_ns: int) -> None:
        """Note that a node listens during a span of event time."""
        ...

    def set_quarantine(self, nodes: Collection[str]) -> None:
        """Do without these nodes from now on."""
        ...

    def add(self, detection: Detection) -> Disposition:
        """Take one detection; say what became of it."""
        ...

    def advance_to(self, now_ns: int) -> tuple[Incident, ...]:
        """Move event time forward; return incidents that are new or revised."""
        ...


class ServerApp:
    """The whole server. Use it in a ``with`` statement: entering starts it, leaving ends it cleanly.

    Parameters
    ----------
    config : ServerConfig
    alerts_to : TextIO | None
        Where the console sink prints; None is standard output.
    log_to : TextIO | None
        Where events are logged, one JSON object a line; None is standard error.
    new_engine : callable () -> Engine | None
        Makes the fusion engine; None makes a `FusionEngine` from the configuration.
    now_ns, monotonic_s : callable
        Wall clock in UTC nanoseconds, and seconds that only go forward.
    """

    def __init__(
        self,
        config: ServerConfig,
        *,
        alerts_to: TextIO | None = None,
        log_to: TextIO | None = None,
        new_engine: Callable[[], Engine] | None = None,
        now_ns: Callable[[], int] = time.time_ns,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._config = config
        self._alerts_to = alerts_to or sys.stdout
        self._log_to = log_to or sys.stderr
        self._now_ns = now_ns
        self._monotonic_s = monotonic_s
        self._clock = config.to_event_clock()
        self._frame = config.to_frame()
        self._registry = config.to_registry()
        weather = config.to_weather()
        self._site_bias = site_bias_of(config.fusion.site_bias_file, self._registry)
        delays = delays_of(self._site_bias)
        self._new_engine = new_engine or (
            lambda: FusionEngine(
                registry=self._registry,
                weather=weather,
                settings=config.to_fusion(),
                assume_listening=False,
                delays=delays,
            )
        )
        self._stop = threading.Event()
        self._closing = threading.Event()
        self._reminders = Reminders()
        self._known: dict[str, IncidentRecord] = {}
        self._unsaved: list[IncidentRecord] = []
        self._unused: dict[str, Counter[str]] = {}
        self._fusion_problem = ""
        self._fusion_failures = 0
        self._detections_before = 0
        self._looped_s: float | None = None
        self._heard = HeardMinutes()
        self._untimed: frozenset[str] = frozenset()
        self._latency = LatencyHistogram()
        self._revisions: Counter[str] = Counter()
        self._advanced_ns: int | None = None
        self._audit_due_s = 0.0
        self._audit_problem = ""
        self._sweep_problem = ""
        self._swept_ns: int | None = None
        self._deleted = 0

    def __enter__(self) -> Self:
        self._history = History.open(self._config.server.database)
        try:
            self._start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # What `close` finds when starting failed half-way.
    _receiver: Receiver | None = None
    _allow_list: WatchedAllowList | None = None
    _list_reads = 1
    _clips: ClipCollector | None = None
    _dispatcher: Dispatcher | None = None
    _http: HttpServer | None = None
    _live: LiveFeed | None = None
    _reminding: threading.Thread | None = None
    _auditor: Auditor | None = None
    _sweeps: threading.Thread | None = None

    @property
    def history(self) -> History:
        """The record that is kept."""
        return self._history

    @property
    def endpoint(self) -> str:
        """Where nodes connect: with the port that the system chose, when it was asked to."""
        if self._receiver is None:
            raise TransportError("the server does not listen yet; enter it with a `with` statement")
        return self._receiver.endpoint

    @property
    def http_url(self) -> str | None:
        """Address of the page; None when HTTP is not served."""
        return None if self._http is None else self._http.url

    def ready(self) -> dict[str, object]:
        """Return what ``--ready-json`` prints: where to connect."""
        return {
            "event": "ready",
            "endpoint": self.endpoint,
            "http": self.http_url,
            "database": self._history.name,
            "nodes": len(self._registry),
        }

    def run(self, *, for_s: float | None = None) -> None:
        """Go round until `stop` is called, or for so many seconds."""
        end_s = None if for_s is None else self._monotonic_s() + for_s
        while not self._stop.is_set() and (end_s is None or self._monotonic_s() < end_s):
            self.step(_LOOP_MS)

    def stop(self) -> None:
        """End `run` after the round it is in. Safe in a signal handler and from any thread."""
        self._stop.set()

    def step(self, timeout_ms: int) -> int:
        """Go round once: wait for messages at most so long; return how many detections were new."""
        if self._receiver is None:
            raise TransportError("the server does not listen yet; enter it with a `with` statement")
        fresh = self._receiver.poll(timeout_ms, self._now_ns)
        spoke = self._intake.take_spoke()
        if spoke:
            self._note_listening(spoke, self._clock.event_ns(self._now_ns()))
        self._note_heard(spoke)
        self._fuse(fresh)
        if self._unsaved:
            self._save_unsaved()
        self._log_keys()
        if self._network.step(wall_ns=self._now_ns(), monotonic_s=self._monotonic_s()):
            self._engine.set_quarantine(self._network.quarantined)
        self._audit()
        self._looped_s = self._monotonic_s()
        return len(fresh)

    def close(self) -> None:
        """End everything; what is committed stays, and what was not delivered is sent at the next start."""
        self._closing.set()
        if self._reminding is not None:
            self._reminding.join()
        if self._sweeps is not None:
            self._sweeps.join()
        if self._receiver is not None:
            self._receiver.close()
        if self._dispatcher is not None:
            self._dispatcher.close()
        if self._live is not None:
            self._live.close()
        if self._http is not None:
            self._http.close()
        self._keep_heard(ended_by_ns=None)
        self._history.close()

    def health(self) -> HealthReport:
        """Look at everything, now. Any thread may ask."""
        now_ns = self._now_ns()
        intake, problem = self._intake, self._intake.storage_problem
        try:
            rejects = self._history.reject_counts()
        except StorageError as error:
            rejects, problem = dict(intake.counters.rejects), problem or str(error)
        if self._unsaved:
            problem = problem or f"{len(self._unsaved)} incidents wait to be kept"
        unused = {node: dict(counts) for node, counts in list(self._unused.items())}
        surveyed = [site.node for site in self._registry]
        checks = [
            check_store(self._history.name, problem, detections=self._detections_before + intake.counters.fresh),
            check_receiver(
                self.endpoint,
                peers=intake.peers,
                messages=intake.counters.messages,
                quiet_s=None if self._looped_s is None else self._monotonic_s() - self._looped_s,
            ),
            *self._check_keys(now_ns),
            check_backlog(
                intake.behind_s(now_ns=now_ns),
                waiting=intake.waiting(now_ns=now_ns),
                lateness_s=self._config.to_fusion().lateness_s,
            ),
            check_fusion(self._fusion_problem, failures=self._fusion_failures),
            check_silent_nodes(
                intake.last_heard_ns(), surveyed, now_ns=now_ns, silent_after_s=self._config.server.silent_after_s
            ),
            check_node_health(self._node_reports(), now_ns=now_ns, silent_after_s=self._config.server.silent_after_s),
            *self._network.checks(),
            check_sites(_of(unused, Disposition.NO_SITE)),
            check_untimed_nodes(intake.clock_states(), _of(unused, Disposition.UNTIMED)),
            check_rejects(rejects),
            *self._check_sinks(),
            *self._check_retention(now_ns),
            *self._check_disk(),
            check_event_clock(self._clock.event_ns(now_ns), wall_ns=now_ns, replay=bool(self._config.scene)),
        ]
        return HealthReport(now_ns, tuple(checks))

    def metrics(self) -> MetricsSnapshot:
        """Count everything, now. Any thread may ask."""
        now_ns = self._now_ns()
        counters = self._intake.counters
        report = self.health()
        last_heard_ns = self._intake.last_heard_ns()
        limit_ns = now_ns - round(self._config.server.silent_after_s * NS_PER_S)
        unused: Counter[str] = Counter()
        for counts in list(self._unused.values()):
            unused.update(dict(counts))
        sinks = () if self._dispatcher is None else self._dispatcher.status()
        event_ns = self._clock.event_ns(now_ns)
        return MetricsSnapshot(
            version=__version__,
            messages=counters.messages,
            detections=counters.fresh,
            duplicates=counters.duplicates,
            rejects=dict(counters.rejects),
            unused=unused,
            revisions=dict(self._revisions),
            incidents=Counter(record.state for record in list(self._known.values())),
            held_back=self._engine.held_back,
            sinks=[SinkNumbers(s.name, s.waiting, s.delivered, s.gave_up, s.failures_in_a_row) for s in sinks],
            latency_counts=self._latency.counts,
            latency_sum_s=self._latency.sum_s,
            surveyed=len(self._registry),
            silent=sum(last_heard_ns.get(site.node, -1) < limit_ns for site in self._registry),
            connections=self._intake.peers,
            last_heard_ns=last_heard_ns,
            unacked={s.node: s.unacked for s in self._history.node_statuses() if s.unacked is not None},
            fusion_lag_s=(event_ns - (event_ns if self._advanced_ns is None else self._advanced_ns)) / NS_PER_S,
            fusion_failures=self._fusion_failures,
            loop_age_s=None if self._looped_s is None else self._monotonic_s() - self._looped_s,
            checks={check.name: check.status.value for check in report.checks},
        )

    def _start(self) -> None:
        config = self._config
        self._start_audit()
        self._detections_before = self._history.counts().detections
        curve, self._allow_list = load_keys(config)
        if (settings := config.to_clips()) is not None:
            self._clips = ClipCollector(settings, decode=decode_flac, announced=self._announced_digest)
        self._intake = Intake(
            self._history,
            boot=secrets.randbits(63),
            keys=self._allow_list,
            limit=RateLimit(config.server.rate_per_s, config.server.burst),
            event_ns=self._clock.event_ns,
            future_limit_s=config.server.future_limit_s,
            clips=self._clips,
        )
        self._receiver = Receiver(config.server.bind, self._intake, curve=curve)
        self._desk = ReviewDesk(self._history.database, Casebook(self._history.database), config.review.to_rules())
        sinks = [
            make_sink(section, config, revisions=self._history.incident_revisions, console_to=self._alerts_to)
            for section in config.sinks
        ]
        self._dispatcher = Dispatcher(sinks, self._history, test=config.server.test_alerts)
        self._dispatcher.start()
        if config.http.enabled:
            self._start_http()
        self._network = NetworkDuty(config, self._history, self._registry, event_ns=self._clock.event_ns, log=self._log)
        self._network.start()
        self._renew_engine()
        self._rebuild()
        self._reminding = threading.Thread(target=self._remind_on, name="reminders", daemon=True)
        self._reminding.start()
        if config.retention.enabled:
            self._sweeps = threading.Thread(target=self._sweep_now_and_then, name="sweeps")
            self._sweeps.start()

    def remind(self) -> int:
        """Tell again what nobody took on in time, on the event stream and, if so configured, to the sinks.

        Returns
        -------
        int
            How many incidents were told again.
        """
        to_sinks = self._config.review.remind_sinks
        if not to_sinks and (self._live is None or not self._live.streams):
            return 0
        now_ns = self._clock.event_ns(self._now_ns())
        due = self._reminders.take(self._desk.reminders_due(since_ns=now_ns - _REMIND_FOR_NS, now_ns=now_ns))
        for incident_id, number in due:
            revisions = self._history.incident_revisions(incident_id)
            if to_sinks and self._dispatcher is not None:
                self._dispatcher.remind(revisions[-1], number)
            if self._live is not None:
                from fusion_server.api import announce_reminder

                review = self._desk.review(incident_id, revisions, now_ns=now_ns)
                announce_reminder(self._live, revisions[-1], review, number)
        return len(due)

    def _remind_on(self) -> None:
        while not self._closing.wait(_REMIND_EVERY_S):
            try:
                self.remind()
            except StorageError as error:
                self._log("reminders_failed", problem=str(error))

    def _gate(self) -> Gate:
        """Return who may ask the API what."""
        from fusion_server.accounts import Accounts
        from fusion_server.api import AccessRules, Gate
        from fusion_server.oidc import OidcRules, OidcVerifier

        section, provider = self._config.access, self._config.oidc
        accounts = section.mode is AccessMode.ACCOUNTS
        oidc = None
        if provider is not None:
            rules = OidcRules(
                issuer=provider.issuer,
                audience=provider.audience,
                roles_claim=provider.roles_claim,
                roles={item.claim: item.role for item in self._config.oidc_roles},
            )
            oidc = OidcVerifier(rules, Path(provider.jwks_file))
        return Gate(
            AccessRules(
                accounts=accounts,
                session_s=section.session_hours * 3600.0,
                rate=RateLimit(section.requests_per_s, section.requests_burst),
                plain_http=section.plain_http,
            ),
            Casebook(self._history.database),
            accounts=Accounts(self._history.database) if accounts else None,
            oidc=oidc,
            now_ns=self._now_ns,
        )

    def _renew_engine(self) -> None:
        self._engine = self._new_engine()
        if self._network.quarantined:
            self._engine.set_quarantine(self._network.quarantined)

    def _node_reports(self) -> Mapping[str, NodeReport]:
        """Return what nodes say of themselves, and what the network says of them."""
        return self._network.with_judgement(self._intake.node_reports())

    def _start_audit(self) -> None:
        config = self._config
        key = None if config.audit.key_file is None else SigningKey.load(Path(config.audit.key_file))
        self._auditor = Auditor(
            self._history,
            NetworkRecord.of(self._registry, self._frame, config.to_fusion(), self._site_bias),
            configuration=config.model_dump_json().encode("utf-8"),
            software=describe_software(),
            key=key,
            root_every_ns=ns_from_seconds(3600.0 * config.audit.root_every_h),
        )
        self._auditor.start(self._now_ns())

    def _audit(self) -> None:
        """Write into the audit log what there is to write, now and then; trouble with it never stops an alert."""
        if self._auditor is None or self._monotonic_s() < self._audit_due_s:
            return
        self._audit_due_s = self._monotonic_s() + _AUDIT_EVERY_S
        try:
            root = self._auditor.step(self._now_ns())
        except StorageError as error:
            if str(error) != self._audit_problem:
                self._log("audit_not_kept", problem=str(error))
            self._audit_problem = str(error)
            return
        self._audit_problem = ""
        if root is not None:
            self._log("audit_root", number=root.number, digest=root.digest, signature=root.signature)

    def _sweep_now_and_then(self) -> None:
        """Delete what may go, until the end; in a thread of its own, one small batch at a time."""
        every_s = self._config.retention.every_s
        sweeper = Sweeper(
            self._history, self._config.retention.to_policy(), two_persons=self._config.review.two_persons
        )
        pause_s = min(every_s, _FIRST_SWEEP_S)
        while not self._closing.wait(pause_s):
            pause_s = every_s
            now_ns = self._now_ns()
            deleted = 0
            try:
                for receipt in sweeper.sweep(now_ns):
                    deleted += 0 if receipt is None else receipt.count
                    if self._closing.wait(0.0 if receipt is None else _BETWEEN_BATCHES_S):
                        break
                else:
                    self._swept_ns = now_ns
                self._sweep_problem = ""
            except Exception as error:
                # Nothing of the batch is deleted then; a mistake in the code shows in `check`, and ends no thread.
                self._sweep_problem = str(error) if isinstance(error, StorageError) else repr(error)
                self._log("sweep_failed", problem=self._sweep_problem, trace=traceback.format_exc())
            self._deleted += deleted
            if deleted:
                self._log("swept", deleted=deleted)

    def _start_http(self) -> None:
        from fusion_server.api import LiveFeed, Mode, ScorecardRules, create_app

        mode = Mode.REPLAY if self._config.scene else Mode.LIVE
        if self._config.server.test_alerts:
            mode = Mode.DEMO
        self._live = LiveFeed()
        basemap = self._config.console.basemap
        app = create_app(
            history=self._history,
            registry=self._registry,
            frame=self._frame,
            health=self.health,
            node_reports=self._node_reports,
            live=self._live,
            metrics=self.metrics,
            mode=mode,
            silent_after_s=self._config.server.silent_after_s,
            now_ns=self._now_ns,
            event_ns=lambda: self._clock.event_ns(self._now_ns()),
            gate=self._gate(),
            review=self._config.review.to_rules(),
            scorecard=ScorecardRules(
                settings=self._config.to_scorecard(), areas=self._config.to_areas(), event_ns=self._clock.event_ns
            ),
            association=self._config.to_fusion().associate,
            basemap=None if basemap is None else Basemap.read(Path(basemap)),
        )
        self._http = HttpServer(app, self._config.http.host, self._config.http.port)

    def _rebuild(self) -> None:
        """Bring the engine to where it was: what may still matter again, in the order and at the pace it came.

        What it concludes again is compared with the history once, at the end, so that nobody is alerted twice; what was
        closed when the server ended stays as it was told.
        """
        now_ns = self._clock.event_ns(self._now_ns())
        again = resumption(self._history, self._config.to_fusion(), self._clock, now_ns=now_ns)
        self._known.update((record.id, record) for record in again.known)
        self._engine.restore(again.known)
        self._note_last_heard(again.since_ns, now_ns)
        concluded: dict[str, Incident] = {}
        unused: list[tuple[DetectionId, str]] = []
        try:
            for came_ns, detection in again.seen:
                concluded |= {incident.incident_id: incident for incident in self._engine.advance_to(came_ns)}
                self._note_listening([detection.node], came_ns)
                if (why := self._engine.add(detection)) in _WHATEVER_THE_TIME:
                    unused.append((detection.uid, why.value))
            concluded |= {incident.incident_id: incident for incident in self._engine.advance_to(now_ns)}
            self._conclude([incident for incident in concluded.values() if again.is_open(incident)])
        except Exception:
            self._fusion_failed("rebuilding from the history")
        self._history.note_dispositions(unused)
        self._unused = {node: Counter(counts) for node, counts in self._history.disposition_counts().items()}
        self._log("started", endpoint=self.endpoint, http=self.http_url, rebuilt_from_detections=len(again.seen))

    def _note_last_heard(self, since_ns: int, now_ns: int) -> None:
        """Tell fusion who was there when the server ended, and since its hello, or since an instant.

        Else no silence would count in what is thought through again: dense clutter would look like shots everywhere.
        """
        hold_ns = round(self._config.server.silent_after_s * NS_PER_S)
        for status in self._history.node_statuses():
            heard_ns = min(now_ns, self._clock.event_ns(status.last_heard_ns))
            hello_ns = since_ns if status.hello_ns is None else self._clock.event_ns(status.hello_ns)
            self._engine.note_listening(status.node, min(heard_ns, max(since_ns, hello_ns)), heard_ns + hold_ns)

    def _note_listening(self, nodes: Iterable[str], event_ns: int) -> None:
        """Tell fusion that nodes were there about an instant: silence is evidence only from who could have spoken."""
        hold_ns = round(self._config.server.silent_after_s * NS_PER_S)
        for node in nodes:
            self._engine.note_listening(node, event_ns - _JUST_SPOKE_NS, event_ns + hold_ns)

    def _note_heard(self, spoke: frozenset[str]) -> None:
        """Note for the scorecard who was heard in which minute; who does not know the time is of no use to it."""
        now_ns = self._clock.event_ns(self._now_ns())
        if self._heard.begins_minute(now_ns):
            states = self._intake.clock_states()
            self._untimed = frozenset(node for node, state in states.items() if state == ClockState.UNTIMED)
            self._keep_heard(ended_by_ns=now_ns)
        self._heard.note(spoke - self._untimed, now_ns=now_ns)

    def _keep_heard(self, *, ended_by_ns: int | None) -> None:
        rows = self._heard.take(ended_by_ns=ended_by_ns)
        try:
            Scorebook(self._history.database).add_heard(rows)
        except StorageError as error:
            self._heard.put_back(rows)
            self._log("heard_minutes_not_kept", rows=len(rows), problem=str(error))

    def _fuse(self, fresh: Sequence[Detection]) -> None:
        unused: list[tuple[Detection, Disposition]] = []
        try:
            for detection in fresh:
                self._note(detection, self._engine.add(detection), unused)
            # Silence of a node means something only once it would have spoken.
            delay_ns = round(self._intake.report_delay_s * NS_PER_S)
            advance_to_ns = self._clock.event_ns(self._now_ns() - delay_ns)
            self._conclude(self._engine.advance_to(advance_to_ns))
            self._advanced_ns = advance_to_ns
        except Exception:
            self._fusion_failed(f"fusing {len(fresh)} detections")
        if unused:
            try:
                self._history.note_dispositions([(detection.uid, why.value) for detection, why in unused])
            except StorageError as error:
                self._log("dispositions_not_kept", count=len(unused), problem=str(error))

    def _note(
        self, detection: Detection, disposition: Disposition, unused: list[tuple[Detection, Disposition]]
    ) -> None:
        if disposition not in (Disposition.FUSED, Disposition.DUPLICATE):
            self._unused.setdefault(detection.node, Counter())[disposition.value] += 1
            unused.append((detection, disposition))

    def _fusion_failed(self, doing: str) -> None:
        """Start fusion afresh: what is kept stays kept, and the next shot is not lost to a mistake in the last."""
        self._fusion_failures += 1
        trace = traceback.format_exc()
        problem = trace.splitlines()[-1]
        if problem != self._fusion_problem:
            self._log("fusion_failed", doing=doing, trace=trace)
        self._fusion_problem = problem
        self._renew_engine()

    def _conclude(self, incidents: Sequence[Incident]) -> None:
        for incident in incidents:
            record = self._renumbered(incident_record(incident, self._frame, scene=self._config.scene))
            if record is None:
                continue
            self._remember(record)
            if self._clips is not None:
                now_ns = self._now_ns()
                self._clips.want(record, event_ns=self._clock.event_ns(now_ns), now_ns=now_ns)
            try:
                if not self._history.append_incident(record):
                    continue
            except StorageError as error:
                self._log("incident_not_kept", incident=record.id, revision=record.revision, problem=str(error))
                self._unsaved = [*self._unsaved, record][-_MOST_UNSAVED:]
            self._publish(record)
            self._network.note(record)

    def _announced_digest(self, uid: DetectionId) -> bytes | None:
        """Return the digest of the clip that a kept detection announced; None when it announced nothing."""
        try:
            kept = self._history.raw_of([uid]).get(uid)
            message = None if kept is None else decode(kept)
        except (StorageError, MessageError):
            return None
        return message.clip_sha256 if isinstance(message, Detection) else None

    def _renumbered(self, record: IncidentRecord) -> IncidentRecord | None:
        """Return the record as the next revision of what is known under its id; None when it says nothing new.

        After a restart the engine concludes again what it had concluded before, and counts on.
        """
        known = self._known.get(record.id)
        if known is None:
            return record
        changed_its_mind = (record.state == _RETRACTED) != (known.state == _RETRACTED)
        same = msgspec.structs.replace(record, revision=known.revision, state=known.state, as_of_utc=known.as_of_utc)
        if same == known and not changed_its_mind:
            return None
        return msgspec.structs.replace(record, revision=known.revision + 1)

    def _remember(self, record: IncidentRecord) -> None:
        self._known.pop(record.id, None)
        self._known[record.id] = record
        if len(self._known) > _MOST_REMEMBERED:
            del self._known[next(iter(self._known))]

    def _publish(self, record: IncidentRecord) -> None:
        self._revisions[record.state] += 1
        latency_s = alert_latency_s(record, event_ns=self._clock.event_ns(self._now_ns()))
        if latency_s is not None:
            self._latency.observe(latency_s)
        if self._dispatcher is not None:
            self._dispatcher.publish(record)
        if self._live is not None:
            self._live.publish(record)
        self._log("incident", id=record.id, revision=record.revision, state=record.state, rounds=record.rounds)

    def _save_unsaved(self) -> None:
        waiting, self._unsaved = self._unsaved, []
        for index, record in enumerate(waiting):
            try:
                self._history.append_incident(record)
            except StorageError:
                self._unsaved = waiting[index:]
                return

    def _log_keys(self) -> None:
        """Say when the allow-list was read again, and who was refused for its key, each once."""
        if self._receiver is None or self._allow_list is None:
            return
        if self._allow_list.reads != self._list_reads:
            self._list_reads = self._allow_list.reads
            keys, problem = len(self._allow_list.current.keys), self._allow_list.problem
            self._log("allow_list_read", file=str(self._allow_list.path), keys=keys, problem=problem)
        for refused in self._receiver.refusals.take_new():
            self._log("key_refused", reason=refused.reason, detail=refused.detail)

    def _check_keys(self, now_ns: int) -> list[Check]:
        if self._receiver is None or self._allow_list is None:
            return []
        accepted = sum(key.is_accepted(now_ns) for key in self._allow_list.current.keys)
        refusals = self._receiver.refusals
        return [check_keys(accepted, self._allow_list.problem, refused=dict(refusals.counts), last=refusals.last)]

    def _check_sinks(self) -> list[Check]:
        if self._dispatcher is None:
            return []
        status = self._dispatcher.status()
        return [
            check_sinks({s.name: (s.waiting, s.gave_up, s.last_error if s.failures_in_a_row else "") for s in status})
        ]

    def _check_retention(self, now_ns: int) -> list[Check]:
        if not self._config.retention.enabled:
            return []
        swept_s = None if self._swept_ns is None else (now_ns - self._swept_ns) / NS_PER_S
        return [check_retention(self._sweep_problem, swept_s=swept_s, deleted=self._deleted)]

    def _check_disk(self) -> list[Check]:
        folder = Path(self._config.server.database).parent
        if "://" in self._config.server.database or not folder.is_dir():
            return []
        usage = shutil.disk_usage(folder)
        return [check_disk(str(folder.absolute()), free_bytes=usage.free, total_bytes=usage.total)]

    def _log(self, event: str, **fields: object) -> None:
        self._log_to.write(json.dumps({"event": event, **fields}) + "\n")
        self._log_to.flush()


def load_keys(config: ServerConfig) -> tuple[CurveGuard, WatchedAllowList] | tuple[None, None]:
    """Read the server's pair and its allow-list; neither when nodes connect in the clear.

    Raises
    ------
    InputError
        One of the files cannot be used.
    """
    if config.server.curve_secret_file is None or config.server.allow_list is None:
        return None, None
    watched = WatchedAllowList(Path(config.server.allow_list))
    return CurveGuard(load_key_pair(Path(config.server.curve_secret_file)), watched), watched


def _of(unused: dict[str, dict[str, int]], disposition: Disposition) -> dict[str, int]:
    return {node: counts[disposition.value] for node, counts in unused.items() if counts.get(disposition.value)}
