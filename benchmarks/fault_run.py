"""Real processes, killed and cut off while they are at work: is everything that was made stored, exactly once?

    python benchmarks/fault_run.py [--minutes 10] [--seed 1] [--out benchmarks/results/fault_run]

One server (`shotline server run`, CURVE, allow-list) and nodes of two kinds, half and half. *File nodes* are
`shotline node run` on sound files in real time: one that is killed plays its file again and catches up, so what must be
stored is what `shotline node replay` makes of the file, byte for byte. *Live nodes* (`fault_node.py`) are a real spool
and publisher with a new boot at each start: what they do not keep nobody makes again, so what must be stored is what
they said they keep. All go through a proxy in this process.

All faults follow from the seed. SIGKILL of the server ten times, of each node twice; who is killed stays down for 0.5
to 5 s, a node to 3 s. Everybody is cut off for 60 s, half of it in silence (connections stay and swallow what is sent),
half refused. The server never sends 5 % of its acknowledgements (`fault_server.py`). A tmpfs is filled to the last byte
under the spool of one live node, later one under the server's database; their WAL is made empty before, so that the
next write needs room. Where no tmpfs can be mounted (in a user namespace of our own) this is left out, and said.

Recovery of a fault: from its end (the server listens again, the node's process is started again, the wire is whole,
there is room) until everything is stored that was made before its end by those whom it concerns. For a file node "made"
is when the sound was heard. Stored is when the server received the copy that it committed. Writes OUT.json and OUT.md;
exit code 1 when anything is lost, twice there, changed or not accounted for.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from fault_bench import Options, Run
from fault_proxy import Proxy

from shotline_replay.processes import Children
from shotline_replay.report import describe_software

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "fault_run"
_INSIDE = "SHOTLINE_FAULT_RUN_INSIDE"


def _row(faults: Sequence[dict[str, Any]]) -> str:
    lasted_s = statistics.mean(fault["lasted_s"] for fault in faults)
    longest = _longest(fault["recovery_s"] for fault in faults)
    alone = [fault["recovery_s"] for fault in faults if not fault["met"]]
    median_s = statistics.median(math.inf if fault["recovery_s"] is None else fault["recovery_s"] for fault in faults)
    cells = (len(faults), f"{lasted_s:.1f} s", f"{median_s:.1f} s", longest, f"{_longest(alone)} ({len(alone)})")
    return " | ".join(map(str, cells))


def _longest(took_s: Iterable[float | None]) -> str:
    seen = list(took_s)
    if None in seen:
        return "never"
    return f"{max(seen):.1f} s" if seen else "none"  # type: ignore[type-var]


def report(document: dict[str, Any]) -> str:
    """Return the results for people."""
    options, found, copies = document["options"], document["detections"], document["copies"]
    kinds = "\n".join(f"| {kind} | {_row(rows)} |" for kind, rows in document["by_kind"].items())
    disks = "" if options["disks"] else "\nNo tmpfs could be mounted, so no disk was filled.\n"
    return f"""# Killed, cut off, out of room: what is lost

Commit {document["commit"]}; {document["machine"]}, Python {document["python"]}. Made by `{document["command"]}`,
which says how and what is counted.
{disks}
{options["nodes"]} nodes (half on sound files, half live) and a server, {options["minutes"]:g} minutes of bursts, \
{100 * options["ack_loss"]:g} % of acknowledgements lost.

| | |
|---|---:|
| detections made (from files, live) | {found["made"]} ({found["made_by_files"]}, {found["made_live"]}) |
| detections stored | {found["stored"]} |
| lost, changed, not accounted for | {found["lost"]}, {found["changed"]}, {found["unexpected"]} |
| duplicates | {found["duplicates"]} |
| in a spool when its node was killed before it could say so, stored all the same | {found["kept_but_not_said"]} |
| stored, too late for fusion (more than 10 s) | {found["stored_too_late_for_fusion"]} |
| delay from making to storing: median, 99 %, longest | {document["delay_s"].get("median")} s, \
{document["delay_s"].get("p99")} s, {document["delay_s"].get("longest")} s |
| acknowledgements lost, of | {document["acks"]["lost"]} of {document["acks"]["sent"]} |
| copies of what the server had already; of these, files played again after a kill | {copies["received_again"]}, \
{copies["from_files_played_again"]} |
| not committed at first for want of room | {document["not_committed_for_want_of_room"]} |
| made while its spool had no room, kept in memory | {document["kept_in_memory_for_want_of_room"]} |
| most that waited in one spool | {max(document["most_waiting_on_disk"].values())} |

Recovery: from the end of a fault until all that was made before its end was stored. "Alone": of those (how many) that
met no other fault meanwhile.

| fault | times | lasted, mean | recovery, median | longest | longest alone |
|---|---:|---:|---:|---:|---:|
{kinds}
"""


def measure(options: Options, *, disks: bool) -> dict[str, Any]:
    """Run it all in a folder of its own."""
    folder = Path(tempfile.mkdtemp(prefix="fault-run-"))
    try:
        with Children(folder) as children, Proxy() as proxy:
            run = Run(options, folder, children, proxy, disks=disks)
            try:
                run.prepare()
                run.start()
                run.run()
                run.end()
                return run.figures()
            finally:
                children.end()
                run.close()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def enter_namespace(arguments: Sequence[str]) -> bool:
    """Go on in a mount namespace of our own, where disks can be made; False where that is not allowed."""
    if os.environ.get(_INSIDE):
        return True
    own = ["unshare", "--user", "--map-root-user", "--mount"]
    if shutil.which("unshare") is None:
        return False
    tried = subprocess.run([*own, "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True, check=False)
    if tried.returncode:
        return False
    return os.execvpe(own[0], [*own, sys.executable, __file__, *arguments], {**os.environ, _INSIDE: "1"})


def main() -> None:
    """Run, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--nodes", type=int, default=8)
    parser.add_argument("--server-kills", type=int, default=10)
    parser.add_argument("--node-kills", type=int, default=2, help="of each node")
    parser.add_argument("--cut-s", type=float, default=60.0)
    parser.add_argument("--disk-s", type=float, default=20.0, help="how long each disk is full")
    parser.add_argument("--ack-loss", type=float, default=0.05)
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = vars(parser.parse_args())
    out: Path = given.pop("out")
    options = Options(**given)
    disks = enter_namespace(sys.argv[1:])
    figures = measure(options, disks=disks)
    software = describe_software()
    by_kind: dict[str, list[dict[str, Any]]] = {}
    for fault in figures["faults"]:
        by_kind.setdefault(fault["kind"], []).append(fault)
    document = {
        "command": " ".join(["python", "benchmarks/fault_run.py", *sys.argv[1:]]),
        "commit": f"{(software.git_commit or 'unknown')[:12]}{' with changes' if software.git_dirty else ''}",
        "machine": f"{platform.machine()}, {platform.system()}, {os.cpu_count()} cores",
        "python": software.python,
        "options": {**given, "disks": disks},
        **figures,
    }
    out.with_suffix(".json").write_text(json.dumps(document, indent=2) + "\n")
    out.with_suffix(".md").write_text(report({**document, "by_kind": by_kind}))
    print(report({**document, "by_kind": by_kind}))
    sys.exit(0 if figures["ok"] else 1)


if __name__ == "__main__":
    main()
