"""Evidence of every incident of the Pittsburgh set: exported, located again in a clean process, tampered with.

    python benchmarks/evidence.py [--dataset ../shared/data/pittsburgh] [--jobs 2] [--flips 2000] [--other PYTHON]

1. The set is replayed from its pulses (`shotline replay --from pulses`), and each incident exported, twice: same bytes?
2. A second process locates every revision again from the bundles alone: isolated (`python -I`), an empty environment,
   an empty working folder; it refuses sockets and lists the files that it opens besides bundles and code. Its records
   are compared byte for byte with the lines that the replay wrote.
3. The same once more with machine code and numpy for the oldest processor of the kind: what another machine may do.
4. And by another installation, of which ``--other`` is the Python: its own clone, its own packages.
5. Bundles are tampered with: a bit of every kind of file, files dropped, added and exchanged, single bits anywhere.

Writes ``benchmarks/results/evidence.json`` and ``evidence.md``.
"""

from __future__ import annotations

import argparse
import io
import json
import math
import os
import platform
import subprocess
import sys
import tempfile
import time
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from fusion_server.evidence.amend import amend
from fusion_server.evidence.bundle import Bundle, verify
from fusion_server.evidence.case import Case
from fusion_server.evidence.container import MANIFEST, SIGNATURE, pack, unpack
from fusion_server.evidence.contents import case_files, case_head
from fusion_server.evidence.replayed import ReplayFolder
from fusion_server.evidence.signing import SigningKey
from fusion_server.evidence.software import describe_software
from shotline.errors import InputError
from shotline_replay.replay import Source
from shotline_replay.run import Request, replay_to_folder

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "evidence"
SIGNED_NS = 1_780_000_000_000_000_000
OLDEST = {
    "NUMBA_CPU_NAME": "generic",
    "NUMBA_CPU_FEATURES": "",
    "NPY_DISABLE_CPU_FEATURES": "X86_V3 X86_V4 AVX512_ICL AVX512_SPR",
}
AGAIN = """
import json, os, sys
code, folder, out = json.loads(sys.argv[1]), sys.argv[2], sys.argv[3]
sys.path[:0] = code
opened = set()
known = tuple(os.path.realpath(item) for item in (*code, sys.prefix, sys.base_prefix, folder, os.path.dirname(out)))
def watch(event, args):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.bind"):
        raise RuntimeError("asked the network: " + event)
    if event == "open" and isinstance(args[0], str):
        path = os.path.realpath(args[0])
        if not path.startswith(known):
            opened.add(path)
sys.addaudithook(watch)
from pathlib import Path
from fusion_server.evidence.bundle import open_bundle, verify
from fusion_server.evidence.relocate import record_bytes
lines, apart = [], []
for path in sorted(Path(folder).glob("*.zip")):
    bundle, data = open_bundle(path)
    assert verify(bundle, data) == [], path
    for again in bundle.relocate():
        lines.append(b"" if again.record is None else record_bytes(again.record))
        apart.append(again.apart_m)
Path(out).write_bytes(b"\\n".join(lines) + b"\\n")
import fusion_server
code = os.path.dirname(os.path.dirname(os.path.realpath(fusion_server.__file__)))
print(json.dumps({"opened": sorted(path for path in opened if not path.startswith(code)), "apart_m": apart}))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", type=Path, default=ROOT.parent / "shared" / "data" / "pittsburgh")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--flips", type=int, default=2000, help="single bits that are changed, in bundles by turns")
    parser.add_argument("--other", type=Path, help="the Python of another installation of Shotline")
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    started_s = time.perf_counter()
    with tempfile.TemporaryDirectory() as name:
        result = measure(Path(name), given.dataset, jobs=given.jobs, flips=given.flips, other=given.other)
    result["wall_s"] = round(time.perf_counter() - started_s, 1)
    given.out.with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    text = markdown(result)
    given.out.with_suffix(".md").write_text(text, encoding="utf-8")
    print(text)


def measure(folder: Path, dataset: Path, *, jobs: int, flips: int, other: Path | None) -> dict[str, Any]:
    replay_to_folder(Request(dataset=dataset, out=folder / "replay", source=Source.PULSES, jobs=jobs))
    key, software = SigningKey.new(folder / "key"), describe_software()
    replayed = ReplayFolder(folder / "replay", dataset)
    bundles = folder / "bundles"
    bundles.mkdir()
    cases = [replayed.case(*item) for item in replayed.incidents]
    export_s, sizes, same_bytes = [], [], 0
    wanted: list[bytes] = []
    by_incident = lines_by_incident(folder / "replay" / "revisions.jsonl")
    for number, (case, item) in enumerate(zip(cases, replayed.incidents, strict=True)):
        begun_s = time.perf_counter()
        data = bundle_of(case, software, key)
        export_s.append(time.perf_counter() - begun_s)
        same_bytes += bundle_of(case, software, key) == data
        sizes.append(len(data))
        (bundles / f"{number:04d}.zip").write_bytes(data)
        wanted += by_incident[item]
    return {
        "benchmark": "evidence",
        "software": software,
        "board": {"machine": platform.machine(), "system": platform.system(), "cores": os.cpu_count()},
        "incidents": len(cases),
        "revisions": len(wanted),
        "shots": sum(len(record.shots) for case in cases for record in case.revisions),
        "exported_twice_same_bytes": same_bytes,
        "bundle_bytes": {"median": int(np.median(sizes)), "most": max(sizes)},
        "export_s": {"median": round(float(np.median(export_s)), 3), "most": round(max(export_s), 3)},
        "again": relocated(bundles, folder / "again.jsonl", wanted),
        "again_oldest_processor": relocated(bundles, folder / "oldest.jsonl", wanted, environment=OLDEST),
        "again_other_installation": other and relocated(bundles, folder / "other.jsonl", wanted, python=other),
        "tampering": tampering(cases, software, key, flips=flips),
    }


def bundle_of(case: Case, software: dict[str, object], key: SigningKey) -> bytes:
    return pack(case_files(case, software), case_head(case), key=key, time_ns=SIGNED_NS)


def lines_by_incident(path: Path) -> dict[tuple[str, str], list[bytes]]:
    """Return the lines of each incident as the replay wrote them."""
    found: dict[tuple[str, str], list[bytes]] = {}
    for line in path.read_bytes().splitlines():
        record = json.loads(line)
        found.setdefault((record.get("scene", ""), record["id"]), []).append(line)
    return found


def relocated(
    bundles: Path,
    out: Path,
    wanted: list[bytes],
    *,
    environment: dict[str, str] | None = None,
    python: Path | None = None,
) -> dict[str, Any]:
    """Locate all again in a clean process, of another installation if so; say how many lines are the same bytes."""
    code = [] if python else [str(ROOT), *(str(ROOT / name) for name in ("models", "recordings"))]
    begun_s = time.perf_counter()
    with tempfile.TemporaryDirectory() as empty:
        done = subprocess.run(
            [str(python or sys.executable), "-I", "-c", AGAIN, json.dumps(code), str(bundles), str(out)],
            capture_output=True,
            text=True,
            check=False,
            cwd=empty,
            env={"OMP_NUM_THREADS": "1", **(environment or {})},
        )
    if done.returncode != 0:
        raise SystemExit(done.stderr)
    said = json.loads(done.stdout)
    seen = out.read_bytes().splitlines()
    differ = [index for index, (line, want) in enumerate(zip(seen, wanted, strict=True)) if line != want]
    covariances = [rel for index in differ if (rel := covariance_apart(seen[index], wanted[index])) is not None]
    return {
        "identical": len(wanted) - len(differ),
        "of": len(wanted),
        "most_apart_m": max((math.inf if item is None else item for item in said["apart_m"]), default=0.0),
        "most_apart_covariance_relative": max(covariances, default=0.0),
        "other_files_opened": said["opened"],
        "wall_s": round(time.perf_counter() - begun_s, 1),
    }


def covariance_apart(line: bytes, wanted: bytes) -> float | None:
    """Return the largest relative difference of the covariances of two records; None where one was not made."""
    if not line:
        return None
    pairs = zip(json.loads(line)["shots"], json.loads(wanted)["shots"], strict=True)
    numbers = [(np.array(one["covariance_m2"]), np.array(other["covariance_m2"])) for one, other in pairs]
    return max(float(np.abs(one - other).max() / np.abs(other).max()) for one, other in numbers)


def tampering(cases: list[Case], software: dict[str, object], key: SigningKey, *, flips: int) -> dict[str, Any]:
    """Tamper with bundles of a few incidents, one of them amended; return what was tried and what was found."""
    rng = np.random.default_rng(7)
    chosen = [bundle_of(case, software, key) for case in cases[:: max(1, len(cases) // 6)]]
    first = Bundle(unpack(chosen[0]))
    node = next(item.node for item in first.revisions[-1].shots[0].arrivals if item.used)
    chosen.append(amend(first, {node: 0.004}, shot=1, by="a", why="b", key=key, time_ns=SIGNED_NS)[0])
    tried: Counter[str] = Counter()
    found: Counter[str] = Counter()
    named = 0
    for data in chosen:
        files = all_files(data)
        for name, content in files.items():
            changed = bytearray(content)
            changed[int(rng.integers(len(changed)))] ^= 1 << int(rng.integers(8))
            said = problems(rezipped({**files, name: bytes(changed)}))
            tried["a bit of a file, packed anew"] += 1
            found["a bit of a file, packed anew"] += bool(said)
            named += bool(said) and name in said[0]
            without = {other: kept for other, kept in files.items() if other != name}
            count(tried, found, "a file dropped", rezipped(without))
        count(tried, found, "a file added", rezipped({**files, "more.txt": b"more"}))
        swapped = {**files, "nodes.json": files["weather.json"], "weather.json": files["nodes.json"]}
        count(tried, found, "two files exchanged", rezipped(swapped))
        count(tried, found, "the end cut off", data[:-1])
        count(tried, found, "a byte added", data + b"\0")
    for number in range(flips):
        data = bytearray(chosen[number % len(chosen)])
        data[int(rng.integers(len(data)))] ^= 1 << int(rng.integers(8))
        count(tried, found, "a bit anywhere", bytes(data))
    return {
        "bundles": len(chosen),
        "by_kind": {kind: {"tried": tried[kind], "found": found[kind]} for kind in tried},
        "file_named": named,
        "false_alarms": sum(bool(problems(data)) for data in chosen),
    }


def count(tried: Counter[str], found: Counter[str], kind: str, data: bytes) -> None:
    tried[kind] += 1
    found[kind] += bool(problems(data))


def problems(data: bytes) -> list[str]:
    try:
        return verify(Bundle(unpack(data)), data)
    except InputError as error:
        return [str(error)]


def all_files(data: bytes) -> dict[str, bytes]:
    container = unpack(data)
    return {**container.files, MANIFEST: container.manifest_bytes, SIGNATURE: container.signature_bytes}


def rezipped(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in sorted(files.items()):
            archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), content)
    return out.getvalue()


def markdown(result: dict[str, Any]) -> str:
    software = result["software"]
    commit = str(software["git_commit"])[:12] + (" with changes" if software["git_dirty"] else "")
    lines = [
        "# Evidence of the Pittsburgh incidents",
        "",
        f"Commit {commit}, {result['board']['machine']}, {result['wall_s']:.0f} s. `python benchmarks/evidence.py`.",
        "",
        _sizes(result),
        "",
        "| located again in a clean process | identical revisions | apart at most | covariance | other files |",
        "|---|---:|---:|---:|---:|",
    ]
    for name, row in (
        ("this machine", result["again"]),
        ("code for the oldest processor", result["again_oldest_processor"]),
        ("another installation", result["again_other_installation"]),
    ):
        if row is None:
            continue
        lines.append(
            f"| {name} | {row['identical']} of {row['of']} | {1000 * row['most_apart_m']:.3f} mm | "
            f"{row['most_apart_covariance_relative']:.1e} | {len(row['other_files_opened'])} |"
        )
    tampered = result["tampering"]
    lines += ["", "| tampering | tried | found |", "|---|---:|---:|"]
    lines += [f"| {kind} | {row['tried']} | {row['found']} |" for kind, row in tampered["by_kind"].items()]
    bits = tampered["by_kind"]["a bit of a file, packed anew"]["tried"]
    said = f"Of {bits} changed files {tampered['file_named']} were named first; of a signature that no longer fits its "
    said += f"manifest nobody can say which of the two was changed. False alarms: {tampered['false_alarms']} of "
    lines += ["", said + f"{tampered['bundles']} bundles."]
    return "\n".join(lines) + "\n"


def _sizes(result: dict[str, Any]) -> str:
    size = result["bundle_bytes"]
    return (
        f"{result['incidents']} incidents, {result['revisions']} revisions, {result['shots']} shots in those. "
        f"Exported twice with the same bytes: {result['exported_twice_same_bytes']} of {result['incidents']}. "
        f"A bundle has {size['median'] / 1000:.0f} kB (median; {size['most'] / 1000:.0f} kB at most), without sound."
    )


if __name__ == "__main__":
    main()
