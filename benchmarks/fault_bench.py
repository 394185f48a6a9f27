"""The processes of `fault_run.py`: started, broken as planned, ended, and what came of it."""

from __future__ import annotations

import heapq
import io
import itertools
import json
import os
import signal
import sqlite3
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing, redirect_stdout, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from fault_judge import Happened, Made, Recovery, Verdict, judge, read_log, read_replay, read_stored
from fault_plan import SERVER, Fault, Kind, draw_faults, draw_moments, write_sound
from fault_proxy import Proxy, Wire

from sensor_node.spoolfile import look
from shotline.allowlist import edit_allow_list
from shotline.errors import EdgeError, StorageError
from shotline.keyfiles import load_public_key
from shotline.keys_cli import new as new_keys
from shotline.timebase import format_utc, parse_utc
from shotline.units import NS_PER_S
from shotline_replay.processes import Child, Children, shotline_command

__all__ = ["Options", "Run"]

EVENT_EPOCH_UTC = "2026-03-01T12:00:00.000Z"
"""Event time of the run's start: the same each time, so that the files' detections follow from the seed."""
LEAD_S = 6.0
TICK_S = 0.05
SETTLE_S = 180.0
END_S = 30.0
HEARTBEAT_S = 5.0
SPARED_S = 10.0
"""Who had no room is not killed until so long after it: what is in memory only ends with the process, as documented."""
TMPFS_BYTES = {"node": 8 * 1024 * 1024, "server": 64 * 1024 * 1024}
"""Room enough unless it is filled: the WAL of a spool grows to 1 MiB, that of the history to 4 MiB."""


@dataclass
class Options:
    """What is asked for."""

    minutes: float
    seed: int
    nodes: int
    server_kills: int
    node_kills: int
    cut_s: float
    disk_s: float
    ack_loss: float

    @property
    def length_s(self) -> float:
        """Of the run."""
        return 60.0 * self.minutes


class Disk:
    """A tmpfs that can be filled."""

    def __init__(self, folder: Path, size_bytes: int) -> None:
        self.folder = folder
        folder.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={size_bytes}", "none", str(folder)]
        subprocess.run(command, check=True, capture_output=True)

    def fill(self, database: Path) -> None:
        """Make the WAL empty, so that the next write needs room, and leave none."""
        with suppress(sqlite3.Error), closing(sqlite3.connect(database, timeout=5.0)) as db:
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        with (self.folder / "ballast").open("wb", buffering=0) as file, suppress(OSError):
            while file.write(bytes(4096)):
                pass

    def free(self) -> None:
        """Make room again."""
        (self.folder / "ballast").unlink()

    def close(self) -> None:
        """Unmount."""
        subprocess.run(["umount", "--lazy", str(self.folder)], check=False, capture_output=True)


class Run:
    """One run, from the sound files to the figures."""

    def __init__(self, options: Options, folder: Path, children: Children, proxy: Proxy, *, disks: bool) -> None:
        self.options = options
        self.folder = folder
        self.children = children
        self.proxy = proxy
        self.file_nodes = [f"file-{number}" for number in range(1, options.nodes // 2 + 1)]
        self.live_nodes = [f"live-{number}" for number in range(1, options.nodes - len(self.file_nodes) + 1)]
        self.nodes = [*self.file_nodes, *self.live_nodes]
        self.full_node = self.live_nodes[0] if disks else None
        self.disks: dict[str, Disk] = {}
        if self.full_node is not None:
            self.disks[self.full_node] = Disk(folder / "node-disk", TMPFS_BYTES["node"])
            self.disks[SERVER] = Disk(folder / "server-disk", TMPFS_BYTES["server"])
        self.database = (self.disks[SERVER].folder if disks else folder) / "history.db"
        rng = np.random.default_rng([options.seed, 0])
        self.faults = draw_faults(
            rng,
            options.length_s,
            nodes=self.nodes,
            server_kills=options.server_kills,
            node_kills=options.node_kills,
            cut_s=options.cut_s,
            full_node=self.full_node,
            disk_s=options.disk_s,
        )
        self.happened: list[Happened] = []
        self.highest: Counter[str] = Counter()
        self.exit_codes: dict[str, int | None] = {}
        self._server: Child | None = None
        self._server_kill_ns = 0
        self._server_is_up = False
        self._server_starts = 0
        self._wire = Wire.WHOLE
        self._spared_until_s: dict[str, float] = {}
        self._processes: dict[str, Child] = {}
        self._starts: Counter[str] = Counter()
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()

    # --- before ---------------------------------------------------------------------------------------------------

    def prepare(self) -> None:
        """Make keys, sounds, and what must come of them; compile what the server compiles once in its life."""
        subprocess.run([sys.executable, "-m", "fusion_server.warm"], check=True, capture_output=True)
        keys = self.folder / "keys"
        for name in (SERVER, *self.nodes):
            with redirect_stdout(io.StringIO()):
                new_keys(name, keys)
        for node in self.nodes:
            public = load_public_key(keys / f"{node}.key")
            edit_allow_list(
                self.folder / "allow.toml",
                lambda before, node=node, public=public: before.enrol(node, public, now_ns=time.time_ns()),
                create=True,
            )
        self.server_key = load_public_key(keys / f"{SERVER}.key")
        length_s = self.options.length_s
        self.moments: dict[str, list[float]] = {}
        for number, node in enumerate(self.nodes, 1):
            rng = np.random.default_rng([self.options.seed, number])
            is_live = node in self.live_nodes
            self.moments[node] = draw_moments(rng, length_s - 1.0, singles_every_s=1.0 if is_live else 10.0)
            if not is_live:
                tell(f"{node}: {len(self.moments[node])} impulses, as sound")
                write_sound(self._sound(node), self.moments[node], length_s, rng)
                command = shotline_command("node", "replay", str(self._sound(node)), "--node", node, "--json")
                command += ["--start-utc", EVENT_EPOCH_UTC, "--out", str(self._replay(node))]
                subprocess.run(command, check=True, capture_output=True)

    def start(self) -> None:
        """Start everybody; the run begins a little later."""
        self.wall_epoch_ns = time.time_ns() + round(LEAD_S * NS_PER_S)
        self.wall_epoch_utc = format_utc(self.wall_epoch_ns)
        self.wall_epoch_ns = parse_utc(self.wall_epoch_utc)
        self._start_server()
        for node in self.nodes:
            self._write_settings(node)
            self._start_node(node)

    # --- the run --------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Let it run, break what is to be broken, and wait until all is settled."""
        for fault in self.faults:
            self._at(fault.start_s, self._breaking(fault))
        told_s = looked_s = -1.0
        while (now_s := self._now_s()) < self.options.length_s or self._due or not self._server_is_up:
            while self._due and self._due[0][0] <= now_s:
                heapq.heappop(self._due)[2]()
            self._watch()
            if now_s >= looked_s + 1.0:
                looked_s = now_s
                self._look_at_spools()
            if now_s >= told_s + 15.0:
                told_s = now_s
                tell(f"{now_s:6.1f} s  {len(self.happened)} of {len(self.faults)} faults over, {self._stored()} stored")
            time.sleep(TICK_S)
        self._settle()

    def end(self) -> None:
        """End everybody in order, as an operator would: the nodes, then the server."""
        assert self._server is not None
        for children in ({node: self._processes[node] for node in self.nodes}, {SERVER: self._server}):
            for child in children.values():
                os.kill(child.pid, signal.SIGTERM)
            # Asked twice, a process that is about to end is killed by the second.
            deadline_s = time.monotonic() + END_S
            while any(child.returncode is None for child in children.values()) and time.monotonic() < deadline_s:
                time.sleep(TICK_S)
            for name, child in children.items():
                child.end()
                self.exit_codes[name] = child.returncode

    def close(self) -> None:
        """Take the disks away."""
        for disk in self.disks.values():
            disk.close()

    def _settle(self) -> None:
        """Wait until all that was made is stored, and every node knows it; not for ever."""
        deadline_s = self._now_s() + SETTLE_S
        since_ns = time.time_ns()
        while self._now_s() < deadline_s:
            self._watch()
            owed = {node: count for node, count in self._owed(since_ns).items() if count != 0}
            if not owed:
                tell(f"{self._now_s():6.1f} s  nobody owes anything")
                return
            time.sleep(10 * TICK_S)
        tell(f"still owed after {SETTLE_S:g} s: {owed}")

    def _owed(self, since_ns: int) -> dict[str, int | None]:
        """Return what each node said to owe in a heartbeat after an instant; None: it has not said since."""
        query = "SELECT node, unacked FROM node_status WHERE heartbeat_ns > ?"
        with closing(sqlite3.connect(f"file:{self.database}?mode=ro", uri=True)) as db:
            said = dict(db.execute(query, (since_ns,)).fetchall())
        return {node: said.get(node) for node in self.nodes}

    def _stored(self) -> int:
        with suppress(sqlite3.Error), closing(sqlite3.connect(f"file:{self.database}?mode=ro", uri=True)) as db:
            return int(db.execute("SELECT count(*) FROM detections").fetchone()[0])
        return 0

    def _look_at_spools(self) -> None:
        for node in self.nodes:
            with suppress(StorageError):
                self.highest[node] = max(self.highest[node], look(self._spool(node)).waiting)

    def _watch(self) -> None:
        """See whether the server listens, and that nobody ended unasked."""
        server = self._server
        if server is not None and not self._server_is_up:
            with suppress(EdgeError):
                endpoint = json.loads(server.line(timeout_s=0.0))["endpoint"]
                self.proxy.target_port = int(endpoint.rpartition(":")[2])
                self._server_is_up = True
                self._set_wire(self._wire)
                if self._server_kill_ns:
                    self._over(Kind.SERVER_KILLED, SERVER, self._server_kill_ns)
        for child in (*self._processes.values(), *([] if server is None else [server])):
            if child.returncode is not None:
                raise child.failed(f"ended unasked with exit code {child.returncode}")

    # --- faults ---------------------------------------------------------------------------------------------------

    def _breaking(self, fault: Fault) -> Callable[[], None]:
        return {
            Kind.SERVER_KILLED: lambda: self._kill_server(fault),
            Kind.NODE_KILLED: lambda: self._kill_node(fault),
            Kind.CUT: lambda: self._cut(fault),
            Kind.NODE_DISK: lambda: self._fill(fault, self._spool(fault.who)),
            Kind.SERVER_DISK: lambda: self._fill(fault, self.database),
        }[fault.kind]

    def _kill_server(self, fault: Fault) -> None:
        if self._server is None or not self._may_break(fault):
            self._at(self._now_s() + 0.5, lambda: self._kill_server(fault))
            return
        self._server_kill_ns = time.time_ns()
        self._server_is_up = False
        _kill(self._server)
        self._server = None
        self._set_wire(self._wire)
        tell(f"{self._now_s():6.1f} s  the server is killed, for {fault.lasts_s:.1f} s")
        self._at(self._now_s() + fault.lasts_s, self._start_server)

    def _kill_node(self, fault: Fault) -> None:
        if not self._may_break(fault):
            self._at(self._now_s() + 0.5, lambda: self._kill_node(fault))
            return
        killed_ns = time.time_ns()
        _kill(self._processes.pop(fault.who))
        tell(f"{self._now_s():6.1f} s  {fault.who} is killed, for {fault.lasts_s:.1f} s")

        def start() -> None:
            self._start_node(fault.who)
            self._over(fault.kind, fault.who, killed_ns)

        self._at(self._now_s() + fault.lasts_s, start)

    def _cut(self, fault: Fault) -> None:
        cut_ns = time.time_ns()
        tell(f"{self._now_s():6.1f} s  the network is cut, for {fault.lasts_s:.0f} s")
        self._set_wire(Wire.SWALLOWS)

        def mend() -> None:
            self._set_wire(Wire.WHOLE)
            self._over(fault.kind, fault.who, cut_ns)
            tell(f"{self._now_s():6.1f} s  the network is whole")

        self._at(self._now_s() + fault.lasts_s / 2.0, lambda: self._set_wire(Wire.REFUSES))
        self._at(self._now_s() + fault.lasts_s, mend)

    def _may_break(self, fault: Fault) -> bool:
        """Return whether a process is there, and was not out of room just now."""
        is_there = self._server_is_up if fault.who == SERVER else fault.who in self._processes
        return is_there and self._now_s() >= self._spared_until_s.get(fault.who, 0.0)

    def _fill(self, fault: Fault, database: Path) -> None:
        if not self._may_break(fault):
            self._at(self._now_s() + 0.5, lambda: self._fill(fault, database))
            return
        full_ns = time.time_ns()
        self._spared_until_s[fault.who] = self._now_s() + fault.lasts_s + SPARED_S
        self.disks[fault.who].fill(database)
        tell(f"{self._now_s():6.1f} s  no room for {fault.who}, for {fault.lasts_s:.0f} s")

        def free() -> None:
            self.disks[fault.who].free()
            self._over(fault.kind, fault.who, full_ns)

        self._at(self._now_s() + fault.lasts_s, free)

    def _set_wire(self, wire: Wire) -> None:
        """Set the wire; without a server nobody answers, as on a real port."""
        self._wire = wire
        self.proxy.set(Wire.REFUSES if wire is Wire.WHOLE and not self._server_is_up else wire)

    def _over(self, kind: str, who: str, started_ns: int) -> None:
        self.happened.append(Happened(kind, who, started_ns, time.time_ns()))

    def _at(self, when_s: float, what: Callable[[], None]) -> None:
        heapq.heappush(self._due, (when_s, next(self._numbers), what))

    def _now_s(self) -> float:
        return (time.time_ns() - self.wall_epoch_ns) / NS_PER_S

    # --- processes ------------------------------------------------------------------------------------------------

    def _start_server(self) -> None:
        config = self.folder / "server.toml"
        sites = "".join(
            f'[[nodes]]\nid = "{node}"\nx_m = {400.0 * (number % 3)}\ny_m = {400.0 * (number // 3)}\n'
            for number, node in enumerate(self.nodes)
        )
        config.write_text(
            f'[server]\nbind = "tcp://127.0.0.1:0"\ndatabase = "{self.database}"\n'
            f'curve_secret_file = "keys/{SERVER}.key_secret"\nallow_list = "allow.toml"\n'
            "[http]\nenabled = false\n"
            f'[clock]\nkind = "replay"\nscene = "fault run"\nevent_epoch_utc = "{EVENT_EPOCH_UTC}"\n'
            f'wall_epoch_utc = "{self.wall_epoch_utc}"\n'
            f'[[sinks]]\nkind = "jsonl"\npath = "alerts.jsonl"\n{sites}'
        )
        self._server_starts += 1
        number = self._server_starts
        command = [sys.executable, str(Path(__file__).with_name("fault_server.py")), str(self.options.ack_loss)]
        command += [str(1000 * self.options.seed + number), str(self.folder / f"counts-{number}.json")]
        command += ["server", "run", "--config", str(config), "--ready-json"]
        self._server = self.children.start(f"{SERVER}-{number}", command)

    def _start_node(self, node: str) -> None:
        self._starts[node] += 1
        command = shotline_command("node", "run", "--config", str(self._settings(node)))
        if node in self.live_nodes:
            command = [sys.executable, str(Path(__file__).with_name("fault_node.py")), str(self._settings(node))]
        self._processes[node] = self.children.start(f"{node}-{self._starts[node]}", command)

    def _write_settings(self, node: str) -> None:
        key_file, endpoint = self.folder / "keys" / f"{node}.key_secret", f"tcp://127.0.0.1:{self.proxy.port}"
        if node in self.live_nodes:
            settings = {
                "node": node,
                "endpoint": endpoint,
                "spool": str(self._spool(node)),
                "key_file": str(key_file),
                "server_key": self.server_key,
                "log": str(self._log(node)),
                "moments_s": self.moments[node],
                "event_epoch_ns": parse_utc(EVENT_EPOCH_UTC),
                "wall_epoch_ns": self.wall_epoch_ns,
                "heartbeat_s": HEARTBEAT_S,
            }
            self._settings(node).write_text(json.dumps(settings))
            return
        self._settings(node).write_text(
            f'[node]\nid = "{node}"\nserver = "{endpoint}"\nspool = "{self._spool(node)}"\n'
            f'key_file = "{key_file}"\nserver_key = "{self.server_key}"\nheartbeat_interval_s = {HEARTBEAT_S}\n'
            f'[clock]\nkind = "replay"\nevent_epoch_utc = "{EVENT_EPOCH_UTC}"\n'
            f'wall_epoch_utc = "{self.wall_epoch_utc}"\n'
            f'[[sources]]\nfile = "{self._sound(node)}"\nstart_utc = "{EVENT_EPOCH_UTC}"\n'
        )

    def _settings(self, node: str) -> Path:
        return self.folder / f"{node}.{'json' if node in self.live_nodes else 'toml'}"

    def _sound(self, node: str) -> Path:
        return self.folder / f"{node}.wav"

    def _replay(self, node: str) -> Path:
        return self.folder / f"{node}.detections"

    def _log(self, node: str) -> Path:
        return self.folder / f"{node}.said"

    def _spool(self, node: str) -> Path:
        return (self.disks[node].folder if node in self.disks else self.folder) / f"{node}.spool.db"

    # --- after ----------------------------------------------------------------------------------------------------

    def figures(self) -> dict[str, Any]:
        """Compare, and return everything that is to be said."""
        expected: dict[tuple[str, int, int], Made] = {}
        maybe: set[tuple[str, int, int]] = set()
        again = in_memory = 0
        stored, duplicate_rows = read_stored(self.database)
        for node in self.file_nodes:
            shift_ns = self.wall_epoch_ns - parse_utc(EVENT_EPOCH_UTC)
            replayed = read_replay(self._replay(node), wall_minus_event_ns=shift_ns)
            expected |= replayed
            starts_ns = [
                fault.ended_ns for fault in self.happened if (fault.kind, fault.who) == (Kind.NODE_KILLED, node)
            ]
            again += sum(
                uid in stored and stored[uid].received_ns < start_ns for start_ns in starts_ns for uid in replayed
            )
        for node in self.live_nodes:
            log = read_log(self._log(node), node)
            expected |= log.kept
            maybe |= log.making
            in_memory += log.in_memory
        verdict = judge(expected, maybe, stored, duplicate_rows, self.happened)
        counts = [
            json.loads(path.read_text()) for path in sorted(self.folder.glob("counts-*.json")) if path.stat().st_size
        ]
        with closing(sqlite3.connect(f"file:{self.database}?mode=ro", uri=True)) as db:
            rejects = dict(db.execute("SELECT reason, sum(count) FROM rejects GROUP BY reason").fetchall())
            late = dict(db.execute("SELECT disposition, count(*) FROM dispositions GROUP BY disposition").fetchall())
        spools = {node: look(self._spool(node)) for node in self.nodes}
        ok = (
            verdict.is_clean
            and not rejects
            and not any(self.exit_codes.values())
            and not any(spool.waiting or spool.rejected or spool.lost.dropped_detections for spool in spools.values())
        )
        return {
            "ok": ok,
            "detections": {
                "made": verdict.made,
                "stored": verdict.stored,
                "lost": len(verdict.lost),
                "duplicates": verdict.duplicate_rows,
                "changed": len(verdict.changed),
                "unexpected": len(verdict.unexpected),
                "made_by_files": sum(uid[0] in self.file_nodes for uid in expected),
                "made_live": sum(uid[0] in self.live_nodes for uid in expected),
                "kept_but_not_said": verdict.saved_by_spool,
                "stored_too_late_for_fusion": late.get("too_late", 0),
            },
            "still_owed": {node: spool.waiting for node, spool in spools.items() if spool.waiting},
            "refused": {node: spool.rejected for node, spool in spools.items() if spool.rejected},
            "damaged_spools": sum(spool.lost.damaged_files for spool in spools.values()),
            "heartbeats_not_sent": sum(spool.lost.dropped_heartbeats for spool in spools.values()),
            "rejects": rejects,
            "exit_codes": self.exit_codes,
            "delay_s": _delays(verdict),
            "copies": {
                "received_again": sum(each["copies"] for each in counts),
                "from_files_played_again": again,
            },
            "acks": {"sent": sum(each["acks"] for each in counts), "lost": sum(each["lost_acks"] for each in counts)},
            "messages": sum(each["messages"] for each in counts),
            "not_committed_for_want_of_room": sum(each["uncommitted"] for each in counts),
            "kept_in_memory_for_want_of_room": in_memory,
            "most_waiting_on_disk": dict(self.highest),
            "swallowed_bytes": self.proxy.swallowed_bytes,
            "connections": self.proxy.connections,
            "faults": [self._told(recovery) for recovery in verdict.recoveries],
        }

    def _told(self, recovery: Recovery) -> dict[str, Any]:
        fault = recovery.fault
        return {
            "kind": fault.kind,
            "who": fault.who or "everybody",
            "at_s": round((fault.started_ns - self.wall_epoch_ns) / NS_PER_S, 1),
            "lasted_s": round((fault.ended_ns - fault.started_ns) / NS_PER_S, 1),
            "waiting_at_its_end": recovery.waiting,
            "recovery_s": None if recovery.recovery_s is None else round(recovery.recovery_s, 2),
            "met": list(recovery.met),
        }


def _kill(child: Child) -> None:
    os.kill(child.pid, signal.SIGKILL)
    child.end()


def _delays(verdict: Verdict) -> dict[str, float]:
    if len(verdict.delays_s) < 2:
        return {}
    cuts = statistics.quantiles(verdict.delays_s, n=1000)
    return {
        "median": round(statistics.median(verdict.delays_s), 3),
        "p90": round(cuts[899], 3),
        "p99": round(cuts[989], 3),
        "longest": round(verdict.delays_s[-1], 3),
    }


def tell(what: str) -> None:
    """Say on standard error how it goes."""
    print(what, file=sys.stderr, flush=True)
