"""New Year's Eve: ten thousand detections a second for a minute, at a real server with its page open in a browser.

    python benchmarks/new_year.py [--nodes 2000] [--per-s 10000] [--seconds 60] [--fireworks-per-s 10]
        [--shots-per-s 0.5] [--seed 1] [--no-browser] [--out benchmarks/results/new_year]

Three processes besides this one: `shotline server run` (CURVE, allow-list, a site for each node, SQLite on disk, the
page), the nodes (`new_year_nodes.py`: all messages made beforehand, so that little of the machine is theirs) and a
headless Chromium with the console open, told to press `j` once a second. What is heard follows from the seed
(`new_year_plan.py`): each firework and each shot at every node within earshot at its true time, and firecrackers, most
of it by far, at one node alone.

Measured:

- none lost: when nothing is owed any more, the rows of the database are counted and digested, in order of node and
  sequence, and compared with what was made. Each once, byte for byte;
- alert latency: from the arrival of a shot's sound at the last node that reports it, to its first event on the stream
  that a console reads (less than nothing when it is told before everyone has heard it), and from that at the fourth,
  before which there is no place; for shots that are told at all, and how many are;
- memory of the server at its peak; CPU seconds of each process and of the server's threads; detections for each CPU
  second of the server: all share two cores here, so this says what it could take alone;
- the page: time between frames (`requestAnimationFrame`), and from a key press to the frame drawn after it;
- the start after it: the server is started again at once on the same database.

Writes OUT.json and OUT.md; exit code 1 when a detection is lost, changed or there twice.
"""

from __future__ import annotations

import argparse
import hashlib
import http.client
import json
import os
import platform
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from new_year_plan import Bang, Load, Night, make_night

from sensor_node.swarmfiles import load_or_make_pair, member_name, write_server_config, write_swarm_allow_list
from sensor_node.swarmplan import grid_m
from shotline.domain import ImpulseKind
from shotline.timebase import parse_utc
from shotline.units import NS_PER_S

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "browser"))
from chromium_pipe import Browser, chromium_binary  # noqa: E402

RESULTS = ROOT / "benchmarks" / "results" / "new_year"
SHOTLINE = [sys.executable, "-c", "from shotline.cli import main; main()"]
SPACING_M = 250.0
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
SERVER_S = 3600
NEAR_M, NEAR_S = 30.0, 0.25
"""An event tells of a shot when one of its rounds is so near to it."""
WATCH_PAGE = """(() => {
  const seen = window.newYear = {frames: [], keys: []};
  let before = performance.now();
  const frame = (now) => { seen.frames.push(now - before); before = now; requestAnimationFrame(frame); };
  requestAnimationFrame(frame);
  addEventListener("keydown", (event) => {
    const pressed = event.timeStamp;
    requestAnimationFrame(() => {
      const channel = new MessageChannel();
      channel.port1.onmessage = () => seen.keys.push(performance.now() - pressed);
      channel.port2.postMessage(0);
    });
  }, true);
})()"""
"""Key to pixels: the frame that the handler's change is drawn in, and the first task after it."""


class Process:
    """What the kernel says of a process and its children."""

    def __init__(self, pid: int) -> None:
        self._pid = pid

    def threads_s(self) -> dict[str, float]:
        """Return CPU seconds since its start: of its main thread, of libzmq's, and of all others."""
        used = {"main": 0.0, "libzmq": 0.0, "others": 0.0}
        for task in Path(f"/proc/{self._pid}/task").iterdir():
            name, used_s = _stat(task / "stat")
            part = "main" if task.name == str(self._pid) else "libzmq" if name.startswith("ZMQ") else "others"
            used[part] += used_s
        return used

    def tree_s(self) -> float:
        """Return CPU seconds of it and all that descend from it and live."""
        parents: dict[int, list[int]] = {}
        for folder in Path("/proc").iterdir():
            if folder.name.isdigit():
                try:
                    rest = (folder / "stat").read_text().rpartition(")")[2].split()
                except OSError:
                    continue
                parents.setdefault(int(rest[1]), []).append(int(folder.name))
        total, waiting = 0.0, [self._pid]
        while waiting:
            pid = waiting.pop()
            waiting += parents.get(pid, [])
            try:
                total += _stat(Path(f"/proc/{pid}/stat"))[1]
            except OSError:
                continue
        return total

    def waited_s(self) -> float:
        """Return how long its main thread could have run, but for others on the cores."""
        return int(Path(f"/proc/{self._pid}/schedstat").read_text().split()[1]) / 1e9

    def memory_mb(self, field: str) -> float:
        """Return a line of its status: VmRSS now, VmHWM at its peak."""
        lines = Path(f"/proc/{self._pid}/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith(field)).split()[1]) / 1024.0


def _stat(path: Path) -> tuple[str, float]:
    name, _, rest = path.read_text().partition("(")[2].rpartition(")")
    return name, sum(map(int, rest.split()[11:13])) / TICKS_PER_S


class Server:
    """A real server in a process of its own."""

    def __init__(self, folder: Path) -> None:
        self._log = (folder / "server.log").open("a")
        command = [*SHOTLINE, "server", "run", "--config", str(folder / "server.toml"), "--ready-json"]
        begun_s = time.monotonic()
        self.child = subprocess.Popen(
            [*command, "--for", str(SERVER_S)], stdout=subprocess.PIPE, stderr=self._log, text=True
        )
        assert self.child.stdout is not None
        line = self.child.stdout.readline()
        self.start_s = time.monotonic() - begun_s
        if not line:
            sys.exit((folder / "server.log").read_text()[-2000:])
        ready = json.loads(line)
        self.endpoint: str = ready["endpoint"]
        self.url: str = ready["http"]
        self.process = Process(self.child.pid)

    def end(self) -> float:
        """End it; return how long that took."""
        begun_s = time.monotonic()
        self.child.send_signal(signal.SIGTERM)
        try:
            self.child.wait(60)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()
        self._log.close()
        return time.monotonic() - begun_s


class Listener:
    """Reads the event stream as a console does; notes when each event came."""

    def __init__(self, url: str) -> None:
        self.events: list[tuple[int, bytes]] = []
        self.reloads = 0
        parts = urlsplit(url)
        self._connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
        self._connection.request("GET", "/events")
        self._answer = self._connection.getresponse()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        kind = b""
        try:
            for line in self._answer:
                if line.startswith(b"event: "):
                    kind = line[7:].strip()
                    self.reloads += kind == b"reload"
                elif line.startswith(b"data: ") and kind == b"incident":
                    self.events.append((time.time_ns(), line[6:]))
        except (OSError, ValueError, http.client.HTTPException):
            return

    def close(self) -> None:
        """Hang up when the server has."""
        self._thread.join(5.0)
        self._connection.close()


class Watcher:
    """A browser with the console open; a key is pressed once a second, and `/health` is asked for."""

    def __init__(self, url: str, profile: Path | None) -> None:
        self.healths: list[dict[str, Any]] = []
        self.health_s: list[float] = []
        self._url = url
        self._stop = threading.Event()
        self._browser: Browser | None = None
        self.cpu: Process | None = None
        if profile is not None and (binary := chromium_binary()) is not None:
            self._browser = Browser(binary, profile)
            self.cpu = Process(self._browser._process.pid)
            self._browser.open(url)
            self._browser.wait_for("document.readyState == 'complete'", within_s=60.0)
            self._browser.evaluate(WATCH_PAGE)
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def begin(self) -> None:
        """Forget what was drawn until now."""
        if self._browser is not None:
            self._browser.evaluate("(() => { newYear.frames.length = 0; newYear.keys.length = 0; })()")
        self._thread.start()

    def _watch(self) -> None:
        turn = 0
        while not self._stop.wait(1.0):
            if self._browser is not None:
                self._browser.press("j")
            turn += 1
            if turn % 2 == 0:
                self._ask_health()

    def _ask_health(self) -> None:
        parts = urlsplit(self._url)
        begun_s = time.monotonic()
        with closing(http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)) as connection:
            connection.request("GET", "/health")
            self.healths.append(json.loads(connection.getresponse().read()))
        self.health_s.append(time.monotonic() - begun_s)

    def end(self) -> dict[str, Any] | None:
        """Return times between frames and from key to frame, milliseconds; None without a browser."""
        self._stop.set()
        self._thread.join(60.0)
        if self._browser is None:
            return None
        seen: dict[str, list[float]] = self._browser.evaluate("newYear")
        frames, keys = seen["frames"], seen["keys"]
        return {
            "frames": len(frames),
            "frame_ms": _spread(frames),
            "frames_over_100_ms": sum(each > 100.0 for each in frames),
            "keys_pressed": len(keys),
            "key_to_frame_ms": _spread(keys),
            "problems": self._browser.problems[:5],
        }

    def close(self) -> None:
        """End the browser."""
        self._stop.set()
        if self._browser is not None:
            self._browser.__exit__(None, None, None)
            self._browser = None


def _spread(values: Sequence[float]) -> dict[str, float] | None:
    if not values:
        return None
    p50, p95, p99, worst = np.quantile(np.array(values), (0.5, 0.95, 0.99, 1.0)).tolist()
    return {"p50": round(p50, 2), "p95": round(p95, 2), "p99": round(p99, 2), "worst": round(worst, 2)}


def told_after_s(bangs: Sequence[Bang], events: Sequence[tuple[int, bytes]], *, start_ns: int) -> list[float | None]:
    """Return for each bang how long after its last arrival the first event told of it; None when none did."""
    rounds = []
    for came_ns, data in events:
        record = json.loads(data)
        if record["state"] == "retracted":
            continue
        rounds += [(parse_utc(shot["time_utc"]), shot["x_m"], shot["y_m"], came_ns) for shot in record["shots"]]
    if not rounds:
        return [None] * len(bangs)
    of_s = np.array([(each[0] - start_ns) / NS_PER_S for each in rounds])
    x_m, y_m = np.array([each[1] for each in rounds]), np.array([each[2] for each in rounds])
    came_s = np.array([(each[3] - start_ns) / NS_PER_S for each in rounds])
    told: list[float | None] = []
    for bang in bangs:
        near = (np.abs(of_s - bang.time_s) < NEAR_S) & (np.hypot(x_m - bang.x_m, y_m - bang.y_m) < NEAR_M)
        told.append(float(came_s[near].min()) - bang.last_heard_s if near.any() else None)
    return told


def stored(database: Path) -> tuple[int, str, int]:
    """Return how many detections are kept, the digest of their bytes by node and sequence, and how many were fused."""
    digest, count = hashlib.sha256(), 0
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as db:
        for (raw,) in db.execute("SELECT raw FROM detections ORDER BY node, boot, sequence"):
            digest.update(raw)
            count += 1
        unused = db.execute("SELECT COUNT(*) FROM dispositions").fetchone()[0]
    return count, digest.hexdigest(), count - unused


class Nodes:
    """The process of all nodes."""

    def __init__(self, endpoint: str, keys: Path, nodes: int, load: Load, seed: int) -> None:
        fields = {name: getattr(load, name) for name in load.__dataclass_fields__}
        script = Path(__file__).with_name("new_year_nodes.py")
        self.child = subprocess.Popen(
            [sys.executable, str(script), endpoint, str(keys), str(nodes), str(seed), json.dumps(fields)],
            stdout=subprocess.PIPE,
            text=True,
        )
        self.process = Process(self.child.pid)
        self.progress: list[dict[str, Any]] = []

    def says(self) -> dict[str, Any]:
        """Return the next thing it says."""
        assert self.child.stdout is not None
        line = self.child.stdout.readline()
        if not line:
            sys.exit("the nodes ended")
        said: dict[str, Any] = json.loads(line)
        return said

    def until(self, at_s: float) -> dict[str, Any]:
        """Read until that time of the night, or its end."""
        while True:
            said = self.says()
            self.progress.append(said)
            if said.get("done") or said["at_s"] >= at_s:
                return said


def run(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Go through the night."""
    load = Load(options.per_s, options.fireworks_per_s, options.shots_per_s, options.seconds)
    sites_m = grid_m(options.nodes, SPACING_M)
    keys = folder / "keys"
    pairs = [(name, load_or_make_pair(name, keys)) for name in map(member_name, range(options.nodes))]
    load_or_make_pair("server", keys)
    write_swarm_allow_list(folder / "nodes.keys.toml", pairs, now_ns=time.time_ns())
    write_server_config(
        folder / "server.toml",
        bind="tcp://127.0.0.1:0",
        secret_file=keys / "server.key_secret",
        allow_list=folder / "nodes.keys.toml",
        sites_m=sites_m,
    )
    night = make_night(sites_m, load, seed=options.seed)
    with ExitStack() as stack:
        server = Server(folder)
        stack.callback(server.child.kill)
        profile = None if options.no_browser else folder / "profile"
        watcher = Watcher(server.url, profile)
        stack.callback(watcher.close)
        listener = Listener(server.url)
        nodes = Nodes(server.endpoint, keys, options.nodes, load, options.seed)
        stack.callback(nodes.child.kill)
        begun = nodes.says()
        start_ns: int = begun["start_ns"]
        quiet_mb = server.process.memory_mb("VmRSS")
        first = nodes.until(0.0)
        watcher.begin()
        before = _used(server, nodes, watcher)
        began_s = time.monotonic()
        if options.profile:
            _profile(server.child.pid, options.profile, options.seconds)
        last = nodes.until(options.seconds)
        flood_s = time.monotonic() - began_s
        during = {part: value - before[part] for part, value in _used(server, nodes, watcher).items()}
        page = watcher.end()
        done = last if last.get("done") else nodes.until(float("inf"))
        overall = {part: value - before[part] for part, value in _used(server, nodes, watcher).items()}
        nodes.child.wait(30)
        # What is told after the last arrival: fusion looks for the last time some seconds later.
        time.sleep(min(8.0, options.seconds))
        peak_mb = server.process.memory_mb("VmHWM")
        watcher.close()
        ended_s = server.end()
        listener.close()
        count, digest, fused = stored(folder / "history.db")
        again = Server(folder)
        stack.callback(again.child.kill)
        start_again_s = again.start_s
        again.end()
    told = told_after_s(night.bangs, listener.events, start_ns=start_ns)
    acked_in_flood = last["acked"] - first["acked"]
    server_s = during["server main"] + during["server libzmq"] + during["server others"]
    return {
        "night": _told_of(night, options.nodes),
        "kept": {
            "made": done["made"],
            "acknowledged": done["acked"],
            "stored": count,
            "lost": done["made"] - count,
            "same_bytes": digest == begun["digest"],
            "sent_again": done["resent"],
            "refused": done["refused"],
            "fused": fused,
        },
        "flow": {
            "offered_per_s": round(len(night.time_s) / options.seconds, 1),
            "acknowledged_per_s": round(acked_in_flood / flood_s, 1),
            "acknowledged_per_server_cpu_s": round(acked_in_flood / server_s) if server_s else None,
            "acknowledged_per_main_thread_cpu_s": round(acked_in_flood / during["server main"]),
            "owed_at_the_end_of_the_flood": last["made"] - last["acked"],
            "all_acknowledged_after_s": round(done.get("done_s", 0.0) - options.seconds, 2),
            "ack_ms": {name: _ms(done[f"ack_{name}_s"]) for name in ("p50", "p99", "worst")},
            "nodes_late_s": round(done["late_s"], 3),
        },
        "alerts": {
            kind.value: _alerts(
                [(bang, late) for bang, late in zip(night.bangs, told, strict=True) if bang.kind is kind]
            )
            for kind in (ImpulseKind.GUNSHOT, ImpulseKind.FIREWORK)
        }
        | {"events": len(listener.events), "reloads": listener.reloads},
        "cores": {
            "seconds": round(flood_s, 1),
            **{part: round(value / flood_s, 3) for part, value in during.items()},
            "of_overall_s": {part: round(value, 1) for part, value in overall.items()},
        },
        "memory": {
            "server_with_nodes_mb": round(quiet_mb, 1),
            "server_peak_mb": round(peak_mb, 1),
            "database_mb": round((folder / "history.db").stat().st_size / 2**20, 1),
        },
        "page": page,
        "health": {
            "asked": len(watcher.healths),
            "answer_ms": _spread([1e3 * each for each in watcher.health_s]),
            "worst_status": _worst(watcher.healths),
            "behind": _behind(watcher.healths),
        },
        "start": {
            "first_s": round(server.start_s, 2),
            "ended_s": round(ended_s, 2),
            "again_s": round(start_again_s, 2),
        },
    }


def _profile(pid: int, path: Path, seconds: float) -> None:
    """Have py-spy look at the server while the flood lasts (PYSPY names it)."""
    command = [os.environ.get("PYSPY", "py-spy"), "record", "--pid", str(pid), "--duration", str(int(seconds))]
    subprocess.Popen([*command, "--format", "raw", "--rate", "200", "--output", str(path)])


def _used(server: Server, nodes: Nodes, watcher: Watcher) -> dict[str, float]:
    used = {f"server {part}": value for part, value in server.process.threads_s().items()}
    used["server main waited"] = server.process.waited_s()
    used["nodes"] = nodes.process.tree_s() if nodes.child.poll() is None else 0.0
    used["browser"] = 0.0 if watcher.cpu is None else watcher.cpu.tree_s()
    used["this script"] = time.process_time()
    return used


def _told_of(night: Night, nodes: int) -> dict[str, Any]:
    shots = [bang for bang in night.bangs if bang.kind is ImpulseKind.GUNSHOT]
    return {
        "nodes": nodes,
        "detections": len(night.time_s),
        "shots": len(shots),
        "fireworks": len(night.bangs) - len(shots),
        "from_shots_and_fireworks": night.from_bangs,
        "from_firecrackers": len(night.time_s) - night.from_bangs,
        "heard_by_mean": round(float(np.mean([bang.heard_by for bang in night.bangs])), 1) if night.bangs else None,
    }


def _alerts(told: Sequence[tuple[Bang, float | None]]) -> dict[str, Any]:
    there = [(bang, late_s) for bang, late_s in told if late_s is not None]
    return {
        "made": len(told),
        "told": len(there),
        "after_last_arrival_s": _spread([late_s for _, late_s in there]),
        "after_fourth_arrival_s": _spread([late_s + bang.last_heard_s - bang.fourth_heard_s for bang, late_s in there]),
    }


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(1e3 * seconds, 1)


def _checks(healths: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return [check for health in healths for check in health.get("checks", [])]


def _worst(healths: Sequence[dict[str, Any]]) -> dict[str, str]:
    """Return the worst that each check said, of those that were not always well."""
    order = ("ok", "unknown", "warn", "fail")
    worst: dict[str, str] = {}
    for check in _checks(healths):
        before = worst.get(check["name"], "ok")
        worst[check["name"]] = max(before, check["status"], key=lambda each: order.index(each) if each in order else 0)
    return {name: status for name, status in worst.items() if status != "ok"}


def _behind(healths: Sequence[dict[str, Any]]) -> list[str]:
    """Return what the check of the backlog said while it was not well."""
    return [each["message"] for each in _checks(healths) if each["name"] == "backlog" and each["status"] != "ok"]


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()


def report(found: dict[str, Any], head: dict[str, Any]) -> str:
    """Return the page."""
    night, kept, flow, cores, memory = (found[part] for part in ("night", "kept", "flow", "cores", "memory"))
    lines = [
        "# New Year's Eve",
        "",
        f"Commit {head['commit']}; {head['machine']}, shared by all processes here and whatever else ran.",
        f"Made by `{head['command']}`. See there what is measured.",
        "",
        (
            f"{night['nodes']} nodes, {flow['offered_per_s']:.0f} detections a second for {head['seconds']:g} s: "
            f"{night['shots']} shots and {night['fireworks']} fireworks, each heard by {night['heard_by_mean']} nodes "
            f"in the mean ({night['from_shots_and_fireworks']} detections), and {night['from_firecrackers']} "
            "firecrackers, each heard by one."
        ),
        "",
        "| | |",
        "|---|---:|",
        f"| detections made | {kept['made']} |",
        f"| stored | {kept['stored']} |",
        f"| lost | {kept['lost']} |",
        f"| the same bytes | {'yes' if kept['same_bytes'] else 'NO'} |",
        f"| sent again by nodes | {kept['sent_again']} |",
        f"| fused | {kept['fused']} |",
        f"| acknowledged a second, in the flood | {flow['acknowledged_per_s']:.0f} |",
        f"| for each CPU second of the server | {flow['acknowledged_per_server_cpu_s']} |",
        f"| for each CPU second of its main thread | {flow['acknowledged_per_main_thread_cpu_s']} |",
        f"| all acknowledged, after the flood's end | {flow['all_acknowledged_after_s']} s |",
        f"| from sound to acknowledgement, half / 99 % / worst | {_three(flow['ack_ms'])} ms |",
        f"| memory of the server with all nodes, before the flood | {memory['server_with_nodes_mb']:.0f} MB |",
        f"| memory of the server at its peak | {memory['server_peak_mb']:.0f} MB |",
        f"| start on an empty / on this database | {found['start']['first_s']} / {found['start']['again_s']} s |",
        "",
        "| alerts | made | told | after the arrival at | half | 95 % | 99 % | worst |",
        "|---|---:|---:|---|---:|---:|---:|---:|",
    ]
    for kind in ("gunshot", "firework"):
        row = found["alerts"][kind]
        for which in ("last", "fourth"):
            late = row[f"after_{which}_arrival_s"] or {}
            cells = " | ".join(f"{late[part]:.2f} s" if late else "" for part in ("p50", "p95", "p99", "worst"))
            lines.append(f"| {kind} | {row['made']} | {row['told']} | the {which} node | {cells} |")
    lines += ["", f"| cores used, of {os.cpu_count()} | |", "|---|---:|"]
    lines += [f"| {part} | {cores[part]:.2f} |" for part in cores if part not in ("seconds", "of_overall_s")]
    if (page := found["page"]) is not None:
        frame, key = page["frame_ms"], page["key_to_frame_ms"] or dict.fromkeys(("p50", "p95", "p99", "worst"), 0.0)
        lines += [
            "",
            "| page | half | 95 % | 99 % | worst |",
            "|---|---:|---:|---:|---:|",
            "| between frames, ms | " + " | ".join(f"{frame[part]:.0f}" for part in frame) + " |",
            "| from a key to its frame, ms | " + " | ".join(f"{key[part]:.0f}" for part in key) + " |",
        ]
    return "\n".join(lines) + "\n"


def _three(spread: dict[str, float | None]) -> str:
    return " / ".join("" if value is None else f"{value:.0f}" for value in spread.values())


def main() -> int:
    """Run it and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", type=int, default=2_000)
    parser.add_argument("--per-s", type=float, default=10_000.0)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--fireworks-per-s", type=float, default=10.0)
    parser.add_argument("--shots-per-s", type=float, default=0.5)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--no-browser", action="store_true")
    parser.add_argument("--folder", type=Path, help="where database and keys go, and stay; a temporary one if left out")
    parser.add_argument("--profile", type=Path, help="write stacks of the server, by py-spy, to this file")
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=12"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.strip()
    head: dict[str, Any] = {
        "command": " ".join(["python", "benchmarks/new_year.py", *sys.argv[1:]]),
        "commit": commit,
        "machine": f"{_cpu()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "seconds": options.seconds,
        "seed": options.seed,
    }
    if options.folder is not None:
        options.folder.mkdir(parents=True, exist_ok=True)
        found = run(options.folder, options)
    else:
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
            found = run(Path(name), options)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.with_suffix(".json").write_text(json.dumps({**head, **found}, indent=2) + "\n")
    options.out.with_suffix(".md").write_text(report(found, head))
    print(report(found, head))
    kept = found["kept"]
    return 0 if kept["lost"] == 0 and kept["same_bytes"] else 1


if __name__ == "__main__":
    sys.exit(main())
