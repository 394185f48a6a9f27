"""What a server does with 2,000 CURVE nodes: CPU and memory a node, messages a second, and how it comes back.

    python benchmarks/receiver_swarm.py [--nodes 2000] [--quick] [--out benchmarks/results/receiver_swarm]

A real ``shotline server run`` (CURVE, an allow-list of all nodes, a site for each, fusion as always) in one process,
the swarm of ``shotline node swarm`` in another, over loopback. One run goes through everything in turn:

- all nodes connect to a server that is there: how long, and what it costs the server in CPU and memory;
- ``heartbeats``: nothing is heard; then ``100 an hour``: what a city of that size has to say;
- the server is killed (SIGKILL) while 1,000 detections an hour and node come, and started again at once; then once
  more, and started after an outage: how long after it answers again all nodes are connected, and all is stored;
- ``flat out``: so many detections of the whole swarm are on their way at all times; how many a second are acknowledged,
  each after its commit.

At the end the rows in its SQLite file are counted. The two processes share the cores: how much of them the swarm took
is given beside. Writes OUT.json and OUT.md.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import queue
import select
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path

from sensor_node.swarm import Swarm
from sensor_node.swarmfiles import load_or_make_pair, member_name, write_server_config, write_swarm_allow_list
from sensor_node.swarmplan import SwarmLoad, SwarmPlan, grid_m

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "receiver_swarm"
SHOTLINE = [sys.executable, "-c", "from shotline.cli import main; main()"]
SPACING_M = 250.0
PER_HOUR = 100.0
RESTART_PER_HOUR = 1_000.0
IN_FLIGHT = (64, 256, 1024)
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
PATIENCE_S = 90.0
ACK_MS = ("ack_p50_ms", "ack_p99_ms", "ack_worst_ms")


def drive(endpoint: str, keys: Path, nodes: int) -> None:
    """Be the swarm: do what standard input says, and say how it goes ten times a second."""
    pairs = [(name, load_or_make_pair(name, keys)) for name in map(member_name, range(nodes))]
    server_public = load_or_make_pair("server", keys).public
    sites_m = grid_m(nodes, SPACING_M)
    with Swarm(endpoint, pairs, server_public, monotonic_s=time.monotonic, now_ns=time.time_ns) as swarm:
        told_s = 0.0
        in_flight = since_acked = loads = 0
        start_s, start_ns, coming, behind_s = 0.0, 0, iter(()), 0.0
        item = None
        while True:
            if select.select([sys.stdin], [], [], 0)[0]:
                word, *numbers = sys.stdin.readline().split() or ["end"]
                if word == "end":
                    return
                if word == "load":
                    per_hour, in_flight = float(numbers[0]), int(numbers[1])
                    loads += 1
                    plan = SwarmPlan(sites_m, SwarmLoad(per_hour), seconds=1e9, seed=loads)
                    start_s, start_ns, coming, behind_s = time.monotonic(), time.time_ns(), plan.heard(), 0.0
                    item, since_acked = next(coming, None), swarm.acked
                if word == "report":
                    status = swarm.status(since_acked=since_acked)
                    print(json.dumps({"report": True, "behind_s": behind_s, **as_fields(status)}), flush=True)
            now_s = time.monotonic() - start_s
            for _ in range(200):
                if item is None or item.time_s > now_s:
                    break
                behind_s = max(behind_s, now_s - item.time_s)
                swarm.hear(item, start_ns=start_ns)
                item = next(coming, None)
            if in_flight:
                swarm.keep_in_flight(in_flight)
            if time.monotonic() - told_s >= 0.1:
                told_s = time.monotonic()
                line = {"at_s": told_s, "connected": swarm.connected, "acked": swarm.acked, "owed": swarm.owed}
                print(json.dumps(line), flush=True)
            swarm.step(0.05 if item is None else max(0.0, min(0.05, item.time_s - now_s)))


def as_fields(status: object) -> dict[str, object]:
    """Return the fields of a slotted dataclass."""
    return {name: getattr(status, name) for name in status.__dataclass_fields__}  # type: ignore[attr-defined]


class Process:
    """What the kernel says of a process."""

    def __init__(self, pid: int) -> None:
        self._folder = Path(f"/proc/{pid}")

    def cpu_s(self) -> dict[str, float]:
        """Return CPU seconds since its start: of all threads, and of those that are libzmq's."""
        total = io = 0.0
        for task in (self._folder / "task").iterdir():
            name, _, rest = (task / "stat").read_text().partition("(")[2].rpartition(")")
            used_s = sum(map(int, rest.split()[11:13])) / TICKS_PER_S
            total += used_s
            io += used_s if name.startswith("ZMQ") else 0.0
        return {"all": total, "libzmq": io}

    def waited_s(self) -> float:
        """Return how long its main thread could have run, but for others on the cores."""
        waited_ns = (self._folder / "schedstat").read_text().split()[1]
        return int(waited_ns) / 1e9

    def rss_bytes(self) -> int:
        """Return its resident memory."""
        line = next(line for line in (self._folder / "status").read_text().splitlines() if line.startswith("VmRSS"))
        return int(line.split()[1]) * 1024

    def files(self) -> int:
        """Return how many files it has open."""
        return len(list((self._folder / "fd").iterdir()))


class Bench:
    """The two processes, and what is asked of them."""

    def __init__(self, folder: Path, nodes: int) -> None:
        self.folder = folder
        self.nodes = nodes
        with closing(socket.socket()) as free:
            free.bind(("127.0.0.1", 0))
            self.endpoint = f"tcp://127.0.0.1:{free.getsockname()[1]}"
        keys = folder / "keys"
        pairs = [(name, load_or_make_pair(name, keys)) for name in map(member_name, range(nodes))]
        load_or_make_pair("server", keys)
        allow_list = folder / "nodes.keys.toml"
        write_swarm_allow_list(allow_list, pairs, now_ns=time.time_ns())
        write_server_config(
            folder / "server.toml",
            bind=self.endpoint,
            secret_file=keys / "server.key_secret",
            allow_list=allow_list,
            sites_m=grid_m(nodes, SPACING_M),
        )
        self.server: subprocess.Popen[str] | None = None
        self.swarm: subprocess.Popen[str] | None = None
        self.said: queue.Queue[str] = queue.Queue()

    def start_server(self) -> float:
        """Start it; return the monotonic instant at which it listened."""
        command = [*SHOTLINE, "server", "run", "--config", str(self.folder / "server.toml"), "--ready-json"]
        log = (self.folder / "server.log").open("a")
        self.server = subprocess.Popen([*command, "--for", "600"], stdout=subprocess.PIPE, stderr=log, text=True)
        assert self.server.stdout is not None
        if not self.server.stdout.readline():
            sys.exit((self.folder / "server.log").read_text()[-2000:])
        return time.monotonic()

    def kill_server(self) -> float:
        """Kill it; return the monotonic instant."""
        assert self.server is not None
        self.server.kill()
        self.server.wait()
        return time.monotonic()

    def start_swarm(self) -> None:
        """Start it; it connects at once."""
        command = [sys.executable, __file__, "--nodes", str(self.nodes), "--drive", self.endpoint]
        self.swarm = subprocess.Popen(
            [*command, str(self.folder / "keys")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        threading.Thread(target=self._listen, args=(self.swarm.stdout,), daemon=True).start()

    def _listen(self, lines: Iterable[str]) -> None:
        """Take what the swarm says at once, so that it never waits for us."""
        for line in lines:
            self.said.put(line)
        self.said.put("")

    def tell(self, line: str) -> None:
        """Tell the swarm what to do."""
        assert self.swarm is not None
        assert self.swarm.stdin is not None
        self.swarm.stdin.write(line + "\n")
        self.swarm.stdin.flush()

    def read(self) -> dict[str, float]:
        """Return the next thing that the swarm says."""
        line = self.said.get(timeout=PATIENCE_S)
        if not line:
            sys.exit("the swarm ended")
        return json.loads(line)

    def wait(self, what: str, until: Callable[[dict[str, float]], bool]) -> float:
        """Read until something holds; return the monotonic instant at which it was said to."""
        end_s = time.monotonic() + PATIENCE_S
        while time.monotonic() < end_s:
            said = self.read()
            if "at_s" in said and until(said):
                return said["at_s"]
        sys.exit(f"waited {PATIENCE_S:g} s in vain until {what}")

    def all_connected(self, since_s: float = 0.0) -> float:
        """Wait until every node is connected, at an instant or after it."""
        return self.wait("all are connected", lambda said: said["at_s"] >= since_s and said["connected"] == self.nodes)

    def nothing_owed(self) -> float:
        """Wait until everything is acknowledged."""
        return self.wait("everything is acknowledged", lambda said: said["owed"] == 0)

    def report(self) -> dict[str, float]:
        """Ask the swarm for everything."""
        self.tell("report")
        while True:
            said = self.read()
            if said.pop("report", None):
                return said

    def measure(self, per_hour: float, in_flight: int, seconds: float) -> dict[str, float]:
        """Return what happened within so many seconds of a load."""
        assert self.server is not None
        assert self.swarm is not None
        server, swarm = Process(self.server.pid), Process(self.swarm.pid)
        before = self.report()
        self.tell(f"load {per_hour} {in_flight}")
        begun_s, server_s, swarm_s, waited_s = time.monotonic(), server.cpu_s(), swarm.cpu_s(), server.waited_s()
        self.wait("time is over", lambda said: said["at_s"] >= begun_s + seconds)
        wall_s = time.monotonic() - begun_s
        now_s = server.cpu_s()
        after = self.report()
        cores = {part: (now_s[part] - server_s[part]) / wall_s for part in now_s}
        acked_per_s = (after["acked"] - before["acked"]) / wall_s
        return {
            "seconds": round(wall_s, 1),
            "detections_acknowledged_per_s": round(acked_per_s, 1),
            "heartbeats_taken_per_s": round((after["heartbeats_sent"] - before["heartbeats_sent"]) / wall_s, 1),
            "heartbeats_sent_per_s": round((after["heartbeats_received"] - before["heartbeats_received"]) / wall_s, 1),
            "server_cores": round(cores["all"], 3),
            "of_which_libzmq": round(cores["libzmq"], 3),
            "server_waited_for_a_core": round((server.waited_s() - waited_s) / wall_s, 3),
            "detections_acknowledged_per_server_cpu_s": round(acked_per_s / cores["all"]) if acked_per_s else 0,
            "server_cpu_us_per_node_and_s": round(1e6 * cores["all"] / self.nodes, 1),
            "swarm_cores": round((swarm.cpu_s()["all"] - swarm_s["all"]) / wall_s, 3),
            "ack_p50_ms": _ms(after["ack_p50_s"]),
            "ack_p99_ms": _ms(after["ack_p99_s"]),
            "ack_worst_ms": _ms(after["ack_worst_s"]),
            "sent_again": after["resent"] - before["resent"],
            "rejects": after["rejects"] - before["rejects"],
            "swarm_late_s": round(after["behind_s"], 3),
        }

    def stored(self) -> int:
        """Return how many detections are in the server's database. Their identity is its primary key."""
        with closing(sqlite3.connect(f"file:{self.folder / 'history.db'}?mode=ro", uri=True)) as db:
            return db.execute("SELECT COUNT(*) FROM detections").fetchone()[0]


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(1e3 * seconds, 1)


def connect(bench: Bench) -> dict[str, float]:
    """Measure all nodes coming to a server that is there."""
    assert bench.server is not None
    server = Process(bench.server.pid)
    time.sleep(3.0)
    rss_bytes, used_s = server.rss_bytes(), server.cpu_s()
    bench.start_swarm()
    first_s = bench.read()["at_s"]
    connected_s = bench.all_connected() - first_s
    used_s = {part: value - used_s[part] for part, value in server.cpu_s().items()}
    bench.wait("it is quiet", lambda said: said["at_s"] >= first_s + connected_s + 10.0)
    return {
        "all_connected_after_s": round(connected_s, 2),
        "server_cpu_us_per_connection": round(1e6 * used_s["all"] / bench.nodes, 1),
        "of_which_libzmq_us": round(1e6 * used_s["libzmq"] / bench.nodes, 1),
        "server_rss_without_nodes_mb": round(rss_bytes / 1e6, 1),
        "server_rss_kb_per_node": round((server.rss_bytes() - rss_bytes) / 1e3 / bench.nodes, 1),
        "server_open_files": server.files(),
    }


def restart(bench: Bench, outage_s: float) -> dict[str, float]:
    """Kill the server under load, and measure how everything comes back."""
    before = bench.report()
    bench.tell(f"load {RESTART_PER_HOUR} 0")
    begun_s = time.monotonic()
    bench.wait("it runs", lambda said: said["at_s"] >= begun_s + 5.0)
    killed_s = bench.kill_server()
    if outage_s:
        bench.wait("the outage is over", lambda said: said["at_s"] >= killed_s + outage_s)
    listening_s = bench.start_server()
    connected_s = bench.all_connected(listening_s)
    owed = bench.report()["owed"]
    bench.tell("load 0 0")
    quiet_s = bench.nothing_owed()
    said = bench.report()
    return {
        "server_away_s": round(listening_s - killed_s, 1),
        "all_connected_after_s": round(connected_s - listening_s, 2),
        "everything_stored_after_s": round(quiet_s - listening_s, 2),
        "owed_when_connected": owed,
        "sent_again": said["resent"] - before["resent"],
        "made": said["made"],
        "stored": bench.stored(),
    }


def run(nodes: int, *, quick: bool) -> dict[str, object]:
    """Go through everything."""
    scale = 0.25 if quick else 1.0
    with tempfile.TemporaryDirectory() as name:
        bench = Bench(Path(name), nodes)
        try:
            bench.start_server()
            found: dict[str, object] = {"connect": connect(bench)}
            print(json.dumps(found), file=sys.stderr, flush=True)
            found["loads"] = loads = {}

            def load(title: str, per_hour: float, in_flight: int, seconds: float) -> None:
                loads[title] = bench.measure(per_hour, in_flight, seconds * scale)
                bench.tell("load 0 0")
                bench.nothing_owed()
                print(json.dumps({title: loads[title]}), file=sys.stderr, flush=True)

            load("heartbeats", 0.0, 0, 20.0)
            load(f"{PER_HOUR:g} an hour", PER_HOUR, 0, 40.0)
            found["restarts"] = restarts = []
            for outage_s in (0.0, 30.0 * scale):
                restarts.append(restart(bench, outage_s))
                print(json.dumps(restarts[-1]), file=sys.stderr, flush=True)
            for count in IN_FLIGHT:
                load(f"flat out, {count} on their way", 0.0, count, 15.0)
            last = bench.report()
            found["kept"] = {
                "made": last["made"],
                "stored": bench.stored(),
                "duplicates": bench.stored() - last["made"],
                "rejects": last["rejects"],
            }
            bench.tell("end")
        finally:
            for process in (bench.swarm, bench.server):
                if process is not None:
                    process.terminate()
                    process.wait(30)
    return found


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()


def report(found: dict, head: dict[str, object]) -> str:
    """Return the page."""
    first = found["connect"]
    columns = ["load", "detections acknowledged /s", "per CPU second of the server", "heartbeats in / out /s"]
    columns += ["server, cores", "of it libzmq", "waited for a core", "µs per node and s", "swarm, cores", "ack, half"]
    columns += ["99 %", "worst", "sent again"]
    lines = [
        f"# A server with {head['nodes']} CURVE nodes",
        "",
        f"Commit {head['commit']}; {head['machine']}, shared with the swarm and with whatever else ran:",
        '"waited for a core" is the share of the time in which the server\'s main thread could have run, but did not.',
        f"Made by `{head['command']}`. See there what is measured.",
        "",
        (
            f"All connected {first['all_connected_after_s']:.1f} s after the first began. A connection costs the "
            f"server {first['server_cpu_us_per_connection']:.0f} µs of CPU, {first['of_which_libzmq_us']:.0f} of them "
            f"in libzmq, and {first['server_rss_kb_per_node']:.0f} kB of memory on top of the "
            f"{first['server_rss_without_nodes_mb']:.0f} MB that it has without nodes."
        ),
        "",
        f"| {' | '.join(columns)} |",
        f"|---|{'---:|' * (len(columns) - 1)}",
    ]
    for title, row in found["loads"].items():
        cells = [title, f"{row['detections_acknowledged_per_s']:.0f}"]
        per_cpu_s = row["detections_acknowledged_per_server_cpu_s"]
        cells.append(f"{per_cpu_s:.0f}" if "flat out" in title else "")
        cells.append(f"{row['heartbeats_taken_per_s']:.0f} / {row['heartbeats_sent_per_s']:.0f}")
        cells += [f"{row[key]:.2f}" for key in ("server_cores", "of_which_libzmq", "server_waited_for_a_core")]
        cells += [f"{row['server_cpu_us_per_node_and_s']:.0f}", f"{row['swarm_cores']:.2f}"]
        cells += ["" if row[key] is None else f"{row[key]:.0f} ms" for key in ACK_MS]
        lines.append(f"| {' | '.join([*cells, str(row['sent_again'])])} |")
    lines += [
        "",
        "| killed, answers again after | all connected after that | owed then | stored after | sent again |",
        "|---:|---:|---:|---:|---:|",
    ]
    for row in found["restarts"]:
        cells = [
            f"{row['server_away_s']:.1f} s",
            f"{row['all_connected_after_s']:.1f} s",
            f"{row['owed_when_connected']}",
        ]
        cells += [f"{row['everything_stored_after_s']:.1f} s", f"{row['sent_again']}"]
        lines.append(f"| {' | '.join(cells)} |")
    kept = found["kept"]
    lines += ["", f"Detections made {kept['made']}, stored {kept['stored']}, duplicates {kept['duplicates']}."]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Run it and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", type=int, default=2_000)
    parser.add_argument("--quick", action="store_true", help="a quarter of the time for each load")
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--drive", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.drive:
        drive(options.drive[0], Path(options.drive[1]), options.nodes)
        return
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=12"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.strip()
    head: dict[str, object] = {
        "command": " ".join(["python", "benchmarks/receiver_swarm.py", *sys.argv[1:]]),
        "commit": commit,
        "machine": f"{_cpu()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "nodes": options.nodes,
    }
    found = run(options.nodes, quick=options.quick)
    options.out.with_suffix(".json").write_text(json.dumps({**head, **found}, indent=2) + "\n")
    options.out.with_suffix(".md").write_text(report(found, head))
    print(report(found, head))


if __name__ == "__main__":
    main()
