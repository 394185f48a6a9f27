"""The console in a real browser: from commit to pixels, from alert to confirmed by keyboard, page weight, pictures.

    python benchmarks/console_run.py [--alerts 200] [--queue 5000] [--out benchmarks/results/console_run]

A server with accounts and a database on disk runs in a process of its own (History, ReviewDesk, the API and the live
feed as `shotline server run` has them); Chromium, headless, is another. Incidents are made up, with a place, rounds and
arrivals each.

- *Commit to pixels*: from the return of the commit to a task after the frame in which the incident stands in the list,
  both by this machine's clock. Once into an empty queue, once with so many incidents in it, once 200 in a second.
- *By keyboard*: an alert comes, the keys are pressed one after the other, until the decision is in the database and the
  page says so.
- *Frames*: the longest pause between two frames during the burst.
- *Page weight*: what the first visit loads, as it is and gzipped (the server does not compress; a proxy may), before
  any incident is there; what draws vector tiles apart.

Needs a Chromium. Writes OUT.json, OUT.md and, with ``--pictures FOLDER``, screenshots.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx
import msgspec
import numpy as np
from results_files import write_results

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests" / "browser"), str(ROOT / "tests" / "unit" / "server_api")]

from alert_samples import FRAME, health, incident, node_statuses, registry  # noqa: E402
from basemap_samples import vector_pmtiles  # noqa: E402
from chromium_pipe import Browser, chromium_binary  # noqa: E402

from shotline_replay.report import describe_software  # noqa: E402

RESULTS = ROOT / "benchmarks" / "results" / "console_run"
PASSWORD = "a long walk home"
KEYS_TO_CONFIRM = ("c", "1", "Enter")
BURST = 200
WATCH = """
window.seenMs = {};
window.framesMs = [];
(() => {
  const now = () => performance.timeOrigin + performance.now();
  const look = () => {
    for (const row of document.querySelectorAll("#incidents [data-incident]")) {
      const id = row.dataset.incident;
      if (id in seenMs) continue;
      seenMs[id] = null;
      requestAnimationFrame(() => {
        const after = new MessageChannel();
        after.port1.onmessage = () => { seenMs[id] = now(); };
        after.port2.postMessage(0);
      });
    }
  };
  const list = document.getElementById("incidents");
  new MutationObserver(look).observe(list, {subtree: true, childList: true, attributes: true});
  look();
  const frame = (time) => { framesMs.push(time); requestAnimationFrame(frame); };
  requestAnimationFrame(frame);
})()
"""


# --- the server, in its own process ---------------------------------------------------------------------------------


def serve(folder: Path) -> None:
    """Serve; take orders as lines of JSON, and answer each with a line."""
    from fusion_server.accounts import Accounts
    from fusion_server.api import AccessRules, Gate, LiveFeed, create_app
    from fusion_server.basemap import Basemap
    from fusion_server.casebook import Casebook
    from fusion_server.history import History
    from fusion_server.http_server import HttpServer
    from fusion_server.review import ReviewRules
    from fusion_server.roles import Role

    history, live = History.open(f"sqlite:///{folder / 'console.db'}"), LiveFeed()
    casebook, people = Casebook(history.database), Accounts(history.database)
    people.add("ann", roles=[Role.REVIEWER], password=PASSWORD, time_ns=time.time_ns(), actor="shell:benchmark")
    app = create_app(
        history=history,
        registry=registry(),
        frame=FRAME,
        health=health,
        live=live,
        gate=Gate(AccessRules(accounts=True), casebook, accounts=people, now_ns=time.time_ns),
        review=ReviewRules(),
        basemap=Basemap.read(vector_pmtiles(folder / "streets.pmtiles")),
    )
    server = HttpServer(app, "127.0.0.1", 0)
    answer({"url": server.url})
    rng = np.random.default_rng(7)
    for line in sys.stdin:
        order = json.loads(line)
        history.touch_nodes(node_statuses(time.time_ns()))
        if order["what"] == "decisions":
            found = casebook.decisions([order["id"]]).get(order["id"], [])
            answer({"decisions": [[item.outcome.value, item.reason, item.person] for item in found]})
            continue
        committed: dict[str, float] = {}
        for number in range(order["first"], order["first"] + order["count"]):
            record = incident(
                number,
                rounds=order.get("rounds") or int(rng.integers(1, 4)),
                x_m=float(rng.uniform(-250.0, 250.0)),
                y_m=float(rng.uniform(-250.0, 250.0)),
                time_ns=time.time_ns() - round(1e9 * order.get("seconds_ago", 3.0)),
            )
            record = msgspec.structs.replace(record, probability=order.get("probability", record.probability))
            history.append_incident(record)
            committed[record.id] = 1e3 * time.time()
            if order.get("tell", True):
                live.publish(record)
        answer({"committed_ms": committed})
    live.close()
    server.close()
    history.close()


def answer(document: dict[str, Any]) -> None:
    """Write a line."""
    sys.stdout.write(json.dumps(document) + "\n")
    sys.stdout.flush()


class Server:
    """The other process."""

    def __init__(self, folder: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__, "--serve", str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.url = str(self._read()["url"])

    def ask(self, what: str, **order: Any) -> dict[str, Any]:
        """Give an order; return the answer."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"what": what, **order}) + "\n")
        self._process.stdin.flush()
        return self._read()

    def close(self) -> None:
        """End it."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(30)

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the server ended")
        document: dict[str, Any] = json.loads(line)
        return document


# --- the person at the desk -----------------------------------------------------------------------------------------


def enter(browser: Browser, url: str, *, dark: bool = False) -> None:
    """Open the page and sign in, as often as it asks."""
    browser.open(url, dark=dark)
    browser.wait_for(
        "document.getElementById('sign-in')?.open || document.getElementById('connection')?.dataset.status == 'ok'"
    )
    if browser.evaluate("document.getElementById('sign-in').open"):
        browser.evaluate(
            f"""(() => {{ document.getElementById('sign-in-name').value = 'ann';
            document.getElementById('sign-in-password').value = {json.dumps(PASSWORD)};
            document.querySelector('#sign-in form').requestSubmit(); }})()"""
        )
    browser.wait_for("document.getElementById('connection').dataset.status == 'ok'")
    browser.evaluate(WATCH)


def seen(browser: Browser, committed_ms: dict[str, float], *, within_s: float = 60.0) -> list[float]:
    """Return milliseconds from commit to pixels of those that came to be in the list; wait for all that are new."""
    names = json.dumps(list(committed_ms))
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        found = browser.evaluate(f"{names}.map((id) => seenMs[id] ?? null)")
        if all(value is not None for value in found):
            break
        time.sleep(0.02)
    return [value - committed_ms[name] for name, value in zip(committed_ms, found, strict=True) if value is not None]


def percentiles(values: list[float]) -> dict[str, float]:
    """Return what is told of them."""
    return {
        "count": len(values),
        "p50_ms": round(float(np.percentile(values, 50)), 1),
        "p99_ms": round(float(np.percentile(values, 99)), 1),
        "most_ms": round(max(values), 1),
    }


def one_by_one(browser: Browser, server: Server, *, first: int, alerts: int) -> dict[str, float]:
    """Commit alerts apart from each other; each is a little worse than the last, so that it is the first row."""
    values: list[float] = []
    rng = np.random.default_rng(1)
    for number in range(first, first + alerts):
        sure = 0.6 + 0.3 * number / 100_000
        done = server.ask("commit", first=number, count=1, rounds=6, probability=sure, seconds_ago=3.0)
        values += seen(browser, done["committed_ms"], within_s=5.0)
        time.sleep(float(rng.uniform(0.02, 0.2)))
    return percentiles(values) | {"missed": alerts - len(values)}


def confirm(browser: Browser, server: Server, *, first: int) -> dict[str, Any]:
    """Take one alert from its appearance to confirmed, by the keyboard alone."""
    done = server.ask("commit", first=first, count=1, rounds=9, probability=0.9 + first / 1e6, seconds_ago=1.0)
    (name,) = done["committed_ms"]
    seen(browser, done["committed_ms"])
    is_open = f"document.querySelector('#incidents [aria-current]')?.dataset.incident == '{name}'"
    # Nobody is at work on another: it opens by itself. Else one key goes to the worst.
    time.sleep(0.5)
    keys = KEYS_TO_CONFIRM if browser.evaluate(is_open) else ("n", *KEYS_TO_CONFIRM)
    started_s = time.monotonic()
    for key in keys:
        browser.press(key)
    while not (found := server.ask("decisions", id=name)["decisions"]):
        if time.monotonic() > started_s + 10.0:
            desk = browser.evaluate("document.getElementById('desk').innerText")
            raise RuntimeError(f"no decision of {name} was kept after {keys}; the desk says: {desk}")
        time.sleep(0.005)
    kept_s = time.monotonic() - started_s
    listed = f"document.querySelector('#incidents [data-incident=\"{name}\"]')"
    browser.wait_for(f"!{listed} || document.getElementById('desk').textContent.includes('onfirmed')")
    return {
        "keys": list(keys),
        "decision": found,
        "first_key_to_kept_ms": round(1e3 * kept_s, 1),
        "first_key_to_shown_ms": round(1e3 * (time.monotonic() - started_s), 1),
    }


def burst(browser: Browser, server: Server, *, first: int) -> dict[str, Any]:
    """Commit many at once; return when the last is counted, and the longest pause between frames."""
    before = browser.evaluate("(framesMs.length = 0, Number(document.getElementById('count').textContent))")
    started_ms = 1e3 * time.time()
    done = server.ask("commit", first=first, count=BURST, seconds_ago=2.0)
    committed_ms = max(done["committed_ms"].values())
    browser.wait_for(f"Number(document.getElementById('count').textContent) >= {before + BURST}")
    shown_ms = 1e3 * time.time()
    browser.press("j")
    pauses = browser.evaluate("framesMs.slice(1).map((time, index) => time - framesMs[index])")
    return {
        "incidents": BURST,
        "committing_ms": round(committed_ms - started_ms, 1),
        "last_commit_to_counted_ms": round(shown_ms - committed_ms, 1),
        "frame_p50_ms": round(float(np.percentile(pauses, 50)), 1),
        "frame_p99_ms": round(float(np.percentile(pauses, 99)), 1),
        "longest_frame_ms": round(max(pauses), 1),
    }


def weight(browser: Browser, url: str) -> dict[str, Any]:
    """Return what a first visit loads of the page itself."""
    names = browser.evaluate("performance.getEntriesByType('resource').map((entry) => entry.name)")
    files: dict[str, tuple[int, int]] = {}
    browser.wait_for(
        "performance.getEntriesByType('resource').some((entry) => entry.name.endsWith('protomaps-leaflet.js'))"
    )
    for name in [url, *names]:
        if not (name == url or "/console/" in name):
            continue
        body = httpx.get(name).content
        files[name.removeprefix(url) or "the page"] = (len(body), len(gzip.compress(body, 9)))
    tiles = {name: sizes for name, sizes in files.items() if "pmtiles" in name or "protomaps" in name}
    page = {name: sizes for name, sizes in files.items() if name not in tiles}
    return {
        "files": {name: list(sizes) for name, sizes in sorted(files.items())},
        "page_files": len(page),
        "bytes": sum(size for size, _ in page.values()),
        "gzipped_bytes": sum(size for _, size in page.values()),
        "tiles_gzipped_bytes": sum(size for _, size in tiles.values()),
    }


def run(folder: Path, *, alerts: int, queue: int, pictures: Path | None) -> dict[str, Any]:
    """Do everything once."""
    binary = chromium_binary()
    if binary is None:
        raise SystemExit("no Chromium on this machine; apt-get install chromium")
    server = Server(folder)
    document: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile, Browser(binary, Path(profile)) as browser:

        def picture(name: str) -> None:
            if pictures is not None:
                pictures.mkdir(parents=True, exist_ok=True)
                time.sleep(1.0)
                browser.screenshot(pictures / f"{name}.png")

        try:
            enter(browser, server.url)
            document["page"] = weight(browser, server.url)
            document["empty_queue"] = one_by_one(browser, server, first=1, alerts=alerts)
            picture("light")
            document["confirm"] = [confirm(browser, server, first=50_000 + index) for index in range(10)]
            document["burst"] = burst(browser, server, first=60_000)
            picture("burst")
            server.ask("commit", first=100_000, count=queue, tell=False, seconds_ago=600.0)
            enter(browser, server.url, dark=True)
            browser.wait_for(f"Number(document.getElementById('count').textContent) >= {queue}")
            document["long_queue"] = one_by_one(browser, server, first=70_000, alerts=alerts) | {"incidents": queue}
            document["confirm_in_long_queue"] = [confirm(browser, server, first=80_000 + index) for index in range(10)]
            document["burst_into_long_queue"] = burst(browser, server, first=90_000)
            picture("dark")
            browser.evaluate("document.getElementById('zoom-incident').click()")
            picture("night-map")
            document["problems"] = browser.problems
        finally:
            server.close()
    return document


def text_of(document: dict[str, Any]) -> str:
    """Return the page."""
    page, confirms = document["page"], document["confirm"]
    lines = [
        "# The console in Chromium",
        "",
        f"Commit {document['commit']}. `python benchmarks/console_run.py`.",
        "",
        "| from commit to pixels | alerts | p50 | p99 | most |",
        "|---|---:|---:|---:|---:|",
    ]
    for key, name in (
        ("empty_queue", "into an empty queue"),
        ("long_queue", f"with {document['long_queue']['incidents']:,} incidents in the queue"),
    ):
        item = document[key]
        lines.append(f"| {name} | {item['count']} | {item['p50_ms']} ms | {item['p99_ms']} ms | {item['most_ms']} ms |")
    kept = [item["first_key_to_kept_ms"] for item in confirms + document["confirm_in_long_queue"]]
    shown = [item["first_key_to_shown_ms"] for item in confirms + document["confirm_in_long_queue"]]
    keys = f"{len(KEYS_TO_CONFIRM)} keys ({', '.join(KEYS_TO_CONFIRM)})"
    lines += [
        "",
        f"From alert to confirmed: {keys} once the incident is open, one more (n) when another is; no click.",
        f"First key to decision kept: {np.median(kept):.0f} ms (median of {len(kept)}, most {max(kept):.0f});",
        f"to shown: {np.median(shown):.0f} ms.",
        "",
        f"| {BURST} incidents at once | last commit to counted | frames p50 | p99 | longest |",
        "|---|---:|---:|---:|---:|",
    ]
    for key, name in (("burst", "short queue"), ("burst_into_long_queue", "long queue")):
        item = document[key]
        frames = " | ".join(f"{item[each]} ms" for each in ("frame_p50_ms", "frame_p99_ms", "longest_frame_ms"))
        lines.append(f"| {name} | {item['last_commit_to_counted_ms']} ms | {frames} |")
    sizes = f"{page['bytes'] / 1000:.0f} kB, {page['gzipped_bytes'] / 1000:.0f} kB gzipped"
    lines += [
        "",
        f"Page: {page['page_files']} files, {sizes};",
        f"{page['tiles_gzipped_bytes'] / 1000:.0f} kB more where vector tiles are configured (they were, here).",
        f"Errors in the browser's log: {len(document['problems'])}.",
    ]
    return "\n".join(lines) + "\n"


def main() -> int:
    """Run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--alerts", type=int, default=200)
    parser.add_argument("--queue", type=int, default=5000)
    parser.add_argument("--pictures", type=Path)
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve is not None:
        serve(arguments.serve)
        return 0
    software = describe_software()
    with tempfile.TemporaryDirectory() as folder:
        found = run(Path(folder), alerts=arguments.alerts, queue=arguments.queue, pictures=arguments.pictures)
    document = {
        "benchmark": "console_run",
        "commit": software.git_commit,
        "dirty": software.git_dirty,
        "board": {"machine": platform.machine(), "system": platform.system(), "cores": os.cpu_count()},
        **found,
    }
    text = text_of(document)
    write_results(arguments.out, document, text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
